"""The SSH transport against real sshds: what gets through, what is refused with which sentence, and what ends a wait."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fabric
import pytest

from burnish.core import reports
from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.errors import BurnishError, HostRefused, HostUnreachable
from burnish.remote import ssh, wire
from burnish.remote.agent.frames import PROTOCOL, FrameReader, encode_frame
from burnish.remote.doorstep import Doorsteps
from burnish.remote.link import Link
from burnish.remote.ssh import SshChannel, SshTransport
from burnish.remote.transport import bootstrap
from tests.support.hosts import ACCOUNT, Bench, Network, free_port, make_key
from tests.support.waiting import wait_for

ECHO = "exec cat"  # instead of the loader: what is written comes back


def transport(bench: Bench, name: str, notes: list[str] | None = None, **entry: Any) -> SshTransport:
    note = None if notes is None else notes.append
    return SshTransport(bench.entry(name, **entry), note=note, doorsteps=Doorsteps(at_once=8, failures=2))


def welcome(channel: SshChannel) -> dict[str, object]:
    """Start the real agent over `channel` and return its answer to hello."""
    frames = FrameReader()
    early = bootstrap(channel)
    channel.write(encode_frame({"type": "hello", "protocol": PROTOCOL, "table": "0" * 16, "state_dir": "~/.burnish"}))
    received = list(frames.feed(early))
    while not received:
        data = channel.read(1 << 16)
        assert data, "the agent ended"
        received = list(frames.feed(data))
    return dict(received[0][0])


def refusal(bench: Bench, name: str, kind: type[BurnishError] = HostRefused, **entry: Any) -> BurnishError:
    """The error that reaching `name` and starting the agent there ends with."""
    with pytest.raises(kind) as caught:
        bootstrap(transport(bench, name, **entry).open())
    assert "Traceback" not in str(caught.value)
    return caught.value


def fds() -> list[str]:
    """The open file descriptors of this process."""
    return os.listdir("/proc/self/fd")


def fingerprint(public: str) -> str:
    listed = subprocess.run(["ssh-keygen", "-lf", "-"], input=public, text=True, capture_output=True, check=True)
    return listed.stdout.split()[1]


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "fish", "tcsh"])
def test_agent_answers_whatever_the_login_shell(bench: Bench, shell: str) -> None:
    bench.add("gpu1", shell=shell)
    channel = transport(bench, "gpu1").open()
    answer = welcome(channel)
    assert (answer["type"], answer["hostname"]) == ("welcome", "gpu1")
    channel.close()


def test_hosts_of_the_bench_are_different_machines(bench: Bench) -> None:
    here = Path("/proc/sys/kernel/hostname").read_text().strip()
    for name in ("gpu1", "gpu2"):
        bench.add(name)
    answers = [welcome(transport(bench, name).open()) for name in ("gpu1", "gpu2")]
    for key in ("state_id", "hostname", "incarnation"):
        assert answers[0][key] != answers[1][key]
    assert here not in [answer["hostname"] for answer in answers]
    assert all((bench.hosts[name].home / ".burnish").is_dir() for name in bench.hosts)


def test_a_shell_that_prints_at_login_is_talked_through(bench: Bench) -> None:
    bench.add("gpu1", rc={".bashrc": "echo welcome to gpu1; echo be nice >&2\n"})
    assert welcome(transport(bench, "gpu1").open())["type"] == "welcome"


def test_every_byte_comes_back_in_order(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 MiB each way at once, with keys renegotiated every MiB, through one session without SFTP."""
    monkeypatch.setattr(ssh, "remote_command", lambda _python: ECHO)
    bench.add("gpu1", options=("MaxSessions 1", "RekeyLimit 1M"))
    channel = transport(bench, "gpu1").open()
    sent = os.urandom(1 << 20) * 8
    writer = threading.Thread(target=channel.write, args=(sent,), daemon=True)
    writer.start()
    digest, length = hashlib.sha256(), 0
    while length < len(sent):
        data = channel.read(1 << 16)
        assert 0 < len(data) <= 1 << 16
        digest.update(data)
        length += len(data)
    writer.join(20)
    assert (length, digest.digest()) == (len(sent), hashlib.sha256(sent).digest())
    channel.close()


