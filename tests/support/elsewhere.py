"""Other machines, for all that a coordinator can see of where it runs: a host name, a boot id and a network of their own."""

from __future__ import annotations

from pathlib import Path

ENTER = 'hostname "$0"; ip link set lo up; mount --bind "$1" /proc/sys/kernel/random/boot_id; shift; exec "$@"'


def on(machine: str, folder: Path) -> list[str]:
    """The words that run a command on `machine`. `folder` keeps its boot id. Needs root, for the namespaces."""
    boot = folder / f"boot-{machine}"
    boot.write_text(f"booted-{machine}\n")
    return ["unshare", "--uts", "--net", "--mount", "sh", "-c", ENTER, machine, str(boot)]
