"""Slurm's commands, each as a pair: its argv, and what its output says. Pure; only what was asked for by format is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf

from msgspec import Struct

from burnish.core.ids import typed_ids

SEPARATOR = "|"
NO_COMMAND = 127  # exit code of a command that is not there
MAX_ARRAY_SIZE, MIN_JOB_AGE = 1001, 300  # Slurm's own defaults; the latter in s
VERDICTS = (
    "Batch job submission failed: ",
    "allocation failure: ",
)  # how sbatch opens its last line; the latter, of a trial
SPARE = 60.0  # s of Slurm's time beyond a TIME_LIMIT: the supervisor ends the job first, and says so


class Demand(Struct, frozen=True):
    """What the jobs of one sbatch have in common: GPUs each, and seconds each; None: as the inventory says.

    `options`: of sbatch by name, in place of the inventory's.
    """

    gpus: int | None = None
    time_limit: float | None = None
    options: tuple[tuple[str, str], ...] = ()


class Listed(Struct, frozen=True):
    """A task as Slurm lists it. `job` is how commands call it: `17_3`. `state` in capitals, `reason` as Slurm puts it.

    `nodes`: what it was given, `n[1-2]`; "" before it was.
    """

    job: str
    state: str
    reason: str = ""
    nodes: str = ""


def show_config() -> list[str]:
    """The argv that shows what the cluster is set to; it fails where there is no Slurm, or none that answers."""
    return ["scontrol", "show", "config"]


def no_answer(code: int, err: str) -> str:
    """Why `show_config` failed, a clause; "" if it did not."""
    if code == NO_COMMAND:
        return f"`engine: slurm`, but {err}, so there is no Slurm there"
    return "" if code == 0 else f"Slurm does not answer ({first_line(err)})"


def read_max_array_size(out: str) -> int:
    """How many tasks an array may have: one more than its largest index."""
    return max(1, _number(out, "MaxArraySize", MAX_ARRAY_SIZE))


def read_min_job_age(out: str) -> float:
    """For how many s at least Slurm lists what has ended."""
    return float(_number(out, "MinJobAge", MIN_JOB_AGE)) or inf  # 0: for good


def _number(out: str, name: str, default: int) -> int:
    """What is set to a number, whatever its unit."""
    for line in out.splitlines():
        key, _, value = line.partition("=")
        if key.strip() == name and (number := value.split()[:1]) and number[0].isdigit():
            return int(number[0])
    return default


def sbatch(name: str, comment: str, indices: Sequence[int], options: Mapping[str, str], demand: Demand) -> list[str]:
    """The argv that submits the script on stdin as an array of these tasks, of which none is started twice by Slurm itself.

    `options`: sbatch's long options without dashes; an empty value, or `true`, is a bare flag.
    """
    argv = ["sbatch", "--parsable", f"--job-name={name}", f"--comment={comment}", f"--array={typed_ids(indices)}"]
    argv += ["--no-requeue", "--chdir=/", "--output=/dev/null", "--error=/dev/null"]
    for key, value in _with(options, demand).items():
        argv.append(f"--{key}" if value in ("", "true") else f"--{key}={value}")
    return argv


def read_sbatch(out: str) -> str:
    """The number of the job that was submitted; "" if none is said. With several clusters its name follows a semicolon."""
    last = out.strip().splitlines()[-1:] or [""]
    number = last[0].partition(";")[0]
    return number if number.isdigit() else ""


def squeue(names: Iterable[str]) -> list[str]:
    """The argv that lists tasks of arrays of these names: those that wait or run, and those that ended a few minutes ago.

    `--all`: in partitions that are hidden, too, where else not even their owner sees them.
    """
    fields = SEPARATOR.join(("%F", "%K", "%T", "%r", "%N", "%j"))
    return [
        "squeue",
        "--noheader",
        "--array",
        "--all",
        "--states=all",
        f"--name={','.join(sorted(set(names)))}",
        f"--format={fields}",
    ]


def read_squeue(out: str) -> dict[tuple[str, int], Listed]:
    """(array's name, index) -> task. Other lines, those of jobs that are no arrays among them, are passed over.

    Of the last task of an array that waits, Slurm forgets the index when somebody cancels it by number: in its place stands minus
    the array's number.
    """
    listed = {}
    for job, index, state, reason, nodes, name in _rows(out, 6):
        if job.isdigit() and index.isdigit():
            listed[name, int(index)] = Listed(f"{job}_{index}", state, reason, nodes)
        elif job.isdigit() and (index, state, nodes) == ("N/A", "CANCELLED", ""):
            listed[name, -int(job)] = Listed(job, state, reason)
    return listed


def sacct(jobs: Iterable[str]) -> list[str]:
    """The argv that says what became of jobs, by number (`17_3`, or that which a task of an array has for itself)."""
    return [
        "sacct",
        "--noheader",
        "--parsable2",
        "--allocations",
        "--format=JobID,JobIDRaw,State",
        f"--jobs={','.join(sorted(set(jobs)))}",
    ]


def read_sacct(out: str) -> dict[str, str]:
    """Number of a job, in either way of numbering -> its state, without what Slurm adds (`CANCELLED by 1000`)."""
    states = {}
    for number, raw, state in _rows(out, 3):
        states[number] = states[raw] = (state.split() or [""])[0]
    return states


def keeps_no_accounts(code: int, err: str) -> bool:
    """True if sacct failed for good: the cluster has none, or no such command. Else whoever keeps them does not answer now."""
    return code == NO_COMMAND or "accounting storage is disabled" in err.lower()


def scancel(jobs: Iterable[str], signal: str = "") -> list[str]:
    """The argv that ends jobs, waiting ones too; or with `signal` only sends that to their scripts.

    By number alone: with `--name`, scancel of 22.05 ends for one task that waits all of its array that do.
    """
    return ["scancel", *([f"--signal={signal}", "--batch"] if signal else []), *sorted(set(jobs))]


def is_limit(err: str) -> bool:
    """True if sbatch was refused because too many jobs are submitted: fewer of them, or later, may pass.

    Which limit it was stands in a line before the verdict, which names several; some versions say no more than that.
    """
    return "SubmitJob" in err or ("job submit limit" in err and not _reason(_lines(err)))


def names_what_is_not_there(err: str) -> bool:
    """True if sbatch was refused because there is no such node, or none of these features."""
    return "Invalid node name" in err or "Invalid feature" in err


def may_have_passed(code: int, err: str) -> bool:
    """True if sbatch failed and its jobs may be in the queue all the same."""
    return code < 0 or any(words in err for words in ("controller", "timed out", "Communication", "communication"))


def may_pass(code: int, err: str) -> bool:
    """True if a trial failed for what may be over soon: a limit, a controller that does not answer, nodes that are down.

    Of these last, slurmctld says what it says of nodes that are not there: a submission would tell, which waits, or is refused.
    """
    return is_limit(err) or may_have_passed(code, err) or "Requested node configuration is not available" in err


def first_line(text: str) -> str:
    """What a command said is wrong, in one line, without what is no news.

    The last one is the verdict. Of sbatch's, the line before it names what it is about: a partition, a limit.
    """
    lines = _lines(text)
    if not lines:
        return "it gave no reason"
    *before, verdict = lines
    opening = next((opening for opening in VERDICTS if verdict.startswith(opening)), "")
    if not opening or not before:
        return verdict.removeprefix(opening)
    detail = before[-1]
    return f"{verdict.removeprefix(opening)}{f': {detail}' if detail.isalpha() else f' ({detail})'}"


def _lines(err: str) -> list[str]:
    said = [line.strip().removeprefix("sbatch: ").removeprefix("error: ") for line in err.splitlines() if line.strip()]
    # What ends an answer about an option that is not known only says where to read about those.
    return [line for line in said if not line.startswith("Try ")]


def _reason(lines: Sequence[str]) -> str:
    """The word for its verdict that Slurm puts in a line of its own before it (`AssocMaxSubmitJobLimit`); "" if there is none."""
    before = lines[-2] if len(lines) > 1 else ""
    return before if before.isalpha() else ""


def _rows(out: str, fields: int) -> Iterator[list[str]]:
    for line in out.splitlines():
        row = line.split(SEPARATOR, fields - 1)
        if len(row) == fields:
            yield row


def _with(options: Mapping[str, str], demand: Demand) -> dict[str, str]:
    """`options`, where a job asks for something else by its GPUS, TIME_LIMIT or HOSTS."""
    wanted = {**options, **dict(demand.options)}
    if demand.time_limit is not None:
        wanted["time"] = str(math.ceil((demand.time_limit + SPARE) / 60))
    if demand.gpus is not None:
        key = next((key for key in ("gpus", "gpus-per-node", "gpus-per-task") if key in wanted), "gres")
        kind = [part for part in wanted.get(key, "").split(":") if part and not part.isdigit() and part != "gpu"]
        wanted[key] = ":".join((*(["gpu"] if key == "gres" else []), *kind[:1], str(demand.gpus)))
    return wanted
