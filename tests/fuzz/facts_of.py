"""The real inputs that are changed: frames, records and commits as burnish itself makes them."""

from __future__ import annotations

import functools
import json
import zlib
from typing import Any

from support import tables

from burnish.core import checkpoint, events
from burnish.core.events import Fact
from burnish.core.jobs import AttemptId, JobId
from burnish.core.state import State
from burnish.store.seal import seal

NAME = "0.1-9f86d081"
EXIT: dict[str, Any] = {
    "code": 0, "pid": 4711, "started": 1.0, "ended": 3.5, "duration": 2.5, "max_rss": 20_000, "leftovers": 0,
    "cancelled": None, "sizes": {"out": 5, "err": 0}, "result": {"acc": 0.5}, "tail": "",
}  # fmt: skip
GO: dict[str, Any] = {
    "go": {
        "started": 1.0, "supervisor": {"pid": 4711, "starttime": 99}, "incarnation": "boot 1", "host": "gpu01",
        "argv0": "python", "gpus": [{"gpu": "0", "index": 0, "uuid": "GPU-a", "share": 0, "of": 1}], "out": "/log/out",
    }
}  # fmt: skip
VOID: dict[str, Any] = {"void": {"why": "the disk is full", "trouble": True}}
FINALS: tuple[dict[str, Any], ...] = (
    {"exit": EXIT},
    {"exit": {**EXIT, "code": 3, "tail": "ValueError: no such lr\n", "result_error": "it is no JSON", "result": None}},
    {
        "exit": {
            **{key: value for key, value in EXIT.items() if key != "code"},
            "signal": 9,
            "oom": True,
            "time_limit": True,
        }
    },
    {"lost": {"why": "its host rebooted", "ended": 3.0, "cancelled": "ann"}},
)
GPU: dict[str, Any] = {
    "index": 0, "uuid": "GPU-a", "pci": "0:9", "name": "A100", "memory_total": 40960, "memory_used": 12, "util": 0,
    "driver": "550", "processes": [{"pid": 7, "user": "bob", "memory": 12}], "migs": [{"uuid": "MIG-1", "name": "3g"}],
    "held": True, "alone": False, "shares": [0, 1], "was_held": False,
}  # fmt: skip
STATUS = {"type": "status", "attempt": NAME, "status": "running", "start": GO, "supervised": True}
FRAMES: tuple[dict[str, Any], ...] = (
    {"type": "welcome", "protocol": 1, "state_id": "id of gpu01", "incarnation": "boot 1", "hostname": "gpu01", "now": 1.0},
    STATUS,
    {**STATUS, "attempt": "1.1-9f86d081"},
    {**STATUS, "status": "void", "start": VOID},
    {**STATUS, "status": "absent", "start": None},
    *({**STATUS, "status": "ended", "final": final, "sizes": {"out": 5, "err": 0}} for final in FINALS),
    {"type": "log", "attempt": NAME, "stream": "out", "offset": 0, "size": 4, "end": 5},
    {"type": "refused", "request": "start", "attempt": NAME, "why": "the disk is full", "passing": True},
    {"type": "refused", "request": "pull", "attempt": NAME, "why": "its logs were removed"},
    {"type": "pong", "id": "0011aabb"},
    {"type": "listed"},
    {
        "type": "seen", "now": 1.0, "load": [0.5, 0.4, 0.3], "cpus": 8, "disk_free": 10**9, "python": "3.8.18", "user": "ann",
        "workdir": {"path": "~", "exists": True, "writable": True}, "mask": None, "driver": "550", "gpus": [GPU],
        "gpu_error": None, "gpu_exit": None, "age": 0.1, "held": ["cpu-id-0"],
    },
)  # fmt: skip
SWEEPS = (
    b"--lr: [1e-4, 0.1]\n--seed: range(0, 4)\n--amp: [true, false]\n--wd: logspace(-5, -1, 3)\n"
    b"burnish:\n  repeat: {--seed: 5}\n  zip: [[--lr, --amp]]\n  exclude: [{--lr: 0.1, --seed: 1}]\n  random: 3\n"
    b"  order: shuffle\n  columns: {TIME_LIMIT: 2h, PRIORITY: 1}\n",
    b"- --env: [a, b]\n- {--env: c, --lr: &x [1, 2]}\n- {--lr: *x}\n",
)
INVENTORY = (
    b"hosts: [gpu01, gpu02]\n",
    b"defaults: {workdir: ~/proj, gpus: auto, slots_per_gpu: 2, env: {A: b}, setup: source x, busy: {max_mem_mib: 500}}\n"
    b"groups:\n  a100:\n    vars: {slots_per_gpu: 3}\n    hosts:\n      gpu[01:04]:\n"
    b"      big: {hostname: 10.0.0.9, port: 2222, user: alice, proxy_jump: login, gpus: [0, 1]}\n"
    b"  desk:\n    hosts: {localhost: {connection: local, slots: 4, gpus: none}}\n",
)
INVENTORY_TOKENS = (
    "gpu[1:999999999]",
    "gpu[a:z]",
    "ssh_config",
    "host_keys: accept-new",
    "port: 0",
    "slots: -1",
    "engine: slurm",
)


