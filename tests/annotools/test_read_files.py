import gc
import os
from pathlib import Path

import pytest

from annotools.errors import DatasetError
from annotools.formats.json_values import read_json
from annotools.read_files import (
    MAX_LEVELS,
    parse_json,
    parse_own_json,
    read_bytes,
    read_long,
    read_own_json,
    read_text,
    shown,
)

DEEP = (
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"[" * 101 + b"]" * 101,
    b'{"a":' * 101 + b"0" + b"}" * 101,
)


@pytest.mark.parametrize("data", DEEP)
def test_deep_nesting_is_a_reason_in_few_words(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ValueError, match="it is nested more than 100 levels deep"):
        parse_json(data)
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"a\.json: not valid JSON \(it is nested") as caught:
        read_json(path, "*.json")
    assert "\n" not in str(caught.value)
    assert read_own_json(path) is None


def test_what_is_just_deep_enough_is_read() -> None:
    assert parse_json(b"[" * MAX_LEVELS + b"]" * MAX_LEVELS) != []
    assert parse_own_json(b"[" * MAX_LEVELS + b"]" * MAX_LEVELS) != []
    # Brackets in a text are no levels.
    assert parse_json(b'["' + b"[" * 1000 + b'"]') == ["[" * 1000]


@pytest.mark.parametrize("data", [b"9" * 5000, b'{"a": -' + b"9" * 5000 + b"}"])
def test_thousands_of_digits_are_a_reason_in_few_words(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^a number of more than 4300 digits$"):
        parse_json(data)


def test_numbers_of_ours_fit_64_bits() -> None:
    assert parse_own_json(b'{"a": [9223372036854775807, -9223372036854775807]}')
    with pytest.raises(ValueError, match=r"^b has a whole number of more than 63 bits$"):
        parse_own_json(b'{"a": 1, "b": [9223372036854775808]}')


def test_our_numbers_are_numbers() -> None:
    for text, told in ((b"-1e400", "-inf"), (b"Infinity", "inf"), (b"NaN", "nan")):
        with pytest.raises(ValueError, match=f"^a has {told}, which is no number$"):
            parse_own_json(b'{"a": ' + text + b"}")


def test_garbage_collection_is_as_before() -> None:
    for data in (b"[]", b"[", b"[" * 100_000):
        for is_collecting in (True, False):
            (gc.enable if is_collecting else gc.disable)()
            try:
                parse_json(data)
            except ValueError:
                pass
            finally:
                was = gc.isenabled()
                gc.enable()
            assert was == is_collecting


def test_what_never_ends_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        for read in (read_bytes, read_long, read_text, lambda p: read_json(p, "*.json")):
            with pytest.raises(DatasetError, match=f"{path}: is no regular file"):
                read(path)
        assert read_own_json(path) is None


def test_long_files_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        # A file with a hole, which takes no space.
        file.truncate(2**40)
    with pytest.raises(DatasetError, match=r"a\.json: is longer than 4294967296 bytes"):
        read_json(path, "*.json")
    with pytest.raises(DatasetError, match="is longer than 16777216 bytes"):
        read_text(path)
    assert read_own_json(path) is None


@pytest.mark.parametrize("data", [b"\xff\xfe{", b"{'a': 1}", b"", b"nul"])
def test_own_files_that_are_damaged_are_not_there(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.json"
    assert read_own_json(path) is None
    path.write_bytes(data)
    assert read_own_json(path) is None
    with pytest.raises(DatasetError, match=r"a\.json: not valid JSON"):
        read_json(path, "*.json")


def test_shown_values_are_short() -> None:
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    for value in (deep, 10**4000, "x" * 10_000, {"a": deep}, list(range(10_000))):
        assert len(shown(value)) < 500
    assert shown("a") == "'a'"
