"""Fixtures of the contract tests: the bench of real hosts."""

from __future__ import annotations

from tests.support.hosts import bench, network

__all__ = ["bench", "network"]
