"""Python's search for garbage, put off while a table is taken in.

Whenever objects have become many, Python looks through all of them for those that hold each other and are held by nobody else.
Jobs and rows hold nobody, so while 100 000 of them are made it looks again and again, and finds nothing: a third of the time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unsought() -> Iterator[None]:
    """Meanwhile nothing is searched, and what is there then never is: a long run looks only through what came since."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
