"""A start that waits on its host for the end of another attempt: when it runs, when it never does, and over a cut cable."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from burnish.remote.transport import LocalTransport
from tests.support.agent_client import AgentClient, Frame, kill, make_spec, new_attempt
from tests.support.gated import PATIENT, Gated
from tests.support.hosts import Bench, Network
from tests.support.one_host import PYTHON, OneHost, change_agent, job_pid, one_host, supervisor_pid
from tests.support.proc import command_line, parent_of
from tests.support.waiting import wait_for


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OneHost]:
    with one_host(tmp_path, LocalTransport(PYTHON)) as host:
        yield host


@pytest.fixture
def link(host: OneHost) -> AgentClient:
    return host.connect()


class Pair:
    """An attempt that runs until its gate opens, and one that is to come after it."""

    def __init__(self, host: OneHost, link: AgentClient, *links: AgentClient) -> None:
        self.gate = host.folder / "gate"
        wait = f"while [ ! -e '{self.gate}' ]; do sleep 0.02; done"
        self.leader = link.start("/bin/sh", "-c", wait)
        link.wait_status(self.leader, "running")
        self.follower = new_attempt()
        for each in (link, *links):
            each.send("start", attempt=self.follower, spec=make_spec(*host.ledger_job()), after=self.leader)
            assert each.status(self.leader)["status"] == "running"  # so it has heard the start before


def test_nothing_of_it_is_on_the_host_before_its_turn_and_then_it_needs_no_word(
    host: OneHost, link: AgentClient
) -> None:
    pair = Pair(host, link)
    assert link.status(pair.follower)["status"] == "absent"
    assert not host.folder_of(pair.follower).exists()
    pair.gate.touch()  # nothing is sent to the agent from here on
    assert link.wait_status(pair.follower, "ended")["final"]["exit"]["code"] == 0
    assert host.runs() == 1


def test_after_what_has_ended_it_starts_at_once(host: OneHost, link: AgentClient) -> None:
    leader = link.run("/bin/true")["attempt"]
    for after in (leader, new_attempt()):
        link.send("start", attempt=(attempt := new_attempt()), spec=make_spec("/bin/true"), after=after)
        link.wait_status(attempt, "ended")


def wait_refused(link: AgentClient, attempt: str) -> None:
    link.wait(lambda frame: frame["type"] == "refused" and frame["attempt"] == attempt)


class Line(Pair):
    """Besides, one that is to come after the follower."""

    def __init__(self, host: OneHost, link: AgentClient) -> None:
        super().__init__(host, link)
        self.last = new_attempt()
        link.send("start", attempt=self.last, spec=make_spec(*host.ledger_job()), after=self.follower)
        assert link.status(self.follower)["status"] == "absent"


def test_in_a_line_each_comes_after_the_one_before_it(host: OneHost, link: AgentClient) -> None:
    line = Line(host, link)
    line.gate.touch()
    ends = [link.wait_status(attempt, "ended") for attempt in (line.leader, line.follower, line.last)]
    assert host.runs() == 2
    for earlier, later in pairwise(ends):
        assert earlier["final"]["exit"]["ended"] <= later["start"]["go"]["started"]


def test_one_in_a_line_that_never_runs_leaves_no_slot_to_the_next(host: OneHost, link: AgentClient) -> None:
    line = Line(host, link)
    assert link.void(line.follower)["status"] == "void"
    joined = new_attempt()  # behind one that is void already
    link.send("start", attempt=joined, spec=make_spec(*host.ledger_job()), after=line.last)
    for attempt in (line.last, joined):
        assert link.status(attempt)["status"] == "absent"
    assert host.runs() == 0
    line.gate.touch()
    for attempt in (line.leader, line.last, joined):
        link.wait_status(attempt, "ended")
    assert host.runs() == 2


def test_behind_one_that_was_voided_in_its_line_the_next_waits_all_the_same(host: OneHost, link: AgentClient) -> None:
    pair = Pair(host, link)
    assert link.void(pair.follower)["status"] == "void"
    last = new_attempt()
    link.send("start", attempt=last, spec=make_spec(*host.ledger_job()), after=pair.follower)
    assert link.status(last)["status"] == "absent"
    pair.gate.touch()
    link.wait_status(last, "ended")
    assert host.runs() == 1


def test_one_in_a_line_that_is_refused_when_its_turn_comes_lets_the_next_one_try(
    host: OneHost, link: AgentClient
) -> None:
    line = Line(host, link)
    attempts = host.folder_of(line.leader).parent
    attempts.rename(attempts.with_suffix(".away"))
    attempts.touch()
    line.gate.touch()
    for attempt in (line.follower, line.last):
        wait_refused(link, attempt)
    assert host.runs() == 0


def test_end_that_was_told_is_not_told_again_to_whoever_comes_after_it(host: OneHost, link: AgentClient) -> None:
    leader = link.run("/bin/true")["attempt"]
    link.backlog.clear()
    link.send("start", attempt=(attempt := new_attempt()), spec=make_spec("/bin/true"), after=leader)
    link.wait_status(attempt, "ended")
    assert leader not in {frame.get("attempt") for frame in link.backlog}
    again = host.connect()  # to which nothing was told
    again.send("start", attempt=(attempt := new_attempt()), spec=make_spec("/bin/true"), after=leader)
    again.wait_status(attempt, "ended")
    assert leader in {frame.get("attempt") for frame in again.backlog}


def test_voided_meanwhile_it_never_runs(host: OneHost, link: AgentClient) -> None:
    pair = Pair(host, link)
    assert link.void(pair.follower)["status"] == "void"
    pair.gate.touch()
    link.wait_status(pair.leader, "ended")
    assert link.status(pair.follower)["status"] == "void"
    assert host.runs() == 0


def test_cancelled_meanwhile_it_never_runs(host: OneHost, link: AgentClient) -> None:
    pair = Pair(host, link)
    assert link.cancel(pair.follower)["status"] == "void"
    pair.gate.touch()
    link.wait_status(pair.leader, "ended")
    assert link.status(pair.follower)["status"] == "void"
    assert host.runs() == 0


def test_line_in_which_hundreds_were_voided_has_its_turns(host: OneHost, link: AgentClient) -> None:
    pair = Pair(host, link)
    last = pair.follower
    for _ in range(300):
        assert link.void(last)["status"] == "void"
        link.send("start", attempt=(joined := new_attempt()), spec=make_spec(*host.ledger_job()), after=last)
        last = joined
    pair.gate.touch()
    link.wait_status(last, "ended")
    assert host.runs() == 1


def test_asked_for_twice_it_waits_once(host: OneHost, link: AgentClient) -> None:
    line = Line(host, link)
    for attempt, after in ((line.follower, line.leader), (line.last, line.follower)):
        link.send("start", attempt=attempt, spec=make_spec(*host.ledger_job()), after=after)
        assert link.status(attempt)["status"] == "absent"
    line.gate.touch()
    for attempt in (line.leader, line.follower, line.last):
        link.wait_status(attempt, "ended")
    assert host.runs() == 2


def test_it_goes_with_the_link(host: OneHost, link: AgentClient) -> None:
    pair = Pair(host, link)
    link.close()
    pair.gate.touch()
    later = host.connect()
    assert later.wait_status(pair.leader, "ended") if later.status(pair.leader)["status"] == "running" else True
    assert later.status(pair.follower)["status"] == "absent"
    assert host.runs() == 0


def test_two_links_that_both_wait_start_it_once(host: OneHost, link: AgentClient) -> None:
    other = host.connect()
    pair = Pair(host, link, other)
    pair.gate.touch()
    for each in (link, other):
        each.wait_status(pair.follower, "ended")
    assert host.runs() == 1


def test_its_turn_comes_when_the_other_is_lost_and_not_while_its_job_lives(host: OneHost, link: AgentClient) -> None:
    pair = Pair(host, link)
    job = job_pid(link.status(pair.leader))
    kill(supervisor_pid(link.status(pair.leader)))
    link.wait(lambda frame: frame["type"] == "status" and frame.get("supervised") is False)
    assert link.status(pair.follower)["status"] == "absent"
    kill(job)
    assert "lost" in link.wait_status(pair.leader, "ended")["final"]
    link.wait_status(pair.follower, "ended")
    assert host.runs() == 1


# -- given to a supervisor ahead of its turn --------------------------------------------------------------------------


class Given:
    """An attempt that runs until its gate opens, and two that come after it: its supervisor has all three."""

    def __init__(self, host: OneHost, link: AgentClient, *words: str) -> None:
        self.host = host
        self.gate = host.folder / "gate"
        self.held_up = host.folder / "held up"
        link.run("/bin/true")  # so that there is a supervisor whose last job was brief
        self.leader, self.follower, self.last = new_attempt(), new_attempt(), new_attempt()
        link.send("start", attempt=self.leader, spec=self.spec(self.gate))
        follower = make_spec(*host.ledger_job(), cwd=str(host.folder))
        link.send("start", attempt=self.follower, spec=follower, after=self.leader)
        link.send("start", attempt=self.last, spec=make_spec(*host.ledger_job(), *words), after=self.follower)
        wait_for(lambda: host.runs() == 1)
        link.send("ping", id="given")
        link.wait(lambda frame: frame["type"] == "pong" and frame["id"] == "given")

    def spec(self, gate: Path) -> Frame:
        return make_spec(*self.host.ledger_job(f"while [ ! -e '{gate}' ]; do sleep 0.02; done"))

    def wait_until_recorded(self, *attempts: str) -> None:
        wait_for(lambda: all(os.path.lexists(self.host.folder_of(attempt) / "final.json") for attempt in attempts))


BRIEF = (b"BRIEF = 0.02", b"BRIEF = 60.0")  # a job that waits for its gate counts as brief
IMPATIENT = (b"START_PATIENCE = 30.0", b"START_PATIENCE = 8.0")


def held_up_before(line: bytes, cwd: bytes) -> tuple[bytes, bytes]:
    """A change of the agent: supervisors wait before this line of theirs while a file in the job's folder says so."""
    indent = line[: len(line) - len(line.lstrip())]
    wait = b"while os.path.exists(%s + '/held up'):\n%s    time.sleep(0.02)\n" % (cwd, indent)
    return line, indent + wait + line


