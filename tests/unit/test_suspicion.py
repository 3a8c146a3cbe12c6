"""When a place is blamed for failures, and when the jobs are: a sweep with a bug must not shut down a lab."""

from __future__ import annotations

from burnish.core.jobs import HostName, JobId
from burnish.core.suspicion import Ending, Suspicion, killed_by, suspicion, unfit_host

HERE, THERE = HostName("gpu1"), HostName("gpu2")


def ending(job: int, host: HostName = HERE, slot: int = 0, lasted: float = 1.0, **fields: bool) -> Ending:
    return Ending(JobId(job), host, slot, "0", lasted, fields.get("complete", False), fields.get("not_run", False))


def good(job: int, host: HostName = THERE) -> Ending:
    return ending(job, host, lasted=500.0, complete=True)


def unrun(job: int, lasted: float = 0.0) -> Ending:
    return ending(job, lasted=lasted, not_run=True)


def test_host_that_could_run_none_of_three_jobs_is_unfit() -> None:
    assert unfit_host([unrun(1), good(9), unrun(2), unrun(3)], HERE)
    assert not unfit_host([unrun(1), unrun(2), unrun(3)], THERE)


def test_host_is_not_unfit_for_one_job_for_a_late_end_or_after_a_good_one() -> None:
    assert not unfit_host([unrun(1), unrun(2)], HERE)
    assert not unfit_host([unrun(1), unrun(2), unrun(2), unrun(1)], HERE)
    assert not unfit_host([unrun(1), unrun(2), unrun(3, lasted=6.0)], HERE)
    assert not unfit_host([good(0, HERE), unrun(1), unrun(2), unrun(3)], HERE)
    assert not unfit_host([ending(1), ending(2), ending(3)], HERE)  # they ran, and failed


def test_slot_that_fails_alone_is_deadly() -> None:
    assert killed_by([ending(1), ending(2), good(9), ending(3)], HERE, 0)


def test_slot_is_not_deadly_when_jobs_fail_everywhere_or_nothing_is_known_of_elsewhere() -> None:
    three = [ending(1), ending(2), ending(3)]
    assert not killed_by(three, HERE, 0)
    assert not killed_by([good(8), *three], HERE, 0)  # before, not meanwhile
    assert not killed_by([ending(1), good(9), ending(4, THERE), ending(2), ending(3)], HERE, 0)
    assert not killed_by([*three[:1], good(9), *three[1:]], HERE, 1)


def test_slot_is_not_deadly_for_one_job_for_slow_failures_or_between_good_ends() -> None:
    meanwhile = good(9)
    assert not killed_by([ending(1), meanwhile, ending(1), ending(2)], HERE, 0)
    assert not killed_by([ending(1), meanwhile, ending(2), ending(3, lasted=61.0)], HERE, 0)
    assert not killed_by([ending(1), meanwhile, good(5, HERE), ending(2), ending(3)], HERE, 0)
    assert not killed_by([ending(1), meanwhile, unrun(2), ending(3)], HERE, 0)


THREE = (JobId(1), JobId(2), JobId(3))


def test_host_whose_last_three_jobs_failed_is_in_doubt_until_as_many_ended_well_elsewhere() -> None:
    failures = [ending(1, slot=0), ending(2, slot=1), ending(3, slot=0)]
    assert suspicion(failures[:2], HERE) is None
    assert suspicion(failures, HERE) == Suspicion(THREE, proven=False)
    assert suspicion([*failures, good(7), good(8)], HERE) == Suspicion(THREE, proven=False)
    assert suspicion([*failures, good(7), good(8), good(8)], HERE) == Suspicion(THREE, proven=False)
    assert suspicion([*failures, good(7), good(8), good(9)], HERE) == Suspicion(THREE, proven=True)
    assert suspicion([good(7), good(8), good(9), *failures], HERE) == Suspicion(
        THREE, proven=False
    )  # before, not meanwhile
    assert suspicion([*failures, good(7), good(8), good(9)], THERE) is None


def test_host_is_not_in_doubt_when_jobs_fail_elsewhere_too_or_one_ended_well_on_it() -> None:
    failures = [ending(1), ending(2), ending(3)]
    assert suspicion([*failures, good(7), ending(4, THERE)], HERE) is None
    assert suspicion([ending(1), ending(4, THERE), ending(2), ending(3)], HERE) is None
    assert suspicion([*failures, good(5, HERE)], HERE) is None
    assert suspicion([ending(1), good(5, HERE), ending(2), ending(3)], HERE) is None
    assert suspicion([ending(1), ending(1), ending(2)], HERE) is None, "of two jobs only"
    assert suspicion([ending(1), ending(2), ending(3, lasted=61.0)], HERE) is None
