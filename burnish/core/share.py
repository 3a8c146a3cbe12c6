"""A number of jobs, or a share of them, as a person types it: `5`, `10%`. Pure."""

from __future__ import annotations

import re

from msgspec import Struct

EXPECTED = "a number of jobs such as 5, or a share such as 10%"

_SHARE = re.compile(r"([1-9][0-9]{0,8})(%?)", re.ASCII)


class Share(Struct, frozen=True):
    """`amount` jobs, or so many percent of all."""

    amount: int
    percent: bool = False

    def of(self, jobs: int) -> float:
        """How many that is, of `jobs`."""
        return self.amount * jobs / 100 if self.percent else self.amount

    def __str__(self) -> str:
        return f"{self.amount}{'%' * self.percent}"


def parse(text: str) -> Share | None:
    """`5` or `10%`; None for anything else, and for more than 100%."""
    found = _SHARE.fullmatch(text.strip())
    if found is None or (found[2] and int(found[1]) > 100):
        return None
    return Share(int(found[1]), bool(found[2]))
