import pytest

from annotools.errors import DatasetError
from annotools.formats.image_lists import read_names


def test_names_are_stripped_and_keep_their_order(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b" b-2 \r\n\r\n2007_000032\na.1")
    assert read_names(path) == ("b-2", "2007_000032", "a.1")
    path.write_text("a\nb", encoding="utf-8-sig")
    assert read_names(path) == ("a", "b")
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(DatasetError, match="is no image name"):
        read_names(path)
