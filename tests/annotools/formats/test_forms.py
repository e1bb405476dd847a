import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotools.errors import DatasetError
from annotools.formats import coco_instances
from annotools.formats.forms import (
    Forms,
    as_whole,
    form_remarks,
    make_number,
    read_coco,
    same_ids,
    share_content,
)

SQUARE = [1, 1, 4, 1, 4, 3, 1, 3]
POINTS = [[1, 1], [4, 1], [4, 3], [1, 3]]
STRIP = [5, 0, 6, 0, 6, 6, 5, 6]


def content(**lists: Any) -> dict[str, Any]:
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 8, "height": 6} for i in (0, 7)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(("bolt", "nut"))],
        "annotations": [
            annotation(0, 1, [SQUARE]),
            annotation(7, 0, [SQUARE, STRIP], iscrowd=1),
            annotation(7, 1, [STRIP]),
        ],
    } | lists


def annotation(image_id: Any, category_id: Any, mask: Any, **changes: Any) -> dict[str, Any]:
    entry = {"id": 1, "image_id": image_id, "category_id": category_id, "segmentation": mask}
    return entry | {"iscrowd": 0, "area": 6.0, "bbox": [1, 1, 3, 2]} | changes


def straighten(tmp_path: Path, written: Any) -> tuple[Any, Forms]:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(written))
    forms: Forms = Counter()
    return read_coco(path, forms), forms


def test_what_has_coco_s_form_stays(tmp_path: Path) -> None:
    assert straighten(tmp_path, content()) == (content(), Counter())


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        (3, 3),
        (-3, -3),
        (3.0, 3),
        (3.5, None),
        ("3", 3),
        (" 3 ", 3),
        ("-3", -3),
        ("003", 3),
        ("3.0", None),
        ("3e2", None),
        ("", None),
        ("9007199254740993", 2**53 + 1),
        ("18446744073709551615", 2**64 - 1),
        ("9" * 5000, None),
        (float("nan"), None),
        (float("inf"), None),
        (1e300, None),
        (True, None),
        (None, None),
        ([3], None),
        ("３", None),
    ],
)
def test_whole_numbers(value: Any, whole: int | None) -> None:
    assert as_whole(value) == whole


@pytest.mark.parametrize(
    ("given", "id_of"),
    [
        ([1, 2], {1: 1, "1": 1, 2: 2, "2": 2}),
        (["1", "a"], {1: "1", "1": "1", "a": "a"}),
        (["007"], {7: "007", "7": "007", "007": "007"}),
        # The number and the text are two images here, and each keeps what is its own.
        ([1, "1"], {1: 1, "1": "1"}),
        (["1", "01"], {"1": "1", "01": "01"}),
        (["9007199254740993"], dict.fromkeys((2**53 + 1, str(2**53 + 1)), "9007199254740993")),
        ([None, True, [1], 1.5], {}),
    ],
)
def test_ids_may_be_numbers_in_one_place_and_text_in_another(given: Any, id_of: Any) -> None:
    found = same_ids(given)
    assert found == id_of
    assert {key: type(value) for key, value in found.items()} == {
        key: type(value) for key, value in id_of.items()
    }


