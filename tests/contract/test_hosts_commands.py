"""Commands about hosts, on real sshds: what they show of a host, what they tell it, and how they reach it without a run."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support import gpus
from tests.support.gated import Gated
from tests.support.hosts import ACCOUNT, UID, Bench, RemoteHost
from tests.support.proc import alive, command_line
from tests.support.removing import remove
from tests.support.waiting import wait_for


@pytest.fixture
def table(bench: Bench) -> Iterator[Gated]:
    """Six gated jobs, one host `gpu1` with two slots."""
    bench.add("gpu1")
    made = Gated.of(bench, 6)
    made.inventory("gpu1")
    yield made
    made.stop()


def shown(table: Gated, *arguments: str) -> dict[str, Any]:
    """`burnish hosts --json` by host."""
    page = json.loads(table.burnish("hosts", *arguments, "--json").stdout)
    return {host["name"]: host for host in page["hosts"]}


# Speaks once more after a silence, and runs on.
SPEAKS_AGAIN = """\
import os, sys, time
def wait_for(gate):
    while not os.path.exists("gates/" + gate):
        time.sleep(0.02)
job = os.environ["BURNISH_JOB_ID"]
with open("ran/" + job, "a") as ran:
    print(file=ran)
print("job", job, flush=True)
wait_for("again")
print("again", flush=True)
wait_for(job)
"""


def watched(host: RemoteHost) -> int:
    """How many logs the kernel watches there for agents."""
    count = 0
    for pid in host.processes():
        for file in Path(f"/proc/{pid}/fdinfo").glob("*"):  # none of one that has just ended
            with suppress(OSError):
                count += file.read_text().count("inotify wd:")
    return count


@pytest.mark.parametrize("who", ["a run", "a look"])
def test_line_after_a_silence_is_at_home_at_once(bench: Bench, table: Gated, who: str) -> None:
    """Nobody asks for it within minutes: the host tells of it."""
    (table.folder / "job.py").write_text(SPEAKS_AGAIN)
    if who == "a run":
        table.run("--num_jobs", "1")
        table.wait_running(1)
    else:
        table.orphan(1)
        table.start("view", "0", "--follow", into="follow.txt")

    def at_home() -> str:
        return "".join(log.read_text() for log in (table.folder / "burnish_log" / "burnish").glob("*_job_0.log"))

    wait_for(lambda: at_home() == "job 0\n" and watched(bench.hosts["gpu1"]) == 2, at_home)
    (table.folder / "gates" / "again").touch()
    wait_for(lambda: at_home() == "job 0\nagain\n", at_home)
    if who == "a look":
        wait_for(lambda: "\nagain\n" in table.said("follow.txt"), lambda: table.said("follow.txt"))
    table.open(0)


# -- what is shown -------------------------------------------------------------------------------------------------


def test_hosts_shows_every_gpu_and_who_is_on_it(bench: Bench, table: Gated, tmp_path: Path) -> None:
    cards = gpus.cards(3)
    cards[1].used, cards[1].util = 30000, 97
    gpus.write(tmp_path / "cards", cards)
    bench.add("gpu2", gpus=tmp_path / "cards")
    table.inventory("gpu2", gpus="[0]", slots=0)
    table.run("--num_jobs", "1")
    table.wait_running(1)
    table.inventory("gpu2", gpus="auto", slots=0)
    host = shown(table, "lab.yaml")["gpu2"]
    assert [(gpu["index"], gpu["memory_total"], gpu["util"]) for gpu in host["gpus"]] == [
        (0, gpus.MEMORY, 0), (1, gpus.MEMORY, 97), (2, gpus.MEMORY, 0),
    ]  # fmt: skip
    assert [gpu["jobs"] for gpu in host["gpus"]] == [[0], [], []]
    assert [gpu["free"] for gpu in host["gpus"]] == [False, False, True]
    free = table.burnish("hosts", "lab.yaml", "--free").stdout
    assert [line.split()[:2] for line in free.splitlines() if line.startswith("gpu2")] == [["gpu2", "2"]]
    text = table.burnish("hosts", "lab.yaml").stdout
    assert text.splitlines()[0] == "1 host: 3 GPUs, 1 free"
    assert "29.3/47 GiB" in text and gpus.NAME in text
    table.open(0)


def test_silent_host_is_a_row_with_its_sentence(bench: Bench, table: Gated) -> None:
    bench.add("gpu2", known=False)
    bench.add("gone").switch_off()
    table.inventory("gpu1", "gpu2", "gone")
    hosts = shown(table, "lab.yaml")
    assert [host["reached"] for host in hosts.values()] == [True, False, False]
    assert "host key is not known" in hosts["gpu2"]["trouble"] and "accept-new" in hosts["gpu2"]["hint"]
    assert "tried again" not in hosts["gone"]["trouble"] and "unreachable" in hosts["gone"]["trouble"]
    page = table.burnish("status", "--hosts", "lab.yaml").stdout
    assert "gone" in page and page.index("gone") < page.index("JOB_ID")
    assert "6 jobs: 6 NOT_RUNNING" in page
    assert [host["name"] for host in json.loads(table.burnish("status", "--hosts", "lab.yaml", "--json").stdout)["hosts"]] == [
        "gpu1", "gpu2", "gone",
    ]  # fmt: skip
    table.inventory("gone")
    table.burnish("hosts", "lab.yaml", code=3)


def test_status_of_hosts_counts_slots_of_this_table(table: Gated) -> None:
    table.run("--num_jobs", "2")
    table.wait_running(2)
    page = table.burnish("status", "--hosts", "lab.yaml").stdout
    row = next(line for line in page.splitlines() if line.startswith("gpu1"))
    assert row.split()[1:3] == ["up", "2/2"]
    assert "2 RUNNING" in page
    without = table.burnish("hosts", "--json").stdout
    assert json.loads(without)["hosts"][0]["jobs"] == [0, 1], "claims say how to reach the host"
    table.open(0, 1)


def test_list_asks_nobody(table: Gated) -> None:
    (table.folder / "lab.yaml").write_text(
        "defaults: {slots: 2, env: {A: b}}\ngroups: {desk: {vars: {slots: 3}, hosts: [nowhere1, nowhere2]}}\n"
    )
    listed = json.loads(table.burnish("hosts", "lab.yaml", "--list", "--json").stdout)["hosts"]
    assert [(host["name"], host["groups"], host["slots"], host["env"]) for host in listed] == [
        ("nowhere1", ["desk"], 3, {"A": "b"}),
        ("nowhere2", ["desk"], 3, {"A": "b"}),
    ]
    only = table.burnish("hosts", "lab.yaml", "--list", "--limit", "*1").stdout
    assert "nowhere1" in only and "nowhere2" not in only
    table.burnish("hosts", "--list", code=2)


# -- check ---------------------------------------------------------------------------------------------------------


def checked(table: Gated, *arguments: str, code: int = 0) -> dict[str, dict[str, Any]]:
    page = json.loads(table.burnish("check", *arguments, "--json", code=code).stdout)
    return {subject["name"]: subject for subject in page["checked"]}


def texts(subject: dict[str, Any]) -> str:
    return "; ".join(finding["text"] for finding in subject["findings"])


def test_check_of_a_healthy_host_leaves_nothing_running(bench: Bench, table: Gated) -> None:
    bench.add("gpu2", through="gpu1")
    table.inventory("gpu1", "gpu2")
    found = checked(table, "lab.yaml")
    assert found["burnish.db"]["usable"] and "6 jobs" in texts(found["burnish.db"])
    for name in ("gpu1", "gpu2"):
        told = texts(found[name])
        assert found[name]["usable"]
        for part in (
            "host key known",
            "Python 3.",
            f"work folder {table.folder}",
            "GiB free",
            "clock right",
            "survive logout",
        ):
            assert part in told, (part, told)
    assert "reached via gpu1" in texts(found["gpu2"]) and "via" not in texts(found["gpu1"])
    assert [kept(host) for host in bench.hosts.values()] == [[], []]


def test_check_names_what_is_wrong_and_the_remedy(bench: Bench, table: Gated) -> None:
    bench.add("old", without="python")
    bench.add("stranger", known=False)
    bench.add("twin")
    bench.configure(
        f"Host alias\n  HostName {bench.hosts['twin'].address}\n  Port {bench.hosts['twin'].port}\n  User {ACCOUNT}\n"
    )
    table.inventory("gpu1", "old", "stranger", "twin", "alias")
    found = checked(table, "lab.yaml", code=3)
    assert {name: subject["usable"] for name, subject in found.items() if name != "burnish.db"} == {
        "gpu1": True, "old": False, "stranger": False, "twin": True, "alias": False,
    }  # fmt: skip
    assert "python3" in texts(found["old"]) and found["old"]["findings"][0]["remedy"]
    assert "host key is not known" in texts(found["stranger"])
    assert "same host as twin" in texts(found["alias"])
    home = bench.hosts["twin"].home
    remove(home / ".burnish")
    os.chown(home, 0, 0)
    found = checked(table, "lab.yaml", "--limit", "twin", code=3)
    assert texts(found["twin"]) == f"its agent cannot work there: /home/{ACCOUNT}/.burnish: Permission denied."
    assert "`state_dir:`" in found["twin"]["findings"][0]["remedy"]
    table.folder.joinpath("lab.yaml").write_text(
        f"defaults: {{ssh_config: {bench.config}, gpus: none, workdir: /nowhere/at/all}}\nhosts: [gpu1]\n"
    )
    found = checked(table, "lab.yaml", code=3)
    assert "work folder /nowhere/at/all does not exist" in texts(found["gpu1"])


def test_check_tries_the_setup_of_each_host(bench: Bench, table: Gated) -> None:
    where = f"defaults: {{ssh_config: {bench.config}, gpus: none, workdir: {table.folder}}}"
    setups = ("echo no env rl >&2; exit 7", "[ $MODE = fast ] && touch setup_was_here")
    for setup, code in zip(setups, (3, 0), strict=True):
        entry = f"gpu1: {{setup: '{setup}', env: {{MODE: fast}}}}"
        table.folder.joinpath("lab.yaml").write_text(f"{where}\nhosts:\n  {entry}\n")
        found = checked(table, "lab.yaml", code=code)["gpu1"]
        failed = [finding for finding in found["findings"] if "setup" in finding["text"]]
        assert len(failed) == 1 and found["usable"] is (code == 0), found
        if code:
            assert (
                failed[0]["text"] == "its setup ended with 7: no env rl" and "`setup:` of gpu1" in failed[0]["remedy"]
            )
    assert (table.folder / "setup_was_here").exists()
    assert kept(bench.hosts["gpu1"]) == []


def test_check_sees_that_jobs_end_with_the_connection(bench: Bench, table: Gated) -> None:
    """A host that kills what a session leaves behind, as logind does with KillUserProcesses=yes."""
    reaper = "/home/gpus/reap"
    host = bench.hosts["gpu1"]
    (host.gpus / "reap").write_text('#!/bin/sh\n/bin/sh -c "$SSH_ORIGINAL_COMMAND"\nkill -KILL -1\n')
    (host.gpus / "reap").chmod(0o755)
    host.options += (f"ForceCommand {reaper}",)
    host.stop()
    config = host.folder / "sshd_config"
    config.write_text(f"ForceCommand {reaper}\n" + config.read_text())
    host.start()
    found = checked(table, "lab.yaml", code=3)
    assert "jobs end with the connection" in texts(found["gpu1"])
    assert any("enable-linger" in (finding["remedy"] or "") for finding in found["gpu1"]["findings"])


def test_check_warns_of_an_inventory_that_others_may_write(table: Gated) -> None:
    (table.folder / "lab.yaml").chmod(0o644)
    assert "lab.yaml" not in checked(table, "lab.yaml")
    (table.folder / "lab.yaml").chmod(0o666)
    found = checked(table, "lab.yaml")
    assert "may be changed by anyone (mode 0666)" in texts(found["lab.yaml"])
    os.chown(table.folder / "lab.yaml", UID, UID)
    assert "belongs to another user" in texts(checked(table, "lab.yaml")["lab.yaml"])
    table.open(*range(6))
    said = table.burnish("run", "--hosts", "lab.yaml", "--command", "python3 job.py").stderr
    assert said.count("Whoever can write to it can run commands as you.") == 1, "and so does a run"


def test_missing_ssh_program_is_told_once_for_all_hosts(bench: Bench, table: Gated) -> None:
    """Then ssh's configuration counts for nothing, whatever it includes and matches; the inventory says it all."""
    bench.add("gpu2")
    home = table.folder / "home" / ".ssh"
    home.mkdir()
    (home / "id_ed25519").write_bytes(bench.key.read_bytes())
    (home / "known_hosts").write_bytes(bench.known_hosts.read_bytes())
    (table.folder / "bin").mkdir()
    (table.folder / "bin" / "python3").symlink_to(sys.executable)
    entries = [f"{h.name}: {{hostname: {h.address}, port: {h.port}, user: {ACCOUNT}}}" for h in bench.hosts.values()]
    (table.folder / "lab.yaml").write_text(
        f"defaults: {{gpus: none, workdir: {table.folder}}}\nhosts: {{{', '.join(entries)}}}\n"
    )
    table.open(*range(6))
    no_ssh = {"PATH": str(table.folder / "bin")}
    done = table.burnish("run", "--hosts", "lab.yaml", "--command", "python3 job.py", env=no_ssh)
    assert done.stderr.count("There is no ssh program here to read the ssh configuration with") == 1
    assert "must stand in the inventory" in done.stderr and "6 of 6 done" in done.stderr


