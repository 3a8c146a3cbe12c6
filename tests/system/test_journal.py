"""The journal with real processes and files: who races, dies, or is refused by the disk leaves whole commits and no doubt."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import facts, strace
from support.journal_process import BEGIN, END, PER_FOLDER, digest, opened, pair
from support.piped import Piped

from burnish.core import events
from burnish.core.state import State
from burnish.errors import InternalError, StoreError, TableClosed
from burnish.store import journal as module
from burnish.store.journal import Journal
from burnish.store.seal import MARK, seal

SCRIPT = "journal_process.py"
SYSCALLS = ("openat", "write", "fsync", "linkat", "unlinkat", "mkdirat", "renameat", "getdents64")


def created(root: Path, jobs: int = 0) -> Journal:
    journal = Journal(root, "burnish.db", "creator", lambda: 1.0)
    rows = tuple((number, "0.1", "1") for number in range(jobs))
    journal.create([events.TableOpened("0123456789abcdef", facts.COLUMNS, 1.0), events.JobsAdded(facts.COLUMNS, rows)])
    return journal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".burnish" / "burnish.db"


@pytest.fixture
def processes() -> Iterator[list[Piped]]:
    started: list[Piped] = []
    yield started
    for process in started:
        process.end()


# -- several at once -------------------------------------------------------------------------------------------------


def test_processes_that_race_for_claims_take_each_job_once_and_agree(root: Path, processes: list[Piped]) -> None:
    jobs, racers = 240, 5
    created(root, jobs)
    processes += [Piped(SCRIPT, str(root), "claim", f"racer-{number}", str(1 + number % 3)) for number in range(racers)]
    for process in processes:
        assert process.hear() == "ready"
    for process in processes:
        process.tell()
    claimed = [int(process.hear().split()[1]) for process in processes]
    assert sum(claimed) == jobs
    assert sum(count > 0 for count in claimed) > 1, "there was no race"
    for process in processes:
        process.tell()
    assert len({process.hear() for process in processes}) == 1
    last = opened(str(root), "last")
    assert all(len(job.attempts) == 1 for job in last.state.jobs.values())
    assert list((root / "tmp").iterdir()) == []


def test_a_decision_is_made_again_on_what_somebody_else_committed(root: Path) -> None:
    created(root, 2)
    slow, fast = opened(str(root), "slow"), opened(str(root), "fast")
    asked = []

    def decide(state: State) -> Sequence[events.Fact]:
        asked.append(sorted(state.drained))
        if len(asked) == 1:
            fast.commit(lambda state: pair(state, "gpu01"))
        return pair(state, "gpu01")

    assert slow.commit(decide) == []
    assert asked == [[], ["gpu01", "gpu01-too"]]
    assert [fact.host for fact in slow.take_news()[2:]] == ["gpu01", "gpu01-too"]  # type: ignore[union-attr]
    assert digest(slow) == digest(fast)


def test_a_table_is_made_by_one_of_two(root: Path) -> None:
    created(root)
    slow = Journal(root, "burnish.db", "slow", lambda: 2.0)
    assert not slow.create([events.TableOpened("another", (), 2.0)])
    slow.open()
    assert slow.state.table == "0123456789abcdef"
    assert opened(str(root), "me").number == 1


def test_news_are_others_facts_and_ones_own_in_order(root: Path) -> None:
    one = created(root)
    two = opened(str(root), "two")
    one.take_news()
    two.take_news()
    one.commit(lambda state: pair(state, "a"))
    two.commit(lambda state: pair(state, "b"))
    assert one.catch_up() == 1
    assert one.catch_up() == 0
    assert one.take_news() == two.take_news() != []
    assert one.take_news() == []


def test_nothing_to_say_is_no_commit(root: Path) -> None:
    journal = created(root)
    assert journal.commit(lambda state: []) == []
    assert journal.number == 1
    assert len(list((root / "log" / "00000").iterdir())) == 1


def test_the_disk_takes_as_long_as_the_quicker_of_two_commits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, slow, sync = 0.0, [0.002, 0.5, 0.004], os.fsync
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    journal = created(root)

    def synced(descriptor: int) -> None:
        nonlocal now
        now += slow[0] / 2  # of its file and its folder
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    waits = []
    for number in range(3):
        journal.commit(lambda state, number=number: pair(state, str(number)))
        waits.append(round(journal.wait, 3))
        slow.pop(0)
    assert waits == [0.0, 0.002, 0.004]


def test_a_commit_that_came_too_late_says_nothing_of_the_disk(root: Path) -> None:
    created(root)
    one, two = opened(str(root), "one"), opened(str(root), "two")
    two.commit(lambda state: pair(state, "first"))
    one.commit(lambda state: pair(state, str(len(state.jobs))))  # refused once, and decided again
    assert len(one._waits) == 1


# -- folders and checkpoints -----------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of four commits, a checkpoint after each fact or two."""
    monkeypatch.setattr(module, "COMMITS_PER_FOLDER", PER_FOLDER)
    monkeypatch.setattr(module, "CHECKPOINT_AFTER", 1)


