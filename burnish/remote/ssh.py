"""A host over SSH: one connection, one session, two streams of bytes.

The only module that knows Fabric and paramiko, and it trusts their defaults in little: ssh itself resolves the name
(`ssh_config`), `known_hosts` are read and judged here, every wait has a limit, and each of their exceptions becomes a sentence:
`HostRefused` where waiting cannot help, `HostUnreachable` where it can. What runs on the host is one literal without data.

A connection is ended by shutting its socket down: that never blocks, whatever state paramiko is in, and it wakes all who wait.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import fabric
import paramiko
from paramiko.agent import AgentSSH
from paramiko.ssh_exception import IncompatiblePeer

from burnish.core.hosts import Host
from burnish.errors import BurnishError, HostRefused, HostUnreachable, NameUnknown, printable
from burnish.remote import host_key_check, known_hosts
from burnish.remote.doorstep import Doorsteps
from burnish.remote.known_hosts import HostKey
from burnish.remote.remote_command import Ending, ending_error
from burnish.remote.ssh_config import Endpoint, resolve
from burnish.remote.transport import remote_command
from burnish.remote.wire import KEEPALIVE, Wire

HANDSHAKE_TIMEOUT = 15.0  # s: key exchange; also the server's banner
LOGIN_TIMEOUT = 30.0  # s
SESSION_TIMEOUT = 15.0  # s: opening a session, and the reply to the command in it
HOP_TIMEOUT = 75.0  # s for all of that together, per jump; a watchdog ends what the other limits miss
EXIT_STATUS_TIMEOUT = 3.0  # s between the end of the output and the exit status
AGENT_TIMEOUT = 60.0  # s: an ssh-agent may ask a person to confirm, or to touch a key
IDLE = float(KEEPALIVE)  # s between two looks of paramiko's thread at a connection on which nothing is heard
LOGINS_TRIED = 2
LOGIN_PAUSE = 1.5  # s between the two
STDERR_KEPT = 4096  # bytes
STDOUT_SEARCHED = (64 << 10) + 4096  # bytes in which the agent's first words are looked for

SAID_BY_ITSELF = (".local", ".local.")  # names that a host answers to itself: while it is off, they are not found

RSA_ALGORITHMS = ("rsa-sha2-512", "rsa-sha2-256")

CONNECTION_ERRORS = (paramiko.SSHException, EOFError, OSError)

DOORSTEPS = Doorsteps(at_once=8, failures=LOGINS_TRIED)

# Without a handler of their own, paramiko's tracebacks would reach the user's terminal.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class LoginRefused(HostRefused):
    """The host was reached and is who it should be, but lets us not in."""


class SshTransport:
    """Opens channels to the agent of one host.

    `note` is called with sentences for the user (a skipped line of known_hosts, ...), each once per transport.
    """

    def __init__(
        self,
        host: Host,
        *,
        note: Callable[[str], None] | None = None,
        doorsteps: Doorsteps = DOORSTEPS,
    ) -> None:
        self.name = str(host.name)
        self._host = host
        self._command = remote_command(host.python)
        self._note = note
        self._noted: set[str] = set()
        self._doorsteps = doorsteps

    def open(self) -> SshChannel:
        """Connect, log in and start the loader. Raises HostRefused or HostUnreachable; takes minutes at most."""
        endpoint = resolve(self._host)
        for last in (False, True):
            try:
                return self._open(endpoint)
            except LoginRefused:
                if last:
                    raise
            time.sleep(LOGIN_PAUSE)
        raise AssertionError("not reached")

    def _open(self, endpoint: Endpoint) -> SshChannel:
        wire = Wire()
        try:
            connection = self._connect(endpoint, wire)
            with wire.limited(SESSION_TIMEOUT), _translated(endpoint, "session"):
                session = connection.create_session()
                session.exec_command(self._command)
            return SshChannel(endpoint, self._host.python, session, wire)
        except BaseException:
            wire.close()
            raise

    def _connect(self, endpoint: Endpoint, wire: Wire) -> fabric.Connection:
        """A connection that is logged in, through its jumps. The socket and the connections belong to `wire`."""
        gateway = self._connect(endpoint.jump, wire) if endpoint.jump else None
        for note in endpoint.notes:
            self._pass_on(note)
        with self._doorsteps.at(endpoint.hostname, endpoint.port, endpoint.user) as doorstep, wire.limited(HOP_TIMEOUT):
            keys = known_hosts.load(endpoint.known_hosts + endpoint.global_known_hosts)
            login = Login(endpoint)
            connect = {
                "banner_timeout": HANDSHAKE_TIMEOUT,
                "auth_timeout": LOGIN_TIMEOUT + AGENT_TIMEOUT,
                "channel_timeout": SESSION_TIMEOUT,
                "transport_factory": _transport_preferring(keys.kinds(endpoint.key_name)),
                "auth_strategy": login,
            }
            if gateway is None:
                with _translated(endpoint, "connection"):
                    connect["sock"] = wire.dial(endpoint)
            connection = fabric.Connection(
                endpoint.hostname,
                user=endpoint.user,
                port=endpoint.port,
                # An empty configuration: no fabric.yml, no ssh_config read by another reader than ssh.
                config=fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig()),
                gateway=gateway,
                forward_agent=False,
                connect_timeout=int(HANDSHAKE_TIMEOUT),
                connect_kwargs=connect,
                inline_ssh_env=False,
            )
            guard = HostKeyGuard(lambda key: host_key_check.check(endpoint, keys, key, self._pass_on))
            connection.client.set_missing_host_key_policy(guard)
            wire.add(connection.client)
            try:
                with _translated(endpoint, "connection"):
                    connection.open()
                    connection.transport.set_keepalive(KEEPALIVE)
                    # paramiko looks ten times a second whether it was closed; shutting the socket down wakes it (remote.wire).
                    connection.transport.sock.settimeout(IDLE)
            except LoginRefused as error:
                doorstep.turned_away(endpoint.user, str(error))
                raise
            doorstep.let_in(endpoint.user)
            return connection

    def _pass_on(self, note: str) -> None:
        if self._note is not None and note not in self._noted:
            self._noted.add(note)
            self._note(note)


class SshChannel:
    """The two streams of the agent on a host. One thread reads, one writes, any may close."""

    def __init__(self, endpoint: Endpoint, python: str, session: paramiko.Channel, wire: Wire) -> None:
        self.nonce = ""
        self._host = endpoint.name
        self._login = endpoint.login_command
        self._python = python
        self._session = session
        self._wire = wire
        self._head = b""
        self._begun = False
        self._stderr: deque[int] = deque(maxlen=STDERR_KEPT)
        # Unread stderr would fill the window that stdout needs too.
        self._drain = threading.Thread(target=self._drain_stderr, name=f"stderr of {self._host}", daemon=True)
        self._drain.start()

    def read(self, size: int) -> bytes:
        """At least one and at most `size` bytes; b"" after `close`, or when the agent ended as it should.

        Raises HostRefused when something else than the agent ran and ended; HostUnreachable when the connection broke.
        """
        try:
            data: bytes = self._session.recv(size)
        except CONNECTION_ERRORS:
            data = b""
        if not data:
            return self._ended()
        if not self._begun and len(self._head) < STDOUT_SEARCHED:
            self._head += data
            self._begun = b"\nburnish-agent " in self._head
        return data

    def write(self, data: bytes) -> None:
        """Send all of `data`; blocks while the host does not read. Raises HostUnreachable."""
        try:
            self._session.sendall(data)
        except CONNECTION_ERRORS:
            raise HostUnreachable(f"{self._host}: the connection is closed.") from None

    def close(self) -> None:
        """End the connection at once; whoever reads or writes is woken. Never blocks; may be called twice, from any thread."""
        self._wire.close()

    def _ended(self) -> bytes:
        if self._wire.closed:
            return b""
        transport = self._session.get_transport()
        if transport.is_active():
            self._session.status_event.wait(EXIT_STATUS_TIMEOUT)
            self._drain.join(EXIT_STATUS_TIMEOUT)
        status = self._session.exit_status if self._session.status_event.is_set() else -1
        if status == -1 and not transport.is_active():
            raise HostUnreachable(f"{self._host}: the connection broke. It is tried again.")
        ending = Ending(status if status >= 0 else None, self._head, bytes(self._stderr), self._begun)
        if error := ending_error(self._host, self._python, ending, self._login):
            raise error
        return b""

    def _drain_stderr(self) -> None:
        with contextlib.suppress(*CONNECTION_ERRORS):
            while data := self._session.recv_stderr(STDERR_KEPT):
                self._stderr.extend(data)


class HostKeyGuard(paramiko.MissingHostKeyPolicy):
    """Hands every host key to our own check. paramiko is given no keys to compare with, so that all are "missing" to it."""

    def __init__(self, check: Callable[[HostKey], None]) -> None:
        self._check = check

    def missing_host_key(self, _client: object, _hostname: str, key: paramiko.PKey) -> None:
        """Return when `key` is to be trusted; raise HostRefused otherwise."""
        self._check(HostKey(key.get_name(), key.asbytes()))


class Login:
    """Offers keys in ssh's order: agent keys that are configured, other agent keys, key files. Stands in for an AuthStrategy."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._obstacles: list[str] = []
        self._offered = 0
        self._agent: AgentAt | None = None

    def authenticate(self, transport: paramiko.Transport) -> list[str]:
        """Log in. Raises LoginRefused, or what paramiko raises when the connection broke meanwhile."""
        try:
            return self._authenticate(transport)
        finally:
            if self._agent is not None:
                self._agent.close()

    def _authenticate(self, transport: paramiko.Transport) -> list[str]:
        user = self._endpoint.user
        try:
            transport.auth_none(user)
            return []
        except paramiko.BadAuthenticationType as error:
            if "publickey" not in error.allowed_types:
                raise self._refusal(
                    f"it offers {', '.join(error.allowed_types)} and burnish logs in with keys"
                ) from None
        for key in self._keys():
            try:
                wanted = transport.auth_publickey(user, key)
            except (paramiko.SSHException, OSError) as error:
                self._failed(transport, error)
                continue
            if wanted:
                raise self._refusal(f"beside a key it wants {', '.join(wanted)}, which burnish cannot give")
            return []
        none = (
            "it does not accept the one key" if self._offered == 1 else f"it accepts none of the {self._offered} keys"
        )
        raise self._refusal(f"{none} that {'was' if self._offered == 1 else 'were'} offered")

    def _failed(self, transport: paramiko.Transport, error: Exception) -> None:
        if transport.is_active():
            self._offered += 1
            if not isinstance(error, paramiko.AuthenticationException):
                self._obstacles.append(f"a key could not sign ({printable(str(error))})")
        elif self._offered:
            raise self._refusal(
                f"it ended the login after {self._offered + 1} keys; name the right one in the ssh configuration "
                "(IdentityFile, and IdentitiesOnly yes)"
            ) from None
        else:
            raise error

    def _refusal(self, why: str) -> LoginRefused:
        also = "".join(f"; {obstacle}" for obstacle in self._obstacles)
        return LoginRefused(
            f"{self._endpoint.name}: {self._endpoint.address} does not let us in: {why}{also}. This host is left out.",
            hint=f"try `{self._endpoint.login_command}`; what works there without a password works here.",
        )

    def _keys(self) -> Iterator[paramiko.PKey]:
        in_agent = {key.asbytes(): key for key in self._agent_keys()}
        configured = [_public_blob(path) for path in self._endpoint.identities]
        first = [in_agent.pop(blob) for blob in dict.fromkeys(configured) if blob in in_agent]
        yield from first
        if not self._endpoint.identities_only:
            yield from in_agent.values()
        tried = {key.asbytes() for key in first}
        for path, blob in zip(self._endpoint.identities, configured, strict=True):
            if blob not in tried:
                yield from self._from_file(path)

    def _agent_keys(self) -> tuple[paramiko.PKey, ...]:
        path = self._endpoint.agent
        if not path:
            return ()
        try:
            self._agent = AgentAt(path)
            return self._agent.get_keys()
        except (OSError, paramiko.SSHException) as error:
            self._obstacles.append(f"the ssh-agent at {path} does not answer ({printable(str(error))})")
            return ()

    def _from_file(self, path: str) -> Iterator[paramiko.PKey]:
        if not os.path.isfile(path):
            return
        try:
            key = paramiko.PKey.from_path(path)
            for certificate in self._endpoint.certificates:
                with contextlib.suppress(OSError, ValueError, paramiko.SSHException):
                    key.load_certificate(certificate)
                    break
        except Exception as error:  # cryptography raises what it likes for a key it cannot read
            locked = "password" in str(error).lower() or isinstance(error, paramiko.PasswordRequiredException)
            what = "needs a passphrase: `ssh-add` it first" if locked else f"cannot be read ({printable(str(error))})"
            self._obstacles.append(f"{path} {what}")
            return
        yield key


