"""What an agent says becomes what its report promises; only what it means is left to be judged."""

from __future__ import annotations

from typing import Any

import pytest

from burnish.core.jobs import HostName
from burnish.core.reports import AttemptReported
from burnish.remote import messages

OUT = {"out": 5, "err": 0}


@pytest.mark.parametrize(
    ("fields", "sizes"),
    [
        ({"final": {"exit": {"code": 0, "sizes": OUT}}}, OUT),
        ({"final": {"exit": {"code": 0, "sizes": OUT}}, "sizes": {"out": 9, "err": 9}}, OUT),
        ({"final": {"exit": {"code": 0, "sizes": {}}}, "sizes": OUT}, OUT),
        ({"final": {"lost": {"why": "", "ended": 1.0}}, "sizes": OUT}, OUT),
        ({"final": {"exit": {"code": 0, "sizes": {}}}}, None),
        ({"final": {"exit": {"code": 0, "sizes": 7}}}, None),
        ({"final": {"exit": 7}}, None),
        ({"final": None}, None),
        ({}, None),
    ],
)
def test_sizes_of_logs_are_those_of_the_verdict_or_else_the_hosts(fields: dict[str, Any], sizes: object) -> None:
    status = {"type": "status", "attempt": "1.1-abcd", "status": "ended", **fields}
    report = messages.report(HostName("gpu1"), status, b"")
    assert isinstance(report, AttemptReported) and report.sizes == sizes