BEFORE_GO = held_up_before(b"        self._slots.hold()\n", b"spec['cwd']")
BEFORE_FOLDER = held_up_before(b"            if self._home.moved(request) or was_removed", b"request['spec']['cwd']")
BEFORE_LOCK = held_up_before(b"            os.rename(idle, place.lock)\n        except", b"request['spec']['cwd']")


@pytest.fixture
def given(host: OneHost, monkeypatch: pytest.MonkeyPatch) -> Given:
    change_agent(monkeypatch, BRIEF)
    return Given(host, host.connect())


def test_given_ahead_they_need_no_word_of_their_agent(given: Given, host: OneHost) -> None:
    (link,) = host.links
    for attempt in (given.follower, given.last):
        assert link.status(attempt)["status"] == "absent"
        assert not host.folder_of(attempt).exists()
    os.kill(link.pid, signal.SIGSTOP)
    given.gate.touch()
    given.wait_until_recorded(given.leader, given.follower, given.last)
    os.kill(link.pid, signal.SIGCONT)
    for attempt in (given.leader, given.follower, given.last):
        assert link.wait_status(attempt, "ended")["final"]["exit"]["code"] == 0
    assert host.runs() == 3


def test_given_ahead_they_go_with_the_agent(given: Given, host: OneHost) -> None:
    (link,) = host.links
    kill(link.pid)
    given.gate.touch()
    given.wait_until_recorded(given.leader)
    wait_for(lambda: not host.processes(idle=True))
    later = host.connect()
    assert [later.status(attempt)["status"] for attempt in (given.follower, given.last)] == ["absent", "absent"]
    assert host.runs() == 1


