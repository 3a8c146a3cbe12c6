"""`burnish hosts --watch` in a real terminal over two real hosts: what it shows changes as they do, and the terminal is back."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import gpus
from tests.support.editors import Terminal
from tests.support.gated import Gated
from tests.support.hosts import Bench, children
from tests.support.waiting import wait_for


@pytest.fixture
def table(bench: Bench, tmp_path: Path) -> Iterator[Gated]:
    """Six gated jobs, `gpu1` with two GPUs and `gpu2` with none, a slot each."""
    gpus.write(tmp_path / "cards", gpus.cards(2))
    bench.add("gpu1", gpus=tmp_path / "cards")
    bench.add("gpu2")
    made = Gated.of(bench, 6)
    (made.folder / "lab.yaml").write_text(
        f"defaults: {{ssh_config: {bench.config}, workdir: {made.folder}}}\n"
        "hosts: {gpu1: {gpus: [0]}, gpu2: {gpus: none, slots: 1}}\n"
    )
    yield made
    made.stop()


@pytest.fixture
def shell(table: Gated, tmp_path: Path) -> Iterator[Terminal]:
    """A shell in the folder of the table."""
    variables = [f"{name}={value}" for name, value in table.environment.items() if name.startswith("BURNISH_")]
    place = ["env", "-C", str(table.folder), f"HOME={table.folder / 'home'}", "PS1=> ", *variables]
    made = Terminal(tmp_path / "tmux", [*place, "bash", "--norc", "--noprofile"])
    try:
        made.shows(">")
        yield made
    finally:
        made.end()


def watch(shell: Terminal) -> None:
    shell.type(f"clear; {sys.executable} -m burnish hosts lab.yaml --watch; echo code $?", "Enter")
    shell.shows("2 hosts: 2 GPUs, ")


def row(shell: Terminal, start: str) -> list[str]:
    """The words of the one line that begins so; none while there is no such line."""
    found = [line for line in shell.screen.splitlines() if line.startswith(start)]
    return found[0].split() if len(found) == 1 else []


def test_both_hosts_are_seen_and_what_starts_and_ends_on_them_also_at_forty_columns(
    shell: Terminal, table: Gated
) -> None:
    watch(shell)
    assert row(shell, "gpu1    0")[2:5] == ["Quadro", "RTX", "8000"]
    assert row(shell, "gpu2")[1:3] == ["1", "free"]
    assert "JOB" not in shell.screen
    table.run("--num_jobs", "2")
    on = {host: str(job) for job, host in table.wait_running(2).items()}
    wait_for(lambda: f"0%  {on['gpu1']}" in " ".join(shell.screen.splitlines()[3:4]), lambda: shell.screen)
    wait_for(lambda: row(shell, "gpu2")[1:4] == [on["gpu2"], "0", "free"], lambda: shell.screen)
    assert shell.screen.startswith("2 hosts: 2 GPUs, 0 free\n")
    shell.resize(40)
    shell.shows("Not shown for want of room: ")
    assert row(shell, "gpu1    0")[-1] == on["gpu1"] and row(shell, "gpu2")[1:4] == [on["gpu2"], "0", "free"]
    # The page begins at the top of the screen: no line of it was wrapped and pushed it up.
    assert shell.screen.startswith("2 hosts: 2 GPUs, 0 free\n\nHOST")
    table.open(0, 1)
    wait_for(lambda: "JOB" not in shell.screen, lambda: shell.screen)
    assert shell.screen.startswith("2 hosts: 2 GPUs, 1 free\n")
    assert row(shell, "gpu2")[1:3] == ["1", "free"]


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_terminal_is_as_it_was_when_the_watching_ends(shell: Terminal, how: str) -> None:
    watch(shell)
    assert not shell.cursor_is_shown
    if how == "Ctrl-C":
        shell.type("C-c")
    else:
        (program,) = children(shell.pid)
        os.kill(program, signal.SIGTERM)
    shell.shows("code ")
    assert "code 130" in shell.screen and "2 hosts" not in shell.screen and "Traceback" not in shell.screen
    assert shell.cursor_is_shown
    shell.type("echo still he''re", "Enter")
    shell.shows("still here")
    assert "still he''re" in shell.screen, "what is typed is echoed again"
