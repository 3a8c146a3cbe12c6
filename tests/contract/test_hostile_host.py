"""Hosts of the inventory are in hostile hands: what their agents say costs nobody else a job, and moves nobody's cursor.

Such a host's `python:` is a program of the test's that speaks burnish's protocol, and says what it is told to say. There are as
many of them in one run as there are things to say.
"""

from __future__ import annotations

import json
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gated import Gated
from tests.support.hosts import ACCOUNT, UID, Bench
from tests.support.waiting import wait_for

ESCAPES = "\x1b]0;pwned\x07\x1b[2J\x1b[1;1H\r\x9b31m\u202e all is well"
JOBS = 80
WELL = 10  # jobs that the host in good hands has done meanwhile

AGENT = r"""#!/usr/bin/python3 -I
import json, os, struct, sys
here = os.path.dirname(os.path.abspath(__file__))
script = json.load(open(here + "/script.json"))
stdin, stdout = sys.stdin.buffer, sys.stdout.buffer

def say(header, body=b""):
    text = json.dumps(header).encode()
    stdout.write(struct.pack(">II", len(text), len(body)) + text + body)

greeting = json.loads(stdin.readline())
stdin.read(greeting["size"])
stdout.write(("\nburnish-agent %s\n" % greeting["nonce"]).encode())
stdout.flush()
usual = {
    "hello": [{"type": "welcome", "state_id": here, "incarnation": "i", "hostname": "h", "source": "/x", "uid": 4242, "pid": 1}],
    "list": [{"type": "listed"}],
    "look": [{"type": "seen", "gpus": None, "cpus": 4}],
    "ack": [],
}
while True:
    prefix = stdin.read(8)
    if len(prefix) < 8:
        break
    size, more = struct.unpack(">II", prefix)
    asked = json.loads(stdin.read(size))
    stdin.read(more)
    if asked["type"] == "ping":
        say({"type": "pong", "id": asked["id"]})
    if asked["type"] == "start":
        open(here + "/met", "w").close()
    for answer in script.get(asked["type"], usual.get(asked["type"], [])):
        if "raw" in answer:
            stdout.write(bytes.fromhex(answer["raw"]))
        else:
            name = asked.get("attempt", "")
            header = json.loads(json.dumps(answer).replace("ATTEMPT", name).replace("JOB", name.split(".")[0]))
            say(header, bytes.fromhex(header.pop("body", "")))
    stdout.flush()
"""

EXIT = {"started": 1.0, "ended": 2.0, "duration": 1.0, "max_rss": 1, "code": 3}
GO = {
    "go": {
        "pid": 1,
        "started": 1.0,
        "supervisor": {"pid": 1, "starttime": 1},
        "incarnation": "i",
        "host": "h",
        "version": ESCAPES,
    }
}


def status(what: str, **fields: Any) -> dict[str, Any]:
    return {"type": "status", "attempt": "ATTEMPT", "status": what, **fields}


def ended(sizes: dict[str, Any] | None = None, **record: Any) -> dict[str, Any]:
    return status("ended", start=GO, final={"exit": {**EXIT, **record}}, sizes=sizes or {"out": 0, "err": 0})


def raw(data: bytes) -> dict[str, str]:
    return {"raw": data.hex()}


def frame(text: bytes, body: bytes = b"") -> dict[str, str]:
    return raw(struct.pack(">II", len(text), len(body)) + text + body)


def log(**fields: Any) -> dict[str, Any]:
    return {
        "type": "log",
        "attempt": "ATTEMPT",
        "stream": "out",
        "offset": 0,
        "end": 3,
        "size": 3,
        "body": "414243",
        **fields,
    }


