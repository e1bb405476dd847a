import json
from pathlib import Path

import pytest

from annotools.files import open_whole, write_json_lists


def test_lists_are_read_back_and_the_last_is_numbered_on_request(tmp_path: Path):
    path = tmp_path / "a" / "b.json"
    with write_json_lists(path, {"info": "ü"}, {"none": [], "two": [1, {"a": 2}]}, "last") as last:
        last.add('{"a":1}')
        last.add_numbered('{"a":2}')
        assert not path.exists()
    assert last.count == 2
    assert json.loads(path.read_text()) == {
        "info": "ü",
        "none": [],
        "two": [1, {"a": 2}],
        "last": [{"a": 1}, {"id": 2, "a": 2}],
    }
    assert list(path.parent.iterdir()) == [path]


def test_an_empty_last_list_is_a_list(tmp_path: Path):
    with write_json_lists(tmp_path / "a.json", {}, {}, "last"):
        pass
    assert json.loads((tmp_path / "a.json").read_text()) == {"last": []}


def test_a_block_that_fails_keeps_the_old_file(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), open_whole(path) as file:
        {}[file.write("new")]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_reported_with_the_name(tmp_path: Path):
    path = tmp_path / "a.txt"
    with pytest.raises(OSError, match="No space left") as caught, open_whole(path):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []
