"""What hosts lack that commands need: which jobs go elsewhere, which hosts get none, and until when."""

from __future__ import annotations

import pytest

from burnish.core.hosts import Host
from burnish.core.jobs import HostName, JobId
from burnish.core.lacking import BLIND, PATIENCE, Lacking

FOLDER = {"cwd": "/data/x"}
SCRIPT = {"cwd": "/data/x", "programs": ["python3"], "path": "/bin", "script": "train.py"}
GPU1, GPU2 = (Host(HostName(name), workdir="/data/x") for name in ("gpu1", "gpu2"))


@pytest.fixture
def lacking() -> Lacking:
    return Lacking()


def find(lacking: Lacking, *jobs: int, host: Host = GPU1, need: dict[str, object] = SCRIPT, now: float = 0.0) -> None:
    for job in jobs:
        lacking.find(host, JobId(job), need, "train.py does not exist", now)


def test_job_is_barred_from_the_host_that_lacks_something_for_it_and_only_there(lacking: Lacking) -> None:
    find(lacking, 1)
    assert lacking.barred(JobId(1)) == {"gpu1"}
    assert not lacking.barred(JobId(2))
    assert lacking.why_barred(JobId(1)) == "train.py does not exist on gpu1"
    assert not lacking.why(GPU1.name)


def test_host_gets_no_job_when_three_different_ones_in_a_row_could_not_be_started(lacking: Lacking) -> None:
    find(lacking, 1, 2, 2)
    assert not lacking.why(GPU1.name)
    lacking.start(GPU1, 0.0)
    find(lacking, 3, 4)
    assert not lacking.why(GPU1.name), "one was started between them"
    find(lacking, 5)
    assert lacking.why(GPU1.name) == "train.py does not exist"
    assert not lacking.why(GPU2.name)


def test_host_gets_no_job_at_once_without_its_own_work_folder(lacking: Lacking) -> None:
    find(lacking, 1, need={"cwd": "/the/jobs/own"})
    assert not lacking.why(GPU1.name)
    find(lacking, 1, need=FOLDER)
    assert lacking.why(GPU1.name)


def test_look_that_finds_it_frees_host_and_jobs_and_another_does_not(lacking: Lacking) -> None:
    find(lacking, 1, 2, 3)
    assert lacking.needs(GPU1.name) == [SCRIPT]
    assert not lacking.see(GPU1.name, [(SCRIPT, "still not"), (FOLDER, "")], 1.0)
    assert (lacking.why(GPU1.name), lacking.take_freed()) == ("still not", set())
    assert lacking.see(GPU1.name, [(SCRIPT, "")], 2.0)
    assert (lacking.why(GPU1.name), lacking.needs(GPU1.name)) == ("", [])
    assert lacking.take_freed() == {1, 2, 3}
    assert not lacking.barred(JobId(1))


UNREADY = {"cwd": "/data/x", "setup": "its setup ended with 1"}


def test_host_that_no_look_can_clear_gets_one_job_on_trial_ever_more_seldom(lacking: Lacking) -> None:
    find(lacking, 1, 2, 3, need=UNREADY)
    now = 0.0
    for pause in (BLIND, 2 * BLIND, 4 * BLIND):
        lacking.see(GPU1.name, [], now + pause - 1)
        assert not lacking.on_trial(GPU1.name)
        now += pause
        assert not lacking.see(GPU1.name, [], now), "nobody knows whether it has what was missing"
        assert lacking.on_trial(GPU1.name) and lacking.take_freed() >= {1, 2, 3}
        lacking.claim(GPU1.name)
        assert not lacking.on_trial(GPU1.name), "one is enough"
        assert lacking.why(GPU1.name)
        find(lacking, 1, need=UNREADY, now=now)
    assert not lacking.start(GPU1, -1.0), "it began before"
    assert lacking.start(GPU1, now)
    assert not lacking.why(GPU1.name)


def test_job_tries_again_for_ten_minutes_what_no_look_can_tell(lacking: Lacking) -> None:
    lacking.start(GPU1, 0.0)
    now = 0.0
    while now < PATIENCE:
        find(lacking, 1, need=UNREADY, now=now)
        lacking.start(GPU1, now)
        assert lacking.barred(JobId(1)) and not lacking.given_up(GPU1.name, now)
        now += BLIND
        lacking.see(GPU1.name, [], now)
        assert not lacking.on_trial(GPU1.name)
        assert bool(lacking.barred(JobId(1))) == (now >= PATIENCE)
    assert lacking.given_up(GPU1.name, now)


def test_setup_that_fails_all_the_time_is_not_waited_for_for_ever(lacking: Lacking) -> None:
    find(lacking, 1, 2, 3, need=UNREADY)
    assert lacking.given_up(GPU1.name, 0.0), "it never worked"
    lacking.start(GPU2, 0.0)
    now = 1.0
    find(lacking, 4, 5, 6, host=GPU2, need=UNREADY, now=now)
    while now < PATIENCE:
        assert not lacking.given_up(GPU2.name, now)
        now += BLIND
        lacking.see(GPU2.name, [], now)
        find(lacking, 4, host=GPU2, need=UNREADY, now=now)
    assert lacking.given_up(GPU2.name, now)


def test_host_described_anew_is_tried_again(lacking: Lacking) -> None:
    find(lacking, 1, need=FOLDER)
    lacking.describe(Host(GPU1.name, workdir="/data/x"))
    assert lacking.why(GPU1.name)
    lacking.describe(Host(GPU1.name, workdir="/data/y"))
    assert not lacking.why(GPU1.name)
    assert lacking.take_freed() == {1}


def test_job_that_a_person_changed_is_tried_again(lacking: Lacking) -> None:
    find(lacking, 1)
    lacking.acquit(JobId(1))
    assert not lacking.barred(JobId(1))


def test_what_a_host_had_is_waited_for_and_what_it_never_had_is_not(lacking: Lacking) -> None:
    assert not lacking.given_up(GPU1.name, 0.0)
    find(lacking, 1, need=FOLDER)
    assert lacking.given_up(GPU1.name, 0.0)
    lacking.start(GPU2, 0.0)
    find(lacking, 2, host=GPU2, need=FOLDER, now=100.0)
    assert not lacking.given_up(GPU2.name, 100.0 + PATIENCE - 1)
    assert lacking.given_up(GPU2.name, 100.0 + PATIENCE)


def test_what_only_some_jobs_need_is_not_waited_for(lacking: Lacking) -> None:
    lacking.start(GPU1, 0.0)
    find(lacking, 1)
    assert lacking.given_up(GPU1.name, 0.0)
