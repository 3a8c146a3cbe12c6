"""What one writes by hand: a Fabric connection for each slot, and a thread that runs one command after the other on it.

Usage: `python fabric_slots.py KEY USER SLOTS JOBS COMMAND ADDRESS:PORT…`, in the folder that gets a file of output and one of the
exit code for each job.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from queue import Empty, SimpleQueue

from fabric import Connection


def serve(address: str, user: str, key: str, command: str, jobs: SimpleQueue[int]) -> None:
    """The life of one slot."""
    host, _, port = address.partition(":")
    options = {"key_filename": key, "look_for_keys": False, "allow_agent": False}
    with Connection(host, user=user, port=int(port), connect_kwargs=options) as connection:
        while True:
            try:
                job = jobs.get_nowait()
            except Empty:
                return
            done = connection.run(command, hide=True, warn=True, in_stream=False)
            Path(f"{job}.out").write_text(done.stdout)
            Path(f"{job}.code").write_text(str(done.exited))


def main(key: str, user: str, slots: str, count: str, command: str, *addresses: str) -> None:
    jobs: SimpleQueue[int] = SimpleQueue()
    for job in range(int(count)):
        jobs.put(job)
    threads = [
        threading.Thread(target=serve, args=(address, user, key, command, jobs))
        for address in addresses
        for _ in range(int(slots))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