# What it says when it is asked for something, by the request.
SCRIPTS: dict[str, dict[str, list[dict[str, Any]]]] = {
    "a header of four gigabytes": {"start": [raw(b"\xff\xff\xff\xff\0\0\0\0")]},
    "a body of four gigabytes": {"start": [raw(b"\0\0\0\x0f\xff\xff\xff\xff")]},
    "a header that nests without end": {"start": [frame(b'{"type":' + b"[" * 500_000)]},
    "no JSON": {"start": [frame(b"\x1b[2J" * 10)]},
    "names that lead elsewhere": {
        "start": [
            status("ended", attempt=name, start=GO, final={"exit": {**EXIT, "code": 0}}, sizes={"out": 0, "err": 0})
            for name in ("../../../../evil", "JOB.1-../../evil", "JOB.1-\0", "JOB.1/../../evil", "99999.1-deadbeef")
        ]
    },
    "logs that lead elsewhere": {
        "start": [
            log(attempt="JOB.1-../../../evil"),
            log(stream="../../../evil"),
            log(attempt="0.1-deadbeef"),
            log(offset=-1),
        ],
    },
    "logs that nobody asked for, far behind their end": {
        "start": [
            status("running", start=GO),
            log(offset=1 << 40, end=1 << 61),
            ended(sizes={"out": 1 << 61, "err": 1 << 61}),
        ],
    },
    "verdicts on the jobs of other hosts": {
        "list": [
            status("ended", attempt=f"{job}.1-{'0' * 8}", start=GO, final={"exit": {**EXIT, "code": 0}}, sizes={})
            for job in range(JOBS)
        ]
        + [{"type": "listed"}],
    },
    "escape sequences why it does not start": {"start": [status("void", start={"void": {"why": ESCAPES, "trouble": True}})]},
    "escape sequences in all that is shown of it": {
        "hello": [
            {"type": "welcome", "incarnation": "i", **dict.fromkeys(("state_id", "hostname", "source", "python"), ESCAPES)}
        ],
        "look": [
            {"type": "seen", "python": ESCAPES, "driver": ESCAPES, "user": ESCAPES, "gpu_error": ESCAPES, "mask": ESCAPES,
             "gpus": [{"index": 0, "uuid": ESCAPES, "name": ESCAPES, "processes": [{"pid": 1, "user": ESCAPES, "memory": 1}]}]}
        ],
        "start": [{"type": "refused", "attempt": "ATTEMPT", "request": "start", "why": ESCAPES}],
        "void": [{"type": "refused", "attempt": "ATTEMPT", "request": ESCAPES, "why": ESCAPES}],
    },
    "escape sequences in a failure and its log": {
        "start": [
            status("running", start=GO),
            ended(
                {"out": 0, "err": 400},
                **dict.fromkeys(("exec_error", "result_error", "tail"), ESCAPES),
                result={ESCAPES: ESCAPES},
            ),
        ],
        "pull": [log(stream="err", end=len(ESCAPES.encode()), body=ESCAPES.encode().hex())],
    },
    "an exit code that no kernel has": {
        "start": [ended(code=int("9" * 4000))],
    },
    "memory that no machine has": {
        "start": [ended(max_rss=int("9" * 4000))],
    },
    "a life story instead of a reason": {
        "start": [status("ended", start=GO, final={"lost": {"why": "x" * 3_000_000, "ended": 1.0}}, sizes={})],
    },
    "records of other types": {
        "start": [
            status("running", start={"go": []}),
            status("void", start={"void": {"why": {}, "lacks": [1]}}),
            status("ended", final={"exit": {"code": "0"}}),
            ended(lacks={"cwd": 5, "x": [[]]}, exec_error="x", result=[1]),
        ],
    },
}  # fmt: skip


@pytest.fixture
def table(bench: Bench) -> Iterator[Gated]:
    """Jobs behind gates, a host that is well, and as many that are not as there are scripts."""
    host, evil = bench.add("gpu1"), bench.add("evil")
    entries = [f"  {host.name}: {{slots: 4}}\n"]
    for number, script in enumerate(SCRIPTS.values()):
        folder = evil.home / f"evil{number}"
        folder.mkdir()
        (folder / "agent").write_text(AGENT)
        (folder / "agent").chmod(0o755)
        (folder / "script.json").write_text(json.dumps(script))
        os.chown(folder, UID, UID)
        bench.configure(f"Host evil{number}\n  HostName {evil.address}\n  Port {evil.port}\n  User {ACCOUNT}\n")
        entries.append(f"  evil{number}: {{python: /home/{ACCOUNT}/evil{number}/agent}}\n")
    made = Gated.of(bench, JOBS)
    defaults = f"ssh_config: {bench.config}, gpus: none, slots: 1, workdir: {made.folder}"
    (made.folder / "lab.yaml").write_text(f"defaults: {{{defaults}}}\nhosts:\n{''.join(entries)}")
    yield made
    made.stop()


def elsewhere(table: Gated) -> list[Path]:
    """Files that only a name that leads elsewhere makes, and logs that nobody wrote."""
    below = (table.folder, table.folder.parent, Path("/tmp"), Path("/"))
    logs = (table.folder / "burnish_log").rglob("*")
    return [
        *(folder / "evil" for folder in below if (folder / "evil").exists()),
        *(log for log in logs if log.stat().st_size > 1 << 20),
    ]


def unsafe(text: str) -> list[str]:
    """The characters of a text that would do something to a terminal."""
    return [character for character in text if not character.isprintable() and character != "\n"]


def test_whatever_hosts_say_their_neighbours_jobs_end_and_no_cursor_moves(bench: Bench, table: Gated) -> None:
    run = table.run()

    def unmet() -> list[str]:
        return [
            script for n, script in enumerate(SCRIPTS) if not (bench.hosts["evil"].home / f"evil{n}" / "met").exists()
        ]

    def well() -> int:
        return sum(job["state"] == "COMPLETE" and job["host"] == "gpu1" for job in table.status().values())

    wait_for(lambda: not unmet(), lambda: f"{unmet()}\n{table.said()}", deadline=60)
    table.open(*range(JOBS))
    wait_for(lambda: well() >= WELL, table.said, deadline=60)
    run.send_signal(signal.SIGINT)
    assert run.wait(60) in (0, 1, 130, -signal.SIGINT), table.said()
    assert "Traceback" not in table.said() and "defect" not in table.said(), table.said()
    said = [table.said()]
    looks = [("status",), ("view", "--errors"), ("results",), ("hosts", "lab.yaml"), ("check", "lab.yaml")]
    ended = [number for number, job in table.status().items() if job["attempts"] and job["host"] != "gpu1"]
    for command in looks + [("view", str(job), "--meta") for job in ended]:
        done = table.burnish(*command, code=None)
        said += [done.stdout, done.stderr]
    for text in said:
        assert not unsafe(text), (unsafe(text), text)
        assert max(map(len, text.splitlines()), default=0) < 3000, text
    assert elsewhere(table) == []
    for number, job in table.status().items():
        assert len(table.ran(number)) <= 1
        assert job["state"] != "COMPLETE" or (job["host"], len(table.ran(number))) == ("gpu1", 1), job