@pytest.mark.usefixtures("small")
def test_commits_go_on_from_folder_to_folder_for_writer_and_reader(root: Path) -> None:
    writer = created(root)
    reader = opened(str(root), "reader")
    for number in range(2, 15):
        writer.commit(lambda state, number=number: pair(state, f"host{number}"))  # type: ignore[misc]
        if number % 5 == 0:
            assert reader.catch_up() == (4 if number == 5 else 5)
    assert sorted(path.name for path in (root / "log").iterdir()) == ["00000", "00001", "00002", "00003"]
    reader.catch_up()
    assert digest(reader) == digest(writer) == digest(opened(str(root), "late"))


@pytest.mark.usefixtures("small")
def test_a_checkpoint_shortens_replay_and_two_are_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = created(root)
    for number in range(2, 9):
        writer.commit(lambda state, number=number: pair(state, f"host{number}"))  # type: ignore[misc]
        writer.checkpoint()
    assert sorted(path.name for path in root.glob("checkpoint-*")) == [
        "checkpoint-00000007.jsonl",
        "checkpoint-00000008.jsonl",
    ]
    shutil.rmtree(root / "log" / "00000")  # not needed for a replay from a checkpoint
    assert digest(opened(str(root), "late")) == digest(writer)


def flipped(data: bytes) -> bytes:
    """One bit of a digit is another one."""
    place = data.index(b'"next_id":') + len(b'"next_id":')
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "damage",
    [b"", b"\0" * 300, b"{}\n", b"\xff\xfe", seal(["{}"]), None],
    ids=["empty", "zeros", "not one", "not ASCII", "of nothing", "flipped"],
)
def test_a_damaged_checkpoint_is_as_good_as_none(root: Path, damage: bytes | None) -> None:
    writer = created(root, 3)
    for number in range(2, 9):
        writer.commit(lambda state, number=number: pair(state, f"host{number}"))  # type: ignore[misc]
        writer.checkpoint()
    for path in root.glob("checkpoint-*"):
        path.write_bytes(flipped(path.read_bytes()) if damage is None else damage)
    (root / "checkpoint-00000099.jsonl").mkdir()
    assert digest(opened(str(root), "late")) == digest(writer)


def test_no_checkpoint_before_the_replay_is_long(root: Path) -> None:
    journal = created(root, 20)
    journal.checkpoint()
    assert list(root.glob("checkpoint-*")) == []


# -- kill -9 and errors at every system call -------------------------------------------------------------------------


