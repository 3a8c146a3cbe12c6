"""How a job begins: a shell line that tells, and what it must say of a job that began as this process's children do."""

from __future__ import annotations

import os

# While dash waits for a child it blocks all signals, so what the job began with is seen only in what it becomes.
TELL = (
    "umask; ps -o sid= -p $$; echo $$; readlink /proc/$$/fd/0; ls /proc/$$/fd; "
    "exec grep -E '^Sig(Blk|Ign)' /proc/self/status"
)

# Signals 32 and 33, which glibc's posix_spawn ignores until the program's own glibc wants them.
GLIBC_OWN = 3 << 31


def assert_as_from_a_shell(told: str, umask: int) -> None:
    """`told` is what TELL printed; the job's umask must be `umask`."""
    mask, session, pid, stdin, *descriptors, _, blocked, _, ignored = told.split()
    assert int(mask, 8) == umask
    assert (int(blocked, 16), int(ignored, 16) & ~GLIBC_OWN) == (0, 0)
    assert session == pid and stdin == "/dev/null"
    assert {int(number) for number in descriptors if int(number) < 100} == {0, 1, 2}


def umask() -> int:
    """This process's own."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
