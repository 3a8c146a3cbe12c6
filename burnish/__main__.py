"""The `burnish` command, and `python -m burnish`: until its parts are imported, Ctrl-C ends it without a traceback."""

import gc
import os
import signal
import sys

MANY = 50_000  # objects more than there were, until Python looks for garbage: at its own 700, 40 times while `status` starts


def main() -> None:
    """Entry point of the command."""
    gc.set_threshold(MANY)
    _open_what_is_closed()
    # Who starts us may have it ignored, and then the kernel forgets how what we start has ended: git, or a runner function.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    patient = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored, as in the background
    if patient:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from burnish.cli.main import main as command

    if patient:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()


def _open_what_is_closed() -> None:
    """Without this, `burnish status >&-` would print into the next file that is opened, a journal perhaps."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor, which is `number`
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


if __name__ == "__main__":
    main()
