"""The pages say what is so: the README's commands are run, and generated pages are what their scripts make.

The README is read as a newcomer reads it: every console block in order, in a copy of the checkout, in one shell, with real jobs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support import console, wait_for

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BURNISH = [sys.executable, "-m", "burnish"]

# The command that runs this test: only what it would do is looked at.
LOOKED_AT = {"make test": "make --dry-run test"}


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """What the README's commands need of a fresh clone, with the environment that `make` would make."""
    folder = tmp_path / "burnish"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder / name)
    for name in ("scripts", "test_dir"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "burnish*", ".burnish")
        )
    (folder / ".venv").mkdir()
    for part in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / part).symlink_to(Path(sys.prefix) / part)
    (folder / ".venv" / "installed").touch()
    yield folder
    for table in folder.glob("*/burnish.db"):  # only after a failure: a tour that ends well has cleaned up
        subprocess.run([*BURNISH, "cancel", "--all", "--grace", "1"], cwd=table.parent, capture_output=True)


def counts(folder: Path) -> dict[str, int]:
    """How many jobs of the table in `folder` are in each state."""
    done = subprocess.run([*BURNISH, "status", "--json"], cwd=folder, capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout)["counts"]
    return found


def test_a_newcomer_types_what_the_readme_says(checkout: Path) -> None:
    environment = {**os.environ, "HOME": str(checkout.parent)}
    shell = console.Shell(checkout, environment)
    entries = list(
        console.typed(README.partition("\n## More machines\n")[0])
    )  # the rest: contract/test_readme_hosts.py
    told = [*(entry.command for entry in entries[1:]), ""]
    try:
        for entry, following in zip(entries, told, strict=True):
            command = entry.command.partition("  #")[0].rstrip()
            output, code = shell.run(LOOKED_AT.get(command, command))
            missing = console.unmet(entry.shown, output)
            assert missing is None, f"$ {command}\n{output}\nshould have shown: {missing}"
            assert code == 0 or following == "echo $?", f"$ {command}\n{output}\nended with {code}"
            if command.endswith("&"):  # a reader takes a moment here
                wait_for(lambda: counts(checkout / "tour")["RUNNING"] > 0, lambda: counts(checkout / "tour"))
    finally:
        shell.close()


def test_the_readme_shows_every_command_of_a_sweep() -> None:
    typed = " ".join(entry.command for entry in console.typed(README))
    wanted = ["make demo", "make test", "kill -9"]
    wanted += [f"burnish {verb}" for verb in ("create", "run", "status", "view", "reset", "cancel", "results", "clean")]
    assert [command for command in wanted if command not in typed] == []


def test_the_runner_in_the_readme_is_the_one_of_the_example() -> None:
    shown = re.search(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert shown
    example = (ROOT / "test_dir" / "example.py").read_text(encoding="utf-8")
    assert re.sub(r'\n    """.*?"""', "", example, flags=re.DOTALL).endswith(shown[1])


@pytest.mark.parametrize(
    ("shown", "output", "missing"),
    [
        (["12 of 12 done, in 9.0s"], "12 of 12 done, in 1m02s\n", None),
        (["12 of 12 done, in 9.0s"], "11 of 12 done, in 9.0s\n", "12 of 12 done, in 9.0s"),
        (["a  b", "c …"], "a b\nsomething between\nc and more\n", None),
        (["c", "a"], "a\nc\n", "a"),
        (["0.95"], "0.9482\n", None),
        (["0.95"], "0\n", "0.95"),
        (["0.9500"], "0.95\n", "0.9500"),
    ],
)
def test_what_is_shown_is_compared(shown: list[str], output: str, missing: str | None) -> None:
    assert console.unmet(shown, output) == missing


def script(name: str) -> ModuleType:
    """A script of docs/, imported."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("page", "maker"), [("states", "make_states"), ("reference", "make_reference")])
def test_generated_page_is_current(page: str, maker: str) -> None:
    made = script(maker).page()
    assert (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8") == made, "make docs writes it anew"


def test_every_command_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    listed = subprocess.run([*BURNISH, "--help"], capture_output=True, text=True, check=True).stdout.partition(
        "Commands:"
    )[2]
    names = [line.split()[0] for line in listed.splitlines() if re.match(r"  \w", line)]
    assert len(names) > 5
    assert [name for name in names if f"## burnish {name}\n" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []


def modules() -> list[str]:
    """Paths below burnish/ of the modules that hold something."""
    files = sorted((ROOT / "burnish").rglob("*.py"))
    return [file.relative_to(ROOT / "burnish").as_posix() for file in files if file.stat().st_size]


@pytest.mark.parametrize("module", modules())
def test_concepts_say_where_each_module_stands(module: str) -> None:
    """Modules of the top by their name, of a folder by theirs or their folder's."""
    text = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    folder, _, name = module.rpartition("/")
    names = {f"`{name}`", f"`{name.removesuffix('.py')}`"} | ({f"`{folder}/`"} if name == "__init__.py" else set())
    assert any(name in text for name in names), f"docs/concepts.md does not name {module}"


def test_the_picture_is_of_a_status() -> None:
    picture = (ROOT / "docs" / "status.svg").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]*>", "", picture)
    assert "burnish status" in text
    assert all(word in text for word in ("COMPLETE", "RUNNING", "ERROR", "NOT_RUNNING"))
