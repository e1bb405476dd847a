import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from annotools.errors import DatasetError
from annotools.work_folder import (
    check_apart,
    filling,
    finish_folder,
    forget_state,
    mark_done,
    read_done,
    start_folder,
)

SETUP = {"kinds": ["boxes"], "seed": 0}
WRITER = "annotools convert"
SETUPS = {".state/setup.json", ".state/setup-again.json"}
PLANNED = ("boxes.json", "panoptic/a/b.png", ".state/network.pt")


def write(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def names(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}


def start(out: Path, setup: dict[str, object], *, overwrite: bool | None) -> None:
    start_folder(out, WRITER, setup, PLANNED, overwrite=overwrite)


def make_unfinished(out: Path) -> None:
    start(out, SETUP, overwrite=False)
    write(out / "panoptic/a/b.png")
    write(out / ".state/shards/000000.jsonl")
    write(out / "panoptic/a/.b.png.123")


def make_finished(out: Path) -> None:
    make_unfinished(out)
    write(out / "boxes.json")
    content = {"written_by": "annotools convert", "files": list(PLANNED)}
    write(out / "manifest.json", json.dumps(content))
    finish_folder(out, WRITER)
    forget_state(out)


def test_finishing_removes_what_is_partial_and_nothing_else(tmp_path: Path):
    make_unfinished(tmp_path)
    write(tmp_path / "panoptic/.keep.123")
    finish_folder(tmp_path, WRITER)
    kept = {"panoptic/a/b.png", "panoptic/.keep.123"}
    assert names(tmp_path) == {*kept, *SETUPS, ".state/shards/000000.jsonl"}
    forget_state(tmp_path)
    assert names(tmp_path) == kept
    assert not (tmp_path / ".state").exists()


@pytest.mark.parametrize("exists", [True, False])
def test_a_new_or_empty_folder_is_started(tmp_path: Path, exists: bool):
    out = tmp_path / "a" / "out"
    if exists:
        out.mkdir(parents=True)
    start(out, SETUP, overwrite=False)
    assert names(out) == SETUPS


def test_the_same_setup_resumes_and_another_is_named(tmp_path: Path):
    make_unfinished(tmp_path)
    before = names(tmp_path)
    start(tmp_path, SETUP, overwrite=False)
    with pytest.raises(DatasetError, match=r"different seed: .* --overwrite"):
        start(tmp_path, SETUP | {"seed": 1}, overwrite=False)
    assert names(tmp_path) == before


def test_a_finished_folder_is_refused_unless_overwritten(tmp_path: Path):
    make_finished(tmp_path)
    with pytest.raises(DatasetError, match="is not empty"):
        start(tmp_path, SETUP, overwrite=False)
    start(tmp_path, SETUP, overwrite=True)
    assert names(tmp_path) == SETUPS
    assert not (tmp_path / "panoptic").exists()


def test_overwriting_starts_an_unfinished_folder_over(tmp_path: Path):
    make_unfinished(tmp_path)
    start(tmp_path, SETUP | {"seed": 1}, overwrite=True)
    assert names(tmp_path) == SETUPS


@pytest.mark.parametrize("make", [make_finished, make_unfinished])
@pytest.mark.parametrize("foreign", ["photo.jpg", "panoptic/a/c.png", ".state/notes.txt"])
def test_nothing_is_removed_beside_a_foreign_file(tmp_path: Path, make, foreign: str):
    make(tmp_path)
    write(tmp_path / foreign)
    before = names(tmp_path)
    with pytest.raises(
        DatasetError, match=f"holds '{foreign}', which annotools convert did not write"
    ):
        start(tmp_path, SETUP, overwrite=True)
    assert names(tmp_path) == before


@pytest.mark.parametrize("content", ['{"files": ["photo.jpg"]}', "no JSON", "[]"])
def test_the_manifest_of_another_program_gives_no_leave(tmp_path: Path, content: str):
    write(tmp_path / "manifest.json", content)
    write(tmp_path / "photo.jpg")
    with pytest.raises(DatasetError, match="which annotools convert did not write"):
        start(tmp_path, SETUP, overwrite=True)
    assert names(tmp_path) == {"manifest.json", "photo.jpg"}


def test_a_list_that_points_outside_removes_nothing_there(tmp_path: Path):
    outside = write(tmp_path / "outside.txt")
    out = tmp_path / "out"
    listed = ["../outside.txt", str(outside), 7]
    content = {"written_by": "annotools convert", "files": listed}
    write(out / "manifest.json", json.dumps(content))
    start(out, SETUP, overwrite=True)
    assert outside.exists()
    assert names(out) == SETUPS


def test_links_are_not_followed(tmp_path: Path):
    photos = tmp_path / "photos"
    write(photos / "a/b.png")
    out = tmp_path / "out"
    make_finished(out)
    (out / "panoptic/a/b.png").unlink()
    (out / "panoptic/a").rmdir()
    (out / "panoptic").rmdir()
    (out / "panoptic").symlink_to(photos)
    with pytest.raises(
        DatasetError, match="holds 'panoptic', which annotools convert did not write"
    ):
        start(out, SETUP, overwrite=True)
    assert (photos / "a/b.png").exists()


def test_a_run_killed_before_it_noted_its_setup_is_no_obstacle(tmp_path: Path):
    write(tmp_path / ".state/.setup.json.77", "{")
    start(tmp_path, SETUP, overwrite=False)
    assert names(tmp_path) == SETUPS


def test_a_file_is_no_folder(tmp_path: Path):
    with pytest.raises(DatasetError, match="is a file"):
        start(write(tmp_path / "out"), SETUP, overwrite=True)


def test_a_folder_cannot_lie_in_a_file(tmp_path: Path):
    write(tmp_path / "out")
    with pytest.raises(DatasetError, match=r"/out: is a file: give --out a folder"):
        start(tmp_path / "out/a/b", SETUP, overwrite=False)


def test_a_folder_that_holds_what_is_read_is_refused(tmp_path: Path):
    root = tmp_path / "in"
    label = write(root / "panoptic/a.png")
    (tmp_path / "link").symlink_to(root)
    for out in (root, tmp_path, root / ".." / "in", tmp_path / "link"):
        with pytest.raises(DatasetError, match=r"is or contains the source .*in: give --out"):
            check_apart(out, root, [])
    with pytest.raises(DatasetError, match=r"panoptic: holds .*a\.png of the source: give --out"):
        check_apart(root / "panoptic", root, [label])
    (root / "weak").mkdir()
    for out in (root / "weak", root / "new", tmp_path / "out"):
        check_apart(out, root, [label])


def test_a_folder_may_not_hold_what_a_link_of_the_source_leads_to(tmp_path: Path):
    out = tmp_path / "out"
    (tmp_path / "in").mkdir()
    label = tmp_path / "in" / "a.png"
    label.symlink_to(write(out / "panoptic/a.png"))
    with pytest.raises(DatasetError, match=r"out: holds .*in/a\.png"):
        check_apart(out, tmp_path / "in", [label])


def test_only_a_command_that_can_overwrite_offers_it(tmp_path: Path):
    make_unfinished(tmp_path / "unfinished")
    write(tmp_path / "foreign/photo.jpg")
    for folder in ("unfinished", "foreign"):
        with pytest.raises(DatasetError, match=r"give another folder$"):
            start(tmp_path / folder, SETUP | {"seed": 1}, overwrite=None)


def test_the_work_of_another_command_is_foreign(tmp_path: Path):
    make_unfinished(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(DatasetError, match=r"is not empty|did not write"):
            start_folder(tmp_path, "annotools predict", SETUP, PLANNED, overwrite=overwrite)


def test_what_file_browsers_hide_in_a_folder_is_no_obstacle(tmp_path: Path):
    write(tmp_path / ".DS_Store")
    start(tmp_path, SETUP, overwrite=False)
    assert names(tmp_path) == {".DS_Store", *SETUPS}


def test_an_item_is_done_for_its_key_and_for_its_round(tmp_path: Path):
    start(tmp_path, SETUP, overwrite=False)
    assert read_done(tmp_path, "0/a/x", "key") is None
    mark_done(tmp_path, "0/a/x", "key", {"pixels": 3})
    assert read_done(tmp_path, "0/a/x", "key") == {"pixels": 3}
    assert read_done(tmp_path, "0/a/x", "another key") is None
    assert read_done(tmp_path, "1/a/x", "key") is None


def test_an_item_is_done_while_its_files_are_whole(tmp_path: Path, capsys: pytest.CaptureFixture):
    start(tmp_path, SETUP, overwrite=False)
    files = ["panoptic/a/b.png", "boxes.json"]
    for name in files:
        write(tmp_path / name, name)
    mark_done(tmp_path, "a", "key", 3, files)
    mark_done(tmp_path, "b", "key", 4)
    assert (read_done(tmp_path, "a", "key"), read_done(tmp_path, "b", "key")) == (3, 4)
    finish_folder(tmp_path, WRITER)
    assert capsys.readouterr().err == ""
    write(tmp_path / files[0], "panoptic/a/c.png")
    (tmp_path / files[1]).unlink()
    assert read_done(tmp_path, "a", "key") is None
    finish_folder(tmp_path, WRITER)
    assert capsys.readouterr().err == f"note: {tmp_path}: 2 damaged parts were made again\n"
    finish_folder(tmp_path, WRITER)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("change", ['{"key": "key", "resu', "[]", "", '{"item": "a"}', "swap"])
def test_a_damaged_mark_is_none(tmp_path: Path, change: str, capsys: pytest.CaptureFixture):
    start(tmp_path, SETUP, overwrite=False)
    for item in ("a", "b"):
        mark_done(tmp_path, item, "key", item)
    marks = tmp_path / ".state/done"
    write(marks / "a.json", (marks / "b.json").read_text() if change == "swap" else change)
    assert (read_done(tmp_path, "a", "key"), read_done(tmp_path, "b", "key")) == (None, "b")
    finish_folder(tmp_path, WRITER)
    assert capsys.readouterr().err == f"note: {tmp_path}: 1 damaged part was made again\n"


@pytest.mark.parametrize("damaged", sorted(SETUPS))
def test_whose_a_folder_is_stays_known_where_one_note_is_damaged(tmp_path: Path, damaged: str):
    make_unfinished(tmp_path)
    whole = (tmp_path / damaged).read_text()
    write(tmp_path / damaged, whole.replace("boxes", "masks"))
    with pytest.raises(DatasetError, match=r"different seed: .* --overwrite"):
        start(tmp_path, SETUP | {"seed": 1}, overwrite=False)
    start(tmp_path, SETUP, overwrite=False)
    assert (tmp_path / damaged).read_text() == whole


def test_a_mark_comes_after_its_files_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    flushed = []
    monkeypatch.setattr(
        os, "fsync", lambda file: flushed.append(str(Path(f"/dev/fd/{file}").readlink()))
    )
    for name in PLANNED[:2]:
        write(tmp_path / name)
    mark_done(tmp_path, "a", "key", None, PLANNED[:2])
    paths = [str(tmp_path / name) for name in (*PLANNED[:2], ".", "panoptic", "panoptic/a")]
    assert sorted(flushed[:2]) == sorted(paths[:2])
    assert {f.rstrip("/.") for f in flushed[2:5]} == {f.rstrip("/.") for f in paths[2:]}
    # Then the mark under its other name, and its folders, which are new.
    assert flushed[5].startswith(str(tmp_path / ".state/done/.a.json."))
    assert set(flushed[6:]) == {str(tmp_path / name) for name in (".state/done", ".state")} | {
        str(tmp_path)
    }


def test_a_folder_is_filled_by_one_run_at_a_time(tmp_path: Path):
    out = tmp_path / "a" / "out"
    with filling(out, WRITER, SETUP, PLANNED):
        other = [sys.executable, "-c", FILL_TOO, str(out)]
        done = subprocess.run(other, capture_output=True, text=True, check=False)
        assert f"{out}: another run is writing here (process {os.getpid()} on " in done.stdout
        assert names(out) == {*SETUPS, ".state/lock"}
    assert names(out) == SETUPS
    with filling(out, WRITER, SETUP, PLANNED, overwrite=True):
        assert names(out) == {*SETUPS, ".state/lock"}


FILL_TOO = """
import sys
from pathlib import Path
from annotools.errors import DatasetError
from annotools.work_folder import filling
try:
    with filling(Path(sys.argv[1]), "annotools predict", {}, ()):
        print("filled")
except DatasetError as error:
    print(error)
"""


def test_a_folder_that_is_refused_is_as_it_was(tmp_path: Path):
    write(tmp_path / "theirs/note.txt")
    with (
        pytest.raises(DatasetError, match="is not empty"),
        filling(tmp_path / "theirs", WRITER, SETUP, PLANNED, overwrite=False),
    ):
        pass
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["note.txt"]
    with (
        pytest.raises(DatasetError, match=r"note\.txt: is a file: give --out a folder"),
        filling(tmp_path / "theirs/note.txt/x/y", WRITER, SETUP, PLANNED),
    ):
        pass


def test_what_a_killed_run_left_keeps_nobody_out(tmp_path: Path):
    write(tmp_path / ".state/lock", "process 1 on node")
    with filling(tmp_path, WRITER, SETUP, PLANNED, overwrite=False):
        pass
    assert names(tmp_path) == SETUPS


def test_a_finished_folder_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for told in ("", f"note: {tmp_path}: is finished\n"):
        with filling(tmp_path, WRITER, SETUP, PLANNED):
            write(tmp_path / "manifest.json", "{}")
        assert capsys.readouterr().err == told
