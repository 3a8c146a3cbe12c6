"""The hosts that jobs of a run may start on: what its inventory says, also when that is edited while the run goes on.

An edit counts once the file stands still and can be read as a whole; a broken one is named and the hosts stay as they were. A new
host takes jobs at once. One that is gone from the file gets no new jobs, and what runs there is collected. A host *is* its state
folder: of two names for one, only the first is used.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from burnish.core import inventory
from burnish.core.hosts import Host, select
from burnish.core.jobs import HostName
from burnish.errors import BurnishError
from burnish.fleet import Fleet
from burnish.store import yaml_file

STILL = 0.5  # s in which a file that changed must not change again; an editor may be writing it
Version = tuple[int, int, int]

Say = Callable[[str], None]


class Roster:
    """The hosts of the inventory `path`, narrowed by `limit`. Raises InputError, and UsageError for a limit that names none."""

    def __init__(self, path: str, limit: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._limit = limit
        self._clock = clock
        self._read_version = self._seen_version = _version(path)
        self._since = clock()
        self.hosts = read(path, limit)

    def look(self, fleet: Fleet, say: Say) -> bool:
        """Bring `fleet` in line with the file; True if anything in it has changed since the last look."""
        if not self._changed():
            return False
        self._read_version = self._seen_version
        try:
            hosts = read(self._path, self._limit)
        except BurnishError as error:
            say(f"{error}\n{self._path} has been changed and cannot be used; the hosts stay as they were.")
            return False
        self._follow(fleet, hosts, say)
        self.hosts = hosts
        return True

    def refuse_second_names(self, fleet: Fleet, names: Iterable[HostName], say: Say) -> None:
        """Start nothing under the second name of a host that has two of these. What was started under it is still collected."""
        first: dict[str, HostName] = {}
        for name in names:
            member, welcome = fleet.members[name], fleet.welcome(name)
            if not member.starts or welcome is None:
                continue
            known = first.setdefault(welcome.state_id, name)
            if known != name:
                member.same_as = known
                member.starts = False
                say(
                    f"{name} is the same host as {known}: both have the state folder of {welcome.hostname}. "
                    f"Jobs start under the name {known} only.\n"
                    f"hint: take one of them out of {self._path}, or give {name} another state_dir "
                    "(a cloned machine has a copy of the state folder: remove it there)"
                )

    def _changed(self) -> bool:
        """True if the file is another than the one that was read, and stands still."""
        version = _version(self._path)
        if version != self._seen_version:
            self._seen_version, self._since = version, self._clock()
        return version != self._read_version and self._clock() - self._since >= STILL

    def _follow(self, fleet: Fleet, hosts: Sequence[Host], say: Say) -> None:
        before = {host.name for host in self.hosts}
        for host in hosts:
            member = fleet.members.get(host.name)
            if member is not None and _way_to(member.host) != _way_to(host):
                say(f"{self._path}: {host.name} is to be reached in another way; that counts from the next run on.")
            elif host.name not in before:
                say(f"{self._path}: {host.name} is new and takes jobs.")
                fleet.admit(host)
            elif member is not None and member.host != host:
                say(f"{self._path}: {host.name} has changed; jobs that start from now on see it.")
                fleet.admit(host)
        for name in sorted(before - {host.name for host in hosts}):
            say(f"{self._path}: {name} is gone and takes no new jobs; what runs there is collected.")
            fleet.members[name].starts = False
            fleet.members[name].same_as = None
        self.refuse_second_names(fleet, fleet.members, say)


def read(path: str, limit: str | None) -> tuple[Host, ...]:
    """The hosts of an inventory file. Raises InputError for what is wrong with it, UsageError for a limit that names none."""
    hosts = inventory.read(yaml_file.load(path)).hosts
    here = os.getcwd()
    chosen = select(hosts, limit) if limit is not None else hosts
    return tuple(host if host.workdir is not None else replace(host, workdir=here) for host in chosen)


def strangers_may_write(path: str) -> str | None:
    """A warning if somebody else can change what an inventory says, and so run commands as us; None if not, or not known."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    mode = stat.S_IMODE(status.st_mode)
    who = "belongs to another user" if status.st_uid not in (os.geteuid(), 0) else ""
    group = mode & stat.S_IWGRP and status.st_gid != os.getegid()  # one's own group is often oneself alone
    if group or mode & stat.S_IWOTH:
        others = "anyone" if mode & stat.S_IWOTH else "its group"
        who = f"{who} and " * bool(who) + f"may be changed by {others} (mode {mode:04o})"
    return f"{path}: this file {who}. Whoever can write to it can run commands as you." if who else None


def _way_to(host: Host) -> dict[str, object]:
    """What the link to a host was made with."""
    return replace(host, workdir=None).to_entry()


def _version(path: str) -> Version | None:
    """What tells one save from the next; None while there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
