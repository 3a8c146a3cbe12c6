"""What burnish runs on a host: the agent that serves one link, and the supervisor that owns one attempt.

An attempt is a folder. `start.json` and `final.json` are made once each, by an exclusive link, and whoever reads the folder
knows what happened; frames, pipes and processes may be lost at any time. The agent is stateless and dies with its link. A
supervisor owns one attempt: it has left the link's session, makes `start.json`, and only if that was new runs the job; waits
for it, ends what it left behind, and makes `final.json`. While its agent lives it takes one attempt after the other.

Two locks on the local disk say who is alive: the *runner* lock is held by the supervisor, the *job* lock by the job and
whatever inherits it. The kernel frees them at death, so nothing is guessed from pids; where they are gone (a cleaned
/var/tmp), pids with their start times and the job's BURNISH_RESULT variable, the *cookie*, answer instead.

One file, standard library, Python 3.8. The coordinator imports it for the frames and the layout, the loader in
`transport.py` sends it to hosts, and `python3 agent.py supervise FOLDER` runs one supervisor in the foreground. It is
single-threaded, so that forking is safe. docs/protocol.md is the same in prose.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import json
import os
import re
import resource  # noqa: F401 - os.wait4 would import it, in every supervisor again
import select
import signal
import socket
import stat
import struct
import sys
import time
import zlib

TYPE_CHECKING = False  # typing itself would be a millisecond and half a megabyte in every supervisor
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

    Header = Dict[str, Any]
    Record = Dict[str, Any]

PROTOCOL = 1
PREAMBLE = "\nburnish-agent %s\n"
HEADER_LIMIT = 4 << 20  # bytes
BODY_LIMIT = 1 << 20  # bytes
DEPTH_LIMIT = 64  # levels of a header
RESULT_LIMIT = 64 << 10  # bytes
RESULT_DEPTH = 32  # levels; it travels inside a header
RESERVED = 4096  # bytes preallocated for final.json

ABSENT = "absent"
UNSTARTED = "unstarted"
STARTING = "starting"
RUNNING = "running"
VOID = "void"
ENDED = "ended"

HELD = "held"
FREE = "free"
MISSING = "missing"

ORDER_LIMIT = 64 << 10  # bytes of an order to a supervisor that is there; a larger one gets a supervisor of its own
IDLE_CREWS = 16  # supervisors kept for the next attempts
DONE = "!"  # ends a notice: its supervisor is done with the attempt
FREED = "-"  # ends a notice: the attempt has left its slot, and is not recorded yet

GRACE = 10.0  # s between TERM and KILL, unless asked otherwise
TAIL = 2000  # bytes of a failed job's stderr that go with its exit
LEFTOVER_GRACE = 2.0  # s, the same for what a job left behind
LOOK_INTERVAL = 0.25  # s between looks at attempts whose end the kernel does not announce
LOCK_INTERVAL = 600.0  # s between a supervisor's looks at the files of its slot locks
READ_SIZE = 1 << 16  # bytes
NVIDIA_SMI_LIMIT = 20.0  # s for one reading of the GPUs
LOOK_PATIENCE = 10.0  # s after which a look is answered without the reading that it waits for
MARK_KEPT = 30 * 86400.0  # s that the mark of a table that was cleaned away stays; no start is on its way for longer
PICKS_PER_TURN = 16  # requests served before news of attempts goes out

# Left to a terminal, a login or a batch system, these would end a supervisor and so lose a verdict.
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)
AWAITED = (signal.SIGCHLD, signal.SIGUSR1)
FULL = (errno.ENOSPC, errno.EDQUOT)
PASSING = (*FULL, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)  # what a disk may say today and not tomorrow

PR_SET_CHILD_SUBREAPER = 36
SYS_PIDFD_SEND_SIGNAL = 424  # the same number on every architecture
SYS_PIDFD_OPEN = 434

_libc = ctypes.CDLL(None, use_errno=True)
_encode_json = json.JSONEncoder(separators=(",", ":")).encode


class Refusal(Exception):
    """A request that cannot be served: a clause for a person."""


class Unstartable(Exception):
    """The command cannot be run as asked, and was not: a clause for a person."""


class SlotTaken(Exception):
    """The slot cannot be had now, through no fault of the command: a clause for a person."""


# -- frames --------------------------------------------------------------------------------------------------------


class ProtocolError(Exception):
    """Bytes that no peer of ours sends. The link ends."""


_PREFIX = struct.Struct(">II")
_JSON_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKET = re.compile(rb"[^][{}]+")


def json_depth(text: bytes) -> int:
    """How many levels of lists and objects `text`, some JSON, nests."""
    if text.count(b"[") + text.count(b"{") <= RESULT_DEPTH:
        return text.count(b"[") + text.count(b"{")  # an upper bound, within all limits
    depth = deepest = 0
    for bracket in _NO_BRACKET.sub(b"", _JSON_TEXT.sub(b"", text)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def encode_frame(header: Header, body: bytes = b"") -> bytes:
    """One frame. `header` needs a key `type`; raises ProtocolError when a part is over its limit."""
    text = _encode_json(header).encode("ascii")
    if len(text) > HEADER_LIMIT or len(body) > BODY_LIMIT or json_depth(text) > DEPTH_LIMIT:
        raise ProtocolError("a frame of %d + %d bytes is over the limit" % (len(text), len(body)))
    return _PREFIX.pack(len(text), len(body)) + text + body


class FrameReader:
    """Cuts a stream of bytes into frames, whatever the pieces it comes in."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Tuple[Header, bytes]]:
        """Yield (header, body) of each frame that is complete now. Raises ProtocolError; the stream is then of no use."""
        self._buffer += data
        while len(self._buffer) >= _PREFIX.size:
            header_size, body_size = _PREFIX.unpack_from(self._buffer)
            if header_size > HEADER_LIMIT or body_size > BODY_LIMIT:
                raise ProtocolError("a frame of %d + %d bytes is over the limit" % (header_size, body_size))
            middle = _PREFIX.size + header_size
            end = middle + body_size
            if len(self._buffer) < end:
                return
            text, body = bytes(self._buffer[_PREFIX.size : middle]), bytes(self._buffer[middle:end])
            del self._buffer[:end]
            yield _decode_header(text), body


def _decode_header(text: bytes) -> Header:
    if json_depth(text) > DEPTH_LIMIT:
        raise ProtocolError("a header nests more than %d levels" % DEPTH_LIMIT)
    try:
        header = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a header is no JSON: %s" % error) from None
    if not isinstance(header, dict) or not isinstance(header.get("type"), str):
        raise ProtocolError("a header is no object with a type")
    return header


# -- the layout of a host ------------------------------------------------------------------------------------------

TABLE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
ATTEMPT_NAME = re.compile(r"[0-9]{1,18}\.[0-9]{1,9}-[0-9a-f]{4,32}")


def host_folder_name() -> str:
    """`<hostname>-<machine id, 8>`: homes are often shared, so each host has a folder of its own in the state folder."""
    hostname = os.uname().nodename
    machine = _read_text("/etc/machine-id")[:8]
    if not re.fullmatch("[0-9a-f]{8}", machine):
        machine = "%08x" % zlib.crc32(hostname.encode("utf-8", "surrogateescape"))
    return "%s-%s" % (re.sub(r"[^A-Za-z0-9._-]", "_", hostname) or "host", machine)


def lock_folder() -> str:
    """The local folder of this account's locks. BURNISH_LOCK_DIR names another one, for tests."""
    return os.environ.get("BURNISH_LOCK_DIR") or "/var/tmp/burnish-%d" % os.getuid()


class Place:
    """Where one attempt lives: its folder, and its two locks."""

    __slots__ = ("attempt", "cookie", "folder", "job", "runner")

    def __init__(self, attempts: str, table: str, attempt: str) -> None:
        stem = "%s/%s-%s." % (lock_folder(), table, attempt)
        self.attempt = attempt
        self.folder = "%s/%s/%s" % (attempts, table, attempt)
        self.runner = stem + "runner"
        self.job = stem + "job"
        # How BURNISH_RESULT ends, however the state folder was spelled.
        self.cookie = ("/%s/%s/result.json" % (table, attempt)).encode("ascii")

    @classmethod
    def of_folder(cls, folder: str) -> Place:
        """The place whose folder this is."""
        parent, attempt = os.path.split(os.path.abspath(folder))
        attempts, table = os.path.split(parent)
        return cls(attempts, table, attempt)

    def file(self, name: str) -> str:
        """The path of a file in the folder."""
        return "%s/%s" % (self.folder, name)

    def unlock(self) -> None:
        """Remove the lock files: the folder itself now says how the attempt ended."""
        _unlink(self.runner)
        _unlink(self.job)


