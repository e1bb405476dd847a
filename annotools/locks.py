"""A file that one process at a time holds, on whichever machine it runs."""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_WAITS = (0.05, 0.1, 0.2, 0.4, None)
"""Seconds between tries: who looks whether a file is held, holds it for a moment."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def hold(path: Path) -> Iterator[bool]:
    """Hold a file while the block runs; yield whether no other process does.

    A process that is killed lets go. A file system without locks lets everyone in.

    Args:
        path: of the file, made where it does not exist; it names its last holder. Who holds it may
            remove it.

    Raises:
        OSError: when it cannot be written.
    """
    for pause in _WAITS:
        with contextlib.ExitStack() as stack:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(path.open("a+", encoding="utf-8"))
            except FileNotFoundError:
                # Who held it last removes its folder at this moment.
                if pause is None:
                    raise
                continue
            # A file that was removed meanwhile keeps nobody out.
            is_ours = _lock(file, shared=False) and _is_there(file, path)
            if is_ours or pause is None:
                if is_ours:
                    file.truncate(0)
                    file.write(f"process {os.getpid()} on {socket.gethostname()}")
                    file.flush()
                # Closing the file lets go of it.
                yield is_ours
                return
        time.sleep(pause)


def holder(path: Path) -> str | None:
    """Return which process holds a file, such as `process 12 on node3`; None where none does."""
    try:
        with path.open("r", encoding="utf-8") as file:
            return None if _lock(file, shared=True) else file.read()
    except OSError:
        return None


def _is_there(file: IO[str], path: Path) -> bool:
    """Return whether a path still leads to a file that was opened."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: IO[str], *, shared: bool) -> bool:
    """Lock a file until it is closed; return whether that went."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True
