"""The supervisor: owns one attempt from its launch until after its record, and outlives the agent that forked it.

It makes `start.json`, and only if that was new runs the job; waits for it, ends what it left behind, and makes `final.json`.
"""

from __future__ import annotations

import errno
import os
import resource  # noqa: F401 - os.wait4 would import it, in every supervisor again
import signal
import time

from .compact_json import encode_json
from .files import is_gone, read_text, sync_folder
from .forking import AWAITED
from .held_slots import HeldSlots
from .job import SETUP_ENDED, enter, job_environment, why_not_run, wrapped_argv
from .locks import name_job
from .logs import Logs
from .needs import find_program, need_of, require, search_path
from .notices import CHANGED, FREED, UNRECORDED
from .oom import count_oom_kills
from .processes import GRACE, signal_descendants
from .pulse import BEAT, Pulse
from .records import make_once, point_once, read_record, write_file_once
from .refusals import Lacking, SlotTaken, Unstartable, clause, printable
from .result import read_result
from .standing import void

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Tuple

    from .notices import Tell
    from .place import Place
    from .records import Record
    from .room import Room
    from .surroundings import Surroundings

LEFTOVER_GRACE = 2.0  # s, the same for what a job left behind
BRIEF = 0.02  # s: of a job that is over by then, start and end are told at once, and nobody is woken twice
AGAIN = 1.0  # s until a look that failed is repeated: the signal that asked for it comes once
LOCK_INTERVAL = 600.0  # s between a supervisor's looks at the files of its slot locks


