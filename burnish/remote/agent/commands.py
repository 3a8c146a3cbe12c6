"""Requests to run a command here and answer with what it printed: how a coordinator speaks with a batch system.

The argv is run as it is, without a shell, in a process of its own; the agent only waits for a pipe.
"""

from __future__ import annotations

import json
import os
import select
import signal

from .compact_json import encode_json
from .files import READ_SIZE, write_all
from .refusals import Refusal, clause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List

    from .frames import Header
    from .outbox import Outbox
    from .records import Record

OUTPUT_LIMIT = 2 << 20  # bytes of a command's output; half of a longer one would say that things are not there
LIMIT = 60.0  # s
AT_ONCE = 8
HIDING = (
    "SQUEUE_",
    "SACCT_",
    "SCANCEL_",
)  # variables that stand for options: a list that they narrow would lack what is there


class Command:
    """A command that runs: the request's id, and what its process has said so far."""

    __slots__ = ("id", "text")

    def __init__(self, id: Any) -> None:
        self.id = id
        self.text = b""


class Commands:
    """The commands that run now, by the pipe on which each one's answer comes."""

    def __init__(self, outbox: Outbox, poll: select.poll, fork: Callable[[Callable[[], None]], int]) -> None:
        self._outbox = outbox
        self._poll = poll
        self._fork = fork
        self._running: Dict[int, Command] = {}

    def run(self, request: Header) -> None:
        """Run the request's argv with its stdin; answered when that has ended, or its time is over, or it cannot be run now.

        Raises Refusal for what is no argv.
        """
        argv, stdin = request["argv"], str(request.get("stdin") or "")
        limit = min(LIMIT, float(request.get("limit") or LIMIT))
        if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
            raise Refusal("argv must be a list of texts")
        if len(self._running) >= AT_ONCE:
            self._cannot(request, "%d commands run already" % AT_ONCE)
            return
        try:
            pipe, end = os.pipe()
        except OSError as error:
            self._cannot(request, clause(error))
            return
        self._running[pipe] = Command(request.get("id"))
        self._poll.register(pipe, select.POLLIN | select.POLLHUP)
        try:
            self._fork(lambda: write_all(end, encode_json(run(argv, stdin, limit)).encode("ascii")))
        except OSError:
            pass  # nobody writes into the pipe, and that is the answer
        finally:
            os.close(end)

    def take(self, ready: List[int]) -> None:
        """Read what has come on those of the descriptors `ready` that are ours; answer what is whole."""
        for pipe in [pipe for pipe in ready if pipe in self._running]:
            data = os.read(pipe, READ_SIZE)
            self._running[pipe].text += data
            if not data:
                self._answer(pipe)

    def _cannot(self, request: Header, why: str) -> None:
        self._outbox.send("ran", id=request.get("id"), code=-1, out="", err=why)

    def _answer(self, pipe: int) -> None:
        self._poll.unregister(pipe)
        os.close(pipe)
        command = self._running.pop(pipe)
        try:
            answer = json.loads(command.text)
        except ValueError:
            answer = {"code": -1, "out": "", "err": "it could not be run to its end"}
        self._outbox.send("ran", id=command.id, **answer)


def run(argv: List[str], stdin: str, limit: float) -> Record:
    """Exit code (-1: it could not be run to its end), stdout and stderr of a command."""
    import subprocess

    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    data = stdin.encode("utf-8", "surrogateescape")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(HIDING)}
    pipes: Record = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    try:
        done = subprocess.run(argv, input=data, env=environment, timeout=limit, **pipes)
    except subprocess.TimeoutExpired:
        return {"code": -1, "out": "", "err": "%s has not answered within %.0f s" % (argv[0], limit)}
    except FileNotFoundError:
        return {"code": 127, "out": "", "err": "there is no %s on this host's PATH" % argv[0]}
    except OSError as error:
        return {"code": -1, "out": "", "err": "%s cannot be run: %s" % (argv[0], error.strerror)}
    if len(done.stdout) > OUTPUT_LIMIT:
        return {"code": -1, "out": "", "err": "%s printed more than %d bytes" % (argv[0], OUTPUT_LIMIT)}
    return {
        "code": done.returncode,
        "out": done.stdout.decode("utf-8", "replace"),
        "err": done.stderr[:READ_SIZE].decode("utf-8", "replace"),
    }
