"""What a large fleet costs the coordinator: 200 hosts, and 1000, of eight slots each, whose jobs end at 500 a second.

The run is a real one, `burnish run` with its table on disk, its session, coordinator and links, in a process of its own on one
core. Its hosts are stand-ins (benchmarks/stand_ins.py) in another process on another core: what connects them are sockets
instead of SSH, and a job is a time that passes. Measured, when all slots have had a job: ends that were committed per second,
the share of its core that the coordinator used, how busy the slots were, its most memory, and its threads. The last row has jobs
so short that the core is full: how many a second it can settle. On a machine that does other things the figures say little.

Usage: `python benchmarks/fleet.py [--seconds S] [--only LOAD] [--output BYTES] [--profile FILE] [--json FILE]`. Writes its table
of docs/performance.md between its marks, unless it measures less than that.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
import page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from stand_ins import StandIns  # noqa: E402

from burnish.core.hosts import Host  # noqa: E402
from burnish.errors import HostUnreachable  # noqa: E402
from burnish.remote import reach  # noqa: E402
from burnish.remote.transport import Transport  # noqa: E402

SLOTS = 8  # per host
SECONDS = 20.0
LIMIT = 120.0  # s for all slots to have had a job
SETTLE = 3.0  # s after that, in which what piled up meanwhile is worked off
FASTEST = 2000.0  # jobs per second that no coordinator settles: the table need not be larger
TURN = 0.1
TICK = os.sysconf("SC_CLK_TCK")
COORDINATE = "coordinate"  # what this program is told in its second process

Figures = dict[str, Any]


@dataclass(frozen=True)
class Load:
    """So many hosts, whose jobs last `seconds`. `name`: for the command line."""

    name: str
    title: str
    hosts: int
    seconds: float

    @property
    def slots(self) -> int:
        return self.hosts * SLOTS

    @property
    def offered(self) -> float:
        """Jobs per second, if no slot ever stood idle."""
        return self.slots / self.seconds


LOADS = (
    Load("200", "200 hosts", 200, 3.2),
    Load("1000", "1000 hosts", 1000, 16.0),
    Load("fast", "200 hosts, as fast as it can", 200, 0.5),
)

# -- the coordinator's process -------------------------------------------------------------------------------------


class SocketChannel:
    """A stand-in's two streams: `burnish.remote.transport.Channel`."""

    def __init__(self, name: str, connection: socket.socket) -> None:
        self.nonce = ""
        self._name = name
        self._socket = connection

    def read(self, size: int) -> bytes:
        try:
            return self._socket.recv(size)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError:
            raise HostUnreachable(f"{self._name}: its stand-in is gone.") from None

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other end was faster


class SocketTransport:
    """The way to a stand-in: `burnish.remote.transport.Transport`."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self._path = path

    def open(self) -> SocketChannel:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._path)
        return SocketChannel(self.name, connection)


def coordinate(core: int, path: str, profile: str, arguments: list[str]) -> None:
    """`burnish` with these arguments, on this core, whose hosts are all behind the socket `path`."""
    os.sched_setaffinity(0, {core})

    def transport(host: Host, note: object) -> Transport:
        return SocketTransport(str(host.name), path)

    reach.transport = transport  # a session asks there when it makes a link
    from burnish.cli.main import main as burnish

    sys.argv = ["burnish", *arguments]
    if not profile:
        burnish()
        return
    profiler = cProfile.Profile(time.thread_time)  # the processor's time, not that of waiting
    try:
        profiler.runcall(burnish)
    finally:
        profiler.dump_stats(profile)


# -- the measuring process -----------------------------------------------------------------------------------------


def measured(load: Load, seconds: float, output: int = 0, profile: str = "") -> Figures:
    """The figures of one run under this load."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("Coordinator and stand-ins need a core each; nothing was measured.")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        jobs = int(min(load.offered, FASTEST) * (seconds + 4 * SETTLE)) + 4 * load.slots
        measure.timed(measure.sweep(folder, jobs), folder)
        defaults = f"{{gpus: none, slots: {SLOTS}, workdir: /}}"
        (folder / "fleet.yaml").write_text(f"defaults: {defaults}\nhosts: ['host[1:{load.hosts}]']\n")
        stand_ins = StandIns(folder / "hosts", load.seconds, output)
        # Whoever ends this process ends the run: a thousand links that are refused would go on trying.
        command = ["setpriv", "--pdeathsig", "KILL", sys.executable, str(Path(__file__).resolve())]
        command += [COORDINATE, str(cores[0]), str(folder / "hosts"), profile]
        command += ["run", "-q", "--hosts", "fleet.yaml", "--command", "true"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        os.sched_setaffinity(0, {cores[1]})
        with (folder / "said").open("wb") as said:
            run = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stderr=said)
        try:
            return observed(run, stand_ins, load, seconds)
        except SystemExit:
            print((folder / "said").read_text(), file=sys.stderr)
            raise
        finally:
            os.sched_setaffinity(0, set(cores))
            end(run, stand_ins)


