"""The attempts of one cluster as tasks of Slurm: what the attempt's folder said last, and what Slurm's list says of it. Pure.

Both come late, and either may be silent for long. What the folder says counts; Slurm's word only says why nothing starts, and
that an attempt is over whose folder does not say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from burnish.core.reports import AttemptReported, Submitted
from burnish.slurm.states import CANCELLED, GONE, End, end_of, waiting
from burnish.slurm.text import Listed

UNSEEN = 10.0  # s after its submission in which Slurm's list may lack a task
FRESH = 60.0  # s at most for which it counts that Slurm's list had a task waiting
SETTLE = 5.0  # s between Slurm's word that a task is over and the record of that: its own record may be on its way
PATIENCE = 60.0  # s in which Slurm may say why a job failed, before its supervisor's word is all there is
ACCOUNTS = 600.0  # s in which accounting may come to answer, before a task that is not listed any more counts as gone

TAKEN_OUT = replace(CANCELLED)  # concluded from a list that lacks it; the other is Slurm's own word
Key = tuple[str, int]  # how Slurm lists a task: the name of its array, and its index there


class Task(Struct):
    """One attempt. Times are s on one clock.

    `since`: when it was submitted, or heard of first. `job`: how Slurm's commands call it, once that is known. `running`: its
    folder says go, or more. `waited`: when Slurm's list had it waiting last. `end` and `ended`: Slurm's word that it is over,
    and when that was asked for. `told`: the reason told last. `held`: its verdict, which waits for Slurm's word since
    `held_since`. `woken`: since when its supervisor knows of a cancel. `concluded`: when the host was asked to record that it
    is over. `disowned`: it was told that it runs all the same. `sought`: since when accounting does not answer for it.
    """

    attempt: str
    submitted: Submitted
    since: float
    job: str = ""
    running: bool = False
    waited: float | None = None
    end: End | None = None
    ended: float = 0.0
    told: str = ""
    held: AttemptReported | None = None
    held_since: float = 0.0
    woken: float | None = None
    concluded: float | None = None
    disowned: bool = False
    sought: float | None = None

    @property
    def array(self) -> str:
        """The number of its array in Slurm; "" while that is not known."""
        return self.job.partition("_")[0]

    @property
    def key(self) -> Key:
        """Of this attempt."""
        return self.submitted.name, self.submitted.index

    def began(self) -> None:
        """Its folder says so: nobody took it out of Slurm's queue before."""
        self.running = True
        if self.end is TAKEN_OUT:
            self.end = None

    def settled(self, now: float) -> End | None:
        """How it ended, once its own record has had its time to come; None until then."""
        return self.end if self.end is not None and now - self.ended >= SETTLE else None


def compare(
    tasks: Iterable[Task], listed: Mapping[Key, Listed], asked: float, accounting: bool, kept: float
) -> Iterator[Task]:
    """Take in a whole list of Slurm's, asked for at `asked`. It has what ended less than `kept` s before.

    Yields the tasks of which only `accounting` knows more.
    """
    arrays = {one.job.partition("_")[0] for one in listed.values()}
    for task in tasks:
        found = listed.get(task.key)
        if found is not None:
            task.job, task.sought = found.job, None
            task.waited = asked if found.state == "PENDING" else None
            _end(task, end_of(found.state, found.nodes), asked)
        elif task.array in arrays and _was_taken_out(task, listed, asked, kept):
            _end(task, TAKEN_OUT, asked)
        elif asked >= task.since + UNSEEN:
            if accounting and task.running and (task.job or task.submitted.job) and task.end is None:
                yield task
            else:
                _end(task, task.end or GONE, asked)


def accounted(task: Task, states: Mapping[str, str], asked: float) -> None:
    """Take in what accounting says of a task that is in Slurm's list no more."""
    state = states.get(task.job) or states.get(task.submitted.job) or ""
    _end(task, end_of(state) or GONE, asked)


def unaccounted(task: Task, asked: float) -> None:
    """Accounting did not answer: it is asked again at the next look, for a while."""
    if task.sought is None:
        task.sought = asked
    elif asked - task.sought >= ACCOUNTS:
        _end(task, task.end or GONE, asked)


def news(task: Task, listed: Mapping[Key, Listed]) -> str:
    """Why it has not started, if that is another reason than the one told last; "" if there is nothing to tell."""
    found = listed.get(task.key)
    why = "" if found is None or task.running else waiting(found.state, found.reason)
    if why == task.told:
        return ""
    task.told = why
    return why


def _was_taken_out(task: Task, listed: Mapping[Key, Listed], asked: float, kept: float) -> bool:
    """True if somebody cancelled it while it waited. It is not listed, while something of its array is.

    Slurm drops such a task from its list at once; of the last one that waited it keeps a line, without its index. A task that
    came to run stays in the list for `kept` s after its end.
    """
    if task.running or asked < task.since:
        return False
    emptied = (task.submitted.name, -int(task.array)) in listed
    return emptied or (task.waited is not None and asked - task.waited < min(FRESH, kept))


def _end(task: Task, end: End | None, asked: float) -> None:
    if end is None:
        task.end = None  # requeued by somebody: it is not over after all
    elif task.end is None:
        task.end, task.ended = end, asked
