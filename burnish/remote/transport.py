"""How bytes reach an agent: what every transport provides, the first words on any of them, and the pipe to this machine.

A transport starts one literal command, `remote_command`, on its host. That command reads the agent's source from its input and
runs it: nothing need be installed there, and no data of ours ever passes through a shell.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
import secrets
import subprocess
import sys
import threading
import time
import zlib
from collections import deque
from pathlib import Path
from typing import Protocol

from burnish.errors import LASTING, HostRefused, HostUnreachable, printable
from burnish.remote.agent.frames import PREAMBLE
from burnish.remote.bundle import bundle
from burnish.remote.remote_command import Ending, ending_error

NOISE_LIMIT = 64 << 10  # bytes a login shell may print before the agent speaks
READ_SIZE = 1 << 16
STDERR_KEPT = 4096  # bytes
SLOW_LOGIN = (
    20.0  # s: who has closed a channel that was silent for longer had a login shell in view that takes its time
)
ENDING_TIMEOUT = 1.0  # s for an agent whose link was closed to end by itself

# One line without a single quote, backslash or exclamation mark: between single quotes bash, dash, zsh, fish and tcsh all pass it
# on unchanged. It must parse on any Python 3, to be able to say that this one is too old.
LOADER = (
    "import sys,json,zlib,hashlib;"
    'sys.version_info>=(3,8) or sys.exit(sys.stdout.write(chr(10)+"burnish-python %d.%d.%d"%sys.version_info[:3]+chr(10))and 1);'
    "i=sys.stdin.buffer;"
    "h=json.loads(i.readline().decode());"
    's=zlib.decompress(i.read(h["size"]));'
    'hashlib.sha256(s).hexdigest()==h["sha256"] or sys.exit("the agent arrived damaged");'
    'g={"__name__":"burnish_agent"};'
    'exec(compile(s,"burnish-agent","exec"),g);'
    'g["serve"](h["nonce"],s)'
)
# The same for the Python that runs us. Where burnish is installed, its modules lie compiled: their text need not be. None is
# compiled for later: a disk that is full would keep half of it.
LOADER_HERE = (
    "import sys;"
    "folder,nonce=sys.argv[1:];"
    "sys.dont_write_bytecode=True;"
    "sys.path.insert(0,folder);"
    "from agent.serving import serve;"
    "del sys.path[0];"
    "serve(nonce)"
)
FOLDER = Path(__file__).absolute().parent  # that of `agent`
PREAMBLE_START = PREAMBLE.partition("%")[0].encode()
TOO_OLD = re.compile(rb"\nburnish-python ([0-9.]{1,20})\n")


class Channel(Protocol):
    """The two streams of one agent. One thread reads, one writes, any may close. `nonce`: what it was told; "" before."""

    nonce: str

    def read(self, size: int) -> bytes:
        """Wait for at least one and at most `size` bytes; b"" when the agent ended as it should, or after `close`.

        Raises HostRefused when something else than an agent ran, and HostUnreachable when the connection broke.
        """

    def write(self, data: bytes) -> None:
        """Send all of `data`, or raise HostUnreachable."""

    def close(self) -> None:
        """End the connection and wake who reads or writes. May be called twice, from any thread."""


class Transport(Protocol):
    """A way to one host. `name` is the host's name in messages."""

    @property
    def name(self) -> str: ...

    def open(self) -> Channel:
        """Start an agent's loader on the host. Raises HostRefused, HostUnreachable."""


def remote_command(python: str) -> str:
    """The shell command that starts the loader. `python` is the name or path of the host's interpreter, checked by the caller."""
    return f"exec {python} -I -S -c '{LOADER}'"


@functools.cache
def _upload() -> tuple[bytes, str]:
    """The agent's compressed source, and the hash of the source."""
    source = bundle()
    return zlib.compress(source), hashlib.sha256(source).hexdigest()


def greet(channel: Channel) -> None:
    """Send the agent's source to a loader, and the nonce that its first words are known by."""
    compressed, digest = _upload()
    channel.nonce = secrets.token_hex(16)
    greeting = json.dumps({"size": len(compressed), "sha256": digest, "nonce": channel.nonce}) + "\n"
    try:
        channel.write(greeting.encode() + compressed)
    except HostUnreachable:
        pass  # whatever runs there ended early; what it said is still to be read


def bootstrap(channel: Channel) -> bytes:
    """Greet a loader that was not, and wait for the agent's first words. Returns what came after them: normally b"".

    Nothing but `greet` may write to `channel` before this returns. It has no deadline: close the channel to end it. Raises
    HostRefused when the host cannot run an agent, HostUnreachable when the connection ends.
    """
    if not channel.nonce:
        greet(channel)
    return _first_words(channel, (PREAMBLE % channel.nonce).encode())


