"""What may stand in a control column, and durations."""

from __future__ import annotations

import pytest

from burnish.core import columns, durations


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("PRIORITY", "-3"),
        ("GPUS", "0"),
        ("HOSTS", "gpu01, gpu[02:04] a100*"),
        ("HOSTS", "--nodelist=n1,n[3-4]"),
        ("HOSTS", "hpc, desk --constraint=a100&(ib|roce)"),
        ("TIME_LIMIT", "1h30m"),
        ("RETRIES", "2"),
        ("AFTER", "3,5-8"),
        ("GPUS", ""),
        ("--lr", "anything"),
    ],
)
def test_right(column: str, text: str) -> None:
    assert columns.fault(column, text) is None


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("PRIORITY", "high"),
        ("PRIORITY", "1.5"),
        ("GPUS", "-1"),
        ("GPUS", "one"),
        ("HOSTS", "gpu01;rm"),
        ("HOSTS", "--nodelist"),
        ("HOSTS", "hpc --partition=gpu"),
        ("HOSTS", "--constraint=$(rm)"),
        ("TIME_LIMIT", "5 minutes"),
        ("TIME_LIMIT", "-3"),
        ("RETRIES", "many"),
        ("AFTER", "last"),
        ("AFTER", "3-"),
        ("GPUS", "٣"),
    ],
)
def test_wrong_is_a_sentence_that_says_what_is_expected(column: str, text: str) -> None:
    fault = columns.fault(column, text)
    assert fault is not None
    assert fault.startswith(f'{column} is "{text}"; expected ')


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("3d", 259200), ("1h30m", 5400), ("0.5h", 1800), (" 5s ", 5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert durations.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "5 m", "5x", "-5", "1e3", "5m3", "٣", "nan"])
def test_other_text_is_no_duration(text: str) -> None:
    assert durations.parse(text) is None


def test_a_near_word_is_offered_whatever_its_case() -> None:
    assert columns.did_you_mean("retires", columns.CONTROL_COLUMNS) == " Did you mean RETRIES?"
    assert columns.did_you_mean("zebra", columns.CONTROL_COLUMNS) == ""