def test_check_of_files(table: Gated) -> None:
    (table.folder / "grid.yaml").write_text("--lr: [1, 2, 3]\n")
    assert "3 jobs" in texts(checked(table, "--yaml", "grid.yaml")["grid.yaml"])
    (table.folder / "lab.yaml").write_text("hosts: {gpu1: {slot: 3}}\n")
    assert "lab.yaml:1" in table.burnish("check", "lab.yaml", code=2).stderr
    for command in ("check", "hosts"):
        asked = table.burnish(command, "--db_file", "none.db", code=2).stderr
        assert "Which hosts? There is no table none.db here" in asked and f"burnish {command} hosts/lab.yaml" in asked


# -- what hosts are told -------------------------------------------------------------------------------------------


def test_drained_host_takes_no_new_jobs_and_ends_what_runs(bench: Bench, table: Gated) -> None:
    bench.add("gpu2")
    table.inventory("gpu1", "gpu2", slots=1)
    table.run()
    where = table.wait_running(2)
    assert "left to end" in table.burnish("drain", "gpu1", "--reason", "fan is broken").stderr
    wait_for(lambda: "gpu1 is drained (fan is broken)" in table.said(), table.said)
    [on_drained] = [job for job, host in where.items() if host == "gpu1"]
    [other] = [job for job, host in where.items() if host == "gpu2"]
    table.open(on_drained)
    wait_for(lambda: table.status()[on_drained]["state"] == "COMPLETE")
    table.open(other)
    wait_for(lambda: 2 in table.running_jobs(), table.said)
    assert table.running_jobs() == {2: "gpu2"}
    assert "Drained: gpu1 (fan is broken)" in table.burnish("status").stdout
    assert "gpu1 takes no new jobs: it is drained (fan is broken)." in table.burnish("explain", "5").stdout
    table.burnish("undrain", "gpu1")
    wait_for(lambda: set(table.running_jobs().values()) == {"gpu1", "gpu2"}, table.said)
    table.open(*range(6))
    assert table.running[-1].wait(60) == 0, table.said()


