import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from annotools.errors import DatasetError
from annotools.records import Image
from tests.builders import make_categories
from wsps.data import TrainingExample, collate, prepare_example
from wsps.detections import Detections, GivenDetections, hash_detections, read_detections
from wsps.recipe import ImageSettings, ViewSettings
from wsps.views import draw_view

CATEGORIES = make_categories(things=("car", "dog"), stuff=("road",))  # 10 road, 20 car, 30 dog
IMAGES = [
    Image(image_id=1, file_name="a.png", width=60, height=40),
    Image(image_id="002", file_name="b.png", width=60, height=40),
]


def result(**changes: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": 20, "bbox": [10, 5, 20, 10], "score": 0.5} | changes


def read(tmp_path: Path, content: Any, threshold: float = 0.0) -> GivenDetections:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content))
    return read_detections(path, IMAGES, CATEGORIES, threshold)


def test_detections_come_best_first_and_clipped_to_their_image(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        [
            result(bbox=[-5, 30.5, 20, 20], score=0.25),
            result(bbox=[1, 2, 3.5, 4], category_id=30, score=1, segmentation={"counts": "x"}),
            # Of equal scores the first of the file comes first.
            result(score=0.25),
        ],
    )
    first = found.of(1)
    assert first.boxes_xyxy.dtype == first.scores.dtype == torch.float32
    assert first.boxes_xyxy.tolist() == [[1, 2, 4.5, 6], [0, 30.5, 15, 40], [10, 5, 30, 15]]
    assert first.class_indices.tolist() == [2, 1, 1]
    assert first.scores.tolist() == [1, 0.25, 0.25]
    assert found.remarks == ()
    none = found.of("002")
    assert len(none) == 0
    assert (none.boxes_xyxy.shape, none.class_indices.dtype) == ((0, 4), torch.int64)


def test_what_cannot_be_used_is_left_out_and_counted(tmp_path: Path) -> None:
    boxes = ([60, 5, 10, 10], [-9, 5, 9, 10], [10, 5, 0, 10], [10, 5, 20, -1], [10, 5, 20, 10])
    listed = [result(bbox=list(box)) for box in boxes]
    others = [result(image_id=7), result(image_id=8, bbox=None)]
    found = read(tmp_path, [*listed, *others])
    assert found.of(1).boxes_xyxy.tolist() == [[10, 5, 30, 15]]
    assert set(found.of_image) == {1}
    assert sorted(found.remarks) == [
        "results.json: 2 times a result is of another image and is left out",
        "results.json: 4 times a box has no pixel in its image and is left out",
    ]


def test_a_number_finds_the_photo_of_its_name_and_text_is_taken_for_numbers(
    tmp_path: Path,
) -> None:
    texts = result(image_id="1", category_id="20", bbox=["10", "5", "20", "10"], score="0.5")
    found = read(tmp_path, [texts, result(image_id=2)])
    assert set(found.of_image) == {1, "002"}
    for image_id in (1, "002"):
        assert found.of(image_id).boxes_xyxy.tolist() == [[10, 5, 30, 15]]
    assert "results.json: 2 times image_id is text in one file and a number in" in "".join(
        found.remarks
    )


