import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotools.checks.dataset_checks import check_dataset
from annotools.checks.problems import Problem
from tests.real_data import real_data

WIDTH, HEIGHT = 8, 6
SQUARE = [1, 1, 4, 1, 4, 3, 1, 3]  # columns 1 to 3, rows 1 and 2
RUNS = {"size": [HEIGHT, WIDTH], "counts": [7, 2, 4, 2, 4, 2, 27]}  # the same pixels
CAR, SKY = 3, 7


def write_photo(path: Path, width: int = WIDTH, height: int = HEIGHT, value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), value, dtype=np.uint8))


def image_entry(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT} | changes


def annotation(**changes: Any) -> dict[str, Any]:
    entry = {"id": 5, "image_id": 1, "category_id": CAR, "iscrowd": 0}
    return entry | {"segmentation": [SQUARE], "bbox": [1, 1, 3, 2]} | changes


def write_instances(root: Path, split: str = "val", **lists: Any) -> None:
    content = {
        "images": [image_entry()],
        "categories": [{"id": CAR, "name": "car"}],
        "annotations": [annotation()],
    } | lists
    folder = root / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"instances_{split}.json").write_text(json.dumps(content))


def write_panoptic(root: Path, **changes: Any) -> None:
    segments = [
        {"id": 300, "category_id": SKY, "area": 42, "bbox": [0, 0, 8, 6], "iscrowd": 0},
        {"id": 2, "category_id": CAR, "area": 6, "bbox": [1, 1, 3, 2], "iscrowd": 0},
    ]
    listed = {"image_id": 1, "file_name": "a.png", "segments_info": segments} | changes
    content = {
        "images": [image_entry()],
        "categories": [
            {"id": CAR, "name": "car", "isthing": 1, "color": [9, 9, 9]},
            {"id": SKY, "name": "sky", "isthing": 0, "color": [8, 8, 8]},
        ],
        "annotations": [listed],
    }
    folder = root / "annotations"
    (folder / "panoptic_val").mkdir(parents=True, exist_ok=True)
    (folder / "panoptic_val.json").write_text(json.dumps(content))
    red_green = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    red_green[..., 1:] = (1, 44)  # 300 = 44 + 256
    red_green[1:3, 1:4] = (0, 0, 2)
    cv2.imwrite(str(folder / "panoptic_val" / "a.png"), red_green)


def find(format_name: str, root: Path, *splits: str, against: tuple[str, ...] = ()) -> list[str]:
    """Severity, the end of the place and the message of each problem."""
    report = check_dataset(format_name, root, splits or ("val",), against)
    return [f"{p.severity} {Path(p.place).name}: {p.message}" for p in report.problems]


def only(problems: list[str], *parts: str) -> bool:
    return len(problems) == 1 and all(part in problems[0] for part in parts)


def test_nothing_is_wrong_with_good_files(tmp_path: Path) -> None:
    write_instances(tmp_path)
    write_photo(tmp_path / "val" / "a.png")
    report = check_dataset("coco-instances", tmp_path, ["val"])
    assert (report.problems, report.images, report.photos) == ((), 1, 1)
    write_panoptic(tmp_path)
    assert find("coco-panoptic", tmp_path) == []


def test_without_a_photo_folder_photos_are_not_missed(tmp_path: Path) -> None:
    write_instances(tmp_path)
    report = check_dataset("coco-instances", tmp_path, ["val"])
    assert (report.problems, report.photos) == ((), 0)


def test_missing_photo(tmp_path: Path) -> None:
    write_instances(tmp_path)
    write_photo(tmp_path / "val" / "other.png")
    assert only(find("coco-instances", tmp_path), "error a.png: the photo is missing")


def test_photos_that_cannot_be_used(tmp_path: Path) -> None:
    images = [image_entry(id=i, file_name=f"{i}.png") for i in (1, 2)]
    write_instances(tmp_path, images=images)
    write_photo(tmp_path / "val" / "1.png", width=WIDTH + 1)
    (tmp_path / "val" / "2.png").write_bytes(b"no picture")
    problems = find("coco-instances", tmp_path)
    assert len(problems) == 2
    assert "error 1.png: is 9 x 6 pixels" in problems[0]
    assert "error 2.png: not a JPEG, PNG, WebP, TIFF or BMP file" in problems[1]


