"""Draws docs/status.svg: what `burnish status` shows on a terminal in the middle of a real, small sweep.

Usage: `python docs/make_picture.py`. Runs the sweep in a temporary folder, looks once some jobs are complete, one has
failed and two run, and turns the terminal's colours into SVG. Nothing in the picture is made up.
"""

from __future__ import annotations

import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import time
from fcntl import ioctl
from pathlib import Path
from xml.sax.saxutils import escape

TARGET = Path(__file__).with_name("status.svg")
COLUMNS, LINES = 100, 40
DEADLINE = 60.0  # s for the sweep to reach the moment worth a picture

GRID = """\
--opt: [sgd, adam]
--lr: [1e-1, 1e-2, 1e-3]
--seed: [0, 1]
"""
TRAIN = """\
import random, sys, time
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
random.seed(arguments["--seed"])
if arguments["--opt"] == "sgd" and arguments["--lr"] == "1e-1":
    sys.exit("loss is nan")
time.sleep(random.uniform(1.0, 3.0))
"""

CELL_WIDTH, CELL_HEIGHT, MARGIN = 8.4, 18, 16
COLOURS = {"31": "#e06c75", "32": "#98c379", "33": "#e5c07b", "36": "#56b6c2"}
SGR = re.compile(r"\x1b\[([0-9;]*)m")


def burnish(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "burnish", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)


def on_a_terminal(folder: Path, *arguments: str) -> str:
    """What the command writes to a terminal of COLUMNS × LINES."""
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES")}
    environment["TERM"] = "xterm"
    command = [sys.executable, "-m", "burnish", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdin=follower, stdout=follower, env=environment)
    os.close(follower)
    pieces = []
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break  # Linux says EIO when the last writer closed its end
        if not piece:
            break
        pieces.append(piece)
    os.close(leader)
    if process.wait() != 0:
        raise SystemExit(f"burnish {' '.join(arguments)} ended with {process.returncode}")
    return b"".join(pieces).decode().replace("\r\n", "\n")


def middle_of_a_sweep() -> str:
    """`burnish status` with jobs in every common state."""
    with tempfile.TemporaryDirectory(prefix="picture-") as name:
        folder = Path(name)
        (folder / "grid.yaml").write_text(GRID, encoding="utf-8")
        (folder / "train.py").write_text(TRAIN, encoding="utf-8")
        burnish(folder, "create", "--yaml", "grid.yaml")
        command = [sys.executable, "-m", "burnish", "run", "-q", "--num_workers", "3", "--python_file", "train.py"]
        command += ["--python", sys.executable]
        run = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for_the_moment(folder)
            return on_a_terminal(folder, "status")
        finally:
            run.wait()


def wait_for_the_moment(folder: Path) -> None:
    end = time.monotonic() + DEADLINE
    while True:
        counts = json.loads(burnish(folder, "status", "--json").stdout)["counts"]
        if counts["COMPLETE"] >= 3 and counts["ERROR"] >= 1 and counts["RUNNING"] >= 2:
            return
        if time.monotonic() > end:
            raise SystemExit(f"the moment did not come within {DEADLINE:g} s: {counts}")
        time.sleep(0.1)


def svg(text: str) -> str:
    """The terminal's text as SVG, colours and all."""
    lines = ["\x1b[1m$ burnish status\x1b[0m", *text.rstrip("\n").split("\n")]
    columns = max(len(SGR.sub("", line)) for line in lines)
    width, height = round(columns * CELL_WIDTH + 2 * MARGIN), len(lines) * CELL_HEIGHT + 2 * MARGIN
    rows = [
        f'<text x="{MARGIN}" y="{MARGIN + CELL_HEIGHT * (number + 0.75):g}">{spans(line)}</text>'
        for number, line in enumerate(lines)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
            "<title>burnish status in the middle of a sweep</title>",
            f'<rect width="{width}" height="{height}" rx="8" fill="#21252b"/>',
            '<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14" fill="#d7dae0" xml:space="preserve">',
            *rows,
            "</g>",
            "</svg>\n",
        ]
    )


def spans(line: str) -> str:
    """One line: text, and a tspan for each coloured stretch, each set to the width that it takes on a terminal."""
    made, style = [], ""
    for index, piece in enumerate(SGR.split(line)):
        if index % 2:
            style = f' fill="{COLOURS[piece]}"' if piece in COLOURS else ' font-weight="bold"' if piece == "1" else ""
        elif piece:
            made.append(f'<tspan textLength="{len(piece) * CELL_WIDTH:g}"{style}>{escape(piece)}</tspan>')
    return "".join(made)


if __name__ == "__main__":
    TARGET.write_text(svg(middle_of_a_sweep()), encoding="utf-8")
    print(f"wrote {TARGET}")
