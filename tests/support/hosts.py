"""Hosts for tests and benchmarks: real sshds in namespaces, each with its own name, home, processes, /var/tmp and machine-id.

A host differs from this machine in what burnish looks at: process ids (and so its incarnation), host name, machine-id,
account, home, /var/tmp and network, with a cable of its own to ours. Ours is not the machine's either: the first bench moves
its process into a network that holds the cables and nothing else. The account `alice` is not root, and logs in with a key that
the bench made. Nothing outside the bench's folder is read or written: ssh configuration, known_hosts and keys are the bench's
own. Needs root, for the namespaces. Hosts end with the test's process, even when that is killed.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TypeVar

from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from tests.support.proc import alive
from tests.support.waiting import wait_for

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
ACCOUNT, UID = "alice", 4242
LOOPBACK = "127.0.1."
CABLES = ip_network("10.98.0.0/16")  # four addresses for each: the second is our end, the third the host's
FAKES = Path(__file__).resolve().parent.parent / "fakes" / "bin"

# Runs as root in the new namespaces, and becomes the host's process 1.
BOOT = """
set -eu
if [ -n "$CABLE" ]; then
    ours=/proc/$STARTER/ns/net
    ip link set lo up
    nsenter --net="$ours" ip link del "$CABLE" 2>/dev/null || true
    ip link add eth0 type veth peer name "$CABLE" netns "$ours"
    printf '%s\n' "addr add $ADDRESS/30 dev eth0" "link set eth0 up" | ip -batch -
    printf '%s\n' "addr add $GATEWAY/30 dev $CABLE" "link set $CABLE up" | nsenter --net="$ours" ip -batch -
    ip route add default via "$GATEWAY"
fi
mount --make-rprivate /
mount -t proc proc /proc
hostname "$NAME"
mount -t tmpfs -o mode=755 tmpfs /home
mkdir /home/$ACCOUNT /home/fakes /home/tools /home/gpus
mount --bind "$FOLDER/home" /home/$ACCOUNT
mount --bind "$FAKES" /home/fakes
mount --bind "$FOLDER/tools" /home/tools
mount --bind "$FOLDER/gpus" /home/gpus
mount --bind "$FOLDER/var_tmp" /var/tmp
mount --bind "$FOLDER/machine-id" /etc/machine-id
mount --bind "$FOLDER/passwd" /etc/passwd
for mount in $MOUNTS; do
    mkdir "/home/${mount%%=*}"
    mount --bind "${mount#*=}" "/home/${mount%%=*}"
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
exec /usr/sbin/sshd -D -e -f "$FOLDER/sshd_config"
"""


@dataclass
class RemoteHost:
    """One host. `options` are lines for its sshd_config; changes to the files in `folder` count from the next `start`."""

    name: str
    folder: Path
    address: str
    port: int
    options: tuple[str, ...] = ()
    network: Network | None = None
    mounts: dict[str, Path] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def cable(self) -> str:
        """The name of our end of its cable."""
        return "to-" + self.address.removeprefix("10.")

    @property
    def home(self) -> Path:
        """The account's home folder, as this machine sees it."""
        return self.folder / "home"

    @property
    def gpus(self) -> Path:
        """What its nvidia-smi answers from."""
        return self.folder / "gpus"

    @property
    def log(self) -> str:
        """What its sshd said."""
        path = self.folder / "sshd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Boot it, with new processes and the files it had. Returns when its sshd answers."""
        enter, own = (self.network.enter, "") if self.network else ((), "--net")
        boot = f"setpriv --pdeathsig KILL unshare {own} --pid --mount --uts --fork --kill-child sh -c"
        seen = len(self.log)
        self.process = subprocess.Popen(
            [*enter, *shlex.split(boot), BOOT],
            env={
                "CABLE": "" if self.network else self.cable, "STARTER": str(os.getpid()), "ADDRESS": self.address,
                "GATEWAY": str(ip_address(self.address) - 1),
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NAME": self.name, "FOLDER": str(self.folder), "FAKES": str(FAKES),
                "ACCOUNT": ACCOUNT, "MOUNTS": " ".join(f"{name}={path}" for name, path in self.mounts.items()),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "sshd.log").open("ab"),
        )  # fmt: skip
        wait_for(lambda: self._listens(seen), lambda: f"{self.name} did not boot:\n{self.log}")

    def stop(self) -> None:
        """Pull its plug: every process of it is killed."""
        if self.process is not None:
            init = children(self.process.pid)
            self.process.kill()
            self.process.wait()
            wait_for(lambda: not any(alive(pid) for pid in init), f"{self.name} does not end")
            self.process = None

    def switch_off(self) -> None:
        """Likewise, and wait until its network does not answer any more: "refused" would come from a machine that is on."""
        self.stop()
        wait_for(lambda: self.cable not in [name for _, name in socket.if_nameindex()], "its network outlives it")

    def sessions(self) -> list[int]:
        """The pids, on this machine, of the sshd processes that serve its connections, parents first."""
        assert self.process is not None
        return [pid for init in children(self.process.pid) for pid in descendants(init) if _command(pid) == "sshd"]

    def processes(self) -> list[int]:
        """The pids, on this machine, of everything that runs on it but its first sshd."""
        assert self.process is not None
        return [pid for init in children(self.process.pid) for pid in descendants(init)]

    def renew_key(self, kind: str = "ed25519") -> str:
        """Give it another host key (used from the next connection on). Returns the public key's two words."""
        key = self.folder / "host_key"
        for path in (key, key.with_suffix(".pub")):
            path.unlink()
        return make_key(key, kind)

    def _listens(self, seen: int) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} did not boot (are we root?):\n{self.log}")
        return "Server listening on" in self.log[seen:]


