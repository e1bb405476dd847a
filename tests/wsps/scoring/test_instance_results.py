import json

import pytest

from annotools.errors import DatasetError
from tests.wsps.scoring_settings import make_settings
from wsps.scoring.evaluate import report_scores
from wsps.scoring.instance_results import score_instances

HEIGHT, WIDTH = 2, 3


def mask(*columns):
    """Whole columns of the image, as run lengths column by column."""
    return {"size": [HEIGHT, WIDTH], "counts": runs([c in columns for c in range(WIDTH)])}


def runs(inside):
    counts = [0]
    for value in inside:
        if value != (len(counts) % 2 == 0):
            counts.append(0)
        counts[-1] += HEIGHT
    return counts


def result(segmentation=None, score=0.5, category_id=4, image_id=1):
    found = {"image_id": image_id, "category_id": category_id, "score": score}
    return found | {"segmentation": mask(0) if segmentation is None else segmentation}


def evaluate(folder, results):
    truth = folder / "annotations" / "instances_val.json"
    truth.parent.mkdir()
    annotation = {"image_id": 1, "category_id": 4, "segmentation": mask(0, 1), "iscrowd": 0}
    image = {"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}
    content = {"images": [image], "annotations": [annotation]}
    truth.write_text(json.dumps(content | {"categories": [{"id": 4, "name": "cat"}]}))
    path = folder / "results.json"
    path.write_text(json.dumps(results))
    found = report_scores([score_instances(truth, path)], make_settings())
    return {row.name: row.rates["ap_vol"] for row in found.rows}


def test_masks_that_overlap_each_have_their_turn(tmp_path):
    # The surer one has IoU 2/3, the other one 1: to 0.65 the first is enough, then it is wrong.
    found = evaluate(tmp_path, [result(mask(0, 1, 2), 0.9), result(mask(0, 1), 0.1)])
    assert found["cat"] == pytest.approx((4 * 1 + 6 * 1 / 2) / 10)
    assert found["things"] == found["all"] == found["cat"]
    assert found["background"] is None


def test_an_image_without_results_is_missed(tmp_path):
    assert evaluate(tmp_path, [])["cat"] == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (result(image_id=2), r"results\[0\]: image_id 2 is not in the truth"),
        (result(category_id=0), "category_id 0 is not in the truth"),
        (result(score=None), "score is missing"),
        (result(score=7), "score = 7"),
        (result(mask()), "image 1: the mask has no pixel"),
        (result({"size": [3, 2], "counts": [6]}), r"image 1: run lengths of size \[3, 2\]"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, wrong, message):
    with pytest.raises(DatasetError, match=message):
        evaluate(tmp_path, [wrong])


def test_a_second_prediction_is_compared_on_the_same_resamples(tmp_path):
    truth = tmp_path / "annotations" / "instances_val.json"
    truth.parent.mkdir()
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 3, "height": 2} for i in range(8)]
    annotations = [
        {"image_id": i, "category_id": 4, "segmentation": mask(0, 1), "iscrowd": 0}
        for i in range(8)
    ]
    categories = [{"id": 4, "name": "cat"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    truth.write_text(json.dumps(content))
    sides = []
    for name, num_right in (("half", 4), ("all", 8)):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps([result(mask(0, 1), image_id=i) for i in range(num_right)]))
        sides.append(score_instances(truth, path))
    found = report_scores(sides, make_settings(num_resamples=200))
    row, difference = ({r.name: r for r in rows}["cat"] for rows in (found.rows, found.differences))
    low, high = row.intervals["ap_vol"]
    assert (row.rates["ap_vol"], difference.rates["ap_vol"]) == (0.5, 0.5)
    assert 0 < low < 0.5 < high < 1
    # The second is right on every image: what the first has in a resample, the difference lacks.
    assert difference.intervals["ap_vol"] == pytest.approx((1 - high, 1 - low), abs=1 / 8)
    assert found.metrics == ("ap",)