def test_a_flood_on_stderr_stops_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "remote_command", lambda _python: "head -c 8000000 /dev/zero >&2; echo through; cat")
    bench.add("gpu1")
    channel = transport(bench, "gpu1").open()
    threading.Timer(20, channel.close).start()
    assert channel.read(100) == b"through\n"
    channel.close()


def test_host_behind_two_jumps(bench: Bench) -> None:
    bench.add("login")
    bench.add("inner", through="login")
    bench.add("gpu1", through="inner")
    assert welcome(transport(bench, "gpu1").open())["hostname"] == "gpu1"
    assert all(
        "session opened" in bench.hosts[name].log or "Accepted publickey" in bench.hosts[name].log
        for name in bench.hosts
    )


def test_jump_from_the_inventory_beats_the_configuration(bench: Bench) -> None:
    bench.add("login", options=("MaxSessions 0",))  # a host for jumping through only
    bench.add("gpu1", through="nowhere")
    assert welcome(transport(bench, "gpu1", proxy_jump="login").open())["hostname"] == "gpu1"
    assert "Accepted publickey" in bench.hosts["login"].log


def test_jump_host_that_does_not_forward(bench: Bench) -> None:
    bench.add("login", options=("AllowTcpForwarding no",))
    bench.add("gpu1", through="login")
    assert "does not forward connections" in str(refusal(bench, "gpu1"))


def test_jump_host_that_cannot_reach_the_target(bench: Bench) -> None:
    bench.add("login")
    bench.add("gpu1", through="login").stop()
    assert "gpu1" in str(refusal(bench, "gpu1", HostUnreachable))


def test_proxy_command_carries_the_connection_and_ends_with_it(bench: Bench) -> None:
    host = bench.add("gpu1")
    record = bench.folder / "proxy.pid"
    relay = bench.folder / "relay"
    relay.write_text(RELAY.format(record=record))
    relay.chmod(0o755)
    bench.configure(
        f"Host behind\n  HostName {host.address}\n  Port {host.port}\n  User {ACCOUNT}\n  ProxyCommand {relay} %h %p\n"
    )
    channel = transport(bench, "behind").open()
    assert welcome(channel)["hostname"] == "gpu1"
    pid = int(record.read_text())
    assert Path(f"/proc/{pid}").exists()
    channel.close()
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), f"ProxyCommand {pid} lives on")


RELAY = """#!/usr/bin/python3
import os, select, socket, sys
open("{record}", "w").write(str(os.getpid()))
far = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while True:
    for ready in select.select([0, far], [], [])[0]:
        data = os.read(0, 65536) if ready == 0 else far.recv(65536)
        if not data:
            sys.exit()
        far.sendall(data) if ready == 0 else os.write(1, data)
"""


def test_included_and_matched_configuration_counts(bench: Bench) -> None:
    """What ssh reads right and paramiko does not: Include, and Match."""
    host = bench.add("gpu1")
    included = bench.folder / "included"
    included.write_text(f"Match originalhost box\n  HostName {host.address}\n  Port {host.port}\n  User {ACCOUNT}\n")
    bench.configure(f"Match all\n  Include {included}\n")
    assert welcome(transport(bench, "box").open())["hostname"] == "gpu1"


def test_unknown_host_key_is_refused_with_fingerprint_and_remedy(bench: Bench) -> None:
    host = bench.add("gpu1", known=False)
    error = refusal(bench, "gpu1")
    assert fingerprint((host.folder / "host_key.pub").read_text()) in str(error)
    assert error.hint and f"ssh -F {bench.config} gpu1" in error.hint and "accept-new" in error.hint
    assert bench.known_hosts.read_text() == ""
    assert "Accepted publickey" not in host.log


