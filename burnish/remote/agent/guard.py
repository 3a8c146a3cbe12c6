"""The guard of a supervisor that a batch system starts: its parent, which ends what a killed supervisor left alive.

Elsewhere, who starts a job again first looks whether it still runs. Nobody looks at a node, and to a batch system that knows
processes by their parents or their group, a job without its supervisor is none of its own: it would run beside its successor.
"""

from __future__ import annotations

import os
import signal

from .forking import AWAITED, leave_session
from .processes import become_subreaper, signal_descendants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .pulse import Pulse

SHORTEST, LONGEST = 0.02, 1.0  # s between two looks at what the kernel has not ended yet


def stand_guard(pulse: Pulse) -> None:
    """Fork. The child returns, as the supervisor; the caller becomes its guard, and ends as it does, with nothing of it left.

    `prepare_process` was called. What is sent to a batch script reaches the guard, so it passes on what wakes supervisors.
    Raises OSError.
    """
    become_subreaper()
    supervisor = os.fork()
    if supervisor == 0:
        return
    code = 1
    try:
        leave_session(os.open(os.devnull, os.O_RDWR))
        os.chdir("/")
        status = _wait_for(supervisor)
        _end_what_is_left(pulse)
        if os.WIFSIGNALED(status):
            pulse.stop()
        code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    finally:
        os._exit(code)


def _wait_for(supervisor: int) -> int:
    """The wait status of the supervisor, a child that nobody else collects: its pid is its own until then."""
    while True:
        if signal.sigwait(AWAITED) == signal.SIGUSR1:
            os.kill(supervisor, signal.SIGUSR1)
        pid, status = os.waitpid(supervisor, os.WNOHANG)
        if pid:
            return status


def _end_what_is_left(pulse: Pulse) -> None:
    """KILL all that descends from us, and again what it started meanwhile. At once: it was not asked to save anything."""
    pause = SHORTEST
    while _has_children():
        signal_descendants([signal.SIGKILL])
        pulse.beat()  # one that the kernel cannot end just now has not ended; the last, as its file server may not answer
        signal.sigtimedwait([signal.SIGCHLD], pause)
        pause = min(LONGEST, pause * 2)


def _has_children() -> bool:
    """Collect every child that has ended. False when none is left: as their subreaper, we then have no descendants."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
