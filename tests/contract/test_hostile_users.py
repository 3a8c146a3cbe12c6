"""Somebody else has an account where we work: mallory plants what we will need before we do, reads what lies open, takes locks.

What she put there is neither followed nor filled, and the sentence names it; what burnish keeps is closed to her.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from burnish.remote.transport import LocalTransport
from tests.support import gpus
from tests.support.gated import Gated
from tests.support.hosts import Bench, RemoteHost, children
from tests.support.one_host import PYTHON, OneHost, one_host
from tests.support.removing import remove_with_tenants
from tests.support.waiting import wait_for

MALLORY = 4343
CANARY = "hf_canary_0123456789"
KINDS = ("symlink", "directory", "FIFO", "file")

# What mallory can read below some folders, and the command lines that all can see.
SWEEP = """
import json, os, sys
found = []
for top in sys.argv[1:]:
    for folder, folders, files in os.walk(top):
        for name in files:
            path = os.path.join(folder, name)
            try:
                text = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb").read()
            except OSError:
                text = None
            if text is not None or os.access(path, os.W_OK):
                found.append([path, (text or b"").decode("latin-1")])
        for name in folders:
            if os.access(os.path.join(folder, name), os.R_OK | os.X_OK):
                found.append([os.path.join(folder, name) + "/", ""])
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("cmdline", "environ"):
        try:
            found.append(["/proc/" + pid + "/" + name, open("/proc/" + pid + "/" + name, "rb").read().decode("latin-1")])
        except OSError:
            pass
print(json.dumps(found))
"""
AS_MALLORY = ("setpriv", "--reuid", str(MALLORY), "--regid", str(MALLORY), "--clear-groups", "--")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder as /tmp is, and in it `mallorys`, which is hers."""
    made = Path(tempfile.mkdtemp(prefix="burnish-test-"))
    made.chmod(0o1777)
    (made / "mallorys").mkdir()
    os.chown(made / "mallorys", MALLORY, MALLORY)
    (made / "mallorys").chmod(0o777)
    yield made
    remove_with_tenants(made)


def plant(path: Path, kind: str, target: Path) -> None:
    """What mallory puts at `path`, open to everybody."""
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "symlink":
            path.symlink_to(target)
        case "directory":
            path.mkdir()
            path.chmod(0o777)
        case "FIFO":
            os.mkfifo(path, 0o666)
        case "file":
            path.touch()
            path.chmod(0o666)
    os.lchown(path, MALLORY, MALLORY)


def filled(path: Path, target: Path) -> list[Path]:
    """What was made in what mallory planted."""
    inside = [*target.rglob("*"), *(path.rglob("*") if path.is_dir() else ())]
    return [*inside, *([path] if path.is_file() and path.stat().st_size else [])]


