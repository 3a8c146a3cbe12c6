"""A folder of jobs whose file server is gone: a look at it hangs in the kernel, and nothing else of the host does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.remote.transport import Transport
from tests.support.gated import PATIENT, Gated
from tests.support.hung_mount import HungMount
from tests.support.one_host import OneHost, one_host
from tests.support.waiting import wait_for

# What depends on no transport, and takes its time. An sshd's login is in a mount namespace of its own.
pytestmark = pytest.mark.parametrize("transport", ["local"], indirect=True)


@pytest.fixture
def host(transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OneHost]:
    monkeypatch.setenv("BURNISH_GPU_LOCK_DIR", str(tmp_path / "gpu-locks"))
    with one_host(tmp_path, transport) as host:
        yield host


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[tuple[Path, HungMount]]:
    """A work folder that hangs."""
    mount = HungMount(tmp_path / "work")
    yield tmp_path / "work", mount
    mount.end()


def lookers(folder: Path) -> list[int]:
    """Children of this test's agents that hang on it: in the kernel, uninterruptibly."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if "fuse" in (process / "wchan").read_text() and str(folder.parent) in (process / "environ").read_text():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_hung_work_folder_delays_no_ping_no_start_and_no_other_look(
    host: OneHost, folder: tuple[Path, HungMount]
) -> None:
    work, mount = folder
    need = {"cwd": str(work), "programs": ["sh"], "path": "/bin", "script": "train.py"}
    link = host.connect()
    link.send("look", workdir=str(work), needs=[need])
    wait_for(lambda: lookers(work), "nobody looks at the folder")
    began = time.monotonic()
    link.send("ping", id=7)
    link.wait(lambda frame: frame["type"] == "pong" and frame["id"] == 7)
    assert link.run("true", cwd="/")["status"] == "ended"
    assert time.monotonic() - began < 9, "the agent waited for the folder"
    assert len(lookers(work)) == 1
    seen = link.wait(lambda frame: frame["type"] == "seen")
    assert seen["workdir"] == {"path": str(work), "exists": None, "writable": None, "silent": True}
    assert seen["needs"] == [], "what was not looked for is neither there nor lacking"
    wait_for(lambda: not lookers(work), "who looked at it is left behind")
    mount.end()
    seen = link.ask("look", "seen", workdir=str(work), needs=[need])
    assert seen["workdir"] == {"path": str(work), "exists": True, "writable": True}
    assert seen["needs"] == [[need, f"{work}/train.py does not exist"]]
    assert os.path.isdir(work)


def test_attempt_whose_folder_hangs_is_void_and_never_runs(host: OneHost, folder: tuple[Path, HungMount]) -> None:
    work, mount = folder
    link = host.connect()
    attempt = link.start(*host.ledger_job(), cwd=str(work))
    status = link.wait_status(attempt, "void", deadline=60)
    assert status["start"]["void"] == {
        "why": f"{work} has not answered for 30 s",
        "trouble": True,
        "lacks": {"cwd": str(work)},
    }
    mount.end()
    wait_for(lambda: not lookers(work), "its supervisor still hangs")
    assert link.run("true", cwd=str(work))["status"] == "ended", "the folder is there again"
    assert link.status(attempt)["status"] == "void" and host.runs() == 0


def test_jobs_go_where_the_work_folder_answers(transport: Transport, folder: tuple[Path, HungMount]) -> None:
    work, mount = folder
    table = Gated.of(None, 4)
    try:
        hosts = f"near: {{workdir: {table.folder}}}, far: {{workdir: {work}, state_dir: {table.folder}/far}}"
        defaults = "connection: local, gpus: none, slots: 1"
        (table.folder / "lab.yaml").write_text(f"defaults: {{{defaults}}}\nhosts: {{{hosts}}}\n")
        run = table.run(program=PATIENT)
        gone = f"far gets no more jobs until this is mended: {work} has not answered for 30 s."
        wait_for(lambda: gone in table.said(), table.said, deadline=60)
        table.open(*range(4))
        assert run.wait(60) == 0, table.said()
        assert [len(table.ran(job)) for job in range(4)] == [1] * 4
        assert {job["host"] for job in table.status().values()} == {"near"}
    finally:
        mount.end()
        table.burnish("cancel", "--all")
        table.stop()


def test_folder_on_the_path_that_comes_to_hang_delays_no_look(
    host: OneHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may stand before the folder of nvidia-smi, as a conda on NFS does."""
    (tmp_path / "conda").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/conda:{os.environ['PATH']}")
    link = host.connect()
    assert link.ask("look", "seen")["gpu_error"] is None
    mount = HungMount(tmp_path / "conda")
    try:
        began = time.monotonic()
        assert link.ask("look", "seen")["gpu_error"] is None
        assert link.run("/bin/true", cwd="/")["status"] == "ended"
        assert time.monotonic() - began < 15, "the agent waited for the folder"
    finally:
        mount.end()
