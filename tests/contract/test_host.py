"""What every host promises, whatever the transport: the table of docs/protocol.md, one real agent and real jobs at a time."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from burnish.remote.agent.crews import IDLE_CREWS
from burnish.remote.agent.frames import PROTOCOL
from burnish.remote.agent.locks import FREE, lock_state
from burnish.remote.agent.notices import RECORD_LIMIT
from burnish.remote.agent.processes import read_process
from burnish.remote.agent.serving import LOOK_INTERVAL
from burnish.remote.agent.standing import read_status
from burnish.remote.transport import LocalTransport, Transport
from tests.support import beginnings
from tests.support.agent_client import AgentClient, Frame, LinkEnded, kill, make_spec, new_attempt, sizes_of
from tests.support.one_host import TABLE, OneHost, change_agent, job_pid, one_host, supervisor_pid
from tests.support.proc import alive
from tests.support.records import forge
from tests.support.waiting import wait_for


@pytest.fixture
def host(transport: Transport, tmp_path: Path) -> Iterator[OneHost]:
    with one_host(tmp_path, transport) as host:
        yield host


@pytest.fixture
def link(host: OneHost) -> AgentClient:
    return host.connect()


def sh(script: str) -> tuple[str, str, str]:
    return "/bin/sh", "-c", script


def verdict(status: Frame) -> dict[str, Any]:
    """What a status that says ended tells of the exit."""
    assert status["status"] == "ended", status
    exit_record: dict[str, Any] = status["final"]["exit"]
    return exit_record


def void_reason(status: Frame) -> str:
    assert status["status"] == "void", status
    assert status["start"]["void"]["refused"] is True
    return str(status["start"]["void"]["why"])


def lack(status: Frame) -> tuple[str, dict[str, Any]]:
    """What the host has not, and what it was looking for."""
    void = status["start"]["void"]
    assert set(void) == {"why", "lacks"}
    return void["why"], void["lacks"]


# -- how a job ends ------------------------------------------------------------------------------------------------


def test_exit_codes_and_signals_are_told_apart(link: AgentClient) -> None:
    for code in (0, 1, 3, 137, 255):
        exit_record = verdict(link.run(*sh(f"exit {code}")))
        assert exit_record["code"] == code and "signal" not in exit_record
    for name in ("KILL", "SEGV", "TERM", "HUP", "USR1"):
        exit_record = verdict(link.run(*sh(f"kill -{name} $$")))
        assert exit_record["signal"] == signal.Signals[f"SIG{name}"] and "code" not in exit_record


def test_verdict_tells_times_memory_and_sizes(link: AgentClient) -> None:
    before = time.time()
    status = link.run(sys.executable, "-c", "import time; x = b'x' * (60 << 20); time.sleep(0.2); print('done')")
    exit_record = verdict(status)
    assert before - 1 < exit_record["started"] <= exit_record["ended"] < time.time() + 1
    assert 0.2 <= exit_record["duration"] < 20
    assert 60 << 10 < exit_record["max_rss"] < 600 << 10
    assert exit_record["sizes"] == sizes_of(status) == {"out": 5, "err": 0}
    assert exit_record["leftovers"] == 0 and exit_record["cancelled"] is None
    assert exit_record["pid"] == job_pid(status) > 0


def test_end_of_stderr_goes_with_a_failure_and_only_with_one(link: AgentClient) -> None:
    long = "printf 'x%.0s' $(seq 5000) >&2; printf 'the end: \\303\\244' >&2; "
    tail = verdict(link.run(*sh(long + "exit 3")))["tail"]
    assert len(tail.encode()) == 2000 and tail.endswith("xx" + "the end: ä")
    assert verdict(link.run(*sh("echo oh >&2; kill -9 $$")))["tail"] == "oh\n"
    assert "tail" not in verdict(link.run(*sh(long + "exit 0")))


def test_program_that_the_kernel_refuses_is_an_exit_with_its_reason(link: AgentClient, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    exit_record = verdict(link.run(str(script)))
    assert exit_record["code"] == 127
    assert exit_record["exec_error"] == f"{script} cannot be run: No such file or directory"


def test_time_limit_ends_the_tree_and_says_so(link: AgentClient) -> None:
    status = link.run(*sh("sleep 1000 & trap '' TERM; while :; do sleep 0.05; done"), time_limit=2, grace=0.2)
    assert verdict(status)["time_limit"] is True
    assert verdict(status)["signal"] == signal.SIGKILL
    assert 2.2 <= verdict(status)["duration"] < 20


# -- what a job is given -------------------------------------------------------------------------------------------


def test_every_byte_of_argv_env_and_cwd_arrives(link: AgentClient, tmp_path: Path) -> None:
    every = bytes(range(1, 256))
    cwd = os.fsencode(tmp_path) + b"/\xff \n'$(x)\xc3\xa9"
    os.mkdir(cwd)
    words = [b"", every, "é\U0001f600".encode(), b"-n", b"$HOME;`id`", b"x" * 100_000]
    script = b"cat /proc/$$/cmdline; cat /proc/$$/environ >&2; readlink -n /proc/$$/cwd > cwd"
    argv = [os.fsdecode(word) for word in (b"/bin/sh", b"-c", script, *words)]
    status = link.run(*argv, cwd=os.fsdecode(cwd), env={"EVERY": os.fsdecode(every), os.fsdecode(b"n\xff"): ""})
    assert verdict(status)["code"] == 0
    assert link.pull(status["attempt"], "out") == b"\0".join([b"/bin/sh", b"-c", script, *words]) + b"\0"
    environment = link.pull(status["attempt"], "err").split(b"\0")
    assert b"EVERY=" + every in environment and b"n\xff=" in environment
    assert Path(os.fsdecode(cwd), "cwd").read_bytes() == cwd


def test_environment_is_the_hosts_with_the_specs_and_ours(host: OneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HOST", "kept")
    monkeypatch.setenv("BOTH", "host")
    link = host.connect()
    show = sh('echo "$FROM_HOST $BOTH $PYTHONUNBUFFERED $BURNISH_LOCK_DIR"; echo "$BURNISH_RESULT" >&2')
    status = link.run(*show, env={"BOTH": "spec"})
    assert link.pull(status["attempt"]) == b"kept spec 1 \n"
    assert link.pull(status["attempt"], "err") == f"{host.folder_of(status['attempt'])}/result.json\n".encode()
    status = link.run(*show, env={"PYTHONUNBUFFERED": ""})
    assert link.pull(status["attempt"]) == b"kept host  \n"


def test_job_begins_as_a_shell_would_begin_it(link: AgentClient) -> None:
    told = link.pull(link.run(*sh(beginnings.TELL))["attempt"]).decode()
    beginnings.assert_as_from_a_shell(told, beginnings.umask())


def test_setup_lines_run_before_and_do_not_touch_the_words(link: AgentClient) -> None:
    setup = "export SET_UP='by setup'\n# a comment"
    status = link.run("/bin/sh", "-c", 'echo "$SET_UP|$1|$2"', "x", "a  b", "$(c)", setup=setup)
    assert link.pull(status["attempt"]) == b"by setup|a  b|$(c)\n"


@pytest.mark.parametrize(
    ("setup", "why"),
    [
        ("source_it() { false; }\nsource_it", "its setup ended with 1"),
        ("echo first >&2\necho 'no such env' >&2; (exit 3)", "its setup ended with 3: no such env"),
        (
            "# of the lab\n. /no/such",
            "its setup ended with 1: burnish setup: line 2: /no/such: No such file or directory",
        ),
        ("exit 0", "its setup ended with 0"),
        ("set -e\nfalse\ntrue", "its setup ended with 1"),
        (
            "source 'env.sh",
            "its setup ended with 2: burnish setup: eval: line 1: unexpected EOF while looking for matching `''",
        ),
    ],
    ids=["last line fails", "with words", "numbered", "shell ends", "set -e", "quote without its partner"],
)
def test_command_is_not_run_when_its_setup_fails(link: AgentClient, host: OneHost, setup: str, why: str) -> None:
    end = verdict(link.run(*host.ledger_job(), setup=setup))
    assert end["exec_error"] == why
    assert host.runs() == 0


def test_setup_that_fails_before_its_last_line_is_the_users_own_choice(link: AgentClient, host: OneHost) -> None:
    assert verdict(link.run(*host.ledger_job("exit 5"), setup="false\ntrue"))["code"] == 5
    assert host.runs() == 1


def test_home_is_the_hosts(link: AgentClient) -> None:
    status = link.run("pwd", cwd="~")
    assert link.pull(status["attempt"]).decode().strip() == str(Path.home().resolve())


# -- logs and results ----------------------------------------------------------------------------------------------


def test_logs_are_apart_and_byte_for_byte(link: AgentClient) -> None:
    status = link.run(*sh("head -c 3000000 /dev/zero; printf '\\377\\000x' >&2"))
    assert link.pull(status["attempt"]) == bytes(3_000_000)
    assert link.pull(status["attempt"], "err") == b"\xff\0x"


def test_log_is_pulled_from_any_offset_while_it_grows(link: AgentClient, tmp_path: Path) -> None:
    attempt = link.start(*sh(f"printf abcdef; until [ -e {tmp_path}/go ]; do sleep 0.01; done; printf ghi"))
    link.wait_status(attempt, "running")
    pull = {"attempt": attempt, "stream": "out", "size": 3}
    wait_for(lambda: link.ask("pull", "log", offset=0, **pull)["end"] == 6)
    log = link.ask("pull", "log", offset=2, **pull)
    assert (log["body"], log["offset"], log["size"], log["end"]) == (b"cde", 2, 3, 6)
    assert link.ask("pull", "log", offset=9, **pull)["body"] == b""
    (tmp_path / "go").touch()
    link.wait_status(attempt, "ended")
    assert link.ask("pull", "log", offset=6, **pull)["body"] == b"ghi"


def test_growth_of_a_log_that_was_pulled_to_its_end_is_told_once(link: AgentClient, tmp_path: Path) -> None:
    # A reader that comes back to one pipe may meet the end of what was written there before.
    for pipe in ("one", "two"):
        os.mkfifo(tmp_path / pipe)
    attempt = link.start(
        *sh(f"printf abc; read line < {tmp_path}/one; echo $line >&2; read line < {tmp_path}/two; echo")
    )
    link.wait_status(attempt, "running")
    pull = {"attempt": attempt, "size": 100}
    wait_for(lambda: link.ask("pull", "log", stream="out", offset=0, **pull)["end"] == 3)
    assert link.ask("pull", "log", stream="out", offset=0, **pull)["told"] is False, "there is more to ask for"
    assert link.ask("pull", "log", stream="out", offset=3, **pull)["told"] is True
    assert link.ask("pull", "log", stream="err", offset=0, **pull)["told"] is True
    (tmp_path / "one").write_text("one\n")
    grown = link.wait(lambda frame: frame["type"] == "grown")
    assert (grown["attempt"], grown["stream"]) == (attempt, "err")
    log = link.ask("pull", "log", stream="err", offset=0, **pull)
    assert (log["body"], log["told"]) == (b"one\n", False)
    (tmp_path / "two").write_text("two\n")
    grown = link.wait(lambda frame: frame["type"] == "grown")
    assert (grown["attempt"], grown["stream"]) == (attempt, "out")
    link.wait_status(attempt, "ended")
    assert not any(frame["type"] == "grown" for frame in link.backlog)


def test_supervisor_does_not_watch_logs(link: AgentClient, host: OneHost) -> None:
    first = link.start("sleep", "1000")
    link.wait_status(first, "running")
    assert link.ask("pull", "log", attempt=first, stream="out", offset=0, size=1)["told"] is True
    second = link.start("sleep", "1000")
    supervisor = supervisor_pid(link.wait_status(second, "running"))
    assert "anon_inode:inotify" in _open_files(link.pid)
    assert "anon_inode:inotify" not in _open_files(supervisor)
    for attempt in (first, second):
        link.cancel(attempt, 0)


def _open_files(pid: int) -> list[str]:
    folder = Path(f"/proc/{pid}/fd")
    return [os.readlink(folder / descriptor) for descriptor in os.listdir(folder)]


def test_logs_may_lie_where_the_spec_says_and_stay_there(link: AgentClient, tmp_path: Path) -> None:
    out, err = tmp_path / "job.log", tmp_path / "job.err"
    out.write_text("before\n")
    status = link.run(*sh("echo out; echo err >&2"), out=str(out), err=str(err))
    assert (out.read_text(), err.read_text()) == ("before\nout\n", "err\n")
    assert sizes_of(status) == {"out": 11, "err": 4}
    assert link.pull(status["attempt"]) == b"before\nout\n"
    link.ack(status["attempt"])
    assert out.exists() and err.exists()


def reported(link: AgentClient, script: str) -> dict[str, Any]:
    return verdict(link.run(sys.executable, "-c", f"import os, sys; path = os.environ['BURNISH_RESULT']\n{script}"))


def test_object_is_a_result(link: AgentClient) -> None:
    big = json.dumps({"acc": 0.5, "é": [1, None], "pad": "x" * 65_000})
    assert reported(link, f"open(path, 'w').write({big!r})")["result"] == json.loads(big)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("open(path, 'w').write('{')", "it is no JSON: "),
        ("open(path, 'w').write('[1]')", "it is no JSON object"),
        ("open(path, 'wb').write(b'\\xff')", "it is no JSON: "),
        ("open(path, 'w').write('{' + ' ' * 66000 + '}')", "it has 66002 bytes, and 65536 are allowed"),
        ("open(path, 'w').write('{\"a\": ' + '[' * 40 + ']' * 40 + '}')", "it nests more than 32 levels"),
        ("open(path, 'w').write('{\"a\": ' + '9' * 5000 + '}')", "it is no JSON: a number of 5000 digits"),
        ("os.mkfifo(path)", "it is not a regular file"),
        ("os.symlink('/etc/passwd', path)", "Too many levels of symbolic links"),
        ("os.mkdir(path)", "it is not a regular file"),
    ],
)
def test_anything_else_is_said_and_changes_no_verdict(link: AgentClient, script: str, why: str) -> None:
    exit_record = reported(link, script)
    assert exit_record["code"] == 0 and "result" not in exit_record
    assert why in exit_record["result_error"]


def test_result_that_is_too_long_for_a_notice_is_told(link: AgentClient) -> None:
    """As JSON it is three times as long as a notice may be."""
    script = "open(path, 'w', encoding='utf-8').write('{\"a\": \"' + '\u00e9' * 30000 + '\"}')"
    assert reported(link, script)["result"] == {"a": "\u00e9" * 30000}


# -- what is refused -----------------------------------------------------------------------------------------------


def test_what_the_host_has_not_is_named_and_found_by_a_look_once_it_is_there(link: AgentClient, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    late, here = tmp_path / "late", {"cwd": str(tmp_path)}
    for fields, expected in (
        (
            {"argv": ["trian"], "env": {"PATH": "/nowhere:/usr/nowhere"}},
            "no program trian in PATH (/nowhere:/usr/nowhere)",
        ),
        ({"argv": ["/no/such"]}, "/no/such does not exist"),
        ({"argv": ["./plain"], **here}, "./plain is not executable"),
        ({"argv": [str(tmp_path)]}, f"{tmp_path} is not executable"),
        (
            {"argv": ["sh"], "programs": ["pyhton", "pyhton3"], "env": {"PATH": "/x"}},
            "no program pyhton or pyhton3 in PATH (/x)",
        ),
        ({"argv": ["true"], "cwd": str(late)}, f"{late} does not exist"),
        ({"argv": ["true"], "cwd": str(tmp_path / "plain")}, f"{tmp_path / 'plain'} is no folder"),
        ({"argv": ["true"], "script": "late/train.py", **here}, f"{late}/train.py does not exist"),
    ):
        why, need = lack(link.run("true", **fields))
        assert why == expected
        assert link.ask("look", "seen", needs=[need])["needs"] == [[need, expected]]
    late.mkdir()
    (late / "train.py").touch()
    needs = [need, {"cwd": str(late)}]
    assert link.ask("look", "seen", needs=needs)["needs"] == [[need, ""] for need in needs]


def test_command_is_run_and_not_the_first_of_the_programs_of_which_one_would_do(link: AgentClient) -> None:
    """As a shell that looks for python3, and for python where there is none."""
    assert verdict(link.run("sh", "-c", "exit 3", programs=["nosuch", "true"]))["code"] == 3


def test_what_setup_brings_about_is_not_lacking_before_it(link: AgentClient, tmp_path: Path) -> None:
    setup = f"cd {tmp_path} && touch job.py && ln -s /bin/true made-by-setup && PATH=$PATH:{tmp_path}"
    assert verdict(link.run("true", script="job.py", programs=["made-by-setup"], setup=setup))["code"] == 0


def test_what_setup_did_not_bring_about_is_lacking(link: AgentClient, host: OneHost, tmp_path: Path) -> None:
    folder = tmp_path / "it's $HOME"
    folder.mkdir()
    (folder / "ours.py").touch()
    enter = f'cd "{tmp_path}/it\'s \\$HOME"'
    cases = [
        (["python3", "train.py"], enter, {"script": "train.py"}, f"{folder}/train.py does not exist"),
        (["python3", "/no/$(train).py"], "set -eu", {"script": "/no/$(train).py"}, "/no/$(train).py does not exist"),
        (["pyhton", "it's"], "PATH=/usr/bin:/bin", {}, "no program pyhton in PATH (/usr/bin:/bin)"),
        (["./it's"], "true", {}, "./it's does not exist, or is not executable"),
        (
            ["sh"],
            "PATH=/nowhere",
            {"programs": ["python", "python3"]},
            "no program python or python3 in PATH (/nowhere)",
        ),
    ]
    for argv, setup, sought, why in cases:
        end = verdict(link.run(*argv, setup=setup, **sought))
        assert (end["exec_error"], end["lacks"]) == (why, {"cwd": "/", "setup": why})
    assert link.ask("look", "seen", needs=[end["lacks"]])["needs"] == [], "a look cannot tell"
    assert verdict(link.run(*host.ledger_job(), "ours.py", script="ours.py", setup=enter))["code"] == 0


def test_log_that_cannot_be_written_is_void_with_a_reason(link: AgentClient) -> None:
    """Which speaks of a disk, and not against the command."""
    void = link.run("true", out="/no/dir/log")["start"]["void"]
    assert void == {"why": "its log /no/dir/log cannot be opened: No such file or directory", "trouble": True}


@pytest.mark.parametrize(
    "fields",
    [
        {"argv": []},
        {"argv": "true"},
        {"argv": ["true", 1]},
        {"argv": ["true", "nul\0"]},
        {"argv": ["true", "\ud83d"]},
        {"cwd": "here"},
        {"cwd": None},
        {"env": {"A=B": "x"}},
        {"env": {"": "x"}},
        {"env": {"A": 1}},
        {"env": {"A": "\0"}},
        {"setup": 7},
        {"script": 7},
        {"programs": [7]},
        {"out": "/tmp/\0"},
        {"time_limit": -1},
        {"grace": "long"},
    ],
)
def test_spec_that_is_none_is_void(link: AgentClient, fields: dict[str, Any]) -> None:
    assert void_reason(link.run("true", **fields))


def test_malformed_requests_are_refused_and_the_link_lives(link: AgentClient, host: OneHost) -> None:
    bad: list[tuple[str, dict[str, Any]]] = [
        ("dance", {}),
        ("_on_ping", {}),
        ("status", {}),
        ("status", {"attempt": "../../etc"}),
        ("status", {"attempt": "1.1-zzzz"}),
        ("start", {"attempt": new_attempt()}),
        ("pull", {"attempt": new_attempt(), "stream": "spec", "offset": 0, "size": 1}),
        ("pull", {"attempt": new_attempt(), "stream": "out", "offset": -1, "size": 1}),
        ("pull", {"attempt": new_attempt(), "stream": "out", "offset": "x", "size": 1}),
        ("hello", {"protocol": 99, "table": TABLE, "state_dir": "/x"}),
        ("hello", {"protocol": PROTOCOL, "table": "../x", "state_dir": "/x"}),
        ("hello", {"protocol": PROTOCOL, "table": TABLE, "state_dir": "relative"}),
        ("ack", {"attempt": 7}),
    ]
    for kind, fields in bad:
        answer = link.ask(kind, "refused", **fields)
        assert answer["type"] == "refused" and answer["why"], (kind, fields)
    assert link.ask("ping", "pong", id="7")["id"] == "7"


def test_bytes_that_are_no_frames_end_the_link_and_no_job(link: AgentClient, host: OneHost) -> None:
    attempt = link.start("sleep", "1000")
    link.wait_status(attempt, "running")
    link.channel.write(struct.pack(">II", 0xFFFFFFFF, 0))
    with pytest.raises(LinkEnded):
        link.next_frame()
    assert host.connect().status(attempt)["status"] == "running"


def test_state_folder_that_others_can_enter_is_refused(host: OneHost) -> None:
    host.connect().close()
    host.home.chmod(0o755)
    with pytest.raises(AssertionError, match="0700"):
        refused = host.connect().welcome
        assert refused["type"] == "welcome", refused["why"]
    host.home.chmod(0o700)
    host.locks.rename(host.folder / "elsewhere")
    host.locks.symlink_to(host.folder / "elsewhere")
    assert "0700" in host.connect().welcome["why"]


# -- ends that are asked for ---------------------------------------------------------------------------------------


def test_cancel_ends_the_job_and_says_by_whom(link: AgentClient, tmp_path: Path) -> None:
    attempt = link.start(*sh(f"trap 'echo bye; exit 5' TERM; touch {tmp_path}/set; while :; do sleep 0.05; done"))
    wait_for((tmp_path / "set").exists)
    exit_record = verdict(link.cancel(attempt, grace=10))
    assert exit_record["cancelled"] == "alice"
    assert exit_record["code"] == 5 and link.pull(attempt) == b"bye\n"


def test_second_cancel_may_be_less_patient(link: AgentClient, tmp_path: Path) -> None:
    attempt = link.start(*sh(f"trap '' TERM; touch {tmp_path}/deaf; while :; do sleep 0.05; done"))
    link.wait_status(attempt, "running")
    wait_for((tmp_path / "deaf").exists)
    link.ask("cancel", "status", attempt=attempt, grace=1000, by="alice")
    assert verdict(link.cancel(attempt, grace=0.1))["signal"] == signal.SIGKILL


def test_cancel_of_what_has_ended_or_never_was_changes_nothing(link: AgentClient) -> None:
    status = link.run("true")
    assert link.ask("cancel", "status", attempt=status["attempt"], grace=1, by="x")["final"] == status["final"]
    assert link.ask("cancel", "status", attempt=new_attempt(), grace=1, by="x")["status"] == "absent"


def test_void_is_a_tombstone_that_a_late_start_finds(link: AgentClient, host: OneHost) -> None:
    attempt = new_attempt()
    assert link.void(attempt)["start"]["void"]["why"] == "the test says so"
    assert link.run(*host.ledger_job(), attempt=attempt)["status"] == "void"
    assert host.runs() == 0


def test_void_of_a_running_job_changes_nothing(link: AgentClient) -> None:
    attempt = link.start("sleep", "1000")
    link.wait_status(attempt, "running")
    assert link.void(attempt)["status"] == "running"


def test_start_that_is_sent_again_starts_nothing(link: AgentClient, host: OneHost) -> None:
    attempt = link.start(*host.ledger_job("sleep 1000"))
    running = link.wait_status(attempt, "running")
    wait_for(host.runs, "it has not noted that it runs")
    for spec in ({}, make_spec(*host.ledger_job("sleep 1000")), make_spec(*host.ledger_job())):
        again = link.ask("start", "status", attempt=attempt, spec=spec)
        assert (again["status"], again["start"]) == ("running", running["start"])
    assert host.runs() == 1


@pytest.fixture(params=["lives", "killed", "ended"])
def removed(request: pytest.FixtureRequest, link: AgentClient, host: OneHost, tmp_path: Path) -> tuple[str, bool]:
    """An attempt whose folder was removed under its job, and whether that lives still."""
    end = "exec sleep 1000" if request.param != "ended" else f"until [ -e {tmp_path}/end ]; do sleep 0.01; done"
    attempt = link.start(*host.ledger_job(end))
    running = link.wait_status(attempt, "running")
    wait_for(host.runs, "it has not noted that it runs")
    shutil.rmtree(host.folder_of(attempt))
    if request.param == "killed":
        os.kill(supervisor_pid(running), signal.SIGSTOP)  # so that it does not notice first
        kill(job_pid(running))
        kill(supervisor_pid(running))
    (tmp_path / "end").touch()
    if request.param != "lives":
        wait_for(lambda: lock_state(host.place(attempt).lock) == FREE)
    return attempt, request.param == "lives"


def test_resend_after_the_folder_was_removed_starts_nothing(host: OneHost, removed: tuple[str, bool]) -> None:
    attempt, lives = removed
    status = host.connect().ask("start", "status", attempt=attempt, spec=make_spec(*host.ledger_job()))
    assert status["status"] == ("running" if lives else "ended")
    assert lives or status["final"]["lost"]["why"] == "its folder was removed"
    assert host.runs() == 1


def test_void_after_the_folder_was_removed_does_not_say_that_it_never_ran(
    host: OneHost, removed: tuple[str, bool]
) -> None:
    attempt, lives = removed
    status = host.connect().void(attempt)
    assert status["status"] == ("running" if lives else "ended")
    assert lives or status["final"]["lost"]["why"] == "its folder was removed"


@pytest.mark.parametrize("lives", [True, False])
def test_void_of_what_began_never_says_that_it_never_ran(link: AgentClient, host: OneHost, lives: bool) -> None:
    """Folder and locks were removed: only who asks knows that it began, and only its environment that it lives."""
    attempt = link.start(*host.ledger_job("exec sleep 1000"))
    running = link.wait_status(attempt, "running")
    wait_for(lambda: host.runs() == 1)
    shutil.rmtree(host.folder_of(attempt))
    shutil.rmtree(host.locks)
    if not lives:
        os.kill(supervisor_pid(running), signal.SIGSTOP)  # so that it does not notice first
        kill(job_pid(running))
        kill(supervisor_pid(running))
    answer = host.connect().void(attempt, began=True)
    if lives:
        assert answer["type"] == "refused" and "processes of it are alive" in answer["why"]
        kill(job_pid(running))
    else:
        assert answer["status"] == "ended" and answer["final"]["lost"]["why"] == "its records were removed"


def test_start_record_that_is_removed_under_its_job_makes_nothing_void(link: AgentClient, host: OneHost) -> None:
    """As by those who tidy up links that lead nowhere."""
    attempt = link.start("sleep", "1000")
    running = link.wait_status(attempt, "running")
    (host.folder_of(attempt) / "start.json").unlink()
    other = host.connect()
    assert other.status(attempt)["status"] == "running"
    assert other.void(attempt)["status"] == "running"
    assert other.cancel(attempt)["status"] == "ended"
    assert not alive(job_pid(running))


def test_agent_that_is_given_bad_logs_keeps_no_descriptor(link: AgentClient, host: OneHost) -> None:
    supervisor = supervisor_pid(link.run("true"))
    idle_lock(host)
    before = len(os.listdir(f"/proc/{supervisor}/fd"))
    for _ in range(3):
        assert link.run("true", err="/nowhere/err")["status"] == "void"
    assert link.run("true")["status"] == "ended"
    wait_for(lambda: len(os.listdir(f"/proc/{supervisor}/fd")) == before)  # it closes the logs when all has been told


def test_job_runs_where_few_files_may_be_open(link: AgentClient) -> None:
    resource.prlimit(link.pid, resource.RLIMIT_NOFILE, (40, 40))
    assert verdict(link.run("true"))["code"] == 0


def test_locks_and_gpus_of_a_job_are_the_hosts_to_say(link: AgentClient, tmp_path: Path) -> None:
    theirs = {"path": f"{tmp_path}/theirs", "what": "GPU", "alone": True}
    assert verdict(link.run("true", locks=[theirs]))["code"] == 0
    assert not (tmp_path / "theirs").exists()
    assert "gpus" not in link.run("true", devices=["GPU-0"])["start"]["go"]


def test_signals_that_who_starts_the_agent_ignores_stay_ignored(host: OneHost, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ntrap '' USR2\nexec {sys.executable} \"$@\"\n")
    python.chmod(0o755)
    link = host.connect(LocalTransport(str(python)))
    status = link.run("/bin/sh", "-c", "grep SigIgn /proc/self/status")
    (ignored,) = [int(line.split()[1], 16) for line in link.pull(status["attempt"]).decode().splitlines()]
    assert ignored & (1 << (signal.SIGUSR2 - 1)) and not ignored & (1 << (signal.SIGTERM - 1))


def test_result_that_reads_like_a_record_changes_nothing(link: AgentClient) -> None:
    status = link.run(*sh("""printf '{"sizes":{}, "go":{}, "exit":{}}' > $BURNISH_RESULT"""))
    assert verdict(status)["result"] == {"sizes": {}, "go": {}, "exit": {}} and verdict(status)["code"] == 0


def test_end_is_told_though_the_start_was_too_long_to_be(link: AgentClient, tmp_path: Path) -> None:
    deep = os.fsencode(tmp_path)
    while len(deep) < 3800:
        deep += b"/" + b"\xff" * 200  # six bytes each in a record
    os.makedirs(deep)
    logs = {stream: os.fsdecode(deep + b"/" + stream.encode()) for stream in ("out", "err")}
    attempt = link.start(*sh(f"until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo hi"), **logs)
    assert len(json.dumps(link.wait_status(attempt, "running"))) > RECORD_LIMIT
    (tmp_path / "go").touch()
    assert verdict(link.wait_status(attempt, "ended"))["code"] == 0


def test_supervisor_between_two_attempts_has_a_lock_that_says_nothing(link: AgentClient, host: OneHost) -> None:
    assert verdict(link.run("true"))["code"] == 0
    assert not idle_lock(host).read_text().strip(), "the pid of a job that is over"


def idle_lock(host: OneHost) -> Path:
    """The lock of its only supervisor, once that is between two attempts."""
    name = wait_for(lambda: host.lock_names() == [] and next(iter(os.listdir(host.locks)), ""))
    return host.locks / name


def crews_of(link: AgentClient, host: OneHost, tmp_path: Path, word: str) -> set[int]:
    """Pids of the supervisors of more jobs at once than supervisors are kept for long; all of them have ended."""
    attempts = [link.start(*sh(f"until [ -e {tmp_path}/{word} ]; do sleep 0.01; done")) for _ in range(IDLE_CREWS + 4)]
    crews = {supervisor_pid(link.wait_status(attempt, "running")) for attempt in attempts}
    (tmp_path / word).touch()
    for attempt in attempts:
        link.wait_status(attempt, "ended")
    return crews


def test_supervisors_of_many_jobs_at_a_time_take_the_next_ones(
    link: AgentClient, host: OneHost, tmp_path: Path
) -> None:
    """Jobs of milliseconds on as many slots would else pay for a fork each, instead of for a message."""
    first = crews_of(link, host, tmp_path, "first")
    assert len(first) > IDLE_CREWS
    looked = time.monotonic() + 2 * LOOK_INTERVAL
    while time.monotonic() < looked:
        link.ask("ping", answer="pong", id="x")
    assert crews_of(link, host, tmp_path, "next") == first


def test_job_is_told_of_with_its_pid_though_it_was_looked_at_before_it_had_one(
    host: OneHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_up = tmp_path / "held up"
    spawn = b"            self._spawn(program, argv, environment)\n"
    wait = f"            while os.path.exists({str(held_up)!r}):\n                time.sleep(0.02)\n".encode()
    change_agent(monkeypatch, (spawn, wait + spawn))
    link = host.connect()
    held_up.touch()
    attempt = link.start("sleep", "1000")
    wait_for(lambda: os.path.lexists(host.folder_of(attempt) / "start.json"))
    looked = time.monotonic() + 2 * LOOK_INTERVAL
    while time.monotonic() < looked:
        link.send("ping", id="x")
        link.wait(lambda frame: frame["type"] == "pong")
    assert all(frame["status"] == "starting" for frame in link.backlog)
    asked = link.status(attempt)  # whoever asks is answered
    assert (asked["status"], asked["start"]["go"]["pid"]) == ("running", 0)
    held_up.unlink()
    assert alive(job_pid(link.wait_status(attempt, "running")))


def test_supervisors_for_which_there_is_nothing_to_do_go_after_a_while(
    host: OneHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_agent(monkeypatch, (b"IDLE_TIME = 10.0 ", b"IDLE_TIME = 0.1 "))
    link = host.connect()
    crews = crews_of(link, host, tmp_path, "go")

    def left() -> int:
        link.ask(
            "ping", answer="pong", id="x"
        )  # as a coordinator does now and then: an agent at rest is not woken for it
        return sum(map(alive, crews))

    wait_for(lambda: left() == IDLE_CREWS, left)


def test_lock_of_a_supervisor_that_was_killed_between_two_attempts_is_removed(link: AgentClient, host: OneHost) -> None:
    supervisor = supervisor_pid(link.run("true"))
    idle = idle_lock(host)
    kill(supervisor)
    assert verdict(link.run("true"))["code"] == 0, "another supervisor takes the next"
    host.connect()
    assert not idle.exists()


def test_verdict_that_somebody_made_first_is_the_one_that_is_told(
    link: AgentClient, host: OneHost, tmp_path: Path
) -> None:
    attempt = link.start(*sh(f"until [ -e {tmp_path}/go ]; do sleep 0.01; done"))
    link.wait_status(attempt, "running")
    lost = {"lost": {"why": "somebody thought so", "ended": 1.0}}
    forge(host.folder_of(attempt) / "final.json", json.dumps(lost))
    (tmp_path / "go").touch()
    assert link.wait_status(attempt, "ended")["final"] == lost


# -- putting away --------------------------------------------------------------------------------------------------


def test_acked_attempt_shrinks_to_a_tombstone(link: AgentClient, host: OneHost) -> None:
    status = link.run(*host.ledger_job("mkdir -p $BURNISH_RESULT.d/x; echo much"))
    attempt = status["attempt"]
    assert list(link.statuses()) == [attempt]
    assert link.ack(attempt)["type"] == link.ack(attempt)["type"] == "pong"
    assert sorted(os.listdir(host.folder_of(attempt))) == ["acked", "final.json", "start.json"]
    assert host.lock_names() == []
    assert link.statuses() == {}
    assert link.status(attempt)["final"] == status["final"]
    fields = {"attempt": attempt, "stream": "out", "offset": 0, "size": 1}
    assert "removed" in link.ask("pull", "log", **fields)["why"]
    assert link.run(*host.ledger_job(), attempt=attempt)["status"] == "ended"
    assert host.runs() == 1


def test_ack_of_a_running_attempt_is_refused(link: AgentClient) -> None:
    attempt = link.start("sleep", "1000")
    link.wait_status(attempt, "running")
    assert "running" in link.ack(attempt)["why"]
    assert link.ack(new_attempt())["type"] == "pong"


def test_clean_removes_what_has_ended_and_names_what_runs(link: AgentClient, host: OneHost) -> None:
    running = link.start("sleep", "1000")
    link.wait_status(running, "running")
    ended, voided = link.run("true")["attempt"], link.void(new_attempt())["attempt"]
    assert link.ask("clean", "cleaned")["left"] == [running]
    assert not host.folder_of(ended).exists() and not host.folder_of(voided).exists()
    link.cancel(running)
    assert link.ask("clean", "cleaned")["left"] == []
    assert host.lock_names() == []
    late = new_attempt()
    link.send("start", attempt=late, spec={"argv": host.ledger_job(), "cwd": "/"})
    assert "cleaned" in link.wait(lambda frame: frame["type"] == "refused")["why"]
    assert link.statuses() == {} and host.runs() == 0
    again = host.connect()
    assert again.ask("clean", "cleaned")["left"] == [], "as an interrupted clean does"


def test_mark_of_a_cleaned_table_goes_after_a_month_and_is_not_made_where_none_is_needed(host: OneHost) -> None:
    link = host.connect()
    attempts = host.folder_of(new_attempt()).parent.parent
    old, young = attempts / "old-table", attempts / "young-table"
    old.touch()
    young.touch()
    os.utime(old, (0, time.time() - 31 * 86400))
    assert link.ask("clean", "cleaned", mark=False)["left"] == []
    assert [path.name for path in attempts.iterdir()] == [young.name]


# -- what dies, and what does not ----------------------------------------------------------------------------------


def test_job_outlives_its_agent_and_its_verdict_is_kept(link: AgentClient, host: OneHost, tmp_path: Path) -> None:
    script = f"until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo end; exit 4"
    attempt = link.start(*sh(script))
    link.wait_status(attempt, "running")
    kill(link.pid)
    (tmp_path / "go").touch()
    fresh = host.connect()
    wait_for(lambda: fresh.status(attempt)["status"] == "ended")
    assert verdict(fresh.status(attempt))["code"] == 4 and fresh.pull(attempt) == b"end\n"


def test_end_is_told_at_once_to_every_link_that_asked(host: OneHost, tmp_path: Path) -> None:
    first, second = host.connect(), host.connect()
    attempt = first.start(*sh(f"until [ -e {tmp_path}/go ]; do sleep 0.01; done; date +%s.%N"))
    first.wait_status(attempt, "running")
    assert second.statuses()[attempt]["status"] == "running"
    (tmp_path / "go").touch()
    for link in (second, first):
        link.wait_status(attempt, "ended")
        assert time.time() - float(first.pull(attempt)) < 15


def test_job_that_is_over_at_once_is_told_of_once(link: AgentClient) -> None:
    """With all that was to be said of its start. One that lasts is told to run."""

    in_a_row: list[Frame] = []  # on a busy machine some are over too late, and some before anybody could look

    def three_are_told_of_once() -> bool:
        link.backlog.clear()
        in_a_row.append(link.run("sleep", "0.003"))
        if any(frame["type"] == "status" for frame in link.backlog):
            in_a_row.clear()
        return len(in_a_row) == 3

    wait_for(three_are_told_of_once, deadline=60)
    status = in_a_row[-1]
    assert (verdict(status)["code"], status["start"]["go"]["pid"]) == (0, verdict(status)["pid"])
    assert link.wait_status(link.start("sleep", "1000"), "running")["supervised"] is True


def test_two_links_that_send_the_same_start_start_it_once(host: OneHost) -> None:
    links = [host.connect() for _ in range(3)]
    for _ in range(5):
        attempt = new_attempt()
        for link in links:
            link.start(*host.ledger_job("sleep 0.05"), attempt=attempt)
        for link in links:
            assert verdict(link.wait_status(attempt, "ended"))["code"] == 0
    assert host.runs() == 5


def test_killed_supervisor_costs_the_verdict_and_not_the_job(link: AgentClient, host: OneHost, tmp_path: Path) -> None:
    attempt = link.start(*host.ledger_job(f"until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo end"))
    running = link.wait_status(attempt, "running")
    assert running["supervised"] is True
    kill(supervisor_pid(running))
    assert link.wait_status(attempt, "running")["supervised"] is False
    assert alive(job_pid(running))
    (tmp_path / "go").touch()
    lost = link.wait_status(attempt, "ended")
    assert lost["final"]["lost"]["why"] == "killed with its supervisor"
    assert link.pull(attempt) == b"end\n" and lost["sizes"] == {"out": 4, "err": 0}
    assert host.runs() == 1 and host.lock_names() == []


def test_job_and_supervisor_killed_together_are_lost(link: AgentClient, host: OneHost) -> None:
    attempt = link.start("sleep", "1000")
    running = link.wait_status(attempt, "running")
    os.kill(supervisor_pid(running), signal.SIGSTOP)
    kill(job_pid(running))
    kill(supervisor_pid(running))
    assert "lost" in link.wait_status(attempt, "ended")["final"]
    assert "lost" in host.connect().statuses()[attempt]["final"]


def test_records_of_another_incarnation_are_lost_whoever_has_the_pid_now(link: AgentClient, host: OneHost) -> None:
    attempt = link.void(new_attempt())["attempt"]
    innocent = subprocess.Popen(["sleep", "1000"])
    try:
        process = read_process(innocent.pid)
        assert process is not None
        supervisor = {"pid": innocent.pid, "starttime": process.started}
        go = {"started": 1.0, "supervisor": supervisor, "incarnation": "another.1.2", "host": "x", "argv0": "sleep"}
        forge(host.folder_of(attempt) / "start.json", json.dumps({"go": go}))
        status = link.status(attempt)
        assert status["status"] == "ended" and status["final"]["lost"]["why"] == "its host rebooted"
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@pytest.mark.parametrize(
    "seen", ["another.{1}.{2}", "{0}.0.{2}", "{0}.1.2"], ids=["other boot", "hidden pid 1", "container"]
)
@pytest.mark.parametrize("supervised", [True, False])
def test_job_that_lives_is_not_lost_whatever_incarnation_somebody_sees(
    link: AgentClient, host: OneHost, seen: str, supervised: bool
) -> None:
    attempt = link.start("sleep", "1000")
    running = link.wait_status(attempt, "running")
    there = seen.format(*str(link.welcome["incarnation"]).rsplit(".", 2))
    if not supervised:
        kill(supervisor_pid(running))
        link.wait(lambda frame: frame["type"] == "status" and frame.get("supervised") is False)
    standing = read_status(host.place(attempt), there)
    assert (standing.status, standing.dead) == ("running", "")
    if supervised:
        kill(supervisor_pid(running))
    kill(job_pid(running))
    link.wait_status(attempt, "ended")
    os.unlink(host.folder_of(attempt) / "final.json")
    assert read_status(host.place(attempt), there).dead == "its host rebooted"


def test_job_without_its_lock_that_lives_is_not_lost_where_pid_1_is_hidden(link: AgentClient, host: OneHost) -> None:
    attempt = link.start("/bin/bash", "-c", "exec 100>&-; sleep 1000; true")
    running = link.wait_status(attempt, "running")
    kill(supervisor_pid(running))
    link.wait(lambda frame: frame["type"] == "status" and frame.get("supervised") is False)
    boot, _, namespace = str(link.welcome["incarnation"]).rsplit(".", 2)
    standing = read_status(host.place(attempt), f"{boot}.0.{namespace}")
    assert (standing.status, standing.dead) == ("running", "")
    link.cancel(attempt)


def test_attempt_whose_disk_refuses_for_a_moment_costs_no_link(link: AgentClient, host: OneHost) -> None:
    attempt = link.start("sleep", "1000")
    running = link.wait_status(attempt, "running")
    kill(supervisor_pid(running))
    link.wait(lambda frame: frame["type"] == "status" and frame.get("supervised") is False)
    final = host.folder_of(attempt) / "final.json"
    final.mkdir()  # who reads it meets an error
    kill(job_pid(running))
    before = processor_time(link.pid)
    assert link.run("sleep", "1")["status"] == "ended"
    assert processor_time(link.pid) - before < 0.5, "nor is it looked at without a pause"
    other = link.start("sleep", "1000")
    link.wait_status(other, "running")
    assert other in host.connect().statuses(), "what can be read is listed"
    final.rmdir()
    assert "lost" in link.wait_status(attempt, "ended")["final"]


@pytest.mark.parametrize("left", [b"", b'{"exit":{"co', b"\0" * 300, b"[]"])
def test_verdict_that_a_power_loss_tore_is_lost_and_never_read(link: AgentClient, host: OneHost, left: bytes) -> None:
    attempt = link.run("true")["attempt"]
    forge(host.folder_of(attempt) / "final.json", left)
    for found in (link.status(attempt), host.connect().statuses()[attempt]):
        assert found["status"] == "ended" and found["final"]["lost"]["why"] == "its verdict was damaged"
    assert host.record(attempt, "final.json") == found["final"]


@pytest.mark.parametrize("supervised", [True, False])
def test_cancel_never_signals_a_process_that_only_has_the_pid(
    link: AgentClient, host: OneHost, supervised: bool
) -> None:
    attempt = link.start("sleep", "1000")
    running = link.wait_status(attempt, "running")
    if not supervised:
        kill(supervisor_pid(running))
        link.wait_status(attempt, "running")
    innocent = subprocess.Popen(["sleep", "1000"])
    try:
        start = host.record(attempt, "start.json")
        start["go"]["supervisor"] = {"pid": innocent.pid, "starttime": 1}
        forge(host.folder_of(attempt) / "start.json", json.dumps(start))
        if supervised:
            link.ask("cancel", "status", attempt=attempt, grace=1, by="alice")
        else:
            assert link.cancel(attempt)["final"]["lost"]["cancelled"] == "alice"
            assert not alive(job_pid(running))
        assert link.run("true")["status"] == "ended"  # time for a signal to arrive
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_claim_of_another_incarnation_is_neither_started_nor_called_void(link: AgentClient, host: OneHost) -> None:
    for moved in ({"incarnation": "another.1.2"}, {"state_id": "another"}):
        attempt = new_attempt()
        spec = {"argv": host.ledger_job(), "cwd": "/"}
        assert "since it was claimed" in link.ask("start", "status", attempt=attempt, spec=spec, **moved)["why"]
        assert not host.folder_of(attempt).exists()
        assert "lost" in link.void(attempt, **moved)["final"]
        robbed = new_attempt()
        host.folder_of(robbed).mkdir(mode=0o700, parents=True)  # its records are gone
        cancelled = link.ask("cancel", "status", attempt=robbed, grace=1, by="x", **moved)
        assert cancelled["status"] == "ended" and "lost" in cancelled["final"]
        assert link.run(*host.ledger_job(), attempt=attempt)["status"] == "ended"
    assert host.runs() == 0
    same = {name: link.welcome[name] for name in ("incarnation", "state_id")}
    assert link.void(new_attempt(), **same)["status"] == "void"


def test_wiped_state_folder_is_noticed_and_its_jobs_are_not_forgotten(link: AgentClient, host: OneHost) -> None:
    attempt = link.start("sleep", "1000")
    running = link.wait_status(attempt, "running")
    host.state_dir.rename(host.folder / "wiped")
    assert "removed" in link.ask("void", "status", attempt=new_attempt(), why="x")["why"]
    with pytest.raises(LinkEnded):
        link.next_frame()
    fresh = host.connect()
    assert fresh.welcome["state_id"] != link.welcome["state_id"]
    assert fresh.status(attempt)["status"] == "running"
    moved = {"state_id": link.welcome["state_id"]}
    assert "alive" in fresh.void(attempt, **moved)["why"]
    fresh.ask("cancel", "status", attempt=attempt, grace=1, by="x")
    wait_for(lambda: not alive(job_pid(running)) and not alive(supervisor_pid(running)))
    wait_for(lambda: "final" in fresh.void(attempt, **moved))


@pytest.mark.parametrize("supervised", [True, False])
def test_wiped_lock_folder_costs_no_verdict(link: AgentClient, host: OneHost, supervised: bool, tmp_path: Path) -> None:
    attempt = link.start(*sh(f"until [ -e {tmp_path}/go ]; do sleep 0.01; done; exit 6"))
    running = link.wait_status(attempt, "running")
    for file in host.locks.iterdir():
        file.unlink()
    host.locks.rmdir()
    if not supervised:
        kill(supervisor_pid(running))
        assert link.wait_status(attempt, "running")["supervised"] is False
    fresh = host.connect()
    assert fresh.status(attempt)["supervised"] is supervised
    assert verdict(fresh.run("true"))["code"] == 0
    (tmp_path / "go").touch()
    final = fresh.wait_status(attempt, "ended")["final"]
    assert final["exit"]["code"] == 6 if supervised else "lost" in final


def _open_files(pid: int) -> set[str]:
    """What a process has open; a descriptor that it closes while we look does not count."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            continue
    return found


