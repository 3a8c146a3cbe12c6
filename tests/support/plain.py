"""A plain environment: without what the person who runs the tests has set for burnish, and for what it shows."""

from __future__ import annotations

import os

import pytest

OTHERS = ("NO_COLOR", "FORCE_COLOR", "CUDA_VISIBLE_DEVICES", "COLUMNS")  # beside all that begin with BURNISH_


def clear(environment: pytest.MonkeyPatch) -> None:
    """No options, colours or job of the caller are left, until `environment` is undone."""
    for name in list(os.environ):
        if name.startswith("BURNISH_") or name in OTHERS:
            environment.delenv(name)
