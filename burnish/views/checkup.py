"""`burnish check` as it is read: a line per thing that was looked at and fine, a line and a remedy for each that is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from burnish.core.health import Finding, Grade, worst
from burnish.errors import printable

SCHEMA = 1
WORDS = {Grade.FINE: "ok", Grade.ODD: "ok, but", Grade.UNUSABLE: "UNUSABLE"}
_WIDEST = max(map(len, WORDS.values()))


class CheckView(Struct, frozen=True):
    """Subjects (the table, the inventory, each host) and what was found of each."""

    subjects: Sequence[tuple[str, tuple[Finding, ...]]]

    def text(self, width: int | None = None, colour: bool = False) -> Iterator[str]:
        longest = max((len(name) for name, _ in self.subjects), default=0)
        for name, findings in self.subjects:
            grade = worst(findings)
            first = sorted(findings, key=lambda finding: -finding.grade.value)
            told = "; ".join(printable(finding.text, 1000) for finding in first).replace(".; ", "; ")
            yield f"{printable(name):<{longest}}  {WORDS[grade]:<{_WIDEST}}  {told}"
            for finding in first:
                if finding.remedy:
                    yield f"{'':<{longest}}  {'remedy:':<{_WIDEST}}  {printable(finding.remedy, 1000)}"

    def json(self) -> object:
        return {
            "schema": SCHEMA,
            "checked": [
                {
                    "name": name,
                    "usable": worst(findings) is not Grade.UNUSABLE,
                    "findings": [
                        {"text": finding.text, "grade": finding.grade.name.lower(), "remedy": finding.remedy or None}
                        for finding in findings
                    ],
                }
                for name, findings in self.subjects
            ],
        }
