"""What is fuzzed: everything in burnish that reads what somebody else wrote.

A reader returns when its input was read, or refused as it should be: by one of burnish's errors, which names the place. It
raises AssertionError for a refusal without a place, and lets everything else through.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from burnish.core import actions, arguments_csv, checkpoint, events, inventory, render, sighting, spec, state, sweep
from burnish.core.bases import Base
from burnish.core.jobs import AttemptId, HostName, JobId
from burnish.core.merge import adopt, merge
from burnish.core.table import parse as parse_table
from burnish.errors import BurnishError, InputError, InternalError, StoreError
from burnish.hearing import Hearing
from burnish.remote import known_hosts, ssh_config
from burnish.remote.agent.checkout import checked_out
from burnish.remote.agent.frames import FrameReader, ProtocolError, encode_frame
from burnish.remote.agent.nvidia_smi import parse_gpus, parse_migs, parse_processes
from burnish.remote.agent.place import Place
from burnish.remote.agent.result import read_result as read_job_result
from burnish.remote.agent.slots import gpu_environment, resolve_gpu
from burnish.remote.agent.standing import read_status
from burnish.remote.link import Link
from burnish.remote.logs import LogPull
from burnish.store import input_file, yaml_file
from burnish.store.base_texts import BaseTexts
from burnish.store.journal import Journal
from burnish.store.paths import Paths
from burnish.store.seal import seal, unseal
from burnish.views import snapshot

from . import facts_of, mutations

TESTS = Path(__file__).resolve().parent.parent
MAX_JOBS = 500
PLACE = re.compile(r"\bf(:\d+)?(:\d+)?$")

Read = Callable[[Path], None]
Draw = Callable[[Random], bytes]


@dataclass(frozen=True)
class Reader:
    """`draw` makes an input, `read` reads the file that holds it. `file`: its name in a scratch folder, which `prepare` fills."""

    name: str
    draw: Draw
    read: Read
    file: str = "f"
    prepare: Callable[[Path], None] = field(default=lambda folder: None)


def bytes_of(folder: str, *more: bytes, tokens: Sequence[str] = ()) -> Draw:
    """Inputs made of the files below a folder of tests/data, and of `more`."""
    files = sorted(path for path in (TESTS / "data" / folder).rglob("*") if path.suffix in (".csv", ".db", ".yaml"))
    seeds = [path.read_bytes() for path in files if path.stat().st_size <= mutations.LONGEST]
    assert seeds, folder
    return lambda random: mutations.of_bytes(random, [*seeds, *more], tokens)


def refused_with_a_place(error: InputError) -> None:
    assert error.problems, "an error without a problem"
    for problem in error.problems:
        assert PLACE.search(problem.where), f"no place: {problem}"
        assert problem.what, "an empty sentence"


# -- files of people -----------------------------------------------------------------------------------------------


def read_table(path: Path) -> None:
    """As a save that is merged into a table with jobs in every state, and as a table without a journal."""
    try:
        theirs = parse_table(path.read_bytes(), "f")
    except InputError as error:
        refused_with_a_place(error)
        return
    assert theirs.data == path.read_bytes(), "what was not understood must not be lost"
    for problem in theirs.problems:
        assert PLACE.search(problem.where), problem
    adopt(theirs)
    ours = facts_of.every_phase()
    base = Base.of(render.render(None, ours.jobs, ours.columns, name="f"), 0.0)
    for fact in merge(base, theirs, ours.jobs, ours.columns, ours.next_id).facts:
        ours.apply(fact)
    ours.check()


def read_yaml(path: Path) -> None:
    try:
        sweep.expand(yaml_file.parse(input_file.read_text(str(path)), "f"), MAX_JOBS)
    except InputError as error:
        if not str(error).startswith(str(path)):  # the file as a whole
            refused_with_a_place(error)


def read_csv(path: Path) -> None:
    try:
        arguments_csv.parse(input_file.read_text(str(path)), "f", MAX_JOBS)
    except InputError as error:
        if not str(error).startswith(str(path)):
            refused_with_a_place(error)


def read_inventory(path: Path) -> None:
    try:
        inventory.read(yaml_file.parse(input_file.read_text(str(path)), "f"))
    except InputError as error:
        if not str(error).startswith(str(path)):
            refused_with_a_place(error)


# -- ssh's files ---------------------------------------------------------------------------------------------------


def read_known_hosts(path: Path) -> None:
    known = known_hosts.load([str(path)])
    assert all(note.startswith(str(path)) for note in known.notes)
    key = known.lines[0].key if known.lines else known_hosts.HostKey("ssh-ed25519", b"x" * 51)
    for name in ("gpu1", "[gpu1]:2222", "10.0.0.4"):
        known.opinion(name, key)


def read_ssh_answer(path: Path) -> None:
    """What `ssh -G` prints is what a person's configuration says."""
    from burnish.core.hosts import Host

    options = ssh_config.parse_answer(path.read_bytes().decode("utf-8", "surrogateescape"))
    try:
        ssh_config._endpoint(Host(HostName("gpu1")), options)
    except BurnishError as error:
        assert "gpu1" in str(error)


