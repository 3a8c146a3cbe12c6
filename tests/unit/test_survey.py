"""Many hosts asked at once: every one is accounted for, and in time."""

from __future__ import annotations

import threading
import time

from burnish.core.hosts import Host
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
    assert (away.trouble, away.refused) == ("away: no route.", False)
    assert (closed.trouble, closed.hint, closed.refused) == ("closed: no key.", "ssh-add it", True)
    assert "ValueError: nonsense" in broken.trouble


def test_silent_host_delays_nobody() -> None:
    released = threading.Event()

    def silent(host: Host) -> Answer:
        if host.name == "away":
            released.wait(30)
        return Answer(host, state_id="id")

    began = time.monotonic()
    answers = survey(HOSTS, silent, limit=0.5)
    released.set()
    assert time.monotonic() - began < 10
    assert [bool(answer.trouble) for answer in answers] == [False, True, False, False]
    assert "did not answer within" in answers[1].trouble