@pytest.mark.parametrize(
    ("changes", "expected", "form"),
    [
        ({"image_id": "0"}, {"image_id": 0}, "image_id is text in one place and a number"),
        ({"image_id": 0.0}, {"image_id": 0}, "image_id is a number with a point"),
        ({"category_id": "1"}, {"category_id": 1}, "category_id is text"),
        ({"category_id": 1.0}, {"category_id": 1}, "category_id is a number with a point"),
        ({"iscrowd": None}, {"iscrowd": 0}, "iscrowd is null and taken as 0"),
        ({"iscrowd": "0"}, {"iscrowd": 0}, "iscrowd is text"),
        ({"iscrowd": 1.0}, {"iscrowd": 1}, "iscrowd is a number with a point"),
        ({"iscrowd": True}, {"iscrowd": True}, None),
        ({"id": None}, {}, "id is missing"),
        ({"area": None}, {}, "area is missing"),
        ({"segmentation": SQUARE}, {"segmentation": [SQUARE]}, "one polygon without a list"),
        ({"segmentation": POINTS}, {"segmentation": [SQUARE]}, "is a list of points"),
        ({"segmentation": [POINTS]}, {"segmentation": [SQUARE]}, "is a list of lists of points"),
        ({"segmentation": [POINTS, STRIP]}, {"segmentation": [SQUARE, STRIP]}, "lists of points"),
        ({"segmentation": None}, {"segmentation": []}, None),
        ({"segmentation": []}, {"segmentation": []}, None),
        ({"segmentation": [[]]}, {"segmentation": []}, "empty polygons and taken as none"),
        # These mean nothing else, and stay for the reader to refuse.
        ({"segmentation": [1, 2]}, {"segmentation": [1, 2]}, None),
        ({"segmentation": [[1, 1], [2, 2]]}, {"segmentation": [[1, 1], [2, 2]]}, None),
        ({"segmentation": [1, 1, 2, "x"]}, {"segmentation": [1, 1, 2, "x"]}, None),
        ({"segmentation": 5}, {"segmentation": 5}, None),
        ({"image_id": True}, {"image_id": True}, None),
        ({"image_id": [0]}, {"image_id": [0]}, None),
        ({"category_id": 1.5}, {"category_id": 1.5}, None),
    ],
)
def test_forms_of_an_annotation(
    tmp_path: Path, changes: dict[str, Any], expected: dict[str, Any], form: str | None
) -> None:
    entry = annotation(0, 1, [SQUARE]) | changes
    found, forms = straighten(tmp_path, content(annotations=[entry]))
    assert found["annotations"] == [entry | expected]
    assert type(found["annotations"][0]["image_id"]) is type((entry | expected)["image_id"])
    assert list(forms.values()) == ([] if form is None else [1])
    assert form is None or form in next(iter(forms))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("0.9", 0.9), (" 1 ", 1.0), ("-.5", -0.5), ("+2.", 2.0), ("1e-2", 0.01), ("9E2", 900.0)),
        *((text, text) for text in ("", ".", "nan", "inf", "0,9", "1_0", "0x1", "e3", "1e", "٣")),
        *((0.9, 0.9), (1, 1), (True, True), (None, None)),
    ],
)
def test_numbers_as_text(text: Any, number: Any) -> None:
    entry, forms = {"score": text}, Counter[str]()
    make_number(entry, "score", forms)
    assert entry == {"score": number}
    assert type(entry["score"]) is type(number)
    assert forms == ({} if text is number or text == number else {"score is text": 1})


def test_results_are_a_bare_list(tmp_path: Path) -> None:
    given = {"image_id": 1.0, "category_id": "3", "segmentation": SQUARE, "score": "0.9"}
    found, forms = straighten(tmp_path, [given, {**given, "image_id": "1", "score": 1}])
    expected = {"image_id": 1, "category_id": 3, "segmentation": [SQUARE], "score": 0.9}
    assert found == [expected, {**expected, "image_id": "1", "score": 1}]
    assert type(found[0]["image_id"]) is int
    assert forms == {
        "image_id is a number with a point": 1,
        "category_id is text": 2,
        "score is text": 1,
        "segmentation is one polygon without a list around it": 2,
    }


def test_repeated_categories_are_one_if_they_are_the_same(tmp_path: Path) -> None:
    bolt = {"id": 0, "name": "bolt", "supercategory": "type"}
    listed = [bolt, {"id": "1", "name": "nut"}, bolt | {"id": 0.0}, bolt, bolt | {"name": "nut"}]
    found, forms = straighten(tmp_path, content(categories=listed))
    assert found["categories"] == [bolt, {"id": 1, "name": "nut"}, bolt | {"name": "nut"}]
    assert forms["a category is listed again, the same"] == 2


@pytest.mark.parametrize("written", [[], 3, None, "x", {"images": 1, "annotations": {}}, [3, None]])
def test_what_is_no_coco_file_stays(tmp_path: Path, written: Any) -> None:
    assert straighten(tmp_path, written)[0] == written