@pytest.mark.parametrize("end", ["void", "cancel"])
def test_given_ahead_one_that_is_not_wanted_any_more_never_runs_and_the_next_one_does(
    given: Given, host: OneHost, end: str
) -> None:
    (link,) = host.links
    assert getattr(link, end)(given.follower)["status"] == "void"
    given.gate.touch()
    for attempt in (given.leader, given.last):
        link.wait_status(attempt, "ended")
    assert link.status(given.follower)["status"] == "void"
    assert host.runs() == 2


def test_given_ahead_they_run_elsewhere_when_their_supervisor_was_killed(given: Given, host: OneHost) -> None:
    (link,) = host.links
    start = host.record(given.leader, "start.json")["go"]
    kill(start["supervisor"]["pid"])
    link.wait_status(given.leader, "running")
    assert host.runs() == 1
    given.gate.touch()
    for attempt in (given.leader, given.follower, given.last):
        link.wait_status(attempt, "ended")
    assert host.runs() == 3


def test_behind_one_that_was_given_ahead_and_is_started_over_another_link_nobody_starts(
    given: Given, host: OneHost
) -> None:
    (link,) = host.links
    other = host.connect()
    gate = host.folder / "another gate"
    other.send("start", attempt=given.follower, spec=given.spec(gate))
    wait_for(lambda: host.runs() == 2)
    assert link.status(given.follower)["status"] == "running"
    given.gate.touch()
    link.wait_status(given.leader, "ended")
    link.wait_status(given.follower, "running")
    link.send("status", attempt=given.last)
    link.wait_status(given.last, "absent")
    gate.touch()
    for attempt in (given.follower, given.last):
        link.wait_status(attempt, "ended")
    assert host.runs() == 3
    kept = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{link.pid}/fd")]
    assert "anon_inode:[pidfd]" not in kept, "of what was watched twice"


