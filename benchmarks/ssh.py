"""How fast burnish is over SSH, beside what people use for the same today: four hosts of four slots, all of them real sshds.

1. Jobs per second: `/bin/true`, output and exit code of each brought home; near by, and with 20 ms added to the round trip.
2. How busy the slots are with jobs of 100 ms: the jobs say when they began and ended. Busy is the sum of their seconds over
   slots × the time from the first begin to the last end; the gap is how long a slot stands idle between two jobs (median).
3. What 50 hosts cost: benchmarks/connecting.py.

The contestants take turns, each round begins with the next one, ratios are taken within a round, and medians are reported. Needs
root, openssh-server, GNU parallel and /dev/net/tun. Writes the tables of docs/performance.md between its marks. `--help` says how
to do less, and how to get every run as JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import connecting
import measure
import page
from contestants import CONTESTANTS, burnish, fabric, parallel, parallel_shared, stream
from lab import Site, near_and_far

DELAY = 0.010  # s each way
LIMIT = next(iter(CONTESTANTS))
Run = dict[str, Any]

# As many jobs as take each of them a few seconds.
SHORT = {stream: 1000, burnish: 1000, fabric: 600, parallel_shared: 320, parallel: 80}
LONGER = {stream: 320, burnish: 320, fabric: 320, parallel_shared: 160, parallel: 64}

# $HOSTNAME is the host's; all of them see this machine's /tmp.
JOB = """#!/bin/bash
began=$EPOCHREALTIME
sleep 0.1
echo "$HOSTNAME $began $EPOCHREALTIME" >>{records}
"""


def short(name: str, site: Site, folder: Path, scale: float) -> Run:
    """`/bin/true` by one contestant."""
    jobs = _jobs(SHORT[CONTESTANTS[name]], scale)
    seconds = CONTESTANTS[name](site, folder, jobs, "/bin/true")
    return {"jobs": jobs, "seconds": seconds, "rate": jobs / seconds}


def longer(name: str, site: Site, folder: Path, scale: float) -> Run:
    """Jobs of 100 ms by one contestant."""
    jobs = _jobs(LONGER[CONTESTANTS[name]], scale)
    records, job = folder / "records", folder / "job"
    records.touch()
    records.chmod(0o666)
    job.write_text(JOB.format(records=records))
    job.chmod(0o755)
    seconds = CONTESTANTS[name](site, folder, jobs, str(job))
    return {"jobs": jobs, "seconds": seconds, **utilisation(records.read_text(), site.slots)}


def utilisation(records: str, slots: int) -> Run:
    """From lines of `host began ended`: how busy the slots were, and the median gap between two jobs of a slot, s."""
    lines = [line.split() for line in records.splitlines()]
    jobs = [(host, float(began), float(ended)) for host, began, ended in lines]
    span = max(ended for _, _, ended in jobs) - min(began for _, began, _ in jobs)
    hosts = {host for host, _, _ in jobs}
    at_once = slots // len(hosts)
    gaps = []
    for host in hosts:
        begins = sorted(began for name, began, _ in jobs if name == host)[at_once:]
        ends = sorted(ended for name, _, ended in jobs if name == host)
        gaps += [began - ended for began, ended in zip(begins, ends, strict=False)]
    worked = sum(ended - began for _, began, ended in jobs)
    return {"busy": worked / (slots * span), "gap": statistics.median(gaps)}


def measured(names: list[str], rounds: int, scale: float) -> list[Run]:
    """Every run of these contestants."""
    runs: list[Run] = []
    # Nothing is removed before the end: files are dearer to create on ext4 just after many were deleted.
    with tempfile.TemporaryDirectory(prefix="bench-") as base:
        Path(base).chmod(0o755)
        (lab := Path(base) / "lab").mkdir()
        with near_and_far(lab, DELAY) as sites:
            for number in range(rounds):
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    for site, distance in zip(sites, ("near", "far"), strict=True):
                        for workload in (short, longer):
                            (folder := Path(base) / f"run{len(runs)}").mkdir()
                            found = workload(name, site, folder, scale)
                            about = {"round": number, "who": name, "where": distance, "what": workload.__name__}
                            runs.append({**about, **found})
    return runs


def median(runs: list[Run], figure: str, who: str, where: str, what: str, to: str = "") -> float:
    """The median of a figure of `who`; with `to`, of its ratios to that contestant's, round by round."""

    def by_round(name: str) -> dict[int, float]:
        picked = [run for run in runs if (run["who"], run["where"], run["what"]) == (name, where, what)]
        return {run["round"]: run[figure] for run in picked}

    own, other = by_round(who), by_round(to) if to else {}
    return statistics.median(value / other[number] if to else value for number, value in own.items())


def table(runs: list[Run], names: list[str], limit: str) -> list[str]:
    """The figures of contestants, a line each, with ratios to `limit`, which is one of them."""
    lines = [
        "| | jobs/s | ÷ limit | 20 ms: jobs/s | ÷ limit | 100 ms jobs: busy | gap, ms | 20 ms: busy | gap, ms |",
        "| --- |" + " ---: |" * 8,
    ]
    for who in names:
        cells = []
        for where in ("near", "far"):
            cells.append(f"{median(runs, 'rate', who, where, 'short'):.0f}")
            cells.append(f"{median(runs, 'rate', who, where, 'short', to=limit):.2f}")
        for where in ("near", "far"):
            cells.append(f"{100 * median(runs, 'busy', who, where, 'longer'):.0f} %")
            cells.append(f"{1000 * median(runs, 'gap', who, where, 'longer'):.0f}")
        lines.append(f"| {' | '.join([who, *cells])} |")
    return lines


def _jobs(count: int, scale: float) -> int:
    """A multiple of the hosts, so that each gets as many."""
    return max(32, int(count * scale) // 4 * 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the jobs")
    parser.add_argument("--who", action="append", help="only those with this in their name; prints, and writes nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run there, too")
    options = parser.parse_args()
    measure.require("parallel")
    where = page.machine()
    names = [name for name in CONTESTANTS if not options.who or any(part in name for part in options.who)]
    runs = measured(names, options.rounds, options.scale)
    if options.who:
        print("\n".join(table(runs, names, names[0])))
        return
    crowd = connecting.measured()
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": where, "runs": runs, "connecting": crowd}, indent=1) + "\n")
    command = f"python benchmarks/ssh.py --rounds {options.rounds}"
    command += f" --scale {options.scale}" if options.scale != 1 else ""
    lines = [
        *("", where, ""),
        f"`{command}`: 4 hosts × 4 slots, output and exit code of each job brought home, "
        f"connecting included; median of {options.rounds} rounds, contestants in turn.",
        *("", *table(runs, names, LIMIT), ""),
        *(*connecting.table(crowd), ""),
    ]
    page.write("measured over ssh", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
