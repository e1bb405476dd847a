import hashlib
import json
from pathlib import Path

import pytest

from annotools.conversion.account import (
    Conversion,
    KindSummary,
    price_hours,
    reconcile,
)
from annotools.drops import LISTED_PLACES, DropGroup, DropList, drop_lines
from annotools.errors import DatasetError
from annotools.files import hash_files
from annotools.prices.times import read_times
from annotools.work_folder import write_manifest


def make_row(**changes: int) -> KindSummary:
    counts = {"entries": 5, "images": 3, "objects": 7, "written": 5, "dropped": 2} | changes
    return KindSummary(
        kind="boxes", files=("boxes.json",), extent="whole objects", hours=0.5, **counts
    )


def test_drops_are_counted_by_kind_and_reason_and_the_first_are_named():
    drops = DropList()
    for number in range(LISTED_PLACES + 3):
        drops.add("boxes", "stuff", f"segment {number}")
    drops.add("all", "empty", "here")
    assert drops.count("boxes") == LISTED_PLACES + 3
    assert drops.count("tags") == 0
    assert drops.groups == (
        DropGroup(
            kind="boxes",
            reason="stuff",
            count=LISTED_PLACES + 3,
            places=tuple(f"segment {number}" for number in range(LISTED_PLACES)),
        ),
        DropGroup(kind="all", reason="empty", count=1, places=("here",)),
    )


def test_the_first_places_of_a_reason_are_shown():
    def line_of(*places: str) -> str:
        drops = DropList()
        for place in places:
            drops.add("boxes", "too thin", place)
        (line,) = drop_lines(drops.groups)
        return line

    assert line_of("a") == "dropped from boxes: 1, too thin; a"
    assert line_of("a", "b", "c") == "dropped from boxes: 3, too thin; a, b, c"
    assert line_of("a", "b", "c", "d") == "dropped from boxes: 4, too thin; a, b, c, ..."


def test_every_object_is_written_or_dropped():
    reconcile([make_row()])
    with pytest.raises(AssertionError, match="boxes: 8 objects in, 5 written and 2 dropped"):
        reconcile([make_row(objects=8)])
    with pytest.raises(AssertionError, match="boxes: 7 objects in, 4 written"):
        reconcile([make_row(), make_row(written=4)])


def test_prices_are_hours_where_there_is_a_time():
    times = read_times("li2018")
    assert price_hours({"box": 3600, "tag": 1800}, times) == (7.5, None)
    assert price_hours({"box": 1, "scribble": 1, "vertex": 0}, times) == (
        None,
        "times li2018 have no scribble, vertex",
    )


def test_the_hash_tells_names_and_contents_but_not_where_the_dataset_lies(tmp_path: Path):
    def hash_of(root: str, **contents: str) -> object:
        paths = []
        for name, content in contents.items():
            paths.append(tmp_path / root / name)
            paths[-1].parent.mkdir(exist_ok=True)
            paths[-1].write_text(content)
        return hash_files(tmp_path / root, paths)

    digest = hashlib.sha256(b"one").hexdigest()
    expected = hashlib.sha256(f"{digest} a\n".encode()).hexdigest()
    assert hash_of("x", a="one") == {"files": 1, "sha256": expected}
    assert hash_of("y", a="one") == hash_of("x", a="one")
    assert hash_of("x", b="one") != hash_of("x", a="one")
    assert hash_of("x", a="two") != hash_of("y", a="one")


def test_files_are_hashed_once_and_must_be_there(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"")
    assert hash_files(tmp_path, [path, path])["files"] == 1
    with pytest.raises(DatasetError, match="gone: cannot be read any more"):
        hash_files(tmp_path, [tmp_path / "gone"])


def test_the_manifest_is_what_json_can_hold(tmp_path: Path):
    conversion = Conversion(
        num_images=2,
        num_resumed=0,
        num_objects=7,
        kinds=(make_row(),),
        drops=(DropGroup(kind="boxes", reason="stuff", count=2, places=("a", "b")),),
    )
    asked = {"source": {"format": "scenes"}, "options": {"seed": 3}}
    found = {"images": {"in": 2}, **conversion.as_json(), "notes": ["n"]}
    write_manifest(tmp_path, "annotools convert", ["annotools", "numpy"], asked, found)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    versions = manifest.pop("versions")
    assert {"annotools", "python", "numpy"} <= set(versions)
    assert manifest == {
        "written_by": "annotools convert",
        "source": {"format": "scenes"},
        "options": {"seed": 3},
        "images": {"in": 2},
        "objects": 7,
        "kinds": {
            "boxes": {
                "files": ["boxes.json"],
                "extent": "whole objects",
                "images": 3,
                "objects": 7,
                "entries": 5,
                "written": 5,
                "dropped": 2,
                "hours": 0.5,
                "hours_missing": None,
            }
        },
        "drops": [{"kind": "boxes", "reason": "stuff", "count": 2, "places": ["a", "b"]}],
        "notes": ["n"],
    }
