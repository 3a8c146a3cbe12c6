"""What a job runs: an argv, and what it needs around it.

No shell stands between a table and a job. A template is split into elements once, before any value is known, and filled
afterwards, so an element stays one element whatever quotes, spaces or newlines the value holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from burnish.core.columns import CONTROL_COLUMNS, RESERVED_COLUMNS, did_you_mean, overlong
from burnish.errors import UsageError, printable

MAX_TOTAL = 6 << 20

# The first of `python`, `python3` on the job's own PATH, which only the job's host knows.
PYTHON_ON_PATH = (
    "/bin/sh",
    "-c",
    'p=python; command -v python >/dev/null 2>&1 || p=python3; exec "$p" "$@"',
    "python",
)

_PYTHON = re.compile(r"python[0-9.]*")
_NOT_ARGUMENTS = frozenset(RESERVED_COLUMNS + CONTROL_COLUMNS)
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
_OPERATOR = re.compile(r"(?<!\S)(\|\|?|&&?|;|[0-9]?>>?(?:&[0-9])?|<)(?!\S)|(;)(?=\s|$)")
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class Command(Struct, frozen=True):
    """A command a runner returns: `argv` as given (no shell), `env` added to the job's environment, `cwd` or the work folder."""

    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: str | None = None


class _Field(Struct, frozen=True):
    """A placeholder: the cell of this column goes here."""

    column: str


