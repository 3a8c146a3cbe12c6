"""A mount whose server is gone: whoever looks at it hangs in the kernel, as on NFS."""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from contextlib import suppress
from pathlib import Path

MNT_FORCE, MNT_DETACH = 1, 2

# FUSE's messages: the head of a request, of an answer; what both sides say first.
REQUEST = struct.Struct("=IIQQIIII")
ANSWER = struct.Struct("=IiQ")
INIT = struct.Struct("=IIIIHHII36x")
LONGEST = 1 << 17  # bytes of a request


class HungMount:
    """A FUSE mount on `folder` that nobody serves. Needs root. Call `end` when done: those who hang go on then.

    A fatal signal ends who hangs. With `unkillable`, the server has taken his request and dies before it answers: then the kernel
    waits, whatever the signal, as it does for a driver or a disk that is gone. `taken`: it has one.
    """

    def __init__(self, folder: Path, unkillable: bool = False) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = os.fsencode(folder)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._server},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if self._libc.mount(b"hung", self._folder, b"fuse", 0, options):
            os.close(self._server)
            raise OSError(ctypes.get_errno(), "cannot mount", folder)
        self.taken = False
        self._taker = threading.Thread(target=self._take, daemon=True) if unkillable else None
        if self._taker:
            self._taker.start()

    def end(self) -> None:
        """Take it away; the folder below it answers again. Once is enough, twice does no harm."""
        if self._server >= 0:
            if self._taker:
                self._libc.umount2(self._folder, MNT_FORCE)  # wakes the taker, who reads there
                self._taker.join()
            os.close(self._server)
            self._server = -1
            self._libc.umount2(self._folder, MNT_DETACH)

    def _take(self) -> None:
        """Say that we are a server, and then take requests without a word."""
        with suppress(OSError):
            _, _, unique, *_ = REQUEST.unpack_from(os.read(self._server, LONGEST))
            agreed = INIT.pack(7, 31, 0, 0, 1, 1, 4096, 1)
            os.write(self._server, ANSWER.pack(ANSWER.size + len(agreed), 0, unique) + agreed)
            while os.read(self._server, LONGEST):
                self.taken = True
