"""Every byte but NUL there and back: arguments, environment and folder past each login shell, output home through the links."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hosts import Bench
from tests.support.removing import remove_with_tenants

# The shells, and the file that each reads when sshd runs a command with it: dash reads none.
SHELLS = {
    "bash": ".bashrc",
    "dash": ".profile",
    "zsh": ".zshenv",
    "fish": ".config/fish/config.fish",
    "tcsh": ".tcshrc",
}
NOISE = "echo Welcome, last login was yesterday\necho 'perl: warning: Setting locale failed.'\n"

EVERY = bytes(range(1, 256))
WORDS = [
    b"", b" ", b"-n", b"--", b"-\xff", EVERY, EVERY[::-1], b"a\nb\r\n", b"'", b'"', b"\\", b"\\'\\\"\\\\n",
    b"$HOME", b"`id`", b"$(id)", b"!!", b"*", b"~", b"%s", b"{a,b}", b"; rm -rf ~ #", b"\xff\xfe",
    "\u00e9 \U0001f600 \u202e".encode(), b"\x1b[2J", b"x" * 100_000,
]  # fmt: skip
# A folder's name holds all but the slash: 254 bytes, of the 255 that file systems allow.
PROJECT = EVERY.replace(b"/", b"")  # where the table is, and the commands are typed
FOLDER = PROJECT[::-1]  # below it, where the jobs work

RUNNER = f"""
import os
import burnish

def runner(runner_args, job_dict):
    words = [os.fsdecode(word) for word in {WORDS!r}]
    folder = os.path.join(os.getcwd(), os.fsdecode({FOLDER!r}))
    return burnish.Command(["python3", "../echo.py", *words], env={{"EVERY": os.fsdecode({EVERY!r})}}, cwd=folder)
"""
# Each host has one slot, and no job ends before every host has one: so each host runs one of them.
ECHO = f"""
import os, sys, time
os.mkdir("../at/" + os.uname().nodename)
while len(os.listdir("../at")) < {len(SHELLS)}:
    time.sleep(0.02)
for word in [*sys.argv[1:], os.environ.get("EVERY", ""), os.getcwd()]:
    sys.stdout.buffer.write(os.fsencode(word) + b"\\0")
sys.stderr.buffer.write(bytes(range(256)) * 1000)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the hosts' account may write: pytest's own folders are closed to others."""
    made = Path(tempfile.mkdtemp(prefix="burnish-test-"))
    project = made / os.fsdecode(PROJECT)
    for path in (made, project, project / "at", project / "home", project / os.fsdecode(FOLDER)):
        path.mkdir(exist_ok=True)
        path.chmod(0o777)
    yield project
    remove_with_tenants(made)


def burnish(folder: Path, *arguments: str) -> bytes:
    command = [sys.executable, "-m", "burnish", *arguments]
    environment = {**os.environ, "HOME": str(folder / "home")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout!r}\n{done.stderr!r}"
    return done.stdout


def test_every_byte_goes_there_and_back_whatever_the_login_shell(bench: Bench, folder: Path) -> None:
    for shell, file in SHELLS.items():
        bench.add(f"with-{shell}", shell=shell, rc={file: NOISE})
    hosts = ", ".join(bench.hosts)
    (folder / "lab.yaml").write_text(
        f"defaults: {{ssh_config: {bench.config}, gpus: none, slots: 1}}\nhosts: [{hosts}]\n"
    )
    (folder / "echo.py").write_text(ECHO)
    (folder / "bytes_example.py").write_text(RUNNER)
    (folder / "jobs.csv").write_text("n\n" + "\n".join(map(str, range(len(SHELLS)))) + "\n")
    burnish(folder, "create", "--csv", "jobs.csv")
    burnish(folder, "run", "--hosts", "lab.yaml", "--func", "bytes_example.runner")
    cwd = os.path.realpath(os.fsencode(folder)) + b"/" + FOLDER
    for number in range(len(SHELLS)):
        [out] = (folder / "burnish_log").glob(f"*/*_job_{number}.log")
        assert out.read_bytes().split(b"\0") == [*WORDS, EVERY, cwd, b""]
        assert out.with_suffix(".err").read_bytes() == bytes(range(256)) * 1000
        assert burnish(folder, "view", str(number)) == out.read_bytes()
    assert sorted(os.listdir(folder / "at")) == sorted(bench.hosts), "each shell had a job"


def test_project_folder_of_any_name_is_the_work_folder_of_its_jobs(bench: Bench, folder: Path) -> None:
    """Where the inventory names no other, jobs work where the command was typed: on hosts, and here."""
    for shell, file in SHELLS.items():
        bench.add(f"with-{shell}", shell=shell, rc={file: NOISE})
    hosts = ", ".join(bench.hosts)
    (folder / "lab.yaml").write_text(
        f"defaults: {{ssh_config: {bench.config}, gpus: none, slots: 1}}\nhosts: [{hosts}]\n"
    )
    (folder / "echo.py").write_text(ECHO.replace("../at", "at"))
    (folder / "jobs.csv").write_text("n\n" + "\n".join(map(str, range(len(SHELLS)))) + "\n")
    burnish(folder, "create", "--csv", "jobs.csv")
    assert b"UNUSABLE" not in burnish(folder, "check", "lab.yaml")
    words = ("--command", "python3 echo.py {n}")
    burnish(folder, "run", "--hosts", "lab.yaml", *words)
    assert sorted(os.listdir(folder / "at")) == sorted(bench.hosts), "each shell had a job"
    here = os.path.realpath(os.fsencode(folder))
    for number in range(len(SHELLS)):
        assert burnish(folder, "view", str(number)).split(b"\0") == [str(number).encode(), b"", here, b""]
    burnish(folder, "reset")
    burnish(folder, "run", "--job_id", "0", "--command", "pwd -P")
    assert burnish(folder, "view", "0") == here + b"\n"