def test_forget_says_what_it_breaks_and_gives_up_only_that_host(bench: Bench, table: Gated) -> None:
    bench.add("gpu2")
    table.inventory("gpu1", "gpu2", slots=1)
    table.orphan(2)
    [lost] = [job for job, host in table.running_jobs().items() if host == "gpu2"]
    bench.hosts["gpu2"].stop()
    said = table.burnish("forget", "gpu2").stderr
    assert "without its word" in said and "second copy" in said and f"reset --job_id {lost}" in said
    after = table.status()
    assert after[lost]["state"] == "ERROR" and after[lost]["reason"].startswith("LOST: gpu2 was forgotten")
    assert sum(job["state"] == "RUNNING" for job in after.values()) == 1
    assert f"\n{lost},ERROR," in (table.folder / "burnish.db").read_text()
    assert "No job of this table is open on gpu2" in table.burnish("forget", "gpu2", code=2).stderr
    table.open(*range(6))


# -- the inventory changes during a run ----------------------------------------------------------------------------


def test_hosts_come_and_go_with_the_inventory(bench: Bench, table: Gated) -> None:
    bench.add("gpu2")
    table.inventory("gpu1", slots=1)
    run = table.run()
    table.wait_running(1)
    table.inventory("gpu1", "gpu2", slots=1)
    wait_for(lambda: set(table.running_jobs().values()) == {"gpu1", "gpu2"}, table.said)
    (table.folder / "lab.yaml").write_text("hosts: [gpu1, gpu2\n")
    wait_for(lambda: "the hosts stay as they were" in table.said(), table.said)
    table.inventory("gpu2", slots=1)
    wait_for(lambda: "gpu1 is gone and takes no new jobs" in table.said(), table.said)
    table.open(*range(6))
    assert run.wait(60) == 0, table.said()
    ended = table.status()
    assert {job["state"] for job in ended.values()} == {"COMPLETE"}
    assert [job["host"] for job in ended.values()].count("gpu1") == 1, (
        "what ran there was collected, and no more started"
    )


