"""What tests of every kind share: waiting for a condition."""

from support.waiting import wait_for

__all__ = ["wait_for"]
