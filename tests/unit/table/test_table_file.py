"""burnish.db on disk: read when it stands still, replaced so that nothing anybody saved is lost."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import wait_for

from burnish.core.jobs import JobId
from burnish.core.table import Table, parse
from burnish.errors import InputError, StoreError
from burnish.store import base_texts, displaced, exchange, table_file
from burnish.store.base_texts import BaseTexts
from burnish.store.displaced import DisplacedInodes
from burnish.store.table_file import TableFile, TableMissing
from burnish.store.version import Seen

TEXT = "JOB_ID,STATE,x\n0,HOLD,a\n1,HOLD,b\n"
NEXT = TEXT.replace("0,HOLD", "0,NOT_RUNNING")


class Place:
    """A table in a folder, and a TableFile that looks at it with a clock of ours."""

    def __init__(self, root: Path) -> None:
        self.db = root / "burnish.db"
        self.own = root / ".burnish" / "burnish.db"
        self.own.mkdir(parents=True)
        self.now = 0.0
        self.file = TableFile(self.db, self.own, "burnish.db", lambda: self.now)

    def write(self, text: str, age: float = 0.0) -> None:
        self.db.write_text(text, newline="")
        self.age(age)

    def age(self, age: float) -> None:
        if age:
            os.utime(self.db, (time.time() - age,) * 2)

    def look(self, after: float = 0.0) -> Seen | None:
        self.now += after
        return self.file.look(self.now)

    def seen(self, text: str = TEXT) -> Seen:
        self.write(text, age=60)
        seen = self.look()
        assert seen is not None
        return seen

    def displaced(self, after: float) -> Table | None:
        self.now += after
        return self.file.displaced(self.now)

    def left(self) -> list[str]:
        return sorted(
            entry.name for folder in (self.db.parent, self.own) for entry in folder.iterdir() if entry.is_file()
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(params=["exchange", "link and rename"])
def swap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to replace: what local file systems can, and what every NFS can."""
    if request.param != "exchange":
        monkeypatch.setattr(table_file, "exchange", lambda one, other: False)
    return str(request.param)


def at_the_swap(monkeypatch: pytest.MonkeyPatch, swap: str, deed: Callable[[], None]) -> None:
    """Do `deed` between the last check and the swap."""
    if swap == "exchange":

        def exchanged(one: str, other: str) -> bool:
            deed()
            return exchange.exchange(one, other)

        monkeypatch.setattr(table_file, "exchange", exchanged)
    else:
        link = os.link

        def linked(one: str, other: str) -> None:
            deed()
            link(one, other)

        monkeypatch.setattr(os, "link", linked)


# -- reading -------------------------------------------------------------------------------------------------------------


def test_version_that_has_stood_for_a_while_is_seen_at_once(place: Place) -> None:
    place.write(TEXT, age=60)
    seen = place.look()
    assert seen is not None
    assert seen.table.data.decode() == TEXT
    assert place.look() is None
    assert not place.file.changed()


def test_young_version_is_seen_at_the_second_look(place: Place) -> None:
    place.write(TEXT)
    assert place.look() is None
    assert place.look(after=0.2) is None
    assert place.look(after=0.2) is not None


def test_text_that_burnish_put_there_last_needs_no_second_look(place: Place) -> None:
    place.write(TEXT)
    newest = hashlib.sha256(TEXT.encode()).hexdigest()
    assert place.file.look(0.0, newest) is not None
    place.write(TEXT + "3,RESET,c\n")
    assert place.file.look(1.0, newest) is None
    assert place.file.look(1.4, newest) is not None


def test_version_that_changes_between_two_looks_is_not_seen(place: Place) -> None:
    place.write(TEXT)
    assert place.look() is None
    place.write(TEXT + "2,HOLD,c\n")
    assert place.look(after=0.4) is None
    seen = place.look(after=0.4)
    assert seen is not None
    assert len(seen.table.rows) == 3


@pytest.mark.parametrize("text", ["", TEXT[:-4]])
def test_unfinished_version_must_stand_two_seconds(place: Place, text: str) -> None:
    place.seen()
    place.write(text)
    for _ in range(4):
        assert place.look(after=0.45) is None
    place.now += 0.7
    assert place.look() is not None


