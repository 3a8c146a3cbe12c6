"""The agent: serves one link, in turns, and ends with it. What it knows it reads from the host's folders, or hears from its
supervisors, who have just written it there.

What waits is a supervisor's notice, the end of a watched process, a reading of the GPUs, or a request; each turn takes what
is there. What a request means is in the modules that its method belongs to.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import select
import sys
import time
from collections import deque

from .batch import Batch
from .commands import Commands
from .crews import Crews
from .files import READ_SIZE, write_all
from .forking import fork, leave_session, prepare_process
from .frames import PREAMBLE, PROTOCOL, FrameReader, ProtocolError
from .home import Home
from .keeping import Keeping
from .looks import Looks
from .notices import FREED, GONE, PASSED, UNRECORDED, heard_in_pipe
from .outbox import LINK, Outbox
from .place import TABLE_NAME
from .processes import incarnation
from .records import FULL
from .refusals import Refusal, clause, printable
from .standing import BATCH
from .starts import Starts, request_of
from .stops import Stops
from .tails import Tails
from .watches import Watches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Deque, Dict, List, Optional

    from .frames import Header
    from .notices import Notice

LOOK_INTERVAL = 0.25  # s between looks at attempts whose end the kernel does not announce
BATCH_INTERVAL = 1.0  # s, the same where a batch system starts them: each look lists a folder of a shared file system
PICKS_PER_TURN = 16  # requests served before news of attempts goes out
PASSING = (*FULL, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)  # what a disk may say today and not tomorrow
REQUESTS = 0  # the descriptor


class Agent:
    """Serves one link: reads requests from descriptor 0, writes answers and news to descriptor 1, ends when either does."""

    def __init__(self, source: bytes = b"") -> None:
        self._source = source
        self._umask = prepare_process()
        self._null = os.open(os.devnull, os.O_RDWR)
        self._home = Home(incarnation())
        self._reader = FrameReader(request_of)
        self._requests: List[Header] = []
        self._notices, notices_in = os.pipe()
        os.set_blocking(notices_in, False)
        self._poll = select.poll()
        self._poll.register(REQUESTS, select.POLLIN)
        self._poll.register(self._notices, select.POLLIN)
        self._looked = 0.0  # when attempts whose end is not announced, and idle supervisors, were looked at, monotonic
        # Attempts that have left their slots, and whose successors are about to be started.
        self._left: Deque[str] = deque()
        self._closed = False  # by the coordinator
        self._outbox = Outbox()
        self._watches = Watches(
            self._home, self._outbox, self._poll, notices_in, self._fork, self._start_next, self._heard_of
        )
        self._crews = Crews(self._home, self._poll, notices_in, self._fork)
        self._looks = Looks(self._home, self._outbox, self._poll, self._fork)
        self._starts = Starts(self._home, self._watches, self._crews, self._looks)
        self._commands = Commands(self._outbox, self._poll, self._fork)
        batch = Batch(self._home, self._watches)
        self._tails = Tails(self._outbox, self._poll)
        stops = Stops(self._home, self._watches, self._starts)
        keeping = Keeping(self._home, self._outbox, self._watches, self._tails)
        self._served: Dict[str, Callable[[Header], None]] = {
            "hello": self._greet,
            "ping": self._pong,
            "look": self._looks.look,
            "start": self._starts.start,
            "prepare": batch.prepare,
            "conclude": batch.conclude,
            "run": self._commands.run,
            "void": stops.void,
            "cancel": stops.cancel,
            "status": keeping.status,
            "list": keeping.list,
            "pull": keeping.pull,
            "ack": keeping.ack,
            "clean": keeping.clean,
        }

    def serve(self) -> None:
        """Until the link ends. Raises ProtocolError for bytes that no coordinator sends."""
        while not (self._closed or self._outbox.broken or self._home.removed):
            self._turn()
            for request in self._requests[:PICKS_PER_TURN]:
                self._serve_request(request)
            del self._requests[:PICKS_PER_TURN]
            self._outbox.flush()

    def _turn(self) -> None:
        """Wait for something to do: a request, a supervisor's notice, the end of a watched process, or time for a look."""
        ready = [descriptor for descriptor, _ in self._poll.poll(self._timeout())]
        gpus_ready = self._looks.gpus.pipe in ready  # now: what is started below may have another reading begun
        notices = list(self._crews.heard(ready))
        if self._notices in ready:
            notices += heard_in_pipe(self._notices)
        names = set(self._watches.ended(ready))
        for notice in notices:
            if self._hear(notice):
                names.add(notice.attempt)
        if time.monotonic() - self._looked >= (BATCH_INTERVAL if self._home.batch else LOOK_INTERVAL):
            self._looked = time.monotonic()
            names.update(self._watches.unannounced())
            self._crews.thin()
        self._watches.look(names)
        self._collect_children()
        if gpus_ready and self._looks.take_gpus():
            for request in self._starts.after_gpus():
                self._serve_start(request)
        self._looks.answer(ready)
        self._tails.tell(ready)
        self._commands.take(ready)
        if REQUESTS in ready and not self._requests:
            data = os.read(REQUESTS, READ_SIZE)
            self._closed = not data
            self._requests.extend(header for header, _ in self._reader.feed(data))

    def _hear(self, notice: Notice) -> bool:
        """Take in what a supervisor says of its attempt, and whom it goes on with. True if there may be news to tell."""
        begun = self._starts.heard_of(notice.attempt)
        if notice.next:
            self._starts.begin(notice.next)
        if notice.mark in (FREED, UNRECORDED):
            self._start_next(notice.attempt)
            if notice.mark == UNRECORDED:
                why = json.loads(notice.records[0])["why"] if notice.records else "its disk refuses"
                self._refuse({"type": "record", "attempt": notice.attempt}, why, passing=True)
            return False
        if begun and notice.mark in (PASSED, GONE):
            asked = self._watches.drop(notice.attempt)
            self._serve_start(begun)
            if asked:
                self._serve_request({"type": "status", "attempt": notice.attempt})
            return False
        if notice.mark == PASSED:
            return False  # it was started otherwise
        self._watches.hear(notice)
        if begun and notice.attempt not in self._watches:
            self._start_next(notice.attempt)  # it was voided before it ran
        return True

    def _timeout(self) -> Optional[float]:
        """In milliseconds."""
        if self._requests:
            return 0
        return LOOK_INTERVAL * 1000 if self._watches.unannounced() or self._looks.waiting else None

    def _collect_children(self) -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    def _serve_request(self, request: Header) -> None:
        serve = self._served.get(request["type"])
        try:
            if serve is None:
                raise Refusal("this agent does not know such a request")
            if not self._home.table and request["type"] not in ("hello", "ping"):
                raise Refusal("hello must come first")
            serve(request)
        except Refusal as refusal:
            self._refuse(request, str(refusal))
        except OSError as error:
            self._refuse(request, clause(error), passing=error.errno in PASSING)
        except (KeyError, TypeError, ValueError) as error:
            self._refuse(request, "the request is malformed (%s: %s)" % (type(error).__name__, error))

    def _refuse(self, request: Header, why: str, passing: bool = False) -> None:
        self._outbox.send("refused", request=request["type"], attempt=request.get("attempt"), why=why, passing=passing)

    def _greet(self, request: Header) -> None:
        if request["protocol"] != PROTOCOL:
            raise Refusal("it speaks protocol %r, this agent %d" % (request["protocol"], PROTOCOL))
        if not TABLE_NAME.fullmatch(request["table"]):
            raise Refusal("%r is no table id" % request["table"])
        state_dir = os.path.expanduser(request["state_dir"])
        if not os.path.isabs(state_dir):
            raise Refusal("state_dir %s is not absolute" % printable(state_dir))
        batch = request.get("engine") == BATCH
        self._home.open(os.path.realpath(state_dir), request["table"], self._source, batch)
        gc.collect()
        gc.freeze()  # a collection in a child would copy every page it touches
        self._outbox.send(
            "welcome",
            protocol=PROTOCOL,
            state_id=self._home.state_id,
            incarnation=self._home.incarnation,
            hostname=os.uname().nodename,
            uid=os.getuid(),
            source=self._home.source,
            python=sys.version.split()[0],
            pid=os.getpid(),
            now=time.time(),
        )

    def _pong(self, request: Header) -> None:
        self._outbox.send("pong", id=request.get("id"))

    def _start_next(self, ended: str) -> None:
        """Start what was to come after an attempt. Nothing of it was on disk until now: it would have gone with the link."""
        self._left.append(ended)
        if len(self._left) > 1:
            return  # it is seen to below: who waits in a line of void ones is not called through all of them
        while self._left:
            for request in self._starts.after(self._left[0]):
                self._serve_start(request)
            self._left.popleft()

    def _heard_of(self, attempt: str) -> None:
        """An attempt that was given ahead of its turn is given up."""
        self._starts.heard_of(attempt)

    def _serve_start(self, request: Header) -> None:
        """Start what has waited; if it is refused, it is the turn of who waits behind it."""
        self._serve_request(request)
        attempt = request["attempt"]
        if not (attempt in self._watches or self._starts.is_waiting(attempt)):
            self._start_next(attempt)

    def _fork(self, work: Callable[[], None]) -> int:
        """Do `work` in a process of its own that has none of the link's descriptors, so that it cannot hold the link open.

        Returns its pid.
        """
        pidfds, sockets = self._watches.pidfds(), self._crews.sockets()
        tails = [] if self._tails.descriptor is None else [self._tails.descriptor]

        def child() -> None:
            leave_session(self._null)
            os.close(self._notices)
            for descriptor in pidfds + tails:
                os.close(descriptor)
            for socket in sockets:
                socket.close()
            os.umask(self._umask)
            work()

        return fork(child)


def serve(nonce: str, source: bytes = b"") -> None:
    """Greet the coordinator and serve it until the link ends. `source`: the agent's own text, to be kept on the host if given."""
    os.chdir("/")
    agent = Agent(source)
    write_all(LINK, (PREAMBLE % nonce).encode("ascii"))
    try:
        agent.serve()
    except ProtocolError as error:
        sys.stderr.write("%s\n" % error)  # the link is of no use any more; the coordinator makes another one
