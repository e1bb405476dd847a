from pathlib import Path

import pytest

from annotools.errors import DatasetError
from wsps.pseudo_labels.output_folder import (
    RoundFolder,
    is_made,
    mark_made,
    remove_leftovers,
    round_folders,
    start_folder,
)

SETUP = {"root": "here", "seed": 0}
MAPS = ["semantic/a/x.png", "instances/a/x.png"]


def folder_of(out: Path) -> RoundFolder:
    (folder,) = round_folders(out, 0)
    return folder


def start(out: Path, setup: dict[str, object] = SETUP, *, overwrite: bool = False) -> None:
    start_folder(out, setup, folder_of(out).list_files(["a/x"]), overwrite=overwrite)


def fill(out: Path) -> None:
    for name in MAPS:
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("map")
    (out / "semantic/a/.x.png.123").write_text("half a map")
    mark_made(folder_of(out), "a/x", "key")


def test_labels_before_the_last_have_folders_of_their_own(tmp_path: Path) -> None:
    first, second, last = round_folders(tmp_path, 2)
    assert first.list_files(["a/x"]) == [
        "rounds/0/manifest.json",
        "rounds/0/semantic/a/x.png",
        "rounds/0/instances/a/x.png",
    ]
    assert second.path == tmp_path / "rounds/1"
    assert last.list_files([]) == ["manifest.json"]
    assert [folder.number for folder in (first, second, last)] == [0, 1, 2]


def test_an_image_is_made_once_its_maps_are_there_with_its_key(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    start(tmp_path)
    assert not is_made(folder, "a/x", "key")
    fill(tmp_path)
    assert is_made(folder, "a/x", "key")
    assert not is_made(folder, "a/x", "another key")
    start(tmp_path)
    assert is_made(folder, "a/x", "key")
    (tmp_path / MAPS[1]).unlink()
    assert not is_made(folder, "a/x", "key")


def test_the_keys_of_rounds_do_not_mix(tmp_path: Path) -> None:
    first, last = round_folders(tmp_path, 1)
    for folder in (first, last):
        for name in MAPS:
            (folder.path / name).parent.mkdir(parents=True)
            (folder.path / name).write_text("map")
    mark_made(first, "a/x", "key")
    assert is_made(first, "a/x", "key")
    assert not is_made(last, "a/x", "key")


def test_a_folder_of_other_settings_is_refused_or_started_over(tmp_path: Path) -> None:
    start(tmp_path)
    fill(tmp_path)
    with pytest.raises(DatasetError, match="labels with different seed: give another folder"):
        start(tmp_path, {"root": "here", "seed": 1})
    assert is_made(folder_of(tmp_path), "a/x", "key")
    start(tmp_path, {"root": "here", "seed": 1}, overwrite=True)
    assert {path.name for path in tmp_path.rglob("*")} == {".state", "setup.json"}


def test_nothing_of_others_is_removed(tmp_path: Path) -> None:
    start(tmp_path)
    fill(tmp_path)
    (tmp_path / "semantic/notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"holds 'semantic/notes\.txt'"):
        start(tmp_path, overwrite=True)
    assert (tmp_path / MAPS[0]).is_file()


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
    remove_leftovers(tmp_path, MAPS)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    kept = {path for path in left if (tmp_path / path).is_file()}
    assert kept == {*MAPS, ".other.123", ".state/setup.json", ".state/keys/0/a/x.txt"}