class Supervisor:
    """Owns one attempt: from its launch until after its record. The process that calls `run` does nothing else."""

    def __init__(
        self, place: Place, spec: Record, lock: int, surroundings: Surroundings, room: Room, tell: Tell
    ) -> None:
        self._place = place
        self._spec = spec
        self._lock = lock  # held as long as this process lives; inherited by the job
        self._surroundings = surroundings
        self._oom_kills: int = surroundings.oom_kills.of()  # before the job
        self._room = room
        self._tell = tell
        self._logs = Logs(place, spec)
        self._slots = HeldSlots(spec.get("locks") or [])
        self._pulse = Pulse(place) if spec.get("batch") else None
        self._job = 0
        self._untold = ""  # what start.json says, and the pid, until the agent was told
        self._version = ""
        self._started = self._began = 0.0
        self._ended: Optional[Tuple[int, float, float, int]] = None  # wait status, unix time, monotonic, max RSS
        self._exec_error = ""
        self._cancel: Optional[Record] = None
        self._unseen = False  # somebody asked for a look, and it failed
        self._cancelled_by: Optional[str] = None
        self._out_of_time = False
        self._leftovers = 0

    def run(self) -> List[str]:
        """Start the job, wait for its end, record it; returns what it recorded, as it was written, and was not told yet.

        That is the last record, if it is this one that now is there, and start.json, if the job was over soon.
        The caller left its session, became a subreaper and took the user's umask. It removes the lock's name afterwards.
        """
        final = ""
        if self._launch():
            self._attend()
            self._slots.free()  # no process of the job is left to use them
            if not self._untold:  # else that it ran is told with its record, at once: nobody is woken twice
                self._tell(FREED)
            final = self._record()
        else:
            self._slots.free()
        self._logs.close()
        return [text for text in (self._untold, final) if text] if final else []

    # Launching.

    def _launch(self) -> bool:
        """True if `start.json` says go, and the job was run; False if it says void."""
        start = self._place.file("start.json")
        try:
            program, argv, environment = self._prepare()
            go = encode_json({"go": self._go()})
            made = make_once(start, go)
        except Unstartable as error:
            void(self._place, str(error), refused=True)
            return False
        except Lacking as error:
            void(self._place, str(error), lacks=error.need)
            return False
        except SlotTaken as error:
            void(self._place, str(error), busy=True)
            return False
        except Exception as error:  # whatever it is, the coordinator must hear of it
            void(self._place, clause(error), trouble=True)
            return False
        if made:
            self._spawn(program, argv, environment)
            self._untold = '%s,"pid":%d}}' % (go[:-2], self._job)
        os.chdir("/")
        return made

    def _prepare(self) -> Tuple[bytes, List[bytes], Dict[bytes, bytes]]:
        """Whatever may fail, before anything is said to have started. Raises Lacking, OSError, Refusal, Unstartable."""
        spec, place, around = self._spec, self._place, self._surroundings
        self._room.keep()
        if self._pulse is not None:
            self._pulse.begin()
        self._slots.hold()
        self._logs.open()
        says_gpus = spec.get("slots") and (spec.get("devices") or around.nvidia_smi.of())
        environment = job_environment(spec, place, around.environment, bool(says_gpus))
        need = need_of(spec, environment)
        found = require(need)
        enter(spec["cwd"])
        self._version = around.version.of(spec["cwd"])
        argv = wrapped_argv(spec)
        if need.get("programs") != spec["argv"][:1]:  # of several one would do; of setup lines, their shell
            found = find_program(argv[0], search_path(environment))
        return found, argv, environment

    def _go(self) -> Record:
        self._started, self._began = time.time(), time.monotonic()
        go: Record = {
            "started": self._started,
            "supervisor": self._surroundings.me,
            "incarnation": self._surroundings.here,
            "host": self._surroundings.node,
            "argv0": self._spec["argv"][0],
        }
        if self._version:
            go["version"] = self._version
        if self._spec.get("batch"):
            told = {"job": os.environ.get("SLURM_JOB_ID", ""), "node": os.environ.get("SLURMD_NODENAME", "")}
            go["batch"] = dict(self._spec["batch"], **told)
        if self._spec.get("devices"):
            go["gpus"] = self._spec["devices"]
        go.update((stream, self._spec[stream]) for stream in ("out", "err") if self._spec.get(stream))
        return go

    def _spawn(self, program: bytes, argv: List[bytes], environment: Dict[bytes, bytes]) -> None:
        """Run the job in a session of its own. Not os.fork: that would copy this process's page tables a second time."""
        how: Record = {
            "file_actions": self._logs.file_actions(),
            "setsigmask": (),
            "setsigdef": self._surroundings.defaults,
        }
        try:
            with self._surroundings.offer:
                try:
                    self._job = os.posix_spawn(program, argv, environment, setsid=True, **how)
                except NotImplementedError:  # a Python that was built for an old C library
                    self._job = os.posix_spawn(program, argv, environment, setpgroup=0, **how)
        except OSError as error:
            self._exec_error = why_not_run(program, argv, environment, error)
            self._ended = 127 << 8, time.time(), time.monotonic(), 0
            return
        try:
            name_job(self._lock, self._job)
        except OSError:
            pass  # the locks' disk is full: it is known by its cookie, too

    # Attending.

    def _attend(self) -> None:
        """Return when the job and everything that it started are gone."""
        limit = self._spec.get("time_limit")
        deadline = self._began + limit if limit else None
        while self._reap():
            if self._ended is not None:
                self._leftovers = self._end_tree(LEFTOVER_GRACE)
            elif self._cancel is not None:
                self._cancelled_by = self._cancel.get("by") or "unknown"
                self._end_tree(float(self._cancel.get("grace", GRACE)))
            elif deadline is not None and time.monotonic() >= deadline:
                self._out_of_time = True
                self._end_tree(float(self._spec.get("grace") or GRACE))
            else:
                self._wait(deadline)

    def _reap(self) -> bool:
        """Collect every child that has ended. False when none is left: as their subreaper, we then have no descendants."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._job:
                self._ended = status, time.time(), time.monotonic(), usage.ru_maxrss

    def _wait(self, deadline: Optional[float]) -> None:
        """Until a child ends, somebody cancels, `deadline` (monotonic) comes, or less. Signals are blocked: none is missed."""
        self._slots.renew()
        if self._pulse is not None and self._pulse.beat():
            self._look()  # the batch system that should wake us for it may have forgotten us
            return
        now = time.monotonic()
        if now >= self._began + BRIEF:
            self._tell_start()
        longest = BEAT if self._pulse is not None else LOCK_INTERVAL
        if self._untold:
            longest = self._began + BRIEF - now
        if self._unseen:
            longest = min(longest, AGAIN)
        left = longest if deadline is None else max(0.0, min(longest, deadline - now))
        heard = signal.sigtimedwait(AWAITED, left)
        if self._unseen or (heard is not None and heard.si_signo == signal.SIGUSR1):
            self._look()

    def _tell_start(self) -> None:
        if self._untold:
            self._tell(CHANGED, self._untold)
            self._untold = ""

    def _look(self) -> None:
        """Whether somebody cancels it, or has recorded its end: who was taken for dead may not run on beside a successor."""
        try:
            names = os.listdir(self._place.folder)  # so that an NFS client does not take an older cancel for the newest
            cancel = read_record(self._place.file("cancel.json"))
        except OSError as error:
            self._unseen = error.errno not in (errno.ENOENT, errno.ENOTDIR)  # removed, it will say nothing any more
            return
        self._unseen = False
        self._cancel = cancel or self._cancel or ({"by": "its record"} if "final.json" in names else None)

    def _end_tree(self, grace: float) -> int:
        """TERM, `grace` seconds, KILL for all that descends from us. Returns how many there were, when none is left."""
        asked = self._cancel
        found = signal_descendants(
            [signal.SIGTERM, signal.SIGCONT], self._job
        )  # a stopped one would not hear the first
        deadline = time.monotonic() + grace
        pause = 0.02
        while self._reap():
            if self._cancel is not asked and self._cancel is not None:
                asked = self._cancel
                deadline = min(deadline, time.monotonic() + float(asked.get("grace", GRACE)))
            if time.monotonic() < deadline:
                self._wait(deadline)
                continue
            signal_descendants([signal.SIGKILL], self._job)
            self._wait(time.monotonic() + pause)
            pause = min(1.0, pause * 2)  # one that the kernel cannot end just now keeps us, and its locks, waiting
        return found

    # Recording.

    def _record(self) -> str:
        """Make final.json; returns what it says. "" if it was made by somebody else, or nobody is left to read it."""
        record = {"exit": self._exit()} if self._ended is not None else {"lost": self._lost()}
        told = False
        while True:
            text = encode_json(record)
            try:
                return text if self._write_final(text) else ""
            except OSError as error:
                if is_gone(self._place.folder):
                    return ""  # it was removed: there is nobody to tell
                # A full or broken disk may recover; until then the attempt has not ended for anyone.
                verdict = record.get("exit", {})
                verdict.pop("tail", None)
                if verdict.pop("result", None) is not None:
                    verdict["result_error"] = "not kept: %s" % clause(error)
                else:
                    if not told:
                        self._tell(UNRECORDED, encode_json({"why": clause(error)}))
                    told = True
                    time.sleep(1)
                    if self._pulse is not None:
                        self._pulse.beat()

    def _write_final(self, text: str) -> bool:
        """False if somebody else made it. Raises OSError."""
        self._logs.sync()
        path = self._place.file("final.json")
        made = point_once(text, path)
        if made is None:
            made = self._made_as_file(path, text)
        if self._untold and self._pulse is None:
            return made  # so short a job is not worth a wait for this disk: the journal keeps its verdict in a moment
        try:
            sync_folder(self._place.folder)
        except OSError:
            pass  # it is made, and is not made again; a disk that cannot promise to keep it is as one that loses its power
        return made

    def _made_as_file(self, path: str, text: str) -> bool:
        """False if somebody else made it. Raises OSError."""
        try:
            return write_file_once(path, text, sync=True)
        except OSError:
            return self._room.become(path, text)

    def _lost(self) -> Record:
        """No child is left, and the kernel did not tell us how the job ended: so nobody will ever know. It is no exit."""
        lost: Record = {"why": "the kernel did not say how it ended", "ended": time.time()}
        return lost if self._cancel is None else dict(lost, cancelled=self._cancel.get("by") or "unknown")

    def _exit(self) -> Record:
        assert self._ended is not None
        status, ended, stopped, max_rss = self._ended
        verdict: Record = {}
        if os.WIFSIGNALED(status):
            verdict["signal"] = os.WTERMSIG(status)
        else:
            verdict["code"] = os.WEXITSTATUS(status)
        unready = self._setup_error()
        if self._exec_error or unready:
            verdict["exec_error"] = self._exec_error or unready
        if unready and self._cancelled_by is None and not self._out_of_time:
            verdict["lacks"] = {"cwd": self._spec["cwd"], "setup": unready}
        verdict.update(
            pid=self._job,
            started=self._started,
            ended=ended,
            duration=stopped - self._began,
            max_rss=max_rss,
            leftovers=self._leftovers,
            cancelled=self._cancelled_by,
            sizes=self._logs.sizes(),
        )
        if self._out_of_time:
            verdict["time_limit"] = True
        killed = verdict.get("signal") == signal.SIGKILL and self._cancelled_by is None and not self._out_of_time
        if killed and count_oom_kills() > self._oom_kills:
            verdict["oom"] = True
        verdict.update(read_result(self._place.file("result.json")))
        if verdict.get("code") != 0:
            verdict["tail"] = self._logs.tail()
        return verdict

    def _setup_error(self) -> str:
        """Why the command was not reached behind its `setup` lines, a clause; "" if it was, or there are none."""
        said = printable(read_text(self._place.file("result.json.setup"))) if self._spec.get("setup") else ""
        last = self._logs.tail().strip().rpartition("\n")[2] if said.startswith(SETUP_ENDED) else ""
        return "%s: %s" % (said, printable(last)) if last else said
