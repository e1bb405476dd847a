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
from pycocotools import mask as coco_mask

from annotools.checks.dataset_checks import check_dataset
from annotools.checks.problems import Problem, group_alike
from annotools.formats import coco_masks, json_values
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
    assert "error 2.png: not a JPEG, PNG, WebP, TIFF or BMP" in problems[1]


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
        (
            {"segmentation": {"size": [6, 8], "counts": [48]}},
            "error instances_val.json: annotations[0]: its mask",
        ),
    ],
)
def test_wrong_annotations(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_instances(tmp_path, annotations=[annotation(**changes), annotation(id=6)])
    assert any(message in problem for problem in find("coco-instances", tmp_path))


@pytest.mark.parametrize(
    "bbox", [[1, 1, 0, 2], [1, 1, 8, 2], [-1, 1, 5, 2], [1, 1, 3, 3], [1, 1, "3", 2], None]
)
def test_a_wrong_box_is_an_error_where_there_is_no_mask_to_measure(
    tmp_path: Path, bbox: Any
) -> None:
    write_instances(tmp_path, annotations=[annotation(bbox=bbox)])
    assert {line.split()[0] for line in find("coco-instances", tmp_path)} == {"warning"}
    write_instances(tmp_path, annotations=[annotation(bbox=bbox, segmentation=[])])
    lines = find("coco-instances", tmp_path)
    # Without a mask, no box is too large for it, and what reaches out is clipped.
    is_taken = bbox in ([1, 1, 3, 3], [1, 1, 8, 2], [-1, 1, 5, 2])
    assert any(line.startswith("error") for line in lines) != is_taken


def test_ids_of_annotations_are_not_needed(tmp_path: Path) -> None:
    listed = [annotation(image_id=i) for i in (1, 2, 3)]
    del listed[2]["id"]
    images = [image_entry(id=i, file_name=f"{i}.png") for i in (1, 2, 3)]
    write_instances(tmp_path, annotations=listed, images=images)
    file = tmp_path / "annotations" / "instances_val.json"
    assert find("coco-instances", tmp_path) == [
        f"warning instances_val.json: annotations[1]: id 5 is that of {file}: annotations[0] too: "
        "give each its own",
        "warning instances_val.json: annotations[2]: id is missing or neither number nor text: "
        "give each its own",
    ]


def test_a_list_without_annotations_is_a_warning(tmp_path: Path) -> None:
    write_instances(tmp_path, annotations=[])
    assert find("coco-instances", tmp_path) == [
        "warning instances_val.json: no image has an annotation: export the labels again"
    ]
    write_instances(tmp_path, annotations=None)
    assert not any("no image has" in line for line in find("coco-instances", tmp_path))


def triangles(*areas: float | None) -> list[dict[str, Any]]:
    """Annotations of 40 x 40 images whose masks are half of their boxes of 6 x 10: 30 pixels."""
    mask = {"segmentation": [[3, 2, 9, 2, 9, 12]], "bbox": [3, 2, 6, 10]}
    listed = [annotation(id=i, image_id=i, area=area, **mask) for i, area in enumerate(areas)]
    return [{k: v for k, v in entry.items() if v is not None} for entry in listed]


@pytest.mark.parametrize(
    ("areas", "messages"),
    [
        ((30, 30), []),
        ((60, 60, 60, 60), ["area is that of the box in 4 of 4 annotations"]),
        # Sides that were rounded change their product by less than 1 %.
        ((60.5, 30, None), ["area is that of the box in 1 of 2 annotations"]),
        ((1600, 1600, 30), ["area is that of the whole image in 2 of 3 annotations"]),
        (
            (60, 1600, 50),
            [
                "area is that of the box in 1 of 3 annotations",
                "area is that of the whole image in 1 of 3 annotations",
                "annotations[2]: area 50 is not that of its mask: give 30",
            ],
        ),
    ],
)
def test_areas_that_exporters_write_are_one_problem_of_the_file(
    tmp_path: Path, areas: tuple[float | None, ...], messages: list[str]
) -> None:
    sizes = {"width": 40, "height": 40}
    images = [image_entry(id=i, file_name=f"{i}.png", **sizes) for i in range(len(areas))]
    write_instances(tmp_path, images=images, annotations=triangles(*areas))
    lines = find("coco-instances", tmp_path)
    assert len(lines) == len(messages)
    for line, message in zip(lines, messages, strict=True):
        assert line.startswith(f"warning instances_val.json: {message}")


def test_areas_of_rectangles_are_right_although_they_are_those_of_their_boxes(
    tmp_path: Path,
) -> None:
    write_instances(tmp_path, annotations=[annotation(area=6)])
    assert find("coco-instances", tmp_path) == []


def test_segments_with_the_area_of_their_box(tmp_path: Path) -> None:
    # The sky has 42 pixels in a box of the whole image.
    write_panoptic(tmp_path, segments_info=[SKY_SEGMENT | {"area": 48}, segment(area=6)])
    assert find("coco-panoptic", tmp_path) == [
        "warning panoptic_val.json: area is that of the box in 2 of 2 segments: areas are measured "
        "in the masks"
    ]


def test_a_file_of_boxes_has_no_mask_to_miss(tmp_path: Path) -> None:
    listed = [annotation(id=i, segmentation=[], bbox=[i, i, 2, 2]) for i in range(3)]
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
        find("coco-instances", tmp_path), "warning instances_val.json: annotations[0]", message
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
        (
            {"categories": [{"id": CAR, "name": name} for name in ("car", "bus")]},
            "categories[1]: id 3 is that of",
        ),
        (
            {"categories": [{"id": CAR, "name": "car"}, {"id": SKY, "name": "car"}]},
            "categories[1]: name 'car' is that of",
        ),
        ({"annotations": [annotation(), annotation()]}, "annotations[1]: id 5 is that of"),
        ({"images": [image_entry(), image_entry(id=2)]}, "file_name 'a.png' is that of"),
        ({"images": [image_entry(width=0)]}, "size 0 x 6"),
        ({"images": [image_entry(width=2**20, height=2**20)]}, "size 1048576 x 1048576"),
        ({"images": [image_entry(file_name="../")]}, "'../' names no photo"),
        ({"images": [image_entry(width="8 px")]}, "width is missing or not a whole number"),
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


def strip(first: int, last: int, **changes: Any) -> dict[str, Any]:
    """An annotation of the rows from 0 to 4 in these columns, the last one included."""
    width = last + 1 - first
    after = HEIGHT * (WIDTH - 1 - last)
    counts = [first * HEIGHT, *[5, 1] * (width - 1), 5, 1 + after]
    runs = {"size": [HEIGHT, WIDTH], "counts": counts}
    return annotation(**({"segmentation": runs, "bbox": [first, 0, width, 5]} | changes))


@pytest.mark.parametrize(
    ("second", "overlap"),
    [
        (strip(0, 6), "1.00"),
        (strip(0, 5), "0.86"),  # 6 of 7 columns
        (strip(1, 7), "0.75"),  # 6 of 8
        (strip(0, 4), "0.71"),  # 5 of 7
        (strip(2, 7), None),  # 5 of 8
        (strip(0, 6, category_id=SKY), None),
    ],
)
def test_near_duplicates_are_told_with_the_first_of_them(
    tmp_path: Path, second: dict[str, Any], overlap: str | None
) -> None:
    categories = [{"id": CAR, "name": "car"}, {"id": SKY, "name": "sky"}]
    # The masks of the third and fourth are in the first one's, and less than 0.7 of it.
    listed = [strip(0, 6), strip(0, 3, category_id=SKY), strip(0, 3), second | {"id": 8}]
    listed = [entry | {"id": i} for i, entry in enumerate(listed)]
    write_instances(tmp_path, annotations=listed, categories=categories)
    lines = [line for line in find("coco-instances", tmp_path) if "is nearly" in line]
    file = tmp_path / "annotations" / "instances_val.json"
    expected = (
        f"warning instances_val.json: annotations[3]: its mask is nearly that of {file}: "
        "annotations[0], of the same category (intersection over union "
        f"{overlap}): drop one of them if both are the same object"
    )
    assert lines == ([] if overlap is None else [expected])


def test_an_object_that_is_there_thrice_is_told_twice(tmp_path: Path) -> None:
    listed = [annotation(id=i) for i in range(3)]
    write_instances(tmp_path, annotations=listed)
    lines = [line for line in find("coco-instances", tmp_path) if "is nearly" in line]
    assert [line.split(": ")[1] for line in lines] == ["annotations[1]", "annotations[2]"]
    assert all("annotations[0], of the same" in line for line in lines)


def rectangle(x: int, y: int, width: int, height: int) -> list[list[int]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    boxes=st.lists(
        st.tuples(*[st.integers(0, 2)] * 2, *[st.integers(3, 6)] * 2), min_size=2, max_size=8
    )
)
def test_near_duplicates_are_those_of_pycocotools(
    tmp_path: Path, boxes: list[tuple[int, int, int, int]]
) -> None:
    size = {"width": 10, "height": 10}
    listed = [annotation(id=i, segmentation=rectangle(*b), bbox=b) for i, b in enumerate(boxes)]
    write_instances(tmp_path, images=[image_entry(**size)], annotations=listed)
    runs = [coco_mask.frPyObjects(rectangle(*box), 10, 10)[0] for box in boxes]
    overlaps = np.tril(coco_mask.iou(runs, runs, [0] * len(runs)), k=-1)
    expected = [i for i in range(len(boxes)) if overlaps[i].max() > 0.7]
    problems = check_dataset("coco-instances", tmp_path, ["val"]).problems
    told = [p.place.rpartition(": ")[2] for p in problems if "is nearly" in p.message]
    assert told == [f"annotations[{i}]" for i in expected]


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
        ([SKY_SEGMENT, segment(id="x")], "id 'x': give a whole number"),
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
    assert find("coco-panoptic", tmp_path) == [
        "warning panoptic_val.json: no image has an annotation: export the labels again",
        "error panoptic_val.json: image 1: has no annotation: add its segments or drop the image",
    ]


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
    for number, value in enumerate((23, 99, 98)):
        values = np.full((4, 5), value, dtype=np.uint16)
        cv2.imwrite(str(folder / f"ulm_{number:06d}_000019_gtFine_instanceIds.png"), values)
    report = check_dataset("cityscapes", tmp_path, ["val"])
    assert report.images == 3
    assert [p.severity for p in report.problems] == ["error", "error"]
    for problem, value in zip(report.problems, (99, 98), strict=True):
        assert problem.place.endswith("_instanceIds.png")
        assert problem.message.startswith(f"value {value} is no label of Cityscapes")


def write_cityscapes(root: Path, *maps: Any) -> list[Path]:
    """One label map of each nested list, `_labelIds` of Aachen."""
    folder = root / "gtFine" / "val" / "aachen"
    folder.mkdir(parents=True)
    paths = [folder / f"aachen_{n:06d}_000019_gtFine_labelIds.png" for n in range(len(maps))]
    for path, rows in zip(paths, maps, strict=True):
        cv2.imwrite(str(path), np.array(rows, dtype=np.uint8))
    return paths


def test_train_ids_under_the_name_of_label_ids_are_doubted(tmp_path: Path) -> None:
    # Road 0, car 13, sky 10: as label ids these are unlabeled, fence and rail track.
    (path,) = write_cityscapes(tmp_path, [[10, 10, 10, 13], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert find("cityscapes", tmp_path) == [
        f"warning {path.name}: no label id above 18, as in maps of train ids: give labelIds or "
        "instanceIds",
        f"warning {path.name}: more than half of its pixels are void: 92%, and 92% of split val: "
        "make sure that these are its labels",
    ]


def test_an_image_is_void_for_the_most_part_from_half_on(tmp_path: Path) -> None:
    # Of 4 pixels 4, 2 and 3 are void: 75 % in all.
    maps = [[0, 0, 0, 0]], [[7, 0, 0, 23]], [[0, 0, 0, 23]]
    first, _, third = write_cityscapes(tmp_path, *maps)
    void = "warning {}: more than half of its pixels are void: {}, and 75% of split val: make sure"
    lines = find("cityscapes", tmp_path)
    assert len(lines) == 2
    assert lines[0].startswith(void.format(first.name, "100%"))
    assert lines[1].startswith(void.format(third.name, "75%"))


def test_panoptic_images_without_segments_are_void(tmp_path: Path) -> None:
    write_panoptic(tmp_path, segments_info=[])
    cv2.imwrite(
        str(tmp_path / "annotations" / "panoptic_val" / "a.png"),
        np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8),
    )
    assert find("coco-panoptic", tmp_path) == [
        "warning panoptic_val.json: no image has an annotation: export the labels again",
        "warning a.png: more than half of its pixels are void: 100%, and 100% of split val: make "
        "sure that these are its labels",
    ]


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


def test_real_street_scenes_are_not_doubted() -> None:
    root = real_data("cityscapes")
    problems = check_dataset("cityscapes", root, ["train"]).problems
    assert Counter((p.severity, p.message.rpartition(": ")[2]) for p in problems) == {
        ("warning", "category caravan is not one of the 19 evaluated"): 1,
        ("warning", "other objects cover it"): 3,
    }


def test_missing_object_maps_are_listed_file_by_file() -> None:
    root = real_data("voc", "VOCdevkit", "VOC2012")
    problems = check_dataset("voc", root, ["train"]).problems
    assert len(problems) == 76 - 20
    assert all("the object map is missing" in problem.message for problem in problems)


@pytest.mark.parametrize(
    ("polygon", "reach"),
    [
        ([1, 1, 10, 1, 10, 3, 1, 3], "points reach x = 10, y = 3 in an image of 8 x 6: "),
        ([1, 1, 4, 1, 4, 7.5, 1, 3], "points reach x = 4, y = 7.5 in an image of 8 x 6: "),
        ([-2, 1, 4, 1, 4, 3, -2, 3], "points reach x = -2, y = 3 in an image of 8 x 6: "),
        ([-1, -1, 9, -1, 9, 7, -1, 7], None),
    ],
)
def test_points_outside_of_their_image_are_told(
    tmp_path: Path, polygon: list[float], reach: str | None
) -> None:
    entry = annotation(segmentation=[polygon])
    del entry["bbox"]
    write_instances(tmp_path, annotations=[entry])
    problems = find("coco-instances", tmp_path)
    if reach is None:
        assert problems == []
    else:
        assert only(problems, "warning instances_val.json: annotations[0]: ", reach, "clipped")


def test_a_size_that_is_missing_is_no_error_where_there_is_a_photo(tmp_path: Path) -> None:
    write_instances(tmp_path, images=[{"id": 1, "file_name": "a.png"}])
    errors = [x for x in find("coco-instances", tmp_path) if x.startswith("error")]
    assert only(errors, "instances_val.json: images[0]: width is missing and there is no photo")
    write_photo(tmp_path / "val" / "a.png")
    assert find("coco-instances", tmp_path) == [
        f"warning instances_val.json: images[0]: {key} is missing: it can only be that of the photo"
        for key in ("width", "height")
    ]
