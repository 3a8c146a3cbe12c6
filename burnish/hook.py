"""The command of `--on_event`: called for what is worth a word, in a thread of its own, so that nothing waits for it.

One call at a time, in order, each with a limit: a command that hangs is ended, with all that it started in its process group. A
command that fails is named once and changes nothing else. What it writes goes to a file, since the terminal is the run's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue

from burnish.core.events import Fact
from burnish.core.jobs import HostName
from burnish.core.occasions import Occasion, Occasions, end, environment
from burnish.core.state import State
from burnish.errors import counted

LIMIT = 60.0  # s that one call may take
GRACE = 2.0  # s between TERM and KILL
WAITING = 1000  # calls that may wait for their turn; more are left out, and that is said
TURN = 0.1  # s between two looks whether a call may go on
SOON = 3.0  # s after which it is said that the run waits for them
FAREWELL = 60.0  # s that a run waits at its end for the calls that are left


class Hook:
    """`hear` what happens, `close` at the end. `log`: where the command's output goes; `table`: the table's path, told to it."""

    def __init__(
        self, command: str, log: Path, table: Path, say: Callable[[str], None], *, limit: float = LIMIT
    ) -> None:
        self.down: Callable[[], Mapping[HostName, str]] = dict  # hosts that cannot be used, and why
        self._command = command
        self._log = log
        self._table = table
        self._say = say
        self._limit = limit
        self._occasions = Occasions()
        self._calls: SimpleQueue[dict[str, str] | None] = SimpleQueue()
        self._left_out = 0
        self._failed = False
        self._hurry = threading.Event()  # the run is over, and its patience too
        self._thread = threading.Thread(target=self._work, name="on_event", daemon=True)
        self._thread.start()

    def hear(self, facts: Sequence[Fact], state: State) -> None:
        """Facts were committed, by this run or by others; or none, and time has passed."""
        for occasion in (*self._occasions.of_facts(facts, state), *self._occasions.of_hosts(self.down())):
            self.call(occasion, state)

    def call(self, occasion: Occasion, state: State) -> None:
        """Have the command called when its turn comes."""
        if self._calls.qsize() < WAITING:
            self._calls.put(environment(occasion, state))
        else:
            self._left_out += 1

    def end(self, stopped_by: int | None, state: State) -> None:
        """The run is over; a signal stopped it, or it ended by itself."""
        self.call(end(None if stopped_by is None else signal.Signals(stopped_by).name, state.halted), state)

    def stop(self, number: int) -> None:
        """Asked for by a signal: wait for no more calls."""
        self._hurry.set()

    def close(self, patience: float = FAREWELL) -> None:
        """Wait at most `patience` s for the calls that are left, end the one that still runs, and say what was not called."""
        self._calls.put(None)
        self._thread.join(min(SOON, patience))
        if self._thread.is_alive() and patience > SOON:
            self._say(f"Waiting for --on_event, {patience - SOON:.0f} s at most (Ctrl-C: not at all).")
            self._thread.join(patience - SOON)
        self._hurry.set()
        self._thread.join()
        left = self._left_out + max(0, self._calls.qsize() - 1)
        if left:
            self._say(
                f"--on_event: {counted(left, 'call was', 'calls were')} not made, since earlier ones took too long."
            )

    def _work(self) -> None:
        while not self._hurry.is_set() and (told := self._calls.get()) is not None:
            how = self._run(told)
            if how and not self._failed:
                self._failed = True
                self._say(f"--on_event {how} ({told['BURNISH_EVENT']}). The run goes on. What it wrote: {self._log}")

    def _run(self, told: Mapping[str, str]) -> str:
        """Call the command once; "" or how it failed, the end of a sentence."""
        try:
            call = self._start(told)
        except OSError as error:
            return f"could not be called: {error.strerror}"
        deadline = time.monotonic() + self._limit
        while (hurry := self._hurry.is_set()) is False and time.monotonic() < deadline:
            try:
                code = call.wait(TURN)
            except subprocess.TimeoutExpired:
                continue
            return "" if code == 0 else f"ended with {f'exit code {code}' if code > 0 else f'signal {-code}'}"
        _end(call)
        return "had to be ended with the run" if hurry else f"had to be ended after {self._limit:g} s"

    def _start(self, told: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with open(self._log if self._log.parent.is_dir() else os.devnull, "ab") as output:
            return subprocess.Popen(
                ["sh", "-c", self._command],
                env={**os.environ, "BURNISH_DB": str(self._table), **told},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


def _end(call: subprocess.Popen[bytes]) -> None:
    """End its whole process group. It is reaped last: until then its number cannot be anybody else's."""
    os.killpg(call.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while os.waitid(os.P_PID, call.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(call.pid, signal.SIGKILL)
    call.wait()
