"""What ssh would do for a host name, asked of ssh itself: `ssh -G NAME`.

Only ssh reads its configuration right (`Include`, `Match`, canonical names, the distribution's defaults), so it is asked and its
answer parsed. What burnish uses of it is an `Endpoint`; everything else in the answer (forwarding, multiplexing, ciphers, ...)
is left alone. Where no ssh program is found, the inventory alone counts, and a note says so.
"""

from __future__ import annotations

import getpass
import os
import re
import shlex
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.errors import LASTING, HostRefused, HostUnreachable, printable
from burnish.remote.known_hosts import SSH_PORT, lookup_name

ASK_TIMEOUT = 20.0  # s for `ssh -G`, which runs the commands of `Match exec`
CONNECT_TIMEOUT = 15.0  # s, where the configuration names none
MAX_JUMPS = 8
DEFAULT_IDENTITIES = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
DEFAULT_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
GLOBAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:%-]*")
PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+\\-]*\$?")


class Endpoint(Struct, frozen=True):
    """One sshd to log in to, and how. Paths are absolute; `agent` is the socket of an ssh-agent or None.

    `jump`: the endpoint through which this one is reached. `proxy_command`: a shell command whose stdin and stdout lead there.
    `accept_new`: an unknown host key is learnt instead of refused. `notes`: sentences for the user.
    """

    name: str
    hostname: str
    port: int
    user: str
    identities: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    identities_only: bool = False
    agent: str | None = None
    known_hosts: tuple[str, ...] = ()
    global_known_hosts: tuple[str, ...] = ()
    host_key_alias: str | None = None
    accept_new: bool = False
    hash_known_hosts: bool = False
    connect_timeout: float = CONNECT_TIMEOUT
    address_family: socket.AddressFamily = socket.AF_UNSPEC
    jump: Endpoint | None = None
    proxy_command: str | None = None
    ssh_config: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """`alice@10.0.0.9:2222`, without the port when it is 22."""
        host = f"[{self.hostname}]" if ":" in self.hostname else self.hostname
        return f"{self.user}@{host}" + (f":{self.port}" if self.port != SSH_PORT else "")

    @property
    def key_name(self) -> str:
        """What this host is called in known_hosts."""
        return lookup_name(self.hostname, self.port, self.host_key_alias)

    @property
    def login_command(self) -> str:
        """What a person types to log in there by hand."""
        return shlex.join(["ssh", *(["-F", self.ssh_config] if self.ssh_config else []), self.name])


def resolve(host: Host, *, ssh: str = "ssh") -> Endpoint:
    """The endpoint for `host`, with its chain of jumps. `ssh` is the program asked.

    Raises HostRefused when ssh refuses the name or its configuration, or when jumps go round in a circle, and HostUnreachable
    when ssh cannot be asked now.
    """
    return _resolve(host, ssh, MAX_JUMPS)


def _resolve(host: Host, ssh: str, jumps_left: int) -> Endpoint:
    options = _ask(host, ssh)
    endpoint = _without_ssh(host) if options is None else _endpoint(host, options)
    jump = (host.proxy_jump if options is None else _one(options, "proxyjump")) or "none"
    if jump.lower() == "none":
        return endpoint
    if jumps_left == 0:
        raise HostRefused(f"{host.name}: more than {MAX_JUMPS} jumps lead there; does a ProxyJump lead to itself?")
    # As `ssh -J a,b` does: b is asked to be reached through a, and a by its own configuration.
    before, _, last = jump.rpartition(",")
    hop = _hop(host, last, before or None)
    return replace(endpoint, jump=_resolve(hop, ssh, jumps_left - 1))


