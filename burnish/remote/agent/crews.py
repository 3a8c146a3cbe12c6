"""Supervisors that take one attempt after the other, and how an attempt gets to one.

Forking costs more than most of what a short job needs, so a supervisor that has recorded an attempt takes the next. It owns
one at a time, and ends when the agent is gone.

Where jobs are over within milliseconds, those that come next are given to it ahead of their turn. Their orders lie in the socket,
nothing of them is on disk, and when the turn of one comes the supervisor makes its folder, as the agent would. If somebody has
made that before, or it cannot be made, the order is passed, and so is what lies behind it: the agent sees to that. When the agent
is gone, nothing that lies there is begun.
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
from .notices import DONE, GONE, PASSED, Notice, heard_on_socket, tell_in_pipe, tell_on_socket
from .place import idle_lock
from .processes import become_subreaper
from .refusals import Refusal
from .room import Room
from .standing import was_removed
from .supervisor import Supervisor
from .surroundings import Surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterable, Iterator, List

    from .frames import Header
    from .home import Home
    from .place import Place
    from .records import Record

MESSAGE_LIMIT = 64 << 10  # bytes of a message; an attempt whose order is larger gets a supervisor of its own
IDLE_CREWS = 16  # supervisors kept for the next attempts, however long those take to come
IDLE_TIME = 10.0  # s for which others are kept at least: of many slots with short jobs, many are between two


class Crew:
    """A supervisor between two attempts, or at one: our end of the socket, and what its lock is called between them.

    `line`: the attempts that were given to it ahead of their turn. `brief`: its last job was over before anybody was told that
    it ran. `since`: when it was relieved of that, monotonic.
    """

    __slots__ = ("attempt", "brief", "idle", "line", "since", "socket")

    def __init__(self, ours: socket.socket, idle: str) -> None:
        self.socket = ours
        self.idle = idle
        self.attempt = ""
        self.line: List[str] = []
        self.brief = False
        self.since = 0.0

    def give(self, place: Place, order: bytes) -> None:
        """Hand over an attempt. Raises OSError if the supervisor is gone, or its lock's file."""
        # It is held all the while: there is no moment in which the attempt looks abandoned.
        os.rename(self.idle, place.lock)
        self.attempt = place.attempt
        self.socket.send(order)

    @property
    def last(self) -> str:
        """The last attempt that it was given."""
        return self.line[-1] if self.line else self.attempt


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
        self._given: Dict[str, Crew] = {}  # by the attempts that they have, or have in line

    def sockets(self) -> List[socket.socket]:
        """Our ends. A child must close them, or another supervisor would not notice that the agent is gone."""
        return [crew.socket for crew in self._all.values()]

    def hand_over(self, place: Place, spec: Record, text: str) -> bool:
        """Give the attempt to a supervisor. True if its end will be heard of here, whatever becomes of the supervisor.

        `text`: the spec as JSON, under the key `spec`. Its folder is new, and nobody holds its lock. Raises OSError, Refusal.
        """
        order = _order(place.attempt, text, ahead=False)
        if len(order) > MESSAGE_LIMIT:
            self._fork_supervisor(place, spec)
            return False
        while True:
            crew = next((crew for crew in self._all.values() if not crew.attempt), None)
            fresh = crew is None
            crew = crew or self._new_crew()
            try:
                crew.give(place, order)
                self._given[place.attempt] = crew
                return True
            except OSError:
                self._dismiss(crew)
                if crew.attempt:
                    place.unlock()  # it was killed
                if fresh:
                    raise

    def takes_next(self, after: str) -> bool:
        """True if the supervisor that was given this attempt last takes the next one ahead of its turn."""
        crew = self._given.get(after)
        return crew is not None and crew.last == after and crew.brief

    def give_ahead(self, after: str, attempt: str, text: str) -> bool:
        """Give the attempt to the supervisor that takes the next one after `after`. False if it has enough, or is gone.

        `text`: the request for its start, as JSON.
        """
        crew, order = self._given[after], _order(attempt, text, ahead=True)
        if len(order) > MESSAGE_LIMIT:
            return False
        try:
            crew.socket.send(order, socket.MSG_DONTWAIT)
        except OSError:
            return False
        crew.line.append(attempt)
        self._given[attempt] = crew
        return True

    def last_after(self, attempt: str) -> str:
        """The last attempt in the line of the supervisor that has this one."""
        return self._given[attempt].last if attempt in self._given else attempt

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
            elif notice.mark in (DONE, PASSED):  # it may take another
                self._forget(crew, crew.attempt)
                notice.next = crew.attempt = crew.line.pop(0) if crew.line else ""
                crew.since = time.monotonic()
            crew.brief = notice.mark == DONE and len(notice.records) > 1
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
        here, notices = self._home.incarnation, self._notices

        def supervise() -> None:
            become_subreaper()
            tell = partial(tell_in_pipe, notices, place.attempt)
            with Room(place.folder) as room:
                Supervisor(place, spec, lock, Surroundings(here), room, tell).run()
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
        crew, me = Crew(ours, idle_lock()), os.getpid()
        lock = make_lock(crew.idle)
        self._all[ours.fileno()] = crew
        self._poll.register(ours.fileno(), select.POLLIN)
        try:
            self._fork(lambda: self._serve(theirs, lock, crew.idle, me))
        finally:
            os.close(lock)
            theirs.close()
        return crew

    def _serve(self, mine: socket.socket, lock: int, idle: str, agent: int) -> None:
        """The life of a supervisor."""
        become_subreaper()
        with Room(self._home.attempts) as room:
            self._serve_attempts(mine, lock, idle, agent, room)

    def _serve_attempts(self, mine: socket.socket, lock: int, idle: str, agent: int, room: Room) -> None:
        """One attempt after the other, while there is an agent to give them."""
        surroundings = Surroundings(self._home.incarnation)
        tell = partial(tell_on_socket, mine)
        passing = False  # what was passed may have the slot, elsewhere
        while True:
            try:
                order = mine.recv(MESSAGE_LIMIT)
            except OSError:
                order = b""  # the agent went away with notices that it had not read
            if not order or os.getppid() != agent:
                break  # also where one lies there still: nobody could call it back
            attempt, ahead, request = json.loads(order.decode("utf-8"))
            place = self._home.place(attempt)
            passing = ahead and (passing or not self._begin(place, request, idle))
            if passing:
                if not tell(PASSED):
                    break
                continue
            records = Supervisor(place, request["spec"], lock, surroundings, room, tell).run()
            lock = _lay_aside(place, lock, idle)
            if not tell(DONE, *records):
                break  # the end of a supervisor is heard in any case
        unlink(idle)

    def _begin(self, place: Place, request: Header, idle: str) -> bool:
        """Begin an attempt that was given ahead of its turn: make its folder, and the lock its own. False if that may not be."""
        try:
            if self._home.moved(request) or was_removed(place) or not self._home.make_folder(place):
                return False
            os.rename(idle, place.lock)
        except (OSError, Refusal):
            return False  # the agent will find why, and say so
        return True

    def _dismiss(self, crew: Crew) -> None:
        self._poll.unregister(crew.socket.fileno())
        del self._all[crew.socket.fileno()]
        crew.socket.close()
        self._forget(crew, crew.attempt, *crew.line)

    def _forget(self, crew: Crew, *attempts: str) -> None:
        for attempt in attempts:
            if self._given.get(attempt) is crew:  # else it was given to another since
                del self._given[attempt]


def _order(attempt: str, text: str, ahead: bool) -> bytes:
    """The message that gives an attempt to a supervisor. `ahead`: its folder is for that one to make."""
    return ('["%s",%d,%s]' % (attempt, ahead, text)).encode("utf-8")


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
