"""No power loss leaves a verdict without its words or its log: those are on disk, there and at home, before it counts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from burnish.core.reports import LogPulled
from burnish.errors import StoreError
from burnish.remote.agent import logs as agent_logs
from burnish.remote.agent.place import Place
from burnish.remote.logs import LogPull
from tests.support.sweeps import Sweep

NAME = "0.1-0a1b2c3d"


def calls_of_a_run(sweep: Sweep, *command: str) -> list[str]:
    """The calls by which a run with one worker, its agent and its supervisor make and sync files."""
    trace = sweep.folder / "trace"
    strace = ["strace", "-f", "-y", "-qq", "--seccomp-bpf", "-o", str(trace), "-e", "trace=fsync,symlink,link,rename"]
    run = [*strace, sys.executable, "-m", "burnish", *(command or sweep.command), "--num_workers", "1"]
    subprocess.run(run, cwd=sweep.folder, env=sweep.environment, check=True, capture_output=True, timeout=60)
    return trace.read_text().splitlines()


def first(calls: list[str], pattern: str) -> int:
    """The place of the first call that matches."""
    return next(number for number, call in enumerate(calls) if re.search(pattern, call))


def test_a_host_writes_the_log_and_the_verdict_to_disk_before_the_verdict_counts(tmp_path: Path) -> None:
    calls = calls_of_a_run(Sweep.of(tmp_path, 1, work="0.2"))
    verdict = first(calls, r'symlink\(.*/final\.json"')
    for log in (".log", ".err"):
        assert first(calls, rf"fsync\(.*_job_0\{log}>") < verdict, calls
    told = first(calls, r'rename\(".*\.lock", ".*/idle-')
    assert verdict < first(calls, r"fsync\(.*/attempts/[^/]+/0\.1-[0-9a-f]+>") < told, calls


def test_of_a_job_of_milliseconds_only_the_journal_syncs_the_verdict(tmp_path: Path) -> None:
    calls = calls_of_a_run(Sweep.of(tmp_path, 20), "run", "--command", "true")
    recorded = [call for call in calls if re.search(r'symlink\(.*/final\.json"', call)]
    synced = [call for call in calls if re.search(r"fsync\(.*/attempts/[^/]+/\d+\.1-[0-9a-f]+>", call)]
    assert len(recorded) == 20
    assert len(synced) < 20, "one may take long, under strace and on a machine that is busy; not each"


def test_a_verdict_that_is_too_long_for_a_link_has_its_words_on_disk_before_its_name(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 1)
    job = tmp_path / "job.py"
    result = "open(os.environ['BURNISH_RESULT'], 'w').write('{\"x\": \"' + 'y' * 2000 + '\"}')"
    job.write_text(job.read_text().replace("import fcntl", f"import os\n{result}\nimport fcntl", 1))
    calls = calls_of_a_run(sweep)
    verdict = first(calls, r'[^m]link\(.*/final\.json"')
    assert first(calls, r"fsync\(.*/final\.json\.[0-9a-f]+\.tmp>") < verdict, calls
    assert len(sweep.status()[0]["result"]["x"]) == 2000


def pulled(path: Path, sent: list[dict[str, Any]]) -> LogPull:
    """A pull of one log of four bytes, all of which are at home but not promised to be on disk."""
    logs = LogPull(sent.append)
    logs.watch(NAME, {"out": path / "out", "err": path / "err"})
    assert not logs.ended(NAME, {"out": 4, "err": 0})
    logs.take(LogPulled("gpu1", NAME, "out", 0, 4, b"text"))  # type: ignore[arg-type]
    return logs


def test_a_log_is_whole_when_it_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    logs = pulled(tmp_path, [])
    assert logs.whole(NAME) and logs.whole(NAME)
    assert synced == [str(tmp_path / "out")]


def test_a_log_that_the_disk_refused_is_pulled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    logs = pulled(tmp_path, sent)

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", refuse)
        with pytest.raises(StoreError, match="No space left"):
            logs.whole(NAME)
    assert not logs.whole(NAME)
    logs.ask()
    assert (sent[-1]["type"], sent[-1]["offset"]) == ("pull", 0)
    logs.take(LogPulled("gpu1", NAME, "out", 0, 4, b"text"))  # type: ignore[arg-type]
    assert logs.whole(NAME)


def test_a_log_that_could_not_be_asked_for_its_size_is_brought_to_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(agent_logs, "sync_file", synced.append)
    (tmp_path / "out").write_text("much")
    made = agent_logs.Logs(Place.of_folder(str(tmp_path)), {})
    made.open()
    with monkeypatch.context() as stale:
        stale.setattr(agent_logs.os, "fstat", lambda descriptor: os.stat(tmp_path / "nothing"))
        assert made.sizes() == {}
        made.sync()
    assert len(synced) == 2
    made.close()
