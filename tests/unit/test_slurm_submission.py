"""Attempts on their way into Slurm's queue, one sbatch after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.core.reports import AttemptReported, CommandRan, Submitted
from burnish.slurm.submission import AFTER_TROUBLE, PAUSE, Submission

HPC = HostName("hpc")
LIMIT = "sbatch: error: AssocMaxSubmitJobLimit\n"


class Cluster:
    """A submission, and what it says to the host. `answer` lets the sbatch that runs end."""

    def __init__(self, largest: int = 1001) -> None:
        self.prepared: list[dict[str, Any]] = []
        self.sbatch: list[list[str]] = []
        self.scripts: list[str] = []
        self.taken: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.own: set[str] = set()  # those of them that name nodes which are not there
        self._then: list[Callable[[CommandRan], None]] = []
        self.submission = Submission(
            Host(HPC, engine="slurm"),
            "t",
            self.prepared.append,
            self._ask,
            self.taken.__setitem__,
            self._refuse,
        )
        self.submission.restart("/home/ann/.burnish/slurm/agent-1.py", largest)

    def _ask(self, argv: list[str], then: Callable[[CommandRan], None], stdin: str) -> None:
        self.sbatch.append(argv)
        self.scripts.append(stdin)
        self._then.append(then)

    def _refuse(self, attempt: str, why: str, own: bool) -> None:
        self.refused[attempt] = why
        self.own |= {attempt} if own else set()

    def add(self, *jobs: int, **spec: object) -> None:
        for job in jobs:
            self.submission.add({"type": "start", "attempt": f"{job}.1-abcd", "spec": spec})

    def queued(self, *, name: str | None = None, first: int = 0) -> None:
        """The host has made the folders, and says under which name they are submitted."""
        for order in self.prepared[first:]:
            batch = order["spec"]["batch"]
            submitted = Submitted(name or batch["name"], batch["index"])
            self.submission.prepared(AttemptReported(HPC, order["attempt"], "queued", None, None, None, submitted))

    def answer(self, code: int = 0, out: str = "7\n", err: str = "") -> None:
        self._then.pop()(CommandRan(HPC, "", code, out, err))

    def array(self) -> str:
        """Which tasks the last sbatch was for."""
        return next(word for word in self.sbatch[-1] if word.startswith("--array=")).partition("=")[2]


def test_many_jobs_are_one_array() -> None:
    cluster = Cluster()
    cluster.add(*range(5))
    cluster.submission.turn(0.0)
    assert not cluster.sbatch, "no folder is there yet"
    cluster.queued()
    cluster.submission.turn(0.0)
    assert cluster.array() == "0-4"
    assert "4) attempt=4.1-abcd ;;" in cluster.scripts[0]
    cluster.answer()
    assert cluster.taken["3.1-abcd"] == "7_3"


def test_an_array_is_no_larger_than_the_cluster_allows() -> None:
    cluster = Cluster(largest=3)
    cluster.add(*range(5))
    cluster.submission.turn(0.0)
    assert len(cluster.prepared) == 3


def test_jobs_that_ask_for_something_else_get_an_array_of_their_own() -> None:
    cluster = Cluster()
    cluster.add(0, 1, gpus=2, sbatch={"nodelist": "n1"})
    cluster.add(2, gpus=2)
    cluster.submission.turn(0.0)
    cluster.queued()
    cluster.submission.turn(0.0)
    assert cluster.array() == "0-1" and "--gres=gpu:2" in cluster.sbatch[0]
    assert "--nodelist=n1" in cluster.sbatch[0]


def test_what_was_submitted_under_another_name_is_not_submitted_again() -> None:
    cluster = Cluster()
    cluster.add(0, 1)
    cluster.submission.turn(0.0)
    cluster.queued(name="burnish-t-of-a-run-that-was-killed")
    cluster.submission.turn(0.0)
    assert not cluster.sbatch


def test_what_was_voided_meanwhile_is_left_out() -> None:
    cluster = Cluster()
    cluster.add(0, 1, 2)
    cluster.submission.turn(0.0)
    cluster.submission.drop("1.1-abcd")
    cluster.queued()
    cluster.submission.turn(0.0)
    assert cluster.array() == "0,2"


def test_a_limit_on_submitted_jobs_makes_arrays_smaller() -> None:
    cluster = Cluster()
    cluster.add(*range(8))
    cluster.submission.turn(0.0)
    cluster.queued()
    for tasks in ("0-7", "0-3", "0-1"):
        cluster.submission.turn(0.0)
        assert cluster.array() == tasks
        cluster.answer(1, "", LIMIT)
    cluster.submission.turn(0.0)
    cluster.answer()
    assert set(cluster.taken) == {"0.1-abcd"}
    cluster.submission.turn(0.0)
    assert cluster.array() == "1-2"
    assert not cluster.refused


def test_where_not_one_more_is_allowed_they_wait_and_are_told_why() -> None:
    cluster = Cluster()
    cluster.add(0)
    cluster.submission.turn(0.0)
    cluster.queued()
    cluster.submission.turn(0.0)
    cluster.answer(1, "", LIMIT)
    assert cluster.refused == {"0.1-abcd": "Slurm does not take it: AssocMaxSubmitJobLimit"}
    cluster.add(1)
    cluster.submission.turn(AFTER_TROUBLE - 1)
    assert len(cluster.prepared) == 1


def test_a_node_that_is_not_there_is_the_fault_of_the_job_that_names_it() -> None:
    for spec, own in (({"sbatch": {"nodelist": "n9"}}, {"0.1-abcd"}), ({}, set())):
        cluster = Cluster()
        cluster.add(0, **spec)
        cluster.submission.turn(0.0)
        cluster.queued()
        cluster.submission.turn(0.0)
        cluster.answer(1, "", "sbatch: error: Batch job submission failed: Invalid node name specified\n")
        assert cluster.refused == {"0.1-abcd": "Slurm does not take it: Invalid node name specified"}
        assert cluster.own == own


def test_an_sbatch_without_an_answer_is_left_to_slurms_list() -> None:
    cluster = Cluster()
    cluster.add(0, 1)
    cluster.submission.turn(0.0)
    cluster.queued()
    cluster.submission.turn(0.0)
    assert "0.1-abcd" in cluster.submission
    cluster.answer(-1, "", "sbatch has not answered within 60 s")
    assert cluster.taken == {"0.1-abcd": "", "1.1-abcd": ""} and not cluster.refused
    assert "0.1-abcd" not in cluster.submission


def test_one_sbatch_at_a_time_and_a_pause_between() -> None:
    cluster = Cluster()
    cluster.add(0)
    cluster.submission.turn(0.0)
    cluster.queued()
    cluster.submission.turn(0.0)
    cluster.add(1)
    cluster.submission.turn(0.5)
    cluster.answer()
    cluster.submission.turn(0.5)
    cluster.submission.turn(0.5 + PAUSE - 0.1)
    assert len(cluster.prepared) == 1
    cluster.submission.turn(0.5 + PAUSE)
    assert len(cluster.prepared) == 2
