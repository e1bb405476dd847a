from pathlib import Path

from annotools.checks.shared_photos import TAIL_BYTES, find_shared, find_shared_photos
from annotools.records import Image


def test_photos_are_the_same_by_their_whole_content(tmp_path: Path) -> None:
    """Files of one size that end alike may begin otherwise; a missing one is no photo."""
    tail = bytes(TAIL_BYTES)
    contents = {
        "train/a": b"1" + tail,
        "train/b": b"2" + tail,
        "val/c": b"3" + tail,
        "val/d": b"2" + tail,
        "val/e": b"2" + tail[1:],
        "val/gone": None,
    }
    images = []
    for name, content in contents.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if content is not None:
            path.write_bytes(content)
        image = Image(image_id=name, file_name=name, width=1, height=1, path=path)
        images.append((path.parent.name, image))
    images.append(("val", Image(image_id="f", file_name="f", width=1, height=1)))
    found = list(find_shared_photos(images))
    assert found == [("val", tmp_path / "val/d", "train", tmp_path / "train/b")]


def test_what_one_split_has_twice_is_not_shared() -> None:
    listed = [(1, "a", "x"), (1, "a", "y"), (1, "b", "z"), (None, "a", "v"), (None, "b", "w")]
    assert list(find_shared(listed)) == [("b", "z", "a", "x")]
