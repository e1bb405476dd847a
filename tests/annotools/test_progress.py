import io

import pytest

from annotools.progress import track


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
