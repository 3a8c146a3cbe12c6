"""Swapping two names in one step, where kernel and file system can: `renameat2(RENAME_EXCHANGE)`.

With plain `rename` a file that an editor put in place a microsecond ago is gone without a trace. An exchange hands it back under
the other name. NFS answers EINVAL; then the caller falls back on `link` and `rename`.
"""

from __future__ import annotations

import errno
import os

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def exchange(one: str, other: str) -> bool:
    """Swap two names. False where that cannot be done; raises OSError for everything else (ENOENT: one of them is missing)."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    try:
        renameat2 = libc.renameat2
    except AttributeError:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), one)
