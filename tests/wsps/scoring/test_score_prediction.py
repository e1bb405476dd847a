import json

import cv2
import numpy as np
import pytest

from annotools.categories import IGNORE_INDEX
from annotools.errors import DatasetError
from tests.builders import make_categories, make_label
from tests.wsps.panoptic_files import write_panoptic
from wsps.evaluation.overlaps import to_runs
from wsps.scoring.evaluate import score_prediction

CATEGORIES = make_categories()
ROAD, SKY, CAR = 10, 20, 30
ROAD_INDEX, _, CAR_INDEX = range(3)
NO = IGNORE_INDEX
TRUTH = (
    make_label([[1, 1, 1, 2, 2, 2], [3, 3, 3, 3, 0, 0]], {1: CAR, 2: CAR, 3: ROAD}, (), "a/b"),
    make_label([[1, 1, 2, 2]], {1: CAR, 2: ROAD}, (), "c"),
)
FOUND = (
    make_label([[5, 5, 6, 6, 6, 0], [7, 7, 7, 0, 0, 0]], {5: CAR, 6: CAR, 7: ROAD}, (), "a/b"),
    make_label([[1, 1, 2, 2]], {1: CAR, 2: ROAD}, (), "c"),
)
SCORES = {"a/b": {5: 0.25, 6: 0.5, 7: 1.0}, "c": {1: 0.75, 2: 0.5}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "panoptic" / "a").mkdir(parents=True)
    write_panoptic(tmp_path / "panoptic.json", list(FOUND), None, SCORES)
    return tmp_path


def score(folder, truth=TRUTH, thresholds=(0.5, 0.6)):
    return score_prediction(folder, [to_runs(t) for t in truth], CATEGORIES, thresholds)


def write_classes(folder, name, rows, dtype=np.uint8):
    path = folder / "semantic" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.array(rows, dtype=dtype))


def test_scores_by_hand(folder):
    # Cars: IoU 1 (score 0.75), 2/4 (0.5), 2/3 (0.25); PQ takes IoU above a half, so the second is
    # a false positive and its car a false negative. Roads: IoU 3/4 and 1. No sky anywhere.
    car_pq, road_pq = (1 + 2 / 3) / (2 + 1 / 2 + 1 / 2), (3 / 4 + 1) / 2
    car_sq, car_dq = (1 + 2 / 3) / 2, 2 / 3
    # AP of cars: at 0.5 all are found; at 0.6 precision is 1 at the first and 2/3 at the last.
    ap_at = {0.5: 1.0, 0.6: (1 + 2 / 3) / 3}
    car_volume = (ap_at[0.5] + ap_at[0.6]) / 2
    # Pixels: cars 7 of 8 right and none wrong, roads 5 of 6 right and none wrong.
    expected = {
        "ap_vol": (car_volume + 1) / 2,
        "miou": (7 / 8 + 5 / 6) / 2,
        "miou_semantic": None,
        "pq": (car_pq + road_pq) / 2,
        "sq": (car_sq + road_pq) / 2,
        "dq": (car_dq + 1) / 2,
        "pq_things": car_pq,
        "sq_things": car_sq,
        "dq_things": car_dq,
        "pq_stuff": road_pq,
        "sq_stuff": road_pq,
        "dq_stuff": 1.0,
    }
    found = score(folder)
    of_class = found.pop("class_pq")
    assert list(found) == list(expected)
    assert found == pytest.approx(expected)
    # There is no sky, neither in truth nor in prediction.
    names = [category.name for category in CATEGORIES.categories]
    assert of_class == dict(zip(names, (road_pq, None, car_pq), strict=True))


def test_the_map_of_the_semantic_network_has_its_own_score(folder):
    without = score(folder)
    car, road = CAR_INDEX, ROAD_INDEX
    write_classes(folder, "a/b", [[car] * 6, [road, road, car, NO, car, road]])
    write_classes(folder, "c", [[car, road, road, road]])
    # Cars: 7 of 8 right, one wrong on a road. Roads: 4 of 6 right, one wrong on a car.
    assert score(folder) == without | {"miou_semantic": pytest.approx((7 / 9 + 4 / 7) / 2)}


def test_what_nothing_defines_is_none(folder):
    empty = [make_label([[0] * 6] * 2, {}, (), "a/b"), make_label([[0] * 4], {}, (), "c")]
    found = score(folder, empty)
    assert set(found.pop("class_pq").values()) == {None}
    assert set(found.values()) == {None}


def test_only_images_of_the_truth_are_scored(folder):
    assert score(folder, TRUTH[1:])["pq"] == 1


def test_an_image_without_a_prediction_is_named(folder):
    missing = make_label([[1]], {1: CAR}, (), "d")
    with pytest.raises(DatasetError, match=r"panoptic\.json: image 'd' has no prediction .*1 of 3"):
        score(folder, (*TRUTH, missing))
    with pytest.raises(DatasetError, match="no label to compare with"):
        score(folder, ())


def test_a_segment_without_a_score_is_named(folder):
    content = json.loads((folder / "panoptic.json").read_text())
    del content["annotations"][1]["segments_info"][0]["score"]
    (folder / "panoptic.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"panoptic\.json: image c: segment 2 .*has no score"):
        score(folder)


def test_class_maps_that_do_not_fit_are_named(folder):
    write_classes(folder, "a/b", [[0] * 6] * 2)
    with pytest.raises(DatasetError, match=r"semantic/c\.png"):
        score(folder)
    write_classes(folder, "c", [[0] * 4], np.uint16)
    with pytest.raises(DatasetError, match=r"semantic/c\.png: is not grey with 8 bits"):
        score(folder)
    write_classes(folder, "c", [[0] * 3])
    with pytest.raises(DatasetError, match=r"image c: the prediction has shape \(1, 3\)"):
        score(folder)
