import os
from pathlib import Path

import pytest

from annotools.files import flush_files, open_whole, stamp, write_whole


def test_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_failure_names_the_file_and_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b.txt"
    write_whole(path, b"old")

    def run_full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", run_full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_too_long_is_named_as_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250)
    with pytest.raises(OSError, match="File name too long") as caught:
        write_whole(path, b"one")
    assert caught.value.filename == str(path)


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is brought to disk, in order."""
    paths: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda file: paths.append(Path(f"/dev/fd/{file}").readlink()))
    return paths


def test_a_file_is_on_disk_before_it_has_its_name(tmp_path: Path, flushed: list[Path]) -> None:
    write_whole(tmp_path / "a", b"one")
    partial, folder = flushed
    assert partial.name.startswith(".a.")
    assert folder == tmp_path
    flushed.clear()
    with open_whole(tmp_path / "new/folder/b") as file:
        file.write("two")
    assert flushed[0].name.startswith(".b.")
    # The folders are new, so that those above have to know them.
    assert set(flushed[1:]) == {tmp_path, tmp_path / "new", tmp_path / "new/folder"}


def test_files_of_one_item_go_to_disk_together(tmp_path: Path, flushed: list[Path]) -> None:
    for name in ("x/a", "x/b"):
        write_whole(tmp_path / name, b"", flush=False)
    assert flushed == []
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert flush_files(tmp_path, ["x/a", "x/b"]) == {"x/a": empty, "x/b": empty}
    assert set(flushed[:2]) == {tmp_path / "x/a", tmp_path / "x/b"}
    assert flushed[2:] == [tmp_path, tmp_path / "x"]


def test_a_disk_that_is_found_full_late_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(tmp_path / "a", b"one")
    assert caught.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_stamp_tells_a_change_of_equal_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    os.utime(path, ns=(10**18, 10**18))
    before = stamp(path)
    assert stamp(path) == before
    changed = tmp_path / "b"
    changed.write_bytes(b"two")
    os.utime(changed, ns=(10**18, 10**18))
    changed.replace(path)
    assert stamp(path) != before
