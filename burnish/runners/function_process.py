"""A child process in which one function of the user's is called, started again whenever it dies or hangs.

Requests and replies are lines of JSON over two private pipes; what the function prints goes to a file of ours, which is read
after each reply. The child limits its own calls, so that it ends even when burnish is gone; `_GRACE` later we end it ourselves.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.core.columns import did_you_mean
from burnish.errors import UsageError, printable

CALL_LIMIT = 30.0
LOAD_LIMIT = 120.0
MAX_OUTPUT = 64 << 10

_GRACE = 3.0
_LOOK = 0.2
_AGAIN = 1.0  # s until a process that this machine refused is tried again
_CHILD = Path(__file__).with_name("function_child.py")
# The child's file is run from its place, so the folder of burnish does not come before Python's own modules; `import burnish`
# finds this burnish unless the user's path has another.
_BOOT = """
import importlib.util, sys
file, root, folder = sys.argv[1:4]
sys.path[:] = [entry for entry in sys.path if entry] + [root]
spec = importlib.util.spec_from_file_location("burnish_function_child", file)
child = importlib.util.module_from_spec(spec)
spec.loader.exec_module(child)
child.main(int(sys.argv[4]), int(sys.argv[5]), folder)
"""


class _Died(Exception):
    """The child ended, or was ended, before it answered. The message says how: `ended its process with exit code 3`."""


class _Overdue(_Died):
    """It did not answer within its limit."""

    def __init__(self, limit: float) -> None:
        super().__init__(f"did not return within {limit:g} s")


class _NotStarted(UsageError):
    """This machine refused the process itself: nothing is wrong with what it was to run."""


class FunctionProcess:
    """`name` is `module.function`, the module looked for in the current folder first. Not for several threads at once.

    `arguments` is how many the function is called with: 2 for a runner, 0 for a creator. Limits are in seconds. `say` hears why a
    process that died is not there again yet.
    """

    def __init__(
        self,
        name: str,
        arguments: int,
        *,
        limit: float = CALL_LIMIT,
        load_limit: float = LOAD_LIMIT,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.name = name
        self._arguments = arguments
        self._limit = limit
        self._load_limit = load_limit
        self._say = say
        self._folder = os.getcwd()
        self._child: _Child | None = None
        _check_name(name)

    def start(self) -> None:
        """Import the module and find the function. Raises UsageError with the import error's last line and the path searched."""
        if self._child is not None:
            return
        try:
            child = _Child(self._folder)
        except OSError as error:
            raise _NotStarted(f"--func {self.name}: no process can be started for it ({error.strerror}).") from None
        try:
            child.ask({"load": self.name, "arguments": self._arguments, "limit": self._load_limit})
            reply = child.answer(self._load_limit)
        except _Died as died:
            printed = child.end()
            raise UsageError(
                f"--func {self.name}: importing {self.name.rpartition('.')[0]} {died}.",
                hint=_details("", printed),
            ) from None
        if "refused" in reply:
            child.end()
            near = did_you_mean(self.name.rpartition(".")[2], reply["names"]) if "names" in reply else ""
            raise UsageError(
                f"--func {self.name}: {printable(reply['refused'], 2000)}{near}",
                hint=_details(reply.get("traceback", ""), ""),
            )
        self._child = child

    def prepare(
        self, calls: Sequence[tuple[Mapping[str, Any], Mapping[str, str]]]
    ) -> Iterator[tuple[dict[str, Any], str]]:
        """For each (runner_args, job_dict) what the function made of it, and what it printed meanwhile.

        The reply is `{"command": {"argv", "env", "cwd"}}` or `{"refused": sentence, "traceback": text}`.
        """
        done = 0
        while done < len(calls):
            for reply in self._replies({"prepare": calls[done:]}, len(calls) - done):
                done += 1
                yield reply

    def create(self, most: int) -> dict[str, Any]:
        """`{"columns", "rows"}` that the function returned, with at most `most` + 1 rows. Raises UsageError."""
        [(reply, output)] = self._replies({"create": most}, 1)
        if "refused" in reply:
            raise UsageError(f"--func: {printable(reply['refused'], 2000)}", hint=_details(reply["traceback"], output))
        return reply

    def close(self) -> None:
        """End the child and all that it left in its process group. Idempotent."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _replies(self, request: dict[str, Any], count: int) -> Iterator[tuple[dict[str, Any], str]]:
        """At most `count` replies: a child that dies is a refusal of the call it died in, and then there are no more."""
        try:
            self._start_again()
        except UsageError as error:  # it could be imported before, so the file was changed meanwhile
            yield {"refused": str(error), "traceback": error.hint or ""}, ""
            return
        child = self._child
        assert child is not None
        try:
            child.ask({**request, "limit": self._limit})
            for _ in range(count):
                reply = child.answer(self._limit)
                yield reply, child.printed(reply["printed"])
            child.forget_printed()
        except _Died as died:
            self._child = None
            advice = (
                "; it must return the command, not run it" if isinstance(died, _Overdue) and self._arguments else ""
            )
            yield {"refused": f"{self.name} {died}{advice}.", "traceback": ""}, child.end()

    def _start_again(self) -> None:
        """Start, if need be, for as long as this machine refuses: that is no fault of the job whose turn it is."""
        said = ""
        while True:
            try:
                return self.start()
            except _NotStarted as refused:
                if str(refused) != said:
                    said = str(refused)
                    self._say(f"{said} Jobs that wait get no command; trying again. Running jobs go on.")
            time.sleep(_AGAIN)


class _Child:
    """One incarnation of the process."""

    def __init__(self, folder: str) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        # Shared with the child: without O_APPEND it would go on writing behind a hole after we emptied it.
        fcntl.fcntl(self._file, fcntl.F_SETFL, fcntl.fcntl(self._file, fcntl.F_GETFL) | os.O_APPEND)
        self._claimed = 0
        requests, self._requests = os.pipe()
        try:
            self._replies, replies = os.pipe()
        except OSError:
            os.close(requests)
            os.close(self._requests)
            raise
        root = str(_CHILD.parent.parent.parent)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, str(_CHILD), root, folder, str(requests), str(replies)],
                stdin=subprocess.DEVNULL,
                stdout=self._file,
                stderr=self._file,
                cwd=folder,
                pass_fds=(requests, replies),
                start_new_session=True,
            )
        except OSError:
            self._close()  # it may be refused for want of descriptors, again and again
            raise
        finally:
            os.close(requests)
            os.close(replies)
        self._received = b""

    def ask(self, request: dict[str, Any]) -> None:
        """Send a request, which holds its `limit`. Raises _Died."""
        data = memoryview(json.dumps(request).encode() + b"\n")
        try:
            while data:
                data = data[os.write(self._requests, data) :]
        except OSError:
            raise self._death(request["limit"]) from None

    def answer(self, limit: float) -> dict[str, Any]:
        """The next reply. Raises _Died when the child ends first, or does not answer within `limit` seconds."""
        begun = time.monotonic()
        poll = select.poll()  # unlike `select`, for the descriptors of a run with a thousand links, too
        poll.register(self._replies, select.POLLIN)
        while b"\n" not in self._received:
            if poll.poll(_LOOK * 1000):
                data = os.read(self._replies, 1 << 20)
                if not data:
                    raise self._death(limit)
                self._received += data
            elif self._exited():  # a child of its own may still hold the pipe open
                raise self._death(limit)
            elif time.monotonic() - begun > limit + _GRACE:
                raise _Overdue(limit)
        line, _, self._received = self._received.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def printed(self, end: int) -> str:
        """What was printed up to offset `end` and not asked for yet: at most its last MAX_OUTPUT bytes."""
        begin, self._claimed = self._claimed, end
        if end <= begin:
            return ""
        begin = max(begin, end - MAX_OUTPUT)
        return os.pread(self._file.fileno(), end - begin, begin).decode(errors="replace")

    def forget_printed(self) -> None:
        """Empty the file, so that it does not grow for ever. Only while no call is under way."""
        if self._claimed:
            self._file.truncate(0)
            self._claimed = 0

    def end(self) -> str:
        """Kill the process group; what was printed and not asked for yet. Idempotent."""
        if self._file.closed:
            return ""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # all of it is gone already
        self._process.wait()
        rest = self.printed(os.fstat(self._file.fileno()).st_size)
        self._close()
        return rest

    def _close(self) -> None:
        self._file.close()
        os.close(self._requests)
        os.close(self._replies)

    def _exited(self) -> bool:
        """Without reaping, so that the process group's number stays ours until `end`."""
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True  # somebody else has reaped it

    def _death(self, limit: float) -> _Died:
        deadline = time.monotonic() + _GRACE
        while not self._exited():
            if time.monotonic() > deadline:
                return _Died("closed burnish's pipe")
            time.sleep(0.005)
        try:
            status = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            return _Died("ended its process (how is not known)")
        assert status is not None
        if status.si_code == os.CLD_EXITED:
            return _Died(f"ended its process with exit code {status.si_status}")
        if status.si_status == signal.SIGALRM:  # the child's own limit
            return _Overdue(limit)
        try:
            return _Died(f"was killed by {signal.Signals(status.si_status).name}")
        except ValueError:
            return _Died(f"was killed by signal {status.si_status}")


def _details(raised: str, printed: str) -> str | None:
    """The user's own traceback, if it has more to say than its last line, and what their code printed."""
    parts = [f"the traceback was:\n{raised.rstrip()}"] if "\n" in raised.strip() else []
    parts += [f"it printed:\n{printed.rstrip()}"] if printed else []
    return "\n".join(parts) or None


def _check_name(name: str) -> None:
    parts = name.split(".")
    if len(parts) >= 2 and all(part.isidentifier() for part in parts):
        return
    module, _, function = (
        name.replace(":", ".").removesuffix(".py").replace(".py.", ".").replace("/", ".").rpartition(".")
    )
    hint = f"perhaps --func {module}.{function}" if module.strip(".") and function.isidentifier() else None
    raise UsageError(
        f"--func {printable(name)}: expected MODULE.FUNCTION, such as example.runner or test_dir.example.runner.",
        hint=hint,
    )
