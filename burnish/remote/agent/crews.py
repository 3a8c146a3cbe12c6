"""Supervisors that take one attempt after the other, and how an attempt gets to one.

Forking costs more than most of what a short job needs, so a supervisor that has recorded an attempt takes the next. It owns
one at a time, and ends when the agent is gone.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from functools import partial

from .files import unlink
from .locks import make_lock, name_nobody
from .notices import DONE, GONE, Notice, heard_on_socket, tell_in_pipe, tell_on_socket
from .oom import count_oom_kills
from .place import idle_lock
from .processes import become_subreaper
from .supervisor import Supervisor, Surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterable, Iterator, List

    from .home import Home
    from .place import Place
    from .records import Record

MESSAGE_LIMIT = 64 << 10  # bytes of a message; an attempt whose order is larger gets a supervisor of its own
IDLE_CREWS = 16  # supervisors kept for the next attempts, however long those take to come
IDLE_TIME = 10.0  # s for which others are kept at least: of many slots with short jobs, many are between two


class Crew:
    """A supervisor between two attempts, or at one: our end of the socket, and what its lock is called between them.

    `since`: when it was relieved of the last attempt, monotonic.
    """

    __slots__ = ("attempt", "idle", "since", "socket")

    def __init__(self, ours: socket.socket, idle: str) -> None:
        self.socket = ours
        self.idle = idle
        self.attempt = ""
        self.since = 0.0

    def give(self, place: Place, order: bytes) -> None:
        """Hand over an attempt. Raises OSError if the supervisor is gone, or its lock's file."""
        # It is held all the while: there is no moment in which the attempt looks abandoned.
        os.rename(self.idle, place.lock)
        self.attempt = place.attempt
        self.socket.send(order)


class Crews:
    """The agent's supervisors. `fork` does some work in a process of its own, which has none of the link's descriptors.

    `notices` is the pipe for those that get one attempt only.
    """

    def __init__(self, home: Home, poll: select.poll, notices: int, fork: Callable[[Callable[[], None]], int]) -> None:
        self._home = home
        self._poll = poll
        self._notices = notices
        self._fork = fork
        self._all: Dict[int, Crew] = {}  # by the descriptor of our end
        self._oom_kills = (0.0, 0)  # when they were counted, monotonic, and how many

    def sockets(self) -> List[socket.socket]:
        """Our ends. A child must close them, or another supervisor would not notice that the agent is gone."""
        return [crew.socket for crew in self._all.values()]

    def hand_over(self, place: Place, spec: Record, text: str) -> bool:
        """Give the attempt to a supervisor. True if its end will be heard of here, whatever becomes of the supervisor.

        `text`: the spec as JSON, under the key `spec`. Its folder is new, and nobody holds its lock. Raises OSError, Refusal.
        """
        now = time.monotonic()
        if now - self._oom_kills[0] > 1:
            self._oom_kills = now, count_oom_kills()
        order = ('["%s",%d,%s]' % (place.attempt, self._oom_kills[1], text)).encode("utf-8")
        if len(order) > MESSAGE_LIMIT:
            self._fork_supervisor(place, spec)
            return False
        while True:
            crew = next((crew for crew in self._all.values() if not crew.attempt), None)
            fresh = crew is None
            crew = crew or self._new_crew()
            try:
                crew.give(place, order)
                return True
            except OSError:
                self._dismiss(crew)
                if crew.attempt:
                    place.unlock()  # it was killed
                if fresh:
                    raise

    def heard(self, ready: Iterable[int]) -> Iterator[Notice]:
        """What the supervisors say at whose ends there is something to read."""
        for descriptor in ready:
            crew = self._all.get(descriptor)
            if crew is None:
                continue
            try:
                message = crew.socket.recv(MESSAGE_LIMIT)
            except OSError:
                message = b""
            notice = heard_on_socket(crew.attempt, message) if message else Notice(crew.attempt, GONE)
            if notice.mark == GONE:
                self._dismiss(crew)
            elif notice.mark == DONE:
                crew.attempt, crew.since = "", time.monotonic()  # it may take another
            yield notice

    def thin(self) -> None:
        """Dismiss supervisors for which there was nothing to do for a while. The oldest are the first to get something.

        For the agent to call when it is awake: it is not woken for this.
        """
        idle = [crew for crew in self._all.values() if not crew.attempt]
        now = time.monotonic()
        for crew in idle[IDLE_CREWS:]:
            if now - crew.since >= IDLE_TIME:
                self._dismiss(crew)

    def _fork_supervisor(self, place: Place, spec: Record) -> None:
        """A supervisor for this attempt alone, whose spec is too large for a message."""
        lock = make_lock(place.lock)
        here, oom_kills, notices = self._home.incarnation, self._oom_kills[1], self._notices

        def supervise() -> None:
            become_subreaper()
            tell = partial(tell_in_pipe, notices, place.attempt)
            Supervisor(place, spec, lock, Surroundings(here), oom_kills, tell).run()
            _let_go(place)
            tell(DONE)

        try:
            self._fork(supervise)
        finally:
            os.close(lock)

    def _new_crew(self) -> Crew:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE_LIMIT)
        crew = Crew(ours, idle_lock())
        lock = make_lock(crew.idle)
        self._all[ours.fileno()] = crew
        self._poll.register(ours.fileno(), select.POLLIN)
        try:
            self._fork(lambda: self._serve_attempts(theirs, lock, crew.idle))
        finally:
            os.close(lock)
            theirs.close()
        return crew

    def _serve_attempts(self, mine: socket.socket, lock: int, idle: str) -> None:
        """The life of a supervisor: one attempt after the other, while there is an agent to give them."""
        become_subreaper()
        surroundings = Surroundings(self._home.incarnation)
        while True:
            try:
                order = mine.recv(MESSAGE_LIMIT)
            except OSError:
                order = b""  # the agent went away with notices that it had not read
            if not order:
                break
            attempt, oom_kills, request = json.loads(order.decode("utf-8"))
            spec = request["spec"]
            place = self._home.place(attempt)
            tell = partial(tell_on_socket, mine)
            records = Supervisor(place, spec, lock, surroundings, oom_kills, tell).run()
            lock = _lay_aside(place, lock, idle)
            if not tell(DONE, *records):
                break  # the end of a supervisor is heard in any case
        unlink(idle)

    def _dismiss(self, crew: Crew) -> None:
        self._poll.unregister(crew.socket.fileno())
        del self._all[crew.socket.fileno()]
        crew.socket.close()


def _lay_aside(place: Place, lock: int, idle: str) -> int:
    """Make an attempt's lock a supervisor's own again. Returns its descriptor. Raises OSError, Refusal."""
    try:
        if os.path.isdir(place.folder):
            name_nobody(lock)
            os.rename(place.lock, idle)
            return lock
    except OSError:
        pass  # somebody removed it
    os.close(lock)
    return make_lock(idle)


def _let_go(place: Place) -> None:
    """Remove an attempt's lock, unless its folder was removed: without either, nothing would say that it has run."""
    if os.path.isdir(place.folder):
        place.unlock()
