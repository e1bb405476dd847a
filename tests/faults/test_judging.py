import json
import os
import re
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.faults import in_process, judging
from tests.faults.in_process import run_here
from tests.faults.judging import find_faults, read_tree


def fails_well() -> None:
    sys.stderr.write("note: a photo is missing\nerror: a.json: is damaged: restore it\n")
    raise SystemExit(1)


def judge(folder: Path, main: Callable[[], None], command: str = "inspect") -> list[str]:
    (folder / "inside").mkdir(exist_ok=True)
    before = read_tree(folder)
    return find_faults(command, run_here([], folder, main), folder, before)


def test_one_line_and_notes_are_no_fault(tmp_path: Path) -> None:
    assert judge(tmp_path, fails_well) == []
    assert judge(tmp_path, lambda: None) == []


def two_lines() -> None:
    sys.stderr.write("error: a\nerror: b\n")
    raise SystemExit(1)


def silent() -> None:
    raise SystemExit(1)


def raising() -> None:
    raise KeyError("x")


def killed() -> None:
    raise SystemExit(130)


def from_c() -> None:
    os.write(2, b"libpng warning: IDAT\n")


def warning() -> None:
    warnings.warn("overflow", RuntimeWarning, stacklevel=1)


def control() -> None:
    sys.stdout.write("name \x1b]0;x\x07\n")


def memory() -> None:
    assert np.ones(2**25).sum() > 0


@pytest.mark.parametrize(
    ("main", "fault"),
    [
        (two_lines, "2 lines on stderr"),
        (silent, "0 lines on stderr"),
        (raising, "traceback: KeyError: 'x'"),
        (killed, "status 130"),
        (from_c, "a line beside notes: 'libpng warning"),
        (warning, "a line beside notes: .*RuntimeWarning"),
        (control, "control characters on stdout"),
        (memory, r"memory: 2\d\d MiB more"),
    ],
)
def test_what_a_run_says_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, main: Callable[[], None], fault: str
) -> None:
    monkeypatch.setattr(judging, "MOST_BYTES", 2**27)
    (found, *more) = judge(tmp_path, main)
    assert re.search(fault, found)
    assert all("line" in other for other in more)


def test_a_run_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_process, "WAIT_SECONDS", 0.2)
    (fault,) = judge(tmp_path, lambda: time.sleep(60))
    assert "TooLongError" in fault


def test_files_that_should_not_be_there(tmp_path: Path) -> None:
    def write(name: str, content: str = "{}", status: int = 1) -> list[str]:
        def main() -> None:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
            if status:
                fails_well()

        found = judge(tmp_path, main, "convert")
        (tmp_path / name).unlink()
        return found

    assert write("notes.txt") == ["changed 'notes.txt'"]
    assert write("answer.json") == ["wrote answer.json with status 1"]
    assert write("answer.json", "[NaN]", status=0)[0].startswith("wrote no JSON: NaN")
    assert write("out/manifest.json") == ["a manifest with status 1"]
    assert write("out/boxes.json") == ["files that no run will know: ['boxes.json']"]
    assert write("out/boxes.json", status=0) == ["status 0 without a manifest"]
    assert write("out/manifest.json", status=0) == []
    (leftover, *_) = write("out/.boxes.json.123456789012")
    assert leftover == "half-written 'out/.boxes.json.123456789012'"
    (tmp_path / "out/.state").mkdir()
    (tmp_path / "out/.state/setup.json").write_text(json.dumps({"files": ["boxes.json"]}))
    assert write("out/boxes.json") == []
    assert write("out/tags.json") == ["a file that no run will know: 'tags.json'"]