class Template(Struct, frozen=True):
    """`python train.py lr={--lr} {--amp}`, split into argv elements of literal text and fields.

    An element that is nothing but one field is left out where the cell is empty (so `{--amp}` gives the bare flag or
    nothing); anywhere else an empty cell fills in as empty text.
    """

    elements: tuple[tuple[str | _Field, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Raises UsageError: no closing quote, a brace without its partner, a shell's operator, nothing at all."""
        import shlex

        operator = _OPERATOR.search(_QUOTED.sub("_", text))
        if operator:
            raise UsageError(
                f"--command: {operator.group().strip()} is for a shell, and the command is run without one.",
                hint="write --command \"sh -c 'first && second'\", or quote the character",
            )
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise UsageError(f"--command: {str(error).lower()} in: {printable(text)}") from None
        if not words:
            raise UsageError("--command is empty; expected a command such as 'python train.py lr={--lr}'.")
        return cls(tuple(_parts(word) for word in words))

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that the template names, each once, in order."""
        return tuple(
            dict.fromkeys(part.column for parts in self.elements for part in parts if isinstance(part, _Field))
        )

    @property
    def program(self) -> str | None:
        """What every job starts; None if that depends on the job."""
        first = self.elements[0]
        return None if any(isinstance(part, _Field) for part in first) else "".join(map(str, first))

    def check(self, columns: Iterable[str]) -> None:
        """Raises UsageError when a field names no column of the table. `columns`: all of them, JOB_ID and STATE included."""
        known = list(columns)
        for field in self.fields:
            if field not in known:
                raise UsageError(
                    f"--command: the table has no column for {{{printable(field)}}}.{did_you_mean(field, known)}"
                    f" Columns: {', '.join(map(printable, known))}.",
                    hint="a literal brace is written twice: {{ or }}",
                )

    def fill(self, cells: Mapping[str, str]) -> tuple[str, ...]:
        """The argv for one job. `cells`: column -> text, for every field."""
        argv = []
        for parts in self.elements:
            text = "".join(cells[part.column] if isinstance(part, _Field) else part for part in parts)
            if text or not (len(parts) == 1 and isinstance(parts[0], _Field)):
                argv.append(text)
        return tuple(argv)


def as_shown(argv: Sequence[str]) -> str:
    """`argv` as a person would type it. Where the job's host chooses between `python` and `python3`, that is `python`."""
    import shlex  # runner files import this module, and most of them show nothing

    chosen = tuple(argv[: len(PYTHON_ON_PATH)]) == PYTHON_ON_PATH
    return shlex.join(["python", *argv[len(PYTHON_ON_PATH) :]] if chosen else argv)


def sought(argv: Sequence[str]) -> dict[str, Any]:
    """What a host must have beside `argv[0]` for this to run at all: one of `programs`, the file `script`; where it is known."""
    if tuple(argv[: len(PYTHON_ON_PATH)]) == PYTHON_ON_PATH:
        return {"programs": ["python", "python3"], **_script(argv[len(PYTHON_ON_PATH) :])}
    return _script(argv[1:]) if _PYTHON.fullmatch(argv[0].rpartition("/")[2]) else {}


def _script(words: Sequence[str]) -> dict[str, str]:
    """The file that Python reads, if `words` begin with its name and not with an option."""
    return {"script": words[0]} if words and words[0][:1] not in ("", "-") else {}


def arguments(columns: Sequence[str], cells: Sequence[str]) -> tuple[str, ...]:
    """`KEY VALUE …` in column order, without JOB_ID, STATE and control columns.

    An empty cell leaves its argument out; one that equals its column's name is a bare flag.
    """
    argv = []
    for column, cell in zip(columns, cells, strict=True):
        if not cell or column in _NOT_ARGUMENTS:
            continue
        argv.append(column)
        if cell != column:
            argv.append(cell)
    return tuple(argv)


def for_python_file(python: str | None, path: str, columns: Sequence[str], cells: Sequence[str]) -> tuple[str, ...]:
    """`python path KEY VALUE …`. `python` None: the first of python, python3 on the job's own PATH."""
    program = (python,) if python else PYTHON_ON_PATH
    # A path that begins with a dash would be read as an option of python itself.
    return (*program, f"./{path}" if path.startswith("-") else path, *arguments(columns, cells))


def check_limits(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str | None:
    """Why no Linux can start this, as a sentence, or None. Values are not shown: they may be secrets."""
    if not argv:
        return "the command is empty; expected at least the name of a program."
    if not argv[0]:
        return "the command's first element, the program, is an empty text."
    total = 0
    for index, text in enumerate(argv):
        fault, size = _unpassable(text)
        total += size
        if fault:
            before = f" (after {printable(argv[index - 1], 40)})" if index and argv[index - 1].startswith("-") else ""
            return f"argument {index}{before} {fault}"
    for name, value in (env or {}).items():
        if not name or "=" in name or "\0" in name:
            return f'"{printable(name, 40)}" cannot be the name of an environment variable.'
        fault, size = _unpassable(f"{name}={value}")
        total += size
        if fault:
            return f"environment variable {printable(name, 40)} {fault}"
    if total > MAX_TOTAL:
        return f"the command is {total:,} bytes in all; Linux passes at most {MAX_TOTAL:,}. Put long values in files."
    return None


def _unpassable(text: str) -> tuple[str | None, int]:
    try:
        size = len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate), which no program can be given.", 0
    if "\0" in text:
        return "holds a NUL byte, which no program can be given.", size
    return overlong(text), size


def _parts(word: str) -> tuple[str | _Field, ...]:
    parts: list[str | _Field] = []
    end = 0
    for match in _BRACES.finditer(word):
        parts.append(word[end : match.start()])
        end = match.end()
        if match.group() in ("{{", "}}"):
            parts.append(match.group()[0])
        elif match.group(1):
            parts.append(_Field(match.group(1)))
        else:
            raise UsageError(
                f"--command: a {match.group()[0]} without its partner, or with nothing in it, in: {printable(word)}",
                hint='a literal brace is written twice: {{ or }}; a column with spaces needs quotes: "{my column}"',
            )
    parts.append(word[end:])
    return _joined(parts)


def _joined(parts: Iterable[str | _Field]) -> tuple[str | _Field, ...]:
    """`parts` with neighbouring texts made one and empty ones dropped; an element of nothing is one empty text."""
    joined: list[str | _Field] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part:
            joined.append(part)
    return tuple(joined) or ("",)
