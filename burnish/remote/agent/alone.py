"""A supervisor without an agent, in the foreground: what a batch system's script runs, later and on another node."""

from __future__ import annotations

import os

from .files import make_private_folder
from .forking import leave_session, prepare_process
from .guard import stand_guard
from .locks import make_lock
from .place import Place, lock_folder
from .processes import become_subreaper, incarnation
from .pulse import Pulse
from .records import read_record
from .room import Room
from .spec import problem_of_spec
from .supervisor import Supervisor
from .surroundings import Surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List


def main(arguments: List[str]) -> None:
    """`supervise FOLDER`. Raises SystemExit with a sentence when it is called otherwise, or the folder's spec cannot be run."""
    if len(arguments) != 3 or arguments[1] != "supervise":
        raise SystemExit("usage: agent.py supervise FOLDER")
    supervise(arguments[2])


def supervise(folder: str) -> None:
    """Run the supervisor of the attempt in `folder`, whose spec.json is there, as a child of its guard, in the foreground."""
    place = Place.of_folder(folder)
    if os.path.lexists(place.file("start.json")):
        return  # it was started before, or shall not be: a batch system may run a script again
    spec = read_record(place.file("spec.json")) or {}
    problem = problem_of_spec(spec)
    if problem:
        raise SystemExit("%s: %s" % (place.file("spec.json"), problem))
    umask = prepare_process()
    stand_guard(Pulse(place))
    make_private_folder(lock_folder())
    lock = make_lock(place.lock)
    leave_session(os.open(os.devnull, os.O_RDWR))
    os.umask(umask)
    become_subreaper()
    surroundings = Surroundings(incarnation())
    with Room(place.folder) as room:
        Supervisor(place, spec, lock, surroundings, room, lambda mark, *records: None).run()
    place.unlock()