def test_second_name_of_a_host_takes_no_jobs(bench: Bench, table: Gated) -> None:
    host = bench.hosts["gpu1"]
    bench.configure(f"Host alias\n  HostName {host.address}\n  Port {host.port}\n  User {ACCOUNT}\n")
    table.inventory("gpu1", "alias", slots=1)
    run = table.run()
    wait_for(lambda: "alias is the same host as gpu1" in table.said(), table.said)
    table.open(*range(6))
    assert run.wait(60) == 0, table.said()
    names = [job["host"] for job in table.status().values()]
    assert names.count("alias") <= 1, "at most what had started before the other name was reached"
    assert len(names) == names.count("gpu1") + names.count("alias")


# -- without a run, from the claims --------------------------------------------------------------------------------


def test_cancel_reaches_the_host_when_the_run_is_gone(bench: Bench, table: Gated) -> None:
    table.orphan(2)
    pids = bench.hosts["gpu1"].processes()
    assert "stopped after" in table.burnish("cancel", "--job_id", "0").stderr
    after = table.status()
    assert (after[0]["state"], after[0]["reason"]) == ("ERROR", "CANCELLED")
    assert after[1]["state"] == "RUNNING"
    # A process shows no words while it becomes another program, as one that is started by way of a script does.
    wait_for(lambda: sum("job.py" in command_line(pid) for pid in pids if alive(pid)) == 1)
    table.open(1)


