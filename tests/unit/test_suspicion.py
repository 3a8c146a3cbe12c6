"""When a place is blamed for failures, and when the jobs are: a sweep with a bug must not shut down a lab."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest

from burnish.core.jobs import HostName, JobId
from burnish.core.suspicion import JOBS, Ending, Endings, Suspicion

HERE, THERE = HostName("gpu1"), HostName("gpu2")


def ending(job: int, host: HostName = HERE, slot: int = 0, lasted: float = 1.0, **fields: bool) -> Ending:
    return Ending(JobId(job), host, slot, "0", lasted, fields.get("complete", False), fields.get("not_run", False))


def good(job: int, host: HostName = THERE) -> Ending:
    return ending(job, host, lasted=500.0, complete=True)


def unrun(job: int, lasted: float = 0.0) -> Ending:
    return ending(job, lasted=lasted, not_run=True)


def told(endings: Iterable[Ending], remembered: int = 1000) -> Endings:
    made = Endings(remembered)
    for one in endings:
        made.add(one)
    return made


def unfit_host(endings: Iterable[Ending], host: HostName) -> bool:
    return told(endings).unfit(host)


def suspicion(endings: Iterable[Ending], host: HostName) -> Suspicion | None:
    return told(endings).suspicion(host)


def killed_by(endings: Iterable[Ending], host: HostName, slot: int) -> tuple[JobId, ...]:
    return told(endings).killed_by(host, slot)


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


# -- the rules as one reads them, over all that is remembered ------------------------------------------------------------


def _unfit(everything: Sequence[Ending], host: HostName) -> bool:
    there = [one for one in everything if one.host == host]
    return all(one.at_once for one in there) and len({one.job for one in there}) >= JOBS


def _suspicion(everything: Sequence[Ending], host: HostName) -> tuple[set[JobId], bool] | None:
    there = [n for n, one in enumerate(everything) if one.host == host]
    streak: list[int] = []
    for place in reversed(there):
        if not everything[place].soon:
            break
        streak.insert(0, place)
    jobs = {everything[place].job for place in streak}
    if len(jobs) < JOBS:
        return None
    meanwhile = [one for one in everything[streak[0] :] if one.host != host]
    if any(one.soon for one in meanwhile):
        return None
    return jobs, len({one.job for one in meanwhile if one.complete}) >= JOBS


def _killed_by(everything: Sequence[Ending], host: HostName, slot: int) -> tuple[JobId, ...]:
    places = [n for n, one in enumerate(everything) if (one.host, one.slot) == (host, slot)][-JOBS:]
    mine = [everything[place] for place in places]
    if len({one.job for one in mine}) < JOBS or not all(one.soon for one in mine):
        return ()
    meanwhile = [one for one in everything[places[0] :] if (one.host, one.slot) != (host, slot)]
    deadly = any(one.complete for one in meanwhile) and not any(one.soon for one in meanwhile)
    return tuple(one.job for one in mine) if deadly else ()


KINDS = {  # an end's kind -> how long it lasted, whether it was good, whether it could not be run
    "failed": (1.0, False, False),
    "failed late": (500.0, False, False),
    "well": (500.0, True, False),
    "not run": (0.0, False, True),
    "not run, late": (9.0, False, True),
}


HOSTS = (HERE, THERE, HostName("gpu3"))


@pytest.mark.parametrize("seed", range(24))
def test_what_is_counted_says_what_the_rules_say(seed: int) -> None:
    """Over hosts of which some are sick at a time, and recover, with a memory of a few endings up to some dozens."""
    draw = random.Random(seed)
    remembered = draw.choice((1, 3, 5, 8, 13, 34))
    everything: list[Ending] = []
    counted = Endings(remembered)
    found: set[str] = set()
    for number in range(600):
        if number % 20 == 0:
            usual = {host: draw.choice([*KINDS, "well", "well", "failed"]) for host in HOSTS}
        host = draw.choice(HOSTS[: 1 + number // 20 % 3])
        kind = usual[host] if draw.random() < 0.9 else draw.choice([*KINDS])
        lasted, complete, not_run = KINDS[kind]
        job, slot = draw.randrange(8), draw.randrange(2)
        everything.append(ending(job, host, slot, lasted, complete=complete, not_run=not_run))
        counted.add(everything[-1])
        last = everything[-remembered:]
        for place in HOSTS:
            assert counted.unfit(place) == _unfit(last, place)
            doubt = counted.suspicion(place)
            assert (None if doubt is None else (set(doubt.jobs), doubt.proven)) == _suspicion(last, place)
            killed = [counted.killed_by(place, of) for of in (0, 1)]
            assert killed == [_killed_by(last, place, of) for of in (0, 1)]
            found |= {"unfit"} if counted.unfit(place) else set()
            found |= {f"proven {doubt.proven}"} if doubt else set()
            found |= {"killed"} if any(killed) else set()
    wanted = {"unfit", "proven False", "proven True", "killed"}
    assert remembered < 13 or found == wanted, "what was drawn meets each rule"
