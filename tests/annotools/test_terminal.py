"""Names of a dataset reach a terminal without control characters, in any encoding."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from annotools.screen import Screen
from annotools.terminal import encodable, one_line, printable

HOSTILE = {
    "car\x1b]0;title\x07\x1b[2J": r"car\x1b]0;title\x07\x1b[2J",
    "c1\x9b31m": r"c1\x9b31m",
    "turned\u202etxt": r"turned\u202etxt",
    "\ud800half": r"\ud800half",
    "\udc9bbyte": r"\udc9bbyte",
    "人 – person": "人 – person",
    "tab\there": r"tab\there",
}


@pytest.mark.parametrize(("name", "shown"), HOSTILE.items())
def test_what_is_no_letter_is_escaped(name: str, shown: str) -> None:
    assert printable(name) == one_line(name) == shown


def test_ends_of_lines_stay_but_in_one_line() -> None:
    assert printable("a\nb\r") == "a\nb\\r"
    assert one_line("a\nb") == r"a\nb"


def test_an_encoding_gets_what_it_has() -> None:
    assert encodable("人 – é", "ascii") == r"\u4eba - \xe9"
    assert encodable("人 – é", "latin-1") == r"\u4eba - é"
    assert encodable("人 – é", "utf-8") == "人 – é"


def test_a_screen_shows_no_name_raw() -> None:
    from rich.table import Table

    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    table = Table("head \x1b[1m", title="title \x1b[2m [bold]")
    table.add_row("cell \x9b3m [red]")
    screen = Screen(file, width=80)
    screen.print("line \x1b[4m [i]")
    screen.print(table)
    file.flush()
    written = file.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert all(c.isprintable() or c == "\n" for c in written)
    for text in (r"line \x1b[4m [i]", r"head \x1b[1m", r"title \x1b[2m [bold]", r"cell \x9b3m"):
        assert text in written


ENCODINGS = (
    {},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)


COMMANDS = (
    ("inspect",),
    ("inspect", "--categories", "none"),
    ("check",),
    ("convert", "--to", "full", "--out", "out"),
    ("draw", "--show", "segments", "--show", "boxes", "--out", "sheet.png"),
)

RUN_ALL = """
import sys
from studies.cli import main
for command in {commands}:
    sys.argv = ["annotools", command[0], *{given}, *command[1:]]
    try:
        main()
    except SystemExit as end:
        assert bool(end.code) == ("none" in command), command
"""


@pytest.mark.parametrize("environment", ENCODINGS)
def test_no_command_fails_on_a_name(environment: dict[str, str], tmp_path: Path) -> None:
    categories = [{"id": i, "name": name} for i, name in enumerate(HOSTILE, start=1)]
    boxes = [[3 * i, 1, 3 * i + 2, 1, 3 * i + 2, 3, 3 * i, 3] for i in range(len(HOSTILE))]
    annotations = [
        {"id": i, "image_id": 1, "category_id": i, "iscrowd": 0, "area": 4, "segmentation": [box]}
        | {"bbox": [3 * i - 3, 1, 2, 2]}
        for i, box in enumerate(boxes, start=1)
    ]
    image = {"id": 1, "file_name": "a.jpg", "width": 30, "height": 20}
    content = {"images": [image], "categories": categories, "annotations": annotations}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_val.json").write_text(json.dumps(content))
    given = [".", "--format", "coco-instances", "--split", "val"]
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL.format(commands=COMMANDS, given=given)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True,
        check=False,
    )
    errors = done.stderr.decode("latin-1")
    assert done.returncode == 0, errors
    assert "Traceback" not in errors
    for written in (done.stdout, done.stderr):
        text = written.decode(environment.get("PYTHONIOENCODING", "utf-8"))
        assert all(c.isprintable() or c == "\n" for c in text)


CLOSED = """
import os, subprocess, sys
def close():
    for number in {numbers}: os.close(number)
sys.exit(subprocess.run({command}, preexec_fn=close).returncode)
"""


@pytest.mark.parametrize("numbers", [(0,), (0, 1, 2)])
def test_closed_streams_stop_nothing(numbers: tuple[int, ...], tmp_path: Path) -> None:
    (tmp_path / "world.toml").write_text("width = 48\nheight = 32\nnum_train = 2\n")
    command = [sys.executable, "-m", "studies", "convert", "world.toml", "--format", "scenes"]
    command += ["--to", "full", "--workers", "2", "--out", "out"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    code = CLOSED.format(numbers=numbers, command=command)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0
    assert (tmp_path / "out/manifest.json").is_file()


def test_a_backend_that_is_not_there_draws_all_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "studies", "price", "--statistics", "voc"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "MPLBACKEND": "bogus"}
    done = subprocess.run(
        [*command, "--picture", "p.png"],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "p.png").is_file()
