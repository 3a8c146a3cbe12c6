"""The doctor's rules, and what is free: from frames of an agent, whole, partial and broken."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support import tables

from burnish.core import health, sighting
from burnish.core.health import Grade, Probe, Visit
from burnish.core.hosts import Busy, Host
from burnish.core.jobs import HostName
from burnish.core.standing import Standing, attempts_on, machines

WELCOME = {"now": 1000.0, "python": "3.11.2"}
LIVES = Probe(survived=True)


def gpu(index: int, **changes: Any) -> dict[str, Any]:
    idle = {
        "index": index, "uuid": f"GPU-{index}", "name": "Invented", "memory_total": 40000, "memory_used": 4, "util": 0,
        "processes": [], "held": False, "alone": False, "shares": [], "migs": [],
    }  # fmt: skip
    return {**idle, **changes}


def seen(*gpus: dict[str, Any], **changes: Any) -> sighting.Sighting:
    whole = {
        "now": 1000.0, "load": [0.5, 0.4, 0.3], "cpus": 8, "disk_free": 50 << 30, "python": "3.11.2", "driver": "1.2.3",
        "workdir": {"path": "/data", "exists": True, "writable": True}, "gpus": list(gpus), "gpu_error": None, "age": 1.0,
        "held": [],
    }  # fmt: skip
    return sighting.read(WELCOME, {**whole, **changes})


def host(**values: Any) -> Host:
    return Host(HostName("gpu1"), workdir="/data", **values)


def grades(host: Host, visit: Visit) -> dict[str, Grade]:
    return {finding.text: finding.grade for finding in health.findings(host, visit)}


def told(host: Host, visit: Visit, grade: Grade) -> str:
    """All findings of this grade, which each have a remedy unless they are fine."""
    found = [finding for finding in health.findings(host, visit) if finding.grade is grade]
    assert grade is Grade.FINE or all(finding.remedy for finding in found)
    return "; ".join(finding.text for finding in found)


def test_healthy_host_is_fine_throughout() -> None:
    visit = Visit(seen(gpu(0), gpu(1)), LIVES, way=("login",), skew=0.1)
    found = grades(host(), visit)
    assert set(found.values()) == {Grade.FINE}
    assert {"reached via login", "2 × Invented, driver 1.2.3", "50.0 GiB free", "clock right"} <= found.keys()


@pytest.mark.parametrize(
    ("entry", "visit", "grade", "text"),
    [
        ({}, Visit(seen(workdir={"exists": False}), LIVES), Grade.UNUSABLE, "work folder /data does not exist"),
        ({}, Visit(seen(workdir={"exists": True, "writable": False}), LIVES), Grade.ODD, "cannot be written to"),
        ({}, Visit(seen(disk_free=1000), LIVES), Grade.ODD, "0.0 GiB free"),
        ({}, Visit(seen(), LIVES, skew=-90.0), Grade.ODD, "90 s behind"),
        ({}, Visit(seen(), LIVES, skew=90.0), Grade.ODD, "90 s ahead"),
        ({}, Visit(seen(), Probe()), Grade.UNUSABLE, "jobs end with the connection"),
        ({}, Visit(seen(), replace(LIVES, setup="its setup ended with 7")), Grade.UNUSABLE, "its setup ended with 7"),
        ({}, Visit(seen(), replace(LIVES, setup="", slow=15.0)), Grade.ODD, "its setup had not ended after 15 s"),
        ({}, Visit(seen(), replace(LIVES, setup="")), Grade.FINE, "its setup ends well"),
        ({}, Visit(seen(), LIVES, twin="box"), Grade.UNUSABLE, "the same host as box"),
        ({"gpus": ("0", "7")}, Visit(seen(gpu(0), gpu(1)), LIVES), Grade.ODD, "GPU 7 is not there; it has 0, 1"),
        ({"gpus": ("7",)}, Visit(seen(gpu(0)), LIVES), Grade.UNUSABLE, "GPU 7 is not there; it has 0"),
        ({"gpus": 3}, Visit(seen(gpu(0)), LIVES), Grade.ODD, "GPUs 1, 2 are not there; it has 0"),
        ({}, Visit(seen(gpu(0, util=97), gpu(1, memory_used=9000)), LIVES), Grade.ODD, "all 2 GPUs are in use"),
        ({}, Visit(seen(gpu(0, held=True)), LIVES), Grade.ODD, "its GPU is in use"),
        ({"gpus": ("0",)}, Visit(seen(gpu(0, util=97), gpu(1)), LIVES), Grade.ODD, "its GPU is in use"),
        ({}, Visit(seen(gpu(0, util=97), gpu(1)), LIVES), Grade.FINE, "1 of 2 GPUs in use"),
        ({"busy": None}, Visit(seen(gpu(0, util=97), gpu(1, held=True)), LIVES), Grade.FINE, "1 of 2 GPUs in use"),
        ({"gpus": 2}, Visit(seen(), LIVES), Grade.ODD, "its 2 listed GPUs are taken at their word"),
        ({"gpus": 1}, Visit(seen(), LIVES), Grade.ODD, "its listed GPU is taken at its word"),
        (
            {},
            Visit(seen(gpu_error="nvidia-smi has not answered for 20 s"), LIVES),
            Grade.ODD,
            "nvidia-smi has not answered",
        ),
        (
            {},
            Visit(seen(gpus=None, gpu_error="nvidia-smi: the driver (exit 18)", gpu_exit=18), LIVES),
            Grade.UNUSABLE,
            "nvidia-smi: the driver (exit 18)",
        ),
        (
            {"slots": 2},
            Visit(seen(gpus=None, gpu_error="nvidia-smi: it found no GPU (exit 6)", gpu_exit=6), LIVES),
            Grade.ODD,
            "it found no GPU",
        ),
        (
            {},
            Visit(seen(gpu(0, migs=[{"uuid": "MIG-a"}, {"uuid": "MIG-b"}]), gpu(1)), LIVES),
            Grade.ODD,
            "GPU 0 is cut into MIG devices, and with `gpus: auto` it is used as one",
        ),
        ({}, Visit(seen(gpu(0), mask=""), LIVES), Grade.ODD, "CUDA_VISIBLE_DEVICES=: no GPU is used"),
        ({"gpus": (), "slots": 0}, Visit(seen(), LIVES), Grade.UNUSABLE, "it offers no slot"),
    ],
)
def test_fault_is_graded_and_has_a_remedy(entry: dict[str, Any], visit: Visit, grade: Grade, text: str) -> None:
    assert text in told(host(**entry), visit, grade)
    assert health.worst(health.findings(host(**entry), visit)) is grade


def test_gpus_that_cannot_work_are_not_taken_at_their_word() -> None:
    broken = seen(gpus=None, gpu_error="nvidia-smi: the NVIDIA driver is not loaded (exit 9)", gpu_exit=9)
    found = grades(host(gpus=2), Visit(broken, LIVES))
    assert not any("at their word" in text for text in found), found


def test_mask_that_leaves_some_gpus_is_told() -> None:
    told_of = "; ".join(grades(host(), Visit(seen(gpu(0), gpu(1), mask="1"), LIVES)))
    assert "logins there have CUDA_VISIBLE_DEVICES=1: GPU 1 used" in told_of
    assert "CUDA" not in "; ".join(grades(host(gpus=("0",)), Visit(seen(gpu(0), gpu(1), mask="1"), LIVES)))


def test_what_never_started_is_told_with_the_hosts_reason() -> None:
    visit = Visit(seen(), Probe(trouble="no space left"))
    assert "no job starts there: no space left" in "; ".join(grades(host(), visit))


def test_work_folder_that_does_not_answer_is_named() -> None:
    silent = seen(workdir={"path": "/data", "exists": None, "writable": None, "silent": True})
    assert "work folder /data does not answer" in told(host(), Visit(silent, LIVES), Grade.UNUSABLE)
    assert Standing(host(), silent).lacks == "/data does not answer"


# -- frames that are not whole -------------------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(["gpus", "load", "now", "held", "workdir", "cpus", "age"])), ANYTHING))
def test_whatever_a_host_says_is_read(frame: dict[str, Any]) -> None:
    read = sighting.read({}, frame)
    standing = Standing(host(), read)
    assert isinstance(standing.free_workers, int)
    assert all(isinstance(standing.is_free(one), bool) for one in read.gpus or ())
    assert health.findings(host(), Visit(read, LIVES))


def test_missing_is_unknown_and_never_zero() -> None:
    read = sighting.read(WELCOME, {})
    assert (read.gpus, read.load, read.disk_free, read.workdir_exists, read.python) == (
        None,
        None,
        None,
        None,
        "3.11.2",
    )
    assert Standing(host(), read).slots is None, "auto GPUs that were not seen"
    assert "no GPU" not in grades(host(), Visit(read, LIVES))


# -- what is free --------------------------------------------------------------------------------------------------


def free(entry: Host, *gpus: dict[str, Any], drained: str | None = None) -> list[int | None]:
    standing = Standing(entry, seen(*gpus), drained=drained)
    return [one.index for one in (standing.seen.gpus if standing.seen else None) or () if standing.is_free(one)]


def test_gpu_of_somebody_else_is_not_free_unless_shared() -> None:
    used = [
        gpu(0, memory_used=9000),
        gpu(1, util=80),
        gpu(2, processes=[{"pid": 1, "user": "ann", "memory": 100}]),
        gpu(3),
    ]
    assert free(host(), *used) == [3]
    assert free(host(busy=None), *used) == [0, 1, 2, 3]
    assert free(host(busy=Busy(max_mem_mib=10_000)), gpu(0, memory_used=9000)) == [0]


def test_gpu_of_burnish_is_free_as_far_as_it_has_shares_left() -> None:
    assert free(host(), gpu(0, held=True, alone=True)) == []
    assert free(host(slots_per_gpu=3), gpu(0, held=True, alone=True)) == []
    assert free(host(slots_per_gpu=3), gpu(0, held=True, shares=[0, 2], memory_used=30_000, util=99)) == [0]
    assert free(host(slots_per_gpu=2), gpu(0, held=True, shares=[0, 1])) == []


def test_only_what_the_inventory_offers_is_free() -> None:
    assert free(host(gpus=("1", "GPU-2")), gpu(0), gpu(1), gpu(2)) == [1, 2]
    assert free(host(), gpu(0), drained="fan") == []
    masked = Standing(host(), seen(gpu(0), gpu(1), mask="1"))
    assert masked.slots == 1
    assert [one.index for one in (masked.seen and masked.seen.gpus) or () if masked.is_free(one)] == [1]


def test_card_of_which_a_listed_part_is_free_is_free() -> None:
    """Other people's processes on the card say nothing of a MIG device: as a run has it, which starts jobs there."""
    one, two = ({"uuid": f"MIG-{number}", "name": "1g.18gb", "held": False, "alone": False} for number in (1, 2))
    taken = {"held": True, "alone": True}
    others = {"processes": [{"pid": 7, "user": "bob", "memory": 16_000}], "memory_used": 16_000}
    ours = host(gpus=("MIG-1", "MIG-2"))
    assert free(ours, gpu(0, migs=[one, two], **others)) == [0]
    assert free(host(), gpu(0, migs=[one, two], **others)) == []
    assert free(ours, gpu(0, migs=[{**one, **taken}, two], held=True)) == [0]
    assert free(ours, gpu(0, migs=[{**one, **taken}, {**two, **taken}], held=True)) == []
    assert free(ours, gpu(0, migs=[one, two], **taken)) == []