def make_private_folder(path: str) -> None:
    """Make `path` with mode 0700, or check that what is there is a folder which only this user can enter."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise Refusal("%s is not a folder of mode 0700 that belongs to this user; nothing in it is trusted" % path)


# -- records: JSON files that are made whole or not at all ----------------------------------------------------------


def write_once(path: str, record: Record, brief: Optional[Record] = None, sync: bool = False) -> bool:
    """Make `path` with the content `record`, unless it exists. True if this call made it. Raises OSError.

    On a full disk, `brief` is kept in a symbolic link's target instead, which needs no block of its own.
    """
    temporary = "%s.%s.tmp" % (path, os.urandom(4).hex())
    try:
        _write_file(temporary, _encode_json(record).encode("ascii"), sync)
        return link_once(temporary, path)
    except OSError as error:
        if brief is None or error.errno not in FULL:
            raise
        return _symlink_once(_encode_json(brief), path)
    finally:
        _unlink(temporary)


def replace_record(path: str, record: Record, brief: Record) -> None:
    """Make the record at `path` say `record`, whatever it said; `brief` as in `write_once`. Raises OSError."""
    temporary = "%s.%s.new" % (path, os.urandom(4).hex())
    try:
        write_once(temporary, record, brief)
        os.rename(temporary, path)
    finally:
        _unlink(temporary)


def link_once(source: str, path: str) -> bool:
    """Give `source` the name `path` unless that is taken. True if this call did."""
    try:
        os.link(source, path)
    except FileExistsError:
        # NFS may repeat a request whose answer was lost, and then find its own link.
        return os.path.exists(path) and os.stat(source).st_nlink == 2 and os.path.samefile(source, path)
    return True


def read_record(path: str) -> Optional[Record]:
    """The record at `path`; None where there is none; {} for one that cannot be read."""
    try:
        text: Any = _read_bytes(path)
    except FileNotFoundError:
        try:
            text = os.readlink(path)
        except OSError:
            return None
    except NotADirectoryError:
        return None
    try:
        record = json.loads(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _symlink_once(text: str, path: str) -> bool:
    try:
        os.symlink(text, path)
    except FileExistsError:
        return False
    return True


def _write_file(path: str, data: bytes, sync: bool = False) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        _write_all(descriptor, data)
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: "bytes | bytearray") -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _read_bytes(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = piece = os.read(descriptor, READ_SIZE)
        while len(piece) == READ_SIZE:
            piece = os.read(descriptor, READ_SIZE)
            data += piece
        return data
    finally:
        os.close(descriptor)


def _read_text(path: str) -> str:
    try:
        return _read_bytes(path).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # a disk that cannot promise to keep it; a record that a power cut may take is better than none


def _sync_folder(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return  # one above ours, that we may only pass
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # not there, or not ours to remove: nothing depends on it


def _clause(error: BaseException) -> str:
    """What went wrong, in words: `/data/x: No such file or directory`."""
    if isinstance(error, OSError) and error.strerror:
        name = "%s: " % printable(error.filename) if error.filename else ""
        return name + error.strerror
    return str(error) or type(error).__name__


def printable(path: Any) -> str:
    """`path`, str or bytes, as text that can be shown."""
    text = path.decode("utf-8", "backslashreplace") if isinstance(path, bytes) else str(path)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


# -- locks ---------------------------------------------------------------------------------------------------------


def make_lock(path: str) -> int:
    """Make the lock file `path`, which must be new, and hold it. Returns the descriptor. Raises OSError, Refusal."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        make_private_folder(os.path.dirname(path))  # cleaned away while we run
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        _take(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _take(descriptor: int) -> None:
    """Nobody else takes this lock, but somebody may be looking at it this instant."""
    for _ in range(200):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.005)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock_state(path: str) -> str:
    """HELD, FREE, or MISSING: no such file, so nothing is known."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return MISSING
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return HELD
    finally:
        os.close(descriptor)
    return FREE


# -- slots ---------------------------------------------------------------------------------------------------------
#
# A slot is a share of a GPU, or a CPU worker of an inventory. Whoever uses it holds its flocks, which the job inherits: they are
# free when the last process of the job is gone, whatever became of its supervisor.

GPU_NAME = re.compile(r"[0-9]{1,3}|(GPU|MIG)-[0-9A-Za-z/-]{1,100}")
TRIES = 20  # at a lock that somebody may be looking at this instant


class Wanted:
    """A lock that a slot needs: its path, alone or shared, and what it stands for in a sentence."""

    __slots__ = ("alone", "path", "what")

    def __init__(self, path: str, what: str, alone: bool = True) -> None:
        self.path = path
        self.what = what
        self.alone = alone


def gpu_lock_folder() -> str:
    """The local folder of all users' GPU locks. BURNISH_GPU_LOCK_DIR names another one, for tests."""
    return os.environ.get("BURNISH_GPU_LOCK_DIR") or "/var/tmp/burnish-gpus"


def gpu_lock(name: str) -> str:
    """The lock of the GPU with this UUID, or this index while nobody knows its UUID."""
    return "%s/%s" % (gpu_lock_folder(), name.replace("/", "_") if name[:1].isalpha() else "index-" + name)


def share_lock(gpu: str, share: int) -> str:
    """The lock of one share of a GPU whose own lock is `gpu`."""
    return "%s.%d" % (gpu, share)


def cpu_lock(state_id: str, index: int) -> str:
    """The lock of a CPU slot. Another state folder of this account has slots of its own."""
    return "%s/cpu-%s-%d" % (lock_folder(), state_id, index)


def gpu_locks(device: Record) -> List[Wanted]:
    """What a job needs that uses `device`, as `resolve_gpu` gives it: alone, or as one of `of` sharers."""
    what = "MIG device %s" % device["gpu"] if device.get("parent") else "GPU %s" % device["gpu"]
    own = gpu_lock(device["uuid"] or device["gpu"])
    locks = [Wanted(gpu_lock(device["parent"]), what, alone=False)] if device.get("parent") else []
    if device["of"] == 1:
        return [*locks, Wanted(own, what)]
    share = "share %d of %s" % (device["share"], what)
    return [*locks, Wanted(own, what, alone=False), Wanted(share_lock(own, device["share"]), share)]


def make_common_folder(path: str) -> None:
    """Make `path` as /tmp is, for all users, or check that what is there is such a folder. Raises OSError, Refusal."""
    mask = os.umask(0)
    try:
        os.mkdir(path, 0o1777)
    except FileExistsError:
        pass
    finally:
        os.umask(mask)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or not found.st_mode & stat.S_ISVTX:
        raise Refusal("%s is not a folder with the sticky bit, as /tmp is; nothing in it is trusted" % path)


def open_common_lock(path: str) -> int:
    """A descriptor of a lock that any user may take: read-only, no link followed. Made if need be. Raises OSError, Refusal."""
    reading = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        try:
            descriptor = os.open(path, reading)
            break
        except FileNotFoundError:
            pass
        mask = os.umask(0)
        try:
            # Not O_CREAT alone: in a sticky folder the kernel refuses that for another user's file.
            descriptor = os.open(path, reading | os.O_CREAT | os.O_EXCL, 0o444)
            break
        except FileExistsError:
            pass
        finally:
            os.umask(mask)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refusal("%s is no regular file" % path)
    return descriptor


def hold(wanted: Wanted) -> int:
    """Take a slot's lock. Returns the descriptor; raises SlotTaken, OSError, Refusal."""
    if not os.path.lexists(wanted.path) and _held_though_removed(wanted.path):
        raise SlotTaken("%s is taken by another burnish job, whose lock file was removed" % wanted.what)
    return _hold_file(wanted)


def _hold_file(wanted: Wanted) -> int:
    """Hold the lock that the file of that name is now, whoever holds one that was removed."""
    for _ in range(TRIES):
        descriptor = open_common_lock(wanted.path)
        if _try_lock(descriptor, wanted.alone) and _identity(wanted.path) == _identity(descriptor):
            return descriptor
        os.close(descriptor)
        time.sleep(0.005)
    raise SlotTaken("%s is taken by another burnish job" % wanted.what)


def _held_though_removed(path: str) -> bool:
    """True if a process that we may look at has a lock file open that had this path: cleaners of /var/tmp remove what is old."""
    lock = os.path.realpath(path)
    return any(_holds(int(name), lock) for name in os.listdir("/proc") if name.isdigit())


def is_held(path: str, alone_only: bool = False) -> bool:
    """True if somebody holds this slot lock; with `alone_only`, not if it is only shared."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return not any(_try_lock(descriptor, alone=not alone_only) for _ in range(2))
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, alone: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holding(uuid: str) -> Record:
    """Who of burnish's jobs has a GPU: {"held", "alone", "shares": [those that are taken]}."""
    own = gpu_lock(uuid)
    prefix = os.path.basename(own) + "."
    try:
        names = os.listdir(os.path.dirname(own))
    except OSError:
        names = []
    shares = [int(name[len(prefix) :]) for name in names if name.startswith(prefix) and name[len(prefix) :].isdigit()]
    taken = sorted(share for share in shares if is_held(share_lock(own, share)))
    return {"held": is_held(own), "alone": is_held(own, alone_only=True), "shares": taken}


def held_cpu_slots(state_id: str) -> List[str]:
    """The names of the CPU slot locks of this state folder that somebody holds."""
    prefix = os.path.basename(cpu_lock(state_id, 0))[:-1]
    folder = lock_folder()
    try:
        names = sorted(name for name in os.listdir(folder) if name.startswith(prefix))
    except OSError:
        names = []  # removed while we run; whoever needs it makes it anew
    return [name for name in names if is_held("%s/%s" % (folder, name))]


def problem_of_slots(slots: Any) -> str:
    """Why these slots of a spec cannot be understood, or ""."""
    if slots is None:
        return ""
    if not isinstance(slots, dict):
        return "slots must be an object"
    cpus, gpus = slots.get("cpu") or [], slots.get("gpus") or []
    if not isinstance(cpus, list) or not all(type(index) is int and index >= 0 for index in cpus):
        return "slots.cpu must be a list of indices"
    if not isinstance(gpus, list) or not all(isinstance(gpu, dict) for gpu in gpus):
        return "slots.gpus must be a list of objects"
    for gpu in gpus:
        names = [gpu.get("gpu"), gpu.get("uuid") or "0"]
        if not all(isinstance(name, str) and GPU_NAME.fullmatch(name) for name in names):
            return "%r is no GPU" % (gpu.get("gpu"),)
        share, of = gpu.get("share", 0), gpu.get("of", 1)
        if type(share) is not int or type(of) is not int or not 0 <= share < of:
            return "share %r of %r is no share of a GPU" % (share, of)
    return ""


# -- GPUs, as nvidia-smi tells of them -----------------------------------------------------------------------------

GPU_QUERY = "index,uuid,pci.bus_id,name,memory.total,memory.used,utilization.gpu,driver_version"
PROCESS_QUERY = "gpu_uuid,pid,used_memory"
ALSO_IN = ("/usr/bin", "/usr/lib/wsl/lib", "/run/opengl-driver/bin", "/opt/bin")
# What its exit status means: the section on return values of its manual page.
NVIDIA_SMI_SAYS = {
    4: "this user has no permission to ask",
    6: "a query to find an object was unsuccessful",
    8: "a GPU's external power cables are not properly attached",
    9: "the NVIDIA driver is not loaded",
    10: "the NVIDIA kernel module detected an interrupt issue with a GPU",
    12: "the NVML shared library cannot be found or loaded",
    13: "the NVML library does not implement what is asked",
    14: "the infoROM of a GPU is corrupted",
    15: "a GPU has fallen off the bus or has otherwise become inaccessible",
}
_MIG_LINE = re.compile(r"\s+MIG (.*?)\s+Device\s+\d+:\s+\(UUID: (MIG-[0-9A-Za-z/-]+)\)")
_GPU_LINE = re.compile(r"GPU \d+: .*\(UUID: (GPU-[0-9A-Za-z-]+)\)")


def find_nvidia_smi() -> Optional[str]:
    """Its path, or None on a host without it."""
    folders = [*os.environ.get("PATH", os.defpath).split(":"), *ALSO_IN]
    paths = (os.path.join(folder, "nvidia-smi") for folder in folders if folder)
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)


def parse_rows(text: str, key: str) -> List[Dict[str, str]]:
    """The rows of a CSV answer by the names in its header, the line that has `key`. Lines that are no such row are left out."""
    names: List[str] = []
    found = []
    for line in text.splitlines():
        row = [cell.strip() for cell in line.split(",")]
        if not names:
            header = [name.partition(" [")[0] for name in row]
            names = header if key in header else []
        elif len(row) == len(names):
            found.append({name: row[place] for place, name in enumerate(names)})
    return found


