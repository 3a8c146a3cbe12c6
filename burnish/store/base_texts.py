"""The texts of the table that an editor's buffer may hold, on disk: `bases/<sha256>.z`.

A file is a line of JSON (when, which text stood there before and in which file, ids given to rows without one, whose work it is)
and the text, compressed. It is written by name of its content, so several coordinators keep the same text once. Renderings and
people's saves are thinned out each for itself (`core.bases.kept`): a save is rare, and forgetting one could obey an old RESET
again.

Losing one of these files costs a doubt, never a result; so nothing here is synced, and a damaged one is left out.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from burnish.core.bases import Base, Choice, choose, kept
from burnish.core.jobs import JobId
from burnish.core.table import Table
from burnish.errors import StoreError
from burnish.store import refusals
from burnish.store.version import Stamp


class UnreadableText(StoreError):
    """A kept text is damaged, or another coordinator thinned it out a moment ago."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: a kept text of the table cannot be read ({why}). It is left out.")
        self.sha256 = path.stem


class BaseTexts:
    """The bases of one table, in `folder` (made by the caller)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[int, Base]] = {}  # file name -> (its mtime_ns, the base)

    def keep(
        self,
        table: Table,
        at: float,
        *,
        ids: Mapping[int, JobId] | None = None,
        follows: str | None,
        saved: bool,
        over: Stamp | None = None,
    ) -> None:
        """Keep a text: one about to be put in place (`saved=False`), or a save that was merged, with the ids its rows were given.

        `at`: s since 1970. `follows`: sha256 of the text that it replaces; `over`: the file that has it. Raises StoreError if
        the disk refuses.
        """
        target = self.folder / f"{table.sha256}.z"
        _, there = self._known.get(target.name, (0, None))
        followed = frozenset() if there is None else there.followed | ({there.follows} if there.follows else set())
        head: dict[str, object] = {"at": at, "follows": follows, "saved": saved, "followed": sorted(followed)}
        head["over"] = over
        head["ids"] = {str(number): job for number, job in (ids or {}).items()}
        temp = self.folder / f".{secrets.token_hex(8)}"
        try:
            temp.write_bytes(json.dumps(head).encode() + b"\n" + zlib.compress(table.data, 1))
            os.replace(temp, target)
            base = Base.of(table, at, ids, follows, saved, followed)
            base.read = lambda: _text(target)
            _, before = self._known.get(f"{follows}.z", (0, base))
            if before.in_memory:
                before.step_from(base)  # which a save will ask for, and which costs little now
            for _, other in self._known.values():
                other.forget()
            self._known[target.name] = target.stat().st_mtime_ns, base
            self._thin_out(at)
        except OSError as error:
            with contextlib.suppress(OSError):  # a disk that has become read-only refuses this, too
                temp.unlink()
            raise refusals.unkept(str(self.folder), error) from None

    def over(self, sha256: str) -> Stamp | None:
        """The file in whose place this text was to be put last; None if that is not known."""
        try:
            return Stamp(*map(int, _head(self.folder / f"{sha256}.z")["over"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None  # of a save, of an earlier burnish, thinned out, or damaged

    def bases(self, journal: Iterable[str] = ()) -> list[Base]:
        """All that are kept, oldest first, those of other coordinators too. Raises StoreError if the folder cannot be read.

        `journal`: sha256 of the texts that the journal names, in its order (`State.rendered`). It decides what is newer, since
        the clocks of coordinators differ; texts that it names no more are older.
        """
        found = {}
        try:
            for entry in os.scandir(self.folder):
                if entry.name.endswith(".z") and (base := self._load(entry)) is not None:
                    found[entry.name] = base
        except OSError as error:
            raise refusals.unkept(str(self.folder), error) from None
        self._known = {name: self._known[name] for name in found}
        place = {sha256: number for number, sha256 in enumerate(journal)}
        return sorted(found.values(), key=lambda base: (place.get(base.sha256, -1), base.at))

    def choose(self, theirs: Table, journal: Iterable[str] = ()) -> Choice | None:
        """The base of a save (`core.bases.choose`), or None where no text is kept. Raises StoreError as `bases` does."""
        bases = self.bases(journal)
        while bases:
            try:
                choice = choose(bases, theirs)
                choice.base.table  # noqa: B018 - read now, while an unreadable text can still be left out
                return choice
            except UnreadableText as error:
                bases = [base for base in bases if base.sha256 != error.sha256]
            finally:
                for base in bases[:-1]:
                    base.forget()
        return None

    def _load(self, entry: os.DirEntry[str]) -> Base | None:
        try:
            mtime = entry.stat().st_mtime_ns
            known = self._known.get(entry.name)
            if known is None or known[0] != mtime:
                known = mtime, _read(Path(entry.path))
                self._known[entry.name] = known
            return known[1]
        except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
            return None  # thinned out by another coordinator just now, or damaged

    def _thin_out(self, now: float) -> None:
        bases = self.bases()
        for saved in (True, False):
            mine = [base for base in bases if base.saved is saved]
            keep = kept([base.at for base in mine], now)
            for number, base in enumerate(mine):
                if number not in keep:
                    for older in bases:
                        older.step_over(base)
                    (self.folder / f"{base.sha256}.z").unlink(missing_ok=True)
                    self._known.pop(f"{base.sha256}.z", None)


def _head(path: Path) -> Any:
    with path.open("rb") as file:
        return json.loads(file.readline())


def _read(path: Path) -> Base:
    head = _head(path)
    ids = {int(number): JobId(int(job)) for number, job in head["ids"].items()}
    followed = frozenset(map(str, head.get("followed", ())))
    return Base(path.stem, float(head["at"]), lambda: _text(path), ids, head["follows"], bool(head["saved"]), followed)


def _text(path: Path) -> bytes:
    try:
        data = zlib.decompress(path.read_bytes().partition(b"\n")[2])
    except OSError as error:
        raise UnreadableText(path, refusals.why(error)) from None
    except zlib.error as error:
        raise UnreadableText(path, f"damaged: {error}") from None
    if hashlib.sha256(data).hexdigest() != path.stem:
        raise UnreadableText(path, "damaged")
    return data
