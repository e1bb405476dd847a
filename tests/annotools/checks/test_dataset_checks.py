import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotools.checks.dataset_checks import check_dataset
from annotools.checks.problems import Problem, group_alike
from annotools.formats import coco_masks, json_values
from tests.annotools.checks.checked_datasets import (
    annotation,
    find,
    image_entry,
    only,
    write_instances,
    write_panoptic,
    write_photo,
)
from tests.real_data import real_data


def test_a_list_is_parsed_once_and_each_mask_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [image_entry(id=n, file_name=f"{n}.png") for n in (1, 2)]
    drawn = [annotation(id=n, image_id=1 + n % 2) for n in range(6)]
    write_instances(tmp_path, images=images, annotations=drawn)
    calls: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        whole = getattr(module, name)

        def counted(*arguments: Any) -> Any:
            calls[name] += 1
            return whole(*arguments)

        monkeypatch.setattr(module, name, counted)

    count(json_values, "parse_json")
    count(coco_masks, "_find_all")
    check_dataset("coco-instances", tmp_path, ["val"])
    assert calls == {"parse_json": 1, "_find_all": 2}


def test_nothing_is_wrong_with_good_files(tmp_path: Path) -> None:
    write_instances(tmp_path)
    write_photo(tmp_path / "val" / "a.png")
    report = check_dataset("coco-instances", tmp_path, ["val"])
    assert (report.problems, report.images, report.photos) == ((), 1, 1)
    write_panoptic(tmp_path)
    assert find("coco-panoptic", tmp_path) == []


def test_a_dataset_without_an_image(tmp_path: Path) -> None:
    write_instances(tmp_path, images=[], annotations=[])
    assert only(find("coco-instances", tmp_path), "error split val: has no image")


def test_every_problem_is_listed_and_not_only_the_first(tmp_path: Path) -> None:
    annotations = [annotation(category_id=8), annotation(id=6, bbox=[1, 1, 3, -2]), "text"]
    write_instances(tmp_path, annotations=annotations, images=[image_entry(), image_entry(id="x")])
    problems = find("coco-instances", tmp_path)
    for part in ("unknown category 8", "has no area", "is not an object", "'a.png' is that of"):
        assert any(part in problem for problem in problems), part
    assert "were not checked: correct its errors first" in problems[-1]


def test_splits_that_share_a_name_or_a_photo(tmp_path: Path) -> None:
    """A name tells where a photo is missing: splits may number their images alike."""
    write_instances(tmp_path, "train", images=[image_entry(), image_entry(id=2, file_name="b.png")])
    write_instances(tmp_path, "val", images=[image_entry(), image_entry(id=2, file_name="c.png")])
    for name, value in (("train/a", 1), ("train/b", 2), ("val/a", 3), ("val/c", 2)):
        write_photo(tmp_path / f"{name}.png", value=value)
    expected = [
        f"error c.png: is the same photo as {tmp_path / 'train' / 'b.png'} of split train: "
        "keep it in one split",
    ]
    assert find("coco-instances", tmp_path, "train", "val") == expected
    assert find("coco-instances", tmp_path, "val", against=("train",)) == expected
    shutil.rmtree(tmp_path / "train")
    assert "error val: a.png: split train has a.png: keep the image in one split" in find(
        "coco-instances", tmp_path, "val", against=("train",)
    )


def test_labels_that_a_reader_refuses_are_listed_image_by_image(tmp_path: Path) -> None:
    folder = tmp_path / "gtFine" / "val" / "ulm"
    folder.mkdir(parents=True)
    for number, value in enumerate((23, 99, 98)):
        values = np.full((4, 5), value, dtype=np.uint16)
        cv2.imwrite(str(folder / f"ulm_{number:06d}_000019_gtFine_instanceIds.png"), values)
    report = check_dataset("cityscapes", tmp_path, ["val"])
    assert report.images == 3
    assert [p.severity for p in report.problems] == ["error", "error"]
    for problem, value in zip(report.problems, (99, 98), strict=True):
        assert problem.place.endswith("_instanceIds.png")
        assert problem.message.startswith(f"value {value} is no label of Cityscapes")


def test_an_unknown_format_or_split_is_a_problem(tmp_path: Path) -> None:
    assert only(find("kitti", tmp_path), "unknown format 'kitti'")
    assert only(find("scenes", tmp_path / "no.toml"), "no such file")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["id", "image_id", "file_name", "width", "height", "bbox", "name",
                         "category_id", "area", "segmentation", "segments_info", "counts", "size"]),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize("format_name", ["coco-instances", "coco-panoptic"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(images=JSON, categories=JSON, annotations=JSON, annotation_changes=st.lists(JSON))
def test_no_content_is_too_strange(
    tmp_path: Path,
    format_name: str,
    images: Any,
    categories: Any,
    annotations: Any,
    annotation_changes: list[Any],
) -> None:
    kind = format_name.removeprefix("coco-")
    changed = [c if not isinstance(c, dict) else annotation(**c) for c in annotation_changes]
    for content in (
        {"images": images, "categories": categories, "annotations": annotations},
        {"images": [image_entry(), images], "categories": categories, "annotations": changed},
    ):
        folder = tmp_path / "annotations"
        folder.mkdir(exist_ok=True)
        (folder / f"{kind}_val.json").write_text(json.dumps(content))
        report = check_dataset(format_name, tmp_path, ["val"])
        assert all(isinstance(problem, Problem) for problem in report.problems)


def test_real_files_have_only_what_is_known(tmp_path: Path) -> None:
    report = check_dataset("coco-panoptic", real_data("coco-panoptic"), ["val2017"])
    assert (report.problems, report.images, report.photos) == ((), 2, 2)
    root = tmp_path / "copy"
    shutil.copytree(real_data("coco-panoptic"), root)
    path = root / "annotations" / "panoptic_val2017" / "000000142238.png"
    path.write_bytes(path.read_bytes()[:5000])
    assert only(find("coco-panoptic", root, "val2017"), path.name, "truncated")


def test_real_instances_have_no_error() -> None:
    report = check_dataset("coco-instances", real_data("coco"), ["train2017"])
    assert report.images == 215
    # The boxes and areas of all are right, and no object is there twice.
    assert [problem.severity for problem in report.problems] == ["warning"] * 180
    kinds = group_alike(report.problems)
    assert [(len(alike), alike[0].message.split()[0]) for alike in kinds] == [
        (179, "overlapping"),
        (1, "has"),
    ]


def test_missing_object_maps_are_listed_file_by_file() -> None:
    root = real_data("voc", "VOCdevkit", "VOC2012")
    problems = check_dataset("voc", root, ["train"]).problems
    assert len(problems) == 76 - 20
    assert all("the object map is missing" in problem.message for problem in problems)
