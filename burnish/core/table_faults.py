"""What can be wrong with a table's text as a whole, as sentences with the line they speak of.

`csv` says "unexpected end of data" about a quote that was opened a thousand lines above. The scan here runs only once `csv` has
refused a file, and finds what a person has to mend.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from burnish.errors import InputError, Problem, printable

EXAMPLE = "JOB_ID,STATE,--lr"
_HALT = "Nothing new is started until this is fixed; running jobs go on."
_EXCEL = 'In a spreadsheet: save as "CSV UTF-8".'
_CONFLICT = re.compile(r"(?:^|\n)(<{7} |>{7} )")


def _refusal(problems: Sequence[Problem]) -> InputError:
    last = problems[-1]
    return InputError([*problems[:-1], Problem(last.where, f"{last.what} {_HALT}")])


def decoded(data: bytes, name: str) -> str:
    """The text of `data`, a byte order mark included. Raises InputError if it is not UTF-8, or no CSV could carry it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _refusal([Problem(f"{name}:1", f"this is UTF-16; expected UTF-8. {_EXCEL}")])
    if data.startswith(b"PK\x03\x04"):
        raise _refusal([Problem(name, f"this is a spreadsheet's own file, or a zip; expected CSV text. {_EXCEL}")])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"not UTF-8 (byte 0x{data[error.start]:02X}). {_EXCEL}"
        raise _refusal([Problem(f"{name}:{line}", what)]) from None
    if "\0" in text:
        what = f"a NUL byte; expected text. {_EXCEL}"
        raise _refusal([Problem(f"{name}:{_line(text, text.index(chr(0)))}", what)])
    if "\r" in text and (lone := re.search(r"\r(?!\n)", text)) is not None:
        what = "a carriage return without a newline; expected lines that end with \\n or \\r\\n."
        raise _refusal([Problem(f"{name}:{_line(text, lone.start())}", what)])
    _refuse_conflict(text, name)
    return text


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _refuse_conflict(text: str, name: str) -> None:
    """A merge that git left undone. After an odd number of quotes such a line is inside a field: somebody's argument."""
    for found in _CONFLICT.finditer(text):
        if text.count('"', 0, found.start()) % 2 == 0:
            mark = found.group(1).strip()
            what = f'git conflict markers ("{mark}"). Choose one side and remove the markers.'
            raise _refusal([Problem(f"{name}:{_line(text, found.start(1))}", what)])


def check_header(fields: list[str], raw: str, line: int, name: str, required: tuple[str, ...]) -> None:
    """Raise InputError with all that is wrong with a header: a column is missing, has no name, or stands twice."""
    where = f"{name}:{line}"
    if fields[0].lower().startswith("sep="):
        raise _refusal(
            [Problem(where, f'"{printable(raw.strip(), 40)}" is a spreadsheet\'s mark, no header. Delete this line.')]
        )
    if (found := _other_delimiter(raw, required)) is not None:
        raise _refusal([Problem(where, f"{found} between fields; expected commas.")])
    problems = [Problem(where, what) for what in (*_missing(fields, required), *_unnamed(fields), *_repeated(fields))]
    if problems:
        raise _refusal(problems)


def _other_delimiter(raw: str, required: tuple[str, ...]) -> str | None:
    for mark, spoken in ((";", "found ;"), ("\t", "found tabs"), ("|", "found |")):
        names = {piece.strip().strip('"') for piece in raw.strip().split(mark)}
        if len(names) > 1 and set(required) <= names:
            return spoken
    return None


def _near(column: str, names: list[str]) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(column, names, n=1, cutoff=0.7)


def _missing(fields: list[str], required: tuple[str, ...]) -> list[str]:
    names = [field.strip() for field in fields]
    sentences = []
    for column in required:
        if column in names:
            continue
        near = _near(column, [name.upper() for name in names if name not in required])
        meant = [name for name in names if near and name.upper() == near[0]]
        guess = (
            f' Is "{printable(meant[0], 60)}" meant? Write {column}.'
            if meant
            else f" Expected a header such as {EXAMPLE}."
        )
        shown = printable(", ".join(names), 200)
        sentences.append(f'no column "{column}". Found: {shown}.{guess}')
    return sentences


def _unnamed(fields: list[str]) -> list[str]:
    return [
        f"column {number} has no name. Name it or delete it (pandas: to_csv(index=False))."
        for number, field in enumerate(fields, 1)
        if not field.strip()
    ]


def _repeated(fields: list[str]) -> list[str]:
    names = [field.strip() for field in fields]
    return [
        f'the column "{printable(name, 60)}" stands {names.count(name)} times; expected once.'
        for name in dict.fromkeys(names)
        if name and names.count(name) > 1
    ]


def quoting(lines: list[str], start: int, error: csv.Error, name: str) -> InputError:
    """What `csv` means by `error`, met in the record that begins at index `start` of `lines`."""
    text = "".join(lines[start:])
    header = next(csv.reader(lines[:1]), []) if start else []
    fault = _scan(text)
    if fault is None:
        return _refusal([Problem(f"{name}:{start + 1}", f"cannot be read as CSV ({error}).")])
    opened, closed, column = fault
    line = start + _line(text, opened)
    label = f"column {printable(header[column], 60)}" if column < len(header) else f"field {column + 1}"
    if closed is None:
        what = f"the quote opened in {label} is never closed (the file ends inside it)."
    elif "\n" in text[opened:closed]:
        end = start + _line(text, closed)
        what = f"the quote opened in {label} is closed only at line {end}, with text after it. Close it where the field ends."
    else:
        what = f'text after the closing quote in {label}. To put a quote inside a field, double it: "say ""hi""".'
    return _refusal([Problem(f"{name}:{line}", what)])


def _scan(text: str) -> tuple[int, int | None, int] | None:
    """The first quoted field that does not end as one: where it opens, where it closes (None: never), and its number, from 0."""
    place = column = 0
    while place < len(text):
        if text[place] == '"':
            opened = place
            closed = _closing_quote(text, opened)
            if closed is None or text[closed + 1 : closed + 2] not in (",", "\n", "\r", ""):
                return opened, closed, column
            place = closed + 1
        else:
            end = re.compile(r"[,\n]").search(text, place)
            place = end.start() if end else len(text)
        if text[place : place + 1] == ",":
            column += 1
        elif place < len(text):
            place = text.index("\n", place)
            column = 0
        place += 1
    return None


def _closing_quote(text: str, opened: int) -> int | None:
    place = opened + 1
    while (place := text.find('"', place)) != -1:
        if text[place + 1 : place + 2] != '"':
            return place
        place += 2
    return None