@pytest.fixture
def prepared(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal whose next commit begins a new folder."""
    monkeypatch.setattr(module, "COMMITS_PER_FOLDER", PER_FOLDER)
    journal = created(root, 3)
    for host in ("b", "c"):
        journal.commit(lambda state, host=host: pair(state, host))  # type: ignore[misc]
    assert journal.number == PER_FOLDER - 1
    return root


def whole_commits(root: Path, acknowledged: str) -> None:
    """Every commit is there as a whole or not at all, what was acknowledged is there, and the next process goes on."""
    journal = opened(str(root), "next")
    journal.state.check()
    hosts = set(journal.state.drained)
    assert hosts == {name for host in "bcde" if host in hosts for name in (host, f"{host}-too")}
    assert journal.number == 1 + len(hosts) // 2
    assert {line.split()[1] for line in acknowledged.splitlines() if line.startswith("committed")} <= hosts
    journal.commit(lambda state: pair(state, "next"))
    assert digest(opened(str(root), "late")) == digest(journal)


def copy_of(root: Path, name: str) -> Path:
    return Path(shutil.copytree(root, root.parent / name))


def all_points(root: Path, log: Path) -> list[strace.Point]:
    command = strace.script(SCRIPT, str(copy_of(root, "traced")), "drain", "d", "e")
    found = strace.points(command, SYSCALLS, BEGIN, END, log)
    assert {"openat", "write", "fsync", "linkat", "unlinkat", "mkdirat"} <= {point.syscall for point in found}
    return found


def test_a_process_killed_at_any_system_call_leaves_whole_commits(prepared: Path, tmp_path: Path) -> None:
    killed = 0
    for point in all_points(prepared, tmp_path / "log"):
        root = copy_of(prepared, str(point))
        done = strace.harmed(strace.script(SCRIPT, str(root), "drain", "d", "e"), point, "signal=KILL")
        killed += done.returncode == -9 or done.returncode == 128 + 9
        whole_commits(root, done.stdout)
    assert killed > 20


@pytest.mark.parametrize("codes", [("EIO",), ("ESTALE",), ("ENOSPC", "EROFS", "EACCES")], ids=", ".join)
def test_what_the_disk_refuses_is_a_sentence_and_no_half_commit(
    prepared: Path, tmp_path: Path, codes: tuple[str, ...]
) -> None:
    refused = 0
    for number, point in enumerate(all_points(prepared, tmp_path / "log")):
        code = codes[number % len(codes)]
        root = copy_of(prepared, str(point))
        done = strace.harmed(strace.script(SCRIPT, str(root), "drain", "d", "e"), point, f"error={code}")
        assert done.returncode in (0, 2), f"{point}: {done.stdout}{done.stderr}"
        assert done.stderr == "", f"{point}: {done.stderr}"
        if done.returncode == 2:
            refused += 1
            sentence = done.stdout.splitlines()[-1]
            assert sentence.startswith(f"refused: {root}") or "burnish.db" in sentence
            assert sentence.endswith(".")
        whole_commits(root, done.stdout)
    assert refused > 5


@pytest.mark.parametrize("code", ["EIO", "ESTALE", "ETIMEDOUT", "EEXIST"])
def test_a_link_that_was_made_though_an_error_came_is_ones_own(prepared: Path, code: str) -> None:
    done = subprocess.run(
        strace.script(SCRIPT, str(prepared), "drain_with_lost_answer", code, "d"),
        capture_output=True,
        text=True,
        env=strace.environment(),
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "committed d\n", "")
    assert opened(str(prepared), "late").number == PER_FOLDER
    whole_commits(prepared, done.stdout)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE])
def test_an_error_while_somebody_else_took_the_number_is_a_conflict(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    slow, fast = opened(str(prepared), "slow"), opened(str(prepared), "fast")
    link = os.link

    def too_late(*args: object, **kwargs: object) -> None:
        monkeypatch.setattr(os, "link", link)
        fast.commit(lambda state: pair(state, "fast"))
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", too_late)
    slow.commit(lambda state: pair(state, "slow"))
    assert slow.number == PER_FOLDER + 1
    assert digest(opened(str(prepared), "late")) == digest(slow)


@pytest.mark.parametrize("code", ["EPERM", "EOPNOTSUPP"])
def test_a_file_system_without_hard_links_is_refused(prepared: Path, code: str) -> None:
    command = strace.script(SCRIPT, str(prepared), "drain", "d")
    done = strace.run(command, "-e", "trace=linkat", "-e", f"inject=linkat:error={code}")
    assert done.returncode == 2
    assert done.stdout == (
        f"refused: {prepared}: this file system has no hard links, which the journal needs. Nothing was changed.\n"
    )
    assert opened(str(prepared), "late").number == PER_FOLDER - 1
    assert list((prepared / "tmp").iterdir()) == []


def test_a_full_disk_leaves_nothing_behind_that_fills_it(prepared: Path) -> None:
    command = strace.script(SCRIPT, str(prepared), "drain", "d")
    done = strace.run(command, "-e", "trace=fsync", "-e", "inject=fsync:error=ENOSPC:when=5+")
    assert done.returncode == 2
    assert "the disk is full" in done.stdout
    assert list((prepared / "tmp").iterdir()) == []


# -- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda text: b"", "it is empty"),
        (lambda text: text[:-12], "checksum"),
        (lambda text: text[:-1], "checksum"),
        (lambda text: text.rpartition(b'{"fact"')[0], "checksum"),
        (lambda text: text.replace(b"gpu01", b"gpu00"), "checksum"),
        (lambda text: text.replace(b"crc32", b"crc33"), "checksum"),
        (lambda text: b"\0" * len(text), "checksum"),
        (lambda text: b"[]\n", "checksum"),
        (lambda text: seal(["[]"]), "Expecting"),
        (lambda text: seal(['{"commit":"1"}']), "table"),
        (
            lambda text: seal(['{"commit":"1","table":"0123456789abcdef"}', '{"fact":"HostDrained"}']),
            "malformed HostDrained",
        ),
        (
            lambda text: seal(['{"commit":"1","table":"0123456789abcdef"}', '{"fact":"ResetRequested","job":7}']),
            "it cannot follow on what was before: there is no job 7",
        ),
    ],
)
def test_a_damaged_commit_is_named_and_stops_everything(root: Path, damage: object, why: str) -> None:
    created(root).commit(lambda state: pair(state, "gpu01"))
    path = root / "log" / "00000" / "00000002.jsonl"
    path.chmod(0o600)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(StoreError) as caught:
        opened(str(root), "late")
    sentence = str(caught.value)
    assert sentence.startswith(f"{path} is damaged (")
    assert why in sentence
    assert sentence.endswith("). Nothing is written to this table any more.")
    assert f"mv {root} {root}.damaged" in str(caught.value.hint)


def test_a_decision_that_cannot_follow_ends_its_author_and_leaves_the_journal_readable(root: Path) -> None:
    journal = created(root, 2)
    before = digest(opened(str(root), "before"))
    for wrong in ([events.ResetRequested(0), events.ResetRequested(7)], [events.JobMarked(0, "DONE", "")]):
        with pytest.raises(InternalError):
            journal.commit(lambda state, wrong=wrong: wrong)  # type: ignore[misc]
    assert digest(journal) == before == digest(opened(str(root), "late"))
    journal.commit(lambda state: pair(state, "gpu01"))
    assert opened(str(root), "later").number == 2


def test_a_commit_of_a_newer_burnish_stops_this_one(root: Path) -> None:
    created(root).commit(lambda state: pair(state, "gpu01"))
    path = root / "log" / "00000" / "00000002.jsonl"
    path.write_bytes(seal(("{" + path.read_text()[MARK:].replace("HostDrained", "HostPraised")).splitlines()))
    with pytest.raises(StoreError, match='"HostPraised" that this burnish does not know'):
        opened(str(root), "late")


def test_files_of_others_in_the_log_are_no_commits(root: Path) -> None:
    journal = created(root)
    for name in (
        ".nfs0001",
        "00000002.jsonl.bak",
        "00000002.tmp",
        "2.jsonl",
        "\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661.jsonl",
    ):
        (root / "log" / "00000" / name).write_text("x")
    assert journal.catch_up() == 0


def test_a_commit_that_is_missing_in_between_is_named(root: Path) -> None:
    journal = created(root)
    for host in ("a", "b"):
        journal.commit(lambda state, host=host: pair(state, host))  # type: ignore[misc]
    (root / "log" / "00000" / "00000002.jsonl").unlink()
    with pytest.raises(StoreError, match=r"00000002\.jsonl: .*there is no such file"):
        opened(str(root), "late")


def test_there_is_no_journal_where_none_was_made(root: Path) -> None:
    assert not Journal.exists(root)
    with pytest.raises(TableClosed, match="has no journal"):
        opened(str(root), "me")
    (root / "log").mkdir(parents=True)
    with pytest.raises(TableClosed, match="has no journal"):
        opened(str(root), "me")
    assert not Journal.exists(root)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / ".burnish").write_text("a file")
    with pytest.raises(StoreError, match="a part of its path is not a folder"):
        created(tmp_path / ".burnish" / "burnish.db")


# -- clean, while others have it open --------------------------------------------------------------------------------


@pytest.fixture
def holder(root: Path, processes: list[Piped]) -> Piped:
    created(root)
    process = Piped(SCRIPT, str(root), "hold")
    processes.append(process)
    assert process.hear() == "ready"
    return process


def close_and_rename(root: Path) -> Path:
    """What `clean` does first."""
    opened(str(root), "cleaner").commit(lambda state: [events.TableClosed("ann")])
    away = root.with_name(".gone-1")
    root.rename(away)
    return away


@pytest.mark.parametrize("verb", ["look", "commit gpu01"])
def test_who_has_it_open_reads_that_it_was_closed(root: Path, holder: Piped, verb: str) -> None:
    opened(str(root), "cleaner").commit(lambda state: [events.TableClosed("ann")])
    for _ in range(2):
        assert holder.ask(verb) == "TableClosed: burnish.db was cleaned (ann). Nothing more is written."


@pytest.mark.parametrize("verb", ["look", "commit gpu01"])
@pytest.mark.parametrize("deleted", [False, True])
def test_who_has_it_open_writes_nothing_once_it_is_away(root: Path, holder: Piped, verb: str, deleted: bool) -> None:
    away = close_and_rename(root)
    if deleted:
        shutil.rmtree(away)
    answer = holder.ask(verb)
    assert answer.startswith("TableClosed: burnish.db") and answer.endswith("Nothing more is written.")
    assert not root.exists()
    assert deleted or len(list((away / "log" / "00000").iterdir())) == 2


@pytest.mark.parametrize("verb", ["look", "commit gpu01"])
@pytest.mark.parametrize("commits", [0, 1, 5])
def test_who_slept_through_clean_and_create_leaves_the_new_table_alone(
    root: Path, holder: Piped, verb: str, commits: int
) -> None:
    shutil.rmtree(root)  # by hand: no closing fact was ever written
    journal = Journal(root, "burnish.db", "creator", lambda: 1.0)
    journal.create([events.TableOpened("another", facts.COLUMNS, 1.0)])
    for number in range(commits):
        journal.commit(lambda state, number=number: pair(state, str(number)))  # type: ignore[misc]
    for _ in range(2):
        answer = holder.ask(verb)
        assert answer.startswith("TableClosed: burnish.db: its journal was removed")
    assert journal.catch_up() == 0
    assert len(list((root / "log" / "00000").iterdir())) == 1 + commits


def test_a_commit_of_another_table_is_told(root: Path) -> None:
    journal = created(root)
    foreign = root / "log" / "00000" / "00000002.jsonl"
    foreign.write_bytes(seal([json.dumps({"commit": "1", "table": "another", "by": "x", "at": 1})]))
    with pytest.raises(TableClosed, match="belongs to another table"):
        journal.catch_up()


def test_a_folder_that_a_file_server_does_not_know_for_a_moment_was_not_removed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, asked, real = Journal(root, "burnish.db", "holder", lambda: 1.0), 0, os.stat
    journal.create([events.TableOpened("table", facts.COLUMNS, 1.0)])

    def stat(path: Any, *arguments: Any, **more: Any) -> os.stat_result:
        nonlocal asked
        if path == journal.root:
            asked += 1
            if asked < 4 or asked > 4:
                raise OSError(errno.ESTALE, "Stale file handle")
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "stat", stat)
    assert journal.catch_up() == 0 and asked == 4
    with pytest.raises(StoreError, match="could not be read") as refused:  # for good, and it is not called removed
        journal.catch_up()
    assert not isinstance(refused.value, TableClosed)
