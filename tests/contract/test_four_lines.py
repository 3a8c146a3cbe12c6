"""create, run, status, view as an ordinary user types them, on machines that share a home: on one machine, and on another one.

`desk` and `laptop` are machines that people type at, `gpu01` and `gpu02` hosts with two GPUs; all are hosts of the bench, and
nothing on them is root's but sshd. The folder with example.py, train.py, test.yaml and hosts/lab.yaml is in the home that they
share. Each machine knows of a boot of its own, so that runs at `desk` and `laptop` are on different machines for each other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sklearn

from tests.support import gpus
from tests.support.console import Shell
from tests.support.hosts import ACCOUNT, UID, Bench, RemoteHost, children

ROOT = Path(__file__).resolve().parents[2]
CREATE = "burnish create --yaml test.yaml"
RUN = "burnish run --hosts hosts/lab.yaml --func example.runner"
STATUS = "burnish status"
VIEW = "burnish view --job_id 3"
# Where the hosts have Python and what train.py imports, and the checkout: burnish is a script on desk and laptop only.
PYTHON = '#!/bin/sh\nPYTHONPATH=/home/packages exec /home/python/bin/python3 "$@"\n'
BURNISH = '#!/bin/sh\nPYTHONPATH=/home/checkout:/home/packages exec /home/python/bin/python3 -m burnish "$@"\n'


@pytest.fixture
def lab(bench: Bench, tmp_path: Path) -> Bench:
    gpus.write(tmp_path / "cards", gpus.cards(2))
    mounts = {"python": Path(sys.base_prefix), "packages": Path(sklearn.__file__).parents[1]}
    desk = bench.add("desk", without="python", mounts={**mounts, "checkout": ROOT})
    laptop = bench.add("laptop", without="python", mounts={**mounts, "checkout": ROOT}, home_of=desk)
    for name in ("gpu01", "gpu02"):
        bench.add(name, without="python", mounts=mounts, gpus=tmp_path / "cards", home_of=desk)
    for host in bench.hosts.values():
        script(host, "python3", PYTHON)
    for host in (desk, laptop):
        script(host, "burnish", BURNISH)
        boot_id(host)
    ssh = desk.home / ".ssh"
    for source in (bench.key, bench.known_hosts):
        shutil.copy2(source, ssh)
    (ssh / "config").write_text(bench.config.read_text().replace(str(bench.folder), f"/home/{ACCOUNT}/.ssh"))
    project = desk.home / "project"
    (project / "hosts").mkdir(parents=True)
    for name in ("example.py", "train.py"):
        shutil.copy(ROOT / "test_dir" / name, project)
    (project / "test.yaml").write_text("--model: [logreg, mlp]\n--lr: [1e-2, 1e-3]\n--seed: 0\n--epochs: 10\n")
    (project / "hosts" / "lab.yaml").write_text("hosts: [gpu01, gpu02]\n")
    for path in (*ssh.iterdir(), project, *project.rglob("*")):
        os.chown(path, UID, UID)
    return bench


def script(host: RemoteHost, name: str, text: str) -> None:
    path = host.folder / "tools" / name
    path.write_text(text)
    path.chmod(0o755)


def boot_id(host: RemoteHost) -> None:
    """From now on the kernel tells a boot id there that is no other machine's."""
    assert host.process is not None
    (init,) = children(host.process.pid)
    (host.folder / "boot_id").write_text(f"{host.name}\n")
    command = [
        "nsenter",
        "-t",
        str(init),
        "-m",
        "mount",
        "--bind",
        str(host.folder / "boot_id"),
        "/proc/sys/kernel/random/boot_id",
    ]
    subprocess.run(command, check=True)


class Machine:
    """A shell of the ordinary user's on a machine of the lab, in the project's folder."""

    def __init__(self, lab: Bench, name: str) -> None:
        self._shell = Shell(Path("/"), os.environ, ("ssh", "-F", str(lab.config), name))
        self.type("exec 2>&1; cd project")  # ssh keeps no order between the two
        assert self.type("id -u; hostname") == f"{UID}\n{name}\n"

    def type(self, command: str, code: int = 0) -> str:
        """What the command shows."""
        shown, ended = self._shell.run(command)
        assert ended == code, f"$ {command}\n{shown}\nended with {ended}"
        return shown

    def close(self) -> None:
        self._shell.close()


@pytest.fixture
def desk(lab: Bench) -> Iterator[Machine]:
    made = Machine(lab, "desk")
    yield made
    made.close()


@pytest.fixture
def laptop(lab: Bench) -> Iterator[Machine]:
    made = Machine(lab, "laptop")
    yield made
    made.close()


def the_four_lines(machine: Machine) -> tuple[str, str]:
    """Type them; what status and view show."""
    assert machine.type(CREATE).startswith("4 jobs in burnish.db.\n")
    assert "4 of 4 done, in " in machine.type(RUN)
    status, log = machine.type(STATUS), machine.type(VIEW)
    assert status.startswith("4 jobs: 4 COMPLETE\n")
    assert log.startswith("training mlp with lr 0.001, seed 0\nepoch 1/10 ") and "\naccuracy 0." in log
    return status, log


def hosts_of(status: str) -> set[str]:
    """Where the jobs were, as the table that `status` shows says."""
    rows = [line.split() for line in status.splitlines()]
    return {row[2] for row in rows if row[1:2] == ["COMPLETE"]}


def test_what_one_machine_ran_is_seen_on_the_other_which_runs_it_as_well(desk: Machine, laptop: Machine) -> None:
    for here, there in ((desk, laptop), (laptop, desk)):
        status, log = the_four_lines(here)
        assert hosts_of(status) == {"gpu01", "gpu02"}
        assert (there.type(STATUS), there.type(VIEW)) == (status, log)
        assert "burnish.db exists already" in there.type(CREATE, code=2)
        assert there.type(RUN) == "Nothing to run: no job is NOT_RUNNING\n"
        assert there.type(STATUS) == status
        assert there.type("burnish clean --yes") == "Removed 8 log files. burnish.db is gone.\n"


def test_ordinary_user_on_this_machine_and_one_host(desk: Machine) -> None:
    desk.type("printf 'hosts: {localhost: {connection: local, slots: 2}, gpu01: {}}\n' >hosts/lab.yaml")
    status, _ = the_four_lines(desk)
    assert hosts_of(status) == {"localhost", "gpu01"}
    assert "UNUSABLE" not in desk.type("burnish check hosts/lab.yaml")
    desk.type("burnish reset --yes")
    assert "4 of 4 done, in " in desk.type("burnish run --num_workers 2 --python_file train.py")
    assert hosts_of(desk.type(STATUS)) == {"localhost"}
    desk.type("burnish clean --yes")
    assert desk.type(f"find ~ /var/tmp/ -mindepth 1 ! -uid {UID}") == "", "nothing is anyone else's"
    assert desk.type("find ~/.burnish -perm /077 ! -type l") == "", "and nothing there is to be read by others"
