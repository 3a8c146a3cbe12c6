"""Names of hosts that nobody has: a typo ends the run, a resolver that does not answer is waited out."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.core.reports import HostDropped, Report
from burnish.errors import NameUnknown
from burnish.remote import wire
from burnish.remote.link import Link
from burnish.remote.ssh import SshTransport
from tests.support.waiting import wait_for

# burnish, in a hurry, with a resolver that notes each question and has one answer.
RUN = """\
import socket, sys
from burnish import inspection
from burnish.remote import link
def resolved(*asked, **more):
    print(asked[0], file=open("asked", "a"))
    raise socket.gaierror(code, "so it says")
code = int(sys.argv.pop(1))
socket.getaddrinfo = resolved
inspection.NAMELESS, link.SLOWEST_RETRY = 0.5, 0.3
from burnish.cli.main import main
main()
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    """Starts a run on hosts whose names are answered with this code."""
    (tmp_path / "burnish.db").write_text("JOB_ID,STATE,n\n0,,0\n")
    (tmp_path / "lab.yaml").write_text("hosts: [gpu01, gpu02]\n")
    started: list[subprocess.Popen[str]] = []

    def begin(code: int) -> subprocess.Popen[str]:
        words = [str(code), "run", "--hosts", "lab.yaml", "--command", "true"]
        with (tmp_path / "said").open("w") as said:
            started.append(subprocess.Popen([sys.executable, "-c", RUN, *words], cwd=tmp_path, stderr=said, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def tries(folder: Path) -> int:
    """How often a name was asked for."""
    asked = folder / "asked"
    return len(asked.read_text().splitlines()) if asked.exists() else 0


def test_run_none_of_whose_hosts_has_a_name_that_is_known_ends_and_names_them(
    tmp_path: Path, run: Callable[[int], subprocess.Popen[str]]
) -> None:
    code = run(socket.EAI_NONAME).wait(60)
    said = (tmp_path / "said").read_text()
    assert code == 3, said
    for host in ("gpu01", "gpu02"):
        assert f"\n{host} was never reached, and for " in said and f"no host is found by the name {host}. " in said
        assert f"\nhint: is {host} spelled right? `hostname:` in the inventory" in said
    assert "\n0 of 1 done, in " in said
    assert (tmp_path / "burnish.db").read_text() == "JOB_ID,STATE,n\n0,NOT_RUNNING,0\n"


def test_resolver_that_does_not_answer_is_waited_out(
    tmp_path: Path, run: Callable[[int], subprocess.Popen[str]]
) -> None:
    process = run(socket.EAI_AGAIN)
    wait_for(lambda: tries(tmp_path) >= 16, lambda: tries(tmp_path))  # for each host, several times as long as it takes
    assert process.poll() is None, (tmp_path / "said").read_text()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert "never reached" not in (tmp_path / "said").read_text()


@pytest.mark.parametrize(
    ("name", "code", "unknown"),
    [
        ("gpu01", socket.EAI_NONAME, "gpu01"),
        ("gpu01", socket.EAI_AGAIN, ""),
        ("gpu01.local", socket.EAI_NONAME, ""),  # it answers to that itself, and may be switched off
    ],
)
def test_coordinator_hears_which_name_nobody_has(
    monkeypatch: pytest.MonkeyPatch, name: str, code: int, unknown: str
) -> None:
    def resolved(*asked: object, **more: object) -> None:
        raise socket.gaierror(code, "so it says")

    monkeypatch.setattr(wire.socket, "getaddrinfo", resolved)
    heard: list[Report] = []
    transport = SshTransport(Host(HostName(name)))
    link = Link(HostName(name), transport, "table", "~/.burnish", heard.append)
    link.start()
    wait_for(lambda: heard, lambda: heard)
    link.close()
    assert isinstance(heard[0], HostDropped) and "its name is not found (so it says)" in heard[0].why
    assert heard[0].unknown == unknown


def test_name_of_a_jump_host_that_nobody_has_is_the_one_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolved(*asked: object, **more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "so it says")

    monkeypatch.setattr(wire.socket, "getaddrinfo", resolved)
    with pytest.raises(NameUnknown) as caught:
        SshTransport(Host(HostName("gpu01"), proxy_jump="login")).open()
    assert caught.value.name == "login"
