"""Reading what nvidia-smi prints: by the names in the header, whatever else is new, missing or broken in it.

The texts are in the form of NVIDIA's documented query fields; the cards in them are invented.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.remote.agent.nvidia_smi import parse_gpus, parse_migs, parse_processes, parse_rows
from burnish.remote.agent.refusals import SlotTaken
from burnish.remote.agent.slots import gpu_environment, resolve_gpu

TABLE = """\
WARNING: infoROM is corrupted at gpu 0000:09:00.0, they say
uuid, utilization.gpu [%], something.new, memory.used [MiB], index, pci.bus_id, name
GPU-b, [Unknown Error], x, 12, 0, 00000000:0A:00.0, First
short, row
GPU-a, 3 %, x, N/A, 1, 00000000:09:00.0, Other
"""
LIST = """\
GPU 0: Invented (UUID: GPU-a)
  MIG 3g.20gb     Device  0: (UUID: MIG-1)
  MIG 1g.5gb      Device  1: (UUID: MIG-GPU-a/7/0)
GPU 1: Invented (UUID: GPU-b)
"""


def test_columns_are_found_by_name_and_gpus_counted_in_pci_order() -> None:
    keys = ("index", "uuid", "util", "memory_used", "memory_total", "name")
    assert [tuple(gpu[key] for key in keys) for gpu in parse_gpus(TABLE)] == [
        (0, "GPU-a", 3, None, None, "Other"),
        (1, "GPU-b", None, 12, None, "First"),
    ]
    assert parse_gpus("No devices were found\n") == [] == parse_gpus("")


def test_processes_under_both_names_of_their_memory() -> None:
    for name in ("used_gpu_memory", "used_memory"):
        text = f"gpu_uuid, pid, {name} [MiB]\nGPU-a, 7, 12\nGPU-a, [N/A], 3\nGPU-b, 8, [N/A]\n"
        assert parse_processes(text) == [("GPU-a", {"pid": 7, "memory": 12}), ("GPU-b", {"pid": 8, "memory": None})]


def test_mig_devices_belong_to_the_gpu_above_them() -> None:
    assert parse_migs(LIST) == {
        "GPU-a": [{"uuid": "MIG-1", "name": "3g.20gb"}, {"uuid": "MIG-GPU-a/7/0", "name": "1g.5gb"}]
    }


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
