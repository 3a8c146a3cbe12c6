"""The attempts whose changes a link wants to hear of: looked at when something may have changed, and told when it has."""

from __future__ import annotations

import os
import select
import time

from .files import size_of
from .locks import HELD, lock_state, pid_in
from .notices import CHANGED
from .place import ATTEMPT_NAME, log_path
from .processes import is_alive, open_pidfd, read_process
from .records import read_record
from .refusals import Refusal
from .standing import (
    ABSENT,
    DISK_FULL,
    ENDED,
    QUEUED,
    RUNNING,
    STARTING,
    UNSTARTED,
    VOID,
    Standing,
    settle,
    void,
)
from .undertaker import undertake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, List, Optional, Set, Tuple

    from .frames import Header
    from .home import Home
    from .notices import Notice
    from .outbox import Outbox
    from .place import Place
    from .processes import Process
    from .records import Record


START_PATIENCE = 30.0  # s in which a supervisor begins, or never: its folder, or the disk of its log, does not answer


class Said(Standing):
    """How an attempt stands as its supervisor said it: `texts` are its records, by the fields of a frame."""

    __slots__ = ("texts",)

    def __init__(self, status: str, **texts: str) -> None:
        Standing.__init__(self, status)
        self.texts = texts


class Watch:
    """An attempt whose changes the link wants to hear of."""

    __slots__ = (
        "asked", "crewed", "given", "ours", "pidfd", "place", "said", "start", "started_here", "told", "undertaker",
    )  # fmt: skip

    def __init__(self, place: Place, started_here: bool = False) -> None:
        self.place = place
        self.started_here = started_here
        self.asked = False  # for its status, and it has not been told since
        self.told: Any = None
        self.pidfd: Optional[int] = None
        self.undertaker: Optional[Process] = None  # who carries out a cancel where there is no supervisor
        self.ours = False  # a supervisor of this agent's has it
        self.given: Optional[Tuple[float, str]] = (
            None  # when (monotonic) it got it, and the folder that it has to enter
        )
        self.crewed = False  # one whose every change, and whose death, is heard of
        self.start = ""  # what that one said it has written into start.json, and the pid
        self.said: Optional[Said] = None  # what it said last, until that was told

    @property
    def announced(self) -> bool:
        """True if its end is told or seen at once. Another agent's supervisor tells that agent, and lives on."""
        if self.undertaker is not None:
            return False  # it may be killed, too
        if self.crewed:
            return bool(self.start)  # one that has not begun may hang, with the disk of a log
        return self.pidfd is not None and self.ours


