"""known_hosts: which key a host is known by, read one line at a time.

OpenSSH's files, with its rules: hashed names, `[host]:port`, wildcards and `!`, `@revoked`. A line that cannot be used (broken,
or `@cert-authority`, which needs certificates) is passed over with a note naming it, and the other lines count. Nothing here
speaks SSH; keys are the bytes that are in the file.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Iterator
from enum import Enum

from msgspec import Struct

from burnish.errors import LASTING, HostUnreachable, printable

SSH_PORT = 22


class HostKey(Struct, frozen=True):
    """A public key: its kind (`ssh-ed25519`) and its bytes as they travel."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as `ssh-keygen -l` prints it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")
        return f"SHA256:{digest}"

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint}"


class Line(Struct, frozen=True):
    """A usable line. `names` as written: plain, with wildcards, or hashed. `revoked`: this key must never be accepted."""

    file: str
    number: int
    names: tuple[str, ...]
    key: HostKey
    revoked: bool

    @property
    def where(self) -> str:
        return f"{self.file}:{self.number}"

    def names_host(self, name: str) -> bool:
        """Whether this line is about `name`; a matching `!pattern` says no, whatever else the line holds."""
        matched = False
        for pattern in self.names:
            if pattern.startswith("!"):
                if _matches(pattern[1:], name):
                    return False
            elif _matches(pattern, name):
                matched = True
        return matched


class Standing(Enum):
    """What the files say about a key that a host showed."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    REVOKED = "revoked"


class Opinion(Struct, frozen=True):
    """`standing`, and the lines it rests on: those that know other keys of this host (changed), or the revocation."""

    standing: Standing
    lines: tuple[Line, ...] = ()


class KnownHosts(Struct, frozen=True):
    """The lines of several files in order, and a note (a sentence) for each line that could not be used."""

    lines: tuple[Line, ...]
    notes: tuple[str, ...]

    def opinion(self, name: str, key: HostKey) -> Opinion:
        """What is known of `key` for a host called `name` (see `lookup_name`)."""
        revoked = tuple(line for line in self.lines if line.revoked and line.key == key and line.names_host(name))
        if revoked:
            return Opinion(Standing.REVOKED, revoked)
        known = self._lines_of(name)
        if any(line.key == key for line in known + self._lines_of(_without_port(name))):
            return Opinion(Standing.KNOWN)
        return Opinion(Standing.CHANGED, known) if known else Opinion(Standing.UNKNOWN)

    def kinds(self, name: str) -> tuple[str, ...]:
        """The kinds of key by which `name` is known: those to ask the host for first."""
        return tuple(
            dict.fromkeys(line.key.kind for line in self._lines_of(name) + self._lines_of(_without_port(name)))
        )

    def _lines_of(self, name: str) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if not line.revoked and name and line.names_host(name))


def lookup_name(hostname: str, port: int, alias: str | None = None) -> str:
    """What a host is called in the files: the HostKeyAlias, `host`, or `[host]:port` when the port is not 22."""
    if alias:
        return alias.lower()
    return hostname.lower() if port == SSH_PORT else f"[{hostname.lower()}]:{port}"


def load(paths: Iterable[str]) -> KnownHosts:
    """Read the files at `paths`; one that does not exist holds nothing, one that may not be read gives a note.

    Raises HostUnreachable for one that cannot be read now: without it, a key that it knows or revokes would count as a new one.
    """
    lines: list[Line] = []
    notes: list[str] = []
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                text = file.read()
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno not in LASTING:
                raise HostUnreachable(
                    f"{path} cannot be read now ({error.strerror}): no host key can be compared with it. It is tried again."
                ) from None
            notes.append(f"{path}: cannot be read ({error.strerror}). The host keys in it do not count.")
            continue
        for found in parse(text, path):
            if isinstance(found, Line):
                lines.append(found)
            else:
                notes.append(found)
    return KnownHosts(tuple(lines), tuple(notes))


def parse(text: str, file: str) -> Iterator[Line | str]:
    """The lines of `text`, and a note in place of each that cannot be used. Never raises."""
    for number, raw in enumerate(text.split("\n"), 1):
        words = raw.split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        where = f"{file}:{number}"
        if marker == "@cert-authority":
            yield f"{where}: @cert-authority is not supported. This line is skipped; a host needs a line with its own key."
        elif marker not in ("", "@revoked"):
            yield f"{where}: unknown marker {printable(marker)}. This line is skipped."
        elif (key := _key(words)) is None:
            yield f"{where}: expected `names key-type base64-key`. This line is skipped."
        else:
            yield Line(file, number, tuple(words[0].split(",")), key, marker == "@revoked")


def append(path: str, name: str, key: HostKey, *, hashed: bool) -> None:
    """Add a line for `name` to the file at `path`, making it (0600) and its folder (0700) when missing. Raises OSError."""
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    shown = _hashed(name, os.urandom(hashlib.sha1().digest_size)) if hashed else name
    line = f"{shown} {key.kind} {base64.b64encode(key.blob).decode()}\n".encode()
    # One write to a file opened for appending: lines of several processes do not mix.
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            line = b"\n" + line
        os.write(fd, line)
    finally:
        os.close(fd)


def removal(path: str, name: str) -> str:
    """The command that forgets `name` in the file at `path`."""
    return f"ssh-keygen -R {_quoted(name)} -f {_quoted(path)}"


def _key(words: list[str]) -> HostKey | None:
    if len(words) < 3:
        return None
    try:
        blob = base64.b64decode(words[2].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    # The bytes begin with the length and the text of their own kind; a line that contradicts itself is broken.
    kind = words[1].encode("ascii", "replace")
    if blob[: 4 + len(kind)] != len(kind).to_bytes(4, "big") + kind:
        return None
    return HostKey(words[1], blob)


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("|1|"):
        return _matches_hash(pattern, name)
    # Only * and ? are wildcards here; fnmatch's brackets would swallow [host]:port.
    return fnmatch.fnmatchcase(name, re.sub(r"\[", "[[]", pattern.lower()))


def _matches_hash(pattern: str, name: str) -> bool:
    try:
        salt = base64.b64decode(pattern.split("|")[2], validate=True)
    except (ValueError, IndexError):
        return False
    return hmac.compare_digest(_hashed(name, salt).encode(), pattern.encode("utf-8", "surrogateescape"))


def _hashed(name: str, salt: bytes) -> str:
    digest = hmac.new(salt, name.encode("utf-8", "surrogateescape"), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def _without_port(name: str) -> str:
    """`host` for `[host]:2222`, else nothing: ssh takes a key known under the plain name on any port."""
    match = re.fullmatch(r"\[(.*)\]:\d+", name)
    return match[1] if match else ""


def _quoted(word: str) -> str:
    return word if re.fullmatch(r"[A-Za-z0-9_@%+=:,./~-]+", word) else "'" + word.replace("'", "'\\''") + "'"