def _ask(host: Host, ssh: str) -> dict[str, list[str]] | None:
    """The answer of `ssh -G` as option -> its lines; None where there is no ssh program."""
    argv = [ssh, "-T", "-G"]
    if host.ssh_config:
        argv += ["-F", os.path.expanduser(host.ssh_config)]
    if host.hostname:
        argv += ["-o", f"HostName={host.hostname}"]
    if host.port:
        argv += ["-p", str(host.port)]
    if host.user:
        argv += ["-l", host.user]
    if host.proxy_jump:
        argv += ["-J", host.proxy_jump]
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen([*argv, "--", host.name], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as answer:
            try:
                out, err = answer.communicate(timeout=ASK_TIMEOUT)
            except subprocess.TimeoutExpired:
                how = _hangs(answer.pid)
                answer.kill()
                raise HostUnreachable(
                    f"{host.name}: `ssh -G {host.name}` gave no answer in {ASK_TIMEOUT:.0f} s; {how} It is tried again."
                ) from None
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in LASTING:
            raise HostUnreachable(
                f"{host.name}: {ssh} cannot be run now ({error.strerror}). It is tried again."
            ) from None
        raise HostRefused(f"{host.name}: {ssh} cannot be run ({error.strerror}). This host is left out.") from None
    if answer.returncode < 0:
        raise HostUnreachable(
            f"{host.name}: `ssh -G {host.name}` was ended by signal {-answer.returncode}. It is tried again."
        )
    if answer.returncode != 0:
        said = printable(os.fsdecode(err).strip().rpartition("\n")[2])
        raise HostRefused(f"{host.name}: ssh does not accept its configuration: {said}. This host is left out.")
    return parse_answer(os.fsdecode(out))


def _hangs(pid: int) -> str:
    """Why a child that we have not waited for gives no answer, a sentence: as far as the kernel tells (proc(5), state)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        state = ""
    told = {
        "T": "somebody has stopped it.",
        "D": "it waits for a disk, or a file server.",
        "Z": "it has ended, and what it started holds its output.",
    }
    return told.get(state, "does a `Match exec` in the ssh configuration hang?")


def parse_answer(text: str) -> dict[str, list[str]]:
    """Option (lower case) -> values, in order, of the `key value` lines that `ssh -G` prints."""
    options: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        options.setdefault(key.lower(), []).append(value.strip())
    return options


def _endpoint(host: Host, options: Mapping[str, Sequence[str]]) -> Endpoint:
    hostname, user = _one(options, "hostname") or host.name, _one(options, "user") or getpass.getuser()
    port = _one(options, "port") or str(SSH_PORT)
    for what, value, pattern in (("host name", hostname, HOST), ("user", user, USER), ("port", port, PORT)):
        if not pattern.fullmatch(value):
            raise HostRefused(
                f"{host.name}: ssh gives the {what} {printable(value)!r}, which burnish does not pass on."
            )
    tokens = {
        "%": "%", "h": hostname, "n": host.name, "p": port, "r": user, "u": getpass.getuser(), "i": str(os.getuid()),
        "d": os.path.expanduser("~"), "l": socket.gethostname(), "L": socket.gethostname().partition(".")[0],
    }  # fmt: skip
    alias = _one(options, "hostkeyalias")
    command = _one(options, "proxycommand")
    timeout = _one(options, "connecttimeout") or ""
    return Endpoint(
        name=host.name,
        hostname=hostname,
        port=int(port),
        user=user,
        identities=tuple(_path(value, tokens) for value in options.get("identityfile", ()) if value != "none"),
        certificates=tuple(_path(value, tokens) for value in options.get("certificatefile", ()) if value != "none"),
        identities_only=_one(options, "identitiesonly") == "yes",
        agent=_agent(_one(options, "identityagent"), tokens),
        known_hosts=_files(_one(options, "userknownhostsfile"), tokens),
        global_known_hosts=_files(_one(options, "globalknownhostsfile"), tokens),
        host_key_alias=expand(alias, tokens) if alias else None,
        # `no` accepts even changed keys; burnish goes only as far as accept-new.
        accept_new=host.host_keys == "accept-new"
        or _one(options, "stricthostkeychecking") in ("accept-new", "no", "off", "false"),
        hash_known_hosts=_one(options, "hashknownhosts") == "yes",
        connect_timeout=float(timeout) if timeout.isdigit() and int(timeout) > 0 else CONNECT_TIMEOUT,
        address_family={"inet": socket.AF_INET, "inet6": socket.AF_INET6}.get(
            _one(options, "addressfamily") or "", socket.AF_UNSPEC
        ),
        proxy_command=expand(command, tokens) if command and command != "none" else None,
        ssh_config=host.ssh_config and os.path.expanduser(host.ssh_config),
    )


def _without_ssh(host: Host) -> Endpoint:
    return Endpoint(
        name=host.name,
        hostname=host.hostname or host.name,
        port=host.port or SSH_PORT,
        user=host.user or getpass.getuser(),
        identities=tuple(map(os.path.expanduser, DEFAULT_IDENTITIES)),
        agent=os.environ.get("SSH_AUTH_SOCK") or None,
        known_hosts=tuple(map(os.path.expanduser, DEFAULT_KNOWN_HOSTS)),
        global_known_hosts=GLOBAL_KNOWN_HOSTS,
        accept_new=host.host_keys == "accept-new",
        ssh_config=host.ssh_config,
        notes=(
            "There is no ssh program here to read the ssh configuration with, so it is not used. What a host needs of it "
            "(hostname, port, user, proxy_jump) must stand in the inventory.",
        ),
    )


def _hop(host: Host, text: str, before: str | None) -> Host:
    """The jump host `[user@]host[:port]` (or `ssh://…`) on the way to `host`, reached through `before`."""
    user, _, rest = text.strip().removeprefix("ssh://").rpartition("@")
    match = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]+|[^:]*:[^:]*:.*))(?::(?P<port>\d{1,5}))?/?", rest)
    name = (match["v6"] or match["host"]) if match else ""
    if not match or not HOST.fullmatch(name) or (user and not USER.fullmatch(user)):
        raise HostRefused(f"{host.name}: {printable(text)!r} is no jump host; expected [user@]host[:port].")
    return Host(
        HostName(name),
        user=user or None,
        port=int(match["port"]) if match["port"] else None,
        proxy_jump=before,
        ssh_config=host.ssh_config,
        host_keys=host.host_keys,
    )


def expand(text: str, tokens: Mapping[str, str]) -> str:
    """`text` with its %-tokens replaced; those that are not in `tokens` stay as they are."""
    return re.sub(r"%(.)", lambda match: tokens.get(match[1], match[0]), text)


def _path(text: str, tokens: Mapping[str, str]) -> str:
    bare = text.removeprefix('"').removesuffix('"')
    known = re.sub(r"\$\{(\w+)\}", lambda match: os.environ.get(match[1], ""), bare)
    return os.path.expanduser(expand(known, tokens))


def _files(text: str | None, tokens: Mapping[str, str]) -> tuple[str, ...]:
    """The paths in a line of them. ssh prints a path with spaces without quotes, so words are joined while that names a file."""
    words, found = (text or "").split(" "), []
    while words and words != [""]:
        for count in range(len(words), 0, -1):
            path = _path(" ".join(words[:count]), tokens)
            if count == 1 or os.path.isfile(path):
                break
        found.append(path)
        del words[:count]
    return tuple(path for path in found if path not in ("none", ""))


def _agent(text: str | None, tokens: Mapping[str, str]) -> str | None:
    if text == "none":
        return None
    if text is None or text == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK") or None
    if text.startswith("$") and not text.startswith("${"):
        return os.environ.get(text[1:]) or None
    return _path(text, tokens)


def _one(options: Mapping[str, Sequence[str]], key: str) -> str | None:
    values = options.get(key)
    return values[0] if values and values[0] else None
