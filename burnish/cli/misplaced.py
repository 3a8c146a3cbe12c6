"""Words that stand on a command line without their option: what they were meant for, as a command to type. Pure."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Sequence

_IDS = re.compile(r"[0-9]+(-[0-9]+)?|all", re.ASCII)
_PYTHON = re.compile(r"\S*python[0-9.]*\s")  # a command in quotes
# The option that a file is meant for, by the end of its name and by the command.
_YAML = {"create": "--yaml", "run": "--hosts", "status": "--hosts", "drain": "--hosts", "check": "--yaml"}
_FILES = {".yaml": _YAML, ".yml": _YAML, ".csv": {"create": "--csv"}, ".py": {"run": "--python_file"}}
_TABLE = (".db", "--db_file")
# Of these, a command takes one.
_WAYS = {"create": ("--yaml", "--csv", "--func", "--wandb"), "run": ("--func", "--python_file", "--command")}


def ids_of(words: Sequence[str]) -> str:
    """`3,5-8` of the words `3, 5-8`; empty if one of them is none."""
    pieces = [piece for word in words for piece in word.split(",") if piece]
    return ",".join(pieces) if all(map(_IDS.fullmatch, pieces)) else ""


def as_meant(name: str, options: Collection[str], takes_job: bool, text: str, typed: Sequence[str]) -> str:
    """What to type instead of the command `typed`, in which `text` is too much; empty where that cannot be told.

    `name` is the command, `options` are those that it has, `takes_job` is true if it takes the job that is meant as a word.
    """
    places, given = _places(text, typed), [_spelt(word) for word in typed]
    if not places or ("--command" in given and given.index("--command") < places[-1]):
        return ""  # what stands behind a command may be a part of it
    words = [typed[place] for place in places]
    if ids := ids_of(words):
        if takes_job:
            return f"one job at a time: burnish {name} {next(filter(_IDS.fullmatch, typed), ids)}"
        found = ["--job_id", ids] if "--job_id" in options and "--job_id" not in given else None
    elif (found := _by_name(name, words, given)) is None and name == "run" and _is_command(words, given):
        found = ["--command", shlex.join(words) if len(words) > 1 else words[0]]
    rest = [word for place, word in enumerate(typed) if place not in places and word != "--"]
    return shlex.join(["burnish", *rest, *found]) if found else ""


def _places(text: str, typed: Sequence[str]) -> list[int]:
    """Where the words stand in `typed` that `text` is made of, with blanks between; none if that is not seen."""
    places: list[int] = []
    rest = f" {text}"
    for place in reversed(range(1, len(typed))):
        if rest.endswith(f" {typed[place]}"):
            places.insert(0, place)
            rest = rest.removesuffix(f" {typed[place]}")
    return [] if rest else places


def _by_name(name: str, words: Sequence[str], given: Collection[str]) -> list[str] | None:
    """The words, each behind the option that its ending tells of; None if one is not told, or not free any more."""
    found: list[str] = []
    taken, ways = {*given}, _WAYS.get(name, ())
    for word in words:
        ending = _ending(word)
        option = _TABLE[1] if ending == _TABLE[0] else _FILES.get(ending, {}).get(name)
        if option is None or option in taken or _PYTHON.match(word) or (option in ways and taken & {*ways}):
            return None
        taken.add(option)
        found += [option, word]
    return found


def _is_command(words: Sequence[str], given: Collection[str]) -> bool:
    """True if the words may be what a run is to start, and nothing else is."""
    return not {*given} & {*_WAYS["run"]} and (len(words) == 1 or not _ending(words[0]))


def _ending(word: str) -> str:
    """The end of a file's name, if it tells what the file is; empty for other words."""
    ending = os.path.splitext(word)[1].lower()
    return ending if ending in (*_FILES, _TABLE[0]) else ""


def _spelt(word: str) -> str:
    """`--num_jobs` of `--num-jobs=3`."""
    return "--" + word.partition("=")[0].removeprefix("--").replace("-", "_") if word.startswith("--") else ""
