"""burnish as a user starts it, but file locks are worth less than they say: those of this process alone, not of its agents.

They are `real`, or `granted` to everybody at once, or `late` by some time that is drawn from a seed, or there are `none`, as on
some file systems (ENOLCK).
"""

from __future__ import annotations

LIES = ("real", "granted", "late", "none")

PROGRAM = """\
import errno, fcntl, os, random, time
true, dice = fcntl.flock, random.Random({seed})
def granted(file, operation):
    pass
def late(file, operation):
    time.sleep(dice.uniform(0, {late}))
    true(file, operation)
def none(file, operation):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
fcntl.flock = {lie}
from burnish.cli.main import main
main()
"""


def program(lie: str, seed: int, late: float) -> str:
    """Text for `python -c`. `late`: s, at most, by which a lock is late."""
    assert lie in LIES
    return PROGRAM.format(lie="true" if lie == "real" else lie, seed=seed, late=late)
