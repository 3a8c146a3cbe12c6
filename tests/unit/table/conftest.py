"""A table, its state and its bases as a coordinator holds them, without a file."""

from __future__ import annotations

import pytest
from support.desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()
