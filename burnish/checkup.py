"""`burnish check`: visits every host as a run would, starts a tiny job there, hangs up, and looks whether the job lives.

Another one tries the host's `setup` lines. On a cluster nothing is started, and sbatch is asked whether it would take a job. The
rules are `core.health`. A visit leaves nothing behind, and the tiny jobs end by themselves should the second connection fail.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from burnish import creation, survey
from burnish.core import health, requirements, sighting
from burnish.core.health import Finding, Grade, Probe, Visit
from burnish.core.hosts import Host
from burnish.core.ids import name_ids
from burnish.errors import BurnishError, HostUnreachable, counted
from burnish.remote.conversation import Conversation
from burnish.remote.reach import transport
from burnish.remote.transport import Transport
from burnish.roster import strangers_may_write
from burnish.session import Session
from burnish.slurm import text
from burnish.slurm.script import trial
from burnish.store import refusals
from burnish.store.paths import Paths
from burnish.whereabouts import asked_for, hosts_of, table_if_any, twins

LIMIT = 75.0  # s for all hosts together: two connections, each through its jumps
AFTER_LOGOUT = 2.0  # s that a login manager is given to end what the session started
SHOWN_MISTAKES = 20  # of AFTER
MAX_JOBS = 100_000  # of a sweep, as in `create`
LIFE = 60  # s after which the tiny job ends by itself
TRIAL_LIMIT = 15.0  # s for sbatch to say whether it would take a job
SETUP_LIMIT = 15.0  # s for a host's `setup` lines, within what a conversation may take


class Checked(Struct, frozen=True):
    """A host and what was found; `notes` are sentences from the way there."""

    host: Host
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def grade(self) -> Grade:
        return health.worst(self.findings)


def check(hosts: Sequence[Host], limit: float = LIMIT) -> list[Checked]:
    """Visit all hosts at once; what was found of each, in their order, after `limit` s at the latest."""
    visits: dict[str, Visit] = {}

    def visited(host: Host) -> survey.Answer:
        answer, visits[host.name] = visit(host)
        return answer

    answers = survey.survey(hosts, visited, limit)
    second = twins(answers)
    found = []
    for answer in answers:
        name = answer.host.name
        if answer.seen is None or name not in visits:
            found.append(
                Checked(
                    answer.host,
                    (Finding(answer.trouble, Grade.UNUSABLE, answer.hint or _by_hand(answer.host)),),
                    answer.notes,
                )
            )
            continue
        visited_once = replace(visits[name], twin=str(second.get(name, "")))
        found.append(Checked(answer.host, health.findings(answer.host, visited_once), answer.notes))
    return found


def _by_hand(host: Host) -> str:
    """What a person could try who wants to see for himself."""
    option = f"-F {shlex.quote(host.ssh_config)} " if host.ssh_config else ""
    return (
        "" if host.connection == "local" else f"`ssh {option}{host.name} echo hello` must print hello and nothing else"
    )


def visit(host: Host) -> tuple[survey.Answer, Visit]:
    """Connect, look, start a tiny job, hang up, connect again, look after it. Raises HostRefused or HostUnreachable."""
    notes: list[str] = []
    table, attempt = f"check-{secrets.token_hex(8)}", f"0.1-{secrets.token_hex(4)}"
    way = transport(host, notes.append)
    with Conversation(way, table, host.state_dir, host.engine) as conversation:
        welcome = conversation.welcome
        skew = float(welcome["now"]) - time.time()
        seen = _looked(conversation, host)
        probe = _ask_slurm(conversation, host, table) if host.engine == "slurm" else None
        trouble = "" if probe else _start(conversation, attempt)
    if probe is None:
        tries = bool(host.setup and seen.workdir_exists and not (trouble or seen.workdir_silent))
        probe = _after_logout(host, way, table, attempt, trouble, tries)
    user, jumps = _way_to(host)
    answer = survey.Answer(host, seen, welcome["state_id"], notes=tuple(notes))
    return answer, Visit(seen, probe, user, jumps, skew)


def _after_logout(host: Host, way: Transport, table: str, attempt: str, trouble: str, tries: bool) -> Probe:
    """Whether the tiny job outlived the connection that started it; it is gone then. `tries` the host's `setup` lines, too."""
    if not trouble and host.connection != "local":
        time.sleep(AFTER_LOGOUT)
    with Conversation(way, table, host.state_dir) as conversation:
        survived = conversation.ask({"type": "status", "attempt": attempt}, "status")["status"] == "running"
        setup, slow = _try_setup(conversation, host) if tries else (None, None)
        _remove(conversation, attempt)
    return Probe(trouble, survived, setup, slow)


def _ask_slurm(conversation: Conversation, host: Host, table: str) -> Probe:
    """Whether a login node's Slurm would take a job. The table's folder, made by asking, is taken away."""
    answer = conversation.ask({"type": "run", "argv": text.show_config(), "id": "check"}, "ran")
    if answer["code"] != 0:
        _clean(conversation)
        return Probe(text.first_line(answer["err"]))
    argv, stdin = trial(host, table, conversation.welcome["source"])
    limit = {"limit": TRIAL_LIMIT}
    answer = conversation.ask({"type": "run", "argv": argv, "stdin": stdin, "id": "trial", **limit}, "ran")
    _clean(conversation)
    if answer["code"] == 0:
        return Probe()
    err = answer["err"]
    return Probe(refusal=text.first_line(err), may_pass=text.may_pass(answer["code"], err))


def _looked(conversation: Conversation, host: Host) -> sighting.Sighting:
    try:
        seen = conversation.ask({"type": "look", "workdir": host.workdir}, "seen")
    except HostUnreachable:
        seen = {}
    return sighting.read(conversation.welcome, seen)


