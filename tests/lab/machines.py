"""Machines for tests: user-mode Linux kernels, each with processes, disk, sshd and cable of its own, and one NFS server.

`node0` exports a folder of its disk, and the others mount it as /mnt/nfs over NFSv4.2: locks, caches, renames, and what a power
loss takes are those of real kernels. A machine's root is this machine's, read-only; /root, /home and /var/tmp are on its disk,
which is what it has left after a power loss. Needs root and /dev/net/tun. All of it is in a network of its own that nothing
else can reach, and ends with the process that made it, even when that is killed.
"""

from __future__ import annotations

import compileall
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.hosts import Network, make_key
from tests.support.waiting import wait_for

INIT = Path(__file__).with_name("init.sh")
ROOT = Path(__file__).resolve().parents[2]
NET = "10.77.0.1"  # and the machine's number
HIDDEN = ("/root", "/home", "/tmp", "/var/tmp", "/run", "/mnt", "/dev/shm")  # folders that are the machine's own
MEMORY, DISK = "400M", 2 << 30
TIED = ("setpriv", "--pdeathsig", "KILL", "--")  # a process that ends with us


@dataclass
class Machine:
    """One machine of a lab."""

    lab: Lab
    number: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"node{self.number}"

    @property
    def boot_id(self) -> str:
        """What its kernel drew when it booted; empty while it boots."""
        path = self.lab.folder / f"{self.name}.up"
        return path.read_text().strip() if path.exists() else ""

    @property
    def console(self) -> Path:
        return self.lab.folder / f"{self.name}.console"

    def power_on(self) -> None:
        """Begin to boot, with the disk that it had."""
        disk = self.lab.folder / f"{self.name}.disk"
        if not disk.exists():
            with disk.open("wb") as file:
                file.truncate(DISK)
            subprocess.run(["mkfs.ext4", "-q", disk], check=True)
        (self.lab.folder / f"{self.name}.up").unlink(missing_ok=True)
        words = [
            f"mem={MEMORY}", f"ubda={disk}", "root=none", "rootfstype=hostfs", "rootflags=/", "ro", f"init={INIT}",
            f"node={self.number}", f"net={NET}", f"lab={self.lab.folder}", f"lend={':'.join(lent())}",
            f"eth0=tuntap,tap{self.number},,", "con=null", "con0=null,fd:1", "ssl=null",
            f"uml_dir={self.lab.folder}", f"umid={self.name}.{os.urandom(3).hex()}",
        ]  # fmt: skip
        # Every process of the machine is one of this process namespace, whose end is a power loss.
        alone = ["unshare", "--pid", "--mount-proc", "--fork", "--kill-child"]
        with self.console.open("ab") as console:
            self.process = subprocess.Popen(
                [*self.lab.enter, *TIED, *alone, "linux.uml", *words],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )

    def wait_until_up(self) -> None:
        def up() -> str:
            assert self.process is not None and self.process.poll() is None, f"{self.name} died: {self.console}"
            return self.boot_id

        wait_for(up, lambda: f"{self.name} did not boot: {self.console}", deadline=120)

    def boot(self) -> None:
        """Power on, and wait until its sshd answers."""
        self.power_on()
        self.wait_until_up()

    def crash(self) -> None:
        """Power loss: what its kernel had not written to its disk is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def cut(self) -> None:
        """Pull its cable."""
        self.lab.ip("link", "set", f"tap{self.number}", "down")

    def heal(self) -> None:
        """Plug its cable in again."""
        self.lab.ip("link", "set", f"tap{self.number}", "up")

    def ssh(self, command: str) -> list[str]:
        """The words that run a shell command on it, from here."""
        known = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        alive = ["-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10"]
        key = ["-F", "none", "-i", str(self.lab.folder / "id_ed25519"), "-o", "BatchMode=yes"]
        return [*self.lab.enter, "ssh", *key, *known, *alive, f"root@{NET}{self.number}", command]

    def run(self, command: str, *, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a shell command on it to its end. With `check`, any exit code but 0 fails the test with what was said."""
        done = subprocess.run(
            self.ssh(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
        said = f"{self.name}: {command}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert not check or done.returncode == 0, said
        return done

    def says(self, command: str) -> str:
        """What a shell command on it prints."""
        return self.run(command).stdout.strip()

    def write(self, path: str, text: str) -> None:
        """Put a file there, in place of what is there."""
        subprocess.run(self.ssh(f"cat > {shlex.quote(path)}"), input=text, text=True, check=True, timeout=60)


class Lab:
    """Machines `node0` (the NFS server) to `node<count - 1>`, all booted, until `close`. What they leave is in `folder`."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        make_key(folder / "id_ed25519")
        compileall.compile_dir(ROOT / "burnish", quiet=1)  # the machines cannot write there, and are slow
        self._network = Network()
        self.nodes = [Machine(self, number) for number in range(count)]
        try:
            self._wire()
            for node in self.nodes:
                make_key(folder / f"host{node.number}")
            for node in self.nodes:
                node.power_on()
            for node in self.nodes:
                node.wait_until_up()
        except BaseException:
            self.close()
            raise

    @property
    def enter(self) -> tuple[str, ...]:
        """The words that run a command in the lab's network."""
        return self._network.enter

    def ip(self, *words: str) -> None:
        """Change the lab's network."""
        subprocess.run([*self.enter, "ip", *words], check=True)

    def close(self) -> None:
        """Switch everything off."""
        for node in self.nodes:
            node.crash()
        self._network.close()

    def _wire(self) -> None:
        self.ip("link", "add", "switch", "type", "bridge")
        self.ip("addr", "add", f"{NET.rpartition('.')[0]}.1/24", "dev", "switch")
        self.ip("link", "set", "switch", "up")
        for node in self.nodes:
            self.ip("tuntap", "add", f"tap{node.number}", "mode", "tap")
            self.ip("link", "set", f"tap{node.number}", "master", "switch")
            self.ip("link", "set", f"tap{node.number}", "up")


def lent() -> Sequence[str]:
    """Folders that this project and its Python need and that the machines' own folders would hide."""
    needed = [str(ROOT), sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent), *sys.path]
    hidden = {path for path in needed if Path(path).is_dir() and any(_within(path, own) for own in HIDDEN)}
    return sorted(path for path in hidden if not any(_within(path, other) for other in hidden - {path}))


def _within(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)