def burnish(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(folder / "home")}
    command = [sys.executable, "-m", "burnish", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


# -- beside the table ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".burnish", "burnish_log"])
@pytest.mark.parametrize("kind", KINDS)
def test_folders_of_ours_that_she_put_beside_the_table_are_not_used(shared: Path, name: str, kind: str) -> None:
    (shared / "jobs.csv").write_text("n\n1\n")
    plant(shared / name, kind, shared / "mallorys")
    for command in (("create", "--csv", "jobs.csv"), ("run", "--command", "true"), ("status",)):
        done = burnish(shared, *command)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done
        assert f"{shared / name}: it belongs to user {MALLORY}" in done.stderr and "hint: " in done.stderr
    assert filled(shared / name, shared / "mallorys") == []


def test_a_folder_that_is_hers_alone_is_hers_to_let_us_use(shared: Path) -> None:
    """A colleague's project: whoever owns the folder could change the table, too."""
    (shared / "mallorys" / "jobs.csv").write_text("n\n1\n")
    plant(shared / "mallorys" / ".burnish", "directory", shared)
    assert burnish(shared / "mallorys", "create", "--csv", "jobs.csv").returncode == 0


# -- on a host -----------------------------------------------------------------------------------------------------


@pytest.fixture
def host(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OneHost]:
    """A host with two GPUs, all of whose folders are in `shared`."""
    monkeypatch.setenv("BURNISH_GPU_LOCK_DIR", str(shared / "gpu-locks"))
    monkeypatch.setenv("FAKE_GPUS", str(shared / "gpus"))
    monkeypatch.setenv("PATH", f"{gpus.FAKES}:{os.environ['PATH']}")
    gpus.write(shared / "gpus", gpus.cards(2))
    with one_host(shared, LocalTransport(PYTHON)) as made:
        yield made


PLACES: dict[str, Callable[[OneHost], Path]] = {
    "state folder": lambda host: host.home,
    "folder of locks": lambda host: host.locks,
}
GPU_PLACES: dict[str, Callable[[OneHost], Path]] = {
    "folder of GPU locks": lambda host: host.folder / "gpu-locks",
    "lock of a GPU": lambda host: host.folder / "gpu-locks" / gpus.uuid(1),
}
ON_GPU = {"gpus": [{"gpu": "0", "share": 0, "of": 1}]}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_she_put_in_place_of_a_hosts_folders_is_refused(host: OneHost, place: str, kind: str) -> None:
    path = PLACES[place](host)
    plant(path, kind, host.folder / "mallorys")
    refused = host.connect().welcome
    assert refused["type"] == "refused" and f"{path} is not a folder of mode 0700" in refused["why"], refused
    assert filled(path, host.folder / "mallorys") == []


@pytest.mark.parametrize("place", GPU_PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_she_put_in_place_of_gpu_locks_is_not_followed(host: OneHost, place: str, kind: str) -> None:
    """A regular file is as good a lock as any: all users make them, and take each other's."""
    if place == "lock of a GPU":
        (host.folder / "gpu-locks").mkdir()
        (host.folder / "gpu-locks").chmod(0o1777)
    path = GPU_PLACES[place](host)
    plant(path, kind, host.folder / "mallorys" / "target")
    link = host.connect()
    status = link.wait_status(link.start(*host.ledger_job(), slots=ON_GPU), "ended", "void")
    if (place, kind) == ("lock of a GPU", "file"):
        assert status["status"] == "ended"
    else:
        assert status["start"]["void"]["trouble"] is True and str(path) in status["start"]["void"]["why"], status
        assert host.runs() == 0
    assert filled(path, host.folder / "mallorys") == []
    assert link.run(*host.ledger_job())["final"]["exit"]["code"] == 0, "a job without a GPU needs none of it"


def test_lock_of_a_gpu_that_she_holds_keeps_only_that_gpu(host: OneHost) -> None:
    folder = host.folder / "gpu-locks"
    folder.mkdir()
    folder.chmod(0o1777)
    plant(folder / gpus.uuid(1), "file", host.folder)
    with (folder / gpus.uuid(1)).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        link = host.connect()
        status = link.wait_status(link.start("true", slots=ON_GPU), "void", "ended")
        assert status["start"]["void"]["busy"] is True, status
        other = {"gpus": [{"gpu": "1", "share": 0, "of": 1}]}
        assert link.run("true", slots=other)["status"] == "ended"


# -- what she can read ---------------------------------------------------------------------------------------------


@pytest.fixture
def table(bench: Bench) -> Iterator[Gated]:
    """Two jobs that run, on a host whose home she may enter; the inventory gives them a secret."""
    host = bench.add("gpu1")
    host.home.chmod(0o755)
    bench.folder.chmod(0o755)
    made = Gated.of(bench, 3)
    made.inventory("gpu1")
    text = (made.folder / "lab.yaml").read_text()
    (made.folder / "lab.yaml").write_text(text.replace("slots: 2", f"slots: 2, env: {{HF_TOKEN: {CANARY}}}"))
    (made.folder / "lab.yaml").chmod(0o600)
    made.run()
    made.wait_running(2)
    yield made
    made.stop()


def readable(*folders: str, on: RemoteHost | None = None) -> dict[str, str]:
    """What mallory can read: path -> text, folders with a / at their end."""
    enter: tuple[str, ...] = ()
    if on is not None:
        assert on.process is not None
        [init] = children(on.process.pid)
        enter = ("nsenter", f"--target={init}", "--mount", "--pid", "--")
    words = [*enter, *AS_MALLORY, "/usr/bin/python3", "-I", "-c", SWEEP, *folders]
    return dict(json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout))


def test_nothing_that_burnish_keeps_lies_open_while_jobs_run_or_later(bench: Bench, table: Gated) -> None:
    own = [Path(f"/proc/{pid}/environ").read_bytes() for pid in bench.hosts["gpu1"].processes()]
    assert sum(CANARY.encode() in environment for environment in own) == 2, "the jobs have it"
    for _ in range(2):
        there = readable("/home/alice", "/var/tmp", on=bench.hosts["gpu1"])
        kept = [path for path in there if "burnish" in path and not path.startswith("/proc/")]
        assert kept == [], "on the host"
        here = readable(str(table.folder))
        hidden = [path for path in here if "/.burnish/" in path and not path.endswith("/.burnish/")]
        assert hidden == [], "beside the table"
        assert str(table.folder / "burnish.db") in here, "the table is as its owner's umask says: she looked"
        leaks = [path for path, text in {**here, **there}.items() if CANARY in text]
        assert leaks == [], "a secret"
        table.open(0, 1, 2)
        wait_for(lambda: table.running[0].poll() is not None, table.said, deadline=60)
    assert table.running[0].returncode == 0
    assert CANARY not in table.said()
