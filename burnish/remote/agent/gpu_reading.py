"""The last reading of the GPUs, and the one that is under way."""

from __future__ import annotations

import json
import os
import time

from .compact_json import encode_json
from .files import READ_SIZE, write_all
from .nvidia_smi import find_nvidia_smi, read_gpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Optional

    from .records import Record


class GpuReading:
    """What nvidia-smi said last, and the process that is asking it just now.

    It may hang for ever in the kernel. So it runs in a process of its own, and one at a time on a host: it inherits a lock that
    whoever asks takes first. The agent only waits for a pipe.
    """

    def __init__(self) -> None:
        self._programs: List[Optional[str]] = []  # nvidia-smi, or None, once it was sought
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

    @property
    def program(self) -> Optional[str]:
        """Where nvidia-smi is, None on a host without it. Sought once: a folder on PATH may come to hang under a living agent."""
        if not self._programs:
            self._programs.append(find_nvidia_smi())
        return self._programs[0]

    def begin(self, fork: Callable[[Callable[[], None]], int]) -> None:
        """Ask, unless somebody of ours is asking already. On a host without nvidia-smi the answer is there at once."""
        program = self.program
        if program is None:
            self.gpus, self.error, self.exit, self.at, self.done = [], None, None, time.monotonic(), True
        elif self.pipe is None:
            self.began = time.monotonic()
            self.pipe, end = os.pipe()
            try:
                fork(lambda: write_all(end, encode_json(read_gpus(program)).encode("ascii")))
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
