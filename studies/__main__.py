"""The command starts here: an interrupt is told in one line also while it still loads."""

import signal
import sys


def main() -> None:
    """Run the command."""
    try:
        from studies.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("error: stopped: repeat the command to go on\n")
        raise SystemExit(1) from None
    finally:
        # All is done or told: what is left is to end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