def test_remarks_count(tmp_path: Path) -> None:
    entries = [annotation(0, 1, [SQUARE], iscrowd=None)] * 1200
    _, forms = straighten(tmp_path, content(annotations=entries))
    assert form_remarks(Path("x/mine.json"), forms) == (
        "mine.json: 1,200 times iscrowd is null and taken as 0",
    )


FORMS = {
    "image_id": [str, float, int],
    "category_id": [str, float, int],
    "iscrowd": [str, float, bool, lambda flag: flag if flag else None],
    "segmentation": [
        lambda mask: mask if len(mask) > 1 else mask[0],
        lambda mask: [[[p[i], p[i + 1]] for i in range(0, len(p), 2)] for p in mask],
        lambda mask: mask,
    ],
    "area": [lambda area: None, float],
    "id": [lambda number: None, str],
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_the_form_changes_nothing_in_the_labels(tmp_path: Path, data: st.DataObject) -> None:
    written = copy.deepcopy(content())
    for entry in written["annotations"]:
        for key, forms in FORMS.items():
            entry[key] = data.draw(st.sampled_from(forms))(entry[key])
            if entry[key] is None and data.draw(st.booleans()):
                del entry[key]
    make_id = data.draw(st.sampled_from([int, float, str]))
    for entry in written["images"]:
        entry["id"] = make_id(entry["id"])
    for entry in written["categories"]:
        entry["id"] = data.draw(st.sampled_from([int, float, str]))(entry["id"])
    (tmp_path / "annotations").mkdir(exist_ok=True)
    path = tmp_path / "annotations" / "instances_val.json"
    labels = []
    for version in (content(), written):
        path.write_text(json.dumps(version))
        dataset = coco_instances.read(tmp_path, "val")
        labels.append([dataset.read_label(image) for image in dataset.images])
    for strict, loose in zip(*labels, strict=True):
        np.testing.assert_array_equal(strict.segment_map, loose.segment_map)
        assert (strict.segments, strict.objects) == (loose.segments, loose.objects)
        assert str(strict.image_id) == str(loose.image_id)


def test_a_file_of_vgg_s_annotator(tmp_path: Path) -> None:
    category = {"supercategory": "type", "id": 1, "name": "bolt"}
    via = {
        "info": {"year": 2026, "version": "1.0", "description": "VIA project"},
        "images": [
            {"id": i, "width": 8, "height": 6, "file_name": f"{i}.png", "license": 0}
            for i in range(2)
        ],
        "annotations": [
            {"id": i, "image_id": str(i), "category_id": 1, "segmentation": SQUARE}
            | {"area": 6, "bbox": [1, 1, 3, 2], "iscrowd": 0}
            for i in range(2)
        ],
        "categories": [category, category],
    }
    path = tmp_path / "via_export_coco.json"
    path.write_text(json.dumps(via))
    dataset = coco_instances.read(tmp_path, "train")
    boxes = [dataset.read_label(image).objects[1].box_xyxy for image in dataset.images]
    assert boxes == [(1, 1, 4, 3)] * 2
    assert dataset.remarks[-3:] == (
        "via_export_coco.json: 1 times a category is listed again, the same",
        "via_export_coco.json: 2 times image_id is text in one place and a number in the other",
        "via_export_coco.json: 2 times segmentation is one polygon without a list around it",
    )


@pytest.mark.parametrize("bad", [{"image_id": True}, {"category_id": "nut"}, {"image_id": "8"}])
def test_what_means_nothing_is_refused(tmp_path: Path, bad: dict[str, Any]) -> None:
    entries = [annotation(1, 1, [SQUARE]) | bad]
    images = [{"id": 1, "file_name": "1.png", "width": 8, "height": 6}]
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content(images=images, annotations=entries)))
    with pytest.raises(DatasetError, match=r"annotations\[0\]: (image|category)_id"):
        coco_instances.read(path, "train")


def test_shared_content_is_read_once_and_its_forms_are_told_to_each(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content(images=[{"id": "0", "width": "8", "height": 6}])))
    with share_content():
        told: list[Forms] = [Counter(), Counter()]
        first, second = (read_coco(path, forms) for forms in told)
        assert first is second
        assert told[0] == told[1] != Counter()
    path.write_text(json.dumps(content()))
    assert read_coco(path, Counter()) == content()
