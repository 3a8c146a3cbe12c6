"""The lab that the SSH benchmarks run in: real sshds on this machine, near by and at the end of a long wire. Needs root."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.hosts import ACCOUNT, Bench  # noqa: E402
from tests.support.wire import Wire  # noqa: E402

__all__ = ["ACCOUNT", "SLOTS", "Bench", "Site", "near_and_far"]

HOSTS = 4
SLOTS = 4  # per host
SHARED = "  ControlMaster auto\n  ControlPath {}/master-%C\n  ControlPersist 60\n"


@dataclass(frozen=True)
class Site:
    """Hosts at one distance. `enter`: the words that run a command where it can reach them."""

    bench: Bench
    names: tuple[str, ...]
    enter: tuple[str, ...] = ()

    @property
    def slots(self) -> int:
        return SLOTS * len(self.names)

    @property
    def shared_config(self) -> Path:
        """An ssh configuration in which all sessions to a host share one connection."""
        path = self.bench.folder / "shared_config"
        path.write_text(self.bench.config.read_text() + SHARED.format(self.bench.folder))
        return path

    def addresses(self) -> list[str]:
        """Address and port of each host."""
        return [f"{self.bench.hosts[name].address}:{self.bench.hosts[name].port}" for name in self.names]

    def inventory(self, folder: Path, slots: int = SLOTS) -> str:
        """Write an inventory of them; its name."""
        defaults = f"ssh_config: {self.bench.config}, gpus: none, slots: {slots}, workdir: /"
        (folder / "lab.yaml").write_text(f"defaults: {{{defaults}}}\nhosts: [{', '.join(self.names)}]\n")
        return "lab.yaml"


@contextlib.contextmanager
def near_and_far(folder: Path, delay: float) -> Iterator[tuple[Site, Site]]:
    """Two sites of `HOSTS` hosts: near, and `delay` s away each way."""
    bench = Bench(folder)
    wire = Wire(delay)
    try:
        near = [bench.add(f"near{number}").name for number in range(1, HOSTS + 1)]
        far = [bench.add(f"far{number}", network=wire.far).name for number in range(1, HOSTS + 1)]
        yield Site(bench, tuple(near)), Site(bench, tuple(far), wire.near.enter)
    finally:
        bench.close()
        wire.close()
