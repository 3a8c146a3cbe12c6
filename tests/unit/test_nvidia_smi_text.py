"""Reading what nvidia-smi prints: by the names in the header, whatever else is new, missing or broken in it.

What it printed is recorded in tests/data/nvidia-smi, with where each text is from.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gpus import RECORDINGS, captured, captures, failures, recorded

from burnish.core import sighting
from burnish.core.gpus import broken, occupied, unusable
from burnish.core.hosts import Busy
from burnish.remote.agent.nvidia_smi import (
    GPU_QUERY,
    PROCESS_QUERY,
    parse_gpus,
    parse_migs,
    parse_processes,
    parse_rows,
    what_failed,
)
from burnish.remote.agent.refusals import SlotTaken
from burnish.remote.agent.slots import gpu_environment, resolve_gpu

MASKED = "GPU-00000000-0000-0000-0000-000000000000"
FAILURES = failures()


def test_every_recording_names_its_source_and_is_listed() -> None:
    listed = (RECORDINGS / "README.md").read_text()
    for path in RECORDINGS.iterdir():
        assert path.name == "README.md" or f"`{path.name}`" in listed
        if path.is_dir():
            where, commit = (path / "SOURCE").read_text().splitlines()[:2]
            assert where.count("/") >= 2 and commit.startswith("commit ") and commit.endswith("(MIT)")
        else:
            assert path.suffix in (".md", ".yaml") or path.read_text().startswith("# ")
    assert all(failure["source"] for failure in FAILURES.values())


def test_columns_are_found_by_name_and_what_a_card_does_not_tell_is_none() -> None:
    (mig,) = parse_gpus(recorded("h100-mig.gpu.csv"))
    assert mig == {
        "index": 0, "uuid": MASKED, "pci": "00000000:00:09.0", "name": "NVIDIA H100 80GB HBM3", "memory_total": 81559,
        "memory_used": 11125, "util": None, "driver": "590.48.01", "trouble": None, "processes": [], "migs": [],
    }  # fmt: skip
    (desk,) = parse_gpus(recorded("rtx-2080-wddm.gpu.csv"))
    assert (desk["memory_total"], desk["memory_used"], desk["util"], desk["driver"]) == (8192, 1366, 7, "610.62")


@pytest.mark.parametrize("machine", captures())
def test_every_column_that_is_asked_for_is_in_a_whole_answer(machine: str) -> None:
    """Under the name in its header, which is not always the name by which it was asked for."""
    for file, asked in (("gpu.csv", GPU_QUERY), ("compute-apps.csv", PROCESS_QUERY)):
        header, *rows = captured(machine)[file].splitlines()
        names = {name.partition(" [")[0] for name in header.split(", ")}
        assert {name.replace("used_memory", "used_gpu_memory") for name in asked.split(",")} <= names
        assert all(len(row.split(", ")) == len(header.split(", ")) for row in rows)


def test_whole_answers_of_a_real_machine_are_read() -> None:
    (plain,) = parse_gpus(captured("h200-load")["gpu.csv"])
    assert plain == {
        "index": 0, "uuid": MASKED, "pci": "00000000:83:00.0", "name": "NVIDIA H200", "memory_total": 143771,
        "memory_used": 32362, "util": 100, "driver": "590.48.01", "trouble": None, "processes": [], "migs": [],
    }  # fmt: skip
    assert parse_processes(captured("h200-load")["compute-apps.csv"]) == [
        (MASKED, {"pid": 10291, "memory": 2566}),
        (MASKED, {"pid": 10293, "memory": 1542}),
        (MASKED, {"pid": 10309, "memory": 28234}),
    ]
    (idle,) = parse_gpus(captured("h200-idle")["gpu.csv"])
    assert (idle["memory_used"], idle["util"]) == (0, 0)
    assert parse_processes(captured("h200-idle")["compute-apps.csv"]) == []
    (cut,) = parse_gpus(captured("h200-mig-load")["gpu.csv"])
    assert (cut["memory_used"], cut["util"]) == (16959, None)
    assert [(mig["name"], mig["uuid"][:12]) for mig in parse_migs(captured("h200-mig-load")["list"])[MASKED]] == [
        ("1c.3g.71gb", "MIG-00000000"), ("2c.3g.71gb", "MIG-00000001"), ("2g.35gb", "MIG-00000002"),
        ("1g.18gb", "MIG-00000003"), ("1g.18gb", "MIG-00000004"),
    ]  # fmt: skip


def test_one_process_may_be_on_every_card() -> None:
    said = captured("v100s-x8")
    cards, processes = parse_gpus(said["gpu.csv"]), parse_processes(said["compute-apps.csv"])
    assert [card["memory_used"] - process["memory"] for card, (_, process) in zip(cards, processes, strict=True)] == [
        6
    ] * 8
    assert [uuid for uuid, _ in processes] == [card["uuid"] for card in cards]
    assert {process["pid"] for _, process in processes} == {37305}
    assert [card["util"] for card in cards] == [97, 75, 80, 23, 98, 98, 91, 99]


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        ("h200-idle", [""]),
        ("h200-mig-idle", [""]),
        ("h200-load", ["somebody uses it (31.6 GiB)"]),
        ("h200-mig-load", ["somebody uses it (16.6 GiB)"]),
        ("v100s-x8", [f"somebody uses it ({used} GiB)" for used in (30.9, 28.9, 28.8, 31.3, 28.8, 31.4, 31.4, 28.8)]),
    ],
)
def test_what_real_machines_leave_free(machine: str, why: list[str]) -> None:
    said = captured(machine)
    found = parse_gpus(said["gpu.csv"])
    for uuid, process in parse_processes(said["compute-apps.csv"]):
        next(gpu for gpu in found if gpu["uuid"] == uuid)["processes"].append(process)
    seen = sighting.read({}, {"gpus": found}).gpus or ()
    assert [occupied(gpu, Busy(), "alice") for gpu in seen] == why


def test_gpus_are_counted_in_pci_order() -> None:
    """Eight recorded rows, word for word, whatever the order that they come in."""
    header, *rows = captured("v100s-x8")["gpu.csv"].splitlines()
    expected = [row.split(", ")[1] for row in rows]
    shuffled = random.Random(1).sample(rows, len(rows))
    assert shuffled not in (rows, rows[::-1])
    for order in (rows, rows[::-1], shuffled):
        found = parse_gpus("\n".join([header, *order]))
        assert [gpu["uuid"] for gpu in found] == expected
        assert [gpu["index"] for gpu in found] == list(range(8))


@pytest.mark.parametrize("words", ["GPU requires reset", "GPU is lost"])
@pytest.mark.parametrize("cells", [("utilization.gpu [%]", "temperature.gpu"), ("pstate",)])
def test_card_that_must_be_reset_is_out_of_order(words: str, cells: tuple[str, ...]) -> None:
    """The row of an idle card with the words in place of some of its values: see the README beside the recordings."""
    header, row = captured("h200-idle")["gpu.csv"].splitlines()
    values = row.split(", ")
    for cell in cells:
        values[header.split(", ").index(cell)] = f"[{words}]"
    (card,) = parse_gpus("\n".join([header, ", ".join(values)]))
    assert (card["trouble"], card["memory_used"]) == (words, 0)
    (healthy,) = parse_gpus("\n".join([header, row]))
    assert healthy["trouble"] is None


@pytest.mark.parametrize("failure", FAILURES)
def test_what_is_said_beside_or_instead_of_rows_is_no_row(failure: str) -> None:
    said, table = FAILURES[failure]["said"], recorded("h100-mig.gpu.csv")
    assert parse_gpus(said) == []
    assert parse_gpus(said + "\n" + table) == parse_gpus(table + said) == parse_gpus(table)


def test_processes_and_their_memory_where_it_is_told() -> None:
    assert parse_processes(recorded("h100-mig.apps.csv")) == [
        (MASKED, {"pid": 21180, "memory": 2296}),
        (MASKED, {"pid": 21181, "memory": 1272}),
        (MASKED, {"pid": 21198, "memory": 7484}),
    ]
    assert (
        parse_processes(recorded("h100-mig.apps.csv").replace("used_gpu_memory", "used_memory"))[0][1]["memory"] == 2296
    )
    hidden = parse_processes(recorded("rtx-2080-wddm.apps.csv"))
    assert [process["pid"] for _, process in hidden] == [2140, 13264, 12940, 13820]
    assert {process["memory"] for _, process in hidden} == {None}


def test_mig_devices_belong_to_the_gpu_above_them() -> None:
    a100 = "GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f"
    assert parse_migs(recorded("a100-mig-x7.list")) == {
        a100: [{"uuid": f"MIG-{a100}/{number}/0", "name": "1g.5gb"} for number in (7, 8, 9, 11, 12, 13, 14)]
    }
    below = recorded("t1000-v100.list") + recorded("gh200-mig.list") + recorded("a100-pcie-x2.list")
    assert parse_migs(below) == {
        "GPU-b08ecee0-0ea5-7b07-d459-baa5b95f5e89": [
            {"uuid": "MIG-51fa7c7a-4c41-59bf-b08a-9cb4b47525a7", "name": "3g.48gb"},
            {"uuid": "MIG-27b1a30b-e164-5ba8-9904-9d949f65d8e4", "name": "2g.24gb"},
            {"uuid": "MIG-6c80966f-629d-5379-803b-55424fc1a0bc", "name": "1g.24gb"},
        ]
    }
    assert parse_migs(recorded("rtx-8000-x8.list")) == {}


@pytest.mark.parametrize(
    ("failure", "drained", "nothing_works", "told"),
    [
        ("no driver", 0, True, "the NVIDIA driver is not loaded (exit 9: NVIDIA-SMI has failed because it couldn't"),
        (
            "driver and library differ",
            0,
            True,
            "the driver that is loaded is not the one that is installed (exit 18: Failed",
        ),
        ("no devices", 0, True, "it found no GPU (exit 6: No devices were found)"),
        (
            "handle of a card",
            1,
            False,
            "it failed (exit 255: Unable to determine the device handle for GPU 0000:0B:00.0",
        ),
        (
            "corrupt infoROM",
            1,
            False,
            "the infoROM of a GPU is corrupted (exit 14: WARNING: infoROM is corrupted at gpu",
        ),
    ],
)
def test_what_a_failure_means_for_the_gpus(failure: str, drained: int, nothing_works: bool, told: str) -> None:
    code, text = FAILURES[failure]["exit"], FAILURES[failure]["said"]
    error = what_failed(code, text)
    assert error.startswith("nvidia-smi: " + told), error
    cards = [
        {"index": 0, "uuid": "GPU-a", "pci": "00000000:0A:00.0"},
        {"index": 1, "uuid": "GPU-b", "pci": "00000000:0B:00.0"},
    ]
    known = sighting.read({}, {"gpus": cards}).gpus or ()
    seen = sighting.read({}, {"gpu_exit": code, "gpu_error": error})
    assert [gpu.uuid for gpu in broken(seen, known)] == ["GPU-b"] * drained
    assert bool(unusable(seen, known=True)) is nothing_works


@given(st.text() | st.text(alphabet=st.sampled_from("uid,gp [N/A]\n:G-0P U")))
def test_any_text_is_read(text: str) -> None:
    parse_rows(text, "uuid")
    assert all(gpu["uuid"].startswith("GPU-") for gpu in parse_gpus(text))
    parse_processes(text)
    parse_migs(text)


def seen(*uuids: str) -> list[dict[str, Any]]:
    return [{"index": index, "uuid": uuid, "migs": []} for index, uuid in enumerate(uuids)]


def test_a_slot_is_resolved_by_index_or_uuid() -> None:
    expected = {"index": 1, "uuid": "GPU-b", "share": 0, "of": 1}
    for name in ("1", "GPU-b"):
        assert resolve_gpu({"gpu": name}, seen("GPU-a", "GPU-b")) == {"gpu": name, **expected}
    with pytest.raises(SlotTaken, match="there is no GPU 2; this host has none"):
        resolve_gpu({"gpu": "2"}, [])
    with pytest.raises(SlotTaken, match="GPU 0 was GPU-b, is now GPU-a"):
        resolve_gpu({"gpu": "0", "uuid": "GPU-b"}, seen("GPU-a"))


def test_indices_stand_in_the_mask_unless_one_is_unknown() -> None:
    known = {"index": 1, "uuid": "GPU-b"}
    mask = b"CUDA_VISIBLE_DEVICES"
    assert gpu_environment([known, {"index": 0, "uuid": "GPU-a"}])[mask] == b"1,0"
    assert gpu_environment([known, {"index": None, "uuid": "GPU-a"}])[mask] == b"GPU-b,GPU-a"
    assert gpu_environment([])[mask] == b""
