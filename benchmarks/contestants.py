"""Who runs jobs over SSH: burnish, and what people use or write for the same today.

Each is called as `contestant(site, folder, jobs, job)`: it runs the program `job` so many times on the site's hosts, four at a
time on each, with output and exit code of each kept below `folder`, and returns the seconds of its whole command, connecting
included. One that loses a job ends the benchmark.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import measure
from lab import ACCOUNT, SLOTS, Site

Contestant = Callable[[Site, Path, int, str], float]


def burnish(site: Site, folder: Path, jobs: int, job: str) -> float:
    measure.timed(measure.sweep(folder, jobs), folder)
    command = [*measure.BURNISH, "run", "-q", "--hosts", site.inventory(folder), "--command", job]
    seconds = measure.timed([*site.enter, *command], folder)
    _expect(jobs, (folder / "burnish.db").read_text().count(",COMPLETE,"), "burnish")
    return seconds


def fabric(site: Site, folder: Path, jobs: int, job: str) -> float:
    """A Fabric connection for each slot."""
    program = Path(__file__).with_name("fabric_slots.py")
    words = [site.bench.key, ACCOUNT, SLOTS, jobs, job, *site.addresses()]
    seconds = measure.timed([*site.enter, sys.executable, str(program), *map(str, words)], folder)
    _expect(jobs, sum(path.read_text() == "0" for path in folder.glob("*.code")), "fabric")
    return seconds


def parallel(site: Site, folder: Path, jobs: int, job: str) -> float:
    """GNU parallel, which connects for each job."""
    return _parallel(site, folder, jobs, _parallel_command(site, site.bench.config, job))


def parallel_shared(site: Site, folder: Path, jobs: int, job: str) -> float:
    """GNU parallel over a connection for each host that ssh's ControlMaster keeps; opening it counts."""
    config = site.shared_config
    names = " ".join(site.names)
    begin = f"for host in {names}; do ssh -fN -F {config} $host & done >/dev/null 2>&1; wait"
    end = f"for host in {names}; do ssh -F {config} -O exit $host; done >/dev/null 2>&1"
    command = f"{begin}; {_parallel_command(site, config, job)}; code=$?; {end}; exit $code"
    return _parallel(site, folder, jobs, command)


def stream(site: Site, folder: Path, jobs: int, job: str) -> float:
    """The limit: one ssh for each host, whose `xargs -P` reads the numbers of the jobs; all results in one archive at the end."""
    work = f"sh -c \\'{job} >{{}}.out; echo \\$? >{{}}.code\\'"
    there = f"d=\\$(mktemp -d); cd \\$d; xargs -P {SLOTS} -I{{}} {work}; tar c .; rm -r \\$d".replace("\\'", "'")
    share = jobs // len(site.names)
    lines = [
        f'seq {share} | ssh -F {site.bench.config} {name} "{there}" | tar xC {name} & mkdir -p {name}'
        for name in site.names
    ]
    for name in site.names:
        (folder / name).mkdir()
    seconds = measure.timed([*site.enter, "sh", "-c", "\n".join([*lines, "wait"])], folder)
    _expect(share * len(site.names), sum(path.read_text() == "0\n" for path in folder.glob("*/*.code")), "xargs")
    return seconds


def _parallel_command(site: Site, config: Path, job: str) -> str:
    logins = ",".join(f"{SLOTS}/{name}" for name in site.names)
    options = f"--will-cite --plain -j {SLOTS} --joblog codes --results out"
    return f"parallel {options} --ssh 'ssh -F {config}' -S {logins} '{job} #' <numbers >/dev/null"


def _parallel(site: Site, folder: Path, jobs: int, command: str) -> float:
    (folder / "numbers").write_text("".join(f"{number}\n" for number in range(jobs)))
    seconds = measure.timed([*site.enter, "sh", "-c", command], folder)
    lines = (folder / "codes").read_text().splitlines()[1:]
    _expect(jobs, sum(line.split("\t")[6:8] == ["0", "0"] for line in lines), "parallel")
    return seconds


def _expect(jobs: int, done: int, who: str) -> None:
    if done != jobs:
        raise SystemExit(f"{who} ran {done} of {jobs} jobs to a good end; nothing was measured.")


CONTESTANTS: dict[str, Contestant] = {
    "a resident `xargs -P 4` on each host (the limit)": stream,
    "burnish": burnish,
    "Fabric, a connection per slot": fabric,
    "GNU parallel, ControlMaster": parallel_shared,
    "GNU parallel": parallel,
}