def test_gpu_that_is_drained_is_not_free() -> None:
    drains = {HostName("gpu1:GPU-0"): "broken", HostName("gpu1:2"): "", HostName("gpu2:1"): "another's"}
    standing = Standing(host(), seen(gpu(0), gpu(1), gpu(2)), drains=drains)
    assert standing.seen and standing.seen.gpus
    assert [standing.why_drained(one) for one in standing.seen.gpus] == ["broken", None, ""]
    assert [standing.is_free(one) for one in standing.seen.gpus] == [False, True, False]


def test_gpu_that_is_out_of_order_is_not_free_and_is_told() -> None:
    found = seen(gpu(0), gpu(1, trouble="GPU requires reset"))
    standing = Standing(host(), found)
    assert [standing.is_free(one) for one in found.gpus or ()] == [True, False]
    assert told(host(), Visit(found, LIVES), Grade.ODD) == "GPU 1 gets no jobs: GPU requires reset"


def test_workers_are_counted_by_attempts_and_by_locks() -> None:
    state = tables.opened(("--lr",), [("1",), ("2",)])
    tables.start(state, 0, "gpu1")
    here = host(gpus=(), slots=4)
    attempts = attempts_on(state, here, "sid")
    assert len(attempts) == 1 and attempts_on(state, here, "another") == ()
    assert Standing(here, seen(), attempts=attempts).free_workers == 3
    assert Standing(here, seen(held=["a", "b"]), attempts=attempts).free_workers == 2
    assert Standing(here, seen(), attempts=attempts, drained="").free_workers == 0
    assert Standing(here, None, attempts=attempts).free_workers == 0
    second = Standing(host(slots=2), seen(gpu(0)), "the same host as box; jobs start under that name only")
    assert second.free_workers == 0 and not any(map(second.is_free, second.seen.gpus or ()))  # type: ignore[union-attr]


