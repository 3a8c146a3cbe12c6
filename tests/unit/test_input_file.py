"""Files that cannot be read at all: each its own sentence, and never a wait."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from burnish.errors import InputError
from burnish.store.input_file import read_text
from tests.support.deadline import within


def refusal(path: str, limit: int = 1000) -> str:
    with pytest.raises(InputError) as caught:
        read_text(path, limit)
    return str(caught.value)


def test_text_is_read_without_its_byte_order_mark_and_with_its_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("\ufeff--a: ü\r\n".encode())
    assert read_text(str(path)) == "--a: ü\r\n"


def test_a_missing_file(tmp_path: Path) -> None:
    assert refusal(f"{tmp_path}/no.yaml") == f"{tmp_path}/no.yaml: no such file."


def test_a_folder(tmp_path: Path) -> None:
    assert refusal(str(tmp_path)) == f"{tmp_path}: this is a folder, not a file."


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with within(10):
        assert refusal(f"{tmp_path}/pipe").endswith("this is a named pipe, not a file.")


def test_a_device() -> None:
    assert refusal("/dev/zero") == "/dev/zero: this is a device, not a file."


def test_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert refusal("socket") == "socket: cannot be read: no such device or address."


def test_a_loop_of_symlinks(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert refusal(f"{tmp_path}/a").endswith("cannot be read: too many levels of symbolic links.")


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 1001)
    assert refusal(f"{tmp_path}/big").endswith("1001 bytes; at most 1000 are read.")


def test_a_name_that_no_file_can_have() -> None:
    assert refusal("a\0b").endswith("this cannot be the name of a file.")


def test_the_line_of_a_byte_that_is_no_utf8_counts_from_the_top_despite_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\nb: \xe9\n")
    assert refusal(str(path)) == f"{path}:2: not UTF-8 (byte 0xE9). Save it as UTF-8."