def parse_gpus(text: str) -> List[Record]:
    """The GPUs of an answer to GPU_QUERY in PCI order, which is what CUDA counts in when it is asked to.

    Numbers that are `N/A`, `[Not Supported]`, `[Unknown Error]` or absent are None.
    """
    rows = [row for row in parse_rows(text, "uuid") if row["uuid"].startswith("GPU-")]
    rows.sort(key=lambda row: (_pci_order(row.get("pci.bus_id", "")), _whole(row.get("index")) or 0))
    return [
        {
            "index": index,
            "uuid": row["uuid"],
            "pci": row.get("pci.bus_id", ""),
            "name": row.get("name", ""),
            "memory_total": _whole(row.get("memory.total")),
            "memory_used": _whole(row.get("memory.used")),
            "util": _whole(row.get("utilization.gpu")),
            "driver": row.get("driver_version", ""),
            "processes": [],
            "migs": [],
        }
        for index, row in enumerate(rows)
    ]


def parse_processes(text: str) -> List[Tuple[str, Record]]:
    """(UUID of the GPU, {"pid", "memory" in MiB}) of each process in an answer to PROCESS_QUERY."""
    found = []
    for row in parse_rows(text, "pid"):
        pid, memory = _whole(row["pid"]), row.get("used_gpu_memory", row.get("used_memory"))
        if pid is not None:
            found.append((row.get("gpu_uuid", ""), {"pid": pid, "memory": _whole(memory)}))
    return found


def parse_migs(text: str) -> Dict[str, List[Record]]:
    """UUID of a GPU -> its MIG devices, {"uuid", "name"}, from the answer to `nvidia-smi -L`."""
    found: Dict[str, List[Record]] = {}
    gpu = ""
    for line in text.splitlines():
        whole, part = _GPU_LINE.match(line), _MIG_LINE.match(line)
        if whole:
            gpu = whole.group(1)
        elif part:
            found.setdefault(gpu, []).append({"uuid": part.group(2), "name": part.group(1).strip()})
    return found


def _pci_order(bus_id: str) -> Tuple[int, ...]:
    parts = re.split("[:.]", bus_id)
    try:
        return tuple(int(part, 16) for part in parts)
    except ValueError:
        return ()


def _whole(text: Optional[str]) -> Optional[int]:
    found = re.match(r"\d+", text or "")
    return int(found.group()) if found else None


def resolve_gpu(slot: Record, gpus: Optional[Sequence[Record]]) -> Record:
    """Which device a slot means: {"gpu", "index", "uuid", "share", "of"}, and "parent", the UUID of its GPU, for a MIG device.

    `gpus` are those of the last reading; with None, because nvidia-smi does not answer, or there is none, the slot is taken at
    its word. Raises SlotTaken when the host has no such device, or another one than the coordinator saw.
    """
    name, expected = slot["gpu"], slot.get("uuid")
    device: Record = {"gpu": name, "share": slot.get("share", 0), "of": slot.get("of", 1)}
    if gpus is None:
        return dict(device, index=int(name) if name.isdigit() else None, uuid=name if name[0].isalpha() else expected)
    for gpu in gpus:
        if name in (gpu["uuid"], str(gpu["index"])):
            if expected and expected != gpu["uuid"]:
                raise SlotTaken("GPU %s was %s, is now %s" % (name, expected, gpu["uuid"]))
            return dict(device, index=gpu["index"], uuid=gpu["uuid"])
        if any(name == mig["uuid"] for mig in gpu["migs"]):
            return dict(device, index=gpu["index"], uuid=name, parent=gpu["uuid"])
    there = ", ".join("%d (%s)" % (gpu["index"], gpu["uuid"]) for gpu in gpus)
    raise SlotTaken("there is no GPU %s; this host has %s" % (name, there or "none"))


def gpu_environment(devices: Sequence[Record]) -> Dict[bytes, bytes]:
    """What CUDA may see: indices in PCI order, UUIDs only for MIG devices and where no index is known. Nothing for no devices."""
    if any(device.get("parent") or device["index"] is None for device in devices):
        names = [device["uuid"] for device in devices]
    else:
        names = [str(device["index"]) for device in devices]
    return {b"CUDA_DEVICE_ORDER": b"PCI_BUS_ID", b"CUDA_VISIBLE_DEVICES": ",".join(names).encode("ascii")}


class GpuReading:
    """What nvidia-smi said last, and the process that is asking it just now.

    It may hang for ever in the kernel. So it runs in a process of its own, and one at a time on a host: it inherits a lock that
    whoever asks takes first. The agent only waits for a pipe.
    """

    def __init__(self) -> None:
        self.gpus: Optional[List[Record]] = None  # None until it was known
        self.error: Optional[str] = None
        self.exit: Optional[int] = None  # the status that nvidia-smi ended with, when it was not 0
        self.at = 0.0  # when the GPUs were read, monotonic
        self.began = 0.0
        self.done = False  # there has been an answer, or none will come
        self.pipe: Optional[int] = None
        self._text = b""

    @property
    def under_way(self) -> bool:
        """True while the answer is not there yet."""
        return self.pipe is not None

    def begin(self, fork: Callable[[Callable[[], None]], None]) -> None:
        """Ask, unless somebody of ours is asking already. On a host without nvidia-smi the answer is there at once."""
        program = find_nvidia_smi()
        if program is None:
            self.gpus, self.error, self.exit, self.at, self.done = [], None, None, time.monotonic(), True
        elif self.pipe is None:
            self.began = time.monotonic()
            self.pipe, end = os.pipe()
            try:
                fork(lambda: _write_all(end, _encode_json(read_gpus(program)).encode("ascii")))
            finally:
                os.close(end)

    def take(self) -> bool:
        """Read from `pipe`, which is readable. True when the answer is whole; `pipe` is then to be forgotten, and closed here."""
        assert self.pipe is not None
        data = os.read(self.pipe, READ_SIZE)
        self._text += data
        if data:
            return False
        os.close(self.pipe)
        text, self._text, self.pipe, self.done = self._text, b"", None, True
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"gpus": None, "error": "who asked nvidia-smi was killed", "exit": None}
        self.error, self.exit = answer["error"], answer["exit"]
        if answer["gpus"] is not None:
            self.gpus, self.at = answer["gpus"], time.monotonic()
        return True


def read_gpus(program: str) -> Record:
    """{"gpus", "error", "exit"}: what nvidia-smi, asked by this process, tells in time. `gpus` is None if it does not."""
    deadline = time.monotonic() + float(os.environ.get("BURNISH_NVIDIA_SMI_LIMIT") or NVIDIA_SMI_LIMIT)
    try:
        make_common_folder(gpu_lock_folder())
        lock = _lock_by(gpu_lock_folder() + "/nvidia-smi", deadline)
    except (OSError, Refusal) as error:
        return {"gpus": None, "error": "nvidia-smi was not asked: %s" % _clause(error), "exit": None}
    if lock is None:
        return {"gpus": None, "error": "an nvidia-smi that was started earlier hangs", "exit": None}
    held_before = _held_gpu_locks()
    try:
        code, text = _ask(program, ["--query-gpu=" + GPU_QUERY, "--format=csv,nounits"], lock, deadline)
        gpus = parse_gpus(text) if code in (0, 14) else None
        for gpu in gpus or ():
            gpu["was_held"] = os.path.basename(gpu_lock(gpu["uuid"])) in held_before
        if gpus:
            _add_details(gpus, program, lock, deadline)
    except (OSError, TimeoutError) as error:
        return {"gpus": None, "error": _clause(error), "exit": None}
    if code == 0:
        return {"gpus": gpus, "error": None, "exit": None}
    said = printable(" ".join(text.split()))[-300:]
    clause = NVIDIA_SMI_SAYS.get(code, "it failed")
    return {
        "gpus": gpus,
        "error": "nvidia-smi: %s (exit %d%s)" % (clause, code, ": " + said if said else ""),
        "exit": code,
    }


def _held_gpu_locks() -> List[str]:
    folder = gpu_lock_folder()
    return [name for name in os.listdir(folder) if is_held("%s/%s" % (folder, name))]


def _add_details(gpus: List[Record], program: str, lock: int, deadline: float) -> None:
    """Add the processes on `gpus`, with their users, and their MIG devices."""
    by_uuid = {gpu["uuid"]: gpu for gpu in gpus}
    apps = _ask(program, ["--query-compute-apps=" + PROCESS_QUERY, "--format=csv,nounits"], lock, deadline)[1]
    for uuid, process in parse_processes(apps):
        if uuid in by_uuid:
            by_uuid[uuid]["processes"].append(dict(process, user=_user_of(process["pid"])))
    for uuid, migs in parse_migs(_ask(program, ["-L"], lock, deadline)[1]).items():
        if uuid in by_uuid:
            by_uuid[uuid]["migs"] = migs


def _user_of(pid: int) -> Optional[str]:
    """The user of a process; None if it cannot be seen from here, as from a container."""
    import pwd

    try:
        uid = os.stat("/proc/%d" % pid).st_uid
    except OSError:
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _lock_by(path: str, deadline: float) -> Optional[int]:
    """Hold the common lock `path`; None if it cannot be had by `deadline` (monotonic)."""
    descriptor = open_common_lock(path)
    while not _try_lock(descriptor, alone=True):
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.05)
    return descriptor


def _ask(program: str, arguments: List[str], lock: int, deadline: float) -> Tuple[int, str]:
    """Exit status and words of nvidia-smi, which inherits `lock`. Raises TimeoutError; one that hangs keeps the lock."""
    import subprocess

    process = subprocess.Popen(
        [program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ, LC_ALL="C"),
        pass_fds=(lock,),
    )
    try:
        text = process.communicate(timeout=max(0.1, deadline - time.monotonic()))[0]
    except subprocess.TimeoutExpired:
        process.kill()  # but not waited for: in the kernel's hands, it may outlast everything
        raise TimeoutError("nvidia-smi hangs: it did not answer within its limit") from None
    return process.returncode, text.decode("utf-8", "replace")


# -- processes -----------------------------------------------------------------------------------------------------


class Process:
    """A living process as /proc shows it. `started` is in clock ticks after boot: with the pid, it names one process."""

    __slots__ = ("parent", "pid", "started")

    def __init__(self, pid: int, parent: int, started: int) -> None:
        self.pid = pid
        self.parent = parent
        self.started = started


def read_process(pid: int) -> Optional[Process]:
    """The process `pid`; None if it is gone or only waits to be collected."""
    try:
        text = _read_bytes("/proc/%d/stat" % pid)
    except OSError:
        return None
    fields = text[text.rfind(b")") + 2 :].split()
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[1]), int(fields[19]))


