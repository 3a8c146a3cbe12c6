"""The columns of a table that are burnish's own, and what may stand in them.

JOB_ID and STATE are always there; the control columns are optional and say how a job is run; every other column is an
argument of the job and is nobody's business but the job's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from burnish.core import durations

RESERVED_COLUMNS = ("JOB_ID", "STATE")
LONGEST_ARGUMENT = 131_071  # bytes: MAX_ARG_STRLEN of Linux, less the NUL at its end
CONTROL_COLUMNS = ("PRIORITY", "GPUS", "HOSTS", "TIME_LIMIT", "RETRIES", "AFTER")

_INTEGER = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)
_NODES = (
    r"--(?:nodelist|constraint)=[A-Za-z0-9_.:,&|*()\[\]-]+"  # where on a cluster, as sbatch takes it; ends at a space
)
_HOST = rf"(?:{_NODES}|(?!--)[A-Za-z0-9_.:*?\[\]!-]+)"
_HOSTS = re.compile(rf"{_HOST}(?:[ ,]+{_HOST})*", re.ASCII)
_IDS = re.compile(r"[0-9]{1,9}(?:-[0-9]{1,9})?(?:[ ,;]+[0-9]{1,9}(?:-[0-9]{1,9})?)*", re.ASCII)

_EXPECTED = {
    "PRIORITY": "a whole number, larger first",
    "GPUS": "how many, such as 0, 1 or 2",
    "HOSTS": "names, globs or groups, such as gpu01 or gpu*; for a cluster --nodelist=NODES or --constraint=FEATURES as well",
    "TIME_LIMIT": durations.EXPECTED,
    "RETRIES": "how many, such as 0, 1 or 2",
    "AFTER": "job ids, such as 3 or 3,5-8",
}
_PATTERNS = {"PRIORITY": _INTEGER, "GPUS": _COUNT, "HOSTS": _HOSTS, "RETRIES": _COUNT, "AFTER": _IDS}


def fault(column: str, text: str) -> str | None:
    """What is wrong with `text` in control column `column`, as a sentence, or None. An empty cell is always right."""
    if not text or column not in _EXPECTED:
        return None
    right = durations.parse(text) is not None if column == "TIME_LIMIT" else _PATTERNS[column].fullmatch(text.strip())
    return None if right else f'{column} is "{text}"; expected {_EXPECTED[column]}.'


def overlong(text: str) -> str | None:
    """Why no command can be given `text`, as the end of a sentence that begins with its name, or None."""
    if len(text) <= LONGEST_ARGUMENT // 4 or (size := len(text.encode("utf-8", "surrogateescape"))) <= LONGEST_ARGUMENT:
        return None
    return f"is {size:,} bytes; Linux passes at most {LONGEST_ARGUMENT:,} in one argument. Put it in a file, and its name here."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean gpus?`, or nothing when no known word is near."""
    import difflib

    names = list(known)
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return f" Did you mean {by_lower[near[0]]}?" if near else ""


def control_first(columns: Sequence[str]) -> list[int]:
    """The order in which a new table shows `columns`: control columns, then arguments as they came. As indices."""
    control = [columns.index(name) for name in CONTROL_COLUMNS if name in columns]
    return control + [index for index in range(len(columns)) if index not in control]
