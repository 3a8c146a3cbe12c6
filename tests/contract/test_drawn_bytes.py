"""Words, variables, folders and cells drawn from all bytes but NUL reach their jobs as they are, past all that would read them.

Hundreds of jobs of one run, over one connection to each of five sshds whose accounts have five login shells. A job tells what the
kernel gave it. Much of what is drawn means something to a shell, to make or to Python: it would touch a canary.

BURNISH_TEST_BYTES=SEED,EACH draws other ones, EACH of them for every shell; without it, 300 for bash and some for the others.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.support.hosts import Bench
from tests.support.removing import remove_with_tenants

ASKED = os.environ.get("BURNISH_TEST_BYTES")
SEED, EACH = map(int, ASKED.split(",")) if ASKED else (0, 0)
SHELLS = {"bash": EACH or 300, **dict.fromkeys(("dash", "zsh", "fish", "tcsh"), EACH or 10)}
TEMPLATE_JOBS = 40  # that run a second time, by a template
SHELL_WITH_SETUP = "dash"  # past bash, too, on that host
LONG = 100_000  # bytes

RUNNER = """
import json, os
import burnish
drawn = json.load(open("drawn.json"))
def text(data):
    return os.fsdecode(bytes.fromhex(data))
def runner(runner_args, job_dict):
    job = drawn[int(job_dict["JOB_ID"])]
    words = [*map(text, job["words"]), job_dict["first"], job_dict["second"]]
    env = {text(name): text(value) for name, value in job["env"]}
    return burnish.Command(["python3", "-S", os.path.abspath("echo.py"), *words], env=env, cwd=text(job["cwd"]))