class Watches:
    """All watched attempts, by name.

    `left` is called with the name of each that is watched no longer: it has ended. `heard_of` is called before that with the
    name of one that is given up, though its supervisor has said nothing of it.
    """

    def __init__(
        self,
        home: Home,
        outbox: Outbox,
        poll: select.poll,
        notices: int,
        fork: Callable[[Callable[[], None]], int],
        left: Callable[[str], None],
        heard_of: Callable[[str], object],
    ) -> None:
        self._home = home
        self._outbox = outbox
        self._poll = poll
        self._notices = notices
        self._fork = fork
        self._left = left
        self._heard_of = heard_of
        self._by_attempt: Dict[str, Watch] = {}
        self._by_pidfd: Dict[int, Watch] = {}
        self._over: Set[str] = set()  # whose end was told, and which were not put away since

    def __contains__(self, attempt: str) -> bool:
        return attempt in self._by_attempt

    def is_over(self, attempt: str) -> bool:
        """True if it was told on this link that the attempt has ended. False once it is put away."""
        return attempt in self._over

    def place(self, request: Header) -> Place:
        """Where the attempt lives that the request names. Raises Refusal."""
        if not isinstance(request.get("attempt"), str) or not ATTEMPT_NAME.fullmatch(request["attempt"]):
            raise Refusal("%r is no attempt" % (request.get("attempt"),))
        watch = self._by_attempt.get(request["attempt"])
        return watch.place if watch else self._home.place(request["attempt"])

    def pidfds(self) -> List[int]:
        """The descriptors on which the kernel announces the ends of processes."""
        return list(self._by_pidfd)

    def ended(self, ready: List[int]) -> List[str]:
        """The attempts to which these descriptors, pidfds among them, belong."""
        return [self._by_pidfd[pidfd].place.attempt for pidfd in ready if pidfd in self._by_pidfd]

    def unannounced(self) -> List[str]:
        """The attempts whose end nobody will tell of."""
        return [name for name, watch in self._by_attempt.items() if not watch.announced]

    def expect(self, place: Place, folder: str, crewed: bool) -> None:
        """Watch an attempt that was given to a supervisor, to start in `folder`: told when the job runs, or at the next look.

        With `crewed`, all that happens to it, and to its supervisor, is told in notices.
        """
        self.drop(place.attempt)
        watch = self._by_attempt[place.attempt] = Watch(place, started_here=True)
        watch.ours, watch.crewed, watch.given = True, crewed, (time.monotonic(), folder)

    def hear(self, notice: Notice) -> None:
        """Take in what a supervisor said of its attempt; the next look tells it."""
        watch = self._by_attempt.get(notice.attempt)
        if watch is None:
            return
        if notice.mark != CHANGED:
            watch.crewed = False
        watch.said = None
        for text in notice.records:
            if text.startswith('{"go":'):
                watch.start = text
                if notice.mark == CHANGED:
                    watch.said = Said(RUNNING, start=text, supervised="true")
            elif text.startswith('{"exit":') and watch.start:  # which may have been too long to be told
                watch.said = Said(ENDED, start=watch.start, final=text)

    def claim(self, place: Place) -> None:
        """Take note that this link asked for the attempt's start."""
        self._by_attempt.setdefault(place.attempt, Watch(place)).started_here = True

    def answer(self, place: Place, beats: bool = False) -> None:
        """Send the attempt's status now, and again whenever it changes. `beats`: its pulse was just seen to beat."""
        watch = self._by_attempt.setdefault(place.attempt, Watch(place))
        watch.asked, watch.told = True, None
        self._look(watch, beats)

    def look(self, attempts: Iterable[str]) -> None:
        """Look at those of `attempts` that are watched. One whose disk refuses is looked at again, as an unannounced one."""
        for watch in [self._by_attempt[attempt] for attempt in attempts if attempt in self._by_attempt]:
            try:
                self._look(watch)
            except (OSError, Refusal):  # the latter where the table is gone
                self._forget_pidfd(watch)

    def undertake(self, place: Place, cancel: Record) -> None:
        """Have a process of its own end an attempt whose supervisor is dead, unless one does so."""
        self._undertake(self._by_attempt.setdefault(place.attempt, Watch(place)), cancel)

    def forget(self, attempt: str) -> None:
        """Watch the attempt no longer, and forget how it ended."""
        self._over.discard(attempt)
        self._leave(attempt)

    def drop(self, attempt: str) -> bool:
        """Watch an attempt no longer, though it has not ended. True if somebody asked for its status, and waits for it."""
        watch = self._by_attempt.pop(attempt, None)
        if watch is None:
            return False
        self._forget_pidfd(watch)
        return watch.asked

    def _leave(self, attempt: str) -> None:
        watch = self._by_attempt.pop(attempt, None)
        if watch is not None:
            self._forget_pidfd(watch)
            self._left(attempt)

    def _look(self, watch: Watch, beats: bool = False) -> None:
        """Send the status if it is news. See to it that a cancel is carried out, whoever asked for it."""
        place = watch.place
        standing = watch.said or settle(place, self._home.incarnation)
        watch.said = None
        if standing.status == UNSTARTED and watch.started_here and watch.told is not None:
            # For two looks nobody has been on the way. One alone may fall between another agent's mkdir and its lock.
            void(place, "its supervisor was killed before it started", trouble=True)
            standing = settle(place, self._home.incarnation)
        awaited = watch.crewed and standing.status in (ABSENT, UNSTARTED)  # its folder, or that the lock is its own
        if watch.given and (awaited or standing.status == STARTING):
            if time.monotonic() - watch.given[0] >= START_PATIENCE:
                self._give_up(watch, standing.status)
                standing = settle(place, self._home.incarnation)
            elif awaited:
                return  # its supervisor is about to do that, or its death is heard of
        without_pid = self._has_no_pid_yet(watch, standing)
        if without_pid and not watch.asked:
            return
        news = standing.status, standing.supervised
        if news != watch.told:
            if isinstance(standing, Said):
                self._outbox.send_texts("status", standing.texts, attempt=place.attempt, status=standing.status)
            else:
                more = {"beats": True} if beats and standing.status == RUNNING else {}
                self._outbox.send("status", **described(place, standing), **more)
            watch.asked, watch.told = False, None if without_pid else news
        self._rewatch(watch, standing)
        cancel = None if standing.supervised else read_record(place.file("cancel.json"))
        if cancel is not None:
            self._undertake(watch, cancel)

    def _has_no_pid_yet(self, watch: Watch, standing: Standing) -> bool:
        """True if its record says go, and its supervisor, which is about to start it, will say soon that it did, and the pid."""
        if standing.status != RUNNING or not standing.supervised or not watch.crewed or watch.start or not watch.given:
            return False
        return not pid_in(watch.place.lock) and time.monotonic() - watch.given[0] < START_PATIENCE

    def _give_up(self, watch: Watch, status: str) -> None:
        """Void an attempt that its supervisor has had for long, and has not begun."""
        assert watch.given is not None
        folder = watch.given[1]
        if status == STARTING:
            why = "%s has not answered for %.0f s" % (folder, START_PATIENCE)
            void(watch.place, why, trouble=True, lacks={"cwd": folder})
        else:
            self._home.make_folder(watch.place)
            void(watch.place, "its supervisor has done nothing for %.0f s" % START_PATIENCE, trouble=True)
        self._heard_of(watch.place.attempt)

    def _undertake(self, watch: Watch, cancel: Record) -> None:
        ours = watch.undertaker is not None and is_alive(watch.undertaker)
        if not ours and lock_state(watch.place.end_lock) != HELD:
            place, notices = watch.place, self._notices
            watch.undertaker = read_process(self._fork(lambda: undertake(place, cancel, notices)))

    def _rewatch(self, watch: Watch, standing: Standing) -> None:
        """Have the kernel announce the end of what keeps the attempt as it is."""
        if standing.status in (ABSENT, VOID, ENDED):
            if standing.status != ABSENT:
                self._over.add(watch.place.attempt)
            self._leave(watch.place.attempt)
            return
        if watch.crewed:
            return  # its supervisor tells
        self._forget_pidfd(watch)
        pidfd = open_pidfd(standing.witness) if standing.witness is not None else None
        if pidfd is not None:
            watch.pidfd = pidfd
            self._by_pidfd[pidfd] = watch
            self._poll.register(pidfd, select.POLLIN)

    def _forget_pidfd(self, watch: Watch) -> None:
        if watch.pidfd is not None:
            self._poll.unregister(watch.pidfd)
            del self._by_pidfd[watch.pidfd]
            os.close(watch.pidfd)
            watch.pidfd = None


