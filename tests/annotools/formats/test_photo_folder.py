import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotools.errors import DatasetError
from annotools.formats.photo_folder import read_photo_folder
from annotools.formats.source import Source, open_source


def write_photo(path: Path, size_wh: tuple[int, int] = (5, 3), value: int = 7) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size_wh[1], size_wh[0], 3), value, dtype=np.uint8))


def test_photos_of_a_folder_by_name_with_the_sizes_of_their_heads(tmp_path: Path) -> None:
    write_photo(tmp_path / "b" / "2.jpg", (4, 6))
    write_photo(tmp_path / "b" / "1.PNG", value=9)
    write_photo(tmp_path / "a.b.png", (8, 2))
    write_photo(tmp_path / "._a.png")
    write_photo(tmp_path / ".thumbs" / "a.png")
    (tmp_path / "notes.txt").write_text("")
    dataset = read_photo_folder(tmp_path)
    found = [(i.image_id, i.file_name, i.size_wh) for i in dataset.images]
    assert found == [
        ("a.b", "a.b.png", (8, 2)),
        ("b/1", "b/1.PNG", (5, 3)),
        ("b/2", "b/2.jpg", (4, 6)),
    ]
    assert dataset.remarks == (f"{tmp_path}: files that are no photos are left out: 1 .txt",)
    assert (dataset.read_photo(dataset.images[1]) == 9).all()
    with pytest.raises(DatasetError, match=r"b/1\.PNG: has no label"):
        dataset.read_label(dataset.images[1])
    assert open_source(Source(format_name="photos", root=tmp_path, split="")).name == "photos"


def test_two_photos_of_one_id_are_refused(tmp_path: Path) -> None:
    write_photo(tmp_path / "b" / "1.png")
    write_photo(tmp_path / "b" / "1.jpg")
    with pytest.raises(DatasetError, match=r"b/1\.jpg and b/1\.png would both be image 'b/1'"):
        read_photo_folder(tmp_path)


def test_what_is_no_folder_of_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none: no such folder"):
        read_photo_folder(tmp_path / "none")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DatasetError, match=r"has no photo \(\.jpg, .*\) but a.txt: give"):
        read_photo_folder(tmp_path)
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    with pytest.raises(DatasetError, match=r"b\.jpg: not a JPEG"):
        read_photo_folder(tmp_path)


def write_list(path: Path, *images: dict[str, object]) -> Path:
    path.write_text(json.dumps({"images": images}))
    return path


def test_a_list_says_which_photos_and_with_which_ids(tmp_path: Path) -> None:
    for name in ("x.png", "y.png", "z.png"):
        write_photo(tmp_path / "photos" / name)
    first = {"id": 12, "file_name": "z.png", "width": 5, "height": 3}
    path = write_list(tmp_path / "list.json", first, {"id": 3, "file_name": "x.png"})
    dataset = read_photo_folder(path, photos=tmp_path / "photos")
    assert [(i.image_id, i.file_name, i.size_wh) for i in dataset.images] == [
        (12, "z.png", (5, 3)),
        (3, "x.png", (5, 3)),
    ]
    assert dataset.source_files == (path,)


def test_photos_of_a_list_must_be_there_unless_they_may_lack(tmp_path: Path) -> None:
    write_photo(tmp_path / "x.png")
    lacking = {"id": 1, "file_name": "w.png", "width": 5, "height": 3}
    path = write_list(tmp_path / "list.json", lacking, {"id": 3, "file_name": "x.png"})
    with pytest.raises(DatasetError, match=r"w\.png: the photo is missing \(1 of 2 are"):
        read_photo_folder(path)
    dataset = read_photo_folder(path, allow_missing=True)
    assert [image.image_id for image in dataset.images] == [3]
    assert [drop.place for drop in dataset.drops] == [str(tmp_path / "w.png")]
    with pytest.raises(DatasetError, match="has no list images"):
        read_photo_folder(write_list(path))
