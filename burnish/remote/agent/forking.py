"""Processes of the agent's own: what no terminal, login or batch system ends, and what has left the link's session.

All of this package is single-threaded, so that forking is safe.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List

# Left to a terminal, a login or a batch system, these would end a supervisor and so lose a verdict.
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)
AWAITED = (signal.SIGCHLD, signal.SIGUSR1)


def prepare_process() -> int:
    """What agent and supervisor have in common, done once before any fork. Returns the user's umask, which jobs get back."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    # Ignored, as some programs leave it to what they start, it would let the kernel forget how our children ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    return os.umask(0o077)


def signals_of_jobs() -> List[int]:
    """The signals that a job gets at their default: those that we ignore, and all that are at it anyway.

    For each that posix_spawn is not told of, glibc asks how it is and then sets it, in the child of each job: 120 calls, not 60.
    """
    settable = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    return [
        number
        for number in settable
        if number in (*IGNORED, signal.SIGXFSZ) or signal.getsignal(number) == signal.SIG_DFL
    ]


def leave_session(null: int) -> None:
    """Let go of the terminal or link that started this process. `null` is a descriptor of /dev/null."""
    try:
        os.setsid()
    except PermissionError:
        pass  # a batch system made it a leader already
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def fork(work: Callable[[], None]) -> int:
    """Do `work` in a process of its own, which then ends. Returns its pid."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(0)
