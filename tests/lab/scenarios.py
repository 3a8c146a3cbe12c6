"""What machines go through: power losses, pulled cables, one table on NFS under several coordinators. `make lab` runs them.

Each ends with the ledger: every job ended as its fate says, none started twice but for a recorded reason, all logs whole.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.machines import Lab
from tests.lab.sweep import SHARED, DigitsSweep, LabSweep
from tests.support.waiting import wait_for

MakeLab = Callable[[int], Lab]
SOME_FAIL = 1  # exit code of a run whose jobs have all fates
LYING = "/run/lying"
MOUNT_LYING = (
    f"mkdir {LYING} && mount -t nfs -o vers=3,nolock,local_lock=all,proto=tcp 10.77.0.10:/mnt/disk/export {LYING}"
)


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[MakeLab]:
    """Boots `node0`, the file server, and that many machines more; all are switched off after the test."""
    labs: list[Lab] = []

    def make(machines: int) -> Lab:
        labs.append(Lab(tmp_path, 1 + machines))
        return labs[-1]

    yield make
    for lab in labs:
        lab.close()


def stay_for(seconds: float) -> None:
    """A fault that nobody is to notice lasts so long, or comes after so long: no wait for something that could be looked at."""
    time.sleep(seconds)


@pytest.mark.parametrize("network", ["", "delay 20ms loss 2%"], ids=["good network", "bad network"])
def test_a_sweep_runs_to_its_end(make_lab: MakeLab, network: str) -> None:
    lab = make_lab(3)
    if network:
        lab.nodes[3].run(f"tc qdisc add dev eth0 root netem {network}")
    sweep = LabSweep.on(lab, 40, "1")
    assert sweep.begin(1).wait() == SOME_FAIL
    assert sweep.check() == {"1": 40}


def test_cables_are_pulled_for_a_moment_and_for_longer_than_every_timeout(make_lab: MakeLab) -> None:
    lab = make_lab(3)
    sweep = LabSweep.on(lab, 40, "3")
    run = sweep.begin(1)
    sweep.wait_until_started(6)
    lab.nodes[2].cut()
    lab.nodes[3].cut()
    stay_for(8)
    lab.nodes[2].heal()
    wait_for(
        lambda: "node3 still does not answer" in run.said(), run.said, deadline=240
    )  # said a minute after the first
    lab.nodes[3].heal()
    assert run.wait() == SOME_FAIL
    assert sweep.check() == {"1": 40}
    assert not sweep.facts("AttemptLost")


def test_a_worker_loses_power(make_lab: MakeLab) -> None:
    lab = make_lab(3)
    sweep = LabSweep.on(lab, 30, "3")
    run = sweep.begin(1)
    dice = random.Random()
    for _ in range(2):
        sweep.wait_until_started(6)
        stay_for(dice.uniform(0, 3))
        before = lab.nodes[2].boot_id
        lab.nodes[2].crash()
        lab.nodes[2].boot()
        assert lab.nodes[2].boot_id != before
    assert run.wait() == SOME_FAIL
    again = sum(int(tries) - 1 for tries in sweep.check(attempts=3).elements())
    lost = sweep.facts("AttemptLost")
    assert again <= len(lost), "an attempt ran again without a recorded reason"
    assert lost and all('"why":"its host' in fact for fact in lost)


def test_the_coordinator_loses_power_and_another_machine_goes_on(make_lab: MakeLab) -> None:
    lab = make_lab(3)
    sweep = LabSweep.on(lab, 40, "3")
    sweep.begin(1)
    sweep.wait_until_started(6)
    lab.nodes[1].crash()
    run = sweep.begin(3)
    assert run.wait() == SOME_FAIL
    lab.nodes[1].boot()
    assert sweep.check() == {"1": 40}
    assert not sweep.facts("AttemptLost")


def test_the_coordinator_loses_power_with_all_that_it_keeps(make_lab: MakeLab) -> None:
    """The table and the logs are on its own disk, and it has not synced what it need not."""
    lab = make_lab(3)
    sweep = LabSweep.on(lab, 60, "0.5", slots=3, desk="/root/desk")
    dice = random.Random()
    for started in (6, 20, 34):
        sweep.begin(1)
        sweep.wait_until_started(started)
        stay_for(dice.uniform(0, 2))
        lab.nodes[1].crash()
        lab.nodes[1].boot()
    assert sweep.begin(1).wait() == SOME_FAIL
    assert sweep.check() == {"1": 60}


@pytest.mark.parametrize("coordinators", [2, 4])
def test_several_coordinators_share_a_table(make_lab: MakeLab, coordinators: int) -> None:
    sweep = LabSweep.on(make_lab(4), 60, "1", slots=3)
    runs = [sweep.begin(1 + number) for number in range(coordinators)]
    assert SOME_FAIL in [run.wait() for run in runs]
    assert sweep.check() == {"1": 60}


def test_several_coordinators_share_a_table_where_locks_lie(make_lab: MakeLab) -> None:
    lab = make_lab(4)
    sweep = LabSweep.on(lab, 60, "1", slots=3)
    runs = [sweep.begin(1)]
    for number in (3, 4):
        lab.nodes[number].run(MOUNT_LYING)
        runs.append(sweep.begin(number, desk=SHARED.replace("/mnt/nfs", LYING)))
    assert SOME_FAIL in [run.wait() for run in runs]
    assert sweep.check() == {"1": 60}


def test_the_file_server_loses_power(make_lab: MakeLab) -> None:
    lab = make_lab(3)
    sweep = LabSweep.on(lab, 30, "3")
    run = sweep.begin(1)
    sweep.wait_until_started(6)
    lab.nodes[0].crash()
    wait_for(lambda: "has not answered for 60 s" in run.said(), run.said, deadline=180)
    lab.nodes[0].boot()
    assert run.wait() == SOME_FAIL
    assert "answers again" in run.said()
    assert sweep.check() == {"1": 30}


def test_the_digits_sweep_while_each_cable_is_pulled_once_and_a_host_reboots(make_lab: MakeLab) -> None:
    lab = make_lab(5)
    workers = lab.nodes[2:]
    sweep = DigitsSweep.on(lab, workers)
    run = sweep.begin(1)
    for number, node in enumerate(workers):
        sweep.wait_until_started(1 + number)
        node.cut()
        if number == 1:  # long enough to be noticed; the others are back before anybody misses them
            wait_for(lambda: "does not answer" in run.said(), run.said, deadline=200)
        else:
            stay_for(5)
        node.heal()
    sweep.wait_until_started(6)
    before = workers[2].boot_id
    workers[2].crash()
    workers[2].boot()
    assert workers[2].boot_id != before
    assert run.wait(deadline=600) == 0, run.said()
    sweep.check_digits()


SAVES = {
    "rename": "sed -i {edit} burnish.db",
    "truncate": "sed {edit} burnish.db >/root/buffer && cp /root/buffer burnish.db",
}


@pytest.mark.parametrize("how", SAVES)
def test_the_table_is_edited_on_another_machine(make_lab: MakeLab, how: str) -> None:
    """What that machine's NFS client shows may be some seconds old, as an editor's buffer may be."""
    lab = make_lab(4)
    sweep = LabSweep.on(lab, 50, "2")
    run = sweep.begin(1)
    sweep.wait_until_started(3)
    for job in range(40, 50):
        edit = f"'s/^{job},NOT_RUNNING,/{job},HOLD,/'"
        lab.nodes[4].run(f"cd {SHARED} && {SAVES[how].format(edit=edit)}")
    wait_for(lambda: len(sweep.facts("HoldRequested")) == 10, run.said)
    assert run.wait() == SOME_FAIL
    status = sweep.status()
    assert [status[job]["state"] for job in range(40, 50)] == ["HOLD"] * 10
    sweep.burnish("release", "--job_id", "all")
    assert sweep.begin(1).wait() == SOME_FAIL
    assert sweep.check() == {"1": 50}
