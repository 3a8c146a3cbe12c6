"""What is shown of hosts: no gap looks like a zero, nothing foreign reaches the terminal, every width holds."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from support import tables

from burnish.core import sighting
from burnish.core.health import Finding, Grade
from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.core.standing import Standing, attempts_on
from burnish.views.checkup import CheckView
from burnish.views.hosts import FleetView, HostsView, InventoryView, users
from burnish.views.tables import width_of

CARD = {
    "index": 0, "uuid": "GPU-1", "name": "Invented", "memory_total": 40960, "memory_used": 1024, "util": 97,
    "processes": [{"pid": 1, "user": "ann", "memory": 512}, {"pid": 2, "user": "ann", "memory": 512}],
}  # fmt: skip


def standing(name: str = "gpu1", *, gpus: list[dict[str, Any]] | None = None, **values: Any) -> Standing:
    seen = sighting.read({}, {"load": [1.5], "cpus": 8, "gpus": gpus, "held": []})
    return Standing(Host(HostName(name), **values.pop("entry", {})), values.pop("seen", seen), **values)


def page(*standings: Standing, only_free: bool = False, width: int | None = None) -> list[str]:
    return list(FleetView(0.0, standings, only_free).text(width))


def test_gpu_row_says_who_and_which_job() -> None:
    state = tables.opened(("--lr",), [("1",)])
    tables.start(state, 0, "gpu1", gpus=("0",))
    host = Host(HostName("gpu1"))
    text = page(standing(gpus=[CARD], attempts=attempts_on(state, host, "sid")))
    assert text[0] == "1 host: 1 GPU, 0 free"
    assert text[-1].split() == ["gpu1", "0", "Invented", "1.0/40", "GiB", "97%", "ann", "(1.0", "GiB)", "0", "1.5/8"]


def test_unknown_is_a_question_mark() -> None:
    text = page(standing(gpus=[{}]))
    assert "?/? GiB" in text[-1] and " 0%" not in text[-1]
    assert HostsView([standing()]).json()[0]["slots"] is None  # type: ignore[index]
    assert "0/?" in "\n".join(HostsView([standing()]).text())


def test_host_that_was_not_reached_is_counted_and_explained() -> None:
    away = standing("gpu2", seen=None, trouble="gpu2: no route", hint="plug it in")
    text = page(standing(gpus=[]), away)
    assert text[0] == "2 hosts, 1 of them not reached"
    assert any("gpu2: no route" in line for line in text)
    assert text[-1] == "hint for gpu2: plug it in"
    assert "away" in "\n".join(HostsView([away]).text())


def test_free_shows_only_what_is_free_and_says_so_when_nothing_is() -> None:
    idle = {**CARD, "index": 1, "uuid": "GPU-2", "memory_used": 0, "util": 0, "processes": []}
    text = "\n".join(page(standing(gpus=[CARD, idle]), only_free=True))
    assert "ann" not in text and "0.0/40 GiB" in text
    assert page(standing(gpus=[CARD]), only_free=True)[-1] == "Nothing is free."


@pytest.mark.parametrize("seen", [{"gpus": []}, {"gpus": None, "gpu_error": "nvidia-smi has not answered for 9 s"}])
def test_listed_gpus_are_shown_and_free_where_no_nvidia_smi_answers(seen: dict[str, Any]) -> None:
    """As a run takes them: at their word."""
    state = tables.opened(("--lr",), [("1",)])
    tables.start(state, 0, "gpu1", gpus=("1",))
    entry = {"gpus": ("0", "1", "GPU-7", "2")}
    here = Host(HostName("gpu1"), **entry)
    drains = {HostName("gpu1:2"): "fan"}
    one = standing(seen=sighting.read({}, seen), entry=entry, attempts=attempts_on(state, here, "sid"), drains=drains)
    text = page(one)
    assert text[0] == "1 host: 4 GPUs, 2 free"
    assert "no nvidia-smi answers: its GPUs are taken at their word" in text[3]
    rows = [line.split() for line in text[3:]]
    assert [row[1] for row in rows] == ["0", "1", "GPU-7", "2"] and rows[1][:6] == ["gpu1", "1", "?/?", "GiB", "?", "0"]
    assert [line.split()[1] for line in page(one, only_free=True)[3:]] == ["0", "GPU-7"]
    (shown,) = FleetView(0.0, [one]).json()["hosts"]  # type: ignore[index]
    assert [gpu["free"] for gpu in shown["gpus"]] == [True, False, True, False]
    assert (shown["gpus"][0]["uuid"], shown["gpus"][0]["memory_used"], shown["gpus"][0]["held"]) == (None, None, None)
    assert HostsView([one]).json()[0]["slots"] == 4  # type: ignore[index]
    assert "0: ? ?/? GiB, 1: ? ?/? GiB job 0" in "\n".join(HostsView([one]).text())


def test_listed_gpus_of_a_host_whose_driver_is_gone_are_not_free() -> None:
    gone = sighting.read({}, {"gpus": None, "gpu_error": "no driver", "gpu_exit": 9})
    one = standing(seen=gone, entry={"gpus": ("0",)})
    assert "no driver" in page(one)[-1] and page(one, only_free=True)[-1] == "Nothing is free."


def test_jobs_and_slots_without_a_gpu_are_shown_beside_the_gpus() -> None:
    state = tables.opened(("--lr",), [("1",)])
    tables.start(state, 0, "gpu1")
    both = Host(HostName("gpu1"), slots=3)
    text = page(standing(gpus=[CARD], attempts=attempts_on(state, both, "sid"), entry={"slots": 3}))
    assert text[-1].split() == ["gpu1", "0", "2", "free"]


def test_drained_gpu_and_mask_of_logins_are_noted() -> None:
    drained = {HostName("gpu1:GPU-1"): "fell off the bus"}
    one = standing(gpus=[CARD], drains=drained)
    assert "drained (fell off the bus)" in page(one)[-1]
    assert " drained" in "\n".join(HostsView([one]).text())
    masked = standing(seen=sighting.read({}, {"gpus": [CARD], "mask": "0"}))
    assert page(masked)[-1].endswith("CUDA_VISIBLE_DEVICES=0 there")


def test_users_are_named_as_well_as_can_be() -> None:
    def of(**changes: Any) -> str:
        one = standing(gpus=[{**CARD, "processes": [], **changes}])
        assert one.seen and one.seen.gpus
        return users(one, one.seen.gpus[0])

    assert of(processes=[{"pid": 3, "user": None, "memory": None}]) == "?"
    assert of(held=True) == "burnish, another table"
    assert of() == "busy"
    assert of(memory_used=3, util=0) == ""


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_lines_fit_and_are_escaped(width: int) -> None:
    rude = standing(
        gpus=[{**CARD, "name": "\x1b[2JInvented", "processes": [{"user": "a\nb" * 20}]}], drained="fan\x1b[0m " * 9
    )
    for line in [*page(rude, width=width), *HostsView([rude]).text(width)]:
        assert line.isprintable()
        assert width_of(line) <= width


def test_narrow_terminal_leaves_out_what_matters_least_and_says_so() -> None:
    state = tables.opened(("--lr",), [("1",)])
    tables.start(state, 0, "gpu-node01", gpus=("0",))
    here = Host(HostName("gpu-node01"), slots=3)
    idle = {**CARD, "index": 1, "uuid": "GPU-2", "processes": []}
    fleet = standing(
        "gpu-node01",
        gpus=[CARD, idle],
        attempts=attempts_on(state, here, "sid"),
        entry={"slots": 3},
        drained="fan is broken",
    )
    dropped = {
        width: " ".join(page(fleet, width=width)).partition("want of room: ")[2] for width in (100, 80, 70, 60, 40)
    }
    assert dropped == {
        100: "",
        80: "LOAD",
        70: "MODEL, LOAD",
        60: "MODEL, MEMORY, LOAD",
        40: "MODEL,   MEMORY, UTIL, WORKERS, LOAD",
    }
    assert page(fleet, width=40)[3].split()[:2] == ["gpu-node01", "0"], "the host's name is whole"


def test_inventory_shows_what_is_settled_and_no_more() -> None:
    text = "\n".join(InventoryView([Host(HostName("gpu1"), groups=("a",), gpus=(), busy=None, port=2222)]).text())
    assert text.splitlines()[0] == "gpu1  (a)"
    assert "gpus: none" in text and "busy: share" in text and "port: 2222" in text
    assert "hostname" not in text and "setup" not in text
    settled = Host(HostName("gpu1"), gpus=("0", "GPU-a"), env=(("A", "b"),))
    text = "\n".join(InventoryView([settled]).text())
    assert "busy: {max_mem_mib: 500, max_util: 10, quiet_for: 120s}" in text, "as one writes it"
    assert "gpus: [0, GPU-a]" in text and "env: {A: b}" in text


def test_list_shows_no_secret_to_people_or_programs() -> None:
    host = Host(HostName("gpu1"), env=(("HF_TOKEN", "hf_abc"), ("A", "b")), setup="export DB_PASSWORD=hf_abc")
    view = InventoryView([host])
    text = "\n".join(view.text())
    assert "env: {HF_TOKEN: ***, A: b}" in text and "setup: export DB_PASSWORD=***" in text
    assert "hf_abc" not in text + str(view.json())


def test_list_says_once_what_most_hosts_have_and_of_each_what_it_has_else() -> None:
    one, two = Host(HostName("gpu1")), Host(HostName("gpu2"), groups=("a",))
    three = Host(HostName("gpu3"), gpus=("0",), busy=None, slots=2)
    text = "\n".join(InventoryView([one, two, three]).text())
    common, _, each = text.partition("\n\n")
    assert common.splitlines()[0] == "All 3 hosts, where they say nothing else:"
    assert "    gpus: auto" in common and "    slots_per_gpu: 1" in common and "slots:" not in common
    assert each == "gpu1\ngpu2  (a)\ngpu3\n    gpus: [0]\n    slots: 2\n    busy: share"
    differ = "\n".join(InventoryView([replace(one, hostname="10.0.0.1"), replace(two, hostname="10.0.0.2")]).text())
    assert "gpu1\n    hostname: 10.0.0.1\ngpu2  (a)\n    hostname: 10.0.0.2" in differ


def test_check_puts_the_worst_first_with_its_remedy() -> None:
    found = (Finding("reached"), Finding("odd", Grade.ODD, "look"), Finding("broken", Grade.UNUSABLE, "mend"))
    text = list(CheckView([("gpu1", found), ("gpu2", found[:1])]).text())
    assert text[0].split("  ")[0] == "gpu1" and "UNUSABLE  broken; odd; reached" in text[0]
    assert [line.split()[-1] for line in text[1:3]] == ["mend", "look"]
    assert text[3].split() == ["gpu2", "ok", "reached"]


def test_sentences_are_wrapped_where_a_terminal_is_narrow() -> None:
    away = Standing(
        Host(HostName("gpu1")), trouble="does not answer", hint="a hint that is longer than forty columns are wide"
    )
    lines = page(away, width=40)
    assert all(width_of(line) <= 40 for line in lines)
    assert "hint for gpu1: a hint that is longer than forty columns are wide" in " ".join(map(str.strip, lines))
