"""drain, undrain, forget: which facts, and what is said about them."""

from __future__ import annotations

import pytest
from support import tables

from burnish.core import events, host_verbs
from burnish.core.hosts import Host
from burnish.core.jobs import HostName, JobId, Word
from burnish.core.state import State
from burnish.errors import UsageError


def lab() -> State:
    """Job 0 runs on gpu01, job 1 on gpu02, job 2 waits."""
    state = tables.opened(("--lr",), [("1",), ("2",), ("3",)])
    tables.start(state, 0, "gpu01")
    tables.start(state, 1, "gpu02")
    return state


def commit(state: State, wish: host_verbs.HostWish) -> str:
    for fact in wish.facts:
        state.apply(fact)
    state.check()
    return "\n".join(wish.said)


def test_drain_names_what_runs_there_and_undrain_takes_it_back() -> None:
    state = lab()
    said = commit(state, host_verbs.drain(state, "gpu01", "fan", "me"))
    assert state.drained == {"gpu01": "fan"}
    assert "Job 0 runs on it" in said
    assert "takes jobs again" in commit(state, host_verbs.undrain(state, "gpu01", "me"))
    assert state.drained == {}


def test_drain_of_one_gpu_names_what_runs_on_it() -> None:
    state = tables.opened(("--lr",), [("1",), ("2",)])
    tables.start(state, 0, "gpu01", gpus=("3",))
    assert "Job 0 runs on it" in "".join(host_verbs.drain(state, "gpu01:3", "", "me").said)
    other = "".join(host_verbs.drain(state, "gpu01:2", "", "me").said)
    assert "runs on it" not in other and "Did you mean" not in other
    assert other.endswith(
        "No job of this table has been on GPU 2 of gpu01 so far, but on 3: whether there is one, burnish cannot tell."
    )


def test_gpu_that_a_job_has_been_on_is_known() -> None:
    state = tables.opened(("--lr",), [("1",)])
    tables.finish(state, tables.start(state, 0, "gpu01", gpus=("3",)))
    assert len(host_verbs.drain(state, "gpu01:3", "", "me").said) == 1


@pytest.mark.parametrize(
    ("gpus", "asked", "said"),
    [
        ((), "9", "gpu01 has no GPU 9: the inventory gives it none. Nothing was changed."),
        (4, "4", "gpu01 has no GPU 4: the inventory gives it GPUs 0-3. Nothing was changed."),
        (("0", "1", "3"), "2", "gpu01 has no GPU 2: the inventory gives it GPUs 0-1, 3. Nothing was changed."),
        (("3",), "0", "gpu01 has no GPU 0: the inventory gives it GPU 3. Nothing was changed."),
    ],
)
def test_gpu_that_the_inventory_does_not_give_to_its_host_is_refused(
    gpus: int | tuple[str, ...], asked: str, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        host_verbs.drain(lab(), f"gpu01:{asked}", "", "me", [Host(HostName("gpu01"), gpus=gpus)])
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("gpus", "asked", "doubted"),
    [
        (4, "3", False),
        (("0", "3"), "3", False),
        (("GPU-8c7",), "GPU-8c7", False),
        (("0", "3"), "GPU-8c7", True),
        (("GPU-8c7",), "0", True),
        ("auto", "9", True),
    ],
)
def test_gpu_that_there_may_be_is_drained_and_the_doubt_is_said(
    gpus: int | str | tuple[str, ...], asked: str, doubted: bool
) -> None:
    listed = [Host(HostName("gpu01"), gpus=gpus)]  # type: ignore[arg-type]
    wish = host_verbs.drain(lab(), f"gpu01:{asked}", "", "me", listed)
    assert len(wish.facts) == 1
    assert ("burnish cannot tell" in "".join(wish.said)) is doubted


def test_unknown_host_is_refused_with_the_nearest() -> None:
    state = lab()
    for verb in (lambda: host_verbs.drain(state, "gpu1", "", "me"), lambda: host_verbs.undrain(state, "gpu1", "me")):
        with pytest.raises(UsageError, match=r"has been on gpu1 so far\. Did you mean gpu0"):
            verb()
    with pytest.raises(UsageError, match="Did you mean gpu0"):
        host_verbs.consequences(state, "gpu1")


def test_host_of_an_inventory_is_drained_before_its_first_job() -> None:
    state = lab()
    commit(state, host_verbs.drain(state, "gpu09:1", "", "me", [Host(HostName("gpu09"))]))
    assert "gpu09:1" in state.drained
    with pytest.raises(UsageError, match="and the inventory does not list it"):
        host_verbs.drain(state, "gpu08", "", "me", [Host(HostName("gpu09"))])


@pytest.mark.parametrize("name", ["", "-x", "a b", "gpu01;ls", "\x1b[0m"])
def test_drain_of_what_is_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a host"):
        host_verbs.drain(lab(), name, "", "me")


def test_undrain_of_what_is_not_drained_says_what_is() -> None:
    state = lab()
    state.apply(events.HostDrained("gpu02", "", "me"))
    wish = host_verbs.undrain(state, "gpu01", "me")
    assert not wish.facts and "these are: gpu02" in wish.said[0]


def test_forget_gives_up_that_host_only_whichever_machines_had_its_name() -> None:
    state = lab()
    assert "job 1 becomes ERROR" in host_verbs.consequences(state, "gpu02")
    assert "second copy" in host_verbs.consequences(state, "gpu02")
    said = commit(state, host_verbs.forget(state, "gpu02", "me"))
    assert "reset --job_id 1" in said
    assert state.jobs[JobId(1)].word is Word.ERROR
    assert state.jobs[JobId(0)].word is Word.RUNNING


def test_nothing_to_forget_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="those that are, are on gpu01, gpu02"):
        host_verbs.consequences(lab(), "gpu03")
    assert host_verbs.forget(lab(), "gpu03", "me") == host_verbs.HostWish()