@pytest.mark.parametrize("by", ["inventory", "ssh_config"])
def test_accept_new_learns_an_unknown_key_once(bench: Bench, by: str) -> None:
    bench.add("gpu1", known=False)
    if by == "ssh_config":
        bench.configure("Host *\n  StrictHostKeyChecking accept-new\n  HashKnownHosts yes\n")
    notes: list[str] = []
    for _ in range(2):
        channel = transport(
            bench, "gpu1", notes=notes, host_keys="accept-new" if by == "inventory" else "strict"
        ).open()
        assert welcome(channel)["type"] == "welcome"
        channel.close()
    assert len(notes) == 1 and "learnt its host key" in notes[0]
    (line,) = bench.known_hosts.read_text().splitlines()
    assert line.startswith("|1|") == (by == "ssh_config")
    assert welcome(transport(bench, "gpu1").open())["type"] == "welcome"


@pytest.mark.parametrize("policy", ["strict", "accept-new"])
def test_changed_host_key_is_always_refused(bench: Bench, policy: str) -> None:
    host = bench.add("gpu1")
    old = fingerprint((host.folder / "host_key.pub").read_text())
    new = fingerprint(host.renew_key())
    before = bench.known_hosts.read_text()
    host.stop()
    host.start()
    error = refusal(bench, "gpu1", host_keys=policy)
    assert old in str(error) and new in str(error) and f"{bench.known_hosts}:1" in str(error)
    assert error.hint and f"ssh-keygen -R '[{host.address}]:{host.port}' -f {bench.known_hosts}" in error.hint
    assert bench.known_hosts.read_text() == before
    assert "Accepted publickey" not in host.log


def test_revoked_host_key_is_refused(bench: Bench) -> None:
    host = bench.add("gpu1")
    public = (host.folder / "host_key.pub").read_text()
    with bench.known_hosts.open("a") as file:
        file.write(f"@revoked * {public}")
    assert "revoked" in str(refusal(bench, "gpu1", host_keys="accept-new"))


def test_the_key_that_is_known_is_asked_for_when_a_host_has_several(bench: Bench) -> None:
    host = bench.add("gpu1", known=False)
    config = host.folder / "sshd_config"
    bench.know(host, make_key(host.folder / "rsa_key", "rsa"))
    config.write_text(config.read_text() + f"HostKey {host.folder}/rsa_key\n")
    host.stop()
    host.start()
    assert welcome(transport(bench, "gpu1").open())["type"] == "welcome"


def test_login_is_tried_twice_and_then_not_again(bench: Bench) -> None:
    host = bench.add("gpu1")
    (host.home / ".ssh" / "authorized_keys").write_text("")
    way = transport(bench, "gpu1")
    for _ in range(3):
        with pytest.raises(HostRefused) as caught:
            way.open()
        assert "does not accept the one key that was offered" in str(caught.value)
    wait_for(lambda: host.log.count("Failed publickey") == 2, lambda: host.log)
    assert host.log.count("Connection from") - host.log.count("kex_exchange_identification") == 2


def test_key_with_a_passphrase_is_named(bench: Bench) -> None:
    bench.add("gpu1")
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", bench.key], check=True)
    error = refusal(bench, "gpu1")
    assert str(bench.key) in str(error) and "ssh-add" in str(error)


@pytest.fixture
def ssh_agent(bench: Bench) -> Iterator[Path]:
    """The socket of an ssh-agent that holds the bench's key."""
    path = bench.folder / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        wait_for(path.exists)
        subprocess.run(["ssh-add", "-q", bench.key], check=True, env={**os.environ, "SSH_AUTH_SOCK": str(path)})
        yield path
    finally:
        agent.terminate()
        agent.wait()