def test_cancel_tells_how_long_it_took_whoever_else_is_silent(bench: Bench, table: Gated) -> None:
    bench.add("gpu2")
    table.inventory("gpu1", "gpu2", slots=1)
    table.orphan(2)
    (there,) = [job for job, host in table.running_jobs().items() if host == "gpu2"]
    bench.hosts["gpu2"].stop()
    impatient = "from burnish import session; session.CANCEL_LIMIT = 0; from burnish.cli.main import main; main()"
    cancel = table.start("cancel", "--all", into="cancel.txt", program=impatient)
    assert cancel.wait(60) == 3, "the grace of 10 s was waited for"
    said = table.said("cancel.txt")
    (took,) = re.findall(r"^Job \d is stopped after ([\d.]+) s; no process is left", said, re.MULTILINE)
    assert float(took) < 8, said
    assert f"Job {there} is not seen to end: no word from gpu2." in said


def test_wait_collects_from_hosts_without_an_inventory(table: Gated) -> None:
    table.orphan(2)
    table.burnish("hold", "--job_id", "2-5")
    wait = table.start("wait", into="wait.txt")
    table.open(0, 1)
    assert wait.wait(60) == 0, table.said("wait.txt")
    assert [table.status()[job]["state"] for job in (0, 1)] == ["COMPLETE", "COMPLETE"]