class AgentAt(AgentSSH):
    """The ssh-agent that listens at `path`. Raises OSError or SSHException when it does not answer."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(AGENT_TIMEOUT)
            self._socket.connect(path)
            # As paramiko.Agent does, which knows no path but $SSH_AUTH_SOCK.
            self._connect(self._socket)  # type: ignore[attr-defined]
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Its keys cannot sign any more."""
        self._socket.close()


def _public_blob(path: str) -> bytes | None:
    """The public half of the key file at `path`: from `path.pub`, or from `path` when that is a public key itself."""
    for candidate in (f"{path}.pub", path):
        try:
            return paramiko.pkey.PublicBlob.from_file(candidate).key_blob
        except (OSError, ValueError, UnicodeDecodeError):
            continue
    return None


def _transport_preferring(kinds: tuple[str, ...]) -> Callable[..., paramiko.Transport]:
    """Makes transports that ask for host keys of `kinds` first: those that known_hosts can vouch for."""

    def transport(sock: socket.socket, disabled_algorithms: dict[str, list[str]] | None = None) -> paramiko.Transport:
        made = paramiko.Transport(sock, disabled_algorithms=disabled_algorithms)
        options = made.get_security_options()
        algorithms = {name for kind in kinds for name in (kind, *(RSA_ALGORITHMS if kind == "ssh-rsa" else ()))}
        options.key_types = sorted(options.key_types, key=lambda name: name not in algorithms)
        return made

    return transport