def described(place: Place, standing: Standing) -> Record:
    """The fields of a status frame."""
    fields: Record = {"attempt": place.attempt, "status": standing.status}
    verdict = (standing.final or {}).get("exit") or {}
    if standing.start is not None:
        fields["start"] = standing.start
        refusal = standing.start.get("void") or {}
        if refusal.get("why") == DISK_FULL:
            refusal["why"] = "%s: %s" % (place.folder, DISK_FULL)  # for which its record had no room
        if "go" in standing.start:
            go = standing.start["go"]
            go["pid"] = verdict.get("pid") or go.get("pid") or pid_in(place.lock)
    if standing.final is not None:
        fields["final"] = standing.final
        if not verdict.get("sizes"):
            fields["sizes"] = _sizes(place, standing.start)
    if standing.status in (QUEUED, VOID):
        fields["batch"] = (read_record(place.file("spec.json")) or {}).get("batch")
    if standing.status == RUNNING:
        fields["supervised"] = standing.supervised
    return fields


def _sizes(place: Place, start: Optional[Record]) -> Record:
    """Of its logs; without one that cannot be asked at this moment."""
    sizes = {stream: size_of(log_path(place, start, stream)) for stream in ("out", "err")}
    return {stream: size for stream, size in sizes.items() if size is not None}