# -- programs on a host --------------------------------------------------------------------------------------------


def read_nvidia_smi(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    gpus = parse_gpus(text)
    parse_processes(text)
    parse_migs(text)
    for gpu in gpus:
        device = resolve_gpu({"gpu": str(gpu["index"])}, gpus)
        gpu_environment([device])
    sighting.read({}, json.loads(json.dumps({"gpus": gpus})))


def read_version(path: Path) -> None:
    """A file of git's in a job's folder: text that goes into a record, or none."""
    before = os.getcwd()
    os.chdir(path.parent.parent)
    try:
        json.dumps(checked_out()).encode("ascii")
    finally:
        os.chdir(before)


def read_result(path: Path) -> None:
    """What a job wrote into the file that BURNISH_RESULT names travels in a frame, and into the journal."""
    found = read_job_result(str(path))
    record = {"exit": {**facts_of.EXIT, **found}}
    ((header, _),) = FrameReader().feed(encode_frame({"type": "status", "final": record}))
    fact = spec.ended(AttemptId(JobId(0), 1), header["final"])
    events.from_json(events.to_json(fact))


# -- frames --------------------------------------------------------------------------------------------------------


def read_stream(path: Path) -> None:
    try:
        for header, _ in FrameReader().feed(path.read_bytes()):
            assert isinstance(header["type"], str)
    except ProtocolError:
        pass


class _Ended(Exception):
    """The stream is over."""


def read_frames(path: Path) -> None:
    """A whole link: what a host says becomes reports, and reports become facts; a run survives whatever it is."""
    ours = facts_of.every_phase()
    heard: list[Any] = []
    transport: Any = SimpleNamespace(name="gpu01")
    link = Link(HostName("gpu01"), transport, "t", "~", heard.append, clock=lambda: 0.0)
    try:
        for header, body in FrameReader().feed(path.read_bytes()):
            try:
                link._take(header, body)
            except (ProtocolError, KeyError, TypeError, ValueError, BurnishError):
                break  # the link says so, and is made again
    except ProtocolError:
        pass
    proposals: list[Any] = []
    hearing = Hearing(ours, _fleet(), _PATHS, proposals.append, {"0.1-9f86d081"}, lambda sentence: None, lambda: 1.0)
    for report in heard:
        if hasattr(report, "name"):
            for action in hearing.hear(report):
                assert isinstance(action, actions.Action)
        elif hasattr(report, "welcome"):
            hash((report.welcome.state_id, report.welcome.incarnation, report.welcome.hostname))
    hearing.watch()
    for fact in proposals:
        assert events.from_json(events.to_json(fact)) == fact
        if ours.admits(fact):
            ours.apply(fact)
    snapshot_of(ours)


class _Logs(LogPull):
    """Writes nothing: what is fuzzed is what is asked and believed."""

    def whole(self, name: str) -> bool:
        return all(stream.whole for (owner, _), stream in self._streams.items() if owner == name)


_PATHS = Paths(Path("burnish.db"), "burnish.db", Path(".burnish"), Path("log"))


def _fleet() -> Any:
    logs = _Logs(lambda frame: None)
    member = SimpleNamespace(logs=logs)
    return SimpleNamespace(
        members={"gpu01": member},
        welcome=lambda host: None,
        holds=lambda attempt: True,
        expect_logs=lambda attempt, paths: None,
    )


# -- records -------------------------------------------------------------------------------------------------------


def read_records(path: Path) -> None:
    """start.json and final.json, as the agent reads them and as the coordinator does."""
    place = Place.of_folder(str(path.parent))
    standing = read_status(place, "boot 1")
    frame = {"type": "status", "start": standing.start, "final": standing.final}
    try:
        ((header, _),) = FrameReader().feed(encode_frame(frame))
    except ProtocolError:
        return
    for read in (spec.started, spec.voided):
        _fact_or_refusal(lambda read=read: read(AttemptId(JobId(0), 1), header["start"] or {}))  # type: ignore[misc]
    _fact_or_refusal(lambda: spec.ended(AttemptId(JobId(0), 1), header["final"] or {}))


def _fact_or_refusal(read: Callable[[], Any]) -> None:
    try:
        fact = read()
    except (KeyError, TypeError, ValueError):
        return
    assert events.from_json(events.to_json(fact)) == fact


# -- the journal ---------------------------------------------------------------------------------------------------


def read_journal(path: Path) -> None:
    journal = Journal(path.parents[2], "burnish.db", "me", lambda: 0.0)
    try:
        journal.open()
    except StoreError as error:
        assert "00000003.jsonl" in str(error) or "newer burnish" in str(error) or "belongs to another" in str(error), (
            error
        )
        return
    finally:
        if journal._home >= 0:
            import os

            os.close(journal._home)
    list(checkpoint.dump(journal.state, journal.number))


def read_checkpoint(path: Path) -> None:
    try:
        state, _ = checkpoint.load(unseal(path.read_bytes()))
        for job in state.jobs.values():
            job.attempts  # noqa: B018
    except (ValueError, InternalError):
        pass  # the commits say the same; the seal of what cannot be read later is right in these inputs alone


def read_base_texts(path: Path) -> None:
    try:
        for base in BaseTexts(path.parent).bases():
            base.table.sha256  # noqa: B018
    except StoreError as error:
        assert str(path) in str(error)
    except InputError:
        pass


def snapshot_of(found: state.State) -> None:
    """What a person is shown of a state."""
    snapshot.take(found, 0.0)
    render.render(None, found.jobs, found.columns, name="f")


# -- what they are fed ---------------------------------------------------------------------------------------------


def json_lines(random: Random, seeds: Sequence[bytes]) -> bytes:
    """Records: half of the time with bytes changed, else with values."""
    if random.random() < 0.4:
        return mutations.of_bytes(random, seeds)
    value = json.loads(random.choice(seeds))
    return json.dumps(mutations.of_json(random, [value], [json.loads(seed) for seed in seeds])[:1] or [None]).encode()[
        1:-1
    ]


def frames(random: Random) -> bytes:
    headers = mutations.of_json(random, random.sample(facts_of.FRAMES, 4), facts_of.FRAMES)
    stream = mutations.framed(headers, random)
    return mutations.of_bytes(random, [stream]) if random.random() < 0.2 else stream


def sealed(random: Random, seeds: Sequence[bytes]) -> bytes:
    """A sealed file that is damaged, or one whose seal is whole and whose lines nobody ever wrote so."""
    if random.random() < 0.3:
        return mutations.of_bytes(random, seeds)
    lines = [json.loads(line) for line in unseal(random.choice(seeds))]
    others = [json.loads(line) for seed in seeds for line in unseal(seed)]
    kept: dict[str, Any] = lines[0] if isinstance(lines[0], dict) else {}
    kept.pop("crc32", None)
    lines = mutations.of_json(random, lines, others)
    if not lines or not isinstance(lines[0], dict):
        lines.insert(0, kept)
    return bytes(seal(map(json.dumps, lines)))


KNOWN_HOSTS = (
    b"gpu1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB me\n",
    b"|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQA=\n",
    b"@revoked * ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\n# a comment\n\n",
    b"@cert-authority *.lab ssh-ed25519 AAAA\n[gpu1]:2222,10.0.0.4,!bad.lab,*.lab ssh-ed25519 AAAA!\n",
)
SSH_ANSWER = (
    b"host gpu1\nuser alice\nhostname 10.0.0.9\nport 2222\naddressfamily any\nidentityfile ~/.ssh/id_ed25519\n"
    b"identitiesonly yes\nuserknownhostsfile ~/.ssh/known_hosts ~/.ssh/known_hosts2\nglobalknownhostsfile none\n"
    b"connecttimeout none\nstricthostkeychecking accept-new\nhashknownhosts no\nproxyjump none\n"
    b"proxycommand none\nhostkeyalias pool\nidentityagent SSH_AUTH_SOCK\ncertificatefile ~/.ssh/id-cert.pub\n",
)
NVIDIA_SMI = tuple(path.read_bytes() for path in sorted((TESTS / "data" / "nvidia-smi").rglob("*")) if path.is_file())
INVENTORIES = tuple(path.read_bytes() for path in sorted((TESTS.parent / "hosts").glob("*.yaml")))
GIT = {
    "HEAD": b"ref: refs/heads/main\n",
    "packed-refs": b"# pack-refs with: peeled fully-peeled sorted \n" + b"3f2a91c04d" * 4 + b" refs/heads/main\n",
}
RESULTS = (
    b'{"acc": 0.9, "loss": 1e-4, "curve": [1, 2, 3], "note": "\\u00e9"}',
    b"{}",
    b"[1]",
    b'{"n": 9007199254740993}',
)


def inventories(random: Random) -> bytes:
    uncommented = tuple(re.sub(rb"(?m)^( *)# ", rb"\1", text) for text in INVENTORIES)
    return mutations.of_bytes(random, [*INVENTORIES, *uncommented, *facts_of.INVENTORY], facts_of.INVENTORY_TOKENS)


def attempts_folder(folder: Path) -> None:
    (folder / "attempts/table-1/0.1-9f86d081").mkdir(parents=True)


def records_folder(folder: Path) -> None:
    attempts_folder(folder)
    (folder / "attempts/table-1/0.1-9f86d081/start.json").write_text(json.dumps(facts_of.GO))


def git_folder(folder: Path) -> None:
    (folder / ".git").mkdir()
    for name, text in GIT.items():
        (folder / ".git" / name).write_bytes(text)


def journal_folder(folder: Path) -> None:
    (folder / "journal/log/00000").mkdir(parents=True)
    for number, commit in enumerate(facts_of.commits()[:2], start=1):
        (folder / f"journal/log/00000/{number:08d}.jsonl").write_bytes(commit)


def readers() -> Iterator[Reader]:
    """All of them."""
    sheet = render.render(None, facts_of.every_phase().jobs, facts_of.every_phase().columns).data
    old = (TESTS / "data" / "0.1" / "burnish.db").read_bytes()
    yield Reader("table", bytes_of("bad/db", sheet, old, tokens=("RESET", "CANCEL", "HOLD", "RUNNING")), read_table)
    yield Reader(
        "yaml", bytes_of("bad/yaml", (TESTS.parent / "test_dir/test.yaml").read_bytes(), *facts_of.SWEEPS), read_yaml
    )
    yield Reader("csv", bytes_of("bad/csv", b"--lr,--seed\n1e-4,1\n0.1,2\n"), read_csv)
    yield Reader("inventory", inventories, read_inventory)
    yield Reader("known_hosts", lambda random: mutations.of_bytes(random, KNOWN_HOSTS), read_known_hosts)
    yield Reader(
        "ssh_answer", lambda random: mutations.of_bytes(random, SSH_ANSWER).replace(b"\0", b""), read_ssh_answer
    )
    yield Reader("nvidia_smi", lambda random: mutations.of_bytes(random, NVIDIA_SMI), read_nvidia_smi)
    for name, text in GIT.items():
        yield Reader(f"git {name}", partial(mutations.of_bytes, seeds=[text]), read_version, f".git/{name}", git_folder)
    yield Reader("result", lambda random: json_lines(random, RESULTS), read_result)
    yield Reader("stream", frames, read_stream)
    yield Reader("frames", frames, read_frames)
    attempt, finals = "attempts/table-1/0.1-9f86d081/", [json.dumps(final).encode() for final in facts_of.FINALS]
    starts = [json.dumps(start).encode() for start in (facts_of.GO, facts_of.VOID)]
    yield Reader(
        "start", lambda random: json_lines(random, starts), read_records, attempt + "start.json", attempts_folder
    )
    yield Reader(
        "final", lambda random: json_lines(random, finals), read_records, attempt + "final.json", records_folder
    )
    commits, checkpoints = facts_of.commits(), facts_of.checkpoints()
    newest = "journal/log/00000/00000003.jsonl"
    yield Reader("journal", lambda random: sealed(random, commits), read_journal, newest, journal_folder)
    yield Reader("checkpoint", lambda random: sealed(random, checkpoints), read_checkpoint)
    texts = facts_of.base_texts()
    yield Reader(
        "base_texts", lambda random: mutations.of_bytes(random, texts), read_base_texts, "bases/" + "0" * 64 + ".z"
    )
