"""A link to a login node, with the link and the clock in hand: what is concluded, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from burnish.core import reports
from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.core.reports import Report, Submitted, Welcome
from burnish.slurm.cancelling import PATIENCE
from burnish.slurm.engine import SlurmLink
from burnish.slurm.tasks import ACCOUNTS, SETTLE, UNSEEN

HPC = HostName("hpc")
ATTEMPT = "0.1-9f86d081"
BATCH = Submitted("burnish-t-1", 0)


class LoginNode:
    """Stands for the link underneath: what was sent over it, and what it reports."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sent: list[dict[str, Any]] = []
        self.told: list[Report] = []
        self.welcome = Welcome("id", "slurm", "login1", "/home/ann/.burnish/slurm/agent-1.py")
        self.round_trip = 0.01
        self.engine = SlurmLink(Host(HPC, engine="slurm"), "t", self._connect, self.told.append, lambda: self.now)  # type: ignore[arg-type, return-value]
        self.hear(reports.HostConnected(HPC, self.welcome))

    def _connect(self, hear: Callable[[Report], None]) -> LoginNode:
        self.hear = hear
        return self

    def send(self, *headers: dict[str, Any]) -> None:
        self.sent.extend(headers)

    def watch(self) -> None:
        """Nothing to ping."""

    def ran(self, program: str) -> list[dict[str, Any]]:
        """The requests to run this program."""
        return [header for header in self.sent if header["type"] == "run" and header["argv"][0] == program]

    def answer(self, program: str, out: str = "", code: int = 0, err: str = "") -> None:
        """The newest of them ends."""
        self.hear(reports.CommandRan(HPC, self.ran(program)[-1]["id"], code, out, err))

    def status(self, status: str, **fields: Any) -> None:
        known = {"start": None, "final": None, "sizes": None, "batch": BATCH, **fields}
        self.hear(reports.AttemptReported(HPC, ATTEMPT, status, **known))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.engine.watch()

    def voided(self) -> bool:
        return any(isinstance(report, reports.AttemptReported) and report.status == "void" for report in self.told)

    def concluded(self) -> list[dict[str, Any]]:
        return [header for header in self.sent if header["type"] == "conclude"]


def ready(status: str = "queued") -> LoginNode:
    """A cluster that answers, on which a coordinator looks after one attempt."""
    node = LoginNode()
    node.answer("scontrol", "MaxArraySize = 1001\n")
    node.engine.send({"type": "status", "attempt": ATTEMPT})
    node.status(status)
    return node


def test_it_is_connected_once_slurm_answers() -> None:
    node = LoginNode()
    assert not node.engine.up
    node.answer(
        "scontrol", code=1, err="slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)"
    )
    assert isinstance(node.told[-1], reports.HostDropped) and not node.engine.up
    node.wait(60)
    node.answer("scontrol", "MaxArraySize = 1001\n")
    assert isinstance(node.told[-1], reports.HostConnected) and node.engine.up


