"""What a coordinator hears: from hosts, from the runner, from the user. In the past tense, and not yet facts.

A report says what was seen, possibly late, twice, or about something long settled. `Coordinator` turns it into a fact where it is
news on the newest state, and drops it otherwise.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from burnish.core.command import Command
from burnish.core.jobs import HostName, JobId
from burnish.core.sighting import Sighting


class Welcome(Struct, frozen=True):
    """What an agent says of its host. `state_id` is the host's identity, `incarnation` changes with every boot.

    `source`: where the host keeps the agent's own text.
    """

    state_id: str
    incarnation: str
    hostname: str
    source: str = ""


class HostConnected(Struct, frozen=True):
    host: HostName
    welcome: Welcome


class HostSeen(Struct, frozen=True):
    """What a host has and how much of it is in use: the answer to a look."""

    host: HostName
    sighting: Sighting


class HostDropped(Struct, frozen=True):
    """The link is down; it is tried again for ever. Nothing follows about the host's jobs.

    `unknown`: the name on the way there that no host has, as the resolver says; "" if it was something else.
    """

    host: HostName
    why: str
    unknown: str = ""


class HostTurnedAway(Struct, frozen=True):
    """The host will not become usable by waiting; the link has stopped."""

    host: HostName
    why: str


class Submitted(Struct, frozen=True):
    """As what an attempt is given to a batch system: task `index` of the array of this name. `job`: its number, once it runs."""

    name: str
    index: int
    job: str = ""


class AttemptReported(Struct, frozen=True):
    """The status of an attempt's folder: one of absent, unstarted, queued, starting, running, void, ended (docs/protocol.md).

    `batch`: as what it is given to a batch system, until it has ended. Without `supervised`, it runs and nobody waits for it.
    `beats`: it runs, as its pulse says, though its batch system says that it is over.
    """

    host: HostName
    name: str
    status: str
    start: dict[str, Any] | None
    final: dict[str, Any] | None
    sizes: dict[str, int] | None
    batch: Submitted | None = None
    supervised: bool = True
    beats: bool = False


class LogPulled(Struct, frozen=True):
    """Bytes of a log from `offset` on; `end` is how many there are now. `stream` is out or err.

    `told`: a `LogGrown` will come when there are more.
    """

    host: HostName
    name: str
    stream: str
    offset: int
    end: int
    data: bytes
    told: bool = False


class LogGrown(Struct, frozen=True):
    """There is more of a log that was pulled to its end. `stream` is out or err."""

    host: HostName
    name: str
    stream: str


class AttemptWaits(Struct, frozen=True):
    """The batch system of a host has the attempt in its queue, for the reason `why`."""

    host: HostName
    name: str
    why: str


class AttemptDisowned(Struct, frozen=True):
    """The batch system of a host says that the attempt is over, or knows it no more (`how`, as after "is"), and it runs.

    `how` is "" once the batch system has it again.
    """

    host: HostName
    name: str
    how: str


class CommandRan(Struct, frozen=True):
    """A command that was asked for has ended: its exit code (-1: it did not end by itself), and what it printed."""

    host: HostName
    id: str
    code: int
    out: str
    err: str


class RequestRefused(Struct, frozen=True):
    """The agent could not do what it was asked."""

    host: HostName
    name: str
    request: str
    why: str


class CommandPrepared(Struct, frozen=True):
    """The runner made the command of a job."""

    job: JobId
    command: Command


class CommandRefused(Struct, frozen=True):
    """The runner raised, hung or returned something else: a sentence, and what goes into the job's .err."""

    job: JobId
    why: str
    detail: str


class DiskChanged(Struct, frozen=True):
    """There may be a new commit, or another table."""


class StopAsked(Struct, frozen=True):
    """Ctrl-C, SIGTERM or a closed terminal: start nothing more and leave; jobs live on."""

    signal: int


Report = (
    HostConnected
    | HostSeen
    | HostDropped
    | HostTurnedAway
    | AttemptReported
    | AttemptWaits
    | AttemptDisowned
    | CommandRan
    | LogPulled
    | LogGrown
    | DiskChanged
    | RequestRefused
    | CommandPrepared
    | CommandRefused
    | StopAsked
)
