"""Catch what libraries in C print to stderr, and keep progress bars out of the way.

These libraries write to file descriptor 2 whatever `sys.stderr` is, so that this descriptor must
lead to a file while they run.
"""

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import TextIO

_STDERR = 2

_lock = threading.Lock()
_file: list[int] = []
"""Descriptor of this process's file for what is caught, once there is one."""


@contextlib.contextmanager
def catch_stderr() -> Iterator[bytearray]:
    """Catch what the block prints to stderr: the yielded bytes hold it when the block is over.

    One thread at a time is in such a block. What other threads print meanwhile is caught as well,
    so keep blocks short. A stderr that was closed is closed again afterwards.
    """
    printed = bytearray()
    with _lock:
        # What Python holds back belongs to the terminal. A closed stream holds nothing.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stderr.flush()
        if not _file:
            with tempfile.TemporaryFile() as file:
                _file.append(os.dup(file.fileno()))
        saved = _duplicate(_STDERR)
        try:
            os.dup2(_file[0], _STDERR)
            yield printed
        finally:
            if saved is None:
                os.close(_STDERR)
            else:
                os.dup2(saved, _STDERR)
                os.close(saved)
            printed += _take_out(_file[0])


@contextlib.contextmanager
def open_terminal() -> Iterator[TextIO | None]:
    """Yield stderr by a descriptor that catching leaves alone, None where it is no terminal."""
    stream = sys.stderr
    # Inside the lock nobody has turned stderr away from the terminal.
    with _lock:
        is_terminal = stream is not None and not stream.closed and stream.isatty()
        copy = _duplicate(stream) if is_terminal else None
    if copy is None:
        # A stream without a descriptor is not in the way of any library.
        yield stream if is_terminal else None
        return
    with open(copy, "w", encoding=stream.encoding, errors=stream.errors) as terminal:  # noqa: PTH123
        yield terminal


def _duplicate(stream: TextIO | int) -> int | None:
    """Return a second descriptor of the same file, None where there is no first one."""
    try:
        return os.dup(stream if isinstance(stream, int) else stream.fileno())
    except OSError:
        return None


def _take_out(file: int) -> bytes:
    """Return the content of a file up to its position, and empty it."""
    # Both descriptors share the position, so that this costs little where nothing was printed.
    size = os.lseek(file, 0, os.SEEK_CUR)
    if not size:
        return b""
    os.lseek(file, 0, os.SEEK_SET)
    text = os.read(file, size)
    os.lseek(file, 0, os.SEEK_SET)
    os.ftruncate(file, 0)
    return text


def _begin_child() -> None:
    """Give a forked process a file of its own: it would share the position in its parent's."""
    while _file:
        os.close(_file.pop())
    _lock.release()


if hasattr(os, "register_at_fork"):
    # Nobody forks while another thread has turned stderr away.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_begin_child
    )
