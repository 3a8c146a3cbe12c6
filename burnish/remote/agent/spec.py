"""Whether a spec, what is asked of one attempt, can be run at all."""

from __future__ import annotations

from .files import as_bytes
from .slots import problem_of_slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

_TEXT = frozenset((str,))


def problem_of_spec(spec: Any) -> str:
    """Why `spec` cannot be run, or ""."""
    if not isinstance(spec, dict):
        return "the spec is no object"
    argv, environment = spec.get("argv"), spec.get("env") or {}
    if not isinstance(argv, list) or not argv or not _are_texts(argv) or not argv[0]:
        return "argv must be a list of texts, the first one a program"
    if not isinstance(spec.get("cwd"), str) or spec["cwd"][:1] not in ("/", "~"):
        return "cwd must be an absolute path, or begin with ~"
    if not isinstance(environment, dict) or not _are_texts(environment.values()):
        return "env must be an object of texts"
    for name in environment:
        if not name or "=" in name or "\0" in name:
            return "%r cannot be the name of an environment variable" % name
    paths = [path for path in map(spec.get, ("setup", "out", "err", "script")) if path is not None]
    if not _are_texts(paths):
        return "setup, out, err and script must be texts"
    programs = spec.get("programs") or []
    if not isinstance(programs, list) or not _are_texts(programs) or "" in programs:
        return "programs must be a list of texts"
    text = "".join([*argv, *programs, spec["cwd"], *environment, *environment.values(), *paths])
    if "\0" in text:
        return "a text holds a NUL byte, which no process can be given"
    try:
        as_bytes(text)
    except UnicodeEncodeError as error:
        return "%r stands for no bytes" % error.object[error.start : error.end]
    for number in (spec.get("grace"), spec.get("time_limit")):
        if number is not None and not (isinstance(number, (int, float)) and number >= 0):
            return "grace and time_limit must be seconds"
    return problem_of_slots(spec.get("slots"))


def _are_texts(values: Iterable[Any]) -> bool:
    return _TEXT.issuperset(map(type, values))
