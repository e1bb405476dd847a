from pathlib import Path

import pytest

from annotools.errors import DatasetError
from wsps.labelling.output_folder import is_made, mark_made, remove_leftovers, start_folder

FILES = ["semantic/a/x.png", "manifest.json"]
SETUP = {"root": "here", "seed": 0}


def start(out: Path, setup: dict[str, object] = SETUP, *, overwrite: bool = False) -> None:
    start_folder(out, setup, FILES, overwrite=overwrite)


def fill(out: Path) -> None:
    (out / "semantic/a").mkdir(parents=True)
    (out / "semantic/a/x.png").write_text("map")
    (out / "semantic/a/.x.png.123").write_text("half a map")
    mark_made(out, "a/x", "key")


def test_an_image_is_made_once_its_files_are_there_with_its_key(tmp_path: Path) -> None:
    start(tmp_path)
    assert not is_made(tmp_path, "a/x", FILES[:1], "key")
    fill(tmp_path)
    assert is_made(tmp_path, "a/x", FILES[:1], "key")
    assert not is_made(tmp_path, "a/x", FILES[:1], "another key")
    start(tmp_path)
    assert is_made(tmp_path, "a/x", FILES[:1], "key")
    (tmp_path / FILES[0]).unlink()
    assert not is_made(tmp_path, "a/x", FILES[:1], "key")


def test_a_folder_of_other_settings_is_refused_or_started_over(tmp_path: Path) -> None:
    start(tmp_path)
    fill(tmp_path)
    with pytest.raises(DatasetError, match="labels with different seed: give another folder"):
        start(tmp_path, {"root": "here", "seed": 1})
    assert is_made(tmp_path, "a/x", FILES[:1], "key")
    start(tmp_path, {"root": "here", "seed": 1}, overwrite=True)
    assert {path.name for path in tmp_path.rglob("*")} == {".state", "setup.json"}


def test_nothing_of_others_is_removed(tmp_path: Path) -> None:
    start(tmp_path)
    fill(tmp_path)
    (tmp_path / "semantic/notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"holds 'semantic/notes\.txt'"):
        start(tmp_path, overwrite=True)
    assert (tmp_path / FILES[0]).is_file()


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_folders_and_files_are_refused(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "photo.png").write_text("mine")
    with pytest.raises(DatasetError, match="is not empty"):
        start(tmp_path, overwrite=overwrite)
    with pytest.raises(DatasetError, match="is a file"):
        start(tmp_path / "photo.png", overwrite=overwrite)


def test_leftovers_of_killed_runs_go(tmp_path: Path) -> None:
    start(tmp_path)
    fill(tmp_path)
    (tmp_path / ".other.123").write_text("mine")
    remove_leftovers(tmp_path, FILES)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"x.png", ".other.123", "setup.json", "x.txt"}
