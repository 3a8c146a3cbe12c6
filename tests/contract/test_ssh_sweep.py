"""The user's own commands over real SSH hosts: slots filled, logs at home, verdicts true, coordinators killed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gated import Gated
from tests.support.hosts import Bench
from tests.support.removing import remove_with_tenants
from tests.support.sweeps import Sweep, children, wait_until_gone
from tests.support.waiting import wait_for

JOBS = 40


@pytest.fixture
def sweep(bench: Bench) -> Iterator[Sweep]:
    """A table of ledger jobs, and an inventory of two hosts of the bench with three slots each.

    The folder is where the hosts' account may write: pytest's own folders are closed to others.
    """
    for name in ("gpu1", "gpu2"):
        bench.add(name)
    folder = Path(tempfile.mkdtemp(prefix="burnish-test-"))
    made = Sweep.of(folder, JOBS)
    made.python = "python3"
    for path in (folder, folder / "ledger"):
        path.chmod(0o777)
    (folder / "lab.yaml").write_text(
        f"defaults: {{ssh_config: {bench.config}, gpus: none, slots: 3, workdir: {folder}}}\nhosts: [gpu1, gpu2]\n"
    )
    yield made
    made.stop()
    remove_with_tenants(folder)


def test_sweep_over_two_hosts(sweep: Sweep) -> None:
    assert sweep.finish("--hosts", "lab.yaml") == 1
    assert sweep.check() == {"1": JOBS}
    assert {job["host"] for job in sweep.status().values()} == {"gpu1", "gpu2"}


def test_killed_coordinator_over_ssh_costs_no_second_start(sweep: Sweep) -> None:
    for goal in (5, 15, 25):
        run = sweep.start("--hosts", "lab.yaml")
        wait_for(lambda goal=goal: len(list((sweep.folder / "ledger").iterdir())) >= goal, deadline=60)
        helpers = children(run.pid)
        run.kill()
        run.wait()
        for helper in helpers:
            wait_until_gone(helper)
    assert sweep.finish("--hosts", "lab.yaml") == 1
    assert sweep.check() == {"1": JOBS}


def test_run_uses_the_hosts_that_can_be_used_and_names_the_others(bench: Bench) -> None:
    """One session and no SFTP, behind a jump host, a key that is learnt; beside them a forced command and a changed key."""
    table = Gated.of(bench, 6)
    bench.add("login", options=("MaxSessions 0",))
    bench.add("narrow", options=("MaxSessions 1",))
    bench.add("inner", through="login")
    bench.add("new", known=False)
    bench.add("forced", options=("ForceCommand echo by appointment only",))
    changed = bench.add("changed")
    changed.renew_key()
    changed.stop()
    changed.start()
    defaults = f"ssh_config: {bench.config}, gpus: none, slots: 1, workdir: {table.folder}"
    hosts = "{narrow: , inner: , new: {host_keys: accept-new}, forced: , changed: {host_keys: accept-new}}"
    (table.folder / "lab.yaml").write_text(f"defaults: {{{defaults}}}\nhosts: {hosts}\n")
    try:
        run = table.run()
        assert set(table.wait_running(3).values()) == {"narrow", "inner", "new"}
        assert table.burnish("view", "0").stdout.startswith("job 0 on "), "a second connection, beside the run's own"
        table.open(*range(6))
        assert run.wait(60) == 0, table.said()
        said = table.said()
    finally:
        table.stop()
    assert "new: learnt its host key" in said
    assert "forced is not used: something else than burnish's agent ran there and ended" in said
    assert "by appointment only" in said and f"look at what `ssh -F {bench.config} forced echo hello` prints" in said
    assert "changed is not used: its host key has changed" in said and "ssh-keygen -R" in said