def test_wait_collects_into_another_folder_for_logs(table: Gated) -> None:
    table.orphan(2)
    table.burnish("hold", "--job_id", "2-5")
    wait = table.start("wait", "--log_dir", "elsewhere", into="wait.txt")
    table.open(0, 1)
    assert wait.wait(60) == 0, table.said("wait.txt")
    assert [table.status()[job]["state"] for job in (0, 1)] == ["COMPLETE", "COMPLETE"]


def test_view_fetches_from_the_host_when_no_run_is_going(table: Gated) -> None:
    table.orphan(2)
    for log in (table.folder / "burnish_log" / "burnish").iterdir():
        log.unlink()  # as on another machine, which has the table only
    assert table.burnish("view", "0").stdout == "job 0 on gpu1\n"
    assert table.burnish("view", "1", "--stderr").stdout == "warning of 1\n"
    follower = table.start("view", "0", "--follow", into="follow.txt")
    wait_for(lambda: "job 0" in table.said("follow.txt"), lambda: table.said("follow.txt"))
    table.open(0)
    assert follower.wait(60) == 0
    log, told, end, ended = table.said("follow.txt").splitlines()
    assert (log, end) == ("job 0 on gpu1", "the end of 0")
    assert told.startswith("(No burnish run looks after job 0, so gpu1 is asked") and ended.startswith("(Job 0 has")
    assert table.running_jobs().keys() == {0, 1}, "looking changes nothing in the journal"
    table.open(*range(6))
    assert table.burnish("run", "--hosts", "lab.yaml", "--command", "python3 job.py")
    assert table.burnish("view", "0").stdout == "job 0 on gpu1\nthe end of 0\n"


def test_view_of_a_job_on_a_host_that_is_down_shows_what_is_at_home(bench: Bench, table: Gated) -> None:
    table.orphan(1)
    assert table.burnish("view", "0").stdout == "job 0 on gpu1\n"
    bench.hosts["gpu1"].renew_key()
    done = table.burnish("view", "0")
    assert done.stdout == "job 0 on gpu1\n"
    assert "gpu1" in done.stderr and "what is at home" in done.stderr


def test_view_fetches_from_no_other_machine(bench: Bench, table: Gated) -> None:
    table.orphan(1)
    for log in (table.folder / "burnish_log" / "burnish").iterdir():
        log.write_text("at home\n")
    [state_id] = bench.hosts["gpu1"].home.glob(".burnish/*/state_id")
    state_id.write_text('{"state_id": "of another"}')
    done = table.burnish("view", "0")
    assert done.stdout == "at home\n"
    assert "another machine answers under its name" in done.stderr


# -- clean -------------------------------------------------------------------------------------------------------------