def all_processes() -> Dict[int, Process]:
    """All living processes that can be seen, by pid."""
    found = (read_process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {process.pid: process for process in found if process is not None}


def recorded_process(identity: Any) -> Optional[Process]:
    """What a record says of a process, {"pid": …, "starttime": …}, which may be gone by now."""
    if not isinstance(identity, dict) or not isinstance(identity.get("pid"), int):
        return None
    return Process(identity["pid"], 0, int(identity.get("starttime") or 0))


def is_alive(process: Process) -> bool:
    """True while this very process runs, and not a later one of the same pid."""
    now = read_process(process.pid)
    return now is not None and now.started == process.started


def incarnation() -> str:
    """Changes when every process of the host is gone: boot id, start time of pid 1, inode of the pid namespace."""
    first = read_process(1)
    namespace = os.stat("/proc/self/ns/pid").st_ino
    boot = _read_text("/proc/sys/kernel/random/boot_id") or "unknown"
    return "%s.%d.%d" % (boot, first.started if first else 0, namespace)


def open_pidfd(process: Process) -> Optional[int]:
    """A descriptor that becomes readable when `process` ends. None if it is gone, or the kernel is older than 5.3."""
    descriptor: int = _libc.syscall(SYS_PIDFD_OPEN, process.pid, 0)
    if descriptor < 0:
        return None
    if not is_alive(process):
        os.close(descriptor)
        return None
    return descriptor


def send_signal(process: Process, number: int) -> None:
    """Signal this very process, never a later one of the same pid."""
    descriptor = open_pidfd(process)
    if descriptor is not None:
        _libc.syscall(SYS_PIDFD_SEND_SIGNAL, descriptor, int(number), None, 0)
        os.close(descriptor)
    elif is_alive(process):
        try:
            os.kill(process.pid, number)
        except OSError:
            pass  # gone, or changed its user


def with_descendants(roots: Sequence[int], processes: Dict[int, Process]) -> List[Process]:
    """Those of `roots` that live, and all that descend from any of them."""
    children: Dict[int, List[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: Dict[int, Process] = {}
    queue = list(roots)
    while queue:
        pid = queue.pop()
        if pid not in found:
            if pid in processes:
                found[pid] = processes[pid]
            queue.extend(children.get(pid, ()))
    return list(found.values())


def traces(place: Place) -> List[int]:
    """Pids of the processes that carry an attempt's cookie or have its job lock open, other than the caller."""
    lock = os.path.realpath(place.job)
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and (_bears(pid, place.cookie) or _holds(pid, lock))]


def _bears(pid: int, cookie: bytes) -> bool:
    try:
        environment = _read_bytes("/proc/%d/environ" % pid).split(b"\0")
    except OSError:
        return False  # gone meanwhile, or of another user
    return any(entry.startswith(b"BURNISH_RESULT=") and entry.endswith(cookie) for entry in environment)


def _holds(pid: int, lock: str) -> bool:
    folder = "/proc/%d/fd" % pid
    try:
        paths = {os.readlink("%s/%s" % (folder, descriptor)) for descriptor in os.listdir(folder)}
    except OSError:
        return False
    return lock in paths or lock + " (deleted)" in paths


def kin(place: Place) -> List[Process]:
    """All living processes of an attempt without a supervisor: those that bear its traces, and what descends from them."""
    return [process for process in with_descendants(traces(place), all_processes()) if process.pid != os.getpid()]


# -- status --------------------------------------------------------------------------------------------------------


class Standing:
    """What an attempt's folder says. `dead` is why nobody will ever make its final.json; `witness` lives while it runs."""

    __slots__ = ("dead", "final", "start", "status", "supervised", "witness")

    def __init__(
        self,
        status: str,
        start: Optional[Record] = None,
        final: Optional[Record] = None,
        supervised: bool = True,
        dead: str = "",
        witness: Optional[Process] = None,
    ) -> None:
        self.status = status
        self.start = start
        self.final = final
        self.supervised = supervised
        self.dead = dead
        self.witness = witness


def read_status(place: Place, here: str) -> Standing:
    """The standing of the attempt at `place`, from its folder, locks and processes; `here` is this host's incarnation."""
    final = read_record(place.file("final.json"))
    start = read_record(place.file("start.json"))
    if final:
        return Standing(ENDED, start, final)
    if final is not None:
        # Without words: its host lost power before its disk had them. All processes had ended when it was made.
        return Standing(RUNNING, start, dead="its verdict was damaged")
    if start is None:
        return _status_before_start(place, here)
    if "void" in start:
        return Standing(VOID, start)
    return _status_after_start(place, start, here)


def _status_before_start(place: Place, here: str) -> Standing:
    if not os.path.isdir(place.folder):
        # A folder that was wiped under a living job must not look like "never ran".
        alive = HELD in (lock_state(place.runner), lock_state(place.job))
        return Standing(RUNNING, supervised=False) if alive else Standing(ABSENT)
    if lock_state(place.runner) == HELD:
        return Standing(STARTING)
    if os.path.lexists(place.file("start.json")):
        return read_status(place, here)  # it was made, and the lock freed, between our two looks
    return Standing(UNSTARTED)


def _status_after_start(place: Place, start: Record, here: str) -> Standing:
    go = start.get("go") or {}
    if go and go.get("incarnation") != here:
        return Standing(RUNNING, start, dead="its host rebooted")
    runner = lock_state(place.runner)
    supervisor = recorded_process(go.get("supervisor"))
    if runner == HELD or (runner == MISSING and supervisor is not None and is_alive(supervisor)):
        return Standing(RUNNING, start, witness=supervisor)
    witness = read_process(_pid_in(place.job)) if lock_state(place.job) == HELD else None
    for pid in () if witness else traces(place):
        witness = read_process(pid) or witness
    if witness is not None or lock_state(place.job) == HELD:
        return Standing(RUNNING, start, supervised=False, witness=witness)
    # A record without words is what a power loss leaves of one that was just written.
    return Standing(RUNNING, start, dead="killed with its supervisor" if go else "its host lost power")


def void(place: Place, why: str, **kind: bool) -> bool:
    """Make `start.json` say that the command never ran and never will. False if it says something already. Raises OSError.

    `kind`: refused=True if the command cannot be run as asked, trouble=True if the host is not fit to run anything now,
    busy=True if the slot cannot be had.
    """
    brief = {"void": dict(kind, why="the disk is full")}
    return write_once(place.file("start.json"), {"void": dict(kind, why=why)}, brief)


def settle(place: Place, here: str) -> Standing:
    """`read_status`, after recording as lost what nobody is left to record."""
    standing = read_status(place, here)
    if not standing.dead:
        return standing
    lose(place, standing.dead)
    return read_status(place, here)


def lose(place: Place, why: str) -> None:
    """Record that the attempt has ended and that nobody will ever know how. Raises OSError."""
    lost: Record = {"why": why, "ended": time.time()}
    cancel = read_record(place.file("cancel.json"))
    if cancel is not None:
        lost["cancelled"] = cancel.get("by") or "unknown"
    brief = {"lost": {"why": why[:18], "ended": int(lost["ended"])}}
    final = place.file("final.json")
    if read_record(final) == {}:
        replace_record(final, {"lost": lost}, brief)
    else:
        write_once(final, {"lost": lost}, brief)
    place.unlock()


# -- the supervisor ------------------------------------------------------------------------------------------------


def prepare_process() -> int:
    """What agent and supervisor have in common, done once before any fork. Returns the user's umask, which jobs get back."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    return os.umask(0o077)


def leave_session(null: int) -> None:
    """Let go of the terminal or link that started this process. `null` is a descriptor of /dev/null."""
    try:
        os.setsid()
    except PermissionError:
        pass  # a batch system made it a leader already
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def fork(work: Callable[[], None]) -> None:
    """Do `work` in a process of its own, which then ends."""
    if os.fork():
        return
    try:
        work()
    finally:
        os._exit(0)


class Supervisor:
    """Owns one attempt: from its launch until after its record. The process that calls `run` does nothing else."""

    def __init__(
        self, place: Place, spec: Record, runner: int, here: str, oom_kills: int, notices: Optional[int] = None
    ) -> None:
        self._place = place
        self._spec = spec
        self._runner = runner
        self._here = here
        self._oom_kills = oom_kills  # on this host, before the job
        self._notices = notices
        self._final = self._lock = self._out = self._err = -1
        self._slot_locks: List[int] = []
        self._job = 0
        self._started = self._began = 0.0
        self._ended: Optional[Tuple[int, float, float, int]] = None  # wait status, unix time, monotonic, max RSS
        self._exec_error = ""
        self._cancel: Optional[Record] = None
        self._cancelled_by: Optional[str] = None
        self._out_of_time = False
        self._leftovers = 0

    def run(self) -> None:
        """Start the job, wait for its end, record it. The caller left its session and gave the process the user's umask."""
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        if self._launch():
            self._tell()
            self._attend()
            self._free_slots()  # no process of the job is left to use them
            self._tell(FREED)
            self._record()
        else:
            self._free_slots()
            _unlink(self._place.file("final.tmp"))
        self._place.unlock()
        for descriptor in (self._runner, self._lock, self._final, self._out, self._err):
            if descriptor >= 0:
                os.close(descriptor)
        self._tell(DONE)

    # Launching.

    def _launch(self) -> bool:
        """True if `start.json` says go, and the job was run; False if it says void."""
        start = self._place.file("start.json")
        try:
            program, argv, environment = self._prepare()
            made = write_once(start, {"go": self._go()})
        except Unstartable as error:
            void(self._place, str(error), refused=True)
            return False
        except SlotTaken as error:
            void(self._place, str(error), busy=True)
            return False
        except Exception as error:  # whatever it is, the coordinator must hear of it
            void(self._place, _clause(error), trouble=True)
            return False
        if made:
            self._spawn(program, argv, environment)
        os.chdir("/")
        return made

    def _prepare(self) -> Tuple[bytes, List[bytes], Dict[bytes, bytes]]:
        """Whatever may fail, before anything is said to have started. Raises OSError, Refusal, Unstartable."""
        spec, place = self._spec, self._place
        _write_file(place.file("spec.json"), _encode_json(spec).encode("ascii"))
        self._final = reserve(place.file("final.tmp"))
        self._lock = _for_the_job(make_lock(place.job))
        self._hold_slots()
        self._out, self._err = self._open_log("out"), self._open_log("err")
        environment = job_environment(spec, place)
        enter(spec["cwd"])
        argv = wrapped_argv(spec)
        return find_program(argv[0], environment), argv, environment

    def _hold_slots(self) -> None:
        """Take the locks of the slots, which the job inherits. Raises SlotTaken, OSError, Refusal."""
        for wanted in self._wanted_locks():
            self._slot_locks.append(_for_the_job(hold(wanted)))

    def _wanted_locks(self) -> List[Wanted]:
        """The locks that the spec's slots are. Their common folder is there afterwards. Raises OSError, Refusal."""
        locks = self._spec.get("locks") or []
        if any(lock["path"].startswith(gpu_lock_folder() + "/") for lock in locks):
            make_common_folder(gpu_lock_folder())
        return [Wanted(lock["path"], lock["what"], lock["alone"]) for lock in locks]

    def _renew_slot_locks(self) -> None:
        """Hold locks anew whose files were removed meanwhile: other users cannot see that we hold the old ones."""
        try:
            for wanted in self._wanted_locks():
                if not os.path.lexists(wanted.path):
                    self._slot_locks.append(_for_the_job(_hold_file(wanted)))
        except (OSError, Refusal, SlotTaken):
            pass  # the next look may succeed

    def _free_slots(self) -> None:
        while self._slot_locks:
            os.close(self._slot_locks.pop())

    def _go(self) -> Record:
        me = read_process(os.getpid())
        self._started, self._began = time.time(), time.monotonic()
        go: Record = {
            "started": self._started,
            "supervisor": {"pid": os.getpid(), "starttime": me.started if me else 0},
            "incarnation": self._here,
            "host": os.uname().nodename,
            "argv0": self._spec["argv"][0],
        }
        if self._spec.get("devices"):
            go["gpus"] = self._spec["devices"]
        go.update((stream, self._spec[stream]) for stream in ("out", "err") if self._spec.get(stream))
        return go

    def _open_log(self, stream: str) -> int:
        path = _bytes(self._spec.get(stream) or self._place.file(stream))
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY, 0o666)
        except OSError as error:
            if error.errno in FULL:
                raise
            raise Unstartable("its log %s cannot be opened: %s" % (printable(path), error.strerror)) from None

    def _spawn(self, program: bytes, argv: List[bytes], environment: Dict[bytes, bytes]) -> None:
        """Run the job in a session of its own. Not os.fork: that would copy this process's page tables a second time."""
        how: Record = {
            "file_actions": [(os.POSIX_SPAWN_DUP2, self._out, 1), (os.POSIX_SPAWN_DUP2, self._err, 2)],
            "setsigmask": (),
            "setsigdef": (*IGNORED, signal.SIGXFSZ),
        }
        try:
            try:
                self._job = os.posix_spawn(program, argv, environment, setsid=True, **how)
            except NotImplementedError:  # a Python that was built for an old C library
                self._job = os.posix_spawn(program, argv, environment, setpgroup=0, **how)
        except OSError as error:
            self._exec_error = "%s cannot be run: %s" % (printable(program), error.strerror)
            self._ended = 127 << 8, time.time(), time.monotonic(), 0
            return
        os.write(self._lock, b"%d" % self._job)
        offer_to_oom_killer(self._job)

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
        """Until a child ends, somebody cancels, or `deadline` (monotonic) comes. The signals are blocked, so none is missed."""
        self._renew_slot_locks()
        left = LOCK_INTERVAL if deadline is None else max(0.0, min(LOCK_INTERVAL, deadline - time.monotonic()))
        heard = signal.sigtimedwait(AWAITED, left)
        if heard is not None and heard.si_signo == signal.SIGUSR1:
            self._cancel = read_record(self._place.file("cancel.json")) or self._cancel

    def _end_tree(self, grace: float) -> int:
        """TERM, `grace` seconds, KILL for all that descends from us. Returns how many there were, when none is left."""
        asked = self._cancel
        tree = self._tree()
        for process in tree:
            send_signal(process, signal.SIGTERM)
            send_signal(process, signal.SIGCONT)  # a stopped one would not hear it
        deadline = time.monotonic() + grace
        pause = 0.02
        while self._reap():
            if self._cancel is not asked and self._cancel is not None:
                asked = self._cancel
                deadline = min(deadline, time.monotonic() + float(asked.get("grace", GRACE)))
            if time.monotonic() < deadline:
                self._wait(deadline)
                continue
            for process in self._tree():
                send_signal(process, signal.SIGKILL)
            self._wait(time.monotonic() + pause)
            pause = min(1.0, pause * 2)  # one that the kernel cannot end just now keeps us, and its locks, waiting
        return len(tree)

    def _tree(self) -> List[Process]:
        me = os.getpid()
        return [process for process in with_descendants([me], all_processes()) if process.pid != me]

    # Recording.

    def _record(self) -> None:
        record = {"exit": self._exit()}
        while True:
            try:
                self._write_final(record)
                return
            except FileNotFoundError:
                return  # the folder was removed: there is nobody to tell
            except OSError as error:
                # A full or broken disk may recover; until then the attempt has not ended for anyone.
                record["exit"].pop("tail", None)
                if record["exit"].pop("result", None) is not None:
                    record["exit"]["result_error"] = "not kept: %s" % _clause(error)
                else:
                    time.sleep(1)

    def _write_final(self, record: Record) -> None:
        temporary, folder = self._place.file("final.tmp"), self._place.folder
        for log in (self._out, self._err):
            if os.fstat(log).st_size:
                _sync(log)  # or a power loss would leave a verdict without what led to it
        data = _encode_json(record).encode("ascii")
        os.lseek(self._final, 0, os.SEEK_SET)
        _write_all(self._final, data)
        os.ftruncate(self._final, len(data))
        _sync(self._final)
        link_once(temporary, self._place.file("final.json"))
        _unlink(temporary)
        _sync_folder(folder)

    def _exit(self) -> Record:
        assert self._ended is not None
        status, ended, stopped, max_rss = self._ended
        verdict: Record = {}
        if os.WIFSIGNALED(status):
            verdict["signal"] = os.WTERMSIG(status)
        else:
            verdict["code"] = os.WEXITSTATUS(status)
        if self._exec_error:
            verdict["exec_error"] = self._exec_error
        verdict.update(
            pid=self._job,
            started=self._started,
            ended=ended,
            duration=stopped - self._began,
            max_rss=max_rss,
            leftovers=self._leftovers,
            cancelled=self._cancelled_by,
            sizes={"out": os.fstat(self._out).st_size, "err": os.fstat(self._err).st_size},
        )
        if self._out_of_time:
            verdict["time_limit"] = True
        killed = verdict.get("signal") == signal.SIGKILL and self._cancelled_by is None and not self._out_of_time
        if killed and count_oom_kills() > self._oom_kills:
            verdict["oom"] = True
        verdict.update(read_result(self._place.file("result.json")))
        if verdict.get("code") != 0:
            verdict["tail"] = self._tail()
        return verdict

    def _tail(self) -> str:
        """The end of what the job wrote on stderr: what it said of its failure is told with its exit."""
        try:
            descriptor = os.open(_bytes(self._spec.get("err") or self._place.file("err")), os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return ""
        try:
            data = os.pread(descriptor, TAIL, max(0, os.fstat(descriptor).st_size - TAIL))
        except OSError:
            return ""
        finally:
            os.close(descriptor)
        return data.decode("utf-8", "replace")

    def _tell(self, mark: str = "") -> None:
        """Tell the agent that forked us, if it is still there, to look at the folder; or what `mark` stands for."""
        if self._notices is not None:
            try:
                os.write(self._notices, ("%s%s\n" % (self._place.attempt, mark)).encode("ascii"))
            except OSError:
                pass  # gone, or not reading: whoever asks next reads the folder


def _for_the_job(lock: int) -> int:
    """The same lock, high, where a script's own `exec 3>` does not hit it, and not closed at exec: who holds it is alive."""
    inherited = fcntl.fcntl(lock, fcntl.F_DUPFD, 100)
    os.close(lock)
    return inherited


def reserve(path: str) -> int:
    """Make a file whose first bytes can be written even when the disk is full by then. Returns its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, RESERVED)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        _write_all(descriptor, b" " * RESERVED)
    return descriptor


def read_result(path: str) -> Record:
    """{"result": object}, {"result_error": why}, or {} if the job reported nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        return {}
    except OSError as error:
        return {"result_error": _clause(error)}
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return {"result_error": "it is not a regular file"}
        text = b"".join(iter(lambda: os.read(descriptor, RESULT_LIMIT + 1), b""))
    finally:
        os.close(descriptor)
    if len(text) > RESULT_LIMIT:
        return {"result_error": "it has %d bytes, and %d are allowed" % (len(text), RESULT_LIMIT)}
    if json_depth(text) > RESULT_DEPTH:
        return {"result_error": "it nests more than %d levels" % RESULT_DEPTH}
    try:
        result = json.loads(text.decode("utf-8"), parse_int=_short_int)
    except ValueError as error:
        return {"result_error": "it is no JSON: %s" % error}
    if not isinstance(result, dict):
        return {"result_error": "it is no JSON object"}
    return {"result": result}


def _short_int(digits: str) -> int:
    """Newer Pythons refuse to read longer ones, and a frame that cannot be read ends the link."""
    if len(digits) > 4000:
        raise ValueError("a number of %d digits" % len(digits))
    return int(digits)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def enter(folder: str) -> None:
    try:
        os.chdir(_bytes(os.path.expanduser(folder)))
    except OSError as error:
        raise Unstartable("the folder %s cannot be entered: %s" % (printable(folder), error.strerror)) from None


def job_environment(spec: Record, place: Place) -> Dict[bytes, bytes]:
    """The agent's own environment, what the slot shows of the GPUs, the spec's `env`, and burnish's: as execve takes it."""
    environment = dict(os.environb)
    environment.setdefault(b"PYTHONUNBUFFERED", b"1")
    if spec.get("slots") and (spec.get("devices") or find_nvidia_smi()):
        environment.update(gpu_environment(spec.get("devices") or ()))
    environment.update((_bytes(name), _bytes(value)) for name, value in (spec.get("env") or {}).items())
    environment[b"BURNISH_RESULT"] = _bytes(place.file("result.json"))
    for name in (b"BURNISH_LOCK_DIR", b"BURNISH_GPU_LOCK_DIR", b"BURNISH_NVIDIA_SMI_LIMIT"):
        environment.pop(name, None)
    return environment


def wrapped_argv(spec: Record) -> List[bytes]:
    """The argv as given; with `setup` lines, a shell that runs them and then becomes it."""
    argv = [_bytes(word) for word in spec["argv"]]
    if not spec.get("setup"):
        return argv
    shell = b"/bin/bash" if os.path.exists("/bin/bash") else b"/bin/sh"
    return [shell, b"-c", _bytes(spec["setup"]) + b'\nexec "$@"', b"burnish setup", *argv]


def find_program(name: bytes, environment: Dict[bytes, bytes]) -> bytes:
    """The path of what `name` runs, sought as a shell would, from the current folder. Raises Unstartable."""
    if b"/" in name:
        if not os.path.exists(name):
            raise Unstartable("%s does not exist" % printable(name))
        if os.path.isdir(name) or not os.access(name, os.X_OK):
            raise Unstartable("%s is not executable" % printable(name))
        return name
    path = environment.get(b"PATH") or os.defpath.encode()
    for folder in path.split(b":"):
        candidate = os.path.join(folder, name)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise Unstartable("no program %s in PATH (%s)" % (printable(name), printable(path)))


def count_oom_kills() -> int:
    """Processes that this host's kernel has ended for want of memory since boot; 0 if it does not say."""
    found = re.search(r"^oom_kill (\d+)", _read_text("/proc/vmstat"), re.MULTILINE)
    return int(found.group(1)) if found else 0


def offer_to_oom_killer(pid: int) -> None:
    """Out of memory, the kernel shall take the job and leave its supervisor to say so."""
    try:
        descriptor = os.open("/proc/%d/oom_score_adj" % pid, os.O_WRONLY)
    except OSError:
        return
    try:
        os.write(descriptor, b"500")
    except OSError:
        pass  # it ended, or became another user's
    finally:
        os.close(descriptor)


def problem_of_spec(spec: Any) -> str:
    """Why `spec` cannot be run, or ""."""
    if not isinstance(spec, dict):
        return "the spec is no object"
    argv, environment = spec.get("argv"), spec.get("env") or {}
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv) or not argv[0]:
        return "argv must be a list of texts, the first one a program"
    if not isinstance(spec.get("cwd"), str) or spec["cwd"][:1] not in ("/", "~"):
        return "cwd must be an absolute path, or begin with ~"
    if not isinstance(environment, dict) or not all(isinstance(value, str) for value in environment.values()):
        return "env must be an object of texts"
    for name in environment:
        if not name or "=" in name or "\0" in name:
            return "%r cannot be the name of an environment variable" % name
    paths = [spec.get(key) for key in ("setup", "out", "err")]
    if not all(value is None or isinstance(value, str) for value in paths):
        return "setup, out and err must be texts"
    for text in [*argv, spec["cwd"], *environment, *environment.values(), *(path for path in paths if path)]:
        try:
            if b"\0" in _bytes(text):
                return "a text holds a NUL byte, which no process can be given"
        except UnicodeEncodeError:
            return "%r stands for no bytes" % text
    numbers = [spec.get(key) for key in ("grace", "time_limit")]
    if not all(value is None or (isinstance(value, (int, float)) and value >= 0) for value in numbers):
        return "grace and time_limit must be seconds"
    return problem_of_slots(spec.get("slots"))


def undertake(place: Place, cancel: Record, notices: int) -> None:
    """End an attempt whose supervisor is dead: TERM, grace, KILL for all that can be found of it; then record it as lost."""
    deadline = time.monotonic() + float(cancel.get("grace", GRACE))
    family = kin(place)
    for process in family:
        send_signal(process, signal.SIGTERM)
        send_signal(process, signal.SIGCONT)
    while family:
        time.sleep(0.05)
        asked = read_record(place.file("cancel.json")) or cancel
        if asked != cancel:
            cancel = asked
            deadline = min(deadline, time.monotonic() + float(cancel.get("grace", GRACE)))
        family = kin(place)
        if time.monotonic() >= deadline:
            for process in family:
                send_signal(process, signal.SIGKILL)
    lose(place, "killed with its supervisor")
    try:
        os.write(notices, place.attempt.encode("ascii") + b"\n")
    except OSError:
        pass  # the agent is gone: whoever asks next reads the folder


# -- the agent -----------------------------------------------------------------------------------------------------


class Watch:
    """An attempt whose changes the link wants to hear of."""

    __slots__ = ("ours", "pidfd", "place", "started_here", "told", "undertaken")

    def __init__(self, place: Place, started_here: bool = False) -> None:
        self.place = place
        self.started_here = started_here
        self.told: Any = None
        self.pidfd: Optional[int] = None
        self.undertaken = False
        self.ours = False  # a supervisor of this agent's has it

    @property
    def announced(self) -> bool:
        """True if its end is told or seen at once. Another agent's supervisor tells that agent, and lives on."""
        return self.pidfd is not None and self.ours


class Crew:
    """A supervisor between two attempts, or at one, and our end of the socket on which it gets them.

    Forking costs more than most of what a short job needs, so a supervisor that has recorded an attempt takes the next. It owns
    one at a time, and ends when the agent is gone.
    """

    __slots__ = ("attempt", "socket")

    def __init__(self, ours: socket.socket) -> None:
        self.socket = ours
        self.attempt = ""

    def give(self, attempt: str, order: bytes, runner: int) -> None:
        """Hand over an attempt and its runner lock. Raises OSError if the supervisor is gone."""
        handle = struct.pack("i", runner)
        self.socket.sendmsg([order], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handle)])
        self.attempt = attempt