def test_machine_that_had_two_names_is_one_by_its_newest_claim() -> None:
    state = tables.opened(("--lr",), [("1",), ("2",)])
    tables.start(state, 0, "alias")
    tables.start(state, 1, "gpu1")
    for job in state.jobs.values():
        job.attempts[-1].entry["name"] = str(job.attempts[-1].host)
    assert [(str(host.name), state_id) for host, state_id in machines(state).items()] == [("gpu1", "sid")]


def test_a_cluster_is_as_well_as_its_slurm() -> None:
    cluster = host(engine="slurm", gpus=(), slots=100)
    assert "Slurm answers, and would take a job" in told(cluster, Visit(seen(), Probe()), Grade.FINE)
    refused = Visit(seen(), Probe(refusal="Invalid feature specification"))
    assert (
        told(cluster, refused, Grade.UNUSABLE)
        == "Slurm answers, and would not take a job: Invalid feature specification"
    )
    perhaps = Visit(seen(), Probe(refusal="Requested node configuration is not available", may_pass=True))
    assert "could not place a job now: Requested node configuration is not available" in told(
        cluster, perhaps, Grade.ODD
    )
    silent = Visit(seen(), Probe("Unable to contact slurm controller"))
    assert told(cluster, silent, Grade.UNUSABLE) == "Slurm does not answer: Unable to contact slurm controller"
