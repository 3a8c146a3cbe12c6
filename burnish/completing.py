"""What a shell may complete a word with: ids and hosts, from the table and the inventories as they stand.

An answer has to come in the blink of an eye, so the table is read without its journal, and no further than there is something to
show. Whatever cannot be read gives no words: somebody is in the middle of typing, and no message belongs there.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from burnish.core.jobs import Word
from burnish.core.table import ID_COLUMN, STATE_COLUMN
from burnish.errors import BurnishError, printable

MOST = 100  # words; nobody reads more
INVENTORIES = "hosts/*.yaml"  # where they are by custom
_LAST_ID = re.compile(r"(.*[,-])?(\d*)", re.DOTALL)
_UNREADABLE = (OSError, csv.Error, UnicodeDecodeError)


def ids(table: Path, typed: str, words: Collection[Word]) -> Iterator[tuple[str, str]]:
    """(`typed` with its last id completed, what job that is), for jobs in one of the states `words`."""
    last = _LAST_ID.fullmatch(typed)
    if last is None:
        return
    before, begun = last[1] or "", last[2]
    found = 0
    for row in _rows(table):
        if row[ID_COLUMN].startswith(begun) and (row[STATE_COLUMN].upper() or Word.NOT_RUNNING) in words:
            yield before + row[ID_COLUMN], " ".join(printable(cell, 30) for cell in list(row.values())[1:8])
            found += 1
        if found == MOST:
            return


def hosts(inventory: str | None, typed: str, *, groups: bool) -> Iterator[tuple[str, str]]:
    """Hosts, and groups if asked for, of an inventory; without one, of all that are where they are by custom."""
    files = [inventory] if inventory is not None else sorted(str(path) for path in Path().glob(INVENTORIES))
    told: dict[str, str] = {}
    for file in files:
        told.update(_hosts_of(file, groups))
    yield from ((name, what) for name, what in told.items() if name.startswith(typed))


def _hosts_of(file: str, groups: bool) -> dict[str, str]:
    from burnish.core import inventory
    from burnish.store import yaml_file

    try:
        found = inventory.read(yaml_file.load(file))
    except BurnishError:
        return {}
    named = {name: f"{len(hosts)} hosts" for name, hosts in found.groups.items()} if groups else {}
    return {**{str(host.name): ", ".join(host.groups) for host in found.hosts}, **named}


def _rows(table: Path) -> Iterator[dict[str, str]]:
    """The rows that can be read, by column; JOB_ID and STATE come first."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            names = [name.strip() for name in next(reader, [])]
            if not {ID_COLUMN, STATE_COLUMN} <= set(names):
                return
            for fields in reader:
                cells = dict(zip(names, fields, strict=False))
                if len(cells) == len(names):
                    yield {ID_COLUMN: cells.pop(ID_COLUMN), STATE_COLUMN: cells.pop(STATE_COLUMN), **cells}
    except _UNREADABLE:
        return