def next_order(mine: socket.socket) -> Tuple[bytes, int]:
    """Wait for the next attempt: what was packed by the agent, and the runner lock. Empty when the agent is gone."""
    # Closed at exec: a job that held the runner lock would pass for its own supervisor.
    order, ancillary, _, _ = mine.recvmsg(ORDER_LIMIT, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    return order, struct.unpack("i", ancillary[0][2])[0] if ancillary else -1


class Look:
    """A `look` that waits for the GPUs: until when (monotonic), and which folder it asks about."""

    __slots__ = ("until", "workdir")

    def __init__(self, workdir: Any) -> None:
        self.until = time.monotonic() + LOOK_PATIENCE
        self.workdir = workdir


class Agent:
    """Serves one link: reads requests from descriptor 0, writes answers and news to descriptor 1, ends when either does."""

    def __init__(self, source: bytes = b"") -> None:
        self._source = source
        self._umask = prepare_process()
        self._null = os.open(os.devnull, os.O_RDWR)
        self._incarnation = incarnation()
        self._reader = FrameReader()
        self._requests: List[Header] = []
        self._output = bytearray()
        self._watches: Dict[str, Watch] = {}
        self._watched: Dict[int, Watch] = {}  # by pidfd
        self._notices, self._notices_in = os.pipe()
        os.set_blocking(self._notices_in, False)
        self._poll = select.poll()
        self._poll.register(0, select.POLLIN)
        self._poll.register(self._notices, select.POLLIN)
        self._table = ""
        self._home = ""  # the host's folder
        self._attempts = ""
        self._state_file: Tuple[int, int] = (0, 0)
        self._state_id = ""
        self._looked = 0.0  # when attempts whose end is not announced were looked at, monotonic
        self._oom_kills = (0.0, 0)  # when they were counted, monotonic, and how many
        self._crews: List[Crew] = []
        self._gpus = GpuReading()
        self._looks: List[Look] = []
        self._waiting_starts: List[Header] = []  # for the first reading of the GPUs
        self._starts_behind: List[Header] = []  # each for the end of the attempt that it names as `after`
        self._over = False

    def serve(self) -> None:
        """Until the link ends. Raises ProtocolError for bytes that no coordinator sends."""
        while not self._over:
            self._turn()
            for request in self._requests[:PICKS_PER_TURN]:
                self._serve_request(request)
            del self._requests[:PICKS_PER_TURN]
            self._flush()

    def _turn(self) -> None:
        """Wait for something to do: a request, a supervisor's notice, the end of a watched process, or time for a look."""
        ready = [descriptor for descriptor, _ in self._poll.poll(self._timeout())]
        names = set()
        if self._notices in ready:
            told = os.read(self._notices, READ_SIZE).decode("ascii").split("\n")
            self._relieve({name.rstrip(DONE) for name in told if name.endswith(DONE)})
            for name in told:
                if name.endswith(FREED):
                    self._start_next(name.rstrip(FREED))
                else:
                    names.add(name.rstrip(DONE))
        names.update(self._watched[pidfd].place.attempt for pidfd in ready if pidfd in self._watched)
        if time.monotonic() - self._looked >= LOOK_INTERVAL:
            self._looked = time.monotonic()
            names.update(name for name, watch in self._watches.items() if not watch.announced)
        for name in names:
            if name in self._watches:
                self._look(self._watches[name])
        self._collect_children()
        if self._gpus.pipe in ready:
            self._take_gpus()
        self._answer_looks()
        if 0 in ready and not self._requests:
            data = os.read(0, READ_SIZE)
            self._over = not data
            self._requests.extend(header for header, _ in self._reader.feed(data))

    def _relieve(self, done: Set[str]) -> None:
        """The supervisors of these attempts may take others."""
        for crew in [crew for crew in self._crews if crew.attempt in done]:
            crew.attempt = ""
            if sum(not other.attempt for other in self._crews) > IDLE_CREWS:
                self._dismiss(crew)

    def _timeout(self) -> Optional[float]:
        """In milliseconds."""
        if self._requests:
            return 0
        blind = any(not watch.announced for watch in self._watches.values())
        return LOOK_INTERVAL * 1000 if blind or self._looks else None

    def _collect_children(self) -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    def _flush(self) -> None:
        try:
            _write_all(1, self._output)
        except OSError:
            self._over = True  # nobody listens
        self._output.clear()

    def _send(self, kind: str, **fields: Any) -> None:
        self._output += encode_frame(dict(fields, type=kind))

    def _serve_request(self, request: Header) -> None:
        kind = request["type"]
        serve = getattr(self, "_on_" + kind, None) if kind.isalpha() else None
        try:
            if serve is None:
                raise Refusal("this agent does not know such a request")
            if not self._table and kind not in ("hello", "ping"):
                raise Refusal("hello must come first")
            serve(request)
        except Refusal as refusal:
            self._refuse(request, str(refusal))
        except OSError as error:
            self._refuse(request, _clause(error), passing=error.errno in PASSING)
        except (KeyError, TypeError, ValueError) as error:
            self._refuse(request, "the request is malformed (%s: %s)" % (type(error).__name__, error))

    def _refuse(self, request: Header, why: str, passing: bool = False) -> None:
        self._send("refused", request=request["type"], attempt=request.get("attempt"), why=why, passing=passing)

    # Requests about the link.

    def _on_hello(self, request: Header) -> None:
        if request["protocol"] != PROTOCOL:
            raise Refusal("it speaks protocol %r, this agent %d" % (request["protocol"], PROTOCOL))
        if not TABLE_NAME.fullmatch(request["table"]):
            raise Refusal("%r is no table id" % request["table"])
        state_dir = os.path.expanduser(request["state_dir"])
        if not os.path.isabs(state_dir):
            raise Refusal("state_dir %s is not absolute" % printable(state_dir))
        self._open_state(os.path.realpath(state_dir), request["table"])
        make_private_folder(lock_folder())
        self._table = request["table"]
        gc.collect()
        gc.freeze()  # a collection in a child would copy every page it touches
        self._send(
            "welcome",
            protocol=PROTOCOL,
            state_id=self._state_id,
            incarnation=self._incarnation,
            hostname=os.uname().nodename,
            uid=os.getuid(),
            python=sys.version.split()[0],
            pid=os.getpid(),
            now=time.time(),
        )

    def _open_state(self, state_dir: str, table: str) -> None:
        os.makedirs(state_dir, 0o700, exist_ok=True)
        self._home = os.path.join(state_dir, host_folder_name())
        make_private_folder(self._home)
        path = os.path.join(self._home, "state_id")
        try:
            if not os.path.exists(path) and write_once(path, {"state_id": os.urandom(16).hex()}, sync=True):
                for folder in (self._home, state_dir, os.path.dirname(state_dir)):  # the names that lead to it, too
                    _sync_folder(folder)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                raise
            raise Refusal("%s is on a file system without hard links; name another state_dir" % self._home) from None
        self._state_file = _identity(path)
        self._state_id = str((read_record(path) or {}).get("state_id"))
        self._attempts = os.path.join(self._home, "attempts")
        os.makedirs(self._attempts, 0o700, exist_ok=True)
        try:
            os.mkdir(os.path.join(self._attempts, table), 0o700)
        except FileExistsError:
            pass  # or the mark of a table that was cleaned away
        self._keep_source()

    def _keep_source(self) -> None:
        """For batch systems, whose scripts run `supervise` later and on another node."""
        path = source_path(self._home, self._source)
        if not self._source or os.path.exists(path):
            return
        temporary = "%s.%s.tmp" % (path, os.urandom(4).hex())
        try:
            _write_file(temporary, self._source)
            os.rename(temporary, path)
        except OSError:
            _unlink(temporary)  # a full disk: an agent that is only asked what it has must come up all the same

    def _on_ping(self, request: Header) -> None:
        self._send("pong", id=request.get("id"))

    # What the host has.

    def _on_look(self, request: Header) -> None:
        """Answered when the GPUs have been read, or refuse to be."""
        self._looks.append(Look(request.get("workdir")))
        self._read_gpus()
        self._answer_looks()

    def _read_gpus(self) -> None:
        self._gpus.begin(self._fork)
        if self._gpus.pipe is not None:
            self._poll.register(self._gpus.pipe, select.POLLIN | select.POLLHUP)

    def _take_gpus(self) -> None:
        pipe = self._gpus.pipe
        if pipe is not None and self._gpus.take():
            self._poll.unregister(pipe)
            starts, self._waiting_starts = self._waiting_starts, []
            for request in starts:
                self._serve_request(request)

    def _answer_looks(self) -> None:
        for look in list(self._looks):
            if not self._gpus.under_way or time.monotonic() >= look.until:
                self._looks.remove(look)
                self._send("seen", **self._seen(look.workdir))

    def _seen(self, workdir: Any) -> Record:
        """What there is, and how much of it is in use."""
        import pwd

        disk = os.statvfs(self._home)
        reading, error = self._gpus, self._gpus.error
        if reading.under_way:
            error = "nvidia-smi has not answered for %.0f s" % (time.monotonic() - reading.began)
        try:
            user = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            user = str(os.getuid())
        gpus = None if reading.gpus is None else [self._with_holders(gpu) for gpu in reading.gpus]
        return {
            "now": time.time(),
            "load": list(os.getloadavg()),
            "cpus": os.cpu_count(),
            "disk_free": disk.f_bavail * disk.f_frsize,
            "workdir": _look_at_folder(workdir) if isinstance(workdir, str) else None,
            "python": sys.version.split()[0],
            "user": user,
            "mask": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "driver": next((gpu["driver"] for gpu in gpus or ()), ""),
            "gpus": gpus,
            "gpu_error": error,
            "gpu_exit": None if reading.under_way else reading.exit,
            "age": time.monotonic() - reading.at if gpus else None,
            "held": held_cpu_slots(self._state_id),
        }

    def _with_holders(self, gpu: Record) -> Record:
        """A GPU as it was read, and which of burnish's jobs have it now."""
        migs = [dict(mig, **holding(mig["uuid"])) for mig in gpu["migs"]]
        return dict(gpu, migs=migs, **holding(gpu["uuid"]))

    # Requests about an attempt.

    def _place(self, request: Header) -> Place:
        if not isinstance(request.get("attempt"), str) or not ATTEMPT_NAME.fullmatch(request["attempt"]):
            raise Refusal("%r is no attempt" % (request.get("attempt"),))
        watch = self._watches.get(request["attempt"])
        return watch.place if watch else Place(self._attempts, self._table, request["attempt"])

    def _on_start(self, request: Header) -> None:
        place, spec = self._place(request), request["spec"]
        moved = self._moved(request)
        if moved:
            raise Refusal("not started, because since it was claimed %s" % moved)
        if self._is_behind(request):
            self._starts_behind.append(request)
            return
        problem = problem_of_spec(spec)
        if not problem and (spec.get("slots") or {}).get("gpus") and not self._gpus.done:
            self._read_gpus()
            if not self._gpus.done:
                self._waiting_starts.append(request)
                return
        if not self._make_folder(place):
            self._watches.setdefault(place.attempt, Watch(place)).started_here = True
            self._answer(place)
            return
        if problem:
            void(place, problem, refused=True)
            self._answer(place)
            return
        try:
            self._hand_over(place, self._with_devices(spec))
        except SlotTaken as error:
            void(place, str(error), busy=True)
            self._answer(place)
        except (OSError, Refusal) as error:
            void(place, "no supervisor can be started: %s" % _clause(error), trouble=True)
            self._answer(place)
        else:
            watch = self._watches[place.attempt] = Watch(place, started_here=True)
            watch.ours = True  # told when the job runs, or at the next look

    def _is_behind(self, request: Header) -> bool:
        """True if another attempt, which the request is to come after, has not ended; then its end is heard of here."""
        if request.get("after") is None:
            return False
        leader = self._place({"attempt": request["after"]})
        if leader.attempt not in self._watches:
            self._answer(leader)
        return leader.attempt in self._watches

    def _start_next(self, ended: str) -> None:
        """Start what was to come after an attempt. Nothing of it was on disk until now: it would have gone with the link."""
        ready = [request for request in self._starts_behind if request["after"] == ended]
        self._starts_behind = [request for request in self._starts_behind if request["after"] != ended]
        for request in ready:
            self._serve_request(dict(request, after=None))

    def _hand_over(self, place: Place, spec: Record) -> None:
        """Give the attempt to a supervisor, and its runner lock with it: there is no moment in which it looks abandoned."""
        now = time.monotonic()
        if now - self._oom_kills[0] > 1:
            self._oom_kills = now, count_oom_kills()
        order = _encode_json([place.attempt, spec, self._oom_kills[1]]).encode("ascii")
        if len(order) > ORDER_LIMIT:
            self._fork_supervisor(place, spec)
            return
        while True:
            # Before the lock is there: a process that is forked now must not inherit it.
            crew = next((crew for crew in self._crews if not crew.attempt), None) or self._new_crew()
            runner = make_lock(place.runner)
            try:
                crew.give(place.attempt, order, runner)
                return
            except OSError:
                self._dismiss(crew)  # it was killed
                place.unlock()
            finally:
                os.close(runner)

    def _with_devices(self, spec: Record) -> Record:
        """`spec`, and what its slots are on this host: `devices`, and the `locks` to hold. Raises SlotTaken."""
        slots = spec.get("slots") or {}
        wanted = slots.get("gpus") or ()
        seen = self._gpus.gpus if wanted and find_nvidia_smi() else None
        devices = [resolve_gpu(gpu, seen) for gpu in wanted]
        locks = [lock for device in devices for lock in gpu_locks(device)]
        locks += [Wanted(cpu_lock(self._state_id, index), "CPU slot %d" % index) for index in slots.get("cpu") or ()]
        described = [{"path": lock.path, "what": lock.what, "alone": lock.alone} for lock in locks]
        return dict(spec, devices=devices, locks=described)

    def _fork_supervisor(self, place: Place, spec: Record) -> None:
        """A supervisor for this attempt alone, whose spec is too large for a message."""
        runner = make_lock(place.runner)
        try:
            here, oom_kills, notices = self._incarnation, self._oom_kills[1], self._notices_in
            self._fork(lambda: Supervisor(place, spec, runner, here, oom_kills, notices).run())
        finally:
            os.close(runner)

    def _new_crew(self) -> Crew:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * ORDER_LIMIT)
        crew = Crew(ours)
        self._crews.append(crew)
        try:
            self._fork(lambda: self._serve_attempts(theirs))
        finally:
            theirs.close()
        return crew

    def _serve_attempts(self, mine: socket.socket) -> None:
        """The life of a supervisor: one attempt after the other, while there is an agent to give them."""
        while True:
            order, runner = next_order(mine)
            if not order:
                return
            attempt, spec, oom_kills = json.loads(order)
            place = Place(self._attempts, self._table, attempt)
            Supervisor(place, spec, runner, self._incarnation, oom_kills, self._notices_in).run()

    def _dismiss(self, crew: Crew) -> None:
        crew.socket.close()
        self._crews.remove(crew)

    def _moved(self, request: Header) -> str:
        """What happened to this host since the request's attempt was claimed, or ""."""
        self._check_state()
        if request.get("state_id") not in (None, self._state_id):
            return "its host's records were wiped"
        if request.get("incarnation") not in (None, self._incarnation):
            return "its host rebooted"
        return ""

    def _check_state(self) -> None:
        if _identity(os.path.join(self._home, "state_id")) != self._state_file:
            self._over = True
            raise Refusal("the state folder %s was removed; connect again" % self._home)

    def _make_folder(self, place: Place) -> bool:
        """False if the attempt's folder exists already."""
        try:
            os.mkdir(place.folder, 0o700)
        except FileExistsError:
            return False
        except FileNotFoundError:
            self._check_state()
            raise
        except NotADirectoryError:
            raise Refusal("the table was cleaned away; nothing of it is started") from None
        return True

    def _fork(self, work: Callable[[], None]) -> None:
        """Do `work` in a process of its own that has none of the link's descriptors, so that it cannot hold the link open."""
        pidfds, crews = list(self._watched), list(self._crews)

        def child() -> None:
            leave_session(self._null)
            os.close(self._notices)
            for pidfd in pidfds:
                os.close(pidfd)
            for crew in crews:
                crew.socket.close()  # or another supervisor would not notice that the agent is gone
            os.umask(self._umask)
            work()

        fork(child)

    def _on_void(self, request: Header) -> None:
        place = self._place(request)
        self._rule_out(place, self._moved(request), str(request.get("why") or "voided"))
        self._answer(place)

    def _rule_out(self, place: Place, moved: str, why: str) -> None:
        """See to it that the command never runs from now on. `moved`: what happened to this host since its claim."""
        if moved and not os.path.lexists(place.file("start.json")):
            # It may have run before that, and its records be gone: "never ran" is not known.
            if kin(place):
                raise Refusal("since it was claimed %s, but processes of it are alive" % moved)
            self._make_folder(place)
            lose(place, moved)
        self._make_folder(place)
        void(place, why)

    def _on_cancel(self, request: Header) -> None:
        place = self._place(request)
        by, grace = str(request.get("by") or "unknown"), float(request.get("grace", GRACE))
        if any(start["attempt"] == place.attempt for start in self._waiting_starts + self._starts_behind):
            self._make_folder(place)  # as if it had not waited
        standing = settle(place, self._incarnation)
        if standing.status in (UNSTARTED, STARTING):
            self._rule_out(place, self._moved(request), "cancelled by %s before it started" % by)
            standing = settle(place, self._incarnation)
        if standing.status == RUNNING:
            self._ask_end(place, standing, {"by": by, "grace": grace, "at": time.time()})
        self._answer(place)

    def _ask_end(self, place: Place, standing: Standing, cancel: Record) -> None:
        """Leave word in the folder, where it outlives this agent; then wake the supervisor, or do its work."""
        try:
            replace_record(place.file("cancel.json"), cancel, {"by": cancel["by"][:16], "grace": cancel["grace"]})
        except FileNotFoundError:
            pass  # the folder was wiped, the processes were not
        supervisor = recorded_process(((standing.start or {}).get("go") or {}).get("supervisor"))
        if standing.supervised and supervisor is not None:
            send_signal(supervisor, signal.SIGUSR1)
            send_signal(supervisor, signal.SIGCONT)
        else:
            self._undertake(self._watches.setdefault(place.attempt, Watch(place)), cancel)

    def _undertake(self, watch: Watch, cancel: Record) -> None:
        if not watch.undertaken:
            watch.undertaken = True
            place, notices = watch.place, self._notices_in
            self._fork(lambda: undertake(place, cancel, notices))

    def _on_status(self, request: Header) -> None:
        self._answer(self._place(request))

    def _on_list(self, request: Header) -> None:
        for place in self._places():
            if not os.path.exists(place.file("acked")):
                self._answer(place)
        self._send("listed")

    def _places(self) -> List[Place]:
        try:
            names = os.listdir(os.path.join(self._attempts, self._table))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [Place(self._attempts, self._table, name) for name in names if ATTEMPT_NAME.fullmatch(name)]

    def _on_pull(self, request: Header) -> None:
        place, stream = self._place(request), request["stream"]
        offset, size = int(request["offset"]), min(int(request["size"]), BODY_LIMIT)
        if stream not in ("out", "err") or offset < 0 or size < 0:
            raise Refusal("stream must be out or err, offset and size not negative")
        if os.path.exists(place.file("acked")):
            raise Refusal("its logs were removed when everything had been stored")
        try:
            path = log_path(place, read_record(place.file("start.json")), stream)
            descriptor = os.open(_bytes(path), os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            body, end = b"", 0
        else:
            try:
                body, end = os.pread(descriptor, size, offset), os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
        header = {"type": "log", "attempt": place.attempt, "stream": stream, "offset": offset}
        self._output += encode_frame(dict(header, size=len(body), end=end), body)
        if len(self._output) > BODY_LIMIT:
            self._flush()

    def _on_ack(self, request: Header) -> None:
        place = self._place(request)
        ended = os.path.exists(place.file("final.json"))
        status = ENDED if ended else settle(place, self._incarnation).status
        if status in (ENDED, VOID):
            os.close(os.open(place.file("acked"), os.O_WRONLY | os.O_CREAT, 0o600))
            _empty(place.folder, keep=("start.json", "final.json", "acked"))
            place.unlock()
            self._unwatch(place.attempt)
        elif status != ABSENT:
            raise Refusal("it is %s; only what has ended can be put away" % status)
        self._send("acked", attempt=place.attempt)

    def _on_clean(self, request: Header) -> None:
        left = [place.attempt for place in self._places() if not self._remove(place)]
        folder = os.path.join(self._attempts, self._table)
        if not left:
            try:
                os.rmdir(folder)
            except OSError:
                left = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        if not left and request.get("mark", True) and not os.path.exists(folder):
            # A file in its place: a start that is still on its way finds no folder to be made in.
            os.close(os.open(folder, os.O_WRONLY | os.O_CREAT, 0o600))
        self._remove_old_marks()
        self._send("cleaned", left=left)

    def _remove_old_marks(self) -> None:
        for mark in os.scandir(self._attempts):
            if mark.is_file(follow_symlinks=False) and time.time() - mark.stat().st_mtime > MARK_KEPT:
                _unlink(mark.path)

    def _remove(self, place: Place) -> bool:
        standing = settle(place, self._incarnation)
        if standing.status in (UNSTARTED, STARTING):
            void(place, "its table was cleaned away")
            standing = settle(place, self._incarnation)
        if standing.status == RUNNING:
            return False
        self._unwatch(place.attempt)
        _empty(place.folder)
        os.rmdir(place.folder)
        place.unlock()
        return True

    # News.

    def _answer(self, place: Place) -> None:
        """Send the attempt's status now, and again whenever it changes."""
        watch = self._watches.setdefault(place.attempt, Watch(place))
        watch.told = None
        self._look(watch)

    def _look(self, watch: Watch) -> None:
        """Send the status if it is news. See to it that a cancel is carried out, whoever asked for it."""
        place = watch.place
        standing = settle(place, self._incarnation)
        if standing.status == UNSTARTED and watch.started_here and watch.told is not None:
            # For two looks nobody has been on the way. One alone may fall between another agent's mkdir and its lock.
            void(place, "its supervisor was killed before it started", trouble=True)
            standing = settle(place, self._incarnation)
        news = standing.status, standing.supervised
        if news != watch.told:
            watch.told = news
            self._send_status(place, standing)
        self._rewatch(watch, standing)
        cancel = None if standing.supervised else read_record(place.file("cancel.json"))
        if cancel is not None:
            self._undertake(watch, cancel)

    def _send_status(self, place: Place, standing: Standing) -> None:
        fields: Record = {"attempt": place.attempt, "status": standing.status}
        verdict = (standing.final or {}).get("exit") or {}
        if standing.start is not None:
            fields["start"] = standing.start
            if "go" in standing.start:
                standing.start["go"]["pid"] = verdict.get("pid") or _pid_in(place.job)
        if standing.final is not None:
            fields["final"] = standing.final
            fields["sizes"] = verdict.get("sizes") or self._sizes(place, standing.start)
        if standing.status == RUNNING:
            fields["supervised"] = standing.supervised
        self._send("status", **fields)

    def _sizes(self, place: Place, start: Optional[Record]) -> Record:
        return {stream: _size(log_path(place, start, stream)) for stream in ("out", "err")}

    def _rewatch(self, watch: Watch, standing: Standing) -> None:
        """Have the kernel announce the end of what keeps the attempt as it is."""
        if standing.status in (ABSENT, VOID, ENDED):
            self._unwatch(watch.place.attempt)
            return
        self._forget_pidfd(watch)
        pidfd = open_pidfd(standing.witness) if standing.witness is not None else None
        if pidfd is not None:
            watch.pidfd = pidfd
            self._watched[pidfd] = watch
            self._poll.register(pidfd, select.POLLIN)

    def _unwatch(self, attempt: str) -> None:
        watch = self._watches.pop(attempt, None)
        if watch is not None:
            self._forget_pidfd(watch)
            self._start_next(attempt)

    def _forget_pidfd(self, watch: Watch) -> None:
        if watch.pidfd is not None:
            self._poll.unregister(watch.pidfd)
            del self._watched[watch.pidfd]
            os.close(watch.pidfd)
            watch.pidfd = None


def _empty(folder: str, keep: Sequence[str] = ()) -> None:
    """Remove what is in `folder`, a job's own folders in it too, but for the files `keep`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _empty(entry.path)
                os.rmdir(entry.path)
            elif entry.name not in keep:
                _unlink(entry.path)


def log_path(place: Place, start: Optional[Record], stream: str) -> str:
    """Where the job's `stream`, out or err, goes: the start record says so if it is not in the folder."""
    go = (start or {}).get("go") or {}
    return str(go.get(stream) or place.file(stream))


def source_path(home: str, source: bytes) -> str:
    """Where the agent's own text is kept below the host's folder: named by its hash, verified by it each time."""
    import hashlib

    return "%s/agent-%s.py" % (home, hashlib.sha256(source).hexdigest()[:16])


def _look_at_folder(path: str) -> Record:
    name = _bytes(os.path.expanduser(path))
    return {"path": path, "exists": os.path.isdir(name), "writable": os.access(name, os.W_OK | os.X_OK)}


def _identity(path: "str | int") -> Tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)
    return found.st_ino, found.st_ctime_ns


