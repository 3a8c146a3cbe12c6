"""The structure of the code, kept by reading its imports: arrows point one way, the core is pure, names say what things are.

Each rule is a function from a file's path and syntax tree to complaints, and each goes red on a violation planted below.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent
AGENT = "burnish/remote/agent"
MAX_LINES = 450

# errors <- core <- store | views | remote <- slurm <- runners <- coordinator <- session <- cli
# Modules of one rank do not import each other.
RANKS = {
    "errors": 0,
    "core": 1,
    "store": 2,
    "views": 2,
    "remote": 2,
    "slurm": 3,
    "runners": 4,
    "fleet": 5,
    "inbox": 5,
    "changes": 5,
    "preparation": 5,
    "projection": 5,
    "survey": 5,
    "watchdog": 5,
    "retried": 5,
    "silence": 5,
    "detaching": 5,
    "completing": 5,
    "garbage": 5,
    "hook": 5,
    "fetching": 5,
    "adoption": 6,
    "hearing": 6,
    "leftovers": 6,
    "inspection": 6,
    "vacancies": 7,
    "roster": 6,
    "plan": 7,
    "claiming": 8,
    "orders": 6,
    "brakes": 8,
    "placing": 8,
    "coordinator": 9,
    "session": 10,
    "cleaning": 11,
    "creation": 11,
    "dry_run": 11,
    "editing": 11,
    "steering": 11,
    "following": 11,
    "viewing": 12,
    "whereabouts": 11,
    "checkup": 12,
    "cli": 13,
    "__main__": 14,
}
# What user code imports; `burnish/__init__.py` gives the two names that runner files need.
RANKS["util"] = RANKS[""] = 2
ENTRY = {"burnish/__init__.py": ("burnish.util", "burnish.core.command", "burnish")}

# Inside the agent's package, from the bottom: a module imports only what stands before it, and the coordinator only two of them.
AGENT_ORDER = (
    "__init__", "refusals", "compact_json", "frames", "files", "inotify", "records", "room", "place", "locks", "processes",
    "common_locks", "slots", "nvidia_smi", "gpu_reading", "traces", "standing", "notices", "forking", "oom", "spec", "result",
    "job", "needs", "checkout", "held_slots", "logs", "pulse", "guard", "surroundings", "supervisor", "alone", "undertaker",
    "home", "outbox", "tails", "watches", "crews", "folder_look", "looks", "starts", "stops", "keeping", "commands", "batch",
    "serving",
)  # fmt: skip
SHARED = ("frames", "inotify")

INPUT_OUTPUT = {
    "os", "io", "time", "threading", "subprocess", "socket", "logging", "shutil", "tempfile", "select", "selectors", "signal",
    "fcntl", "asyncio", "multiprocessing", "random", "secrets", "concurrent", "mmap", "urllib", "http", "queue",
}  # fmt: skip
PURE_OF_PATHLIB = (["PurePath"], ["PurePosixPath"])
FORBIDDEN_CALLS = {"open", "print", "input"}
CLOCK_CALLS = {"now", "today", "utcnow"}
VAGUE = {"utils", "helper", "helpers", "manager", "managers", "handler", "handlers", "misc"}
VAGUE_ENDINGS = ("Manager", "Helper", "Handler", "Utils")
AT_HOME = {
    "fabric": ("burnish/remote/ssh.py",),
    "paramiko": ("burnish/remote/ssh.py",),
    "invoke": ("burnish/remote/ssh.py",),
    "click": ("burnish/cli/",),
    "rich": ("burnish/views/", "burnish/cli/"),
}

# What takes long to import, and what is built on it.
HEAVY = ("rich", "fabric", "paramiko", "burnish.remote.ssh", "burnish.views.foot")

Rule = Callable[[str, ast.Module, str], Iterator[str]]


def imported(path: str, tree: ast.Module) -> Iterator[str]:
    """Dotted names of all that `tree` imports, anywhere: `from a import b` gives `a.b`, as `import a.b` does."""
    package = list(PurePosixPath(path).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{name}.{alias.name}" for alias in node.names)


def layer(path: str) -> str:
    """`core` for burnish/core/jobs.py, `errors` for burnish/errors.py."""
    return PurePosixPath(path).with_suffix("").parts[1]


def arrows_point_down(path: str, tree: ast.Module, _text: str) -> Iterator[str]:
    own = [name for name in imported(path, tree) if name.split(".")[0] == "burnish"]
    if path in ENTRY:
        yield from (f"{path} imports {name}" for name in own if not name.startswith(ENTRY[path][:2]))
        return
    here = layer(path)
    if here not in RANKS:
        yield f"{path} is in no layer: give {here} a place in RANKS"
        return
    for name in own:
        parts = name.split(".")
        there = parts[1] if len(parts) > 1 else ""
        if there == "__version__":
            continue  # a constant
        allowed = there in RANKS and (there == here or RANKS[there] < RANKS[here])
        if not allowed:
            yield f"{path} ({here}) imports {name}: the arrow points up or sideways"


def core_is_pure(path: str, tree: ast.Module, _text: str) -> Iterator[str]:
    if layer(path) != "core":
        return
    for name in imported(path, tree):
        if name.split(".")[0] in INPUT_OUTPUT:
            yield f"{path} imports {name}: the core has no files, clock, threads or logging"
        if name.split(".")[0] == "pathlib" and name.split(".")[1:2] not in PURE_OF_PATHLIB:
            yield f"{path} imports {name}: only PurePath is pure"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in FORBIDDEN_CALLS:
            yield f"{path}:{node.lineno} calls {called.id}()"
        if isinstance(called, ast.Attribute) and called.attr in CLOCK_CALLS and not node.args:
            yield f"{path}:{node.lineno} asks the clock"


def agent_stands_alone(path: str, tree: ast.Module, _text: str) -> Iterator[str]:
    if not path.startswith(f"{AGENT}/"):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            continue
        apart = ast.Module([node], []) if isinstance(node, (ast.Import, ast.ImportFrom)) else ast.Module([], [])
        for name in imported(path, apart):
            if name.startswith("burnish.") or name.split(".")[0] not in sys.stdlib_module_names:
                yield f"{path} imports {name}: the agent is standard library, and its modules import each other as `.name`"


def agent_arrows_point_down(path: str, tree: ast.Module, _text: str) -> Iterator[str]:
    inside = path.startswith(f"{AGENT}/")
    here = PurePosixPath(path).stem
    if inside and here not in AGENT_ORDER:
        yield f"{path} has no place in AGENT_ORDER"
        return
    below = AGENT_ORDER[: AGENT_ORDER.index(here)] if inside else SHARED
    for name in imported(path, tree):
        if f"{name}.".startswith("burnish.remote.agent.") and f"{name}...".split(".")[3] not in below:
            yield f"{path} imports {name}: inside the agent the arrow points up, or from outside it leads to more than {SHARED}"


def private_names_stay_at_home(path: str, tree: ast.Module, _text: str) -> Iterator[str]:
    for name in imported(path, tree):
        last = name.split(".")[-1]
        if name.startswith("burnish.") and last.startswith("_") and not last.endswith("__"):
            yield f"{path} imports {name}: it is private there"


def libraries_stay_at_home(path: str, tree: ast.Module, _text: str) -> Iterator[str]:
    for name in imported(path, tree):
        homes = AT_HOME.get(name.split(".")[0], ("",))
        if not path.startswith(homes):
            yield f"{path} imports {name}, which belongs in {' or '.join(homes)}"


def what_is_heavy_is_lazy(path: str, tree: ast.Module, _text: str) -> Iterator[str]:
    """Imported inside a function, so that `status` and `--help` do not pay for it."""
    if path.removesuffix(".py").replace("/", ".") in HEAVY:
        return
    top = ast.Module([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], [])
    for name in imported(path, top):
        if any(f"{name}.".startswith(f"{heavy}.") for heavy in HEAVY):
            yield f"{path} imports {name} when it is loaded: import it where it is used"


def modules_open_with_a_docstring(path: str, tree: ast.Module, text: str) -> Iterator[str]:
    if text.strip() and not ast.get_docstring(tree):
        yield f"{path} has no docstring"


def modules_hold_one_idea(path: str, _tree: ast.Module, text: str) -> Iterator[str]:
    if text.count("\n") > MAX_LINES:
        yield f"{path} has {text.count(chr(10))} lines: over {MAX_LINES} it holds two ideas"


def names_say_what_things_are(path: str, tree: ast.Module, _text: str) -> Iterator[str]:
    for part in PurePosixPath(path).with_suffix("").parts:
        if VAGUE & set(part.split("_")):
            yield f"{path}: {part} says nothing"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith(VAGUE_ENDINGS):
            yield f"{path}:{node.lineno} class {node.name} says nothing"


RULES: tuple[Rule, ...] = (
    arrows_point_down,
    core_is_pure,
    agent_stands_alone,
    agent_arrows_point_down,
    private_names_stay_at_home,
    libraries_stay_at_home,
    what_is_heavy_is_lazy,
    modules_open_with_a_docstring,
    modules_hold_one_idea,
    names_say_what_things_are,
)


def complaints(rule: Rule, path: str, text: str) -> list[str]:
    return sorted(set(rule(path, ast.parse(text), text)))


def sources() -> list[tuple[str, str]]:
    found = sorted((ROOT / "burnish").rglob("*.py"))
    return [(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in found]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Rule) -> None:
    files = sources()
    assert len(files) > 5
    assert [complaint for path, text in files for complaint in complaints(rule, path, text)] == []


VIOLATIONS = [
    (arrows_point_down, "burnish/errors.py", "from burnish.core import jobs"),
    (arrows_point_down, "burnish/core/state.py", "from burnish.store.journal import Journal"),
    (arrows_point_down, "burnish/core/state.py", "from ..store import journal"),
    (arrows_point_down, "burnish/store/journal.py", "def f():\n    import burnish.views.tables"),
    (arrows_point_down, "burnish/views/live.py", "from burnish import session"),
    (arrows_point_down, "burnish/remote/link.py", "import burnish.coordinator"),
    (arrows_point_down, "burnish/slurm/engine.py", "from burnish.runners import call"),
    (arrows_point_down, "burnish/coordinator.py", "from burnish.session import Session"),
    (arrows_point_down, "burnish/session.py", "from burnish.cli import main"),
    (arrows_point_down, "burnish/core/state.py", "from burnish import Command"),
    (arrows_point_down, "burnish/__init__.py", "from burnish.session import Session"),
    (arrows_point_down, "burnish/unplaced.py", "import json"),
    *((core_is_pure, "burnish/core/state.py", f"import {name}") for name in sorted(INPUT_OUTPUT)),
    (core_is_pure, "burnish/core/state.py", "import os.path"),
    (core_is_pure, "burnish/core/state.py", "from pathlib import Path"),
    (core_is_pure, "burnish/core/state.py", "import pathlib"),
    (core_is_pure, "burnish/core/state.py", "def f():\n    return open('x')"),
    (core_is_pure, "burnish/core/state.py", "import datetime\nx = datetime.datetime.now()"),
    (agent_stands_alone, f"{AGENT}/files.py", "import psutil"),
    (agent_stands_alone, f"{AGENT}/files.py", "from burnish.errors import printable"),
    (agent_stands_alone, f"{AGENT}/files.py", "from burnish.remote.agent.refusals import Refusal"),
    (agent_stands_alone, f"{AGENT}/files.py", "from ..link import Link"),
    (agent_stands_alone, f"{AGENT}/files.py", "from . import refusals"),
    (agent_arrows_point_down, f"{AGENT}/files.py", "from .records import write_once"),
    (agent_arrows_point_down, f"{AGENT}/files.py", "def f():\n    from .serving import serve"),
    (agent_arrows_point_down, f"{AGENT}/unplaced.py", "import json"),
    (agent_arrows_point_down, "burnish/remote/link.py", "from burnish.remote.agent.files import unlink"),
    (agent_arrows_point_down, "burnish/remote/link.py", "from burnish.remote import agent"),
    (private_names_stay_at_home, f"{AGENT}/records.py", "from .files import _private"),
    (private_names_stay_at_home, "burnish/session.py", "from burnish.coordinator import _private"),
    (libraries_stay_at_home, "burnish/remote/link.py", "import paramiko"),
    (libraries_stay_at_home, "burnish/session.py", "def f():\n    import fabric"),
    (libraries_stay_at_home, "burnish/views/tables.py", "import click"),
    (libraries_stay_at_home, "burnish/store/paths.py", "from rich.text import Text"),
    (what_is_heavy_is_lazy, "burnish/views/tables.py", "from rich.table import Table"),
    (what_is_heavy_is_lazy, "burnish/views/dashboard.py", "from burnish.views.foot import Foot"),
    (modules_open_with_a_docstring, "burnish/core/state.py", "import json"),
    (modules_hold_one_idea, "burnish/core/state.py", "x = 1\n" * (MAX_LINES + 1)),
    (names_say_what_things_are, "burnish/core/host_manager.py", ""),
    (names_say_what_things_are, "burnish/remote/utils.py", ""),
    (names_say_what_things_are, "burnish/remote/link.py", "class LinkHandler: ..."),
]


@pytest.mark.parametrize(("rule", "path", "text"), VIOLATIONS, ids=lambda value: getattr(value, "__name__", None))
def test_planted_violation_goes_red(rule: Rule, path: str, text: str) -> None:
    assert complaints(rule, path, text) != []


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (arrows_point_down, "burnish/cli/main.py", "from burnish import __version__"),
        (arrows_point_down, "burnish/session.py", "from burnish.core.jobs import Job\nfrom burnish import errors"),
        (core_is_pure, "burnish/core/sweep.py", "from pathlib import PurePosixPath"),
        (agent_stands_alone, f"{AGENT}/records.py", "import fcntl, os.path\nfrom .files import unlink"),
        (agent_arrows_point_down, f"{AGENT}/records.py", "import os\nfrom .files import unlink"),
        (agent_arrows_point_down, "burnish/remote/link.py", "from burnish.remote.agent.frames import PROTOCOL"),
        (private_names_stay_at_home, "burnish/cli/main.py", "from burnish import __version__"),
        (libraries_stay_at_home, "burnish/remote/ssh.py", "import fabric"),
        (what_is_heavy_is_lazy, "burnish/views/tables.py", "def f():\n    from rich.table import Table"),
    ],
)
def test_what_is_allowed_stays_green(rule: Rule, path: str, text: str) -> None:
    assert complaints(rule, path, text) == []


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, _, _ in VIOLATIONS} == set(RULES)
