import contextlib
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from annotools.stderr import catch_stderr, open_terminal


def test_what_c_code_prints_is_caught_and_the_rest_is_not(capfd: pytest.CaptureFixture[str]):
    os.write(2, b"before ")
    for text in (b"one line\n", b"", b"another\n"):
        with catch_stderr() as printed:
            os.write(2, text)
        assert printed == text
    os.write(2, b"after")
    assert capfd.readouterr() == ("", "before after")


def test_an_error_in_the_block_turns_stderr_back(capfd: pytest.CaptureFixture[str]):
    with contextlib.suppress(KeyError), catch_stderr() as printed:
        os.write(2, b"caught")
        raise KeyError
    os.write(2, b"seen")
    assert (printed, capfd.readouterr().err) == (b"caught", "seen")


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own."""
    code = "import os, sys\nfrom annotools.stderr import catch_stderr, open_terminal\n" + code
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60
    )


def test_what_python_held_back_goes_to_the_terminal():
    done = run(
        "sys.stderr = open(2, 'w', buffering=1000, closefd=False)\n"
        "sys.stderr.write('held back ')\n"
        "with catch_stderr() as printed: os.write(2, b'caught')\n"
        "print(printed.decode())"
    )
    assert (done.stdout, done.stderr) == ("caught\n", "held back ")


@pytest.mark.parametrize("closed", ["2", "0, 2", "0, 1, 2"])
def test_a_closed_stderr_is_closed_again(closed: str, tmp_path: Path):
    done = run(
        f"for number in ({closed},): os.close(number)\n"
        "for text in (b'one', b'two'):\n"
        "    with catch_stderr() as printed: os.write(2, text)\n"
        "    assert printed == text, printed\n"
        "with open_terminal() as terminal: assert terminal is None\n"
        f"open({str(tmp_path / 'done')!r}, 'w').close()\n"
        "os._exit(0)"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "done").exists()


def test_python_s_stderr_may_be_closed_or_none():
    for state in ("sys.stderr.close()", "sys.stderr = None"):
        done = run(
            f"{state}\n"
            "with catch_stderr() as printed: os.write(2, b'x')\n"
            "with open_terminal() as terminal: print(printed.decode(), terminal)"
        )
        assert done.stdout == "x None\n"


def test_a_forked_process_has_a_file_of_its_own():
    done = run(
        "with catch_stderr() as printed: os.write(2, b'parent')\n"
        "child = os.fork()\n"
        "with catch_stderr() as printed: os.write(2, b'child' if child == 0 else b'parent')\n"
        "if child == 0: os._exit(0 if printed == b'child' else 1)\n"
        "assert printed == b'parent'\n"
        "assert os.waitpid(child, 0)[1] == 0"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_threads_catch_one_after_the_other(capfd: pytest.CaptureFixture[str]):
    caught = []

    def catch(text: bytes) -> None:
        for _ in range(50):
            with catch_stderr() as printed:
                os.write(2, text)
            caught.append(printed == text)

    threads = [threading.Thread(target=catch, args=(text,)) for text in (b"a", b"bb", b"ccc")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert caught == [True] * 150
    assert capfd.readouterr().err == ""


def test_a_terminal_is_written_to_while_stderr_is_caught(monkeypatch: pytest.MonkeyPatch):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    monkeypatch.setattr("sys.stderr", open(theirs, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    with open_terminal() as terminal:
        assert terminal is not None
        assert terminal.fileno() != theirs
        with catch_stderr() as printed:
            terminal.write("a bar")
            terminal.flush()
    assert printed == b""
    assert os.read(ours, 100) == b"a bar"
    sys.stderr.close()
    os.close(ours)


def test_no_terminal_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with open_terminal() as terminal:
        assert terminal is None
