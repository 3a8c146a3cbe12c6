"""`burnish edit` with real editors: what was typed is looked over, merged with what jobs did meanwhile, and never lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import wait_for
from support.editors import Terminal

BURNISH = [sys.executable, "-m", "burnish"]
TABLE = "JOB_ID,STATE,n\n0,NOT_RUNNING,0\n1,NOT_RUNNING,1\n2,NOT_RUNNING,2\n3,NOT_RUNNING,3\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "burnish.db"
    path.write_text(TABLE)
    return path


def edit(table: Path, editor: str) -> subprocess.CompletedProcess[str]:
    """`burnish edit` with nobody there to be asked."""
    environment = {**os.environ, "EDITOR": editor, "TMPDIR": str(table.parent)}
    environment.pop("VISUAL", None)
    return subprocess.run([*BURNISH, "edit"], cwd=table.parent, env=environment, capture_output=True, text=True)


def test_an_edit_is_merged_and_told(table: Path) -> None:
    done = edit(table, "sed -i -e s/^1,NOT_RUNNING/1,HOLD/ -e /^2,/d -e '$a ,,9'")
    assert (done.returncode, done.stderr) == (0, "burnish.db: job 4 added; job 2 removed; job 1 held.\n")
    assert table.read_text() == "JOB_ID,STATE,n\n0,NOT_RUNNING,0\n1,HOLD,1\n3,NOT_RUNNING,3\n4,NOT_RUNNING,9\n"
    assert not list(table.parent.glob("burnish-edit-*"))


def test_a_word_is_obeyed_though_an_older_text_read_the_same(table: Path) -> None:
    subprocess.run([*BURNISH, "hold", "--job_id", "1"], cwd=table.parent, check=True, capture_output=True)
    assert edit(table, "sed -i s/HOLD/NOT_RUNNING/").stderr == "burnish.db: job 1 released.\n"
    assert table.read_text() == TABLE


@pytest.mark.parametrize(
    ("editor", "code", "said"),
    [
        ("true", 0, "Nothing was changed."),
        ("false", 2, "The editor false ended with exit code 1. Nothing was changed."),
        ("no-such-editor", 2, "The editor no-such-editor cannot be started: No such file or directory."),
        ("vim '", 2, "$EDITOR vim ': No closing quotation. Nothing was changed."),
        ("", 2, "burnish edit needs an editor: "),
    ],
)
def test_an_editor_that_did_nothing_changes_nothing(table: Path, editor: str, code: int, said: str) -> None:
    done = edit(table, editor)
    assert done.returncode == code and said in done.stderr
    assert table.read_text() == TABLE and not list(table.parent.glob("burnish-edit-*"))


def test_a_text_that_cannot_be_taken_is_kept_where_it_says(table: Path) -> None:
    done = edit(table, "sed -i s/^1,NOT_RUNNING/1,HELD/")
    assert done.returncode == 2 and 'burnish.db:3: "HELD" is not a STATE. Did you mean HOLD?' in done.stderr
    kept = re.search(r"what you typed is kept in (\S+)", done.stderr)
    assert kept and "1,HELD,1\n" in Path(kept[1]).read_text()
    assert table.read_text() == TABLE


def test_a_text_without_rows_is_not_taken_and_is_kept(table: Path) -> None:
    done = edit(table, "sed -i -e 2,$d -e s/n/n,seed/")
    assert "Nothing was removed" in done.stderr and table.read_text() == TABLE
    kept = re.search(r"Nothing was changed. What you typed is kept in (\S+)", done.stderr)
    assert kept and Path(kept[1]).read_text() == "JOB_ID,STATE,n,seed\n", done.stderr


def test_layout_that_a_person_typed_stays(table: Path) -> None:
    edit(table, "sed -i -e '$a \\\\n,,\"9\"' -e s/^0,/0,/ -e 's/,1$/,\"1\"/'")
    assert table.read_text().endswith('1,NOT_RUNNING,"1"\n2,NOT_RUNNING,2\n3,NOT_RUNNING,3\n\n4,NOT_RUNNING,"9"\n')


@pytest.fixture
def shell(table: Path) -> Iterator[Terminal]:
    made = Terminal(table.parent / "tmux", ["env", "-C", str(table.parent), "PS1=> ", "bash", "--norc", "--noprofile"])
    try:
        made.shows(">")
        yield made
    finally:
        made.end()


def test_an_edit_that_was_open_while_jobs_ran_undoes_nothing(table: Path, shell: Terminal) -> None:
    shell.type(f"export EDITOR='vim -u NONE -i NONE -n'; {sys.executable} -m burnish edit", "Enter")
    shell.shows("JOB_ID,STATE")
    command = [*BURNISH, "run", "--num_workers", "2", "--num_jobs", "2", "--command", "true {n}"]
    subprocess.run(command, cwd=table.parent, check=True, capture_output=True)
    assert "1,COMPLETE,1\n" in table.read_text()
    shell.type(":%s/^3,NOT_RUNNING/3,HELD/", "Enter", ":wq", "Enter")
    shell.shows("What now? (e)dit, (q)uit, (s)ave")
    assert 'burnish.db:5: "HELD" is not a STATE. Did you mean HOLD?' in shell.screen.replace("\n", "")
    shell.type("e", "Enter")
    shell.shows("3,HELD,3")
    shell.type(":s/HELD/HOLD/", "Enter", ":wq", "Enter")  # in the line that it opened at
    shell.shows("burnish.db: job 3 held.")
    wait_for(lambda: "3,HOLD,3\n" in table.read_text(), table.read_text)
    assert table.read_text() == "JOB_ID,STATE,n\n0,COMPLETE,0\n1,COMPLETE,1\n2,NOT_RUNNING,2\n3,HOLD,3\n"


def test_a_removed_row_stays_away_from_a_run_that_keeps_the_table(table: Path) -> None:
    go = table.parent / "go"
    loop = "sh -c 'until [ -e go ]; do sleep 0.05; done' job{n}"
    run = subprocess.Popen([*BURNISH, "run", "--command", loop], cwd=table.parent, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: "0,RUNNING" in table.read_text(), table.read_text)
        done = edit(table, "sed -i -e /^2,/d -e s/^3,NOT_RUNNING/3,HOLD/")
        assert done.stderr.splitlines()[-1] == "burnish.db: job 2 removed; job 3 held."
        go.touch()
        assert run.wait(60) == 0
        assert table.read_text() == "JOB_ID,STATE,n\n0,COMPLETE,0\n1,COMPLETE,1\n3,HOLD,3\n"
    finally:
        go.touch()
        run.wait(60)