def test_a_list_that_failed_proves_nothing() -> None:
    node = ready()
    for _ in range(10):
        node.wait(60)
        node.answer("squeue", code=1, err="slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    assert not node.concluded()


def test_what_slurm_does_not_have_is_made_void() -> None:
    node = ready()
    node.wait(UNSEEN)
    node.answer("squeue")
    node.wait(SETTLE)
    assert [header["attempt"] for header in node.concluded()] == [ATTEMPT]


def test_nothing_is_concluded_of_another_runs_attempt() -> None:
    node = LoginNode()
    node.answer("scontrol", "MaxArraySize = 1001\n")
    node.status("queued")
    node.wait(UNSEEN)
    node.wait(SETTLE)
    assert not node.ran("squeue") and not node.concluded()


def test_one_list_for_all_and_ever_more_slowly() -> None:
    node = ready()
    asked = 0
    for _ in range(600):
        node.wait(1)
        if len(node.ran("squeue")) > asked:
            asked = len(node.ran("squeue"))
            node.answer("squeue", "7|0|PENDING|Priority||burnish-t-1\n")
    assert 20 <= asked <= 30
    assert [report.why for report in node.told if isinstance(report, reports.AttemptWaits)] == ["waiting for Priority"]


def test_a_killed_jobs_verdict_waits_for_slurms_word() -> None:
    node = ready("running")
    node.status("ended", final={"exit": {"signal": 15, "ended": 5.0}})
    assert not any(isinstance(report, reports.AttemptReported) and report.status == "ended" for report in node.told)
    node.wait(2)
    node.answer("squeue", "7|0|TIMEOUT|TimeLimit|n0|burnish-t-1\n")
    node.wait(1)
    last = node.told[-1]
    assert isinstance(last, reports.AttemptReported) and last.final is not None and last.final["exit"]["time_limit"]


def test_job_that_failed_by_itself_is_not_told_as_cancelled_when_the_rest_of_its_array_is() -> None:
    """Slurm had it waiting when it was looked at last; then it ran and failed, and somebody cancelled the others."""
    node = ready()
    node.wait(2)
    node.answer("squeue", "7|0|PENDING|Resources||burnish-t-1\n7|1|PENDING|Resources||burnish-t-1\n")
    node.status("ended", final={"exit": {"code": 1, "ended": 5.0}})
    node.wait(30)
    node.answer("squeue", "7|N/A|CANCELLED|Resources||burnish-t-1\n")
    node.wait(60)
    told = node.told[-1]
    assert isinstance(told, reports.AttemptReported) and told.final == {"exit": {"code": 1, "ended": 5.0}}


def test_a_killed_jobs_verdict_does_not_wait_for_ever() -> None:
    node = ready("running")
    node.status("ended", final={"exit": {"signal": 15, "ended": 5.0}})
    node.wait(61)
    last = node.told[-1]
    assert isinstance(last, reports.AttemptReported) and last.final == {"exit": {"signal": 15, "ended": 5.0}}


def test_what_slurm_does_not_have_and_runs_is_told_until_it_has_it_again() -> None:
    node = ready("running")
    node.wait(UNSEEN)
    node.answer("squeue")
    node.wait(SETTLE)
    for beats in (False, True, True):
        node.status("running", beats=beats)
    node.wait(30)
    node.answer("squeue", "7|0|RUNNING||n0|burnish-t-1\n")
    told = [report.how for report in node.told if isinstance(report, reports.AttemptDisowned)]
    assert told == ["forgotten by Slurm", ""]


AWAY = "sacct: error: Problem talking to the database: Connection refused\n"
DISABLED = "Slurm accounting storage is disabled\n"


def forgotten() -> LoginNode:
    """A job that ran, and that Slurm's list has no more."""
    node = ready("running")
    node.status("running", batch=Submitted("burnish-t-1", 0, "7_0"))
    node.wait(UNSEEN)
    node.answer("squeue")
    return node


@pytest.mark.parametrize(("code", "err"), [(1, AWAY), (-1, "")])
def test_accounting_that_does_not_answer_for_a_while_is_asked_again(code: int, err: str) -> None:
    node = forgotten()
    node.answer("sacct", code=code, err=err)
    node.wait(60)
    node.answer("squeue")
    node.wait(SETTLE)
    assert len(node.ran("sacct")) == 2 and not node.concluded()
    node.answer("sacct", "7_0|7|OUT_OF_MEMORY\n")
    node.wait(SETTLE)
    [order] = node.concluded()
    assert order["final"] == {"exit": {"signal": 9, "oom": True}}


def test_accounting_that_never_answers_keeps_no_job_for_ever() -> None:
    node = forgotten()
    begun = node.now
    while not node.concluded():
        node.answer("sacct", code=1, err=AWAY)
        node.wait(30)
        node.answer("squeue")
        node.wait(SETTLE)
        assert node.now - begun < 2 * ACCOUNTS
    assert node.now - begun >= ACCOUNTS and node.concluded()[0]["final"]["lost"]


@pytest.mark.parametrize(("code", "err"), [(1, DISABLED), (127, "sacct: not found")])
def test_where_no_accounts_are_kept_nobody_waits_for_them(code: int, err: str) -> None:
    node = forgotten()
    node.answer("sacct", code=code, err=err)
    node.wait(60)
    node.answer("squeue")
    node.wait(SETTLE)
    assert len(node.ran("sacct")) == 1 and node.concluded()[0]["final"]["lost"]


@pytest.mark.parametrize("answers", [True, False])
def test_what_waits_in_slurms_queue_is_told_to_be_void_when_it_is_out_of_it(answers: bool) -> None:
    """Or when Slurm has not answered for a while. That it is void may be the first that this link hears of it."""
    node = LoginNode()
    node.answer("scontrol", "MaxArraySize = 1001\n")
    node.engine.send({"type": "void", "attempt": ATTEMPT, "why": "cancelled by ann"})
    node.status("void", start={"void": {"why": "cancelled by ann"}})
    node.wait(0)
    if answers:
        node.answer("squeue", "7|0|PENDING|Priority||burnish-t-1\n")
        assert node.ran("scancel")[-1]["argv"] == ["scancel", "7_0"]
    assert not node.voided()
    if answers:
        node.answer("scancel")
    else:
        node.wait(PATIENCE)
    assert node.voided()


def cancelled(jobs: int) -> LoginNode:
    """So many jobs of one array run, and somebody has cancelled them all."""
    node = LoginNode()
    node.answer("scontrol", "MaxArraySize = 1001\n")
    for job in range(jobs):
        attempt = f"{job}.1-9f86d081"
        node.engine.send({"type": "cancel", "attempt": attempt, "grace": 10.0, "by": "ann"})
        batch = Submitted("burnish-t-1", job, "100")
        node.hear(reports.AttemptReported(HPC, attempt, "running", None, None, None, batch))
    node.wait(1)
    return node


def test_many_are_cancelled_by_one_scancel() -> None:
    node = cancelled(50)
    node.answer("squeue", "".join(f"100|{job}|RUNNING||n0|burnish-t-1\n" for job in range(50)))
    node.wait(1)
    (scancel,) = node.ran("scancel")
    assert scancel["argv"][1:3] == ["--signal=USR1", "--batch"] and len(scancel["argv"]) == 53


def test_who_is_cancelled_again_with_less_grace_is_woken_again() -> None:
    node = cancelled(1)
    running = "100|0|RUNNING||n0|burnish-t-1\n"
    for times, grace in ((1, 10.0), (1, 10.0), (2, 1.0), (2, 5.0)):
        node.engine.send({"type": "cancel", "attempt": ATTEMPT, "grace": grace, "by": "ann"})
        node.wait(1)
        node.answer("squeue", running)
        node.answer("scancel")
        assert len(node.ran("scancel")) == times, grace


def test_who_wakes_a_task_does_not_keep_others_waiting() -> None:
    """While others of its array wait, scancel goes on for a minute and a half."""
    node = cancelled(1)
    node.answer("squeue", "100|0|RUNNING||n0|burnish-t-1\n100|1|PENDING|Priority||burnish-t-1\n")
    (scancel,) = node.ran("scancel")
    assert scancel["limit"] == PATIENCE and node.ran("squeue")[-1]["limit"] == 60


def test_a_number_that_is_another_job_by_now_is_not_cancelled() -> None:
    """Slurm lost its state, and gave the number of one to somebody else's array, and another number to nobody."""
    node = cancelled(3)
    node.answer(
        "squeue", "100|0|RUNNING||n0|somebody\n100|1|COMPLETED||n0|burnish-t-1\n200|2|RUNNING||n1|burnish-t-1\n"
    )
    node.wait(1)
    (scancel,) = node.ran("scancel")
    assert scancel["argv"][3:] == ["200_2"]


def test_where_slurm_does_not_answer_it_is_asked_again_for_what_to_cancel() -> None:
    node = cancelled(1)
    asked = len(node.ran("squeue"))
    node.answer("squeue", code=1, err="slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    node.wait(2)
    assert not node.ran("scancel")
    for command in node.ran("squeue")[asked:]:
        node.hear(reports.CommandRan(HPC, command["id"], 0, "100|0|RUNNING||n0|burnish-t-1\n", ""))
    assert [scancel["argv"][3:] for scancel in node.ran("scancel")] == [["100_0"]]
