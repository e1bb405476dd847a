from dataclasses import replace
from pathlib import Path

import pytest

from annotools.errors import DatasetError
from annotools.formats.source import Source, open_source
from annotools.formats.split_parts import take_part
from annotools.records import Dataset, Drop


def read(folder: Path, split: str) -> Dataset:
    path = folder / "world.toml"
    path.write_text("width = 32\nheight = 32\nnum_train = 7\nnum_val = 1\n")
    return open_source(Source(format_name="scenes", root=path, split=split))


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", [0, 1, 2, 3, 4, 5, 6]),
        ("train[:]", [0, 1, 2, 3, 4, 5, 6]),
        ("train[:80%]", [0, 1, 2, 3, 4]),  # 5.6 images, rounded down
        ("train[80%:]", [5, 6]),
        ("train[30%:80%]", [2, 3, 4]),
        ("val[:50%]", []),
    ],
)
def test_a_part_has_the_images_between_its_ends(
    tmp_path: Path, split: str, expected: list[int]
) -> None:
    dataset = read(tmp_path, split)
    assert [image.image_id for image in dataset.images] == expected
    assert sorted(dataset.image_of) == expected
    assert dataset.split == split


def test_what_was_left_out_is_told_by_one_part(tmp_path: Path) -> None:
    drops = (Drop(place="a.png", reason="is missing"),)
    whole = replace(read(tmp_path, "train"), drops=drops, gaps=drops)
    parts = [take_part(whole, name) for name in ("train[:50%]", "train[50%:]")]
    assert [part.drops for part in parts] == [part.gaps for part in parts] == [drops, ()]


@pytest.mark.parametrize("split", ["train[80:]", "train[80%:20%]", "train[:101%]", "[:80%]", "a]"])
def test_other_ends_are_refused(tmp_path: Path, split: str) -> None:
    with pytest.raises(DatasetError, match=r"name a part by rising percentages, as train\[:80%\]"):
        read(tmp_path, split)