def test_photos_are_decoded_where_that_is_asked_for(tmp_path: Path) -> None:
    write_instances(tmp_path, images=[image_entry(width=500, height=400)])
    path = tmp_path / "val" / "a.png"
    path.parent.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    cv2.imwrite(str(path), noise)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert check_dataset("coco-instances", tmp_path, ["val"]).problems == ()
    (problem,) = check_dataset("coco-instances", tmp_path, ["val"], decode=True).problems
    assert (problem.severity, problem.place) == ("error", str(path))
    assert "the PNG is damaged" in problem.message
    cv2.imwrite(str(path), noise)
    path.write_bytes(path.read_bytes()[:-20])
    assert only(find("coco-instances", tmp_path), "error a.png: the file is truncated")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category_id": 9}, "error instances_val.json: annotations[0]: unknown category 9"),
        ({"image_id": 2}, "image_id 2 is not in images"),
        ({"bbox": [1, 1, 0, 2]}, "bbox [1, 1, 0, 2] has no area"),
        ({"bbox": [1, 1, 8, 2]}, "bbox [1, 1, 8, 2] reaches out of its image of 8 x 6"),
        ({"bbox": [-1, 1, 5, 2]}, "reaches out"),
        ({"bbox": [1, 1, 5, 2]}, "bbox [1, 1, 5, 2] is not tight: its mask fills [1, 1, 3, 2]"),
        ({"bbox": [1, 1, float("nan"), 2]}, "bbox is not four numbers"),
        ({"bbox": [10**400, 1, 1, 2]}, "bbox is not four numbers"),
        ({"segmentation": []}, "segmentation has no polygon"),
        ({"segmentation": {"size": [6, 8], "counts": [1]}}, "run lengths add up to 1"),
        ({"segmentation": {"size": [6, 8], "counts": [48]}}, "warning instances_val.json: "),
    ],
)
def test_wrong_annotations(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_instances(tmp_path, annotations=[annotation(**changes), annotation(id=6)])
    assert any(message in problem for problem in find("coco-instances", tmp_path))


def test_a_file_of_boxes_has_no_mask_to_miss(tmp_path: Path) -> None:
    listed = [annotation(id=i, segmentation=[], area=6) for i in range(3)]
    del listed[0]["segmentation"]
    write_instances(tmp_path, annotations=listed)
    assert find("coco-instances", tmp_path) == []
    del listed[1]["bbox"]
    listed[2]["bbox"] = [1, 1, 0, 2]
    write_instances(tmp_path, annotations=listed)
    assert find("coco-instances", tmp_path) == [
        "error instances_val.json: annotations[2]: bbox [1, 1, 0, 2] has no area: give width and "
        "height",
        "error instances_val.json: annotations[1]: has neither mask nor bbox: add one of them",
        "warning instances_val.json: annotations[1]: is left out: bbox is missing or not four "
        "numbers x, y, width, height: give them",
        "warning instances_val.json: annotations[2]: is left out: bbox has no area: give width "
        "and height above 0",
    ]


def test_a_box_within_a_pixel_of_its_polygon_is_tight(tmp_path: Path) -> None:
    # The mask loses what is less than half of the pixels in columns 1 and 4.
    polygon = [1.9, 1, 4.4, 1, 4.4, 3, 1.9, 3]
    write_instances(tmp_path, annotations=[annotation(segmentation=[polygon], bbox=[1, 1, 4, 2])])
    assert find("coco-instances", tmp_path) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"area": 6},
        {"area": 6.9},
        # Traced through the centres of 4 columns and 3 rows of pixels.
        {"bbox": [1, 1, 4, 3], "area": 12},
        {"segmentation": RUNS, "area": 6},
        # COCO's own crowds are like this.
        {"segmentation": RUNS, "bbox": [1, 1, 2, 1], "area": 9, "iscrowd": 1},
        {"segmentation": RUNS, "area": 9, "iscrowd": 1},
    ],
)
def test_boxes_and_areas_that_fit_their_mask(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_instances(tmp_path, annotations=[annotation(**changes)])
    assert find("coco-instances", tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": [2, 2, 3, 2]}, "bbox [2, 2, 3, 2] is not tight: its mask fills [1, 1, 3, 2]"),
        ({"bbox": [0, 0, 3, 2]}, "is not tight"),
        ({"bbox": [1, 1, 3, 3]}, "is not tight"),
        ({"segmentation": RUNS, "bbox": [1, 1, 3, 2.1]}, "is not tight"),
        ({"segmentation": RUNS, "bbox": [1, 1, 2, 1]}, "is not tight"),
        ({"segmentation": RUNS, "bbox": [2, 2, 3, 2], "iscrowd": 1}, "is not tight"),
        ({"segmentation": RUNS, "area": 6.5}, "area 6.5 is not that of its mask: give 6"),
        ({"area": 8}, "area 8 is not that of its mask: give 6"),
        ({"area": "6"}, "area is not a number of pixels in an image: give 6"),
        ({"area": 10**400}, "area is not a number of pixels"),
        ({"area": float("nan")}, "area is not a number of pixels"),
    ],
)
def test_boxes_and_areas_that_do_not_fit(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write_instances(tmp_path, annotations=[annotation(**changes)])
    assert only(
        find("coco-instances", tmp_path), "error instances_val.json: annotations[0]", message
    )


def test_a_percent_of_a_large_outline_is_near_enough(tmp_path: Path) -> None:
    lists = {"images": [image_entry(width=40, height=40)]}
    polygon = [0.5, 0.5, 30.5, 0.5, 30.5, 20.5, 0.5, 20.5]  # encloses 600
    for area, num_problems in ((606, 0), (593.9, 1), (700, 1)):
        wrong = annotation(segmentation=[polygon], bbox=[0.5, 0.5, 30, 20], area=area)
        write_instances(tmp_path, annotations=[wrong], **lists)
        assert len(find("coco-instances", tmp_path)) == num_problems


def test_a_mask_that_cannot_be_is_listed_once(tmp_path: Path) -> None:
    write_instances(
        tmp_path, annotations=[annotation(segmentation={"size": [6, 8], "counts": [1]})]
    )
    assert only(find("coco-instances", tmp_path), "run lengths add up to 1")


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


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"images": [image_entry(), image_entry(file_name="b.png")]}, "images[1]: id 1 is that of"),
        ({"categories": [{"id": CAR, "name": "car"}] * 2}, "categories[1]: id 3 is that of"),
        (
            {"categories": [{"id": CAR, "name": "car"}, {"id": SKY, "name": "car"}]},
            "categories[1]: name 'car' is that of",
        ),
        ({"annotations": [annotation(), annotation()]}, "annotations[1]: id 5 is that of"),
        ({"images": [image_entry(), image_entry(id=2)]}, "file_name 'a.png' is that of"),
        ({"images": [image_entry(width=0)]}, "size 0 x 6"),
        ({"images": [image_entry(width=2**20, height=2**20)]}, "size 1048576 x 1048576"),
        ({"images": [image_entry(file_name="../a.png")]}, "leaves the photo folder"),
        ({"images": [image_entry(width="8")]}, "width is missing or not a whole number"),
        ({"images": 4}, "images is missing or not a list"),
    ],
)
def test_wrong_lists(tmp_path: Path, lists: dict[str, Any], message: str) -> None:
    write_instances(tmp_path, **lists)
    assert any(message in problem for problem in find("coco-instances", tmp_path))


