"""A mount whose server is gone: whoever looks at it hangs in the kernel, as on NFS, and a fatal signal ends him."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

MNT_DETACH = 2


class HungMount:
    """A FUSE mount on `folder` that nobody serves. Needs root. Call `end` when done: those who hang go on then."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = os.fsencode(folder)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._server},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if self._libc.mount(b"hung", self._folder, b"fuse", 0, options):
            os.close(self._server)
            raise OSError(ctypes.get_errno(), "cannot mount", folder)

    def end(self) -> None:
        """Take it away; the folder below it answers again. Once is enough, twice does no harm."""
        if self._server >= 0:
            os.close(self._server)
            self._server = -1
            self._libc.umount2(self._folder, MNT_DETACH)
