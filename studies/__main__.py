"""The command starts here: an interrupt is told in one line also while it still loads."""

import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command."""
    for number in (signal.SIGINT, signal.SIGALRM):
        signal.signal(number, _interrupt)
    try:
        from studies.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("error: stopped: repeat the command to go on\n")
        raise SystemExit(1) from None
    finally:
        # All is done or told: what is left is to end.
        for number in (signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, _: FrameType | None) -> None:
    """Interrupt the command, and a second later again if that was lost.

    Some libraries catch whatever is raised while they load, and go on.
    """
    signal.setitimer(signal.ITIMER_REAL, 1)
    # While an exception is handled the command is on its way out, and may have to clean up.
    if number == signal.SIGINT or sys.exc_info()[0] is None:
        raise KeyboardInterrupt


if __name__ == "__main__":
    main()
