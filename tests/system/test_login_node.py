"""What an agent does on a login node: it makes and closes folders, and runs commands; it starts nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from burnish import whereabouts
from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.core.state import State
from burnish.errors import HostUnreachable
from burnish.remote.conversation import Conversation
from burnish.remote.transport import LocalTransport
from burnish.views.hosts import FleetView
from tests.support.proc import processes
from tests.support.sweeps import wait_until_gone
from tests.support.waiting import wait_for

ATTEMPT = "0.1-9f86d081"
SPEC = {"argv": ["true"], "cwd": "/", "batch": {"name": "burnish-t-1", "index": 3}}


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Conversation]:
    monkeypatch.setenv("BURNISH_LOCK_DIR", str(tmp_path / "locks"))
    with Conversation(LocalTransport(), "table-1", str(tmp_path), "slurm") as made:
        yield made


def ask(node: Conversation, kind: str, **fields: Any) -> dict[str, Any]:
    return node.ask({"type": kind, "attempt": ATTEMPT, **fields}, "status")


def run(node: Conversation, *argv: str, stdin: str = "", limit: float = 20) -> dict[str, Any]:
    return node.ask({"type": "run", "id": "1", "argv": list(argv), "stdin": stdin, "limit": limit}, "ran")


def test_nothing_is_started_on_a_login_node(node: Conversation) -> None:
    with pytest.raises(HostUnreachable, match="nothing runs on a login node"):
        ask(node, "start", spec=SPEC)


def test_all_login_nodes_have_one_folder(node: Conversation, tmp_path: Path) -> None:
    assert node.welcome["incarnation"] == "slurm"
    assert Path(node.welcome["source"]).parent == tmp_path.resolve() / "slurm"
    assert Path(node.welcome["source"]).exists()


def test_an_attempt_is_prepared_once_and_says_as_what_it_is_submitted(node: Conversation) -> None:
    assert ask(node, "status")["status"] == "absent"
    assert ask(node, "prepare", spec=SPEC)["batch"] == SPEC["batch"]
    again = {**SPEC, "batch": {"name": "burnish-t-2", "index": 0}}
    assert ask(node, "prepare", spec=again)["batch"] == SPEC["batch"]


def test_what_never_began_is_void(node: Conversation) -> None:
    ask(node, "prepare", spec=SPEC)
    void = {"why": "its node failed", "trouble": True}
    said = ask(node, "conclude", void=void, final={"lost": {"why": "its node failed"}})
    assert said["status"] == "void" and said["start"]["void"] == {"why": "its node failed", "trouble": True}


def test_what_began_ends_as_slurm_says(node: Conversation, tmp_path: Path) -> None:
    ask(node, "prepare", spec=SPEC)
    folder = tmp_path / "slurm" / "attempts" / "table-1" / ATTEMPT
    (folder / "start.json").write_text('{"go": {"started": 1.0, "incarnation": "of a node"}}')
    assert ask(node, "status")["status"] == "running", "no lock and no pid of this machine says anything"
    (folder / "batch.err").write_text("a warning\nsh: python3: not found\n")
    final = {"exit": {"signal": 9, "time_limit": True}}
    said = ask(node, "conclude", void={"why": "-"}, final=final)
    assert said["status"] == "ended" and said["final"]["exit"]["time_limit"] and said["final"]["exit"]["started"] == 1.0


def test_what_has_a_pulse_is_not_over(node: Conversation, tmp_path: Path) -> None:
    """Slurm lost its state, or sight of the node: whoever beats runs on, and what did not begin is void at once."""
    ask(node, "prepare", spec=SPEC)
    folder = tmp_path / "slurm" / "attempts" / "table-1" / ATTEMPT
    (folder / "start.json").write_text('{"go": {"started": 1.0}}')
    (folder / "pulse").touch()
    assert ask(node, "conclude", void={"why": "-"}, final={"lost": {"why": "its node failed"}})["status"] == "running"


def test_who_was_taken_for_dead_ends_its_job_when_it_finds_that_out(node: Conversation, tmp_path: Path) -> None:
    """Its node was out of sight for long, and the job was started again elsewhere."""
    ask(node, "prepare", spec={**SPEC, "argv": ["sleep", "1000"]})
    folder = tmp_path / "slurm" / "attempts" / "table-1" / ATTEMPT
    script = subprocess.Popen([sys.executable, node.welcome["source"], "supervise", str(folder)])
    try:
        wait_for(lambda: processes(folder), "the job has not begun")
        (job,) = processes(folder)
        (folder / "final.json").write_text('{"lost": {"why": "its node failed"}}')
        script.send_signal(signal.SIGUSR1)  # or it looks at its next beat
        assert script.wait(60) == 0
    finally:
        script.kill()
    wait_until_gone(job)
    assert json.loads((folder / "final.json").read_text()) == {"lost": {"why": "its node failed"}}


def test_what_was_preempted_is_recorded_so(node: Conversation, tmp_path: Path) -> None:
    ask(node, "prepare", spec=SPEC)
    folder = tmp_path / "slurm" / "attempts" / "table-1" / ATTEMPT
    (folder / "start.json").write_text('{"go": {"started": 1.0}}')
    final = {"lost": {"why": "preempted in Slurm", "excused": True}}
    lost = ask(node, "conclude", void={"why": "-"}, final=final)["final"]["lost"]
    assert lost["why"] == "preempted in Slurm" and lost["excused"] and lost["ended"]


def test_the_word_of_its_supervisor_stands(node: Conversation, tmp_path: Path) -> None:
    ask(node, "prepare", spec=SPEC)
    folder = tmp_path / "slurm" / "attempts" / "table-1" / ATTEMPT
    (folder / "start.json").write_text('{"go": {"started": 1.0}}')
    (folder / "final.json").write_text('{"exit": {"code": 0}}')
    assert ask(node, "conclude", void={"why": "-"}, final={"lost": {"why": "its node failed"}})["final"] == {
        "exit": {"code": 0}
    }


def test_a_cancel_is_left_in_the_folder_for_the_supervisor(node: Conversation, tmp_path: Path) -> None:
    ask(node, "prepare", spec=SPEC)
    folder = tmp_path / "slurm" / "attempts" / "table-1" / ATTEMPT
    go = {"started": 1.0, "supervisor": {"pid": os.getpid(), "starttime": 1}}
    (folder / "start.json").write_text(json.dumps({"go": go}))
    assert ask(node, "cancel", grace=1.0, by="ann")["status"] == "running"
    assert re.search('"by": ?"ann"', os.readlink(folder / "cancel.json"))


def test_a_command_is_run_without_a_shell(node: Conversation) -> None:
    said = run(node, "cat", "-", stdin="one $HOME\n")
    assert (said["code"], said["out"], said["err"]) == (0, "one $HOME\n", "")
    assert run(node, "sh", "-c", "echo trouble >&2; exit 3")["code"] == 3
    assert run(node, "no-such-program")["code"] == 127


def test_no_variable_narrows_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQUEUE_PARTITION would have squeue leave out what runs elsewhere, and what is not listed is taken to be gone."""
    monkeypatch.setenv("BURNISH_LOCK_DIR", str(tmp_path / "locks"))
    monkeypatch.setenv("SQUEUE_PARTITION", "main")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    with Conversation(LocalTransport(), "table-1", str(tmp_path), "slurm") as node:
        assert run(node, "sh", "-c", "echo $SQUEUE_PARTITION $SLURM_CONF")["out"] == "/etc/slurm.conf\n"


