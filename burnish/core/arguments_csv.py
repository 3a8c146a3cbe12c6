"""A CSV of arguments: the header names them, every further line is a job.

Strict, because a guess here is a wrong experiment: a line with too few or too many fields, a quote that never closes and a
file that separates by something else than commas are named, not repaired. Cells stay the text that they are, formulas too.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from burnish.core.columns import RESERVED_COLUMNS
from burnish.core.sweep import MAX_JOBS, Grid, from_rows
from burnish.errors import InputError, Problem, counted, printable

_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_Line = tuple[int, list[str]]


def parse(text: str, file: str, max_jobs: int = MAX_JOBS) -> Grid:
    """The jobs in `text`; problems name `file` and the line a row begins at. Raises InputError with all of them."""
    lines = [(number, fields) for number, fields in _lines(text, file) if any(field.strip() for field in fields)]
    if not lines:
        raise InputError(
            [Problem(f"{file}:1", "the file is empty; expected a line of argument names, then a line for each job.")]
        )
    (first, header), rows = lines[0], lines[1:]
    _check_header(header, f"{file}:{first}", rows)
    ragged = [_raggedness(fields, header, f"{file}:{number}") for number, fields in rows if len(fields) != len(header)]
    if ragged:
        raise InputError(ragged)
    numbers = [number for number, _ in rows]
    fields = (row for _, row in rows)
    return from_rows(header, fields, f"{file}:{first}", max_jobs, lambda index: f"{file}:{numbers[index]}")


def _lines(text: str, file: str) -> Iterator[_Line]:
    """Each record with the number of the line it begins at."""
    reader = csv.reader(_split(text), strict=True)
    begun = 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError([Problem(f"{file}:{begun}", _csv_fault(error))]) from None
        yield begun, fields
        begun = reader.line_num + 1


def _split(text: str) -> Iterator[str]:
    """Lines as CSV means them: `str.splitlines` also splits at a form feed or U+2028, which are part of a cell."""
    lines = text.split("\n")
    yield from (f"{line}\n" for line in lines[:-1])
    yield lines[-1]


def _csv_fault(error: csv.Error) -> str:
    what = str(error)
    if "unexpected end of data" in what:
        return "a quote opened in this row is never closed (the file ends inside it)."
    if "expected after" in what:
        return 'text after a closing quote. To put a quote inside a field, double it: "say ""hi""".'
    if "new-line character" in what:
        return "a carriage return without a line feed; save the file with line ends of Unix or Windows."
    return f"not CSV: {what}."


def _check_header(header: list[str], where: str, rows: list[_Line]) -> None:
    if header[0].strip().lower().startswith("sep=") and len("".join(header).strip()) <= len("sep=;"):
        what = "this line is Excel's note about the separator. Remove it, and save the file separated by commas."
        raise InputError([Problem(where, what)])
    other = _other_delimiter(header)
    if other:
        what = f"found {_OTHER_DELIMITERS[other]} between fields; expected commas. Save the file as CSV with commas."
        raise InputError([Problem(where, what)])
    own = [name for name in header if name in RESERVED_COLUMNS]
    if own:
        what = (
            f"the header has {' and '.join(own)}, so this is a table and not a CSV of arguments. "
            f"Give it to the other commands as --db_file, or remove {'these columns' if len(own) > 1 else 'this column'}."
        )
        raise InputError([Problem(where, what)])
    problems = [
        Problem(where, f"column {index + 1} has no name.") for index, name in enumerate(header) if not name.strip()
    ]
    if not rows:
        problems.append(
            Problem(where, f"only a header ({printable(', '.join(header))}); expected a line for each job.")
        )
    if problems:
        raise InputError(problems)


def _other_delimiter(header: list[str]) -> str | None:
    only = header[0] if len(header) == 1 else ""
    return next((character for character in _OTHER_DELIMITERS if character in only.strip()), None)


def _raggedness(fields: list[str], header: list[str], where: str) -> Problem:
    shown = printable(",".join(fields), 80)
    found = f"{counted(len(fields), 'field')} where the header has {len(header)}"
    if len(fields) > len(header):
        return Problem(where, f"{found} (an unquoted comma?): {shown}")
    missing = ", ".join(printable(name) for name in header[len(fields) :])
    return Problem(where, f"{found}; no {missing}: {shown}")
