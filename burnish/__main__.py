"""The `burnish` command, and `python -m burnish`: until its parts are imported, Ctrl-C ends it without a traceback."""

import signal


def main() -> None:
    """Entry point of the command."""
    patient = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored, as in the background
    if patient:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from burnish.cli.main import main as command

    if patient:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()


if __name__ == "__main__":
    main()
