"""What may stand behind each key of a host: readers from a node to a value, or a sentence on what was expected.

Host names, users and paths reach command lines (ssh's, a login shell's), so each has a pattern, and nothing that could be
read as an option or as two words passes. What looks like a password is refused without being shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from burnish.core import durations, failures, secrecy
from burnish.core.columns import did_you_mean
from burnish.core.document import Mapping as MappingNode
from burnish.core.document import Node, Scalar, Sequence, kind
from burnish.core.hosts import Busy
from burnish.errors import Problem, printable

HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:-]*")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+\\-]*\$?")
PYTHON = re.compile(r"(?:~/)?[A-Za-z0-9/._+][A-Za-z0-9/._+-]*")
GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
JUMP = re.compile(
    r"(?:ssh://)?(?:[A-Za-z0-9_][A-Za-z0-9._+-]*@)?(?:[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SBATCH = re.compile(r"[a-z][a-z0-9-]*")
SBATCH_OWN = frozenset(
    (
        "array", "chdir", "clusters", "comment", "error", "export", "export-file", "help", "hold", "input", "job-name",
        "no-requeue", "output", "parsable", "quiet", "requeue", "test-only", "usage", "version", "wait", "wrap",
    )
)  # fmt: skip
GPU = re.compile(r"[0-9]{1,3}|(?:GPU|MIG)-[0-9A-Za-z/-]+")
PASSWORD_KEY = re.compile(r"(^|_)pass(word|wd|phrase)?$", re.IGNORECASE)
NO_PASSWORDS = "passwords are not supported; use a key or ssh-agent. (What was written is not shown.)"

MAX_SLOTS = 100_000
MAX_PER_GPU = 64
MAX_GPUS = 64


class Unreadable(Exception):
    """A value cannot be used; holds the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


Reader = Callable[[str, Node], Any]


def text(key: str, node: Node, expected: str = "a text") -> str:
    """The text of a scalar; nothing, lists, mappings and control characters are refused."""
    if not isinstance(node, Scalar) or node.null:
        raise _expected(key, node, expected)
    if any((ord(char) < 32 and char not in "\t\n") or char == "\x7f" for char in node.text):
        raise Unreadable(node.problem(f"{key} holds control characters ({printable(secrecy.shown(key, node.text))})."))
    return node.text


def host_name(node: Scalar, what: str = "host name") -> str:
    """A name that ssh may be given. A single colon would be a port, and an @ a user: both have keys of their own."""
    name = node.text
    if "@" in name or "://" in name:
        if re.search(r":[^/@]*@", name.replace("://", "")):
            raise Unreadable(node.problem(NO_PASSWORDS))
        raise Unreadable(node.problem(f'the {what} "{printable(name)}" holds a user; write it as `user:` of the host.'))
    if name.count(":") == 1:
        raise Unreadable(node.problem(f'the {what} "{printable(name)}" holds a port; write it as `port:` of the host.'))
    if node.null or not HOST.fullmatch(name):
        raise Unreadable(
            node.problem(
                f'"{printable(name)}" is no {what}; expected letters, digits, ".", "-" and "_", not beginning with "-" or ".".'
            )
        )
    return name


def number(low: int, high: int) -> Reader:
    """A reader of a whole number from `low` to `high`."""

    def read(key: str, node: Node) -> int:
        expected = f"a whole number from {low} to {high}"
        word = text(key, node, expected)
        if not (word.isascii() and word.isdigit() and len(word) < 12 and low <= int(word) <= high):
            raise _expected(key, node, expected)
        return int(word)

    return read


def one_of(*words: str) -> Reader:
    """A reader of one of `words`."""

    def read(key: str, node: Node) -> str:
        word = text(key, node, " or ".join(words))
        if word not in words:
            raise _expected(key, node, " or ".join(words), did_you_mean(word, words))
        return word

    return read


def pattern(regex: re.Pattern[str], expected: str) -> Reader:
    """A reader of a text that `regex` matches as a whole."""

    def read(key: str, node: Node) -> str:
        word = text(key, node, expected)
        if not regex.fullmatch(word):
            raise _expected(key, node, expected)
        return word

    return read


def path(key: str, node: Node) -> str:
    """An absolute path, or one below the home folder: a relative one would depend on who reads it where."""
    word = text(key, node, "a path that begins with / or ~")
    if not word.startswith(("/", "~")) or "\n" in word:
        raise _expected(key, node, "a path that begins with / or ~")
    return word


def user(key: str, node: Node) -> str:
    """A login name; one with a colon may hold a password and is not shown."""
    word = text(key, node, "a login name")
    if ":" in word:
        raise Unreadable(node.problem(NO_PASSWORDS))
    return str(pattern(USER, "a login name")(key, node))


def hostname(key: str, node: Node) -> str:
    """A name or an address."""
    text(key, node, "a host name or an address")
    assert isinstance(node, Scalar)
    return host_name(node, key)


def jump(key: str, node: Node) -> str:
    """`none`, or jump hosts in the order in which they are passed."""
    expected = "none, or jump hosts such as login or alice@login:2222,inner"
    word = text(key, node, expected)
    if re.search(r":[^@,\]]*@", word.replace("ssh://", "")):
        raise Unreadable(node.problem(NO_PASSWORDS))
    if not all(JUMP.fullmatch(hop.strip()) for hop in word.split(",")):
        raise _expected(key, node, expected)
    return ",".join(hop.strip() for hop in word.split(","))


