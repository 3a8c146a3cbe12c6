"""Which slots' jobs get a successor, behind whom, and how long it may wait there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from msgspec.structs import replace
from support import facts, tables

from burnish.core import events
from burnish.core.ahead import (
    LONGEST_LINE,
    REMEMBERED,
    Ahead,
    Lines,
    before,
    begins,
    by_slot,
    line_length,
    patience,
    unsettles,
)
from burnish.core.jobs import Attempt, AttemptId, CoordinatorId, HostName, JobId, Slot
from burnish.core.placement import free_slots, in_place
from burnish.vacancies import Vacancies

ME = CoordinatorId("me")
HOST = HostName("gpu01")
SLOTS = [Slot(HOST, 0), Slot(HOST, 1)]
LIMIT = patience(0.0)  # s


class Table:
    """Jobs on one host, and what a coordinator knows of them."""

    def __init__(self, jobs: int = 6) -> None:
        self.state = tables.opened(("--n",), [(str(n),) for n in range(jobs)])
        self.ahead = Ahead(ME, self.state)

    def happen(self, fact: events.Fact, now: float = 0.0) -> None:
        self.state.apply(fact)
        self.ahead.learn(fact, now)

    def claim(self, job: int, slot: int = 0, after: str = "", by: str = "me", now: float = 0.0) -> Attempt:
        claim = facts.claim_of(AttemptId(JobId(job), 1), by, slot=slot)
        self.happen(replace(claim, nonce=f"{job:08x}", after=after), now)
        return self.state.jobs[JobId(job)].attempts[-1]

    def start(self, attempt: Attempt, now: float = 0.0) -> Attempt:
        self.happen(events.AttemptStarted(attempt.id, 4711, 1.0), now)
        return attempt

    def end(self, attempt: Attempt, duration: float = 0.1) -> None:
        self.happen(facts.exit_of(attempt.id, duration=duration))

    def leader(self) -> Attempt | None:
        """Whom the next on the first slot comes after."""
        return self.ahead.leader(by_slot(self.state.open.values()).get(0, []))

    def slots(self, now: float = 0.0) -> list[int]:
        there = list(self.state.open.values())
        return [slot.index for slot in self.ahead.slots(SLOTS, there, now, 0.0)]


def one_seen(duration: float = 0.1) -> Table:
    """A table whose first job lasted so long."""
    table = Table()
    table.end(table.start(table.claim(0)), duration)
    return table


def test_short_is_what_fifty_answers_take_and_an_answer_takes_a_turn_at_least() -> None:
    assert patience(0.1) == 5.0
    assert patience(0.0) == patience(0.001) == 1.0


def test_a_line_is_as_long_as_what_a_slot_gets_done_in_four_answers() -> None:
    assert [line_length(duration, 0.0) for duration in (1.0, 0.08, 0.041, 0.04, 0.02, 0.0)] == [
        1,
        1,
        1,
        2,
        4,
        LONGEST_LINE,
    ]
    assert [line_length(duration, 0.1) for duration in (1.0, 0.2, 0.1)] == [1, 2, 4]


def test_nobody_is_claimed_ahead_before_a_job_has_ended() -> None:
    table = Table()
    table.start(table.claim(0))
    assert table.slots() == []


def test_a_running_job_gets_one_successor() -> None:
    table = one_seen()
    leader = table.start(table.claim(1))
    assert table.slots() == [0]
    table.claim(2, after=leader.name)
    assert table.slots() == []


def test_jobs_wait_in_line_where_they_are_shorter_than_answers() -> None:
    table = one_seen(0.02)
    last = table.start(table.claim(1))
    assert table.slots() == [0] * 4
    for job in range(2, 5):
        last = table.claim(job, after=last.name)
        assert table.leader() is last
        assert table.slots() == [0] * (5 - job)
    assert table.slots(now=LIMIT) == [], "they wait for too long"


def test_nobody_joins_a_line_whose_first_job_lasts_for_long() -> None:
    table = one_seen(0.02)
    leader = table.start(table.claim(1))
    table.claim(2, after=leader.name, now=LIMIT)
    assert table.slots(now=LIMIT - 0.1) == [0] * 3
    assert table.slots(now=LIMIT) == []


def test_where_the_last_job_did_not_end_well_at_most_one_waits() -> None:
    table = one_seen(0.02)
    table.happen(facts.exit_of(table.start(table.claim(1)).id, code=1, duration=0.02))
    leader = table.start(table.claim(2))
    assert table.slots() == [0]
    table.claim(3, after=leader.name)
    assert table.slots() == []


def test_claims_of_one_commit_come_one_after_the_other() -> None:
    table = one_seen()
    leader, other = table.start(table.claim(1)), table.claim(2, slot=1, by="other")
    lines = Lines(table.ahead, lambda host: list(table.state.open.on(host)))
    assert lines.last(SLOTS[:1]) == leader.name
    lines.join(SLOTS[:1], "3.1-00000003")
    assert lines.last(SLOTS[:1]) == "3.1-00000003"
    assert lines.last(SLOTS[1:]) == "", f"{other.id} is another run's"
    assert lines.last(SLOTS) == "", "they are free: nobody waits for several"


def test_who_waits_in_line_is_waited_for_too_unless_it_never_runs() -> None:
    table = one_seen()
    first = table.start(table.claim(1))
    second = table.claim(2, after=first.name)
    third = table.claim(3, after=second.name)
    assert list(before(third, table.state)) == [second, first]
    assert list(table.ahead.waiting()) == [(second, first), (third, first)]
    table.happen(events.AttemptVoided(second.id, "held"))
    assert list(before(third, table.state)) == [first]
    table.end(first)
    assert list(before(third, table.state)) == []


def test_nobody_waits_for_what_was_before_one_that_ran() -> None:
    table = one_seen()
    first = table.start(table.claim(1))
    second = table.claim(2, after=first.name)
    third = table.claim(3, after=second.name)
    table.start(second)  # so the first has left the slot
    assert list(before(third, table.state)) == [second]
    table.end(second)
    assert list(before(third, table.state)) == []


def test_a_job_that_was_just_claimed_gets_one_and_its_successor_none() -> None:
    table = one_seen()
    leader = table.claim(1)
    assert table.leader() is leader
    assert table.slots() == [0]
    table.claim(2, after=leader.name)
    assert table.slots() == []


def test_what_waited_gets_one_when_the_job_before_it_is_over_though_nobody_heard_that_it_started() -> None:
    table = one_seen()
    leader = table.claim(1)
    follower = table.claim(2, after=leader.name)
    table.end(leader)
    assert table.leader() is follower
    assert table.slots() == [0]


def test_a_job_that_was_just_claimed_gets_none_after_one_that_did_not_end_well() -> None:
    amiss = [
        lambda other: facts.exit_of(other.id, code=1, duration=0.1),
        lambda other: facts.exit_of(other.id, code=None, signal=9, duration=0.1),
        lambda other: events.AttemptVoided(other.id, "no room", trouble=True),
        lambda other: events.AttemptLost(other.id, "host rebooted", 1.0),
    ]
    for fact in amiss:
        table = one_seen()
        table.happen(fact(table.claim(1)))
        leader = table.claim(2)
        assert table.slots() == []
        table.start(leader)
        assert table.slots() == [0]


def test_what_another_run_ended_well_vouches_for_no_slot() -> None:
    table = one_seen()
    table.end(table.start(table.claim(1, slot=1, by="other")))
    table.claim(2, slot=1)
    assert table.slots() == []


def test_a_job_that_was_just_claimed_gets_none_on_a_slot_of_which_nothing_is_known() -> None:
    table = one_seen()
    table.claim(1, slot=1)
    assert table.slots() == []


def test_what_was_found_a_place_behind_a_job_comes_after_it_whatever_was_heard_meanwhile() -> None:
    """A runner function takes its time between the two."""
    table = one_seen()
    leader = table.claim(1)
    assert table.slots() == [0]
    table.happen(facts.exit_of(table.claim(2, slot=1).id, code=1, duration=0.1))
    assert table.leader() is leader


def test_what_gives_a_job_a_slot_or_begins_it_may_give_it_a_successor() -> None:
    attempt = AttemptId(JobId(1), 1)
    assert begins([facts.claim_of(attempt, "me")])
    assert begins([facts.exit_of(attempt), events.AttemptStarted(attempt, 4711, 1.0)])
    assert not begins([facts.exit_of(attempt), events.AttemptVoided(attempt, "held")])


def test_a_run_is_hurried_while_jobs_are_short_for_one_of_its_hosts() -> None:
    links = {HostName("near"): SimpleNamespace(round_trip=0.001), HostName("far"): SimpleNamespace(round_trip=0.1)}
    fleet: Any = SimpleNamespace(members={host: SimpleNamespace(link=link) for host, link in links.items()})
    table, inspection = Table(), cast(Any, None)

    def hurried(*durations: float) -> bool:
        run = Vacancies(
            ME, table.state, fleet, inspection, plain=False, most=None, is_mine=lambda attempt: attempt.by == ME
        )
        for duration in durations:
            run.learn(facts.exit_of(AttemptId(JobId(0), 1), duration=duration))
        return run.hurried

    table.claim(0)
    assert not hurried()
    assert hurried(0.1)
    assert hurried(0.1, 4.9), "short for who is far away"
    assert not hurried(0.1, 5.0)


def test_jobs_that_go_well_unsettle_nobody() -> None:
    attempt = AttemptId(JobId(1), 1)
    well = [facts.claim_of(attempt, "me"), events.AttemptStarted(attempt, 4711, 1.0), facts.exit_of(attempt, code=0)]
    assert not unsettles(well)
    for fact in (
        facts.exit_of(attempt, code=1),
        facts.exit_of(attempt, code=None, signal=9),
        events.AttemptVoided(attempt, "held"),
        events.HostDrained("gpu01", "broken", "me"),
        events.JobChanged(1, {"--n": "2"}),
    ):
        assert unsettles([*well, fact])


def test_a_job_that_does_not_start_for_long_gets_none() -> None:
    table = one_seen()
    leader = table.claim(1, now=10.0)
    assert table.slots(now=10.9) == [0]
    assert table.slots(now=11.0) == []
    table.start(leader, now=11.0)
    assert table.slots(now=11.9) == [0]


def test_a_job_on_several_slots_gets_none() -> None:
    table = one_seen()
    claim = facts.claim_of(AttemptId(JobId(1), 1), "me", slot=0)
    table.happen(replace(claim, slots=(0, 1)))
    table.start(table.state.jobs[JobId(1)].attempts[-1])
    assert table.slots() == []


def test_another_runs_job_gets_none() -> None:
    table = one_seen()
    table.start(table.claim(1, by="other"))
    assert table.slots() == []


def test_one_long_job_among_the_last_ends_it_for_a_while() -> None:
    table = Table(REMEMBERED + 3)
    for job, duration in enumerate([LIMIT, *[0.1] * REMEMBERED]):
        running = table.start(table.claim(job))
        assert table.slots() == []
        table.end(running, duration)
    table.start(table.claim(REMEMBERED + 1))
    assert table.slots() == [0]


def test_a_job_that_runs_for_long_gets_none() -> None:
    table = one_seen()
    leader = table.start(table.claim(1), now=10.0)
    assert table.slots(now=10.9) == [0]
    assert table.slots(now=11.0) == []
    assert table.ahead.is_long(leader, 11.0, LIMIT)


def test_a_job_that_this_run_did_not_see_start_counts_as_long() -> None:
    table = one_seen()
    leader = table.start(table.claim(1))
    later = Ahead(ME, table.state)
    assert later.is_long(leader, 0.0, LIMIT)


def test_the_next_one_follows_the_last_while_the_first_is_still_on_its_way_home() -> None:
    table = one_seen()
    first = table.start(table.claim(1))
    second = table.start(table.claim(2, after=first.name))
    there = list(table.state.open.values())
    assert [attempt.id for attempt in there] == [
        first.id,
        second.id,
    ]  # the first has ended, but its log is not whole here
    assert table.leader() is second
    assert table.slots() == [0]


def test_waiting_is_what_is_claimed_behind_an_open_attempt() -> None:
    table = one_seen()
    leader = table.start(table.claim(1))
    follower = table.claim(2, after=leader.name)
    assert list(table.ahead.waiting()) == [(follower, leader)]
    assert list(before(follower, table.state)) == [leader]
    table.end(leader)
    assert list(table.ahead.waiting()) == []
    assert list(before(follower, table.state)) == []


def test_what_has_started_waits_no_more() -> None:
    table = one_seen()
    leader = table.start(table.claim(1))
    table.start(table.claim(2, after=leader.name))
    assert list(table.ahead.waiting()) == []


def test_is_followed_while_what_comes_after_it_is_not_known_to_have_started_or_to_be_over() -> None:
    over = [
        lambda after: events.AttemptStarted(after.id, 4711, 1.0),
        lambda after: facts.exit_of(after.id, duration=0.1),
        lambda after: events.AttemptVoided(after.id, "held"),
        lambda after: events.AttemptLost(after.id, "host rebooted", 1.0),
    ]
    for fact in over:
        table = one_seen()
        leader = table.start(table.claim(1))
        assert not table.ahead.is_followed(leader.name)
        after = table.claim(2, after=leader.name)
        assert table.ahead.is_followed(leader.name)
        table.happen(fact(after))
        assert not table.ahead.is_followed(leader.name)


def test_a_job_is_not_followed_by_what_another_run_claimed() -> None:
    table = one_seen()
    leader = table.start(table.claim(1))
    table.claim(2, after=leader.name, by="other")
    assert not table.ahead.is_followed(leader.name)


def test_a_successor_takes_no_slot_of_its_own() -> None:
    table = one_seen()
    leader = table.start(table.claim(1))
    table.claim(2, after=leader.name)
    there = list(table.state.open.values())
    assert free_slots(SLOTS, there, []) == [SLOTS[1]]
    assert free_slots(SLOTS, there, [SLOTS[0]]) == [SLOTS[1]]  # kept for a successor
    assert free_slots(SLOTS, there[1:], []) == [SLOTS[1]]  # the leader is about to be committed as ended


def test_who_waits_behind_one_that_was_voided_takes_no_slot_of_its_own() -> None:
    table = one_seen()
    leader = table.start(table.claim(1))
    voided = table.claim(2, after=leader.name)
    last = table.claim(3, after=voided.name)
    table.happen(events.AttemptVoided(voided.id, "held"))
    assert in_place([leader, last]) == [leader]
    assert free_slots(SLOTS, [leader, last], []) == [SLOTS[1]]
    table.end(leader)
    assert in_place([last]) == [last]