class Network:
    """A network of the bench's own, with nothing but a loopback, that can be cut. Hosts in it are reached from `inside`.

    Its hosts have the addresses `prefix` and a number.
    """

    def __init__(self, prefix: str = LOOPBACK) -> None:
        self.prefix = prefix
        holder = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"]
        self._holder = subprocess.Popen(holder, stdin=subprocess.DEVNULL)
        self._path = f"/proc/{self._holder.pid}/ns/net"
        here = os.readlink("/proc/self/ns/net")
        wait_for(lambda: os.readlink(self._path) != here, "no network of its own")
        self.mend()

    @property
    def enter(self) -> tuple[str, ...]:
        """The words that run a command in this network."""
        return ("nsenter", f"--net={self._path}", "--")

    def cut(self) -> None:
        """From now on every packet is lost, silently, in both directions."""
        self._link("down")

    def mend(self) -> None:
        """Packets arrive again."""
        self._link("up")

    def inside(self, function: Callable[[], T]) -> T:
        """What `function` returns in a thread of its own that is in this network; the sockets it makes stay there."""
        with ThreadPoolExecutor(1, initializer=self._move_thread) as thread:
            return thread.submit(function).result()

    def close(self) -> None:
        """Give it up; call when its hosts have ended."""
        self._holder.kill()
        self._holder.wait()

    def _move_thread(self) -> None:
        with open(self._path, "rb") as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def _link(self, state: str) -> None:
        subprocess.run([*self.enter, "ip", "link", "set", "lo", state], check=True)


