"""Writes docs/reference.md from what each command's --help says.

Usage: `python docs/make_reference.py`. tests/test_docs.py fails while the page is not what this makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from burnish.cli.commands import LISTED
from burnish.cli.main import cli

TARGET = Path(__file__).with_name("reference.md")
WIDTH = 100  # columns

OPENING = """\
# Commands

*Made by `docs/make_reference.py` from what `--help` says. Change it in `burnish/cli/`.*

`burnish help run` shows what `burnish run --help` does.

Options are written with underscores and accept dashes too: `--job_id`, `--job-id`. Ids are `3`, `3,5-8` or `all`. Durations are
`90` or `90s`, `10m`, `2h`, `3d`. Data goes to stdout, talk to stderr. Every option of `run` can stand in the environment as
`BURNISH_RUN_<OPTION>`, for example `BURNISH_RUN_NUM_WORKERS=4`.

| exit code | means |
| ---: | --- |
| 0 | the command did what was asked; of `run` and `wait`: every job they took up is COMPLETE |
| 1 | of `run` and `wait`: a job failed or was lost, a row of the table had to be skipped, or another run still works on jobs |
| 2 | usage or bad input; nothing was started or changed |
| 3 | a host that was needed could not be used or did not answer; of `run`: no host can be used and jobs still wait |
| 4 | burnish broke; running jobs are not affected |
| 130 | interrupted: jobs that run go on |

A run waits for a host that does not answer for as long as it takes, and for a name server that does not answer, too. It ends
with 3 once none of its hosts can be used and nothing of it runs: each turned it away (its key, its login, no Python), could not
run its first jobs, lacks what jobs need, offers no slot, or has a name by which no host is found, for a minute, without having
been reached before, by this run or by a job of the table.
"""


def page() -> str:
    """The whole text of docs/reference.md."""
    return "\n".join([OPENING, *(line for name in LISTED for line in section(name, cli.named(name)))])


def section(name: str, command: click.Command) -> Iterator[str]:
    """One command's heading and help."""
    above = click.Context(cli, info_name="burnish")
    context = command.make_context(name, [], above, resilient_parsing=True, terminal_width=WIDTH)
    yield f"## burnish {name}\n"
    yield f"```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    print(f"wrote {TARGET}")
