"""The doctor's rules: from what was found on a host to what is well, what is odd, and what keeps it from being used. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from msgspec import Struct

from burnish.core.gpus import MISMATCH, found_by_auto, full, occupied, unusable
from burnish.core.hosts import Host
from burnish.core.sighting import GpuSeen, Sighting
from burnish.core.slots import named_gpus, slots_of
from burnish.errors import printable

GIB = 1 << 30
LOW_DISK = 1 * GIB  # bytes free where attempts are kept; less may not hold their logs
LARGE_SKEW = 5.0  # s: times in status and logs mislead from here on


class Grade(Enum):
    """How bad a finding is: the worst of a host's grades is the host's."""

    FINE = 0
    ODD = 1
    UNUSABLE = 2


class Finding(Struct, frozen=True):
    """A few words on one thing that was looked at; with `remedy`, what a person can do about it."""

    text: str
    grade: Grade = Grade.FINE
    remedy: str = ""


class Probe(Struct, frozen=True):
    """A tiny job that was started there: `trouble` is why it never ran, `survived` whether it outlived its connection.

    `setup`: why one behind the host's `setup` lines did not come to its command, a clause; "" if it did, None if none was tried.
    `slow`: these lines had not ended after so many s. `refusal`: why a batch system would not take a job now, a clause; with
    `may_pass`, perhaps not for what the inventory says.
    """

    trouble: str = ""
    survived: bool = False
    setup: str | None = None
    slow: float | None = None
    refusal: str = ""
    may_pass: bool = False


class Visit(Struct, frozen=True):
    """All that a visit to a host found. `way` are the names of the jump hosts; `skew` in s, theirs minus ours."""

    seen: Sighting
    probe: Probe
    user: str = ""
    way: tuple[str, ...] = ()
    skew: float | None = None
    twin: str = ""


def findings(host: Host, visit: Visit) -> tuple[Finding, ...]:
    """What a visit says of a host, in the order in which a person would look."""
    seen = visit.seen
    return (
        *_identity(host, visit),
        *_workdir(host, seen),
        *_gpus(host, seen),
        *_disk(seen),
        *_clock(visit.skew),
        *_jobs(host, visit),
    )


def worst(found: tuple[Finding, ...]) -> Grade:
    """The grade of a host with these findings."""
    return max((finding.grade for finding in found), key=lambda grade: grade.value, default=Grade.FINE)


def _identity(host: Host, visit: Visit) -> Iterator[Finding]:
    if visit.twin:
        yield Finding(
            f"the same host as {visit.twin}: both have one state folder",
            Grade.UNUSABLE,
            f"take one of them out of the inventory, or give {host.name} another state_dir",
        )
    if host.connection == "local":
        yield Finding("this machine")
    else:
        yield Finding(f"reached via {', '.join(visit.way)}" if visit.way else "reached")
        yield Finding("host key known")
    if visit.seen.python:
        yield Finding(f"Python {visit.seen.python}")


def _workdir(host: Host, seen: Sighting) -> Iterator[Finding]:
    folder = printable(host.workdir or "")
    if seen.workdir_silent:
        remedy = (
            f"its file server may be gone: `timeout 5 ls -ld {folder}` on {host.name}. Jobs there hang until it is back"
        )
        yield Finding(f"its work folder {folder} does not answer", Grade.UNUSABLE, remedy)
    elif seen.workdir_exists is False:
        remedy = f"make or mount it on {host.name}, or name another with `workdir:` in the inventory"
        yield Finding(f"its work folder {folder} does not exist", Grade.UNUSABLE, remedy)
    elif seen.workdir_writable is False:
        remedy = f"jobs that write there will fail; see `ls -ld {folder}` on {host.name}"
        yield Finding(f"its work folder {folder} cannot be written to", Grade.ODD, remedy)
    elif seen.workdir_exists:
        yield Finding(f"work folder {folder}")


def _gpus(host: Host, seen: Sighting) -> Iterator[Finding]:
    listed = () if host.gpus == "auto" else named_gpus(host)
    there = seen.gpus or ()
    none_works = bool(unusable(seen, known=bool(there)))
    if seen.gpu_error:
        useless = none_works and not host.slots and host.gpus != ()
        remedy = f"see `nvidia-smi` on {host.name}"
        if seen.gpu_exit == MISMATCH:
            remedy = f"reboot {host.name}, or load its new kernel module: the driver was upgraded while the old one ran"
        yield Finding(printable(seen.gpu_error), Grade.UNUSABLE if useless else Grade.ODD, remedy)
    if listed and not there and not none_works:
        yield Finding(
            "its listed GPU is taken at its word"
            if len(listed) == 1
            else f"its {len(listed)} listed GPUs are taken at their word",
            Grade.ODD,
            f"no nvidia-smi answers on {host.name}; without one, nobody else's jobs on the GPUs are noticed",
        )
    elif there:
        yield Finding(_models(there) + (f", driver {printable(seen.driver)}" if seen.driver else ""))
        yield from _absent(host, listed, there)
        for gpu in there:
            if gpu.trouble:
                remedy = f"`nvidia-smi --gpu-reset -i {gpu.index}` there, as root and with nothing on it, or reboot {host.name}"
                yield Finding(f"GPU {gpu.index} gets no jobs: {printable(gpu.trouble, 100)}", Grade.ODD, remedy)
        yield from _in_use(host, seen, there)
    elif seen.gpus is not None and not seen.gpu_error and host.gpus == "auto":
        yield Finding("no GPU")
    if host.gpus == "auto" and (cut := [gpu for gpu in there if gpu.migs]):
        names = ", ".join(str(gpu.index) for gpu in cut)
        one = "it is" if len(cut) == 1 else "each is"
        devices = ", ".join(dict.fromkeys(uuid for gpu in cut for uuid in gpu.migs))
        yield Finding(
            f"GPU {names} is cut into MIG devices, and with `gpus: auto` {one} used as one, the first of them",
            Grade.ODD,
            f"list them for {host.name} in the inventory: `gpus: [{printable(devices, 600)}]`",
        )
    if host.gpus == "auto" and there and seen.mask is not None:
        yield _masked(host, seen.mask, found_by_auto(there, seen.mask))
    if seen.gpus is not None and not slots_of(host, found_by_auto(there, seen.mask)):
        yield Finding("it offers no slot", Grade.UNUSABLE, "give it `slots:` or `gpus:` in the inventory")


def _masked(host: Host, mask: str, visible: tuple[str, ...]) -> Finding:
    what = f"logins there have CUDA_VISIBLE_DEVICES={printable(mask, 100)}"
    if visible:
        return Finding(f"{what}: GPU {', '.join(map(printable, visible))} used")
    remedy = f"look for it in the shell's start files on {host.name}, or list `gpus:` in the inventory, which beats it"
    return Finding(f"{what}: no GPU is used", Grade.ODD, remedy)


def _absent(host: Host, listed: tuple[str, ...], there: tuple[GpuSeen, ...]) -> Iterator[Finding]:
    absent = [name for name in listed if not any(gpu.called(name) or name.startswith("MIG-") for gpu in there)]
    if not absent:
        return
    real = ", ".join(str(gpu.index) for gpu in there)
    useless = len(absent) == len(listed) and not host.slots
    are = "GPU {} is" if len(absent) == 1 else "GPUs {} are"
    yield Finding(
        f"{are.format(', '.join(map(printable, absent)))} not there; it has {real}",
        Grade.UNUSABLE if useless else Grade.ODD,
        f"correct `gpus:` of {host.name} in the inventory",
    )


def _in_use(host: Host, seen: Sighting, there: tuple[GpuSeen, ...]) -> Iterator[Finding]:
    """How many of the GPUs that jobs may have are taken now, by whomever."""
    names = named_gpus(host, found_by_auto(there, seen.mask))
    offered = [gpu for gpu in there if any(gpu.called(name) for name in names)]
    taken = [gpu for gpu in offered if full(gpu, host.slots_per_gpu) or occupied(gpu, host.busy, seen.user)]
    if not taken:
        return
    if len(taken) < len(offered):
        yield Finding(f"{len(taken)} of {len(offered)} GPUs in use")
        return
    text = "its GPU is in use" if len(offered) == 1 else f"all {len(offered)} GPUs are in use"
    yield Finding(text, Grade.ODD, "jobs wait until one is free; who is on them: burnish hosts")


def _models(gpus: tuple[GpuSeen, ...]) -> str:
    """`4 × NVIDIA A100, 1 × NVIDIA T4`."""
    counts: dict[str, int] = {}
    for gpu in gpus:
        counts[gpu.name or "GPU"] = counts.get(gpu.name or "GPU", 0) + 1
    return ", ".join(f"{count} × {printable(name)}" for name, count in counts.items())


def _disk(seen: Sighting) -> Iterator[Finding]:
    if seen.disk_free is None:
        return
    text = f"{seen.disk_free / GIB:.1f} GiB free"
    if seen.disk_free < LOW_DISK:
        yield Finding(text, Grade.ODD, "make room where attempts are kept, or name another `state_dir:`")
    else:
        yield Finding(text)


def _clock(skew: float | None) -> Iterator[Finding]:
    if skew is None:
        return
    if abs(skew) >= LARGE_SKEW:
        way = "ahead" if skew > 0 else "behind"
        remedy = "times in status and logs mislead; let it keep time by NTP (timedatectl set-ntp true)"
        yield Finding(f"its clock is {abs(skew):.0f} s {way}", Grade.ODD, remedy)
    else:
        yield Finding("clock right")


def _jobs(host: Host, visit: Visit) -> Iterator[Finding]:
    if host.engine == "slurm":
        yield _slurm(host, visit.probe)
        return
    if visit.probe.trouble:
        yield Finding(f"no job starts there: {printable(visit.probe.trouble, 500)}", Grade.UNUSABLE)
    elif not visit.probe.survived:
        yield Finding(
            "jobs end with the connection",
            Grade.UNUSABLE,
            f"on {host.name}: `loginctl enable-linger {visit.user}`, or have KillUserProcesses=no set in logind.conf",
        )
    else:
        yield Finding("jobs survive logout")
    yield from _setup(host, visit.probe)


def _slurm(host: Host, probe: Probe) -> Finding:
    """Nothing is started on a cluster: Slurm is asked whether it would take a job."""
    if probe.trouble:
        said = printable(probe.trouble, 500)
        there = "scontrol ping" if host.connection == "local" else f"ssh {host.name} scontrol ping"
        remedy = f"see `{there}`; the entry must name a login node"
        return Finding(f"Slurm does not answer: {said}", Grade.UNUSABLE, remedy)
    said = printable(probe.refusal, 500)
    if probe.may_pass:
        remedy = f"see `sinfo` on {host.name}: nodes are down or drained, or have less than `sbatch:` of the inventory asks for"
        return Finding(f"Slurm answers, and could not place a job now: {said}", Grade.ODD, remedy)
    if said:
        remedy = f"correct the `sbatch:` of {host.name} in the inventory"
        return Finding(f"Slurm answers, and would not take a job: {said}", Grade.UNUSABLE, remedy)
    return Finding("Slurm answers, and would take a job")


def _setup(host: Host, probe: Probe) -> Iterator[Finding]:
    if probe.slow is not None:
        remedy = f"see on {host.name} what the `setup:` of the inventory waits for: each job there begins with it"
        yield Finding(f"its setup had not ended after {probe.slow:.0f} s", Grade.ODD, remedy)
    elif probe.setup:
        remedy = f"correct the `setup:` of {host.name} in the inventory: as it is, no job there comes to its command"
        yield Finding(printable(probe.setup, 500), Grade.UNUSABLE, remedy)
    elif probe.setup is not None:
        yield Finding("its setup ends well")