def setup(key: str, node: Node) -> str:
    """Shell lines: a text, or a list of lines."""
    if isinstance(node, Sequence):
        return "\n".join(text(key, item) for item in node.items)
    return text(key, node, "shell lines")


def gpus(key: str, node: Node) -> str | int | tuple[str, ...]:
    """`auto` (or `all`), a count, a list of indices and UUIDs (also in one text, with commas), `none`."""
    if isinstance(node, Sequence):
        return _listed_gpus(key, node, [text(key, item) for item in node.items])
    word = text(key, node, _GPUS)
    if word in ("auto", "all"):
        return "auto"
    if word == "none":
        return ()
    if word == "0":
        raise Unreadable(node.problem("gpus is 0: no GPUs, or GPU number 0? Write [0] or none."))
    if word.isascii() and word.isdigit() and len(word) < 4 and int(word) <= MAX_GPUS:
        return int(word)
    if "," in word or (GPU.fullmatch(word) and not word.isdigit()):
        return _listed_gpus(key, node, [part.strip() for part in word.split(",")])
    raise _expected(key, node, _GPUS)


_GPUS = f"auto, a count up to {MAX_GPUS}, a list such as [0, 1] or [GPU-8c7…], or none"


def _listed_gpus(key: str, node: Node, names: list[str]) -> tuple[str, ...]:
    if not names:
        raise Unreadable(node.problem("gpus is an empty list; write none for a host without GPUs."))
    for name in names:
        if not GPU.fullmatch(name):
            raise Unreadable(
                node.problem(f'gpus holds "{printable(name)}"; expected an index or a UUID (GPU-…, MIG-…).')
            )
    chosen = tuple(str(int(name)) if name.isdigit() else name for name in names)
    if len(set(chosen)) < len(chosen):
        twice = next(name for name in chosen if chosen.count(name) > 1)
        raise Unreadable(node.problem(f"gpus names {twice} twice."))
    return chosen


def busy(key: str, node: Node) -> Busy | None:
    """`share`, or thresholds."""
    if isinstance(node, Scalar) and node.text == "share":
        return None
    if not isinstance(node, MappingNode):
        raise _expected(key, node, "share, or {max_mem_mib: 500, max_util: 10, quiet_for: 120s}")
    readers: dict[str, Reader] = {"max_mem_mib": number(0, 10**7), "max_util": number(0, 100), "quiet_for": _duration}
    return Busy(**{name.text: known(name, readers)(name.text, value) for name, value in node})


def environment(key: str, node: Node) -> dict[str, str]:
    """Variable -> value."""
    return _table(key, node, VARIABLE, "{NAME: value}")


def sbatch(key: str, node: Node) -> tuple[tuple[str, str], ...]:
    """sbatch's long options without their dashes -> value."""
    options = _table(key, node, SBATCH, '{partition: gpu, time: "4:00:00"}')
    if own := sorted(options.keys() & SBATCH_OWN):
        raise Unreadable(node.problem(f"{key} holds {', '.join(own)}, which burnish sets by itself."))
    return tuple(options.items())


def on_failure(key: str, node: Node) -> tuple[tuple[str, str], ...]:
    """Kind of a failure -> what then."""
    if not isinstance(node, MappingNode):
        raise _expected(key, node, "{oom: hold, no_module: stop}")
    readers: dict[str, Reader] = dict.fromkeys(failures.KINDS, one_of(*failures.POLICIES))
    return tuple((name.text, known(name, readers)(name.text, value)) for name, value in node)


def known(key: Scalar, readers: Mapping[str, Reader]) -> Reader:
    """The reader of `key`. Raises Unreadable, with the nearest key there is."""
    if PASSWORD_KEY.search(key.text):
        raise Unreadable(key.problem(NO_PASSWORDS))
    if key.text not in readers:
        near = did_you_mean(key.text, readers) or f" Known are {', '.join(readers)}."
        raise Unreadable(key.problem(f'unknown key "{printable(key.text)}".{near}'))
    return readers[key.text]


def _duration(key: str, node: Node) -> float:
    seconds = durations.parse(text(key, node, durations.EXPECTED))
    if seconds is None:
        raise _expected(key, node, durations.EXPECTED)
    return seconds


def _table(key: str, node: Node, names: re.Pattern[str], expected: str) -> dict[str, str]:
    if not isinstance(node, MappingNode):
        raise _expected(key, node, expected)
    for name, _ in node:
        if not names.fullmatch(name.text):
            read = printable(secrecy.without_secrets(name.text))
            raise Unreadable(name.problem(f'{key} holds the name "{read}"; expected {expected}.'))
    return {name.text: text(f"{key} {name.text}", value) for name, value in node}


def _expected(key: str, node: Node, expected: str, hint: str = "") -> Unreadable:
    read = printable(secrecy.without_secrets(kind(node)))
    return Unreadable(node.problem(f"{key} is {read}; expected {expected}.{hint}"))


HOST_KEYS: dict[str, Reader] = {
    "hostname": hostname,
    "port": number(1, 65535),
    "user": user,
    "proxy_jump": jump,
    "ssh_config": path,
    "host_keys": one_of("strict", "accept-new"),
    "connection": one_of("ssh", "local"),
    "engine": one_of("host", "slurm"),
    "sbatch": sbatch,
    "workdir": path,
    "python": pattern(PYTHON, "a program's name or path of letters, digits and / . _ + -"),
    "state_dir": path,
    "setup": setup,
    "env": environment,
    "gpus": gpus,
    "slots_per_gpu": number(1, MAX_PER_GPU),
    "slots": number(0, MAX_SLOTS),
    "busy": busy,
    "on_failure": on_failure,
}