def _pid_in(lock: str) -> int:
    """The pid that a supervisor wrote into its job's lock file; 0 while it is not known."""
    text = _read_text(lock)
    return int(text) if text.isdigit() else 0


def _size(path: str) -> int:
    try:
        return os.stat(_bytes(path)).st_size
    except OSError:
        return 0


def serve(nonce: str, source: bytes = b"") -> None:
    """Greet the coordinator and serve it until the link ends."""
    os.chdir("/")
    agent = Agent(source)
    _write_all(1, (PREAMBLE % nonce).encode("ascii"))
    try:
        agent.serve()
    except ProtocolError as error:
        sys.stderr.write("%s\n" % error)  # the link is of no use any more; the coordinator makes another one


def supervise(folder: str) -> None:
    """Run the supervisor of the attempt in `folder`, whose spec.json is there, in the foreground."""
    place = Place.of_folder(folder)
    spec = read_record(place.file("spec.json")) or {}
    problem = problem_of_spec(spec)
    if problem:
        raise SystemExit("%s: %s" % (place.file("spec.json"), problem))
    umask = prepare_process()
    make_private_folder(lock_folder())
    runner = make_lock(place.runner)
    leave_session(os.open(os.devnull, os.O_RDWR))
    os.umask(umask)
    Supervisor(place, spec, runner, incarnation(), count_oom_kills()).run()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "supervise":
        raise SystemExit("usage: agent.py supervise FOLDER")
    supervise(sys.argv[2])