def _start(conversation: Conversation, attempt: str) -> str:
    """Start the tiny job; why it did not, or nothing."""
    spec = {"argv": ["sleep", str(LIFE)], "cwd": "/", "env": {}, "setup": "", "grace": 1.0}
    try:
        answer = _ask_to_start(conversation, attempt, spec)
    except HostUnreachable as error:
        return str(error)
    if answer["status"] == "void":
        return str(answer["start"]["void"]["why"])
    return ""


def _ask_to_start(conversation: Conversation, attempt: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    identity = {key: conversation.welcome[key] for key in ("incarnation", "state_id")}
    return conversation.ask({"type": "start", "attempt": attempt, "spec": dict(spec), **identity}, "status")


def _try_setup(conversation: Conversation, host: Host) -> tuple[str, float | None]:
    """Why a job behind the host's `setup` lines did not come to its command, or nothing; and after how many s it was given up."""
    spec = {
        "argv": ["true"],
        "cwd": host.workdir,
        "env": dict(host.env),
        "setup": host.setup,
        "grace": 1.0,
        "time_limit": SETUP_LIMIT,
    }
    answer = _ask_to_start(conversation, f"1.1-{secrets.token_hex(4)}", spec)
    while answer["status"] in ("starting", "running"):
        answer = conversation.hear("status", about="start")
    if answer["status"] == "void":
        return str(answer["start"]["void"]["why"]), None
    ended = answer.get("final", {}).get("exit", {})
    return str(ended.get("exec_error") or ""), SETUP_LIMIT if ended.get("time_limit") else None


def _remove(conversation: Conversation, attempt: str) -> None:
    """End the tiny job and take away what there is of it."""
    answer = conversation.ask({"type": "cancel", "attempt": attempt, "grace": 0.0, "by": "burnish check"}, "status")
    while answer["status"] in ("starting", "running"):
        answer = conversation.hear("status", about="cancel")
    _clean(conversation)


def _clean(conversation: Conversation) -> None:
    conversation.ask({"type": "clean", "mark": False}, "cleaned")  # no start is on its way that a mark would stop


def _way_to(host: Host) -> tuple[str, tuple[str, ...]]:
    """The user we are there, and the names of the jump hosts, in the order in which they are passed."""
    if host.connection == "local":
        return getpass.getuser(), ()
    from burnish.remote.ssh_config import resolve

    endpoint = resolve(host)
    jumps: list[str] = []
    jump = endpoint.jump
    while jump is not None:
        jumps.insert(0, jump.name)
        jump = jump.jump
    return endpoint.user, tuple(jumps)


def to_visit(
    inventory: str | None, limit: str | None, session: Session | None, alone: bool, shown: str
) -> tuple[Host, ...]:
    """The hosts to check: those of the inventory, or of the table. With none, a UsageError, unless files can do `alone`."""
    if inventory is None and limit is None and alone and not (session and hosts_of(session.state)):
        return ()
    return asked_for("check", inventory, limit, session, shown)


def look_over(
    paths: Paths, say: Callable[[str], None], inventory: str | None, sweep: str | None
) -> tuple[list[tuple[str, tuple[Finding, ...]]], Session | None]:
    """What is found of each file, by its name, and the table if it can be used. Raises InputError for the sweep."""
    found: list[tuple[str, tuple[Finding, ...]]] = []
    session, said = None, list[str]()
    try:
        session = table_if_any(paths, said.append)
    except BurnishError as error:
        found.append((paths.shown, (Finding(str(error), Grade.UNUSABLE, error.hint or ""),)))
    faults = [] if session is None else session.projection.faults
    lines = [line for fault in faults for line in fault.splitlines()]
    for sentence in said:
        if sentence not in lines or len(lines) > 1:  # else it is what is found
            say(sentence)
    if session is not None:
        found.append((paths.shown, tuple(_of_table(session, lines))))
    if sweep is not None:
        grid, _ = creation.read("yaml", sweep, MAX_JOBS)
        found.append((sweep, (Finding(counted(len(grid.rows), "job")),)))
    if inventory is not None and (warning := strangers_may_write(inventory)):
        found.append((inventory, (Finding(warning, Grade.ODD, f"chmod go-w {inventory}"),)))
    return found, session


def _of_table(session: Session, faults: Sequence[str]) -> Iterator[Finding]:
    jobs = sum(1 for _ in session.state.listed())
    yield Finding(counted(jobs, "job"))
    for ids, why in islice(requirements.never_met(session.state), SHOWN_MISTAKES):
        remedy = (
            f"correct AFTER in {session.paths.shown}; until then nothing starts {'it' if len(ids) == 1 else 'them'}"
        )
        yield Finding(f"{'job' if len(ids) == 1 else 'jobs'} {name_ids(ids)} can never start: {why}", Grade.ODD, remedy)
    try:
        refusals.refuse_theirs(session.paths.shown, str(session.paths.root))
        session.projection.refuse_read_only()
    except BurnishError as error:
        own = session.paths.db.stat().st_uid == os.geteuid()  # else it can be looked at, and its owner may run it
        yield Finding(str(error), Grade.UNUSABLE if own else Grade.ODD, error.hint or "")
    if not session.projection.readable:
        grade, remedy = Grade.UNUSABLE, "mend the file; nothing new starts until then"
    elif session.projection.any_row:
        grade, remedy = Grade.ODD, "mend what cannot be read; the others run"
    else:
        grade, remedy = Grade.UNUSABLE, "mend what cannot be read"
    if faults:
        yield Finding(faults[0], grade, remedy)
    if more := faults[1:]:
        yield Finding(f"{len(more)} more like this, named by burnish status", grade)
