"""What a job wrote, for a terminal: its colours, lines and tabs, and nothing that could do more there.

A terminal obeys what it is shown: a log could set its title, move the cursor over other lines, or have it answer as if somebody
had typed. So sequences other than colours are left out, whole, and so are control characters. What is cut off at the end of a
piece waits for the next. A sequence without an end ends with its line: no more of the log goes with it.
"""

from __future__ import annotations

import codecs
import re

LONGEST = 4096  # characters of a sequence whose end is waited for
_RESET = "\x1b[0m"

_STRING = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*"  # a title, a clipboard, …: up to its end
_CONTROL = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*"  # up to its last letter
_FOREIGN = re.compile(
    rf"(?P<colour>\x1b\[[0-9;:]*m)|{_CONTROL}[@-~]?|{_STRING}(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]|"
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
_BROKEN_OFF = re.compile(rf"(?:{_CONTROL}|{_STRING}\x1b?|\x1b[ -/]*)\Z")


def what_stays(line: str) -> str:
    """What a line (without its newline) says in the end, "" if nothing that can be seen.

    A progress bar begins its line anew by a carriage return. One that only ends it, as in lines of Windows, takes nothing back;
    nor does what cannot be seen: blanks, and the colours that a logger puts right.
    """
    pieces = reversed(line.split("\r"))
    return next((piece for piece in pieces if _FOREIGN.sub("", piece).strip()), "")


class LogText:
    """Takes a log in pieces. `colour`: whether the terminal shows colours."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour
        self._coloured = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._held = ""

    def feed(self, data: bytes) -> str:
        """What of the log so far can be shown and was not yet."""
        text = self._held + self._decoder.decode(data)
        broken = _BROKEN_OFF.search(text)
        at = broken.start() if broken is not None and len(text) - broken.start() <= LONGEST else len(text)
        text, self._held = text[:at], text[at:]
        return _FOREIGN.sub(self._kept, text)

    def end(self) -> str:
        """What is left once the log has ended; the terminal's own colour again."""
        text = _FOREIGN.sub(self._kept, self._held + self._decoder.decode(b"", final=True))
        return text + (_RESET if self._coloured else "")

    def _kept(self, found: re.Match[str]) -> str:
        if not self._colour or found["colour"] is None:
            return ""
        self._coloured = True
        return found[0]
