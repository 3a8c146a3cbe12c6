"""What tests of every kind share: waiting for a condition."""

from .waiting import wait_for

__all__ = ["wait_for"]
