"""`burnish create`: expand a sweep into a table."""

from __future__ import annotations

from typing import Any

import click

from burnish.cli import options
from burnish.cli.commands import SETTINGS
from burnish.cli.options import Context
from burnish.cli.parameters import Whole
from burnish.errors import UsageError


@click.command(context_settings=SETTINGS)
@click.option("--yaml", metavar="FILE", help="A grid in YAML.")
@click.option("--csv", metavar="FILE", help="A row per job.")
@click.option("--func", metavar="M.F", help="A Python function that returns the jobs.")
@click.option("--wandb", metavar="FILE", help="A sweep file of Weights & Biases; read offline.")
@click.option("--append", is_flag=True, help="Add the combinations that the table does not have yet.")
@click.option("--force", is_flag=True, help="Replace a table with no running jobs; the old one is kept as .bak.")
@click.option(
    "--max_jobs", type=Whole(1), default=100_000, show_default=True, metavar="N", help="Refuse larger sweeps."
)
@click.option("-n", "--dry_run", is_flag=True, help="Print the rows and write nothing.")
@options.common
def create(context: Context, append: bool, force: bool, max_jobs: int, dry_run: bool, **sources: Any) -> None:
    """Make a table: a row per job.

    \b
    Example: burnish create --yaml grid.yaml
    """
    from burnish import creation

    kind, source = options.exactly_one(
        "create", sources, "Nothing was written.", hint="burnish create --yaml grid.yaml"
    )
    if append and force:
        raise UsageError("create takes --append or --force, not both. Nothing was written.")
    grid, warnings = creation.read(kind, source, max_jobs)
    for warning in warnings:
        context.out.say(warning)
    if dry_run:
        context.out.lines(creation.rows(grid))
    else:
        context.out.lines(creation.create(context.paths, context.out.say, grid, append=append, force=force))
