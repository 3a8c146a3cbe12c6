"""Sentences about rows of one file: a few in full, many as one with a count."""

from __future__ import annotations

from burnish.core.jobs import JobId

SHOWN = 3


class Notices:
    """Collects what is to be said about `name` (`burnish.db`). Sentences of one kind are folded after the third."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._kinds: dict[str, list[tuple[str, JobId]]] = {}
        self._plain: list[str] = []

    def say(self, sentence: str) -> None:
        """A sentence that stands by itself."""
        self._plain.append(sentence)

    def add(self, kind: str, line: int | None, what: str, job: JobId) -> None:
        """`what` about `job`, in line `line` of the file (None: it has none any more)."""
        where = self.name if line is None else f"{self.name}:{line}"
        self._kinds.setdefault(kind, []).append((f"{where}: {what}", job))

    def sentences(self) -> list[str]:
        """All of them, in the order in which their kinds came up."""
        said = list(self._plain)
        for found in self._kinds.values():
            said += [sentence for sentence, _ in found[:SHOWN]]
            if more := [job for _, job in found[SHOWN:]]:
                said.append(f"{self.name}: the same for {len(more)} more: {_jobs(more)}.")
        return said


def _jobs(ids: list[JobId]) -> str:
    """`job 4` or `jobs 4, 7-9`, at most ten pieces."""
    pieces: list[list[int]] = []
    for job in sorted(ids):
        if pieces and job == pieces[-1][1] + 1:
            pieces[-1][1] = job
        else:
            pieces.append([job, job])
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in pieces[:10]]
    return f"job{'s' * (len(ids) > 1)} {', '.join(shown)}{', …' * (len(pieces) > 10)}"
