"""The first words between a coordinator and whatever runs at the other end; the local pipe."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from burnish.errors import HostRefused, HostUnreachable
from burnish.remote.agent.frames import FrameReader, encode_frame
from burnish.remote.agent.processes import read_process
from burnish.remote.transport import (
    FOLDER,
    LOADER,
    LOADER_HERE,
    Channel,
    LocalChannel,
    LocalTransport,
    bootstrap,
    remote_command,
)
from tests.support.waiting import wait_for


def program(folder: Path, script: str) -> str:
    """The path of a program that is run where a Python is expected."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def opened(python: str) -> Channel:
    return LocalTransport(python).open()


def ping(channel: Channel) -> bool:
    """True if a living agent answers."""
    channel.write(encode_frame({"type": "ping", "id": "x"}))
    ((header, _),) = FrameReader().feed(channel.read(1 << 16))
    return header["type"] == "pong"


def test_agent_answers_after_its_preamble() -> None:
    channel = opened(sys.executable)
    assert bootstrap(channel) == b""
    assert ping(channel)
    channel.close()
    assert channel.read(1) == b""


@pytest.fixture
def long_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent has a minute to end before it is killed, however slow the machine."""
    monkeypatch.setattr("burnish.remote.transport.ENDING_TIMEOUT", 60.0)


def test_agent_that_has_begun_ends_by_itself(tmp_path: Path, long_patience: None) -> None:
    channel = opened(program(tmp_path, f'{sys.executable} "$@"; echo $? >{tmp_path}/code'))
    assert bootstrap(channel) == b"" and ping(channel)
    channel.close()
    assert (tmp_path / "code").read_text() == "0\n"


@pytest.mark.parametrize(
    "noise", ["echo Welcome to gpu1", "head -c 60000 /dev/zero", "printf 'burnish-agent no\\n\\n'"]
)
def test_noise_of_a_login_shell_is_skipped(tmp_path: Path, noise: str) -> None:
    channel = opened(program(tmp_path, f'{noise}; exec {sys.executable} "$@"'))
    assert bootstrap(channel) == b""
    assert ping(channel)
    channel.close()


def test_prepared_agent_is_the_one_that_is_opened_and_the_next_one_is_another() -> None:
    way = LocalTransport(sys.executable)
    way.prepare()
    prepared = way.open()
    assert prepared.nonce and bootstrap(prepared) == b"" and ping(prepared)
    prepared.close()
    again = way.open()
    assert not again.nonce and bootstrap(again) == b"" and ping(again)
    again.close()
    way.close()


def test_who_prepares_waits_for_nobody(tmp_path: Path) -> None:
    way = LocalTransport(program(tmp_path, "exec sleep 100"))
    preparing = threading.Thread(target=way.prepare)
    preparing.start()
    preparing.join(10)
    channel = way.open()
    try:
        assert not preparing.is_alive()
        assert channel.nonce, "it was told"
    finally:
        channel.close()


def test_none_is_prepared_from_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.remote.transport.FOLDER", tmp_path)
    way = LocalTransport(sys.executable)
    way.prepare()
    channel = way.open()
    assert not channel.nonce and bootstrap(channel) == b"" and ping(channel)
    channel.close()


def test_prepared_agent_is_our_own_package_and_finds_nothing_else_beside_it(tmp_path: Path) -> None:
    ours = program(tmp_path, f'printf "%s\\n" "$@" >{tmp_path}/asked; exec {sys.executable} "$@"')
    way = LocalTransport(ours)
    way.prepare()
    channel = way.open()
    assert bootstrap(channel) == b"" and ping(channel)
    channel.close()
    *_, folder, nonce = (tmp_path / "asked").read_text().splitlines()
    assert Path(folder) == FOLDER and nonce == channel.nonce
    program_text = LOADER_HERE.replace("serve(nonce)", "print(folder in sys.path)")
    command = [sys.executable, "-I", "-S", "-c", program_text, str(FOLDER), nonce]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n", "what a job's supervisor imports later is the standard library's"


@pytest.mark.parametrize("broken", ["raise SystemExit(1)", "import burnish_has_no_such_module", "def"])
def test_prepared_agent_that_cannot_begin_is_a_drop_and_the_next_is_sent_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "serving.py").write_text(broken)
    monkeypatch.setattr("burnish.remote.transport.FOLDER", tmp_path)
    way = LocalTransport(sys.executable)
    way.prepare()
    with pytest.raises(HostUnreachable, match="ended before it began"):
        bootstrap(way.open())
    again = way.open()
    assert bootstrap(again) == b"" and ping(again)
    again.close()


def test_prepared_agent_leaves_no_compiled_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(FOLDER / "agent", tmp_path / "agent", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("burnish.remote.transport.FOLDER", tmp_path)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    way = LocalTransport(sys.executable)
    way.prepare()
    channel = way.open()
    assert bootstrap(channel) == b"" and ping(channel)
    channel.close()
    assert not list(tmp_path.rglob("__pycache__"))


def test_prepared_agent_that_nobody_asked_for_is_ended_and_not_waited_for(tmp_path: Path, long_patience: None) -> None:
    way = LocalTransport(program(tmp_path, f"echo $$ >{tmp_path}/pid; exec sleep 100"))
    way.prepare()
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"))
    began = time.monotonic()
    way.close()
    assert time.monotonic() - began < 30
    assert read_process(int((tmp_path / "pid").read_text())) is None


def test_what_was_killed_while_it_was_prepared_is_a_drop_and_is_made_anew(tmp_path: Path) -> None:
    first = f"[ -e {tmp_path}/killed ] || {{ touch {tmp_path}/killed; kill -9 $$; }}"
    way = LocalTransport(program(tmp_path, f'{first}; exec {sys.executable} "$@"'))
    way.prepare()
    with pytest.raises(HostUnreachable):
        bootstrap(way.open())
    again = way.open()
    assert bootstrap(again) == b"" and ping(again)
    again.close()


def test_what_cannot_be_prepared_is_told_to_who_opens_it(tmp_path: Path) -> None:
    way = LocalTransport(f"{tmp_path}/python3")
    way.prepare()
    way.close()
    with pytest.raises(HostRefused, match=f"there is no {tmp_path}/python3"):
        way.open()


def test_too_much_noise_is_a_refusal_that_shows_it(tmp_path: Path) -> None:
    channel = opened(program(tmp_path, "yes 'Welcome to \033[31mgpu1'"))
    with pytest.raises(HostRefused, match="your shell prints on login") as refusal:
        bootstrap(channel)
    assert r"Welcome to \x1b[31mgpu1" in str(refusal.value)
    channel.close()


def test_login_shell_that_takes_its_time_is_told_from_one_that_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = program(tmp_path, "exec sleep 100")
    for patience, said in (
        (0.0, "its login shell has not come to run burnish's agent within "),
        (100.0, "ended before"),
    ):
        monkeypatch.setattr("burnish.remote.transport.SLOW_LOGIN", patience)
        channel = opened(slow)
        threading.Timer(0.3, channel.close).start()
        with pytest.raises(HostUnreachable, match=said):
            bootstrap(channel)


def test_python_that_is_too_old_says_its_version(tmp_path: Path) -> None:
    """The same loader under a Python that calls itself 3.6.15."""
    old = "import sys; sys.version_info = (3, 6, 15); exec(sys.argv[1])"
    channel = opened(program(tmp_path, f"exec {sys.executable} -c '{old}' \"$4\""))
    with pytest.raises(HostRefused, match=r"its Python is 3\.6\.15, and burnish needs 3\.8 or newer"):
        bootstrap(channel)
    channel.close()


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo 'bash: python3: command not found' >&2; exit 127", "exit 127: bash: python3: command not found"),
        (
            "printf 'Traceback (most...)\n  File\nModuleNotFoundError: no x\n' >&2; exit 1",
            "it needs python 3.8 or newer",
        ),
        ("exit 3", "exit 3, without a word"),
        ("exit 0", "exit 0, without a word"),
    ],
)
def test_what_cannot_run_an_agent_is_refused_in_its_own_words(tmp_path: Path, script: str, sentence: str) -> None:
    channel = opened(program(tmp_path, script))
    with pytest.raises(HostRefused, match=re.escape(sentence)):
        bootstrap(channel)
    channel.close()


def test_missing_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostRefused, match=f"there is no {tmp_path}/python3"):
        opened(f"{tmp_path}/python3")
    (tmp_path / "python3").touch()
    with pytest.raises(HostRefused, match="Permission denied"):
        opened(f"{tmp_path}/python3")


def test_python_that_cannot_be_run_for_the_moment_is_no_refusal(tmp_path: Path) -> None:
    """As when there is no memory for another process."""
    python = program(tmp_path, f'exec {sys.executable} "$@"')
    with (
        open(python, "a"),
        pytest.raises(HostUnreachable, match="cannot be run now"),
    ):  # whoever writes to it keeps it from running
        opened(python)
    opened(python).close()


def test_loader_that_is_killed_is_a_drop_and_no_refusal(tmp_path: Path) -> None:
    channel = opened(program(tmp_path, "kill -9 $$"))
    with pytest.raises(HostUnreachable):
        bootstrap(channel)
    channel.close()


def test_agent_that_breaks_is_a_drop_and_no_refusal() -> None:
    channel = opened(sys.executable)
    bootstrap(channel)
    channel.write(bytes([0xFF] * 8))
    assert channel.read(1) == b""
    channel.close()


def test_damaged_source_is_not_run() -> None:
    channel = opened(sys.executable)
    channel.write(b'{"size": 8, "sha256": "00", "nonce": "x"}\n' + bytes.fromhex("789c030000000001"))
    with pytest.raises(HostRefused, match="the agent arrived damaged"):
        channel.read(1)
    channel.close()


def test_killed_agent_is_a_drop_for_who_reads_and_who_writes() -> None:
    channel = opened(sys.executable)
    bootstrap(channel)
    os.kill(channel.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    with pytest.raises(HostUnreachable, match="a signal"):
        channel.read(1)
    with pytest.raises(HostUnreachable):
        channel.write(b"x")
    channel.close()


def test_close_wakes_a_reader_and_a_writer_although_the_agent_hangs() -> None:
    channel = opened(sys.executable)
    bootstrap(channel)
    os.kill(channel.pid, signal.SIGSTOP)  # type: ignore[attr-defined]
    heard: list[object] = []

    def write() -> None:
        try:
            channel.write(bytes(1 << 20))
        except HostUnreachable as error:
            heard.append(error)

    threads = [threading.Thread(target=write), threading.Thread(target=lambda: heard.append(channel.read(1)))]
    for thread in threads:
        thread.start()
    channel.close()
    channel.close()
    for thread in threads:
        thread.join(10)
    assert len(heard) == 2 and b"" in heard


def test_agent_is_out_of_reach_of_the_terminal_and_ends_with_its_input(long_patience: None) -> None:
    channel = opened(sys.executable)
    bootstrap(channel)
    assert isinstance(channel, LocalChannel)
    assert os.getsid(channel.pid) == channel.pid != os.getsid(0)
    channel.close()
    assert channel._process.returncode == 0, "it was not killed"
    assert read_process(channel.pid) is None


def test_loader_passes_every_shell_unchanged() -> None:
    assert not re.search(r"['\\!\n]", LOADER) and LOADER.isascii() and LOADER.isprintable()
    for shell in ("sh", "bash"):
        echoed = subprocess.run([shell, "-c", remote_command("echo")], capture_output=True, check=True, text=True)
        assert echoed.stdout == f"-I -S -c {LOADER}\n"
