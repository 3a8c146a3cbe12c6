"""The next text of a table: only what changed is written anew, the rest stays byte for byte.

Who edits a file by hand recognises it afterwards: quotes, spaces, blank lines, line ends and the order of rows are theirs. A
row that changed gets new text in the fields that changed, and keeps its own in the others. New jobs go below. No row is ever
taken away here: a row goes when a person deletes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec.structs import replace

from burnish.core.jobs import Job, JobId
from burnish.core.spoilt import spoilt
from burnish.core.table import ID_COLUMN, STATE_COLUMN, Row, Table

_NO_IDS: Mapping[int, JobId] = {}


def render(
    table: Table | None,
    jobs: Mapping[JobId, Job],
    columns: Sequence[str],
    ids: Mapping[int, JobId] = _NO_IDS,
    changed: Collection[JobId] | None = None,
    name: str = "burnish.db",
) -> Table:
    """The table as it should read, made from `table`, the text that is in place now (None: there is none).

    `columns`: of the jobs' cells. `ids`: row number -> id, for rows whose JOB_ID is empty (`Merged.ids`, `Base.ids`). `changed`:
    only these jobs can differ from `table` (None: any may), which makes the cost that of the jobs that changed.
    """
    if table is None or table.empty:
        table = _blank(columns, name)
    elif table.columns != tuple(columns):
        table = _reshaped(table, columns)
        changed = None
    bound = {job: number for number, job in ids.items()}
    wanted: Iterable[JobId] = jobs if changed is None else sorted({*changed, *bound})
    records, rows = table.records.copy(), table.rows.copy()
    missing = []
    moved = False
    for job_id in wanted:
        job = jobs.get(job_id)
        number = table.index.get(job_id, bound.get(job_id))
        if job is None or (job.removed and job_id not in bound):
            continue
        if number is None:
            missing.append(job)
            continue
        row = rows[number]
        raw = _patched(row, job, table)
        if raw is not row.raw:
            records[row.at] = raw
            moved |= raw.count("\n") != row.raw.count("\n")
            rows[number] = Row(row.line, row.at, job.id, str(job.word), job.cells, raw)
    found = {job: number for job, number in bound.items() if rows[number].id == job}
    index = {**table.index, **found} if found else table.index
    following = replace(table, records=records, rows=rows, index=index)
    if missing:
        lost = spoilt(table, jobs, columns)  # a row of such a job stands there, though nobody can read whose it is
        following = _extended(following, [job for job in missing if job.id not in lost])
    return _renumbered(following) if moved else following


def quoted(text: str) -> str:
    """`text` as a CSV field: in quotes where a reader, or an editor that trims, would otherwise see something else."""
    if any(char in text for char in ',"\r\n') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


def split_record(body: str) -> list[str]:
    """The raw fields of a record without its line end: `",".join` of them is the record. Quotes stay where they are."""
    if '"' not in body:
        return body.split(",")
    fields, place = [], 0
    while True:
        end = _field_end(body, place)
        fields.append(body[place:end])
        if end == len(body):
            return fields
        place = end + 1


def _field_end(body: str, place: int) -> int:
    if body[place : place + 1] == '"':
        place += 1
        while body[place] != '"' or body[place + 1 : place + 2] == '"':
            place += 2 if body[place] == '"' else 1
        return place + 1
    end = body.find(",", place)
    return len(body) if end == -1 else end


def _patched(row: Row, job: Job, table: Table) -> str:
    """The row's record with this job in it: the same object if nothing differs."""
    if not row.usable or (row.id == job.id and row.word == job.word.value and row.cells == job.cells):
        return row.raw
    body = row.raw.rstrip("\r\n")
    fields = split_record(body)
    if row.id != job.id:
        fields[table.id_at] = str(job.id)
    if row.word != job.word.value:
        fields[table.state_at] = job.word.value
    if row.cells != job.cells:
        places = [place for place in range(len(table.header)) if place not in (table.id_at, table.state_at)]
        for place, old, new in zip(places, row.cells, job.cells, strict=True):
            if old != new:
                fields[place] = quoted(new)
    return ",".join(fields) + row.raw[len(body) :]


def _record(job: Job, table: Table) -> str:
    fields = [quoted(cell) for cell in job.cells]
    for place, text in sorted(((table.id_at, str(job.id)), (table.state_at, job.word.value))):
        fields.insert(place, text)
    return ",".join(fields) + table.newline


def _blank(columns: Sequence[str], name: str) -> Table:
    header = (ID_COLUMN, STATE_COLUMN, *columns)
    head = ",".join(map(quoted, header)) + "\n"
    return Table(name, False, "\n", header, head, [], [], {})


def _extended(table: Table, jobs: Sequence[Job]) -> Table:
    """`table` with rows for `jobs` below its last one, above the blank lines at its end."""
    records, rows, index, head = table.records.copy(), table.rows.copy(), dict(table.index), table.head
    if rows:
        last = rows[-1] if rows[-1].raw.endswith("\n") else rows[-1]._replace(raw=rows[-1].raw + table.newline)
        rows[-1] = last
        records[last.at] = last.raw
        place, line = last.at + 1, last.line + last.raw.count("\n")
    else:
        head += "" if head.endswith("\n") else table.newline
        place, line = 0, 1 + head.count("\n")
    added: list[str] = []
    for job in jobs:
        raw = _record(job, table)
        index[job.id] = len(rows)
        rows.append(Row(line, place + len(added), job.id, str(job.word), job.cells, raw))
        added.append(raw)
        line += raw.count("\n")
    records[place:place] = added
    return replace(table, head=head, records=records, rows=rows, index=index)


def _reshaped(table: Table, columns: Sequence[str]) -> Table:
    """`table` with the columns of the jobs: fields move with their names, a new column is empty."""
    names = list(columns)
    for place, name in sorted(
        ((table.id_at, table.header[table.id_at]), (table.state_at, table.header[table.state_at]))
    ):
        names.insert(place, name)
    old = {name: place for place, name in enumerate(table.header)}
    end = table.head[len(table.head.rstrip("\r\n")) :]
    above = table.head[: -len(table.head.lstrip("\r\n"))]
    records = table.records.copy()
    rows: list[Row] = []
    cell_at = {name: place for place, name in enumerate(table.columns)}
    for row in table.rows:
        if row.cells or not table.columns:
            body = row.raw.rstrip("\r\n")
            fields = split_record(body)
            raw = ",".join(fields[old[name]] if name in old else "" for name in names) + row.raw[len(body) :]
            cells = tuple(row.cells[cell_at[name]] if name in cell_at else "" for name in columns)
            row = row._replace(raw=raw, cells=cells)
            records[row.at] = raw
        rows.append(row)
    head = above + ",".join(map(quoted, names)) + end
    return _renumbered(
        Table(table.name, table.bom, table.newline, tuple(names), head, records, rows, table.index, table.problems)
    )


def _renumbered(table: Table) -> Table:
    """`table` with the line of each row counted again."""
    line, lines = 1 + table.head.count("\n"), []
    for record in table.records:
        lines.append(line)
        line += record.count("\n")
    return replace(table, rows=[row._replace(line=lines[row.at]) for row in table.rows])
