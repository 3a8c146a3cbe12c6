"""Supervisors that take one attempt after the other, and how an attempt gets to one.

Forking costs more than most of what a short job needs, so a supervisor that has recorded an attempt takes the next. It owns
one at a time, and ends when the agent is gone.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time

from .compact_json import encode_json
from .locks import make_lock
from .oom import count_oom_kills
from .supervisor import Supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Set, Tuple

    from .home import Home
    from .place import Place
    from .records import Record

ORDER_LIMIT = 64 << 10  # bytes of an order to a supervisor that is there; a larger one gets a supervisor of its own
IDLE_CREWS = 16  # supervisors kept for the next attempts


class Crew:
    """A supervisor between two attempts, or at one, and our end of the socket on which it gets them."""

    __slots__ = ("attempt", "socket")

    def __init__(self, ours: socket.socket) -> None:
        self.socket = ours
        self.attempt = ""

    def give(self, attempt: str, order: bytes, runner: int) -> None:
        """Hand over an attempt and its runner lock. Raises OSError if the supervisor is gone."""
        handle = struct.pack("i", runner)
        self.socket.sendmsg([order], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handle)])
        self.attempt = attempt


def next_order(mine: socket.socket) -> Tuple[bytes, int]:
    """Wait for the next attempt: what was packed by the agent, and the runner lock. Empty when the agent is gone."""
    # Closed at exec: a job that held the runner lock would pass for its own supervisor.
    order, ancillary, _, _ = mine.recvmsg(ORDER_LIMIT, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    return order, struct.unpack("i", ancillary[0][2])[0] if ancillary else -1


class Crews:
    """The agent's supervisors. `fork` does some work in a process of its own, which has none of the link's descriptors."""

    def __init__(self, home: Home, notices: int, fork: Callable[[Callable[[], None]], None]) -> None:
        self._home = home
        self._notices = notices
        self._fork = fork
        self._all: List[Crew] = []
        self._oom_kills = (0.0, 0)  # when they were counted, monotonic, and how many

    def sockets(self) -> List[socket.socket]:
        """Our ends. A child must close them, or another supervisor would not notice that the agent is gone."""
        return [crew.socket for crew in self._all]

    def hand_over(self, place: Place, spec: Record) -> None:
        """Give the attempt to a supervisor, and its runner lock with it: there is no moment in which it looks abandoned."""
        now = time.monotonic()
        if now - self._oom_kills[0] > 1:
            self._oom_kills = now, count_oom_kills()
        order = encode_json([place.attempt, spec, self._oom_kills[1]]).encode("ascii")
        if len(order) > ORDER_LIMIT:
            self._fork_supervisor(place, spec)
            return
        while True:
            # Before the lock is there: a process that is forked now must not inherit it.
            crew = next((crew for crew in self._all if not crew.attempt), None) or self._new_crew()
            runner = make_lock(place.runner)
            try:
                crew.give(place.attempt, order, runner)
                return
            except OSError:
                self._dismiss(crew)  # it was killed
                place.unlock()
            finally:
                os.close(runner)

    def relieve(self, done: Set[str]) -> None:
        """The supervisors of these attempts may take others."""
        for crew in [crew for crew in self._all if crew.attempt in done]:
            crew.attempt = ""
            if sum(not other.attempt for other in self._all) > IDLE_CREWS:
                self._dismiss(crew)

    def _fork_supervisor(self, place: Place, spec: Record) -> None:
        """A supervisor for this attempt alone, whose spec is too large for a message."""
        runner = make_lock(place.runner)
        try:
            here, oom_kills, notices = self._home.incarnation, self._oom_kills[1], self._notices
            self._fork(lambda: Supervisor(place, spec, runner, here, oom_kills, notices).run())
        finally:
            os.close(runner)

    def _new_crew(self) -> Crew:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * ORDER_LIMIT)
        crew = Crew(ours)
        self._all.append(crew)
        try:
            self._fork(lambda: self._serve_attempts(theirs))
        finally:
            theirs.close()
        return crew

    def _serve_attempts(self, mine: socket.socket) -> None:
        """The life of a supervisor: one attempt after the other, while there is an agent to give them."""
        while True:
            order, runner = next_order(mine)
            if not order:
                return
            attempt, spec, oom_kills = json.loads(order)
            place = self._home.place(attempt)
            Supervisor(place, spec, runner, self._home.incarnation, oom_kills, self._notices).run()

    def _dismiss(self, crew: Crew) -> None:
        crew.socket.close()
        self._all.remove(crew)
