"""Many hosts asked the same at once, and every one of them accounted for: by its answer, or by the sentence why there is none.

Each host has a thread of its own, which is left behind when the time is up, so that one host in a hole delays nobody. Hosts are
asked under a table id of burnish's own, unless a table is named.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue

from msgspec import Struct
from msgspec.structs import replace

from burnish.core.hosts import Host, without_name
from burnish.core.sighting import Sighting, read
from burnish.errors import BurnishError, HostUnreachable
from burnish.remote.conversation import Conversation
from burnish.remote.reach import transport
from burnish.slurm import text

LIMIT = 20.0  # s for all hosts together
NOBODY = "look"  # the table id of whoever asks on behalf of no table
SLURM_LIMIT = 10.0  # s for Slurm to answer on a login node
LATE = "it did not answer within {limit:.0f} s"


class Answer(Struct, frozen=True):
    """One host's: what it has, or why it is not known (`trouble`, a sentence, and `hint`, what to do about it).

    `state_id` is the host's identity, `skew` how many s its clock is ahead of ours, `took` the s until it answered. `refused`: it
    will not become usable by waiting. `seen` is there whenever the host was reached; `notes` are sentences from the way there.
    """

    host: Host
    seen: Sighting | None = None
    state_id: str = ""
    skew: float | None = None
    took: float = 0.0
    trouble: str = ""
    hint: str = ""
    refused: bool = False
    notes: tuple[str, ...] = ()


Ask = Callable[[Host], Answer]


def survey(hosts: Sequence[Host], ask: Ask | None = None, limit: float = LIMIT) -> list[Answer]:
    """What each of `hosts` answers, in their order, after `limit` s at the latest. `ask` (default: `look_at`) asks one host."""
    asking = ask or look_at
    answers: SimpleQueue[tuple[int, Answer]] = SimpleQueue()

    def one(number: int, host: Host) -> None:
        answers.put((number, accounted(host, asking)))

    for number, host in enumerate(hosts):
        threading.Thread(target=one, args=(number, host), name=f"ask {host.name}", daemon=True).start()
    late = LATE.format(limit=limit)
    found = dict(enumerate(Answer(host, trouble=late, took=limit) for host in hosts))
    found.update(_collect(answers, len(hosts), time.monotonic() + limit))
    return [found[number] for number in range(len(hosts))]


def _collect(answers: SimpleQueue[tuple[int, Answer]], count: int, end: float) -> Iterable[tuple[int, Answer]]:
    for _ in range(count):
        try:
            yield answers.get(timeout=max(0.0, end - time.monotonic()))
        except Empty:
            return


def accounted(host: Host, ask: Ask) -> Answer:
    """What `ask` finds out about `host`; its error is an answer, too."""
    began = time.monotonic()
    try:
        return replace(ask(host), took=time.monotonic() - began)
    except BurnishError as error:
        refused = not error.transient
        return Answer(
            host,
            trouble=without_name(host.name, str(error)),
            hint=error.hint or "",
            refused=refused,
            took=time.monotonic() - began,
        )
    except Exception as error:  # a thread that dies silently would read as a host that is silent
        return Answer(host, trouble=f"{host.name}: {type(error).__name__}: {error}")


def look_at(host: Host) -> Answer:
    """Ask a host what it has. Raises HostRefused or HostUnreachable."""
    notes: list[str] = []
    with Conversation(transport(host, notes.append), NOBODY, host.state_dir, host.engine) as conversation:
        welcome = conversation.welcome
        greeted = read(welcome, {})
        skew = None if greeted.now is None else greeted.now - time.time()
        try:
            seen, trouble = conversation.ask({"type": "look", "workdir": host.workdir}, "seen"), ""
        except HostUnreachable as error:
            seen, trouble = {}, str(error)
        hint = ""
        if host.engine == "slurm" and not trouble:
            trouble, hint = _of_slurm(conversation)
    return Answer(host, read(welcome, seen), welcome["state_id"], skew, trouble=trouble, hint=hint, notes=tuple(notes))


def _of_slurm(conversation: Conversation) -> tuple[str, str]:
    """Why a login node's Slurm would start nothing, and what to do about it; nothing if it answers."""
    try:
        question = {"type": "run", "argv": text.show_config(), "id": "slurm", "limit": SLURM_LIMIT}
        ran = conversation.ask(question, "ran")
    except HostUnreachable as error:
        return str(error), ""
    why = text.no_answer(ran["code"], ran["err"])
    there = "the entry must name a login node" if ran["code"] == text.NO_COMMAND else "`scontrol ping` there says more"
    return why, there if why else ""
