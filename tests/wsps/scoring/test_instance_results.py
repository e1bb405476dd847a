import json

import pytest

from annotools.errors import DatasetError
from tests.wsps.scoring_settings import make_settings
from wsps.scoring.evaluate import report_scores
from wsps.scoring.instance_results import score_disjoint_instances, score_instances

HEIGHT, WIDTH = 2, 3
SIZE = {"width": WIDTH, "height": HEIGHT}
IMAGE = {"id": 1, "file_name": "a.jpg", **SIZE}


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


def write(folder, results, **changes):
    """Write a truth of one image, with some values of its annotation or keys changed."""
    truth = folder / "truth.json"
    annotation = {"image_id": 1, "category_id": 4, "segmentation": mask(0, 1), "iscrowd": 0}
    annotation |= changes.pop("annotation", {})
    content = {"images": [IMAGE], "annotations": [annotation]}
    content |= {"categories": [{"id": 4, "name": "cat"}]} | changes
    truth.write_text(json.dumps(content))
    path = folder / "results.json"
    path.write_text(json.dumps(results))
    return truth, path


def evaluate(folder, results, **changes):
    settings = make_settings()
    side = score_instances(*write(folder, results, **changes), settings.thresholds)
    found = report_scores([side], settings)
    return {row.name: row.rates["ap_vol"] for row in found.rows}


def test_masks_that_overlap_each_have_their_turn(tmp_path):
    # The surer one has IoU 2/3, the other one 1: to 0.65 the first is enough, then it is wrong.
    found = evaluate(tmp_path, [result(mask(0, 1, 2), 0.9), result(mask(0, 1), 0.1)])
    assert found["cat"] == pytest.approx((4 * 1 + 6 * 1 / 2) / 10)
    assert found["things"] == found["all"] == found["cat"]
    assert set(found) == {"cat", "all", "things", "stuff"}


def test_an_image_without_results_is_missed(tmp_path):
    assert evaluate(tmp_path, [])["cat"] == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (result(image_id=2), r"results\[0\]: image_id 2 is not in the truth"),
        (result(category_id=0), "category_id 0 is not in the truth"),
        (result(score=None), "score is missing"),
        (result(score=float("nan")), "score is missing or not a finite number: give one"),
        (result(score=10**400), "score is missing or not a finite number"),
        (result(score=True), "score is missing or not a finite number"),
        (result([]), "image 1: segmentation has no polygon"),
        (result({"size": [3, 2], "counts": [6]}), r"image 1: run lengths of size \[3, 2\]"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, wrong, message):
    with pytest.raises(DatasetError, match=message):
        evaluate(tmp_path, [wrong])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotation": {"image_id": 2}}, r"annotations\[0\]: image_id 2 is not in this file"),
        ({"annotation": {"category_id": 0}}, "category_id 0 is not in this file: drop it"),
        ({"annotation": {"segmentation": None}}, "image 1: segmentation has no polygon"),
        ({"annotation": {"segmentation": []}}, "image 1: segmentation has no polygon: add a mask"),
        ({"annotation": {"iscrowd": 2}}, "iscrowd = 2: give 0 or 1"),
        ({"annotation": {"area": "x"}}, "area is missing or not a finite number"),
        ({"images": [IMAGE, IMAGE]}, r"images\[1\]: id 1 is given twice: use another"),
        ({"images": [IMAGE | {"width": None}]}, r"images\[0\]: width is missing or not a whole"),
        ({"images": []}, "truth.json: images is empty: give the truth of some images"),
        ({"categories": []}, "truth.json: categories: 0 categories: give 1 to 255"),
        ({"annotations": {}}, "truth.json: annotations is missing or not a list"),
    ],
)
def test_what_is_wrong_with_the_truth_is_named(tmp_path, changes, message):
    with pytest.raises(DatasetError, match=message):
        evaluate(tmp_path, [result()], **changes)


def test_damaged_run_lengths_never_reach_pycocotools(tmp_path):
    for counts in ("P", "0" * 50, "\x7f", [-6, 12]):
        with pytest.raises(DatasetError, match=r"results\[0\]: image 1: run lengths"):
            evaluate(tmp_path, [result({"size": [HEIGHT, WIDTH], "counts": counts})])


def test_an_empty_mask_is_counted_and_in_the_way(tmp_path):
    results = [result(mask(), 0.9), result(mask(0, 1), 0.5)]
    side = score_instances(*write(tmp_path, results), (0.5,))
    found = report_scores([side], make_settings(thresholds=(0.5,)))
    assert found.num_empty == (1,)
    assert found.rows[0].rates["ap_0.5"] == 1 / 2