def test_key_held_by_an_ssh_agent(bench: Bench, ssh_agent: Path) -> None:
    bench.add("gpu1")
    before = len(fds())
    bench.key.unlink()  # the public half stays, and says which of the agent's keys to offer
    bench.configure(f"Host *\n  IdentityAgent {ssh_agent}\n")
    for _ in range(2):
        channel = transport(bench, "gpu1").open()
        assert welcome(channel)["type"] == "welcome"
        channel.close()
    wait_for(lambda: len(fds()) <= before, fds)


def test_agent_is_never_forwarded(bench: Bench, ssh_agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even asked for: neither by ssh's configuration, nor with an agent that was used to log in."""
    monkeypatch.setattr(ssh, "remote_command", lambda _python: 'echo "<$SSH_AUTH_SOCK>"; cat')
    monkeypatch.setenv("SSH_AUTH_SOCK", str(ssh_agent))
    host = bench.add("gpu1", options=("AllowAgentForwarding yes", "LogLevel DEBUG2"))
    bench.key.unlink()
    bench.configure(f"Host *\n  ForwardAgent yes\n  IdentityAgent {ssh_agent}\n")
    assert transport(bench, "gpu1").open().read(100) == b"<>\n"
    wait_for(lambda: "request exec" in host.log, lambda: host.log)
    assert "request auth-agent-req" not in host.log


def test_no_python_names_the_remedy(bench: Bench) -> None:
    for shell in ("bash", "dash", "zsh", "fish", "tcsh"):
        bench.add(f"with-{shell}", shell=shell, without="python")
        error = refusal(bench, f"with-{shell}")
        assert f"with-{shell}: there is no python3 there" in str(error)
        assert error.hint and "python:" in error.hint


def test_old_python_is_named_with_its_version(bench: Bench) -> None:
    """A python3 that takes itself for 3.6.15, before whatever shell."""
    for shell in ("bash", "dash", "zsh", "fish", "tcsh"):
        host = bench.add(f"with-{shell}", shell=shell, without="python")
        old = host.folder / "tools" / "python3"
        old.write_text("#!/usr/bin/python3\nimport sys\nsys.version_info = (3, 6, 15)\nexec(sys.argv[-1])\n")
        old.chmod(0o755)
        error = refusal(bench, f"with-{shell}")
        assert "its Python is 3.6.15, and burnish needs 3.8 or newer" in str(error) and "python:" in str(error.hint)


def test_forced_command_is_told_from_an_agent(bench: Bench) -> None:
    bench.add("gpu1", options=("ForceCommand echo no commands here; exit 3",))
    error = refusal(bench, "gpu1")
    assert "something else than burnish's agent" in str(error) and "exit 3: no commands here" in str(error)


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/bin/false"])
def test_account_without_a_shell(bench: Bench, shell: str) -> None:
    bench.add("gpu1", shell=shell)
    assert "something else than burnish's agent" in str(refusal(bench, "gpu1"))


def test_host_that_opens_no_sessions(bench: Bench) -> None:
    bench.add("gpu1", options=("MaxSessions 0",))
    assert "opens no session" in str(refusal(bench, "gpu1"))


def test_nobody_listens(bench: Bench) -> None:
    bench.add("gpu1")
    error = refusal(bench, "gpu1", HostUnreachable, port=1)
    assert str(error).startswith("gpu1 (alice@10.98.") and "Connection refused" in str(error)


def test_host_that_is_switched_off(bench: Bench) -> None:
    bench.add("gpu1").switch_off()
    assert "Network is unreachable" in str(refusal(bench, "gpu1", HostUnreachable))


def test_listener_that_never_speaks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "HANDSHAKE_TIMEOUT", 1.0)
    with socket.create_server(("127.0.0.1", free_port())) as mute:
        host = Host(HostName("mute"), hostname="127.0.0.1", port=mute.getsockname()[1], ssh_config=str(bench.config))
        bench.configure("")
        began = time.monotonic()
        with pytest.raises(HostUnreachable):
            SshTransport(host, doorsteps=Doorsteps(8, 2)).open()
        assert time.monotonic() - began < 10