def test_scores_up_to_the_threshold_are_not_offered(tmp_path: Path) -> None:
    listed = [result(score=score) for score in (0.125, 0.5, 0.25)]
    assert read(tmp_path, listed, threshold=0.25).of(1).scores.tolist() == [0.5]
    assert len(read(tmp_path, listed, threshold=0.5).of(1)) == 0
    assert len(read(tmp_path, [], threshold=0.5).of(1)) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"annotations": []}, "results.json: is not a list of results: give"),
        ([1], r"results.json: results\[0\]: is not an object"),
        ([result(category_id=99)], r"\[0\]: category_id 99 is not in the categories of things"),
        ([result(category_id=10)], r"\[0\]: category_id 10 is not in the categories of things"),
        # Also where nobody asked for the image.
        ([result(), result(image_id=7, category_id=99)], r"\[1\]: category_id 99 is not in"),
        ([result(score=None)], r"\[0\]: score is missing: give a number in \[0, 1\]"),
        ([result(score=1.5)], r"\[0\]: score = 1.5: give a number in \[0, 1\]"),
        ([result(score=-0.1)], r"\[0\]: score = -0.1: give a number"),
        ([result(score=float("nan"))], r"\[0\]: score = nan: give a number"),
        ([result(score=True)], r"\[0\]: score = True: give a number"),
        ([result(bbox=[1, 2, 3])], r"\[0\]: bbox is missing or not four numbers"),
        ([result(bbox=[1, 2, float("nan"), 3])], r"\[0\]: bbox is missing or not four numbers"),
        ([result(bbox=None)], r"\[0\]: bbox is missing or not four numbers"),
        ([result(image_id=None)], r"\[0\]: image_id is missing"),
        ([result(image_id=7), result(image_id=8)], "none of its 2 detections is of a photo that"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_place(
    tmp_path: Path, content: Any, message: str
) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        read(tmp_path, content)
    assert str(tmp_path / "results.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_is_named_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "b.json").write_text("[]")
    (tmp_path / "c.json").write_text("[ ]")
    names = [hash_detections(tmp_path / f"{name}.json") for name in "abc"]
    assert names[0] == names[1] != names[2]
    with pytest.raises(DatasetError, match=r"d\.json: cannot be read"):
        hash_detections(tmp_path / "d.json")


def example_with(boxes_xyxy: list[list[float]], *, width: int = 60) -> TrainingExample:
    """An image whose class map has the column of each pixel, with these boxes detected."""
    columns = np.tile(np.arange(width, dtype=np.uint8), (40, 1))
    return TrainingExample(
        name="columns",
        photo=np.repeat(columns[..., None], 3, axis=2),
        photo_side=width,
        classes=columns,
        instances=np.zeros((40, width), dtype=np.int32),
        boxes_xyxy=np.zeros((0, 4), dtype=np.float32),
        box_classes=np.zeros(0, dtype=np.int64),
        detections=Detections(
            boxes_xyxy=torch.tensor(boxes_xyxy, dtype=torch.float32).reshape(-1, 4),
            class_indices=torch.arange(len(boxes_xyxy)),
            scores=torch.linspace(1, 0.5, len(boxes_xyxy)),
        ),
    )


def look(example: TrainingExample, size_wh: tuple[int, int], scale: float, seed: int) -> Any:
    settings = ViewSettings(crop_size_wh=size_wh, scale_range=(scale, scale))
    view = draw_view(example, settings, np.random.default_rng(seed))
    first, last = int(view.classes[0, 0]), int(view.classes[0, -1])
    return view.detections, min(first, last), first > last


def test_detections_are_enlarged_and_flipped_with_their_photo() -> None:
    example = example_with([[10, 5, 20.5, 15]])
    flips = set()
    for seed in range(8):
        found, _, is_flipped = look(example, (120, 80), 2.0, seed)
        expected = [79, 10, 100, 30] if is_flipped else [20, 10, 41, 30]
        assert found.boxes_xyxy.tolist() == [expected]
        flips.add(is_flipped)
    assert flips == {False, True}


def test_a_detection_of_which_little_is_left_in_a_view_is_dropped() -> None:
    # The first begins at the left border; the second is always seen as a whole; the third is thin.
    example = example_with([[0, 0, 20, 40], [30, 10, 31.5, 20], [28, 0, 32, 40]])
    counts = set()
    for seed in range(40):
        found, left, is_flipped = look(example, (30, 40), 1.0, seed)
        assert 0 <= left <= 30
        expected = {}
        if left <= 14:  # 6 of 20 columns are 0.3.
            expected[0] = [0, 0, 20 - left, 40]
        x0, x1 = max(28 - left, 0), min(32 - left, 30)
        if x1 - x0 >= 2:
            expected[2] = [x0, 0, x1, 40]
        if is_flipped:
            expected = {n: [30 - x1, y0, 30 - x0, y1] for n, (x0, y0, x1, y1) in expected.items()}
        numbers, boxes = found.class_indices.tolist(), found.boxes_xyxy.tolist()
        assert dict(zip(numbers, boxes, strict=True)) == expected
        kept = torch.linspace(1, 0.5, 3)[found.class_indices]
        assert torch.equal(found.scores, kept)
        counts.add(len(found))
    assert counts == {1, 2}


def test_detections_shrink_with_a_photo_that_is_reduced_and_reach_the_batch() -> None:
    reduced = prepare_example(example_with([[10, 5, 20, 15]]), ImageSettings(max_side=30))
    assert reduced.classes.shape == (20, 30)
    none = prepare_example(example_with([]), ImageSettings(max_side=30))
    found, nothing = collate([reduced, none]).on_device(torch.device("cpu")).detections
    assert found.boxes_xyxy.tolist() == [[5, 2.5, 10, 7.5]]
    assert (len(found), len(nothing)) == (1, 0)
    assert nothing.boxes_xyxy.shape == (0, 4)