def test_who_asks_for_one_whose_supervisor_is_about_to_pass_it_gets_an_answer(
    host: OneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = f"{str(host.folder)!r} + '/' + attempt".encode()
    change_agent(monkeypatch, BRIEF, held_up_before(b"                if not tell(PASSED):\n", folder))
    given = Given(host, link := host.connect())
    gate, held_up = host.folder / "another gate", host.folder / given.last / "held up"
    host.connect().send("start", attempt=given.follower, spec=given.spec(gate))
    wait_for(lambda: host.runs() == 2)
    held_up.parent.mkdir()
    held_up.touch()
    given.gate.touch()
    link.wait_status(given.follower, "running")  # it was passed, and the last one has been begun
    link.send("status", attempt=given.last)
    link.send("ping", id="heard")
    link.wait(lambda frame: frame["type"] == "pong")
    assert given.last not in {frame.get("attempt") for frame in link.backlog}
    held_up.unlink()
    link.wait_status(given.last, "absent")
    gate.touch()
    link.wait_status(given.last, "ended")


def test_a_folder_that_cannot_be_made_when_its_turn_comes_is_told_and_costs_no_supervisor(
    given: Given, host: OneHost
) -> None:
    (link,) = host.links
    attempts = host.folder_of(given.leader).parent
    supervisor = host.record(given.leader, "start.json")["go"]["supervisor"]
    attempts.rename(attempts.with_suffix(".away"))
    attempts.touch()
    given.gate.touch()
    for attempt in (given.follower, given.last):
        wait_refused(link, attempt)
    assert host.runs() == 1
    attempts.unlink()
    attempts.with_suffix(".away").rename(attempts)
    assert link.run("/bin/true")["start"]["go"]["supervisor"] == supervisor


@pytest.mark.parametrize("where", [BEFORE_FOLDER, BEFORE_GO], ids=["before its folder", "before go"])
def test_given_ahead_one_that_does_not_begin_is_given_up_and_the_next_one_starts(
    host: OneHost, monkeypatch: pytest.MonkeyPatch, where: tuple[bytes, bytes]
) -> None:
    change_agent(monkeypatch, BRIEF, IMPATIENT, where)
    given = Given(host, link := host.connect())
    given.held_up.touch()
    given.gate.touch()
    assert link.wait_status(given.follower, "void")["start"]["void"]["trouble"]
    link.wait_status(given.last, "ended")
    given.held_up.unlink()
    assert host.runs() == 2


def test_voided_before_it_ran_one_leaves_its_slot_to_whoever_was_not_given_ahead(
    host: OneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_agent(monkeypatch, BRIEF, BEFORE_GO)
    given = Given(host, link := host.connect(), "x" * 70000)  # too large an order for a socket
    given.held_up.touch()
    given.gate.touch()
    link.wait_status(given.leader, "ended")
    wait_for(lambda: host.folder_of(given.follower).exists())
    link.send("void", attempt=given.follower, why="the test says so")
    link.wait_status(given.follower, "void")  # it may be told first that it starts
    given.held_up.unlink()
    link.wait_status(given.last, "ended")
    assert host.runs() == 2


def test_given_ahead_one_without_its_lock_yet_is_not_taken_for_abandoned(
    host: OneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_agent(monkeypatch, BRIEF, BEFORE_LOCK)
    given = Given(host, link := host.connect())
    given.held_up.touch()
    given.gate.touch()
    wait_for(lambda: host.folder_of(given.follower).exists())
    for _ in range(3):  # each has the agent look
        link.send("status", attempt=given.follower)
    link.send("ping", id="heard")
    link.wait(lambda frame: frame["type"] == "pong")
    assert given.follower not in {frame.get("attempt") for frame in link.backlog}
    given.held_up.unlink()
    assert link.wait_status(given.follower, "ended", "void")["status"] == "ended"
    link.wait_status(given.last, "ended")


def test_agent_that_dies_between_two_takes_the_next_along(host: OneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = b"                break  # the end of a supervisor is heard in any case\n"
    wait = b"            while os.path.exists(%r + '/held up'):\n                time.sleep(0.02)\n" % str(host.folder)
    change_agent(monkeypatch, BRIEF, (heard, heard + wait.replace(b"b'", b"'")))
    given = Given(host, link := host.connect())
    given.held_up.touch()
    given.gate.touch()
    link.wait_status(given.leader, "ended")
    kill(link.pid)
    given.held_up.unlink()
    wait_for(lambda: not host.processes(idle=True))
    assert host.connect().status(given.follower)["status"] == "absent"
    assert host.runs() == 1


def test_of_a_job_that_turns_out_not_to_be_brief_the_next_one_starts_as_soon_as_its_slot_is_left(
    host: OneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its supervisor has that one, too, and has yet to record: it starts in another, and in one of them only."""
    change_agent(monkeypatch, (b"BRIEF = 0.02", b"BRIEF = 0.5"))
    link = host.connect()
    given = Given(host, link)
    link.wait_status(given.leader, "running")
    given.gate.touch()
    for attempt in (given.leader, given.follower, given.last):
        link.wait_status(attempt, "ended")
    assert host.runs() == 3


# -- a whole run over SSH ------------------------------------------------------------------------------------------

QUICK = range(3)  # these jobs end at once; those after them wait for their gates
LEADER, FOLLOWER, LAST = 3, 4, 5


@pytest.fixture
def site(bench: Bench, network: Network) -> Iterator[Gated]:
    """A host of one slot behind a network of its own, and jobs, the first of which end at once."""
    bench.add("gpu1", network=network)
    made = Gated.of(bench, LAST + 1)
    made.enter = network.enter
    made.inventory("gpu1", slots=1)
    made.open(*QUICK)
    yield made
    made.stop()


@pytest.fixture
def lab(site: Gated) -> Gated:
    """A run on that host: job 3 runs and job 4 is claimed ahead."""
    site.start("run", "--hosts", "lab.yaml", "--command", "python3 job.py {n}", patient=True)
    wait_until_next(site, FOLLOWER)
    return site


@pytest.fixture
def line(site: Gated) -> Gated:
    """A run on that host: job 3 runs, job 4 is next, and job 5 after that."""
    site.start(
        "run", "--hosts", "lab.yaml", "--command", "python3 job.py {n}", program=PATIENT.replace("1000, 1;", "1000, 2;")
    )
    wait_until_next(site, FOLLOWER)
    wait_until_next(site, LAST, FOLLOWER)
    return site


def wait_until_next(lab: Gated, job: int, after: int = LEADER) -> None:
    """Wait until `job` is claimed behind another. It has not run, and nobody is told that it has."""
    wait_for(lambda: lab.status()[job]["reason"] == f"next after job {after}", lambda: f"{lab.status()}\n{lab.said()}")
    assert lab.status()[job]["state"] == "NOT_RUNNING"
    wait_for(lambda: lab.status()[LEADER]["state"] == "RUNNING", lab.status)  # it was claimed before, too
    assert lab.ran(job) == []


def agent_of(bench: Bench) -> int:
    """The pid of the agent on the host; its supervisors are its children."""
    found = [pid for pid in bench.hosts["gpu1"].processes() if "-S -c" in command_line(pid)]
    return next(pid for pid in found if parent_of(pid) not in found)


def finish(lab: Gated, held: int | None = None) -> None:
    """Let every job end, by another run if the first one is gone, and see that each is COMPLETE, but for one that is held."""
    lab.open(*range(LAST + 1))
    if lab.running[-1].poll() is not None:
        lab.start("run", "--hosts", "lab.yaml", "--command", "python3 job.py {n}")
    assert lab.running[-1].wait(timeout=60) == 0, lab.said()
    assert {job["state"] for number, job in lab.status().items() if number != held} == {"COMPLETE"}
    assert held is None or not lab.ran(held)


def test_next_job_starts_while_nobody_can_say_so(lab: Gated, network: Network) -> None:
    network.cut()
    lab.open(LEADER)
    wait_for(lambda: lab.ran(FOLLOWER), lab.said)
    assert lab.status()[FOLLOWER]["state"] == "NOT_RUNNING"  # its host has not said yet that it runs
    network.mend()
    finish(lab)
    assert [lab.ran(job) for job in range(LAST + 1)] == [[str(job)] for job in range(LAST + 1)]


def test_line_goes_on_while_nobody_can_say_so(line: Gated, network: Network) -> None:
    network.cut()
    line.open(LEADER, FOLLOWER)
    wait_for(lambda: line.ran(LAST), line.said)
    assert line.status()[LAST]["state"] == "NOT_RUNNING"
    network.mend()
    finish(line)
    assert [line.ran(job) for job in range(LAST + 1)] == [[str(job)] for job in range(LAST + 1)]


def test_agent_killed_keeps_the_order_of_a_line(line: Gated, bench: Bench) -> None:
    kill(agent_of(bench))
    wait_for(lambda: "does not answer" in line.said(), line.said)
    wait_until_next(line, LAST, FOLLOWER)
    line.open(LEADER)
    wait_for(lambda: line.ran(FOLLOWER), line.said)
    assert line.ran(LAST) == []
    finish(line)
    assert [len(line.ran(job)) for job in range(LAST + 1)] == [1] * (LAST + 1)


def test_held_while_its_agent_is_deaf_one_leaves_no_slot_to_the_next_in_its_line(line: Gated, bench: Bench) -> None:
    """The orders to call it back are lost with the link, and may come too late."""
    agent = agent_of(bench)
    os.kill(agent, signal.SIGSTOP)
    line.burnish("hold", "--job_id", str(FOLLOWER))
    kill(agent)
    wait_for(lambda: line.status()[FOLLOWER]["state"] == "HOLD", line.status, deadline=60)
    wait_until_next(line, LAST)
    finish(line, FOLLOWER)
    assert [len(line.ran(job)) for job in range(LAST + 1)] == [1, 1, 1, 1, 0, 1]


def test_held_while_its_agent_is_deaf_it_does_not_start(lab: Gated, bench: Bench) -> None:
    """The order that follows from the hold is lost with the link; the next one must not be to start it."""
    agent = agent_of(bench)
    os.kill(agent, signal.SIGSTOP)
    lab.burnish("hold", "--job_id", str(FOLLOWER))
    kill(agent)
    wait_for(lambda: lab.status()[FOLLOWER]["state"] == "HOLD", lab.status, deadline=60)
    finish(lab, FOLLOWER)


def test_host_that_dies_gives_it_back(lab: Gated, bench: Bench) -> None:
    host = bench.hosts["gpu1"]
    host.stop()
    host.start()
    finish(lab)
    assert [len(lab.ran(job)) for job in range(LAST + 1)] == [1, 1, 1, 2, 1, 1]  # job 3 was running


def test_drained_host_gives_it_back(lab: Gated) -> None:
    lab.burnish("drain", "gpu1")
    wait_for(lambda: lab.status()[FOLLOWER]["reason"] == "", lab.status)
    lab.open(LEADER)
    wait_for(lambda: lab.status()[LEADER]["state"] == "COMPLETE", lab.status)
    assert lab.ran(FOLLOWER) == []
    lab.burnish("undrain", "gpu1")
    finish(lab)
    assert lab.ran(FOLLOWER) == [str(FOLLOWER)]


def test_stopped_run_takes_it_back(lab: Gated) -> None:
    (run,) = lab.running
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=60) == 130
    assert f"Job {LEADER} runs on." in lab.said()
    assert lab.status()[FOLLOWER]["reason"] == ""
    lab.open(LEADER)
    finish(lab)
    assert [len(lab.ran(job)) for job in range(LAST + 1)] == [1] * (LAST + 1)


def test_killed_coordinator_takes_it_along(lab: Gated) -> None:
    (run,) = lab.running
    run.kill()
    run.wait()
    lab.open(LEADER)
    finish(lab)
    assert [len(lab.ran(job)) for job in range(LAST + 1)] == [1] * (LAST + 1)
