"""Many hosts asked at once: every one is accounted for, and in time."""

from __future__ import annotations

import threading
import time

import pytest

from burnish.core.hosts import Host, without_name
from burnish.core.jobs import HostName
from burnish.errors import HostRefused, HostUnreachable
from burnish.survey import Answer, survey

HOSTS = [Host(HostName(name)) for name in ("fine", "away", "closed", "broken")]


def ask(host: Host) -> Answer:
    match host.name:
        case "away":
            raise HostUnreachable("away: no route. It is tried again.")
        case "closed":
            raise HostRefused("closed: no key. This host is left out.", hint="ssh-add it")
        case "broken":
            raise ValueError("nonsense")
    return Answer(host, state_id="id")


def test_each_host_is_accounted_for() -> None:
    answers = survey(HOSTS, ask, limit=10)
    assert [answer.host.name for answer in answers] == [host.name for host in HOSTS]
    fine, away, closed, broken = answers
    assert (fine.trouble, fine.state_id) == ("", "id")
    assert (away.trouble, away.refused) == ("no route.", False)
    assert (closed.trouble, closed.hint, closed.refused) == ("no key.", "ssh-add it", True)
    assert "ValueError: nonsense" in broken.trouble


@pytest.mark.parametrize(
    ("sentence", "where_the_name_stands"),
    [
        ("gpu1: no key. This host is left out.", "no key."),
        ("gpu1 (alice@10.0.0.9:22): Connection refused. It is tried again.", "alice@10.0.0.9:22: Connection refused."),
        ("gpu1: no key. This host is left out.\nhint: ssh-add it", "no key.\nhint: ssh-add it"),
        ("the connection ended", "the connection ended"),
        ("gpu10: no key.", "gpu10: no key."),
    ],
)
def test_name_of_a_host_is_not_said_twice(sentence: str, where_the_name_stands: str) -> None:
    assert without_name("gpu1", sentence) == where_the_name_stands


def test_silent_host_delays_nobody() -> None:
    released = threading.Event()

    def silent(host: Host) -> Answer:
        if host.name == "away":
            released.wait(60)
        return Answer(host, state_id="id")

    began = time.monotonic()
    answers = survey(HOSTS, silent, limit=0.5)
    released.set()
    assert time.monotonic() - began < 10
    assert [bool(answer.trouble) for answer in answers] == [False, True, False, False]
    assert "did not answer within" in answers[1].trouble
