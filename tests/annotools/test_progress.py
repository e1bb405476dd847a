import contextlib
import io
import os

import pytest

from annotools.progress import track
from annotools.stderr import catch_stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_every_item_comes_and_only_a_terminal_sees_a_bar(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", stream)
    assert list(track(iter("abc"), "drawing", total=3)) == ["a", "b", "c"]
    assert ("drawing" in stream.getvalue()) == stream.isatty()


def test_a_bar_is_no_chatter_and_does_not_vanish(monkeypatch: pytest.MonkeyPatch):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with open(theirs, "w", encoding="utf-8") as stream:  # noqa: PTH123
        monkeypatch.setattr("sys.stderr", stream)
        bar = track("abc", "reading", total=3)
        next(bar)
        with catch_stderr() as printed:
            assert list(bar) == ["b", "c"]
    assert printed == b""
    # What was written arrives piece by piece; behind the last there is nothing but an error.
    shown = ""
    with contextlib.suppress(OSError):
        while part := os.read(ours, 100_000):
            shown += part.decode(errors="replace")
    assert "reading" in shown
    assert "3/3" in shown
    os.close(ours)
