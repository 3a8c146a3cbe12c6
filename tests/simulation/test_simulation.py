"""Some hundreds of worlds; and that a world is the same each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from simulation.os_layer import Os
from simulation.world import World

TESTS = Path(__file__).resolve().parents[1]


def _simulation(*arguments: str, program: str = "simulation") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
    command = [sys.executable, "-m", program, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)


def test_promises_hold_in_hundreds_of_worlds() -> None:
    done = _simulation("--seeds", "400")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "400 seeds, 0 failed" in done.stdout


@pytest.mark.parametrize("kind", ["coordinator's machine lost power", "disk full"])
def test_promises_hold_where_one_thing_befalls_often(kind: str) -> None:
    """Among hundreds of worlds with all that may befall them there are a few with such."""
    done = _simulation("--seeds", "150", "--prefer", kind)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert f"% {kind}" in done.stdout


def test_a_seed_replays_to_the_last_effect() -> None:
    first, second = _simulation("--seed", "7", "--trace"), _simulation("--seed", "7", "--trace")
    assert first.returncode == second.returncode == 0, first.stdout[-2000:] + first.stderr[-2000:]
    assert first.stdout == second.stdout
    assert len(first.stdout.splitlines()) > 500


def test_worlds_have_the_same_digests_whoever_runs_them() -> None:
    alone = _simulation("--seeds", "12", "--digests", "--processes", "1")
    shared = _simulation("--seeds", "12", "--digests", "--processes", "3")
    assert alone.returncode == shared.returncode == 0, alone.stderr[-2000:] + shared.stderr[-2000:]
    assert alone.stdout == shared.stdout
    assert len({line.split()[2] for line in alone.stdout.splitlines()}) == 12, alone.stdout


@pytest.mark.parametrize(("module", "call"), [("os", "sendfile"), ("os.path", "getmtime")])
def test_a_call_that_is_not_simulated_breaks_the_world(module: str, call: str) -> None:
    simulated = Os()
    simulated.world = World(1)
    with pytest.raises(AttributeError):  # which an agent might take for a refusal
        getattr(simulated.module if module == "os" else simulated.module.path, call)
    assert simulated.world.failure == f"the simulated {module} has no {call}"


@pytest.mark.parametrize(("pause", "told"), [(0.0, True), (0.001, False)])
def test_a_process_that_spins_is_told_from_one_that_works_for_long(pause: float, told: bool) -> None:
    def work() -> None:
        while world.now < 1100.0:
            world.effect("look")
            world.sleep(pause)

    world = World(1)
    process = SimpleNamespace(dead=False, frozen_until=0.0, armed=None, tasks=[], task_ended=lambda task: None)
    world.spawn(process, "run", work)
    world.run(1100.0)
    process.dead = True
    world.doom(process.tasks)
    world.close()
    assert ((world.failure or "").startswith("livelock")) is told, world.steps


def test_a_power_loss_leaves_no_state_of_a_disk_that_breaks_a_promise() -> None:
    done = _simulation("--worlds", "1", "--stride", "20", "--most", "12", program="simulation.crash_states")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert int(done.stdout.split()[0]) > 50, done.stdout
