"""A /proc that hides processes (hidepid): who is not root does not see there those of its own that nobody but root may trace.

Such are ssh-agent, and every program that may be run and not read. Each test has a mount of its own, and an ordinary user.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.remote.agent.records import read_record, write_once
from burnish.remote.transport import LocalTransport
from tests.support.agent_client import make_spec, new_attempt
from tests.support.one_host import OneHost, change_agent
from tests.support.proc import processes
from tests.support.removing import remove_with_tenants
from tests.support.waiting import wait_for

OTHER_UID = 65534
# What is started there may see /proc as root does until it is another user: so does a machine that is mounted like this.
ENTER = """\
#!/bin/sh
export BURNISH_LOCK_DIR={folder}/home/locks
exec unshare --mount --pid --fork --kill-child sh -c '
mount -t proc -o hidepid={hidepid} proc /proc || exit 9
setpriv --reuid {uid} --regid {uid} --clear-groups /usr/bin/python3 "$@"
exit $?' python3 "$@"
"""


@pytest.fixture(params=[1, 2], ids=["hidepid=1", "hidepid=2"])
def host(request: pytest.FixtureRequest) -> Iterator[OneHost]:
    """In a folder that its user may enter, with two programs of which he may not read a byte, `xsh` and `xsleep`."""
    folder = Path(tempfile.mkdtemp(prefix="burnish-test-"))
    folder.chmod(0o755)
    (folder / "home").mkdir()
    os.chown(folder / "home", OTHER_UID, OTHER_UID)
    for program in ("sh", "sleep"):
        shutil.copy(Path("/bin", program).resolve(), folder / f"x{program}")
        (folder / f"x{program}").chmod(0o711)
    python = folder / "python3"
    python.write_text(ENTER.format(folder=folder, hidepid=request.param, uid=OTHER_UID))
    python.chmod(0o755)
    with OneHost(folder / "home", LocalTransport(str(python))) as made:
        yield made
    remove_with_tenants(folder)


def run(host: OneHost, name: str) -> str:
    return str(host.folder.parent / name)


def job(host: OneHost) -> dict[int, str]:
    """The processes of jobs, as this namespace and root see them."""
    return processes(host.state_dir)


@pytest.mark.parametrize("listed", [True, False], ids=["children listed", "children not listed"])
def test_cancel_ends_a_job_that_proc_does_not_show(
    host: OneHost, listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the kernel was built without the list of a process's children."""
    if not listed:
        change_agent(monkeypatch, (b"/task/%d/children", b"/task/%d/no children"))
    link = host.connect()
    attempt = link.start(run(host, "xsleep"), "1000")
    link.wait_status(attempt, "running")
    exit_record = link.cancel(attempt)["final"]["exit"]
    assert (exit_record["signal"], exit_record["cancelled"]) == (signal.SIGTERM, "alice")
    assert job(host) == {}


def test_cancel_ends_what_was_started_by_what_proc_does_not_show(host: OneHost) -> None:
    """One of them deaf, and one whose parent is in its way."""
    link = host.connect()
    deaf = f"trap '' TERM; {run(host, 'xsleep')} 1000 & sleep 1000 & touch $HERE/ready; while :; do sleep 0.1; done"
    attempt = link.start(run(host, "xsh"), "-c", deaf, env={"HERE": str(host.folder)})
    wait_for((host.folder / "ready").exists)
    wait_for(lambda: len(job(host)) >= 3, lambda: job(host))
    exit_record = link.cancel(attempt, 0.2)["final"]["exit"]
    assert (exit_record["signal"], exit_record["cancelled"]) == (signal.SIGKILL, "alice")
    assert job(host) == {}


def test_time_limit_ends_a_job_that_proc_does_not_show(host: OneHost) -> None:
    exit_record = host.connect().run(run(host, "xsleep"), "1000", time_limit=0.3)["final"]["exit"]
    assert exit_record["signal"] == signal.SIGTERM and exit_record["time_limit"]


def test_what_a_job_leaves_behind_is_ended_and_counted_though_proc_does_not_show_it(host: OneHost) -> None:
    """Such as the ssh-agent of a script that never ends it."""
    script = f"({run(host, 'xsleep')} 1000 &); {run(host, 'xsleep')} 1000 & exit 7"
    exit_record = host.connect().run("/bin/sh", "-c", script)["final"]["exit"]
    assert (exit_record["code"], exit_record["leftovers"]) == (7, 2)
    assert job(host) == {}


def test_killed_supervisor_on_a_node_takes_a_job_with_it_that_proc_does_not_show(host: OneHost) -> None:
    host.connect().close()  # it brings the agent's text
    (source,) = host.home.glob("agent-*.py")
    folder = host.folder_of(new_attempt())
    folder.mkdir(mode=0o700)
    os.chown(folder, OTHER_UID, OTHER_UID)
    write_once(str(folder / "spec.json"), make_spec(run(host, "xsleep"), "1000"))
    node = subprocess.Popen([run(host, "python3"), "-I", str(source), "supervise", str(folder)])
    try:
        (pid,) = wait_for(lambda: job(host))
        wait_for(lambda: read_record(str(folder / "start.json")))
        status = Path(f"/proc/{pid}/stat").read_text()
        os.kill(int(status.rpartition(")")[2].split()[1]), signal.SIGKILL)
        assert node.wait(60) == 128 + signal.SIGKILL
        assert job(host) == {}
    finally:
        node.kill()
        node.wait()


@pytest.mark.parametrize("known", ["the pid", "none"])
def test_pid_that_is_no_childs_any_more_is_never_signalled(known: str) -> None:
    """Nor what descends from it, by who has no child."""
    script = "import sys; from burnish.remote.agent.processes import signal_descendants as s; print(s([15], int(sys.argv[1])))"
    with subprocess.Popen(["sleep", "1000"]) as bystander:
        pid = str(bystander.pid if known == "the pid" else 0)
        said = subprocess.run([sys.executable, "-c", script, pid], stdout=subprocess.PIPE, text=True, timeout=60)
        ended = bystander.poll()
        bystander.kill()
    assert (said.stdout, ended) == ("0\n", None)
