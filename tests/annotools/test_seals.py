import json
import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from annotools.seals import (
    agree,
    is_sealed,
    note_damaged,
    read_sealed,
    read_sealed_json,
    seal_table,
    tell_damaged,
    write_sealed,
    write_sealed_json,
)


@pytest.fixture(autouse=True)
def nothing_is_noted() -> None:
    tell_damaged(Path())


def told(capsys: pytest.CaptureFixture[str]) -> str:
    tell_damaged(Path("out"))
    return capsys.readouterr().err


def test_content_comes_back_and_is_first_in_the_file(tmp_path: Path) -> None:
    for content in (b"", b"some bytes"):
        write_sealed(tmp_path / "a", content)
        assert read_sealed(tmp_path / "a") == content
        assert (tmp_path / "a").read_bytes()[:-32] == content


def test_a_missing_file_is_not_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_sealed(tmp_path / "a") is None
    assert read_sealed_json(tmp_path / "a") is None
    assert told(capsys) == ""


@given(place=st.integers(0, 41), bit=st.integers(0, 7))
def test_no_bit_may_be_another(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    path = tmp_path_factory.mktemp("seal") / "a"
    write_sealed(path, b"some bytes")
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)
    assert read_sealed(path) is None


def test_what_is_cut_empty_a_folder_or_another_file_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        write_sealed(tmp_path / name, name.encode())
    whole = (tmp_path / "a").read_bytes()
    for content in (whole[:-1], whole[:20], b"", (tmp_path / "b").read_bytes(), whole + b"\0"):
        (tmp_path / "a").write_bytes(content)
        assert read_sealed(tmp_path / "a") is None
    (tmp_path / "c").mkdir()
    assert read_sealed(tmp_path / "c") is None
    assert told(capsys) == "note: out: 2 damaged parts were made again\n"
    assert told(capsys) == ""


@given(st.dictionaries(st.text(), st.integers() | st.floats() | st.text() | st.none()))
@example({"sha256": "of before"})
def test_a_table_keeps_its_seal_in_a_file(table: dict[str, object]) -> None:
    sealed = json.loads(json.dumps(seal_table(table)))
    assert is_sealed(sealed)
    assert not is_sealed({**sealed, "one more": 1})


def test_keys_that_are_numbers_and_tuples_are_sealed_as_json_has_them(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_sealed_json(path, {"b": {10: (1, 2), 9: math.inf}, "a": None})
    found = read_sealed_json(path)
    assert found is not None
    assert found.pop("sha256")
    assert found == {"b": {"10": [1, 2], "9": math.inf}, "a": None}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"a": 2, "sha256": 3}', "[" * 100_000])
def test_other_json_is_not_there(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    assert read_sealed_json(path) is None
    assert told(capsys) == "note: out: 1 damaged part was made again\n"


def test_files_agree_with_their_digests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert agree(tmp_path, {})
    assert agree(tmp_path, {"a": empty})
    assert not agree(tmp_path, {"a": empty, "gone": empty})
    note_damaged([tmp_path / "gone"])
    assert told(capsys) == "note: out: 1 damaged part was made again\n"
