"""From a spec to what is executed: arguments, environment and folder."""

from __future__ import annotations

import errno
import os

from .files import as_bytes
from .refusals import Unstartable, printable
from .slots import gpu_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List

    from .place import Place
    from .records import Record

POINTER = 8  # bytes, for each text that is passed
MOST_PASSED = 6 << 20  # bytes, whatever the stack limit


def enter(folder: str) -> None:
    """Make `folder`, which may begin with ~, the current one. Raises Unstartable."""
    try:
        os.chdir(as_bytes(os.path.expanduser(folder)))
    except OSError as error:
        raise Unstartable("the folder %s cannot be entered: %s" % (printable(folder), error.strerror)) from None


def job_environment(
    spec: Record, place: Place, inherited: Dict[bytes, bytes], says_gpus: bool = False
) -> Dict[bytes, bytes]:
    """What the agent `inherited`, which GPUs the job may use if it is to hear that, the spec's `env`, and burnish's.

    As execve takes it.
    """
    environment = dict(inherited)
    environment.setdefault(b"PYTHONUNBUFFERED", b"1")
    if says_gpus:
        environment.update(gpu_environment(spec.get("devices") or ()))
    environment.update((as_bytes(name), as_bytes(value)) for name, value in (spec.get("env") or {}).items())
    environment[b"BURNISH_RESULT"] = as_bytes(place.file("result.json"))
    for name in (b"BURNISH_LOCK_DIR", b"BURNISH_GPU_LOCK_DIR", b"BURNISH_NVIDIA_SMI_LIMIT"):
        environment.pop(name, None)
    return environment


SETUP_ENDED = "its setup ended with "

# A shell that says in a file why it has not come to the command: its setup lines ended it, the last one failed, or they have not
# brought the program, or the script, that it needs. They are a text of their own, so that a quote without its partner ends with
# them, and the numbers of lines in what is said of them are theirs.
SETUP = b"""trap 'echo "its setup ended with $?" >"$BURNISH_RESULT.setup"' EXIT; burnish_setup=$1; shift; eval "$burnish_setup"
burnish_code=$?
[ $burnish_code -eq 0 ] || exit $burnish_code
burnish_lack() { trap - EXIT; printf '%%s\\n' "$1" >"$BURNISH_RESULT.setup"; exit 127; }
burnish_script=%(script)s
case $burnish_script in ''|/*) ;; *) burnish_script=$PWD/$burnish_script ;; esac
%(programs)s || burnish_lack %(missing)s
[ -z "$burnish_script" ] || [ -e "$burnish_script" ] || burnish_lack "$burnish_script does not exist"
trap - EXIT
unset -f burnish_lack
unset burnish_code burnish_script burnish_setup
exec "$@\""""


def wrapped_argv(spec: Record) -> List[bytes]:
    """The argv as given; with `setup` lines, a shell that runs them and then becomes it."""
    argv = [as_bytes(word) for word in spec["argv"]]
    if not spec.get("setup"):
        return argv
    programs = [as_bytes(program) for program in spec.get("programs") or spec["argv"][:1]]
    named = _quoted(b" or ".join(programs))
    absent = b'%s" does not exist, or is not executable"' if b"/" in named else b'"no program "%s" in PATH ($PATH)"'
    text = SETUP % {
        b"script": _quoted(as_bytes(spec.get("script") or "")),
        b"programs": b" || ".join(b"command -v %s >/dev/null" % _quoted(program) for program in programs),
        b"missing": absent % named,
    }
    shell = b"/bin/bash" if os.path.exists("/bin/bash") else b"/bin/sh"
    return [shell, b"-c", text, b"burnish setup", as_bytes(spec["setup"]), *argv]


def _quoted(word: bytes) -> bytes:
    """`word` as a shell reads it back, byte for byte."""
    return b"'%s'" % word.replace(b"'", b"'\\''")


def why_not_run(program: bytes, argv: List[bytes], environment: Dict[bytes, bytes], error: OSError) -> str:
    """Why the kernel did not start `program`, as a clause for a person."""
    why = error.strerror
    if error.errno == errno.E2BIG:
        texts = [*argv, *(name + b"=" + value for name, value in environment.items())]
        size = sum(len(text) + 1 + POINTER for text in texts)
        why = (
            "its arguments and environment are %d bytes, and this host passes at most %d (a quarter of its stack limit). "
            "Put long values in files" % (size, min(os.sysconf("SC_ARG_MAX"), MOST_PASSED))
        )
    return "%s cannot be run: %s" % (printable(program), why)