def test_name_that_does_not_resolve(bench: Bench) -> None:
    bench.configure("")
    assert "name is not found" in str(refusal(bench, "no-such-host.invalid", HostUnreachable))


def test_close_from_another_thread_wakes_reader_and_writer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the watchdog does to a host that fell silent in the middle: its session stands still, nothing is acknowledged."""
    monkeypatch.setattr(ssh, "remote_command", lambda _python: "exec sleep 1000")
    host = bench.add("gpu1")
    channel = transport(bench, "gpu1").open()
    stopped = host.processes()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    ends: dict[str, object] = {}

    def write() -> None:
        try:
            channel.write(bytes(64 << 20))
        except HostUnreachable as error:
            ends["write"] = error

    threads = [
        threading.Thread(target=lambda: ends.update(read=channel.read(10)), daemon=True),
        threading.Thread(target=write, daemon=True),
    ]
    for thread in threads:
        thread.start()
    threading.Timer(0.5, channel.close).start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert ends["read"] == b"" and isinstance(ends["write"], HostUnreachable)
    channel.close()


def test_host_that_freezes_before_the_command_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """paramiko waits for the reply to a command without a limit of its own; ours cuts the wire."""
    host = bench.add("gpu1")
    original = fabric.Connection.create_session

    def freeze(connection: fabric.Connection) -> object:
        session = original(connection)
        for pid in host.processes():
            os.kill(pid, signal.SIGSTOP)
        return session

    monkeypatch.setattr(fabric.Connection, "create_session", freeze)
    monkeypatch.setattr(ssh, "SESSION_TIMEOUT", 1.0)
    ends: list[BaseException] = []

    def reach() -> None:
        try:
            transport(bench, "gpu1").open()
        except HostUnreachable as error:
            ends.append(error)

    thread = threading.Thread(target=reach, daemon=True)
    thread.start()
    thread.join(15)
    assert not thread.is_alive() and len(ends) == 1


def test_cut_cable_is_noticed_by_the_kernel(bench: Bench, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody hangs up, packets are simply lost: what is written is not acknowledged, and after DEAD_PEER that is the end."""
    monkeypatch.setattr(wire, "DEAD_PEER", 3)
    bench.add("gpu1", network=network)
    channel = network.inside(lambda: transport(bench, "gpu1").open())
    assert welcome(channel)["type"] == "welcome"
    network.cut()
    began = time.monotonic()
    channel.write(encode_frame({"type": "ping", "id": "1"}))
    threading.Timer(20, channel.close).start()
    with pytest.raises(HostUnreachable, match="the connection broke"):
        while channel.read(1 << 16):
            pass
    assert 1 < time.monotonic() - began < 20
    network.mend()
    assert welcome(network.inside(lambda: transport(bench, "gpu1").open()))["hostname"] == "gpu1"


def test_host_that_swallows_packets_is_given_up_in_time(bench: Bench) -> None:
    """A full queue of connections makes the kernel drop further ones silently, as a host that is switched off does."""
    bench.configure("Host *\n  ConnectTimeout 2\n")
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        host = Host(HostName("off"), hostname="127.0.0.1", port=full.getsockname()[1], ssh_config=str(bench.config))
        began = time.monotonic()
        with pytest.raises(HostUnreachable, match="does not answer"):
            SshTransport(host, doorsteps=Doorsteps(8, 2)).open()
        assert 1.5 < time.monotonic() - began < 10


def test_dropped_connection_is_not_a_refusal(bench: Bench) -> None:
    host = bench.add("gpu1")
    channel = transport(bench, "gpu1").open()
    assert welcome(channel)["type"] == "welcome"
    for pid in host.sessions():
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(HostUnreachable):
        while channel.read(1 << 16):
            pass
    assert welcome(transport(bench, "gpu1").open())["type"] == "welcome"


