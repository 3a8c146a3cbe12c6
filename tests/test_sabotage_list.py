"""The list of guards that `make sabotage` takes away one by one names code and tests that exist."""

from __future__ import annotations

import pytest
from sabotage.run import ROOT, Guard, guards


@pytest.mark.parametrize("guard", list(guards()), ids=lambda guard: guard.name)
def test_guard_and_its_test_exist(guard: Guard) -> None:
    assert (ROOT / guard.file).read_text(encoding="utf-8").count(guard.old) == 1
    assert guard.old != guard.new
    assert (ROOT / guard.test.partition("::")[0]).is_file()


def test_names_are_unique() -> None:
    names = [guard.name for guard in guards()]
    assert len(names) == len(set(names)) > 5
