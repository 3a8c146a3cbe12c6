"""The agent's package travels as one text: the same wherever it is made, and each module in it as it is in its file."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import burnish
from burnish.remote.agent import frames
from burnish.remote.bundle import bundle, quoted

BURNISH = Path(burnish.__file__).parent
MODULES = sorted((BURNISH / "remote" / "agent").glob("*.py"))


def test_each_module_stands_in_the_text_as_it_is() -> None:
    text = bundle().decode()
    assert len(MODULES) > 20
    assert [path.name for path in MODULES if f"r'''{path.read_text(encoding='utf-8')}'''\n" not in text] == []


def test_text_is_the_same_from_a_zip(tmp_path: Path) -> None:
    """As from any other place where burnish may be installed: supervisors' texts are known by their hash."""
    with zipfile.ZipFile(tmp_path / "burnish.zip", "w") as archive:
        for path in sorted(BURNISH.rglob("*.py"), reverse=True):
            archive.write(path, path.relative_to(BURNISH.parent))
    script = (
        "import sys; sys.path.insert(0, 'burnish.zip'); from burnish.remote import bundle; assert '.zip' in bundle.__file__;"
        "sys.stdout.buffer.write(bundle.bundle())"
    )
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout == bundle()


def test_traceback_names_the_module_and_its_line(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_bytes(bundle())
    script = "import agent; from burnish_agent.frames import encode_frame; encode_frame({}, b'x' * (2 << 20))"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    lines = Path(frames.__file__).read_text(encoding="utf-8").splitlines()
    number = 1 + next(number for number, line in enumerate(lines) if "raise ProtocolError" in line)
    assert f'File "burnish_agent/frames.py", line {number}, in frame_of' in done.stderr


def test_what_a_host_keeps_says_how_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_bytes(bundle())
    done = subprocess.run([sys.executable, "-I", "-S", "agent.py", "run"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "usage: agent.py supervise FOLDER\n")


def test_module_that_cannot_be_quoted_is_not_sent() -> None:
    with pytest.raises(ValueError, match=r"agent/x\.py"):
        quoted("x.py", "text = r'''a'''")