def test_session_ends_when_nobody_can_read_from_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when no thread can be started for its stderr."""
    host = bench.add("gpu1")

    def none_to_be_had(_channel: SshChannel, *_: object) -> None:
        wait_for(host.sessions)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(SshChannel, "__init__", none_to_be_had)
    with pytest.raises(RuntimeError):
        transport(bench, "gpu1").open()
    wait_for(lambda: not host.sessions(), host.sessions)


def test_link_comes_back_after_its_host_was_rebooted(bench: Bench) -> None:
    """The link of a coordinator over SSH: connected, dropped when the plug is pulled, connected to the host's next life."""
    host = bench.add("gpu1")
    heard: list[object] = []
    link = Link(HostName("gpu1"), transport(bench, "gpu1"), "0" * 16, "~/.burnish", heard.append)
    link.start()
    try:
        wait_for(lambda: link.up, lambda: heard)
        first = link.welcome
        host.stop()
        wait_for(lambda: any(isinstance(report, reports.HostDropped) for report in heard), lambda: heard)
        host.start()
        wait_for(lambda: link.up, lambda: heard)
        assert first and link.welcome
        assert (link.welcome.state_id, link.welcome.hostname) == (first.state_id, "gpu1")
        assert link.welcome.incarnation != first.incarnation
    finally:
        link.close()


def test_link_to_a_host_with_another_key_is_turned_away(bench: Bench) -> None:
    bench.add("gpu1", known=False)
    heard: list[object] = []
    link = Link(HostName("gpu1"), transport(bench, "gpu1"), "0" * 16, "~/.burnish", heard.append)
    link.start()
    try:
        (report,) = wait_for(lambda: list(heard), "nothing heard")
        assert isinstance(report, reports.HostTurnedAway) and "host key is not known" in report.why
    finally:
        link.close()


def test_agent_that_dies_is_not_a_refusal(bench: Bench) -> None:
    host = bench.add("gpu1")
    channel = transport(bench, "gpu1").open()
    answer = welcome(channel)
    assert isinstance(answer["pid"], int)
    os.kill(host.processes()[-1], signal.SIGKILL)
    with pytest.raises(HostUnreachable, match="the agent there ended"):
        while channel.read(1 << 16):
            pass


def test_twenty_links_through_a_bastion_that_drops_half(bench: Bench) -> None:
    """Dropped handshakes (MaxStartups) are no refusal: trying again, as a link does, brings everybody in."""
    bench.add("login", options=("MaxStartups 4:50:8",))
    bench.add("gpu1", through="login")
    doorsteps = Doorsteps(at_once=8, failures=2)
    opened: list[SshChannel] = []
    refused: list[HostRefused] = []
    end = time.monotonic() + 60

    def reach() -> None:
        while time.monotonic() < end:
            try:
                opened.append(SshTransport(bench.entry("gpu1"), doorsteps=doorsteps).open())
                return
            except HostUnreachable:
                continue
            except HostRefused as error:
                refused.append(error)
                return

    threads = [threading.Thread(target=reach) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(65)
    assert refused == [] and len(opened) == 20
    for channel in opened:
        channel.close()


def test_threads_and_files_of_a_closed_connection_go(bench: Bench) -> None:
    bench.add("gpu1")
    bench.add("gpu2", through="gpu1")
    transport(bench, "gpu2").open().close()
    before = len(fds())
    for _ in range(3):
        channel = transport(bench, "gpu2").open()
        welcome(channel)
        channel.close()
    wait_for(lambda: len(fds()) <= before, fds)
    wait_for(
        lambda: not [thread for thread in threading.enumerate() if "gpu" in thread.name or "Transport" in repr(thread)],
        threading.enumerate,
    )
