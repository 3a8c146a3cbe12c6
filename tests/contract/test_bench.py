"""The bench itself: hosts that differ, survive what a host survives, and leave nothing behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.hosts import Bench
from tests.support.proc import alive, command_line
from tests.support.waiting import wait_for


def shell(bench: Bench, name: str, command: str) -> str:
    """What `command` prints on the host `name`, by the ssh program."""
    argv = ["ssh", "-F", bench.config, "-o", "BatchMode=yes", name, command]
    return subprocess.run(argv, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60).stdout


def test_what_a_host_is_to_those_who_log_in(bench: Bench) -> None:
    bench.add("gpu1")
    bench.add("gpu2")
    look = "hostname; id -un; pwd; cat /etc/machine-id; readlink /proc/self/ns/pid; ls /var/tmp; command -v nvidia-smi"
    seen = [shell(bench, name, look + "; touch /var/tmp/mine").splitlines() for name in ("gpu1", "gpu2")]
    assert [lines[:3] for lines in seen] == [["gpu1", "alice", "/home/alice"], ["gpu2", "alice", "/home/alice"]]
    assert seen[0][3] != seen[1][3] != Path("/etc/machine-id").read_text().strip()
    assert len({seen[0][4], seen[1][4], str(Path("/proc/self/ns/pid").readlink())}) == 3
    assert [len(lines) for lines in seen] == [5, 5]  # empty /var/tmp, no nvidia-smi


def test_pulled_plug_takes_every_process_and_no_file(bench: Bench) -> None:
    host = bench.add("gpu1")
    shell(bench, "gpu1", "setsid nohup sleep 1000 >/dev/null 2>&1 & echo kept > kept; sync kept")
    (sleeper,) = wait_for(
        lambda: [pid for pid in host.processes() if command_line(pid).startswith("sleep ")], host.processes
    )
    before = shell(bench, "gpu1", "readlink /proc/self/ns/pid")
    host.stop()
    assert not alive(sleeper)
    host.start()
    assert shell(bench, "gpu1", "cat kept") == "kept\n"
    assert shell(bench, "gpu1", "readlink /proc/self/ns/pid") != before


def test_recordings_are_answered_column_by_column(bench: Bench, tmp_path: Path) -> None:
    """The table here is no recording: it only shows what the program does with one."""
    recording = tmp_path / "recording"
    recording.mkdir()
    (recording / "gpu.csv").write_text("index, name, size [MiB]\n0, first one, 7 MiB\n1, other, [N/A]\n")
    (recording / "list").write_text("two of them\n")
    host = bench.add("gpu1", gpus=recording)
    ask = "nvidia-smi --query-gpu=size,index --format=csv"
    assert shell(bench, "gpu1", ask) == "size [MiB], index\n7 MiB, 0\n[N/A], 1\n"
    assert shell(bench, "gpu1", f"{ask},noheader,nounits") == "7, 0\n[N/A], 1\n"
    assert shell(bench, "gpu1", "nvidia-smi -L") == "two of them\n"
    assert shell(bench, "gpu1", "nvidia-smi --query-gpu=nonsense --format=csv 2>/dev/null || echo failed") == "failed\n"
    (host.gpus / "exit").write_text("15")
    assert shell(bench, "gpu1", f"{ask}; echo $?") == "15\n"