def test_pixels_claimed_twice_are_a_warning_with_their_number(tmp_path: Path) -> None:
    shifted = [2, 1, 5, 1, 5, 3, 2, 3]
    second = annotation(id=6, segmentation=[shifted], bbox=[2, 1, 3, 2])
    write_instances(tmp_path, annotations=[annotation(), second])
    problems = find("coco-instances", tmp_path)
    assert only(problems, "warning instances_val.json: image 1: ", "claim 4 pixels twice")


def segment(**changes: Any) -> dict[str, Any]:
    entry = {"id": 2, "category_id": CAR, "bbox": [1, 1, 3, 2], "iscrowd": 0}
    return entry | changes


SKY_SEGMENT = segment(id=300, category_id=SKY, bbox=[0, 0, 8, 6])


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([SKY_SEGMENT], "error a.png: segment id 2 (6 pixels) is not in segments_info"),
        ([SKY_SEGMENT, segment(), segment(id=4)], "segments_info[2]: segment id 4 has no pixel"),
        ([SKY_SEGMENT, segment(), segment()], "segments_info[2]: segment id 2 is that of"),
        ([SKY_SEGMENT, segment(category_id=1)], "segments_info[1]: unknown category 1"),
        ([SKY_SEGMENT, segment(bbox=[1, 1, 1, 2])], "is not tight: its mask fills [1, 1, 3, 2]"),
        ([SKY_SEGMENT, segment(bbox=[1, 1, 3, 3])], "bbox [1, 1, 3, 3] is not tight: its mask"),
        (
            [SKY_SEGMENT, segment(area=7)],
            "segments_info[1]: area 7 is not that of its mask: give 6",
        ),
        ([SKY_SEGMENT, segment(id="2")], "id '2': give a whole number"),
        (None, "segments_info is missing"),
    ],
)
def test_wrong_segments(tmp_path: Path, segments: Any, message: str) -> None:
    write_panoptic(tmp_path, segments_info=segments)
    assert any(message in problem for problem in find("coco-panoptic", tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file_name": "b.png"}, "error b.png: cannot be read"),
        ({"segments_info": [SKY_SEGMENT]}, "error a.png: segment id 2 (6 pixels) is not in segm"),
    ],
)
def test_a_wrong_panoptic_annotation_is_listed_once(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write_panoptic(tmp_path, **changes)
    assert only(find("coco-panoptic", tmp_path), message)


def test_a_panoptic_annotation_that_is_missing_is_listed_once(tmp_path: Path) -> None:
    write_panoptic(tmp_path)
    path = tmp_path / "annotations" / "panoptic_val.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    assert only(find("coco-panoptic", tmp_path), "panoptic_val.json: image 1: has no annotation")


def test_a_file_name_that_leaves_its_folder(tmp_path: Path) -> None:
    write_panoptic(tmp_path, file_name="../../a.png")
    problems = find("coco-panoptic", tmp_path)
    assert any("leaves the photo folder" in problem for problem in problems)


def test_two_images_with_one_png(tmp_path: Path) -> None:
    write_panoptic(tmp_path)
    path = tmp_path / "annotations" / "panoptic_val.json"
    content = json.loads(path.read_text())
    content["images"].append(image_entry(id=2, file_name="b.png"))
    content["annotations"].append(content["annotations"][0] | {"image_id": 2})
    path.write_text(json.dumps(content))
    assert only(find("coco-panoptic", tmp_path), "annotations[1]: file_name 'a.png' is that of")


def test_panoptic_png_of_another_size_is_listed_once(tmp_path: Path) -> None:
    write_panoptic(tmp_path)
    path = tmp_path / "annotations" / "panoptic_val" / "a.png"
    pixels = cv2.imread(str(path))
    assert pixels is not None
    cv2.imwrite(str(path), pixels[:, :7])
    problems = find("coco-panoptic", tmp_path)
    assert len([problem for problem in problems if "a.png: " in problem]) == 1
    assert "error a.png: is 7 x 6 pixels, its image 8 x 6" in problems[0]


def test_splits_that_share_a_name_or_a_photo(tmp_path: Path) -> None:
    write_instances(tmp_path, "train", images=[image_entry(), image_entry(id=2, file_name="b.png")])
    write_instances(tmp_path, "val", images=[image_entry(), image_entry(id=2, file_name="c.png")])
    for name, value in (("train/a", 1), ("train/b", 2), ("val/a", 3), ("val/c", 2)):
        write_photo(tmp_path / f"{name}.png", value=value)
    expected = [
        "error val: a.png: split train has a.png: keep the image in one split",
        f"error c.png: is the same photo as {tmp_path / 'train' / 'b.png'} of split train: "
        "keep it in one split",
    ]
    assert find("coco-instances", tmp_path, "train", "val") == expected
    assert find("coco-instances", tmp_path, "val", against=("train",)) == expected


def test_labels_that_a_reader_refuses_are_listed_image_by_image(tmp_path: Path) -> None:
    folder = tmp_path / "gtFine" / "val" / "ulm"
    folder.mkdir(parents=True)
    for number, value in enumerate((7, 99, 98)):
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
    assert [problem for problem in report.problems if problem.severity == "error"] == []


def test_missing_object_maps_are_listed_file_by_file() -> None:
    root = real_data("voc", "VOCdevkit", "VOC2012")
    problems = check_dataset("voc", root, ["train"]).problems
    assert len(problems) == 76 - 20
    assert all("the object map is missing" in problem.message for problem in problems)
