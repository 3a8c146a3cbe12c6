"""What a run says to words that are typed into its table, as often as they are typed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.gated import Gated
from support.waiting import wait_for

# burnish, but the disk takes two seconds for its first text.
SLOW_ONCE = """
import time
from burnish.cli.main import main
from burnish.store.table_file import TableFile
write = TableFile._write
def slowly(*arguments):
    TableFile._write = write
    time.sleep(2)
    return write(*arguments)
TableFile._write = slowly
main()
"""


@pytest.fixture
def table() -> Iterator[Gated]:
    """A run with one worker: job 0 is COMPLETE, job 1 runs, jobs 2 and 3 wait."""
    made = Gated.of(None, 4)
    made.open(0)
    made.start("run", "--num_workers", "1", "--command", "python3 job.py {n}")
    wait_for(lambda: "1,RUNNING" in text(made), made.said)
    yield made
    made.stop()


def text(table: Gated) -> str:
    return (table.folder / "burnish.db").read_text()


def type_over(table: Gated, job: int, word: str, new: str) -> None:
    """As `sed -i` does."""
    old = f"\n{job},{word},"
    assert old in text(table)
    fresh = table.folder / "sed"
    fresh.write_text(text(table).replace(old, f"\n{job},{new},"))
    fresh.replace(table.folder / "burnish.db")


def test_what_may_be_an_old_buffer_is_refused_with_a_word_each_time(table: Gated) -> None:
    type_over(table, 3, "NOT_RUNNING", "COMPLETE")  # job 2 may be claimed ahead
    wait_for(lambda: table.status()[3]["reason"] == "by hand", table.said)
    answer = "says NOT_RUNNING; job 3 is COMPLETE (by hand). Kept COMPLETE."
    for times in (1, 2):
        type_over(table, 3, "COMPLETE", "NOT_RUNNING")
        wait_for(lambda times=times: table.said().count(answer) == times, table.said)
        wait_for(lambda: "3,COMPLETE" in text(table), table.said)


def test_table_that_a_disk_kept_waiting_once_is_written_again_soon() -> None:
    table = Gated.of(None, 2)
    try:
        table.start("run", "--num_workers", "1", "--command", "python3 job.py {n}", program=SLOW_ONCE)
        wait_for(lambda: "0,RUNNING" in text(table), table.said)
        table.open(0)
        # Not 40 s, of which the two seconds are a twentieth.
        wait_for(lambda: "0,COMPLETE" in text(table), table.said, deadline=30)
    finally:
        table.stop()


def test_job_that_commands_held_and_released_is_held_by_a_word_in_the_table(table: Gated) -> None:
    """The save reads to the byte as the table did while it was held."""
    for verb, word in (("hold", "HOLD"), ("release", "NOT_RUNNING")):
        table.burnish(verb, "--job_id", "3")
        wait_for(lambda word=word: f"3,{word}," in text(table), table.said)
    for old, new in (("NOT_RUNNING", "HOLD"), ("HOLD", "NOT_RUNNING"), ("NOT_RUNNING", "HOLD")):
        type_over(table, 3, old, new)
        wait_for(lambda new=new: table.status()[3]["state"] == new, table.said)
    table.open(*range(4))
    assert table.running[-1].wait(timeout=60) == 0, table.said()
    assert [len(table.ran(job)) for job in range(4)] == [1, 1, 1, 0]
