"""What a host offers: its slots as they become known, and each reason to leave one alone, with nothing but looks and a clock."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from support import gpus
from support.gpus import seen_card as card

from burnish.core import sighting
from burnish.core.gpus import broken, occupied
from burnish.core.hosts import Busy, Host
from burnish.core.jobs import HostName, Slot
from burnish.core.offer import BACK_OFF, TAKEN, Offer
from burnish.core.sighting import Sighting
from burnish.core.slots import environment, order

HOST = Host(HostName("gpu1"))
PROCESS = {"pid": 7, "user": "bob", "memory": 900}


def look(*cards: dict[str, Any], **fields: Any) -> Sighting:
    return sighting.read({}, {"gpus": list(cards), "user": "alice", "held": [], **fields})


def reasons(offer: Offer, now: float = 100.0) -> list[str]:
    return [offer.why_not(slot, now) for slot in offer.slots]


def seen(host: Host, *cards: dict[str, Any], now: float = 100.0, **fields: Any) -> Offer:
    offer = Offer(host)
    offer.see(look(*cards, **fields), now)
    return offer


# -- which slots ---------------------------------------------------------------------------------------------------


def test_gpus_are_offered_once_they_are_known() -> None:
    offer = Offer(HOST)
    assert (offer.slots, offer.known) == ((), False)
    offer.see(sighting.read({}, {"gpus": None, "gpu_error": "nvidia-smi hangs"}), 1.0)
    assert (offer.slots, offer.known) == ((), False)
    offer.see(look(card(1), card(2)), 2.0)
    assert [slot.gpu for slot in offer.slots] == ["0", "1"] and offer.known
    assert [slot.gpu for slot in seen(HOST).slots] == [None]


def test_each_gpu_is_filled_once_before_the_next_share() -> None:
    offer = seen(replace(HOST, slots_per_gpu=2, slots=1), card(1), card(2))
    assert [(slot.index, slot.gpu, slot.share, slot.of) for slot in offer.slots] == [
        (0, "0", 0, 2), (2, "1", 0, 2), (1, "0", 1, 2), (3, "1", 1, 2), (4, None, 0, 1),
    ]  # fmt: skip


def test_plain_workers_are_what_they_are() -> None:
    workers = (Slot(HOST.name, 0), Slot(HOST.name, 1))
    offer = Offer(HOST, workers)
    offer.see(look(card(1), held=["cpu-x-0"]), 1.0)
    assert offer.slots == workers and reasons(offer) == ["", ""]


def test_order_names_the_share_and_the_card_that_was_seen() -> None:
    assert order([Slot(HOST.name, 3)], {}) == {"cpu": [3]}
    shared, named = Slot(HOST.name, 3, "1", 1, 2), Slot(HOST.name, 4, "GPU-b")
    first = {"gpu": "1", "share": 1, "of": 2, "uuid": "GPU-a"}
    second = {"gpu": "GPU-b", "share": 0, "of": 1}
    assert order([shared, named], {shared: "GPU-a", named: "GPU-b"}) == {"gpus": [first, second]}


def test_inventory_cannot_show_a_job_other_gpus() -> None:
    host = replace(HOST, gpus=("0",), env=(("A", "b"), ("CUDA_VISIBLE_DEVICES", "7")))
    assert environment(host, [Slot(HOST.name, 0, "0")]) == {"A": "b"}
    assert environment(host, [Slot(HOST.name, 1)]) == {"A": "b", "CUDA_VISIBLE_DEVICES": ""}
    assert environment(HOST, [Slot(HOST.name, 1)]) == {}


@pytest.mark.parametrize(
    ("mask", "offered"),
    [
        (None, ["0", "1", "2"]),
        ("1", ["1"]),
        ("2,0", ["2", "0"]),
        (f" {gpus.uuid(3)} , 0", ["2", "0"]),
        (gpus.uuid(2)[:12], ["1"]),
        ("0,-1,2", ["0"]),
        ("0,7,2", ["0"]),
        ("0,GPU-,2", ["0"]),
        ("1,1", ["1"]),
        (gpus.uuid(1, "MIG"), [gpus.uuid(1, "MIG")]),
        (gpus.uuid(2, "MIG"), [None]),
        ("", [None]),
        ("NoDevFiles", [None]),
    ],
)
def test_auto_is_what_the_mask_of_a_login_leaves_visible(mask: str | None, offered: list[str | None]) -> None:
    cards = card(1), card(2), card(3, migs=[{"uuid": gpus.uuid(1, "MIG")}])
    assert [slot.gpu for slot in seen(HOST, *cards, mask=mask).slots] == offered
    assert [slot.gpu for slot in seen(replace(HOST, gpus=("2",)), *cards, mask=mask).slots] == ["2"], (
        "listed: as listed"
    )


def test_host_described_anew_keeps_what_was_seen_of_it() -> None:
    offer = seen(HOST, card(1), card(2, processes=[PROCESS]), card(3, held=True, alone=True))
    offer.see(look(card(1), card(2), card(3)), 110.0)
    offer.describe(replace(HOST, env=(("A", "b"),), slots=1))
    assert [slot.gpu for slot in offer.slots] == ["0", "1", "2", None], "at once, and not after the next look"
    assert reasons(offer, 110.0) == ["", "bob uses it (0.0 GiB)", "", ""]
    offer.describe(replace(HOST, gpus=()))
    assert [slot.gpu for slot in offer.slots] == [None]


def test_card_that_must_be_reset_is_let_be_until_it_was() -> None:
    offer = seen(replace(HOST, busy=None), card(1), card(2, trouble="GPU requires reset"))
    assert reasons(offer) == ["", "nvidia-smi says of GPU 1: GPU requires reset"], (
        "also where GPUs are shared with everybody"
    )
    offer.see(look(card(1), card(2)), 110.0)
    assert reasons(offer, 110.0) == ["", ""]


# -- somebody else's -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, ""),
        ({"memory_used": None, "util": None}, ""),
        ({"memory_used": 500, "util": 10}, ""),
        ({"memory_used": 501}, "its memory is in use (0.5 GiB)"),
        ({"util": 11}, "it is 11 % busy"),
        ({"processes": [PROCESS], "memory_used": 14336}, "bob uses it (14.0 GiB)"),
        ({"processes": [{**PROCESS, "user": None}]}, "somebody uses it (0.0 GiB)"),
        ({"processes": [{**PROCESS, "user": "alice"}]}, "alice uses it (0.0 GiB)"),
        ({"held": True, "memory_used": 9000, "util": 99, "processes": [{**PROCESS, "user": "alice"}]}, ""),
        ({"was_held": True, "memory_used": 9000, "processes": [{**PROCESS, "user": "alice"}]}, ""),
        ({"held": True, "processes": [{**PROCESS, "user": None}]}, ""),
        ({"held": True, "processes": [PROCESS]}, "bob uses it (0.0 GiB)"),
        ({"processes": [{**PROCESS, "user": "b\x1b[2J"}]}, "b\\x1b[2J uses it (0.0 GiB)"),
    ],
    ids=str,
)
def test_when_a_gpu_is_somebody_elses(fields: dict[str, Any], why: str) -> None:
    gpus_seen = look(card(1, **fields)).gpus
    assert gpus_seen is not None
    assert occupied(gpus_seen[0], Busy(), "alice") == why
    assert occupied(gpus_seen[0], None, "alice") == ""


def test_gpu_must_have_been_quiet_since_it_was_busy_but_not_before_its_first_use() -> None:
    offer = seen(HOST, card(1), card(2, processes=[PROCESS]))
    assert reasons(offer) == ["", "bob uses it (0.0 GiB)"]
    offer.see(look(card(1), card(2)), 160.0)
    assert reasons(offer, 219.0) == ["", "bob uses it (0.0 GiB)"]
    assert reasons(offer, 220.0) == ["", ""]
    assert reasons(seen(replace(HOST, busy=None), card(1, processes=[PROCESS]))) == [""]


def test_stale_reading_counts_until_a_newer_one() -> None:
    offer = seen(HOST, card(1, processes=[PROCESS]))
    offer.see(sighting.read({}, {"gpus": None, "gpu_error": "nvidia-smi hangs"}), 110.0)
    assert reasons(offer, 110.0) == ["bob uses it (0.0 GiB)"]


# -- taken by burnish ----------------------------------------------------------------------------------------------


def test_slots_that_other_tables_hold_are_not_tried() -> None:
    host = replace(HOST, slots_per_gpu=2, slots=2)
    offer = seen(host, card(1, held=True, shares=[1]), card(2, held=True, alone=True), held=["cpu-x-5"])
    taken = {slot.index for slot in offer.slots if offer.why_not(slot, 100.0) == TAKEN}
    assert taken == {1, 2, 3, 5}
    assert reasons(seen(HOST, card(1, held=True, shares=[0]))) == [TAKEN]


def test_what_the_table_used_since_the_look_was_asked_for_is_not_somebody_elses() -> None:
    offer = seen(HOST, card(1), card(2), card(3))
    offer.ask([0])
    offer.use([1])
    offer.see(look(*(card(number, held=True, alone=True) for number in (1, 2, 3))), 101.0)
    assert reasons(offer) == ["", "", TAKEN]


def test_slot_that_was_found_taken_is_left_alone_for_a_while() -> None:
    offer = seen(HOST, card(1), card(2))
    offer.find_taken([1], 100.0)
    assert reasons(offer, 100.0 + BACK_OFF - 0.1) == ["", TAKEN]
    assert reasons(offer, 100.0 + BACK_OFF) == ["", ""]


def test_mig_devices_are_held_one_by_one() -> None:
    one, two = gpus.uuid(1, "MIG"), gpus.uuid(2, "MIG")
    migs = [{"uuid": one, "held": True, "alone": True, "shares": []}, {"uuid": two, "held": False}]
    whole = card(1, held=True, migs=migs, processes=[PROCESS])
    assert reasons(seen(replace(HOST, gpus=(one, two)), whole)) == [TAKEN, ""]
    assert reasons(seen(replace(HOST, gpus=(one, two)), {**whole, "alone": True})) == [TAKEN, TAKEN]


# -- not fit -------------------------------------------------------------------------------------------------------


def test_listed_gpu_that_is_absent_is_named_with_what_is_there() -> None:
    offer = seen(replace(HOST, gpus=("0", "7", "GPU-x")), card(1), card(2))
    there = f"gpu1 has 0 ({gpus.uuid(1)}), 1 ({gpus.uuid(2)})"
    assert reasons(offer) == ["", f"there is no GPU 7; {there}", f"there is no GPU GPU-x; {there}"]


def test_listed_gpus_are_taken_at_their_word_where_nothing_tells_of_them() -> None:
    assert reasons(seen(replace(HOST, gpus=2))) == ["", ""]


def test_another_card_at_a_listed_index_is_refused_with_both_names() -> None:
    first, then = (card(1), card(2)), (card(1, index=1), card(2, index=0))
    offer = seen(replace(HOST, gpus=("0",)), *first)
    offer.see(look(*then), 101.0)
    assert reasons(offer) == [f"GPU 0 was {gpus.uuid(1)}, is now {gpus.uuid(2)}"]
    named = seen(replace(HOST, gpus=(gpus.uuid(1),)), *first)
    named.see(look(*then), 101.0)
    assert reasons(named) == [""]
    auto = seen(HOST, *first)
    auto.see(look(*then), 101.0)
    assert reasons(auto) == ["", ""]


def test_missing_driver_stops_gpus_while_it_is_missing() -> None:
    offer = seen(replace(HOST, slots=1), card(1))
    offer.see(sighting.read({}, {"gpus": None, "gpu_exit": 9, "gpu_error": "the NVIDIA driver is not loaded"}), 101.0)
    assert reasons(offer) == ["the NVIDIA driver is not loaded", ""]
    offer.see(look(card(1)), 102.0)
    assert reasons(offer) == ["", ""]


def test_broken_card_among_unknown_ones_stops_them_all() -> None:
    error = sighting.read({}, {"gpus": None, "gpu_exit": 15, "gpu_error": "0000:02:00.0 is lost"})
    offer = Offer(replace(HOST, gpus=1))
    offer.see(error, 100.0)
    assert reasons(offer) == ["0000:02:00.0 is lost"]
    known = seen(replace(HOST, gpus=1), card(1))
    known.see(error, 101.0)
    assert reasons(known) == [""]


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (15, "Unable to determine the device handle for GPU 0000:02:00.0", [2]),
        (15, "no more words", [1, 2]),
        (14, f"infoROM is corrupted at {gpus.uuid(1)}", [1]),
        (10, "00000000:01:00.0", [1]),
        (9, "0000:02:00.0", []),
        (255, "0000:02:00.0", []),
        (None, "", []),
    ],
)
def test_broken_card_is_the_one_that_is_named_or_else_all(code: int | None, said: str, expected: list[int]) -> None:
    known = look(card(1), card(2)).gpus or ()
    found = broken(sighting.read({}, {"gpu_exit": code, "gpu_error": said}), known)
    assert [gpu.uuid for gpu in found] == [gpus.uuid(number) for number in expected]


def test_drain_names_a_gpu_of_the_host() -> None:
    offer = seen(HOST, card(1), card(2))
    slot = offer.slots[1]
    assert offer.drain_names(slot) == (f"gpu1:{gpus.uuid(2)}", "gpu1:1", "gpu1:1")
    error = sighting.read({}, {"gpu_exit": 15, "gpu_error": "0000:02:00.0"})
    assert list(offer.broken(error)) == [f"gpu1:{gpus.uuid(2)}"]
    assert offer.drain_names(Slot(HOST.name, 9)) == ()
