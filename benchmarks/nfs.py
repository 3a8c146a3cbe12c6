"""What a commit of the journal costs on NFSv4.2, alone and with others, on the machines of the lab (tests/lab/machines.py).

Each coordinator commits one fact after the other, 20 ms apart. The machines are user-mode kernels that share this one's cores:
the figures say how latency grows, not what your file server does. Needs what `make lab` needs. Usage: `python benchmarks/nfs.py`.
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.lab.machines import Lab, Machine  # noqa: E402

COMMITS = 200
COMMIT = f"""
import statistics, sys, time
from pathlib import Path
from burnish.core import events
from burnish.store.journal import Journal
root, me = Path(sys.argv[1]), sys.argv[2]
journal = Journal(root, "burnish.db", me, time.time)
if not Journal.exists(root):
    root.mkdir(parents=True)
    journal.create([events.TableOpened("table", ("--lr",), 0.0)])
else:
    journal.open()
took = []
for number in range({COMMITS}):
    began = time.perf_counter()
    journal.commit(lambda state: [events.HostUndrained(f"{{me}}-{{number}}", me)])
    took.append(1000 * (time.perf_counter() - began))
    time.sleep(0.02)
print(f"median {{statistics.median(took):.1f}} ms, 9 of 10 within {{sorted(took)[int(0.9 * len(took))]:.1f}} ms")
"""


def commits(node: Machine, root: str) -> str:
    """What one machine's commits took."""
    node.write("/root/commit.py", COMMIT)
    return node.says(f"PYTHONPATH={ROOT} {sys.executable} /root/commit.py {root} {node.name}")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="burnish-nfs-") as folder:
        lab = Lab(Path(folder), 4)
        try:
            print("its own disk:", commits(lab.nodes[1], "/root/journal"))
            print("NFS, alone:", commits(lab.nodes[1], "/mnt/nfs/journal"))
            with ThreadPoolExecutor() as three:
                for said in three.map(lambda node: commits(node, "/mnt/nfs/journal"), lab.nodes[1:]):
                    print("NFS, three at once:", said)
        finally:
            lab.close()


if __name__ == "__main__":
    main()
