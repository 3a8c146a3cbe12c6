"""Feeds inputs to readers: `python -m fuzz [--inputs 2000] [--first 0] [--reader table] [--show]`.

Ends with 1 if an input was neither read nor refused by a sentence; each is named by its reader and number, shrunk, and shown
with the command that feeds it again. Readers share the processors of this machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from fuzz.readers import Reader, readers
from fuzz.watched import complaint

MEMORY = 2 << 30  # bytes, for the whole process
SHOWN = 3  # complaints per reader
SHRINKING = 400  # tries


def main() -> int:
    asked = _arguments()
    chosen = [reader.name for reader in readers() if asked.reader in ("", reader.name)]
    began = time.monotonic()
    with multiprocessing.Pool(asked.processes) as pool:
        found = pool.starmap(_feed, [(name, asked.first, asked.inputs, asked.show) for name in chosen], chunksize=1)
    for name, complaints in zip(chosen, found, strict=True):
        print(f"{name:12} {asked.inputs} inputs, {len(complaints)} wrong", *complaints, sep="\n  ")
    wrong = sum(map(len, found))
    print(f"{asked.inputs * len(chosen)} inputs in {time.monotonic() - began:.0f} s, {wrong} wrong")
    return 1 if wrong else 0


def _feed(name: str, first: int, inputs: int, show: bool) -> list[str]:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    reader = next(reader for reader in readers() if reader.name == name)
    complaints = []
    with tempfile.TemporaryDirectory(prefix="burnish-fuzz-") as folder:
        feeder = Feeder(reader, Path(folder))
        for number in range(first, first + inputs):
            said = feeder.feed(number)
            if said or show:
                data = feeder.shrunk(feeder.input(number)) if said else feeder.input(number)
                again = f"PYTHONPATH=tests python -m fuzz --reader {name} --first {number} --inputs 1 --show"
                complaints.append(f"{said}\n    {data!r:.1500}\n    again: {again}")
                if len(complaints) == SHOWN:
                    break
    return complaints


class Feeder:
    """One reader in a scratch folder."""

    def __init__(self, reader: Reader, folder: Path) -> None:
        self._reader = reader
        self._path = folder / reader.file
        reader.prepare(folder)
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def input(self, number: int) -> bytes:
        """The input of that number."""
        return self._reader.draw(Random(f"{self._reader.name} {number}"))

    def feed(self, number: int) -> str:
        """What is wrong with how it is read, or ""."""
        return self._complaint(self.input(number))

    def shrunk(self, data: bytes) -> bytes:
        """A shorter input that is taken as badly."""
        kind = self._complaint(data).partition(":")[0]
        size, tries = max(1, len(data) // 2), 0
        while size and tries < SHRINKING:
            for begin in range(0, len(data), size):
                shorter, tries = data[:begin] + data[begin + size :], tries + 1
                if self._complaint(shorter).partition(":")[0] == kind:
                    data = shorter
                    break
            else:
                size //= 2
        return data

    def _complaint(self, data: bytes) -> str:
        self._path.write_bytes(data)
        return complaint(lambda: self._reader.read(self._path))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz")
    parser.add_argument("--inputs", type=int, default=2000, help="for each reader")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--reader", default="")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--show", action="store_true", help="show the inputs, whatever becomes of them")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
