"""Requests to start an attempt: from what is asked to a supervisor that has it, at once or when what it waits for is there."""

from __future__ import annotations

import json

from .common_locks import Wanted
from .compact_json import encode_json
from .refusals import Refusal, SlotTaken, clause
from .slots import cpu_lock, gpu_locks, resolve_gpu
from .spec import problem_of_spec
from .standing import account_for_removed, void, was_removed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Tuple

    from .crews import Crews
    from .frames import Header
    from .home import Home
    from .looks import Looks
    from .place import Place
    from .records import Record
    from .watches import Watches


PLACED = ("slots", "devices", "locks")  # of a spec: the latter two are this host's to say


def request_of(text: str) -> Header:
    """The request that a frame holds; a `start` goes on to the supervisor as the `text` that it came as. Raises ValueError."""
    request: Header = json.loads(text)
    if isinstance(request, dict) and request.get("type") == "start":
        request["text"] = text
    return request


class Starts:
    """Starts attempts. Of those that wait nothing is on disk: they are in memory, or in sockets, and go with the link."""

    def __init__(self, home: Home, watches: Watches, crews: Crews, looks: Looks) -> None:
        self._home = home
        self._watches = watches
        self._crews = crews
        self._looks = looks
        self._awaiting_gpus: List[Header] = []  # the first reading of them
        self._behind: Dict[str, Header] = {}  # by their attempts; each for the end of the one that it names as `after`
        self._next: Dict[str, List[str]] = {}  # the attempts of those, by what they come after
        self._begun: Dict[str, Header] = {}  # given ahead of their turn, which has come, and not heard of since

    def start(self, request: Header) -> None:
        """Start the request's attempt, unless it was started before; answer with its status. Raises Refusal, OSError."""
        place, spec = self._watches.place(request), request["spec"]
        if self._home.batch:
            raise Refusal("a batch system starts attempts here; nothing runs on a login node")
        moved = self._home.moved(request)
        if moved:
            raise Refusal("not started, because since it was claimed %s" % moved)
        if request["attempt"] in self._begun or self._waits_in_line(request):
            return
        problem = problem_of_spec(spec)
        if not problem and (spec.get("slots") or {}).get("gpus") and not self._looks.gpus.done:
            self._looks.read_gpus()
            if not self._looks.gpus.done:
                self._awaiting_gpus.append(request)
                return
        if was_removed(place):
            account_for_removed(place)
            self._watches.answer(place)
            return
        if not self._home.make_folder(place):
            self._watches.claim(place)
            self._watches.answer(place)
            return
        if problem:
            void(place, problem, refused=True)
            self._watches.answer(place)
            return
        self._give(place, request)

    def is_waiting(self, attempt: str) -> bool:
        """True if the start of this attempt was asked for and waits."""
        if attempt in self._behind or attempt in self._begun:
            return True
        return any(request["attempt"] == attempt for request in self._awaiting_gpus)

    def after_gpus(self) -> List[Header]:
        """The requests that waited for the GPUs to be read; they wait no longer."""
        ready, self._awaiting_gpus = self._awaiting_gpus, []
        return ready

    def after(self, left: str) -> List[Header]:
        """The requests that waited for this attempt to leave its slot; they wait no longer.

        There are none while it waits itself: whatever is heard of it, as that it is void, it has no slot to leave.
        """
        if self.is_waiting(left):
            return []
        return [dict(self._behind.pop(attempt), after=None) for attempt in self._next.pop(left, ())]

    def begin(self, attempt: str) -> None:
        """The supervisor that was given this attempt ahead of its turn goes on with it."""
        request = self._behind.pop(attempt, None)
        if request is None:
            return  # it was started otherwise
        self._begun[attempt] = request
        self._next[request["after"]].remove(attempt)
        self._watches.expect(self._watches.place(request), request["spec"]["cwd"], True)
        self._give_ahead(self._crews.last_after(attempt))

    def heard_of(self, attempt: str) -> Optional[Header]:
        """The request of an attempt that began so, if this is the first that is heard of it."""
        return self._begun.pop(attempt, None)

    def _waits_in_line(self, request: Header) -> bool:
        """True if the attempt that the request is to come after has not ended, or waits; then its end is heard of here."""
        attempt, after = request["attempt"], request.get("after")
        if after is None:
            return False
        waiting = self.is_waiting(after)
        if not (waiting or after in self._watches or self._watches.is_over(after)):
            self._watches.answer(self._watches.place({"attempt": after}))
        if not (waiting or after in self._watches):
            return False
        if attempt not in self._behind:
            self._next.setdefault(after, []).append(attempt)
            self._behind[attempt] = request
            self._give_ahead(after)
        return True

    def _give_ahead(self, after: str) -> None:
        """Give whoever comes after this attempt to the supervisor that was given it, and so on, as far as it takes them."""
        while self._next.get(after) and self._crews.takes_next(after):
            request = self._behind[self._next[after][0]]
            spec = request["spec"]
            if problem_of_spec(spec) or ((spec.get("slots") or {}).get("gpus") and not self._looks.gpus.done):
                return
            try:
                if not self._crews.give_ahead(after, request["attempt"], self._placed(request)[1]):
                    return
            except SlotTaken:
                return  # it may be free when its turn comes
            after = request["attempt"]

    def _give(self, place: Place, request: Header) -> None:
        """Give the attempt, whose folder is new, to a supervisor; or say in the folder why it is not started."""
        try:
            spec, text = self._placed(request)
            crewed = self._crews.hand_over(place, spec, text)
        except SlotTaken as error:
            void(place, str(error), busy=True)
            self._watches.answer(place)
        except (OSError, Refusal) as error:
            void(place, "no supervisor can be started: %s" % clause(error), trouble=True)
            self._watches.answer(place)
        else:
            self._watches.expect(place, request["spec"]["cwd"], crewed)

    def _placed(self, request: Header) -> Tuple[Record, str]:
        """The request's spec, with what its slots are here, and the text of JSON that a supervisor gets. Raises SlotTaken."""
        spec = request["spec"]
        if not any(map(spec.get, PLACED)):
            return spec, request["text"]
        spec = self._with_devices(spec)
        return spec, encode_json(dict(request, spec=spec, text=None))

    def _with_devices(self, spec: Record) -> Record:
        """`spec`, and what its slots are on this host: `devices`, and the `locks` to hold. Raises SlotTaken."""
        slots = spec.get("slots") or {}
        wanted = slots.get("gpus") or ()
        seen = self._looks.gpus.gpus if wanted and self._looks.gpus.program else None
        devices = [resolve_gpu(gpu, seen) for gpu in wanted]
        locks = [lock for device in devices for lock in gpu_locks(device)]
        locks += [
            Wanted(cpu_lock(self._home.state_id, index), "CPU slot %d" % index) for index in slots.get("cpu") or ()
        ]
        described = [{"path": lock.path, "what": lock.what, "alone": lock.alone} for lock in locks]
        return dict(spec, devices=devices, locks=described)