def observed(run: subprocess.Popen[bytes], stand_ins: StandIns, load: Load, seconds: float) -> Figures:
    """The figures of the run's next `seconds`, once it has filled all slots."""
    began = time.monotonic()
    while stand_ins.used < load.slots:
        stand_ins.serve(time.monotonic() + TURN)
        if run.poll() is not None or time.monotonic() - began > LIMIT:
            raise SystemExit(f"{stand_ins.used} of {load.slots} slots got a job; nothing was measured.")
    filled, filling = time.monotonic() - began, processor_time(run.pid)
    stand_ins.serve(time.monotonic() + SETTLE)
    stand_ins.reset()
    started, used, own, loop = time.monotonic(), processor_time(run.pid), time.process_time(), main_thread(run.pid)
    stand_ins.serve(started + seconds)
    took = time.monotonic() - started
    if run.poll() is not None:
        raise SystemExit("The run ended before its time; nothing was measured.")
    status = measure.status_of(run.pid)
    core = (processor_time(run.pid) - used) / took
    return {
        "hosts": load.hosts,
        "slots": load.slots,
        "job": load.seconds,
        "offered": load.offered,
        "rate": stand_ins.acked / took,
        "core": core,
        "loop": (main_thread(run.pid) - loop) / took,
        "milliseconds": 1000 * core * took / max(1, stand_ins.acked),
        "busy": stand_ins.busy / (load.slots * took),
        "memory": int(status["VmHWM"]) / 1024,
        "threads": int(status["Threads"]),
        "filled": filled,
        "filling": filling,
        "frames": stand_ins.frames / took,
        "stand_ins": (time.process_time() - own) / took,
    }


def end(run: subprocess.Popen[bytes], stand_ins: StandIns) -> None:
    """Let the run leave in order; its hosts answer until it has."""
    if run.poll() is None:
        run.send_signal(signal.SIGTERM)
    until = time.monotonic() + LIMIT
    while run.poll() is None and time.monotonic() < until:
        stand_ins.serve(time.monotonic() + TURN)
    if run.poll() is None:
        run.kill()
        run.wait()
    stand_ins.close()


def processor_time(pid: int) -> float:
    """Seconds that the threads of a process have used."""
    return ticks(Path(f"/proc/{pid}/stat"))


def main_thread(pid: int) -> float:
    """The same of its first thread: the coordinator's loop. The others are its links'."""
    return ticks(Path(f"/proc/{pid}/task/{pid}/stat"))


def ticks(stat: Path) -> float:
    words = stat.read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICK


def table(found: list[tuple[Load, Figures]], seconds: float) -> list[str]:
    """Lines of the table."""
    lines = [
        f"`python benchmarks/fleet.py --seconds {seconds:g}`: jobs that last so long on average, and a half more or less; over "
        f"{seconds:g} s, once every slot had one; that took the last column.",
        "",
        "| | a job, s | jobs/s | of one core | of that, the loop | ms per job | slots busy | MiB | threads | to fill, s |",
        "| --- |" + " ---: |" * 9,
    ]
    for load, run in found:
        cells = [f"{load.seconds:g}", f"{run['rate']:.0f}", f"{100 * run['core']:.0f} %", f"{100 * run['loop']:.0f} %"]
        cells += [f"{run['milliseconds']:.2f}", f"{100 * run['busy']:.1f} %", f"{run['memory']:.0f}"]
        cells += [f"{run['threads']}", f"{run['filled']:.1f}"]
        lines.append(f"| {load.title} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="measure for so long")
    names = [load.name for load in LOADS]
    parser.add_argument("--only", choices=names, help="only this load; prints, and writes no table")
    parser.add_argument("--output", type=int, default=0, metavar="BYTES", help="what each job prints; writes no table")
    parser.add_argument("--profile", default="", metavar="FILE", help="cProfile's account of the loop; writes no table")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    where = page.machine()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    chosen = [load for load in LOADS if options.only in (None, load.name)]
    profile = str(Path(options.profile).resolve()) if options.profile else ""
    found = [(load, measured(load, options.seconds, options.output, profile)) for load in chosen]
    lines = ["", where, "", *table(found, options.seconds), ""]
    print("\n".join(lines))
    if options.json is not None:
        options.json.write_text(json.dumps({load.title: run for load, run in found}, indent=2) + "\n", encoding="utf-8")
    if not (options.only or options.output or options.profile):
        page.write("measured with a fleet", lines)


if __name__ == "__main__":
    if sys.argv[1:2] == [COORDINATE]:
        coordinate(int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
    else:
        main()
