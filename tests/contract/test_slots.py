"""What a slot is on a host: which GPUs the job sees, and that nobody else has them while any process of the job lives."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from burnish.remote.agent.common_locks import is_held
from burnish.remote.agent.slots import gpu_lock
from burnish.remote.transport import LocalTransport, Transport
from tests.support import gpus
from tests.support.agent_client import AgentClient, Frame, kill, make_spec, new_attempt
from tests.support.one_host import OneHost, job_pid, one_host, supervisor_pid
from tests.support.removing import remove_with_tenants
from tests.support.waiting import wait_for

SHOW = ("/bin/sh", "-c", 'echo "${CUDA_VISIBLE_DEVICES-unset}|${CUDA_DEVICE_ORDER-unset}"')
WAIT = ("sleep", "1000")
OTHER_UID = 4242


# What depends on no transport, and takes its time.
on_the_agent_alone = pytest.mark.parametrize("transport", ["local"], indirect=True)


@pytest.fixture
def host(transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OneHost]:
    """A host without GPUs, whose GPU locks are the test's own."""
    monkeypatch.setenv("BURNISH_GPU_LOCK_DIR", str(tmp_path / "gpu-locks"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("FAKE_GPUS", str(tmp_path / "gpus"))
    with one_host(tmp_path, transport) as host:
        yield host


@pytest.fixture
def smi(host: OneHost, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two GPUs on the host; the folder that its nvidia-smi reads."""
    monkeypatch.setenv("PATH", f"{gpus.FAKES}:{os.environ['PATH']}")
    gpus.write(host.folder / "gpus", gpus.cards(2))
    return host.folder / "gpus"


def on_gpu(gpu: str, share: int = 0, of: int = 1, **more: Any) -> dict[str, Any]:
    return {"gpus": [{"gpu": gpu, "share": share, "of": of, **more}]}


def start(link: AgentClient, slots: dict[str, Any], *argv: str) -> Frame:
    """Start a job that stays; the status that says that it runs, or why not."""
    attempt = link.start(*(argv or WAIT), slots=slots)
    return link.wait_status(attempt, "running", "void")


def shown(link: AgentClient, slots: dict[str, Any] | None, **fields: Any) -> str:
    """CUDA's two variables as a job in these slots finds them."""
    ended = link.run(*SHOW, slots=slots, **fields)
    assert ended["status"] == "ended", ended
    return link.pull(ended["attempt"]).decode().strip()


def taken(status: Frame) -> str:
    assert status["status"] == "void", status
    assert status["start"]["void"].get("busy") is True, status
    return str(status["start"]["void"]["why"])


def seen(link: AgentClient) -> Frame:
    return link.ask("look", "seen")


# -- what a job sees -----------------------------------------------------------------------------------------------


def test_job_sees_the_gpu_of_its_slot_and_no_other(host: OneHost, smi: Path) -> None:
    link = host.connect()
    assert shown(link, on_gpu("1")) == "1|PCI_BUS_ID"
    assert shown(link, on_gpu(gpus.uuid(1))) == "0|PCI_BUS_ID"
    both = {"gpus": [*on_gpu("0")["gpus"], *on_gpu("1")["gpus"]]}
    assert shown(link, both) == "0,1|PCI_BUS_ID"
    assert shown(link, {"cpu": [0]}) == "|PCI_BUS_ID"
    assert shown(link, None) == "unset|unset"


def test_inherited_mask_is_replaced_and_a_command_may_set_its_own(
    host: OneHost, smi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    link = host.connect()
    assert shown(link, on_gpu("1")) == "1|PCI_BUS_ID"
    assert shown(link, {"cpu": [0]}) == "|PCI_BUS_ID"
    assert shown(link, None) == "7|unset"
    assert shown(link, on_gpu("1"), env={"CUDA_VISIBLE_DEVICES": "mine"}) == "mine|PCI_BUS_ID"


def test_host_without_gpus_sets_nothing(host: OneHost) -> None:
    assert shown(host.connect(), {"cpu": [0]}) == "unset|unset"


def test_listed_gpu_is_taken_at_its_word_where_no_nvidia_smi_answers(host: OneHost) -> None:
    link = host.connect()
    assert shown(link, on_gpu("3")) == "3|PCI_BUS_ID"
    assert shown(link, on_gpu(gpus.uuid(3))) == f"{gpus.uuid(3)}|PCI_BUS_ID"
    running = start(link, on_gpu("3"))
    assert taken(start(link, on_gpu("3"))) == "GPU 3 is taken by another burnish job"
    assert running["start"]["go"]["gpus"] == [{"gpu": "3", "index": 3, "uuid": None, "share": 0, "of": 1}]


def test_index_counts_in_pci_order_whatever_order_nvidia_smi_has(host: OneHost, smi: Path) -> None:
    gpus.write(smi, [gpus.Card(7, bus=0xA0), gpus.Card(8, bus=0x09)])
    running = start(host.connect(), on_gpu("0"))
    (device,) = running["start"]["go"]["gpus"]
    assert (device["index"], device["uuid"]) == (0, gpus.uuid(8))


def test_mig_device_is_named_by_its_uuid_and_keeps_whole_gpu_jobs_away(host: OneHost, smi: Path) -> None:
    """The first two of this card are compute instances of one part of it."""
    gpus.replay(smi, "h200-mig-idle")
    link = host.connect()
    devices = [mig["uuid"] for mig in seen(link)["gpus"][0]["migs"]]
    one, two = devices[:2]
    assert shown(link, on_gpu(one)) == f"{one}|PCI_BUS_ID"
    assert start(link, on_gpu(one))["status"] == start(link, on_gpu(two))["status"] == "running"
    assert taken(start(link, on_gpu(one))) == f"MIG device {one} is taken by another burnish job"
    assert taken(start(link, on_gpu("0"))) == "GPU 0 is taken by another burnish job"
    assert [mig["held"] for mig in seen(link)["gpus"][0]["migs"]] == [True, True, False, False, False]


def test_gpu_that_is_not_there_is_refused_with_what_is(host: OneHost, smi: Path) -> None:
    link = host.connect()
    there = f"this host has 0 ({gpus.uuid(1)}), 1 ({gpus.uuid(2)})"
    for name in ("7", gpus.uuid(9), gpus.uuid(1, "MIG")):
        assert taken(start(link, on_gpu(name))) == f"there is no GPU {name}; {there}"


def test_another_card_at_the_index_is_refused_with_both_names(host: OneHost, smi: Path) -> None:
    gpus.write(smi, list(reversed([gpus.Card(1, bus=2), gpus.Card(2, bus=1)])))
    why = taken(start(host.connect(), on_gpu("0", uuid=gpus.uuid(1))))
    assert why == f"GPU 0 was {gpus.uuid(1)}, is now {gpus.uuid(2)}"


@pytest.mark.parametrize(
    "slots",
    [[], {"cpu": [-1]}, {"cpu": 3}, {"gpus": ["0"]}, on_gpu("0", 0, 0),
     on_gpu("../x"), on_gpu("0", 2, 2), on_gpu("0", uuid="/x")],
    ids=str,
)  # fmt: skip
def test_slots_that_mean_nothing_are_refused(host: OneHost, slots: Any) -> None:
    status = start(host.connect(), slots)
    assert status["start"]["void"]["refused"] is True


# -- who has it ----------------------------------------------------------------------------------------------------


def test_two_tables_and_two_state_folders_never_share_a_gpu(host: OneHost, smi: Path) -> None:
    first = start(host.connect(), on_gpu("0"))
    other = AgentClient(host.transport, "table-2", str(host.folder / "other"))
    with other:
        assert taken(start(other, on_gpu("0"))) == "GPU 0 is taken by another burnish job"
        assert taken(start(other, on_gpu(gpus.uuid(1)))) == f"GPU {gpus.uuid(1)} is taken by another burnish job"
        assert taken(start(other, on_gpu("0", 1, 2))) == "GPU 0 is taken by another burnish job"
        second = start(other, on_gpu("1"))
        other.cancel(second["attempt"])
        host.connect().cancel(first["attempt"])
        third = start(other, on_gpu("0"))
        assert third["status"] == "running"
        other.cancel(third["attempt"])


def test_sharers_have_a_share_each_and_nobody_has_it_alone(host: OneHost, smi: Path) -> None:
    link = host.connect()
    assert start(link, on_gpu("0", 0, 2))["status"] == start(link, on_gpu("0", 1, 2))["status"] == "running"
    assert taken(start(link, on_gpu("0", 1, 2))) == "share 1 of GPU 0 is taken by another burnish job"
    assert taken(start(link, on_gpu("0"))) == "GPU 0 is taken by another burnish job"
    told = seen(link)["gpus"]
    assert [(gpu["held"], gpu["alone"], gpu["shares"]) for gpu in told] == [(True, False, [0, 1]), (False, False, [])]


def test_cpu_slots_belong_to_a_state_folder(host: OneHost) -> None:
    link = host.connect()
    running = start(link, {"cpu": [0]})
    assert taken(start(link, {"cpu": [0]})) == "CPU slot 0 is taken by another burnish job"
    assert start(link, {"cpu": [1]})["status"] == "running"
    state_id = link.welcome["state_id"]
    assert seen(link)["held"] == [f"cpu-{state_id}-0", f"cpu-{state_id}-1"]
    link.cancel(running["attempt"])
    assert seen(link)["held"] == [f"cpu-{state_id}-1"]
    with AgentClient(host.transport, "table-2", str(host.folder / "other")) as other:
        second = start(other, {"cpu": [1]})
        assert second["status"] == "running"
        other.cancel(second["attempt"])


def test_slot_is_held_while_the_job_lives_though_its_supervisor_was_killed(host: OneHost, smi: Path) -> None:
    link = host.connect()
    running = start(link, {**on_gpu("0"), "cpu": [4]})
    kill(supervisor_pid(running))
    assert link.wait_status(running["attempt"], "running")["supervised"] is False
    assert taken(start(link, on_gpu("0"))) == "GPU 0 is taken by another burnish job"
    assert taken(start(link, {"cpu": [4]})) == "CPU slot 4 is taken by another burnish job"
    kill(job_pid(running))
    link.wait_status(running["attempt"], "ended")
    assert start(link, on_gpu("0"))["status"] == "running"


def test_slot_is_held_though_a_cleaner_removed_its_lock(host: OneHost, smi: Path) -> None:
    """As systemd-tmpfiles does in /var/tmp, under a job of many weeks."""
    link = host.connect()
    alone = start(link, {**on_gpu("0"), "cpu": [4]})
    orphan = start(link, on_gpu("1"))
    kill(supervisor_pid(orphan))
    for folder in (host.folder / "gpu-locks", host.locks):
        shutil.rmtree(folder)
    assert seen(link)["held"] == []
    for slots, what in ((on_gpu("0"), "GPU 0"), (on_gpu("1"), "GPU 1"), ({"cpu": [4]}, "CPU slot 4")):
        why = f"{what} is taken by another burnish job, whose lock file was removed"
        assert taken(start(host.connect(), slots)) == why
    os.kill(supervisor_pid(alone), signal.SIGCHLD)  # wakes it, as time would
    lock = gpu_lock(gpus.uuid(1))
    wait_for(lambda: is_held(lock), "its supervisor does not hold it anew, for other users to see")
    assert taken(start(host.connect(), on_gpu("0"))) == "GPU 0 is taken by another burnish job"
    link.cancel(alone["attempt"])
    assert start(host.connect(), {**on_gpu("0"), "cpu": [4]})["status"] == "running"


def test_next_job_gets_the_slot_as_soon_as_the_last_is_told_to_have_ended(host: OneHost, smi: Path) -> None:
    link = host.connect()
    for _ in range(20):
        assert link.run("true", slots={**on_gpu("0"), "cpu": [0]})["status"] == "ended"


def test_void_of_a_job_that_found_its_slot_taken_leaves_no_lock(host: OneHost, smi: Path) -> None:
    link = host.connect()
    start(link, on_gpu("1"))
    both = {"gpus": [*on_gpu("0")["gpus"], *on_gpu("1")["gpus"]]}
    taken(start(link, both))
    assert start(link, on_gpu("0"))["status"] == "running"


def test_locks_are_for_all_users_and_follow_no_link(host: OneHost, smi: Path) -> None:
    link = host.connect()
    start(link, on_gpu("0"))
    folder = host.folder / "gpu-locks"
    assert folder.stat().st_mode & 0o7777 == 0o1777
    assert (folder / gpus.uuid(1)).stat().st_mode & 0o777 == 0o444
    target = host.folder / "target"
    (folder / gpus.uuid(2)).symlink_to(target)
    status = start(link, on_gpu("1"))
    assert status["start"]["void"]["trouble"] is True and not target.exists()
    (folder / gpus.uuid(2)).unlink()
    os.mkfifo(folder / gpus.uuid(2))
    assert "is no regular file" in start(link, on_gpu("1"))["start"]["void"]["why"]


def test_folder_that_anyone_may_empty_is_not_trusted(host: OneHost, smi: Path) -> None:
    folder = host.folder / "gpu-locks"
    folder.mkdir()
    folder.chmod(0o777)
    assert "sticky bit" in start(host.connect(), on_gpu("0"))["start"]["void"]["why"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may enter: pytest's own are closed to others."""
    made = Path(tempfile.mkdtemp(prefix="burnish-test-"))
    made.chmod(0o755)
    yield made
    remove_with_tenants(made)


def test_two_users_never_share_a_gpu(host: OneHost, open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_GPU_LOCK_DIR", str(open_folder / "gpu-locks"))
    first = start(host.connect(), on_gpu("0"))
    (open_folder / "home").mkdir()
    os.chown(open_folder / "home", OTHER_UID, OTHER_UID)
    as_other = open_folder / "python3"
    as_other.write_text(
        f"#!/bin/sh\nexport BURNISH_LOCK_DIR={open_folder}/home/locks\n"
        f'exec setpriv --reuid {OTHER_UID} --regid {OTHER_UID} --clear-groups /usr/bin/python3 "$@"\n'
    )
    as_other.chmod(0o755)
    with AgentClient(LocalTransport(str(as_other)), "table-2", str(open_folder / "home" / "state")) as other:
        assert other.welcome["uid"] == OTHER_UID
        assert taken(start(other, on_gpu("0"))) == "GPU 0 is taken by another burnish job"
        second = start(other, on_gpu("1"))
        assert second["status"] == "running"
        assert taken(start(host.connect(), on_gpu("1"))) == "GPU 1 is taken by another burnish job"
        host.connect().cancel(first["attempt"])
        third = start(other, on_gpu("0"))
        assert third["status"] == "running"
        for attempt in (second["attempt"], third["attempt"]):
            other.cancel(attempt)


def test_what_comes_after_a_job_that_waits_for_the_first_look_at_the_gpus_waits_with_it(
    host: OneHost, smi: Path
) -> None:
    """So both are ordered by a run that has connected again."""
    link = host.connect()
    leader = link.start(*WAIT, slots=on_gpu("1"))
    link.send("start", attempt=(follower := new_attempt()), spec=make_spec(*SHOW, slots=on_gpu("1")), after=leader)
    told = link.wait(lambda frame: frame.get("attempt") in (leader, follower))
    assert (told["attempt"], told.get("status")) in ((leader, "starting"), (leader, "running")), told
    link.cancel(leader)
    link.wait_status(follower, "ended")


# -- asking nvidia-smi ---------------------------------------------------------------------------------------------


def test_look_tells_what_the_host_has(host: OneHost, smi: Path) -> None:
    busy = gpus.Card(2, bus=0x20, used=3000, util=87, processes=[(os.getpid(), 2990), (1, "[N/A]"), (4_000_000, 5)])
    gpus.write(smi, [gpus.Card(1, bus=0x10, used="[N/A]", util="[Not Supported]"), busy])
    link = host.connect()
    told = link.ask("look", "seen", workdir=str(host.folder))
    assert told["workdir"] == {"path": str(host.folder), "exists": True, "writable": True}
    assert link.ask("look", "seen", workdir="/no/such")["workdir"]["exists"] is False
    assert len(told["load"]) == 3 and told["cpus"] >= 1 and told["disk_free"] > 0
    assert (told["gpu_error"], told["gpu_exit"]) == (None, None) and 0 <= told["age"] < 20
    idle, used = told["gpus"]
    assert (idle["uuid"], idle["memory_used"], idle["util"], idle["memory_total"]) == (
        gpus.uuid(1),
        None,
        None,
        gpus.MEMORY,
    )
    assert (used["index"], used["pci"], used["memory_used"], used["util"]) == (1, "00000000:20:00.0", 3000, 87)
    assert used["processes"] == [
        {"pid": os.getpid(), "memory": 2990, "user": told["user"]},
        {"pid": 1, "memory": None, "user": "root"},
        {"pid": 4_000_000, "memory": 5, "user": None},
    ]


@pytest.mark.parametrize(
    ("machine", "used", "util", "processes", "migs"),
    [
        ("h200-idle", [0], [0], [], []),
        ("h200-load", [32362], [100], [(10291, 2566), (10293, 1542), (10309, 28234)], []),
        ("h200-mig-idle", [55], [None], [], ["1c.3g.71gb", "2c.3g.71gb", "2g.35gb", "1g.18gb", "1g.18gb"]),
        (
            "h200-mig-load",
            [16959],
            [None],
            [(12249, 2194), (12250, 1170), (12267, 13526)],
            ["1c.3g.71gb", "2c.3g.71gb", "2g.35gb", "1g.18gb", "1g.18gb"],
        ),
        (
            "v100s-x8",
            [31689, 29545, 29539, 32099, 29517, 32141, 32157, 29501],
            [97, 75, 80, 23, 98, 98, 91, 99],
            [(37305, memory) for memory in (31683, 29539, 29533, 32093, 29511, 32135, 32151, 29495)],
            [],
        ),
    ],
)
def test_look_tells_what_real_machines_said(
    host: OneHost,
    smi: Path,
    machine: str,
    used: list[int],
    util: list[int | None],
    processes: list[tuple[int, int]],
    migs: list[str],
) -> None:
    gpus.replay(smi, machine)
    told = seen(host.connect())
    assert (told["gpu_error"], told["gpu_exit"]) == (None, None)
    cards = told["gpus"]
    assert [(card["index"], card["memory_used"], card["util"]) for card in cards] == list(
        zip(range(8), used, util, strict=False)
    )
    assert [(one["pid"], one["memory"]) for card in cards for one in card["processes"]] == processes
    assert [mig["name"] for card in cards for mig in card["migs"]] == migs
    assert {card["trouble"] for card in cards} == {None}


def test_card_whose_state_alone_says_that_it_must_be_reset(host: OneHost, smi: Path) -> None:
    gpus.write(smi, [gpus.Card(1, bus=0x10), gpus.Card(2, bus=0x20, util="[N/A]", pstate="[GPU requires reset]")])
    assert [card["trouble"] for card in seen(host.connect())["gpus"]] == [None, "GPU requires reset"]


def test_no_nvidia_smi_is_no_error(host: OneHost) -> None:
    told = seen(host.connect())
    assert (told["gpus"], told["gpu_error"], told["age"]) == ([], None, None)


def test_error_keeps_what_was_seen_before(host: OneHost, smi: Path) -> None:
    link = host.connect()
    assert len(seen(link)["gpus"]) == 2
    hostile = {"said": "GPU 00000000:10:00.0 \x1b[31m is lost", "exit": 77}
    for failure in (*gpus.failures().values(), hostile):
        gpus.fail(smi, failure["exit"], failure["said"])
        told = seen(link)
        assert [gpu["uuid"] for gpu in told["gpus"]] == [gpus.uuid(1), gpus.uuid(2)]
        assert told["gpu_exit"] == failure["exit"]
        assert " ".join(failure["said"].split()) in told["gpu_error"]
    gpus.clear(smi)
    assert seen(link)["gpu_error"] is None


def smi_processes(smi: Path) -> list[int]:
    """Pids of the nvidia-smi programs that read this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if any(word.endswith(b"/nvidia-smi") for word in words[:2]) and str(smi) in (process / "environ").read_text(
                errors="replace"
            ):
                found.append(int(process.name))
        except OSError:
            continue
    return found


@on_the_agent_alone
def test_hung_nvidia_smi_delays_nobody(host: OneHost, smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURNISH_NVIDIA_SMI_LIMIT", "6")
    link, other = host.connect(), host.connect()
    assert len(seen(link)["gpus"]) == 2
    (smi / "hang").touch()
    link.send("look")
    wait_for(lambda: smi_processes(smi))
    other.send("look")
    for slots in (on_gpu("0"), {"cpu": [0]}):
        assert start(link, slots)["status"] == "running"
    assert len(smi_processes(smi)) == 1
    told = link.wait(lambda frame: frame["type"] == "seen")
    assert told["gpu_error"] == "nvidia-smi hangs: it did not answer within its limit"
    assert len(told["gpus"]) == 2 and told["age"] >= 6
    assert "hangs" in other.wait(lambda frame: frame["type"] == "seen")["gpu_error"]
    (smi / "hang").unlink()
    wait_for(lambda: seen(link)["gpu_error"] is None)
    wait_for(lambda: not smi_processes(smi))


@on_the_agent_alone
def test_look_is_answered_before_a_slow_nvidia_smi(host: OneHost, smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (smi / "hang").touch()
    link = host.connect()
    told = seen(link)
    assert told["gpus"] is None
    assert told["gpu_error"].startswith("nvidia-smi has not answered for 1")  # 10 s, or a little more
    (smi / "hang").unlink()
    assert len(wait_for(lambda: seen(link)["gpus"])) == 2


def test_start_that_waits_for_the_gpus_is_voided_or_cancelled_meanwhile(host: OneHost, smi: Path) -> None:
    (smi / "hang").touch()
    link = host.connect()
    attempts = [link.start(*host.ledger_job(), slots=on_gpu("0")) for _ in range(3)]
    wait_for(lambda: smi_processes(smi))
    assert link.status(attempts[0])["status"] == "absent"
    assert link.void(attempts[0])["status"] == "void"
    assert link.cancel(attempts[1])["status"] == "void"
    (smi / "hang").unlink()
    link.wait_status(attempts[2], "ended")
    assert host.runs() == 1
    assert host.record(attempts[1], "start.json")["void"]["why"].startswith("cancelled")