def test_file_that_cannot_be_read_as_a_table_is_told_once_and_forgotten_when_mended(place: Place) -> None:
    place.write('JOB_ID,STATE,x\n0,HOLD,"a\n', age=60)
    with pytest.raises(InputError, match=r"burnish\.db:2: the quote"):
        place.look()
    assert place.look() is None
    assert place.file.bad is not None
    place.write(TEXT, age=60)
    assert place.look() is not None
    assert place.file.bad is None


def test_missing_file_is_an_editor_for_five_seconds(place: Place) -> None:
    place.seen()
    place.db.unlink()
    assert place.file.changed()
    assert place.look() is None
    assert place.look(after=4.9) is None
    place.write(NEXT, age=60)
    assert place.look() is not None
    place.db.unlink()
    assert place.look() is None
    with pytest.raises(TableMissing, match=r"burnish\.db: there is no such file"):
        place.look(after=5.1)


def test_reading_waits_for_the_writer(tmp_path: Path, place: Place) -> None:
    script = (
        "import sys, time\nf = open(sys.argv[1], 'w'); f.write('JOB_ID,STATE,x\\n0,HO'); f.flush()\n"
        "print('half', flush=True); time.sleep(0.5); f.write('LD,a\\n'); f.close()\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(place.db)], stdout=subprocess.PIPE)
    assert writer.stdout is not None and writer.stdout.readline() == b"half\n"
    seen = TableFile(place.db, place.own, "burnish.db").read()
    assert seen.table.rows[0].cells == ("a",)
    assert writer.wait(60) == 0


def test_reading_gives_up_on_a_table_that_is_not_there(place: Place) -> None:
    with pytest.raises(TableMissing):
        place.file.read(away=0.0, pause=lambda seconds: None)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda db: db.mkdir(), "burnish.db: this is a folder; expected a CSV file."),
        (lambda db: os.mkfifo(db), "burnish.db: this is a named pipe; expected a CSV file."),
        (lambda db: db.symlink_to("/dev/null"), "burnish.db: this is a device; expected a CSV file."),
        (lambda db: db.symlink_to(db), "burnish.db: cannot be read: its symlinks lead back to themselves."),
    ],
    ids=["folder", "pipe", "device", "loop"],
)
def test_what_is_no_file_is_refused_by_a_sentence(tmp_path: Path, make: Callable[[Path], None], sentence: str) -> None:
    make(tmp_path / "burnish.db")
    with pytest.raises((InputError, StoreError)) as caught:
        TableFile(tmp_path / "burnish.db", tmp_path, "burnish.db").read()
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_disk_that_refuses_to_read_is_a_sentence(place: Place, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    place.write(TEXT, age=60)
    monkeypatch.setattr(os, "open", _refusing(os.open, code, "burnish.db"))
    with pytest.raises(StoreError, match=r"burnish\.db: cannot be read: .*running jobs go on\."):
        place.look()


def test_stale_handle_is_tried_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write(TEXT, age=60)
    monkeypatch.setattr(os, "open", _refusing(os.open, errno.ESTALE, "burnish.db", times=3))
    assert place.look() is not None


def _refusing(call: Callable[..., object], code: int, name: str, times: int = 1000) -> Callable[..., object]:
    left = [times]

    def refuse(*args: object, **kwargs: object) -> object:
        if str(args[0]).endswith(name) and left[0]:
            left[0] -= 1
            raise OSError(code, os.strerror(code), args[0])
        return call(*args, **kwargs)

    return refuse


# -- writing -------------------------------------------------------------------------------------------------------------


def test_text_is_replaced_and_nothing_is_left_beside_it(place: Place, swap: str) -> None:
    seen = place.seen()
    assert place.file.replace(parse(NEXT.encode()), seen) is not None
    assert place.db.read_text() == NEXT
    assert not place.file.changed()
    assert sorted(entry.name for entry in place.db.parent.iterdir()) == [".burnish", "burnish.db"]
    assert place.displaced(after=0.0) is None
    assert place.displaced(after=10.1) is None
    assert not place.file.watching
    assert place.left() == ["burnish.db"]


def test_mode_group_and_symlink_are_kept(place: Place, tmp_path: Path, swap: str) -> None:
    place.seen()
    place.db.chmod(0o664)
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "table.db"
    link.symlink_to(place.db)
    file = TableFile(link, place.own, "table.db")
    before = os.stat(link)
    assert file.replace(parse(NEXT.encode()), file.read()) is not None
    after = os.stat(link)
    assert link.is_symlink()
    assert place.db.read_text() == NEXT
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert stat.S_IMODE(after.st_mode) == 0o664


def test_text_that_is_no_longer_what_was_merged_is_not_replaced(place: Place, swap: str) -> None:
    seen = place.seen()
    place.write(TEXT.replace("a", "z"))
    assert place.file.replace(parse(NEXT.encode()), seen) is None
    assert place.db.read_text() == TEXT.replace("a", "z")
    assert place.left() == ["burnish.db"]
    assert place.file.changed()


def test_equal_size_and_time_do_not_hide_an_edit(place: Place, swap: str) -> None:
    seen = place.seen()
    status = os.stat(place.db)
    place.write(TEXT.replace("a", "z"))
    os.utime(place.db, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert place.file.replace(parse(NEXT.encode()), seen) is None
    assert place.db.read_text() == TEXT.replace("a", "z")


def by_rename(place: Place, text: str) -> None:
    """Save as an editor does that writes another file and renames it."""
    other = place.db.with_name("saved")
    other.write_text(text)
    other.rename(place.db)


def test_every_look_opens_the_folder_before_the_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An NFS client that is not asked for the folder finds the displaced inode under the table's name for a minute."""
    seen, opened, real = place.seen(), list[str](), os.open

    def record(path: str, *flags: int, **where: int) -> int:
        opened.append(str(path))
        return real(path, *flags, **where)

    monkeypatch.setattr(os, "open", record)
    for look in (place.file.changed, place.look, lambda: place.file.replace(parse(NEXT.encode()), seen)):
        opened.clear()
        look()
        assert str(place.db) not in opened
        assert opened[:2] == [str(place.db.parent), place.db.name]


def test_save_that_came_while_the_link_waited_is_not_replaced(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """On NFS the link names the old inode even when it was carried out long after somebody else's file took its place."""
    monkeypatch.setattr(table_file, "exchange", lambda one, other: False)
    seen, link = place.seen(), os.link

    def slow(one: str, other: str) -> None:
        link(one, other)
        by_rename(place, TEXT.replace("a", "z"))

    monkeypatch.setattr(os, "link", slow)
    assert place.file.replace(parse(NEXT.encode()), seen) is None
    assert place.db.read_text() == TEXT.replace("a", "z")
    assert place.left() == ["burnish.db"]


def test_save_that_was_buried_is_noticed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "exchange", lambda one, other: False)
    rename = os.rename

    def late(one: str, other: str) -> None:
        if other == str(place.db):
            by_rename(place, TEXT.replace("a", "z"))
            buried_at, probe = os.stat(place.db).st_ctime_ns, place.own / "probe"
            wait_for(
                lambda: probe.touch() or os.stat(probe).st_ctime_ns > buried_at, "the clock of the file system stands"
            )
        rename(one, other)

    with monkeypatch.context() as slow:
        slow.setattr(os, "rename", late)
        assert place.file.replace(parse(NEXT.encode()), place.seen()) is not None
    assert place.file.buried
    seen = place.file.seen
    assert seen is not None and place.file.replace(parse(TEXT.encode()), seen) is not None
    assert not place.file.buried


def test_editor_that_truncated_in_the_moment_of_the_swap_is_heard(
    place: Place, swap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = place.seen()
    opened: list[int] = []
    at_the_swap(monkeypatch, swap, lambda: opened.append(os.open(place.db, os.O_WRONLY)))
    assert place.file.replace(parse(NEXT.encode()), seen) is not None
    os.ftruncate(opened[0], 0)
    assert place.displaced(after=0.1) is None
    assert place.displaced(after=0.5) is None
    os.write(opened[0], TEXT.replace("b", "edited").encode())
    os.close(opened[0])
    assert place.db.read_text() == NEXT
    assert place.displaced(after=0.1) is None
    found = place.displaced(after=0.4)
    assert found is not None
    assert found.rows[1].cells == ("edited",)
    assert place.displaced(after=0.4) is None
    assert place.displaced(after=10) is None
    assert place.left() == ["burnish.db"]


def test_editor_that_saved_in_the_moment_of_the_swap_is_heard(
    place: Place, swap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place: the swap goes on and the displaced inode has the save, or the swap sees it and does not happen."""
    seen = place.seen()
    edited = TEXT.replace("b", "edited")
    at_the_swap(monkeypatch, swap, lambda: place.write(edited))
    replaced = place.file.replace(parse(NEXT.encode()), seen)
    monkeypatch.undo()
    if replaced is None:
        assert place.db.read_text() == edited
    else:
        place.displaced(after=0.1)
        found = place.displaced(after=0.4)
        assert found is not None and found.data.decode() == edited


def test_editor_that_renamed_in_the_moment_of_the_swap_is_heard(
    place: Place, swap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = place.seen()
    edited = TEXT.replace("b", "edited")

    def rename_over() -> None:
        (place.db.parent / "new").write_text(edited)
        os.rename(place.db.parent / "new", place.db)

    at_the_swap(monkeypatch, swap, rename_over)
    replaced = place.file.replace(parse(NEXT.encode()), seen)
    monkeypatch.undo()
    if replaced is None:
        assert place.db.read_text() == edited
    else:
        place.displaced(after=0.1)
        found = place.displaced(after=0.4)
        assert found is not None and found.data.decode() == edited


def test_table_renamed_away_in_the_moment_of_the_swap_is_left_to_the_editor(
    place: Place, swap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = place.seen()
    at_the_swap(monkeypatch, swap, lambda: os.rename(place.db, f"{place.db}~"))
    assert place.file.replace(parse(NEXT.encode()), seen) is None
    assert place.left() == ["burnish.db~"]


def test_save_in_a_displaced_inode_is_heard_by_the_next_coordinator(place: Place, swap: str) -> None:
    seen = place.seen()
    with place.db.open("r+") as editor:
        assert place.file.replace(parse(NEXT.encode()), seen) is not None
        editor.truncate(0)
        editor.write(TEXT.replace("b", "edited"))
    after_crash = TableFile(place.db, place.own, "burnish.db")
    after_crash.recover(0.0)
    assert after_crash.displaced(0.1, {seen.sha256}) is None
    found = after_crash.displaced(0.6, {seen.sha256})
    assert found is not None
    assert found.rows[1].cells == ("edited",)


TEMPORARY = f".new-displaced-{7:016x}"


def test_files_of_the_user_whose_names_begin_like_ours_are_left_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.seen()
    theirs = ["displaced-persons.csv", "displaced-1", ".new-idea"]
    for name in (*theirs, TEMPORARY, f".new-clock-{7:016x}"):
        (place.db.parent / name).write_text(TEXT.replace("b", "theirs"))
    monkeypatch.setattr(displaced, "LEFT_BEHIND", -1.0)
    place.file.recover(0.0)
    assert not place.file.watching
    assert place.left() == sorted(["burnish.db", *theirs])


def test_save_is_heard_though_another_run_writes_while_the_next_coordinator_looks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the other run has just written gets its name between the reading of the folder and the look at it."""
    first, theirs, second = (tmp_path / name for name in (f"displaced-{0:016x}", TEMPORARY, f"displaced-{1:016x}"))
    listed = os.scandir

    def slow(folder: str) -> list[os.DirEntry[str]]:
        for path in (first, theirs, second):
            path.write_text(TEXT)
        entries = sorted(listed(folder), key=lambda entry: [str(first), str(theirs), str(second)].index(entry.path))
        theirs.unlink()
        return entries

    monkeypatch.setattr(os, "scandir", slow)
    inodes = DisplacedInodes(str(tmp_path), "burnish.db")
    inodes.recover(str(tmp_path), 0.0)
    assert sum(inodes.next_save(now, ()) is not None for now in (0.0, 0.5, 0.5)) == 2


def test_what_a_dead_coordinator_displaced_and_nobody_wrote_is_taken_away(place: Place, swap: str) -> None:
    seen = place.seen()
    assert place.file.replace(parse(NEXT.encode()), seen) is not None
    after_crash = TableFile(place.db, place.own, "burnish.db")
    after_crash.recover(0.0)
    for now in (0.1, 0.6, 11.0):
        assert after_crash.displaced(now, {seen.sha256}) is None
    assert place.left() == ["burnish.db"]


def test_save_in_a_displaced_inode_that_cannot_be_read_is_kept_and_named(place: Place, swap: str) -> None:
    seen = place.seen()
    with place.db.open("r+") as editor:
        assert place.file.replace(parse(NEXT.encode()), seen) is not None
        editor.truncate(0)
        editor.write('JOB_ID,STATE,x\n0,HOLD,"a\n')
    assert place.displaced(after=0.1) is None
    assert place.displaced(after=5.0) is None
    with pytest.raises(InputError) as caught:
        place.displaced(after=6.0)
    assert caught.value.hint is not None
    kept = caught.value.hint.split(" kept as ")[1].rstrip(".")
    assert '"a' in Path(f"{kept}" if kept.endswith(".csv") else f"{kept}.csv").read_text()


def refusing_once(monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
    """The next `call` about a displaced inode finds the disk in trouble."""
    real, refused = getattr(os, call), list[object]()

    def refuse(what: int | str, *args: object, **kwargs: object) -> object:
        path = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else str(what)
        if not refused and os.path.basename(path).startswith("displaced-"):
            refused.append(what)
            raise OSError(code, os.strerror(code))
        return real(what, *args, **kwargs)

    monkeypatch.setattr(os, call, refuse)


@pytest.mark.parametrize(
    ("call", "code"),
    [("open", errno.EMFILE), ("open", errno.EIO), ("fstat", errno.ESTALE), ("pread", errno.EIO)],
)
def test_save_in_a_displaced_inode_that_cannot_be_read_for_a_moment_is_heard(
    place: Place, swap: str, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    seen = place.seen()
    with place.db.open("r+") as editor:
        assert place.file.replace(parse(NEXT.encode()), seen) is not None
        editor.truncate(0)
        editor.write(TEXT.replace("b", "edited"))
    after_crash = TableFile(place.db, place.own, "burnish.db")
    after_crash.recover(0.0)
    refusing_once(monkeypatch, call, code)
    assert after_crash.displaced(0.1, {seen.sha256}) is None
    assert after_crash.unread
    assert after_crash.displaced(0.2, {seen.sha256}) is None
    found = after_crash.displaced(0.7, {seen.sha256})
    assert found is not None and found.rows[1].cells == ("edited",)


def test_displaced_inode_that_the_disk_does_not_let_go_is_taken_away_by_the_next_coordinator(
    place: Place, swap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = place.seen()
    assert place.file.replace(parse(NEXT.encode()), seen) is not None
    refusing_once(monkeypatch, "unlink", errno.EIO)
    assert place.displaced(after=10.1) is None
    assert not place.file.watching and len(place.left()) == 2
    after_crash = TableFile(place.db, place.own, "burnish.db")
    after_crash.recover(0.0)
    for now in (0.1, 0.6, 11.0):
        assert after_crash.displaced(now, {seen.sha256}) is None
    assert place.left() == ["burnish.db"]


def test_text_that_was_overtaken_and_that_the_disk_does_not_let_go_costs_nothing(
    place: Place, swap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = place.seen()
    at_the_swap(monkeypatch, swap, lambda: os.rename(place.db, f"{place.db}~"))
    refusing_once(monkeypatch, "unlink", errno.EIO)
    assert place.file.replace(parse(NEXT.encode()), seen) is None
    assert len(place.left()) == 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_disk_that_refuses_to_write_leaves_the_table_as_it_was(
    place: Place, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    seen = place.seen()

    def refuse(fd: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoreError, match=r"burnish\.db: cannot be written: .*\. It stays as it was"):
        place.file.replace(parse(NEXT.encode()), seen)
    assert place.db.read_text() == TEXT
    assert place.left() == ["burnish.db"]


def test_first_text_is_put_in_place_once(place: Place) -> None:
    assert place.file.create(parse(TEXT.encode())) is not None
    assert place.file.create(parse(NEXT.encode())) is None
    assert place.db.read_text() == TEXT
    assert place.left() == ["burnish.db"]


# -- bases ---------------------------------------------------------------------------------------------------------------


def test_bases_are_kept_for_every_coordinator(tmp_path: Path) -> None:
    mine, other = BaseTexts(tmp_path), BaseTexts(tmp_path)
    first, second = parse(TEXT.encode()), parse((TEXT + ",,c\n").encode())
    mine.keep(first, 1000.0, follows=None, saved=False)
    mine.keep(second, 1001.0, ids={2: JobId(2)}, follows=first.sha256, saved=True)
    assert other.choose(parse(b"JOB_ID,STATE,x\n")) is not None
    found = other.bases()
    assert [(base.at, base.follows, base.saved, base.ids) for base in found] == [
        (1000.0, None, False, {}),
        (1001.0, first.sha256, True, {2: 2}),
    ]
    assert [base.table for base in found] == [first, second]
    other.keep(first, 1002.0, follows=second.sha256, saved=False)
    assert [base.at for base in mine.bases()] == [1001.0, 1002.0]
    for number in range(2):
        other.keep(second, 1003.0 + number, follows=("another", first.sha256)[number], saved=False)
    assert [base.followed for base in mine.bases()] == [frozenset(), {first.sha256, "another"}]
    other.keep(first, 1005.0, follows=second.sha256, saved=False)
    assert [base.at for base in mine.bases([first.sha256, second.sha256])] == [1005.0, 1004.0]


def test_renderings_are_thinned_out_and_saves_do_not_go_with_them(tmp_path: Path) -> None:
    texts = BaseTexts(tmp_path)
    save = parse(TEXT.encode())
    texts.keep(save, 0.0, follows=None, saved=True)
    for number in range(60):
        texts.keep(parse(TEXT.replace("a", f"a{number}").encode()), float(number), follows=None, saved=False)
    kept = texts.bases()
    assert kept[0].sha256 == save.sha256
    assert len(kept) == 21


def test_what_a_process_kept_itself_it_does_not_read_again_for_a_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = BaseTexts(tmp_path)
    read: list[str] = []
    real = base_texts._text
    monkeypatch.setattr(base_texts, "_text", lambda path: read.append(path.stem) or real(path))  # type: ignore[func-returns-value]
    follows = None
    for number in range(60):  # of which twenty are kept
        text = parse(TEXT.replace("a", f"a{number}").encode())
        texts.keep(text, float(number), follows=follows, saved=False)
        follows = text.sha256
    choice = texts.choose(parse(TEXT.replace("a", "a59").replace("b", "typed").encode()))
    assert choice is not None and choice.base.sha256 == follows
    assert set(read) <= {follows}


def test_damaged_base_is_left_out(tmp_path: Path) -> None:
    texts = BaseTexts(tmp_path)
    good, bad = parse(TEXT.encode()), parse(NEXT.encode())
    texts.keep(good, 1.0, follows=None, saved=False)
    texts.keep(bad, 2.0, follows=good.sha256, saved=False)
    file = tmp_path / f"{bad.sha256}.z"
    file.write_bytes(file.read_bytes()[:-3])
    choice = BaseTexts(tmp_path).choose(bad)
    assert choice is not None
    assert choice.base.sha256 == good.sha256
    (tmp_path / f"{good.sha256}.z").write_bytes(b"nonsense")
    assert BaseTexts(tmp_path).choose(bad) is None


def test_base_folder_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="burnish's own files: there is no such file or folder"):
        BaseTexts(tmp_path / "gone").keep(parse(TEXT.encode()), 0.0, follows=None, saved=False)


def test_waiting_is_by_condition(place: Place) -> None:
    """The real clock: a save by another process is seen within two looks."""
    file = TableFile(place.db, place.own, "burnish.db")
    place.write(TEXT)
    subprocess.run([sys.executable, "-c", f"open({str(place.db)!r}, 'a').write('2,HOLD,c\\n')"], check=True)
    seen = wait_for(lambda: file.look(time.monotonic()), lambda: place.db.read_text())
    assert seen is not None
    assert len(seen.table.rows) == 3