def _first_words(channel: Channel, preamble: bytes) -> bytes:
    heard, began = b"", time.monotonic()
    while True:
        data = channel.read(READ_SIZE)
        heard += data
        noise, found, rest = heard.partition(preamble)
        if found:
            return rest
        if old := TOO_OLD.search(heard):
            raise HostRefused(
                f"its Python is {old[1].decode()}, and burnish needs 3.8 or newer there. Nothing was started on it.",
                hint="name a newer one with `python:` in the inventory",
            )
        if len(noise) > NOISE_LIMIT:
            shown = printable(heard[:60].decode("utf-8", "replace"), 60)
            raise HostRefused(
                f"your shell prints on login: {NOISE_LIMIT >> 10} KiB and more, beginning with “{shown}”, before burnish's "
                "agent was heard. Nothing was started there.",
                hint="let ~/.bashrc (or its like) print only in interactive shells",
            )
        if not data and (waited := time.monotonic() - began) >= SLOW_LOGIN:
            raise HostUnreachable(
                f"its login shell has not come to run burnish's agent within {waited:.0f} s.",
                hint="a start file of that shell (~/.bashrc or its like) takes long, or hangs: log in there and see",
            )
        if not data:
            raise HostUnreachable("the connection ended before burnish's agent answered.")


class LocalTransport:
    """This machine, by a pipe. The agent inherits this process's environment, and so do the jobs."""

    def __init__(self, python: str = sys.executable, name: str = "localhost") -> None:
        self.name = name
        self._python = python
        self._ready: LocalChannel | None = None

    def prepare(self) -> None:
        """Start now the agent that will be asked for: that takes half as long as everything else before the first job.

        Waits for nothing. What goes wrong is tried the other way when it is opened, or when its channel has ended, and said
        if it goes wrong again. From a zip, nothing is started.
        """
        if not (FOLDER / "agent").is_dir():
            return
        nonce = secrets.token_hex(16)
        try:
            self._ready = self._start(LOADER_HERE, str(FOLDER), nonce)
        except (HostRefused, HostUnreachable):
            return
        self._ready.nonce, self._ready.prepared = nonce, True

    def close(self) -> None:
        """End an agent that was prepared and never asked for."""
        if self._ready is not None:
            self._ready.close()

    def open(self) -> Channel:
        """The agent that was prepared, or else a loader, out of reach of Ctrl-C and of a closing terminal.

        Raises HostRefused, HostUnreachable.
        """
        ready, self._ready = self._ready, None
        return ready or self._start(LOADER)

    def _start(self, loader: str, *arguments: str) -> LocalChannel:
        try:
            process = subprocess.Popen(
                [self._python, "-I", "-S", "-c", loader, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise HostRefused(f"{self.name}: there is no {self._python}. Nothing was started there.") from None
        except OSError as error:
            if error.errno not in LASTING:
                raise HostUnreachable(
                    f"{self.name}: {self._python} cannot be run now ({error.strerror}). It is tried again."
                ) from None
            raise HostRefused(
                f"{self.name}: {self._python} cannot be run ({error.strerror}). Nothing was started there."
            ) from None
        return LocalChannel(self.name, self._python, process)


class LocalChannel:
    """The pipes of an agent on this machine."""

    def __init__(self, name: str, python: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self.nonce = ""
        self.prepared = False  # its agent is not sent its text: there is another way to start one
        self._name = name
        self._python = python
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._writing, self._reading, self._closing = threading.Lock(), threading.Lock(), threading.Lock()
        self._closed = False
        self._begun = False
        self._head = b""
        self._stderr: deque[int] = deque(maxlen=STDERR_KEPT)
        # Unread, a full pipe would stop the agent.
        self._drain = threading.Thread(target=self._drain_stderr, name=f"stderr of {name}", daemon=True)
        self._drain.start()

    @property
    def pid(self) -> int:
        """The agent's."""
        return self._process.pid

    def read(self, size: int) -> bytes:
        with self._reading:
            if not self._closed and (data := self._stdout.read(size)):
                self._note(data)
                return data
        return self._ended()

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        with self._writing:
            try:
                while view and not self._closed:
                    view = view[self._stdin.write(view) :]
            except OSError:
                pass  # said below: bytes are left
        if view:
            raise HostUnreachable(f"{self._name}: its agent is gone.")

    def close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
            if not self._begun:  # it has done nothing yet
                self._process.kill()
            # A writer that the agent keeps waiting holds the lock, and only the agent's end frees it. Killing it loses nothing.
            if not self._writing.acquire(timeout=ENDING_TIMEOUT):
                self._process.kill()
                self._writing.acquire()
            with contextlib.suppress(OSError):
                self._stdin.close()
            self._writing.release()
            try:
                self._process.wait(ENDING_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._drain.join(ENDING_TIMEOUT)
            with self._reading:
                self._stdout.close()

    def _note(self, data: bytes) -> None:
        """Look for the agent's first words, so that the end of something else is told apart from the end of an agent."""
        if not self._begun and len(self._head) <= NOISE_LIMIT:
            self._head += data
            self._begun = PREAMBLE_START in self._head

    def _ended(self) -> bytes:
        if self._closed:
            return b""
        status = self._process.wait()
        self._drain.join(ENDING_TIMEOUT)
        if self.prepared and not self._begun:
            raise HostUnreachable(f"{self._name}: its agent ended before it began. It is sent its text.")
        ending = Ending(status if status >= 0 else None, self._head, bytes(self._stderr), self._begun)
        if error := ending_error(self._name, self._python, ending):
            raise error
        return b""

    def _drain_stderr(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            while data := stderr.read(STDERR_KEPT):
                self._stderr.extend(data)
