"""An inventory that is edited while it is used: what counts, when, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.core.reports import Report, Welcome
from burnish.errors import InputError, UsageError
from burnish.fleet import Fleet
from burnish.roster import STILL, Roster


class StillLink:
    """A link that is up as soon as it is started; its host says that it is the one of `state_id`."""

    def __init__(self, host: Host, state_ids: dict[str, str]) -> None:
        self.welcome: Welcome | None = None
        self._state_id = state_ids.get(host.name, host.name)

    @property
    def up(self) -> bool:
        return self.welcome is not None

    def start(self) -> None:
        self.welcome = Welcome(self._state_id, "boot", "box")

    def send(self, *headers: dict[str, object]) -> None:
        raise AssertionError(f"nothing was to be sent: {headers}")


class Run:
    """What a coordinator does with a roster, with a clock that the test moves."""

    def __init__(
        self, path: Path, text: str, limit: str | None = None, state_ids: dict[str, str] | None = None
    ) -> None:
        self.path, self.now, self.said = path, 0.0, list[str]()
        path.write_text(text)
        self.roster = Roster(str(path), limit, lambda: self.now)

        def connect(host: Host, _: Callable[[Report], None]) -> object:
            return StillLink(host, state_ids or {})

        self.fleet = Fleet(connect, lambda report: None)  # type: ignore[arg-type]
        for host in self.roster.hosts:
            self.fleet.add(host)

    def save(self, text: str, after: float = STILL) -> bool:
        """Replace the file as editors do, and look: at once, and `after` s later. True if the second look changed something."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.path)
        assert not self.look()
        self.now += after
        return self.look()

    def look(self) -> bool:
        return self.roster.look(self.fleet, self.said.append)

    def meet(self, host: str) -> None:
        """What a coordinator does when it hears that a host answers."""
        alike = self.fleet.meet(HostName(host))
        self.roster.refuse_second_names(self.fleet, alike, self.said.append)

    def ready(self) -> list[str]:
        """The hosts that take jobs, once all have been heard."""
        for name in self.fleet.members:
            self.meet(name)
        return self.ready_now()

    def ready_now(self) -> list[str]:
        return [member.host.name for member in self.fleet.ready(0.0, {})]


def cpu(*names: str) -> str:
    return f"defaults: {{gpus: none, slots: 2}}\nhosts: [{', '.join(names)}]\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lab.yaml"


def test_new_host_takes_jobs_and_is_named(path: Path) -> None:
    run = Run(path, cpu("gpu1"))
    assert run.save(cpu("gpu1", "gpu2"))
    assert run.ready() == ["gpu1", "gpu2"]
    assert run.said == [f"{path}: gpu2 is new and takes jobs."]


def test_host_that_is_gone_takes_no_jobs_but_keeps_its_link(path: Path) -> None:
    run = Run(path, cpu("gpu1", "gpu2"))
    assert run.save(cpu("gpu1"))
    assert run.ready() == ["gpu1"]
    assert run.fleet.members[HostName("gpu2")].link.up
    assert run.save(cpu("gpu1", "gpu2"))
    assert run.ready() == ["gpu1", "gpu2"]


def test_changed_values_count_at_once_and_another_way_there_does_not(path: Path) -> None:
    run = Run(path, cpu("gpu1"))
    assert run.save(cpu("gpu1").replace("slots: 2", "slots: 5, env: {A: b}"))
    member = run.fleet.members[HostName("gpu1")]
    assert (len(member.slots), member.host.env) == (5, (("A", "b"),))
    assert run.save(cpu("gpu1").replace("slots: 2", "slots: 2, port: 2222"))
    assert (len(member.slots), member.host.port) == (5, None)
    assert "from the next run on" in run.said[-1]
    assert run.save(cpu("gpu1").replace("slots: 2", "slots: 3, workdir: /data"))
    assert (len(member.slots), member.host.workdir) == (3, "/data")


@pytest.mark.parametrize("broken", ["hosts: [gpu1, gpu2", "hosts: {gpu1: {slot: 3}}\n", "hosts: []\n"])
def test_broken_edit_is_named_once_and_the_hosts_stay(path: Path, broken: str) -> None:
    run = Run(path, cpu("gpu1"))
    assert not run.save(broken)
    run.now += 60
    assert not run.look()
    assert run.ready() == ["gpu1"]
    assert len(run.said) == 1
    assert str(path) in run.said[0] and "the hosts stay as they were" in run.said[0]
    assert run.save(cpu("gpu2"))
    assert run.ready() == ["gpu2"]


def test_file_that_is_gone_is_named_once_and_the_hosts_stay(path: Path) -> None:
    run = Run(path, cpu("gpu1"))
    path.unlink()
    for _ in range(4):
        run.look()
        run.now += STILL
    assert run.ready() == ["gpu1"]
    assert len(run.said) == 1 and "no such file" in run.said[0]


def test_half_a_save_is_not_read(path: Path) -> None:
    run = Run(path, cpu("gpu1", "gpu2"))
    assert not run.save(cpu("gpu1"), after=STILL / 2)
    assert run.save(cpu("gpu1", "gpu2", "gpu3"))
    assert run.ready() == ["gpu1", "gpu2", "gpu3"]
    assert "is gone" not in "".join(run.said)


def test_limit_still_holds(path: Path) -> None:
    run = Run(path, "groups: {a: {vars: {gpus: none}, hosts: [gpu1]}, b: {hosts: [gpu2]}}\n", limit="a")
    assert run.save("groups: {a: {vars: {gpus: none}, hosts: [gpu1, gpu3]}, b: {hosts: [gpu2, gpu4]}}\n")
    assert run.ready() == ["gpu1", "gpu3"]
    assert not run.save("groups: {b: {hosts: [gpu2, gpu4]}}\n")
    assert '"a"' in run.said[-1] and run.ready() == ["gpu1", "gpu3"]


def test_second_name_of_a_host_is_refused_by_name(path: Path) -> None:
    run = Run(path, cpu("gpu1", "alias", "gpu2"), state_ids={"gpu1": "same", "alias": "same"})
    assert run.ready() == run.ready() == ["gpu1", "gpu2"]
    assert len(run.said) == 1 and run.said[0].startswith("alias is the same host as gpu1")
    assert run.fleet.members[HostName("alias")].unused == "it is the same host as gpu1"
    assert run.fleet.members[HostName("alias")].link.up, "what was started under that name is still collected"


def test_host_takes_no_job_before_it_was_compared_with_those_that_were_heard(path: Path) -> None:
    run = Run(path, cpu("gpu1", "alias", "gpu2"), state_ids={"gpu1": "same", "alias": "same"})
    assert run.ready_now() == [], "all answer, and of none it was heard"
    run.meet("alias")
    assert run.ready_now() == ["alias"], "the first name may never answer"
    run.meet("gpu1")
    assert run.ready_now() == ["gpu1"] and run.fleet.members[HostName("alias")].same_as == "gpu1"
    run.fleet.members[HostName("gpu1")].link.start()
    assert run.ready_now() == [], "it answers anew: it may be another one"
    run.meet("gpu1")
    assert run.ready_now() == ["gpu1"] and len(run.said) == 1


def test_what_is_wrong_at_the_beginning_is_an_error(path: Path) -> None:
    with pytest.raises(InputError):
        Roster(str(path), None)
    path.write_text(cpu("gpu1"))
    with pytest.raises(UsageError):
        Roster(str(path), "gpu9")