class Bench:
    """Hosts, and the ssh configuration, key and known_hosts of the person who reaches them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts: dict[str, RemoteHost] = {}
        self.config = folder / "ssh_config"
        self.known_hosts = folder / "known_hosts"
        self.key = folder / "id_ed25519"
        self.known_hosts.touch()
        self._public = make_key(self.key)
        leave_the_machines_network()
        self._extra: list[str] = []

    def add(
        self,
        name: str,
        *,
        shell: str = "bash",
        rc: dict[str, str] | None = None,
        options: tuple[str, ...] = (),
        without: str | None = None,
        gpus: Path | None = None,
        network: Network | None = None,
        through: str | None = None,
        known: bool = True,
        mounts: dict[str, Path] | None = None,
        home_of: RemoteHost | None = None,
    ) -> RemoteHost:
        """Boot a host and tell ssh_config and known_hosts of it.

        `rc`: files in its home; `options`: lines for sshd_config; `without`: the programs whose names begin so are not
        on its PATH; `gpus`: recordings for its nvidia-smi, without which it has none (they are copied to `host.gpus`, to be
        changed while it runs); `network`: where it is, when not where we are; `through`: its ProxyJump; `known`: whether
        its key is in known_hosts; `mounts`: folders of this machine that it has below /home, by name;
        `home_of`: the host whose home it shares, as over NFS.
        """
        folder = self.folder / name
        folder.mkdir()
        if home_of:
            (folder / "home").symlink_to(home_of.home)
        (folder / "home" / ".ssh").mkdir(parents=True, exist_ok=home_of is not None)
        (folder / "var_tmp").mkdir()
        (folder / "var_tmp").chmod(0o1777)
        (folder / "machine-id").write_text(os.urandom(16).hex() + "\n")
        _write_passwd(folder / "passwd", shell)
        (folder / "home" / ".ssh" / "authorized_keys").write_text(self._public + "\n")
        for file, text in (rc or {}).items():
            (folder / "home" / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / "home" / file).write_text(text)
        for entry in [folder / "home", *(folder / "home").rglob("*")]:
            os.chown(entry, UID, UID)
        address = f"{network.prefix}{len(self.hosts) + 1}" if network else str(next(_cables)[2])
        host = RemoteHost(name, folder, address, free_port(), options, network, mounts or {})
        public = make_key(folder / "host_key")
        (folder / "tools").mkdir()
        shutil.copytree(gpus, folder / "gpus") if gpus else (folder / "gpus").mkdir()
        if without:
            _link_tools(folder / "tools", without)
        _write_sshd_config(host, _path(bool(without), bool(gpus)))
        self.hosts[name] = host
        self.configure(
            f"Host {name}\n  HostName {host.address}\n  Port {host.port}\n  User {ACCOUNT}\n"
            + (f"  ProxyJump {through}\n" if through else "")
        )
        if known:
            self.know(host, public)
        host.start()
        return host

    def know(self, host: RemoteHost, public: str) -> None:
        """Add a line for `host` to known_hosts."""
        with self.known_hosts.open("a") as file:
            file.write(f"[{host.address}]:{host.port} {public}\n")

    def configure(self, text: str) -> None:
        """Add a block to the ssh configuration; earlier ones win, as ever."""
        self._extra.append(text)
        common = (
            f"Host *\n  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile none\n  IdentityFile {self.key}\n"
            "  IdentitiesOnly yes\n  IdentityAgent none\n"
        )
        self.config.write_text("".join([*self._extra, common]))

    def entry(self, name: str, **changes: object) -> Host:
        """The host `name` of an inventory that says nothing but `ssh_config` and `changes`."""
        return Host(HostName(name), ssh_config=str(self.config), **changes)  # type: ignore[arg-type]

    def close(self) -> None:
        """Stop all hosts."""
        for host in self.hosts.values():
            host.stop()


_cables = CABLES.subnets(new_prefix=30)


@functools.cache
def leave_the_machines_network() -> None:
    """Move this thread, and all that it starts from now on, into a network of its own that passes packets on among its cables."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def make_key(path: Path, kind: str = "ed25519") -> str:
    """Make a key pair at `path`; the public key's two words, as known_hosts and authorized_keys hold them."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", path], check=True, stdin=subprocess.DEVNULL
    )
    return Path(f"{path}.pub").read_text().strip()


def free_port() -> int:
    """A port that nobody listens on now, on any loopback address."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def children(pid: int) -> list[int]:
    """The pids of the processes that `pid` started and that still are its own."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    """The pids below `pid`, parents first."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _write_passwd(path: Path, shell: str) -> None:
    program = shutil.which(shell)
    assert program is not None, f"{shell} is not installed here: scripts/debian_packages names what the tests need"
    others = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith(f"{ACCOUNT}:")]
    path.write_text("\n".join([*others, f"{ACCOUNT}:*:{UID}:{UID}::/home/{ACCOUNT}:{program}"]) + "\n")


def _path(tools: bool, gpus: bool) -> str:
    return ("/home/fakes:" if gpus else "") + ("/home/tools" if tools else "/usr/bin:/bin")


def _link_tools(folder: Path, missing: str) -> None:
    for source in (Path("/usr/bin"), Path("/bin")):
        for tool in source.iterdir():
            link = folder / tool.name
            if not tool.name.startswith(missing) and not link.is_symlink():
                link.symlink_to(tool)


def _write_sshd_config(host: RemoteHost, path: str) -> None:
    lines = (
        *host.options,
        f"ListenAddress {host.address}:{host.port}",
        f"HostKey {host.folder}/host_key",
        "PidFile none",
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        f"SetEnv PATH={shlex.quote(path)}",
        "LogLevel VERBOSE",
    )
    (host.folder / "sshd_config").write_text("\n".join(lines) + "\n")