@contextlib.contextmanager
def _translated(endpoint: Endpoint, step: str) -> Iterator[None]:
    """Turn what paramiko and sockets raise during `step` ("connection" or "session") into sentences."""
    try:
        yield
    except BurnishError:
        raise
    except CONNECTION_ERRORS as error:
        raise _sentence(endpoint, step, error) from None


def _sentence(endpoint: Endpoint, step: str, error: Exception) -> BurnishError:
    who = f"{endpoint.name} ({endpoint.address})"
    match error:
        case IncompatiblePeer():
            return HostRefused(
                f"{who}: it offers no algorithm that is still held to be safe ({printable(str(error))}). This host is left "
                "out.",
                hint="its sshd speaks only SHA-1 or older; it needs an update.",
            )
        case paramiko.ChannelException(code=1) if step == "connection":
            return HostRefused(
                f"{who}: its jump host does not forward connections (AllowTcpForwarding, PermitOpen). This host is left out."
            )
        case paramiko.ChannelException() if step == "connection":
            return HostUnreachable(
                f"{who}: its jump host cannot reach it ({printable(error.text)}). It is tried again."
            )
        case paramiko.ChannelException():
            return HostRefused(f"{who}: it opens no session for this account (MaxSessions 0?). This host is left out.")
        case socket.gaierror():
            what = f"{who}: its name is not found ({error.strerror}). It is tried again."
            hint = f"is {endpoint.name} spelled right? `hostname:` in the inventory, or HostName for ssh, can name its address"
            if error.errno == socket.EAI_NONAME and not endpoint.hostname.lower().endswith(SAID_BY_ITSELF):
                return NameUnknown(what, name=endpoint.hostname, hint=hint)
            return HostUnreachable(what, hint=hint)
        case TimeoutError():
            return HostUnreachable(f"{who}: does not answer. It is tried again.")
        case OSError():
            return HostUnreachable(f"{who}: {printable(error.strerror or str(error))}. It is tried again.")
        case _ if "banner" in str(error):
            return HostUnreachable(
                f"{who}: something answers, but not as an sshd (or it is overloaded). It is tried again."
            )
        case _:
            what = printable(str(error)) or "closed by the other end"
            return HostUnreachable(f"{who}: the {step} broke ({what}). It is tried again.")
