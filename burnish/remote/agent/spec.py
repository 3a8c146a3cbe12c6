"""Whether a spec, what is asked of one attempt, can be run at all."""

from __future__ import annotations

from .files import as_bytes
from .slots import problem_of_slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def problem_of_spec(spec: Any) -> str:
    """Why `spec` cannot be run, or ""."""
    if not isinstance(spec, dict):
        return "the spec is no object"
    argv, environment = spec.get("argv"), spec.get("env") or {}
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv) or not argv[0]:
        return "argv must be a list of texts, the first one a program"
    if not isinstance(spec.get("cwd"), str) or spec["cwd"][:1] not in ("/", "~"):
        return "cwd must be an absolute path, or begin with ~"
    if not isinstance(environment, dict) or not all(isinstance(value, str) for value in environment.values()):
        return "env must be an object of texts"
    for name in environment:
        if not name or "=" in name or "\0" in name:
            return "%r cannot be the name of an environment variable" % name
    paths = [spec.get(key) for key in ("setup", "out", "err", "script")]
    if not all(value is None or isinstance(value, str) for value in paths):
        return "setup, out, err and script must be texts"
    programs = spec.get("programs") or []
    if not isinstance(programs, list) or not all(isinstance(program, str) and program for program in programs):
        return "programs must be a list of texts"
    texts = [*argv, *programs, spec["cwd"], *environment, *environment.values(), *(path for path in paths if path)]
    if "\0" in "".join(texts):
        return "a text holds a NUL byte, which no process can be given"
    try:
        as_bytes("".join(texts))
    except UnicodeEncodeError as error:
        return "%r stands for no bytes" % error.object[error.start : error.end]
    numbers = [spec.get(key) for key in ("grace", "time_limit")]
    if not all(value is None or (isinstance(value, (int, float)) and value >= 0) for value in numbers):
        return "grace and time_limit must be seconds"
    return problem_of_slots(spec.get("slots"))
