"""Secrets in the environment are the jobs' alone: no screen, table, log or command line shows one, and no file keeps it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.gated import Gated
from tests.support.hosts import Bench
from tests.support.waiting import wait_for

# Where each comes from. The word is nowhere else in the sources, or in anybody's command line.
INVENTORY, RUNNER, CALLER = ("hf_canary_of_the_inventory", "hf_canary_of_the_runner", "hf_canary_of_the_caller")
ALL = (INVENTORY, RUNNER, CALLER)
PAUSE = 0.05  # s between two looks at all command lines

RUNNER_FILE = f"""
import burnish
def runner(runner_args, job_dict):
    return burnish.Command(["python3", "job.py"], env={{"WANDB_API_KEY": "{RUNNER}"}})
"""
RUN = ("run", "--hosts", "lab.yaml", "--func", "secret_example.runner")


@pytest.fixture
def table(bench: Bench) -> Iterator[Gated]:
    """Two jobs, with a secret from the inventory and one from their runner function."""
    bench.add("gpu1")
    made = Gated.of(bench, 2)
    made.inventory("gpu1")
    text = (made.folder / "lab.yaml").read_text()
    (made.folder / "lab.yaml").write_text(text.replace("slots: 2", f"slots: 2, env: {{HF_TOKEN: {INVENTORY}}}"))
    (made.folder / "secret_example.py").write_text(RUNNER_FILE)
    yield made
    made.stop()


def found_in(data: bytes) -> list[str]:
    return [secret for secret in ALL if secret.encode() in data]


class Onlooker:
    """Somebody who reads all command lines, again and again."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.looks = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(PAUSE):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with suppress(OSError):
                    command = Path("/proc", pid, "cmdline").read_bytes()
                    self.seen |= {f"{secret} in {command!r}" for secret in found_in(command)}
            self.looks += 1


@contextmanager
def an_onlooker() -> Iterator[Onlooker]:
    made = Onlooker()
    try:
        yield made
    finally:
        made.end()


def on_a_terminal(table: Gated, *arguments: str) -> bytes:
    """All that a command writes to its terminal."""
    ours, theirs = pty.openpty()
    environment = {**table.environment, "AWS_SECRET_ACCESS_KEY": CALLER, "TERM": "xterm", "BURNISH_VIEWER": "cat"}
    process = subprocess.Popen(
        [sys.executable, "-m", "burnish", *arguments],
        cwd=table.folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):  # EIO: nobody has the other end open any more
        while data := os.read(ours, 1 << 16):
            said += data
    os.close(ours)
    assert process.wait(60) in (0, 1) and said and b"Traceback" not in said, (arguments, said)
    return said


def kept(*folders: Path) -> dict[str, tuple[int, list[str]]]:
    """Files that hold a secret -> their mode, and which."""
    found: dict[str, tuple[int, list[str]]] = {}
    listed = (Path(name, file) for folder in folders for name, _, files in os.walk(folder) for file in files)
    for path in listed:
        if path.name.startswith("secret_example.") and path.parent.name == "__pycache__":
            continue
        with suppress(FileNotFoundError):  # a run is at work, whose files come and go
            if path.is_file() and (secrets := found_in(path.read_bytes())):
                found[str(path)] = (path.stat().st_mode & 0o777, secrets)
    return found


def test_secrets_of_hosts_and_commands_are_seen_by_their_jobs_alone(bench: Bench, table: Gated) -> None:
    host = bench.hosts["gpu1"]
    own = {str(table.folder / "lab.yaml"), str(table.folder / "secret_example.py")}
    said: dict[tuple[str, ...], bytes] = {}
    looks = (
        ("status",), ("status", "--json"), ("status", "--hosts", "lab.yaml"), ("hosts", "lab.yaml"),
        ("hosts", "lab.yaml", "--json"),
        ("hosts", "lab.yaml", "--list"), ("hosts", "lab.yaml", "--list", "--json"), ("check", "lab.yaml"), ("explain", "0"),
        ("view", "0"),
    )  # fmt: skip
    with an_onlooker() as onlooker:
        said[("dry run",)] = on_a_terminal(table, *RUN, "--dry_run")
        run = threading.Thread(target=lambda: said.update({("run",): on_a_terminal(table, *RUN, "-v")}))
        run.start()
        table.wait_running(2)
        environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in host.processes()]
        assert sorted(map(found_in, environments))[-2:] == [[INVENTORY, RUNNER]] * 2, "the jobs have theirs"
        assert sum(map(bool, map(found_in, environments))) == 2, "and nobody else has"
        for path, (mode, secrets) in kept(table.folder, host.home, host.folder / "var_tmp").items():
            assert path in own or (path.endswith("/spec.json") and mode == 0o600 and CALLER not in secrets), path
        with ThreadPoolExecutor(3) as people:
            said.update(zip(looks, people.map(lambda look: on_a_terminal(table, *look), looks), strict=True))
        table.open(0, 1)
        run.join(60)
        said[("the end",)] = on_a_terminal(table, "view", "0", "--meta") + on_a_terminal(table, "results")
    assert onlooker.seen == set() and onlooker.looks > 20
    assert {command: found_in(screen) for command, screen in said.items() if found_in(screen)} == {}
    assert b"WANDB_API_KEY=***" in said[("dry run",)] and b"HF_TOKEN: ***" in said["hosts", "lab.yaml", "--list"]
    assert {job["state"] for job in table.status().values()} == {"COMPLETE"}
    wait_for(lambda: set(kept(table.folder, host.home, host.folder)) == own, lambda: kept(table.folder, host.home))


@pytest.mark.parametrize("detached", [False, True], ids=["attached", "detached"])
def test_secrets_of_the_caller_go_from_environment_to_environment(detached: bool) -> None:
    """Jobs here inherit the run's environment; on the way it is written nowhere."""
    table = Gated.of(None, 1)
    table.open(0)
    (table.folder / "job.py").write_text("import os; print(os.environ['AWS_SECRET_ACCESS_KEY'].upper())")
    try:
        with an_onlooker() as onlooker:
            words = ("run", "--command", "python3 job.py", *(["--detach"] if detached else []))
            said = on_a_terminal(table, *words)
            wait_for(lambda: table.status()[0]["state"] == "COMPLETE", table.status)
            said += on_a_terminal(table, "view", "0", "--meta")
        assert CALLER.upper() in table.burnish("view", "0").stdout, "the job has it"
        assert found_in(said) == [] and onlooker.seen == set()
        wait_for(lambda: kept(table.folder) == {}, lambda: kept(table.folder))
    finally:
        table.stop()