def test_jobs_inherit_no_stream_of_the_link(host: OneHost) -> None:
    link = host.connect()
    attempt = link.start("sleep", "1000")
    running = link.wait_status(attempt, "running")
    streams = {os.readlink(f"/proc/{link.pid}/fd/{descriptor}") for descriptor in (0, 1, 2)}
    for pid in (job_pid(running), supervisor_pid(running)):
        assert not _open_files(pid) & streams
        assert os.getsid(pid) == pid


# -- what it costs -------------------------------------------------------------------------------------------------


def test_agent_with_nothing_to_watch_sleeps(tmp_path: Path) -> None:
    """A job that another agent watches is the clock."""
    with one_host(tmp_path) as host:
        idle, other = host.connect(), host.connect()
        before = wakings(idle.pid)
        assert verdict(other.run("sleep", "1"))["code"] == 0
        assert wakings(idle.pid) - before < 3  # it may not have come to rest yet


def test_agent_whose_supervisor_was_killed_sleeps(tmp_path: Path) -> None:
    with one_host(tmp_path) as host:
        link, other = host.connect(), host.connect()
        supervisor = supervisor_pid(link.run("true"))
        kill(supervisor)
        before = processor_time(link.pid)
        assert verdict(other.run("sleep", "1"))["code"] == 0
        assert processor_time(link.pid) - before < 0.5


def processor_time(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wakings(pid: int) -> int:
    """How many times a process has gone to sleep."""
    found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])
