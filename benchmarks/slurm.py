"""What burnish adds to a Slurm cluster: 500 × `true` through it, beside a bare `sbatch --array` and submitit.

The cluster is `tests/support/slurm.py`'s: a real slurmctld and three slurmd on this machine, accounting off. The contestants take
turns. Told are wall time, from typing the command until the last job has ended, and what the controller was asked meanwhile:
`sdiag`'s count of RPCs, without those of nodes that start and end jobs, which are the same for all.

Usage: `python benchmarks/slurm.py [--jobs N] [--rounds N]`. Needs root, and submitit (`pip install -e '.[bench]'`). Writes its
table in docs/performance.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import measure
import page

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.support.slurm import Slurm

SLOTS = 200
LIMIT = 300.0  # s
SUBMITIT = """
import subprocess, sys
import submitit
jobs, slots = map(int, sys.argv[1:])
executor = submitit.SlurmExecutor(folder="submitit")
executor.update_parameters(array_parallelism=slots, time=60)
codes = [job.result() for job in executor.map_array(subprocess.call, [["true"]] * jobs)]
assert codes == [0] * jobs, codes
"""
RPC = re.compile(r"^\s+(\w+)\s+\(\s*\d+\) count:(\d+)", re.MULTILINE)
OF_NODES = ("MESSAGE_", "REQUEST_COMPLETE_", "REQUEST_STEP_", "REQUEST_STATS_INFO")


def bare(slurm: Slurm, folder: Path, jobs: int) -> float:
    """Seconds of one array, each of whose tasks leaves a file."""
    (folder / "done").mkdir()
    began = time.perf_counter()
    script = f"#!/bin/sh\ntrue\n: > {folder}/done/$SLURM_ARRAY_TASK_ID\n"
    slurm.run("sbatch", "--parsable", f"--array=0-{jobs - 1}", "--output=/dev/null", stdin=script)
    while len(os.listdir(folder / "done")) < jobs:
        if time.perf_counter() - began > LIMIT:
            raise SystemExit("The array has not ended; nothing was measured.")
        time.sleep(0.05)
    return time.perf_counter() - began


def through_burnish(slurm: Slurm, folder: Path, jobs: int) -> float:
    """Seconds of one run."""
    measure.timed(measure.sweep(folder, jobs), folder)
    (folder / "hpc.yaml").write_text(
        f"hosts: {{hpc: {{engine: slurm, connection: local, slots: {SLOTS}, state_dir: {folder}/state}}}}\n"
    )
    return measure.timed([*measure.BURNISH, "run", "-q", "--hosts", "hpc.yaml", "--command", "true"], folder)


def through_submitit(slurm: Slurm, folder: Path, jobs: int) -> float:
    """Seconds of one array of its, results collected."""
    return measure.timed([sys.executable, "-c", SUBMITIT, str(jobs), str(SLOTS)], folder)


CONTESTANTS = {"`sbatch --array`": bare, "submitit": through_submitit, "burnish": through_burnish}


def asked(slurm: Slurm) -> Counter[str]:
    """What the controller was asked since the last reset, by kind of RPC."""
    counts = Counter({name: int(count) for name, count in RPC.findall(slurm.run("sdiag"))})
    return Counter(
        {name: count for name, count in counts.items() if name.startswith("REQUEST_") and not name.startswith(OF_NODES)}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    if importlib.util.find_spec("submitit") is None:
        raise SystemExit("submitit is not installed (pip install -e '.[bench]'); nothing was measured.")
    machine = page.machine()
    seconds: dict[str, list[float]] = {}
    rpcs: dict[str, list[int]] = {}
    kinds: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        slurm = Slurm(Path(place) / "cluster")
        os.environ.update(slurm.environment)
        try:
            for _ in range(chosen.rounds):
                for name, contestant in CONTESTANTS.items():
                    slurm.wait_until_idle()
                    slurm.run("sdiag", "--reset")
                    folder = Path(tempfile.mkdtemp(dir=place))
                    seconds.setdefault(name, []).append(contestant(slurm, folder, chosen.jobs))
                    kinds[name] = asked(slurm)
                    rpcs.setdefault(name, []).append(sum(kinds[name].values()))
        finally:
            slurm.close()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    limit = medians["`sbatch --array`"]
    rows = [
        f"| {name} | {median:.1f} | {median / limit:.2f} | {statistics.median(rpcs[name]):.0f} "
        f"| {', '.join(f'{count} {kind}' for kind, count in kinds[name].most_common(4))} |"
        for name, median in medians.items()
    ]
    lines = [
        "",
        machine,
        "",
        f"`python benchmarks/slurm.py --jobs {chosen.jobs} --rounds {chosen.rounds}`: {chosen.jobs} × `true` "
        f"on three nodes of 8 CPUs, {SLOTS} submitted at a time; median of {chosen.rounds} rounds, contestants in turn.",
        "",
        "| | s | ÷ bare array | RPCs of commands | of the last round, the most frequent |",
        "| --- | ---: | ---: | ---: | --- |",
        *rows,
        "",
    ]
    print("\n".join(lines))
    page.write("measured on Slurm", lines)


if __name__ == "__main__":
    main()