def test_sizes_are_those_of_the_file_and_else_of_the_mask(tmp_path):
    for area, size in ((None, "small"), (2000, "medium"), (9999.5, "large")):
        side = score_instances(
            *write(tmp_path, [result(mask(0, 1))], annotation={"area": area}), (0.5,)
        )
        rates = report_scores([side], make_settings(thresholds=(0.5,))).rows[0].rates
        expected = {f"ap_{name}": None for name in ("small", "medium", "large")}
        assert {name: rates[name] for name in expected} == expected | {f"ap_{size}": 1}


@pytest.mark.parametrize(
    "score",
    [score_disjoint_instances, lambda *p, workers: score_instances(*p, (0.5, 0.75), workers)],
)
def test_two_processes_find_what_one_finds(tmp_path, score):
    images = [IMAGE, IMAGE | {"id": 2}]
    paths = write(tmp_path, [result(mask(0), 0.9), result(mask(0, 1), -3)], images=images)
    one, two = (score(*paths, workers=n) for n in (1, 2))
    one, two = (report_scores([side], make_settings(thresholds=(0.5, 0.75))) for side in (one, two))
    assert one == two


@pytest.mark.parametrize(
    "score", [score_disjoint_instances, lambda *p: score_instances(*p, (0.5,))]
)
def test_form_is_forgiven_on_both_sides_and_told(tmp_path, score):
    given = result(mask(0, 1)) | {"image_id": 1.0, "score": "0.9", "category_id": "4"}
    image = {"id": "1", "width": "3", "height": 2.0}
    truth = {"area": "900", "iscrowd": None, "id": 0}
    paths = write(tmp_path, [given], images=[image], annotation=truth)
    side = score(*paths)
    found = report_scores([side, side], make_settings(thresholds=(0.5,)))
    assert found.rows[-3].rates["ap_0.5"] == 1
    told = {
        f"{paths[0]}: 1 times width is text",
        f"{paths[0]}: 1 times height is a number with a point",
        f"{paths[0]}: 1 times image_id is text in one place and a number in the other",
        f"{paths[0]}: 1 times iscrowd is null and taken as 0",
        f"{paths[1]}: 1 times image_id is a number with a point",
        f"{paths[1]}: 1 times category_id is text",
        f"{paths[1]}: 1 times score is text",
        f"{paths[1]}: 1 times image_id is text in one file and a number in the other",
    }
    # Disjoint masks have no use for the area.
    whole = {f"{paths[0]}: 1 times area is text"} if side.images[0].matched else set()
    assert set(found.remarks) == told | whole
    assert len(found.remarks) == len(told | whole)


def test_the_area_that_is_text_counts(tmp_path):
    paths = write(tmp_path, [result(mask(0, 1))], annotation={"area": "9999.5"})
    rates = report_scores([score_instances(*paths, (0.5,))], make_settings(thresholds=(0.5,)))
    assert (rates.rows[0].rates["ap_large"], rates.rows[0].rates["ap_small"]) == (1, None)


@pytest.mark.parametrize(
    "images",
    [
        [IMAGE, IMAGE | {"id": 2, "file_name": "gone.jpg"}],
        [IMAGE, IMAGE | {"id": 2}],
        [IMAGE | {"file_name": None}],
        [{"id": 1, **SIZE}],
    ],
)
def test_photos_are_nothing_to_a_score(tmp_path, images):
    (tmp_path / "a.jpg").write_bytes(b"damaged")
    paths = write(tmp_path, [result(mask(0, 1))], images=images)
    for side in (score_disjoint_instances(*paths), score_instances(*paths, (0.5,))):
        found = report_scores([side], make_settings(thresholds=(0.5,)))
        assert found.rows[-3].rates["ap_0.5"] == 1
        assert found.remarks == tuple(
            f"{paths[0]}: 1 times {key} is missing" for key in ("id", "area")
        )


def test_disjoint_masks_refuse_a_box_for_a_mask(tmp_path):
    with pytest.raises(DatasetError, match="segmentation is missing: draw the mask"):
        score_disjoint_instances(*write(tmp_path, [], annotation={"segmentation": []}))


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
        sides.append(score_instances(truth, path, make_settings().thresholds))
    found = report_scores(sides, make_settings(num_resamples=200))
    row, difference = ({r.name: r for r in rows}["cat"] for rows in (found.rows, found.differences))
    low, high = row.intervals["ap_vol"]
    assert (row.rates["ap_vol"], difference.rates["ap_vol"]) == (0.5, 0.5)
    assert 0 < low < 0.5 < high < 1
    # The second is right on every image: what the first has in a resample, the difference lacks.
    assert difference.intervals["ap_vol"] == pytest.approx((1 - high, 1 - low), abs=1 / 8)
    assert found.metrics == ("ap",)
