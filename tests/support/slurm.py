"""A Slurm cluster of one's own on this machine: munged, slurmctld and a few slurmd, from Debian's packages.

BURNISH_TEST_SLURM names the folder that another Slurm was installed in (its --prefix): that one is used instead.

All files are in one folder and all ports are free ones, so that several clusters stand side by side. Commands reach it by
SLURM_CONF. Whatever it starts is known by pid and ends with it, or with the process that made it.
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.support.hosts import free_port, leave_the_machines_network
from tests.support.waiting import wait_for

NODES = 3
CPUS = 8  # that each node claims to have
GPUS = 2
DEADLINE = 60.0  # s for a daemon to answer on a busy machine

OTHER = os.environ.get("BURNISH_TEST_SLURM", "")
if OTHER:
    OTHER = os.path.abspath(OTHER)  # commands and jobs are run in other folders
PROGRAMS = f"{OTHER}/bin:{OTHER}/sbin:" if OTHER else ""  # what comes first on PATH, so that commands are of that Slurm

# bf_interval: where there is no accounting, 24.05 starts jobs by backfill alone.
CONFIGURATION = """\
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=1000,sched_interval=1,bf_interval=1
KillWait=1
{options}
"""


ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.sock
AccountingStorageEnforce=associations,limits,qos
"""
ACCOUNTANT = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=accounts
"""


class Slurm:
    """A cluster whose files are in `folder`. With `accounting`, there is a slurmdbd. Needs root. `close` ends it.

    `options`: further lines of slurm.conf; `partitions`: those beside `main`.
    """

    def __init__(self, folder: Path, options: str = "", *, partitions: str = "", accounting: bool = False) -> None:
        leave_the_machines_network()  # where other tests go too: who speaks with this cluster is there
        _give_an_address()
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.nodes = [f"n{number}" for number in range(NODES)]
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "state").mkdir(parents=True)
        for node in self.nodes:
            (folder / f"spool.{node}").mkdir()
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o400)
        host = socket.gethostname().partition(".")[0]
        port = free_port()
        if accounting:
            options += ACCOUNTING.format(port=port, folder=folder)
        lines = [CONFIGURATION.format(host=host, port=free_port(), folder=folder, options=options)]
        for node in self.nodes:
            lines.append(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs={CPUS} Gres=gpu:{GPUS} "
                f"Feature=of_{node}\n"
            )
        lines.append(f"PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n{partitions}")
        self.conf.write_text("".join(lines))
        for number in range(GPUS):
            (folder / f"gpu{number}").touch()  # what stands for a device
        (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-{GPUS - 1}]\n")
        self._munge()
        if accounting:
            self._keep_accounts(host, port)
        self.start("slurmctld")
        for node in self.nodes:
            self.start(node)
        self.wait_until_idle()

    @property
    def environment(self) -> dict[str, str]:
        """What makes Slurm's commands speak with this cluster."""
        return {"SLURM_CONF": str(self.conf)}

    def start(self, daemon: str) -> None:
        """Start slurmctld, or the slurmd of a node."""
        if daemon == "slurmctld":
            self._spawn(daemon, [_program("slurmctld"), "-D", "-i", "-f", str(self.conf)])
        else:
            self._spawn(daemon, [_program("slurmd"), "-D", "-N", daemon, "-f", str(self.conf)])

    def kill(self, daemon: str) -> None:
        """End slurmctld, or the slurmd of a node, as a crash would."""
        process = self._daemons.pop(daemon)
        process.kill()
        process.wait()

    def lose_state(self) -> None:
        """What a slurmctld that was killed knew of its jobs is gone: the next one starts from nothing."""
        shutil.rmtree(self.folder / "state")
        (self.folder / "state").mkdir()

    def kill_node(self, node: str) -> None:
        """End a node: its slurmd, and all that it runs."""
        self.kill(node)
        self._kill_all_of(node)

    def bring_back(self, node: str) -> None:
        """Start a node that is down, and wait until it takes jobs: by itself in newer versions, in others when it is told to."""
        self.start(node)
        resume = ("scontrol", "update", f"NodeName={node}", "State=RESUME")
        wait_for(lambda: node in self._idle() or (self._tries(*resume) and node in self._idle()), self.logs, DEADLINE)

    def run(self, *argv: str, stdin: str = "") -> str:
        """The output of one of Slurm's commands. Raises CalledProcessError."""
        done = subprocess.run(
            [_program(argv[0]), *argv[1:]],
            input=stdin,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def wait_until_idle(self) -> None:
        """Until every node takes jobs."""
        wait_for(lambda: self._idle() == sorted(self.nodes), lambda: (self._idle(), self.logs()), DEADLINE)

    def _kill_all_of(self, node: str) -> None:
        for pid in self._running(node):
            with suppress(ProcessLookupError):  # it was on its way out
                os.kill(pid, 9)

    def _running(self, node: str) -> list[int]:
        """Pids of what a node runs: jobs, by the environment that its slurmd gave, and slurmstepds, by where they listen.

        A slurmstepd may outlive its job, and newer ones hide their environment.
        """
        marks = {f"SLURM_CONF={self.conf}".encode(), f"SLURMD_NODENAME={node}".encode()}
        listening = [line.split() for line in Path("/proc/thread-self/net/unix").read_text().splitlines()]
        spool = f"{self.folder}/spool.{node}/"
        sockets = {f"socket:[{row[6]}]" for row in listening if row[-1].startswith(spool)}
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "comm").read_text() == "slurmstepd\n":
                    ours = bool(sockets & {os.readlink(file) for file in (process / "fd").iterdir()})
                else:
                    ours = marks <= set((process / "environ").read_bytes().split(b"\0"))
            except OSError:
                continue  # gone meanwhile
            if ours:
                found.append(int(process.name))
        return found

    def logs(self) -> str:
        """The ends of the daemons' logs, for a test that fails."""
        return "\n".join(f"{log.name}:\n{log.read_text(errors='replace')[-1500:]}" for log in self.folder.glob("*.log"))

    def close(self) -> None:
        """End all that was started here."""
        for daemon in list(self._daemons):
            self.kill(daemon)
        for node in self.nodes:
            self._kill_all_of(node)

    def _munge(self) -> None:
        socket_path = self.folder / "munge.sock"
        files = [
            f"--{name}-file={self.folder}/munge.{end}"
            for name, end in (("key", "key"), ("pid", "pid"), ("seed", "seed"))
        ]
        log = f"--log-file={self.folder}/munged.log"
        self._spawn("munged", [_program("munged"), "--foreground", "--force", f"--socket={socket_path}", log, *files])
        wait_for(socket_path.exists, self.logs, DEADLINE)

    def _keep_accounts(self, host: str, port: int) -> None:
        """A slurmdbd on a MariaDB of its own, and the account that root's jobs are put down to."""
        data, mysql = self.folder / "mysql", self.folder / "mysql.sock"
        made = [
            _program("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={data}",
            "--user=root",
            "--auth-root-authentication-method=normal",
        ]
        subprocess.run(made, check=True, capture_output=True)
        where = [f"--datadir={data}", f"--socket={mysql}", f"--pid-file={self.folder}/mysql.pid"]
        self._spawn("mariadbd", [_program("mariadbd"), "--no-defaults", "--user=root", "--skip-networking", *where])
        wait_for(mysql.exists, self.logs, DEADLINE)
        conf = self.folder / "slurmdbd.conf"
        conf.touch(mode=0o600)
        conf.write_text(ACCOUNTANT.format(folder=self.folder, host=host, port=port))
        self._spawn("slurmdbd", [_program("slurmdbd"), "-D"], MYSQL_UNIX_PORT=str(mysql))
        wait_for(lambda: self._tries("sacctmgr", "--noheader", "show", "cluster"), self.logs, DEADLINE)
        self._manage("add", "cluster", "bench")
        self._manage("add", "account", "lab")
        self._manage("add", "user", "root", "account=lab")

    def _manage(self, *words: str) -> None:
        self.run("sacctmgr", "--immediate", *words)

    def _tries(self, *argv: str) -> bool:
        try:
            self.run(*argv)
        except subprocess.CalledProcessError:
            return False
        return True

    def _spawn(self, name: str, argv: list[str], **environment: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv],
                env={**os.environ, **self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _idle(self) -> list[str]:
        try:
            return sorted(set(self.run("sinfo", "--noheader", "--Node", "--states=idle", "--format=%N").split()))
        except subprocess.CalledProcessError:
            return []  # the controller does not answer yet


@functools.cache
def _give_an_address() -> None:
    """Where there is no address but loopback's, Slurm looks for its own in vain."""
    for command in (
        "link add slurm0 type veth peer name slurm1",
        "address add 198.51.100.1/32 dev slurm0",
        "link set slurm0 up",
        "link set slurm1 up",
    ):
        subprocess.run(["ip", *command.split()], check=True)


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{PROGRAMS}/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin")
    assert found is not None, f"{name} is missing; scripts/debian_packages installs it"
    return found
