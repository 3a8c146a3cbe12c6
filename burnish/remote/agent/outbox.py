"""What the agent says on its link: frames, gathered for a turn and then written at once."""

from __future__ import annotations

from .compact_json import encode_json
from .files import write_all
from .frames import BODY_LIMIT, encode_frame, frame_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

    from .frames import Header

LINK = 1  # the descriptor


class Outbox:
    """Frames on their way to the coordinator. `broken`: nobody listens any more."""

    def __init__(self) -> None:
        self.broken = False
        self._frames = bytearray()

    def send(self, kind: str, **fields: Any) -> None:
        """Put a frame without a body there."""
        self._frames += encode_frame(dict(fields, type=kind))

    def send_texts(self, kind: str, texts: Dict[str, str], **fields: Any) -> None:
        """The same; `texts` are fields that are JSON already."""
        more = "".join(',"%s":%s' % field for field in texts.items())
        self._frames += frame_of("%s%s}" % (encode_json(dict(fields, type=kind))[:-1], more))

    def send_body(self, header: Header, body: bytes) -> None:
        """Put a frame with a body there; bodies do not pile up."""
        self._frames += encode_frame(header, body)
        if len(self._frames) > BODY_LIMIT:
            self.flush()

    def flush(self) -> None:
        """Write all that is there. Waits for the coordinator to read."""
        try:
            write_all(LINK, self._frames)
        except OSError:
            self.broken = True
        self._frames.clear()