def kept(host: RemoteHost) -> list[str]:
    """What a host keeps of attempts, below its folder for them, once all of burnish has left it."""
    if host.process is not None:
        wait_for(lambda: not host.processes(), lambda: list(map(command_line, host.processes())))
    [attempts] = host.home.glob(".burnish/*/attempts")
    return sorted(str(path.relative_to(attempts)) for path in attempts.rglob("*") if path.name != "look")


def finished(table: Gated) -> None:
    """Every job has run, some on each host."""
    run = table.run()
    table.wait_running(2 * len(table.bench.hosts))
    table.open(*range(6))
    assert run.wait(60) == 0, table.said()
    for host in table.bench.hosts.values():
        kept(host)


def test_clean_reaches_the_hosts_without_an_inventory(bench: Bench, table: Gated) -> None:
    host = bench.add("gpu2")
    table.inventory("gpu1", "gpu2")
    finished(table)
    assert any(path.endswith("final.json") for path in kept(host))
    (table.folder / "lab.yaml").unlink()
    assert table.burnish("clean", "--yes").stderr == "Removed 12 log files. burnish.db is gone.\n"
    for host in bench.hosts.values():
        [mark] = kept(host)
        assert "/" not in mark, "a file for the table, and nothing in it"


def test_clean_names_a_host_that_does_not_answer_and_what_to_do(bench: Bench, table: Gated) -> None:
    bench.add("gpu2")
    table.inventory("gpu1", "gpu2")
    finished(table)
    bench.hosts["gpu2"].switch_off()
    said = table.burnish("clean", "--yes").stderr
    [folder] = {path.split("/")[0] for path in kept(bench.hosts["gpu2"])}
    assert "Network is unreachable. What gpu2 keeps of this table stays there.\n" in said
    assert f"hint: on gpu2: rm -r ~/.burnish/*/attempts/{folder}\n" in said and "gpu1" not in said
    assert not (table.folder / "burnish.db").exists()
    assert kept(bench.hosts["gpu1"]) == [folder]


def test_clean_leaves_another_machine_of_that_name_alone(bench: Bench, table: Gated) -> None:
    finished(table)
    host = bench.hosts["gpu1"]
    before = kept(host)
    [state_id] = host.home.glob(".burnish/*/state_id")
    state_id.write_text('{"state_id": "of another"}')
    assert "gpu1: another machine answers under its name" in table.burnish("clean", "--yes").stderr
    assert kept(host) == before


def test_clean_that_was_interrupted_is_repeated_on_the_hosts(bench: Bench, table: Gated) -> None:
    finished(table)
    logs = table.folder / "burnish_log" / "burnish"
    in_the_way = next(logs.glob("*.err"))
    in_the_way.unlink()
    in_the_way.mkdir()
    assert "burnish clean goes on" in table.burnish("clean", "--yes", code=2).stderr
    in_the_way.rmdir()
    assert table.burnish("clean", "--yes").stderr.endswith("burnish.db is gone.\n")


def test_clean_says_what_still_runs_on_a_host_that_was_forgotten(bench: Bench, table: Gated) -> None:
    table.orphan(1)
    table.burnish("forget", "gpu1")
    said = table.burnish("clean", "--yes").stderr
    assert "gpu1: job 0 still runs there. What gpu1 keeps of this table stays there.\n" in said
    table.open(0)


# -- explain -------------------------------------------------------------------------------------------------------


def test_explain_names_the_run_that_is_gone(table: Gated) -> None:
    table.orphan(1)
    running, waiting = table.burnish("explain", "0").stdout, table.burnish("explain", "--job_id", "3").stdout
    assert "Attempt 0.1 was started on gpu1 as pid" in running and "The run that looked after it (pid" in running
    assert "No burnish run is going" in waiting and "2 waiting jobs start before it" in waiting
    table.burnish("explain", code=2)
    table.burnish("explain", "99", code=2)
    table.open(0)