def _claimed(job: int, number: int = 1) -> Fact:
    attempt = AttemptId(JobId(job), number)
    entry = {"workdir": "/home/ann", "port": 22}
    argv = ("python", "train.py", "--lr", "1e-4")
    return events.AttemptClaimed(
        attempt, "9f86d081", "me", "gpu01", "id of gpu01", "boot 1", entry, (0,), ("0",), argv, f"log_{attempt}", 1.0
    )


def _exited(job: int, number: int = 1, **record: Any) -> Fact:
    measured = {"code": 0, "signal": None, "started": 1.0, "ended": 3.5, "duration": 2.5, "max_rss": 20_000, **record}
    return events.AttemptExited(AttemptId(JobId(job), number), **measured)


def history() -> list[list[Fact]]:
    """The commits of a table in which nearly everything has happened."""
    columns = ("PRIORITY", "--lr", "--seed")
    first, second, again = AttemptId(JobId(0), 1), AttemptId(JobId(1), 1), AttemptId(JobId(1), 2)
    reordered = events.ColumnsChanged(columns[::-1])
    return [
        [events.TableOpened("0123456789abcdef", columns, 1.0)],
        [events.JobsAdded(columns, tuple((job, "1", "1e-4", str(job)) for job in range(6)))],
        [_claimed(0), _claimed(1), events.AttemptStarted(first, 4711, 1.5), events.TableRendered("ab" * 32, {"1": 3}, 2.0)],
        [_exited(0, result={"acc": 0.5}), events.AttemptVoided(second, "busy", busy=True), events.JobChanged(2, {"--lr": "2"})],
        [_claimed(1, 2), events.CancelRequested(again, "ann", 10.0), events.HoldRequested(3, "CANCELLED")],
        [events.AttemptAdopted(again, "you"), events.AttemptLost(again, "its host rebooted", 4.0)],
        [_claimed(2), events.AttemptQueued(AttemptId(JobId(2), 1), "waiting for Priority")],
        [events.AttemptStarted(AttemptId(JobId(2), 1), 1, 1.0), events.AttemptDisowned(AttemptId(JobId(2), 1), "over in Slurm")],
        [_exited(2, code=None, signal=9, oom=True)],
        [events.HostDrained("gpu02", "being repaired", "ann", (2,)), events.HostForgotten("gpu03", "id", "ann")],
        [events.JobMarked(4, "COMPLETE", "by hand"), events.StartsHalted("5 jobs failed", "me"), reordered],
        [events.AttemptRefused(AttemptId(JobId(5), 1), "me", "the runner raised", "log", 1.0), events.ResetRequested(5)],
        [events.StartsResumed("ann"), events.HostUndrained("gpu02", "ann"), events.ReleaseRequested(3), events.JobRemoved(4)],
    ]  # fmt: skip


@functools.cache
def commits() -> tuple[bytes, ...]:
    """The files of that journal, in order."""
    found = []
    for number, facts in enumerate(history()):
        head = {"commit": f"{number:016x}", "table": "0123456789abcdef", "by": "me", "at": 1.0}
        found.append(bytes(seal([json.dumps(head), *map(events.to_json, facts)])))
    return tuple(found)


@functools.cache
def checkpoints() -> tuple[bytes, ...]:
    """The states after some of these commits."""
    state, found = State(), []
    for number, facts in enumerate(history(), start=1):
        for fact in facts:
            state.apply(fact)
        found.append(bytes(seal(checkpoint.dump(state, number))))
    return tuple(found)


def base_texts() -> list[bytes]:
    """A kept text of the table."""
    head = {"at": 1.0, "follows": None, "saved": False, "ids": {"0": 3}}
    return [json.dumps(head).encode() + b"\n" + zlib.compress(b"JOB_ID,STATE,--lr\n0,HOLD,1\n", 1)]


def every_phase() -> State:
    """Job 0 is claimed and 1 runs, others wait, are held, have ended."""
    state = tables.opened(("--lr", "--note"), [(f"1e-{n}", "x, y") for n in range(6)])
    state.apply(_claimed(0))
    state.apply(_claimed(1))
    state.apply(events.AttemptStarted(AttemptId(JobId(1), 1), 4711, 1.0))
    state.apply(events.HoldRequested(2))
    tables.finish(state, tables.start(state, 3))
    tables.finish(state, tables.start(state, 4), code=1)
    return state
