"""known_hosts line by line: names, hashes, markers, broken lines; and what a key is worth."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import HostKeyRefused, HostRefused, HostUnreachable
from burnish.remote import host_key_check, known_hosts
from burnish.remote.known_hosts import HostKey, Line, Opinion, Standing, lookup_name
from burnish.remote.ssh_config import Endpoint


def key(number: int, kind: str = "ssh-ed25519") -> HostKey:
    name = kind.encode()
    return HostKey(kind, len(name).to_bytes(4, "big") + name + bytes([0, 0, 0, 32]) + bytes([number]) * 32)


def line(names: str, shown: HostKey, marker: str = "") -> str:
    return f"{marker + ' ' if marker else ''}{names} {shown.kind} {base64.b64encode(shown.blob).decode()} a comment\n"


def standing(text: str, name: str, shown: HostKey, tmp_path: Path) -> Opinion:
    path = tmp_path / "known_hosts"
    path.write_text(text)
    return known_hosts.load([str(path)]).opinion(name, shown)


@pytest.mark.parametrize(
    ("names", "asked", "matches"),
    [
        ("gpu1", "gpu1", True),
        ("gpu1,10.0.0.4", "10.0.0.4", True),
        ("GPU1", "gpu1", True),
        ("gpu1", "gpu10", False),
        ("gpu?", "gpu1", True),
        ("*.lab", "gpu1.lab", True),
        ("*.lab,!bad.lab", "bad.lab", False),
        ("!bad.lab,*.lab", "bad.lab", False),
        ("[gpu1]:2222", "[gpu1]:2222", True),
        ("[gpu1]:2222", "gpu1", False),
        ("[gpu1]:2222", "[gpu1]:2223", False),
        ("gpu1", "[gpu1]:2222", True),
        ("*", "[gpu1]:2222", True),
        ("[*]:2222", "[gpu1]:2222", True),
        ("gpu[12]", "gpu1", False),
        ("|1|broken", "gpu1", False),
        ("|1|!!!!|xxxx", "gpu1", False),
    ],
)
def test_names(names: str, asked: str, matches: bool, tmp_path: Path) -> None:
    found = standing(line(names, key(1)), asked, key(1), tmp_path).standing
    assert found is (Standing.KNOWN if matches else Standing.UNKNOWN)


def test_a_key_known_without_its_port_does_not_make_another_one_changed(tmp_path: Path) -> None:
    """As ssh does: the plain name vouches for a key on any port, but knows nothing against another."""
    assert standing(line("gpu1", key(1)), "[gpu1]:2222", key(2), tmp_path).standing is Standing.UNKNOWN


def test_hashed_names_as_ssh_keygen_makes_them(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(line("gpu1", key(1)) + line("[gpu1]:2222", key(2)))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)
    assert "gpu1" not in path.read_text()
    known = known_hosts.load([str(path)])
    assert known.opinion("gpu1", key(1)).standing is Standing.KNOWN
    assert known.opinion("[gpu1]:2222", key(2)).standing is Standing.KNOWN
    assert known.opinion("gpu2", key(1)).standing is Standing.UNKNOWN


def test_fingerprint_as_ssh_keygen_prints_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    public = Path(f"{path}.pub").read_text()
    printed = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True).stdout
    (read,) = known_hosts.parse(f"gpu1 {public}", "known_hosts")
    assert isinstance(read, Line) and read.key.fingerprint == printed.split()[1]


def test_another_key_of_a_known_host_is_a_change_and_names_the_lines(tmp_path: Path) -> None:
    opinion = standing("# two\n" + line("gpu1", key(1)) + line("gpu1", key(2)), "gpu1", key(3), tmp_path)
    assert opinion.standing is Standing.CHANGED
    assert [found.where for found in opinion.lines] == [f"{tmp_path}/known_hosts:2", f"{tmp_path}/known_hosts:3"]


def test_another_kind_of_key_of_a_known_host_is_a_change_too(tmp_path: Path) -> None:
    assert standing(line("gpu1", key(1)), "gpu1", key(1, "ssh-rsa"), tmp_path).standing is Standing.CHANGED


def test_revoked_beats_known(tmp_path: Path) -> None:
    text = line("gpu1", key(1)) + line("*", key(1), "@revoked")
    assert standing(text, "gpu1", key(1), tmp_path).standing is Standing.REVOKED
    assert standing(text, "gpu1", key(2), tmp_path).standing is Standing.CHANGED


def test_a_revocation_alone_makes_nothing_known_or_changed(tmp_path: Path) -> None:
    assert standing(line("*", key(1), "@revoked"), "gpu1", key(2), tmp_path).standing is Standing.UNKNOWN


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (line("*.lab", key(1), "@cert-authority"), "@cert-authority is not supported"),
        (line("gpu1", key(1), "@trusted"), "unknown marker @trusted"),
        ("gpu1 ssh-ed25519\n", "expected `names key-type base64-key`"),
        ("gpu1 ssh-ed25519 AAAA!\n", "expected"),
        ("gpu1 ssh-rsa " + base64.b64encode(key(1).blob).decode() + "\n", "expected"),
        ("gpu1\n", "expected"),
    ],
)
def test_an_unusable_line_is_named_and_the_others_count(bad: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(line("gpu1", key(1)) + "\n" + bad + line("gpu2", key(2)))
    known = known_hosts.load([str(path)])
    assert [known.opinion(name, key(number)).standing for name, number in (("gpu1", 1), ("gpu2", 2))] == [
        Standing.KNOWN
    ] * 2
    (note,) = known.notes
    assert note.startswith(f"{path}:3: ") and said in note and note.endswith(".")


def test_missing_file_holds_nothing_and_an_unreadable_one_is_named(tmp_path: Path) -> None:
    known = known_hosts.load([str(tmp_path / "none"), str(tmp_path)])
    assert known.lines == () and len(known.notes) == 1 and str(tmp_path) in known.notes[0]


def test_file_that_cannot_be_read_for_the_moment_is_no_file_without_keys(tmp_path: Path) -> None:
    """A host that it knows would show an unknown key: one to accept, says the advice, and with accept-new one to learn."""
    (tmp_path / "known_hosts").write_text(line("gpu1", key(1)))
    with pytest.raises(HostUnreachable, match="/proc/self/mem cannot be read now"):  # its first bytes are an I/O error
        known_hosts.load([str(tmp_path / "known_hosts"), "/proc/self/mem"])


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    for found in known_hosts.parse(text, "known_hosts"):
        assert isinstance(found, Line) or found.startswith("known_hosts:")


def test_lookup_name() -> None:
    assert lookup_name("GPU1", 22) == "gpu1"
    assert lookup_name("GPU1", 2222) == "[gpu1]:2222"
    assert lookup_name("gpu1", 2222, "Pool") == "pool"


@pytest.mark.parametrize("hashed", [False, True])
def test_appended_key_is_known_to_ssh_too(hashed: bool, tmp_path: Path) -> None:
    path = tmp_path / "ssh" / "known_hosts"
    known_hosts.append(str(path), "[gpu1]:2222", key(1), hashed=hashed)
    known_hosts.append(str(path), "gpu2", key(2), hashed=hashed)
    found = subprocess.run(["ssh-keygen", "-F", "[gpu1]:2222", "-f", path], capture_output=True, text=True)
    assert base64.b64encode(key(1).blob).decode() in found.stdout
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert known_hosts.load([str(path)]).opinion("gpu2", key(2)).standing is Standing.KNOWN


def test_appending_to_a_file_without_a_last_newline_keeps_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(line("gpu1", key(1)).rstrip("\n"))
    known_hosts.append(str(path), "gpu2", key(2), hashed=False)
    known = known_hosts.load([str(path)])
    assert {name: known.opinion(name, key(n)).standing for n, name in ((1, "gpu1"), (2, "gpu2"))} == {
        "gpu1": Standing.KNOWN,
        "gpu2": Standing.KNOWN,
    }


def test_the_removal_command_forgets_the_host(tmp_path: Path) -> None:
    path = tmp_path / "known hosts"
    path.write_text(line("[gpu1]:2222", key(1)) + line("gpu2", key(2)))
    subprocess.run(known_hosts.removal(str(path), "[gpu1]:2222"), shell=True, check=True, capture_output=True)
    known = known_hosts.load([str(path)])
    assert known.opinion("[gpu1]:2222", key(1)).standing is Standing.UNKNOWN
    assert known.opinion("gpu2", key(2)).standing is Standing.KNOWN


def test_a_key_that_cannot_be_kept_is_not_accepted(tmp_path: Path) -> None:
    endpoint = Endpoint("gpu1", "gpu1", 22, "alice", known_hosts=(str(tmp_path),), accept_new=True)
    notes: list[str] = []
    with pytest.raises(HostRefused, match="could not be added"):
        host_key_check.check(endpoint, known_hosts.load([]), key(1), notes.append)
    assert notes == []


@pytest.mark.parametrize("text", [line("gpu1", key(2)), line("*", key(1), "@revoked")], ids=["changed", "revoked"])
def test_key_of_somebody_else_is_told_from_other_refusals(text: str, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text(text)
    endpoint = Endpoint("gpu1", "gpu1", 22, "alice")
    with pytest.raises(HostKeyRefused):
        host_key_check.check(endpoint, known_hosts.load([str(tmp_path / "known_hosts")]), key(1), pytest.fail)


def test_skipped_lines_are_told_when_a_host_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(line("*", key(1), "@cert-authority"))
    endpoint = Endpoint("gpu1", "gpu1", 22, "alice", known_hosts=(str(path),))
    notes: list[str] = []
    with pytest.raises(HostRefused):
        host_key_check.check(endpoint, known_hosts.load([str(path)]), key(1), notes.append)
    assert len(notes) == 1 and "@cert-authority" in notes[0]