def test_a_command_that_hangs_is_ended(node: Conversation) -> None:
    said = run(node, "sleep", "100", limit=0.2)
    assert said["code"] == -1 and "has not answered within" in said["err"]


def test_cluster_whose_slurm_does_not_answer_has_nothing_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    values = {"connection": "local", "engine": "slurm", "slots": 100, "gpus": ()}
    host = Host(HostName("hpc"), state_dir=str(tmp_path), **values)  # type: ignore[arg-type]

    def shown() -> list[str]:
        return list(FleetView(0.0, whereabouts.standings([host], State())).text())

    _, _, _, row, hint = shown()
    why = "`engine: slurm`, but there is no scontrol on this host's PATH, so there is no Slurm there"
    assert row.split()[:3] == ["hpc", "0", "free"] and row.endswith(why)
    assert hint == "hint for hpc: the entry must name a login node"
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho slurm_load_ctl_conf error: Unable to contact slurm controller >&2\nexit 1\n")
    scontrol.chmod(0o755)
    _, _, _, row, hint = shown()
    assert row.split()[:3] == ["hpc", "0", "free"] and "Slurm does not answer (" in row and "contact" in row
    scontrol.write_text("#!/bin/sh\necho MaxArraySize = 1001\n")
    *_, row = shown()
    assert row.split()[:3] == ["hpc", "100", "free"] and "Slurm" not in row


def test_news_that_a_disk_refuses_to_tell_for_a_moment_is_told_later(node: Conversation, tmp_path: Path) -> None:
    ask(node, "prepare", spec=SPEC)
    folder = tmp_path / "slurm" / "attempts" / "table-1" / ATTEMPT
    (folder / "spec.json").rename(folder / "kept")
    (folder / "spec.json").mkdir()  # who reads it meets an error
    (folder / "start.json").write_text('{"void": {"why": "no room"}}')
    assert run(node, "sleep", "2.5")["code"] == 0  # it was looked at meanwhile
    (folder / "spec.json").rmdir()
    (folder / "kept").rename(folder / "spec.json")
    assert node.hear("status", ATTEMPT)["status"] == "void"
