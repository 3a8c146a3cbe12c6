"""Runs seeds: `PYTHONPATH=tests python -m simulation --seeds 1000`, or one of them again: `--seed 17 [--faults 2,5] [--trace]`.
With `--digests`, tells of each seed a digest of all its effects: who makes the simulation faster compares them.

Ends with 1 if a promise was broken, and prints the command line that shows it again, with as few faults as it takes. Fault kinds
that fired in less than 1 % of the seeds are named; with a thousand seeds or more, that is a failure too.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import hashlib
import multiprocessing
import os
import shlex
import signal
import sys
import time
from collections import Counter

ENOUGH = 1000  # seeds, to speak of rates
RARE = 0.01
PR_SET_PDEATHSIG = 1
ENDED = 3  # failures after which no more are looked for


def main() -> int:
    asked = _arguments()
    from simulation import install

    install.install()
    _prefer(asked.prefer)
    if asked.seed is not None:
        return _one(asked.seed, asked.faults, asked.trace)
    if asked.digests:
        return _digests(range(asked.first, asked.first + asked.seeds), asked.processes)
    return _many(range(asked.first, asked.first + asked.seeds), asked.processes, asked.prefer)


def _one(seed: int, faults: frozenset[int] | None, trace: bool) -> int:
    from simulation import scenario

    lab = scenario.Scenario(seed, faults, trace=trace)
    for fault in lab.plan:
        if fault.number in lab.only:
            print(f"fault {fault.number}: {fault.kind} at {fault.at:.3f}")
    result = lab.run()
    print("\n".join(result.history[0 if trace else -60 :]))
    print(f"seed {seed}: {result.steps} effects, {result.seconds - 1000:.0f} simulated s, {result.fired}")
    print(result.failure or "all promises held")
    return 1 if result.failure else 0


def _many(seeds: range, processes: int, prefer: str) -> int:
    began = time.monotonic()
    fired: Counter[str] = Counter()
    failed = steps = 0
    seldom_collected()
    with multiprocessing.Pool(processes, _end_with, (os.getpid(), prefer)) as pool:
        for _, failure, kinds, effects in pool.imap_unordered(_report, seeds, chunksize=10):
            fired.update(kinds)
            steps += effects
            if failure is not None:
                failed += 1
                print(failure, flush=True)
                if failed >= ENDED:
                    pool.terminate()
                    break
    rare = [kind for kind in _kinds() if fired[kind] < RARE * len(seeds)]
    print(f"{len(seeds)} seeds, {failed} failed; {steps} effects in {time.monotonic() - began:.0f} s")
    print(
        "\n".join(f"{100 * fired[kind] / len(seeds):6.1f} % {kind}" for kind in sorted(fired, key=lambda k: -fired[k]))
    )
    if rare:
        print(f"in less than 1 % of the seeds: {', '.join(rare)}")
    return 1 if failed or (rare and len(seeds) >= ENOUGH and not prefer) else 0


def _digests(seeds: range, processes: int) -> int:
    seldom_collected()
    with multiprocessing.Pool(processes, _end_with, (os.getpid(), "")) as pool:
        for line in pool.imap(_digest, seeds, chunksize=10):
            print(line)
    return 0


def _digest(seed: int) -> str:
    from simulation.scenario import play

    result = play(seed, trace=True)
    promise = (result.failure or "all promises held").partition(":")[0]  # the rest may name lines of the code
    told = "\n".join((*result.history, promise, str(sorted(result.fired.items()))))
    return f"{seed} {result.steps} {hashlib.sha256(told.encode()).hexdigest()[:20]} {promise}"


def seldom_collected() -> None:
    """Look for garbage seldom, and never among what was imported: a world leaves less than a megabyte of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def _end_with(parent: int, prefer: str) -> None:
    """A worker does not outlive who asked for it, however that ended."""
    _prefer(prefer)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _prefer(kind: str) -> None:
    from simulation import faults

    if kind and kind not in faults.KINDS:
        raise SystemExit(f"{kind!r} is none of {', '.join(faults.KINDS)}")
    faults.preferred = kind


def _kinds() -> list[str]:
    from simulation import faults

    return [*faults.KINDS, *faults.BY_CHANCE]


def _report(seed: int) -> tuple[int, str | None, list[str], int]:
    from simulation import faults
    from simulation.scenario import play
    from simulation.shrink import shrink

    result = play(seed)
    if result.failure is None:
        return seed, None, list(result.fired), result.steps
    small = shrink(seed, result)
    planned = ",".join(map(str, small.faults)) or "none"
    again = f"PYTHONPATH=tests {os.path.basename(sys.executable)} -m simulation --seed {seed} --faults {planned}"
    again += f" --prefer {shlex.quote(faults.preferred)}" if faults.preferred else ""
    return seed, f"seed {seed}: {small.failure}\n  again: {again}", list(result.fired), result.steps


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulation")
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--faults", type=_numbers, help="numbers of the faults that come, or none; all without it")
    parser.add_argument(
        "--prefer", default="", metavar="KIND", help="this kind of fault comes in each world, and often"
    )
    parser.add_argument("--trace", action="store_true", help="show each effect")
    parser.add_argument("--digests", action="store_true", help="show a digest of each seed's effects")
    return parser.parse_args()


def _numbers(text: str) -> frozenset[int]:
    return frozenset() if text == "none" else frozenset(map(int, text.split(",")))


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of a run
        os.execve(
            sys.executable, [sys.executable, "-m", "simulation", *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"}
        )
    sys.exit(main())
