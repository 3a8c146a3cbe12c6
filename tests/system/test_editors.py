"""Real editors with an old buffer, while jobs end and two processes rewrite the table: results stay, and so does every edit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.editors import Nano, Vim, editing
from support.kept_table import KeptTable, kept_table

EDITORS = [
    pytest.param(Vim, ("backupskip=",), id="vim, another inode"),
    pytest.param(Vim, ("backupcopy=yes",), id="vim, in place"),
    pytest.param(Vim, ("nowritebackup",), id="vim, without a backup"),
    pytest.param(Nano, (), id="nano, in place"),
    pytest.param(Nano, ("-B",), id="nano, with a backup"),
    pytest.param(Nano, ("-G",), id="nano, with a lock"),
]


@pytest.fixture
def table(tmp_path: Path) -> Iterator[KeptTable]:
    with kept_table(tmp_path) as kept:
        yield kept


def run(table: KeptTable, job: int) -> None:
    """A job ends well, and the table says so."""
    table.turn()
    table.ask(job % 2, f"run {job}")
    table.until_text(f"{job},COMPLETE")


@pytest.mark.parametrize(("kind", "how"), EDITORS)
def test_an_old_buffer_keeps_results_and_loses_no_edit(
    table: KeptTable, kind: type[Vim] | type[Nano], how: tuple[str, ...]
) -> None:
    with editing(kind, table.path, *how) as editor:
        editor.replace("0.1,as typed", "0.1,edit one")
        for job in range(3):
            run(table, job)
        editor.save()
        table.until_text("1,COMPLETE,0.1,edit one")
        run(table, 3)
        editor.replace("0.4,as typed", "0.4,edit two")  # in the same old buffer: it says NOT_RUNNING everywhere
        editor.save()
        table.until_text("4,NOT_RUNNING,0.4,edit two")
    table.at_rest()
    assert [table.row(job) for job in range(6)] == [
        "0,COMPLETE,0.0,as typed",
        "1,COMPLETE,0.1,edit one",
        "2,COMPLETE,0.2,as typed",
        "3,COMPLETE,0.3,as typed",
        "4,NOT_RUNNING,0.4,edit two",
        "5,NOT_RUNNING,0.5,as typed",
    ]


@pytest.mark.parametrize(("kind", "how"), [EDITORS[0].values, EDITORS[3].values], ids=["vim", "nano"])
def test_a_wish_typed_into_an_old_buffer_is_done(
    table: KeptTable, kind: type[Vim] | type[Nano], how: tuple[str, ...]
) -> None:
    with editing(kind, table.path, *how) as editor:
        run(table, 0)
        editor.replace("5,NOT_RUNNING", "5,HOLD")
        editor.save()
        table.until_text("5,HOLD,0.5", "0,COMPLETE")
        editor.replace("0,NOT_RUNNING", "0,RESET")
        editor.save()
        table.until_text("0,NOT_RUNNING,0.0", "5,HOLD,0.5")
