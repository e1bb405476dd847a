import json
from pathlib import Path

import pytest

from annotools.errors import DatasetError
from annotools.work_folder import check_apart, finish_folder, shard_path, start_folder

SETUP = {"kinds": ["boxes"], "seed": 0}
PLANNED = ("boxes.json", "panoptic/a/b.png")


def write(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def names(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}


def make_unfinished(out: Path) -> None:
    start_folder(out, SETUP, PLANNED, overwrite=False)
    write(out / "panoptic/a/b.png")
    write(shard_path(out, 0))
    write(out / "panoptic/a/.b.png.123")


def make_finished(out: Path) -> None:
    make_unfinished(out)
    write(out / "boxes.json")
    content = {"written_by": "annotools convert", "files": list(PLANNED)}
    write(out / "manifest.json", json.dumps(content))
    finish_folder(out)


def test_finishing_removes_what_is_partial_and_nothing_else(tmp_path: Path):
    make_unfinished(tmp_path)
    write(tmp_path / "panoptic/.keep.123")
    finish_folder(tmp_path)
    assert names(tmp_path) == {"panoptic/a/b.png", "panoptic/.keep.123"}
    assert not (tmp_path / ".partial").exists()


@pytest.mark.parametrize("exists", [True, False])
def test_a_new_or_empty_folder_is_started(tmp_path: Path, exists: bool):
    out = tmp_path / "a" / "out"
    if exists:
        out.mkdir(parents=True)
    start_folder(out, SETUP, PLANNED, overwrite=False)
    assert names(out) == {".partial/state.json"}


def test_the_same_setup_resumes_and_another_is_named(tmp_path: Path):
    make_unfinished(tmp_path)
    before = names(tmp_path)
    start_folder(tmp_path, SETUP, PLANNED, overwrite=False)
    with pytest.raises(DatasetError, match=r"different seed: .* --overwrite"):
        start_folder(tmp_path, SETUP | {"seed": 1}, PLANNED, overwrite=False)
    assert names(tmp_path) == before


def test_a_finished_folder_is_refused_unless_overwritten(tmp_path: Path):
    make_finished(tmp_path)
    with pytest.raises(DatasetError, match="is not empty"):
        start_folder(tmp_path, SETUP, PLANNED, overwrite=False)
    start_folder(tmp_path, SETUP, PLANNED, overwrite=True)
    assert names(tmp_path) == {".partial/state.json"}
    assert not (tmp_path / "panoptic").exists()


def test_overwriting_starts_an_unfinished_folder_over(tmp_path: Path):
    make_unfinished(tmp_path)
    start_folder(tmp_path, SETUP | {"seed": 1}, PLANNED, overwrite=True)
    assert names(tmp_path) == {".partial/state.json"}


@pytest.mark.parametrize("make", [make_finished, make_unfinished])
@pytest.mark.parametrize("foreign", ["photo.jpg", "panoptic/a/c.png", ".partial/notes.txt"])
def test_nothing_is_removed_beside_a_foreign_file(tmp_path: Path, make, foreign: str):
    make(tmp_path)
    write(tmp_path / foreign)
    before = names(tmp_path)
    with pytest.raises(DatasetError, match=f"holds '{foreign}', which no conversion wrote"):
        start_folder(tmp_path, SETUP, PLANNED, overwrite=True)
    assert names(tmp_path) == before


@pytest.mark.parametrize("content", ['{"files": ["photo.jpg"]}', "no JSON", "[]"])
def test_the_manifest_of_another_program_gives_no_leave(tmp_path: Path, content: str):
    write(tmp_path / "manifest.json", content)
    write(tmp_path / "photo.jpg")
    with pytest.raises(DatasetError, match="which no conversion wrote"):
        start_folder(tmp_path, SETUP, PLANNED, overwrite=True)
    assert names(tmp_path) == {"manifest.json", "photo.jpg"}


def test_a_list_that_points_outside_removes_nothing_there(tmp_path: Path):
    outside = write(tmp_path / "outside.txt")
    out = tmp_path / "out"
    listed = ["../outside.txt", str(outside), 7]
    content = {"written_by": "annotools convert", "files": listed}
    write(out / "manifest.json", json.dumps(content))
    start_folder(out, SETUP, PLANNED, overwrite=True)
    assert outside.exists()
    assert names(out) == {".partial/state.json"}


def test_links_are_not_followed(tmp_path: Path):
    photos = tmp_path / "photos"
    write(photos / "a/b.png")
    out = tmp_path / "out"
    make_finished(out)
    (out / "panoptic/a/b.png").unlink()
    (out / "panoptic/a").rmdir()
    (out / "panoptic").rmdir()
    (out / "panoptic").symlink_to(photos)
    with pytest.raises(DatasetError, match="holds 'panoptic', which no conversion wrote"):
        start_folder(out, SETUP, PLANNED, overwrite=True)
    assert (photos / "a/b.png").exists()


def test_a_run_killed_before_it_noted_its_setup_is_no_obstacle(tmp_path: Path):
    write(tmp_path / ".partial/.state.json.77", "{")
    start_folder(tmp_path, SETUP, PLANNED, overwrite=False)
    assert names(tmp_path) == {".partial/state.json"}


def test_a_file_is_no_folder(tmp_path: Path):
    with pytest.raises(DatasetError, match="is a file"):
        start_folder(write(tmp_path / "out"), SETUP, PLANNED, overwrite=True)


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