"""
ECHO = """
import json, os
told = {name: open("/proc/self/" + name, "rb").read().hex() for name in ("cmdline", "environ")}
print(json.dumps({**told, "cwd": os.getcwdb().hex()}))
"""

MARKS = [*(bytes([mark]) for mark in b"'\"$`\n!%\\*?[]{}()<>|&;#~=-,@^\t "), b"--", b"\r\n"]
# What each has at D would be run by somebody.
INJECTED = (
    "$(D)", "`D`", "; D #", "'; D '", '"; D "', "\nD\n", "| D", "& D &", "&& D", "|| D", "<(D)", "{D}", "(D)", "\\\nD", "$((D))",
    "${x:-$(D)}", "!D", "-oProxyCommand=D", "--eval=D", "%(D)s", "'$(D)'", '"`D`"', "\r\nD\r\n", "__import__('os').system('D')",
    "!!python/object/apply:os.system ['D']", "=cmd|'D'!A1", "\x1b]0;D\x07",
)  # fmt: skip
PLACEHOLDERS = ["{first}", "{second}", "{{", "}}", "{}", "%s", "%(first)s", "$1", '"$@"']


@dataclass(frozen=True)
class Drawn:
    """What one job is given. The cells are Unicode, as tables are."""

    words: list[bytes]
    env: dict[bytes, bytes]
    cwd: bytes
    cells: tuple[str, str]


class Draw:
    """Draws jobs; `deed` is the shell's command that must not be run."""

    def __init__(self, random: Random, deed: str) -> None:
        self._random = random
        self._injected = [text.replace("D", deed).encode() for text in INJECTED]

    def job(self, folder: bytes) -> Drawn:
        words = [self.data() for _ in range(self._random.randrange(6))]
        env = {b"v" + self.data(60).replace(b"=", b"-"): self.data() for _ in range(self._random.randrange(4))}
        cwd = folder + b"/" + self.data(254).replace(b"/", b"_") + b"d"
        return Drawn(words, env, cwd, (self.cell(), self.cell(20_000)))

    def data(self, most: int = LONG) -> bytes:
        """Bytes without a NUL."""
        pieces = b"".join(self._piece() for _ in range(self._random.choice((0, 1, 1, 2, 3, 5, 9))))
        if pieces and most == LONG and self._random.random() < 0.02:
            pieces *= LONG // len(pieces)
        if self._random.random() < 0.1:
            pieces = b"-" + pieces
        return pieces[:most]

    def cell(self, most: int = LONG) -> str:
        """Text without a NUL; the table refuses a carriage return that is alone."""
        text = self.data(most).decode(errors="ignore")
        return text.replace("\r\n", "\0").replace("\r", "").replace("\0", "\r\n")

    def _piece(self) -> bytes:
        match self._random.randrange(6):
            case 0 | 1:
                return self._random.choice(MARKS) * self._random.choice((1, 1, 1, 2, 7))
            case 2:
                return self._random.choice(self._injected)
            case 3:
                return self._random.choice(PLACEHOLDERS).encode()
            case 4:
                return bytes(self._random.randrange(1, 256) for _ in range(self._random.randrange(1, 12)))
            case _:
                code = self._random.choice(
                    (self._random.randrange(1, 0xD800), self._random.randrange(0xE000, 0x110000))
                )
                return chr(code).encode()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the hosts' account may write: pytest's own folders are closed to others."""
    made = Path(tempfile.mkdtemp(prefix="burnish-test-"))
    for path in (made, made / "home", made / "work"):
        path.mkdir(exist_ok=True)
        path.chmod(0o777)
    yield made
    remove_with_tenants(made)


def burnish(folder: Path, *arguments: str) -> str:

    done = subprocess.run(
        [sys.executable, "-m", "burnish", *arguments],
        cwd=folder,
        env={**os.environ, "HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=100 + EACH,
    )
    assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr[-5000:]}"
    return done.stdout


def told(folder: Path, job: int) -> tuple[list[bytes], dict[bytes, bytes], bytes]:
    """The argv, environment and folder that the newest run of a job was given."""
    log = max((folder / "burnish_log").glob(f"*/*_job_{job}.log"))
    seen = {name: bytes.fromhex(data) for name, data in json.loads(log.read_text()).items()}
    pairs = (pair.partition(b"=") for pair in seen["environ"].split(b"\0"))
    return seen["cmdline"].split(b"\0")[:-1], {name: value for name, _, value in pairs}, seen["cwd"]


def rows(folder: Path) -> list[tuple[str, str]]:
    with (folder / "burnish.db").open(newline="", encoding="utf-8") as file:
        return [(row["first"], row["second"]) for row in csv.DictReader(file, strict=True)]


def test_what_is_drawn_from_all_bytes_reaches_its_job_through_every_shell(bench: Bench, folder: Path) -> None:
    for shell in SHELLS:
        bench.add(f"with-{shell}", shell=shell)
    random = Random(SEED)
    draw = Draw(random, f"touch {folder}/canary")
    hosts = [host for shell, count in SHELLS.items() for host in [f"with-{shell}"] * count]
    jobs = [draw.job(os.fsencode(folder / "work")) for _ in hosts]
    for job in jobs:
        os.makedirs(job.cwd, exist_ok=True)
    of_bash = 'setup: "export SET_UP=1"'
    entries = "".join(f"  with-{shell}: {{{of_bash * (shell == SHELL_WITH_SETUP)}}}\n" for shell in SHELLS)
    defaults = f"ssh_config: {bench.config}, gpus: none, slots: 4"
    (folder / "lab.yaml").write_text(f"defaults: {{{defaults}}}\nhosts:\n{entries}")
    (folder / "echo.py").write_text(ECHO)
    (folder / "drawn_example.py").write_text(RUNNER)
    drawn = [
        {
            "words": [word.hex() for word in job.words],
            "env": [[name.hex(), value.hex()] for name, value in job.env.items()],
            "cwd": job.cwd.hex(),
        }
        for job in jobs
    ]
    (folder / "drawn.json").write_text(json.dumps(drawn))
    with (folder / "jobs.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("HOSTS", "first", "second"), *((host, *job.cells) for host, job in zip(hosts, jobs, strict=True))]
        )
    before = {path.name for path in folder.iterdir()}

    burnish(folder, "create", "--csv", "jobs.csv")
    burnish(folder, "run", "--hosts", "lab.yaml", "--func", "drawn_example.runner")
    for number, job in enumerate(jobs):
        argv, environment, cwd = told(folder, number)
        where = f"job {number} on {hosts[number]}; BURNISH_TEST_BYTES={SEED},{EACH}"
        assert argv[3:] == [*job.words, *(cell.encode() for cell in job.cells)], where
        assert {name: environment.get(name) for name in job.env} == job.env, where
        assert cwd == job.cwd, where
        assert (environment.get(b"SET_UP") == b"1") == (hosts[number] == f"with-{SHELL_WITH_SETUP}"), where
    assert rows(folder) == [job.cells for job in jobs], "the table was read, and written"

    some = random.sample(range(len(jobs)), TEMPLATE_JOBS)
    burnish(folder, "reset", "--yes", "--job_id", ",".join(map(str, some)))
    template = f"python3 -S {folder}/echo.py begin {{first}} 'a={{second}} {{first}}' end"
    burnish(folder, "run", "--hosts", "lab.yaml", "--command", template)
    for number in some:
        first, second = jobs[number].cells
        words = ["begin", *([first] if first else []), f"a={second} {first}", "end"]
        assert told(folder, number)[0][3:] == [word.encode() for word in words], f"job {number}; seed {SEED}"
    assert rows(folder) == [job.cells for job in jobs]

    made = {path.name for path in folder.iterdir()} - before
    assert made - {"__pycache__"} == {"burnish.db", ".burnish", "burnish_log"}, "something that was drawn was run"
    assert [job.cwd for job in jobs if os.listdir(job.cwd)] == []
    for host in bench.hosts.values():
        assert set(os.listdir(host.home)) <= {".ssh", ".burnish", ".cache", ".config", ".local"}, host.name
