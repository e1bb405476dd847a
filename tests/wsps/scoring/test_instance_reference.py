import contextlib
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import hotcoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.real_data import real_data
from tests.wsps.scoring.instance_sets import (
    CAT,
    DOG,
    compress,
    entry,
    list_runs,
    our_rates,
    pycocotools_rates,
    rectangle,
    truth_file,
)

NUM_IMAGES = 3


def polygon(x0, y0, x1, y1):
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


@st.composite
def boxes(draw, near=None):
    """A rectangle of any size, or one near another, also without a pixel."""
    if near is None:
        x0, y0 = draw(st.integers(0, 100)), draw(st.integers(0, 80))
        width = draw(st.sampled_from([0, 3, 10, 20, 40, 120]))
        return x0, y0, x0 + width, y0 + draw(st.sampled_from([3, 10, 20, 40, 100]))
    return tuple(side + draw(st.integers(-2, 2)) for side in near)


def as_mask(draw, box):
    x0, y0, x1, y1 = box
    if draw(st.integers(0, 3)) == 0 and x0 < x1 and y0 < y1:
        return polygon(*box)
    return draw(st.sampled_from([compress, list_runs]))(rectangle(*box))


@st.composite
def sets(draw):
    """Truths that overlap, crowds among them, with ids from 0; results near, wrong or double."""
    truths, results, drawn = [], [], []
    for _ in range(draw(st.integers(0, 8))):
        box = draw(boxes())
        image_id, category_id = (
            draw(st.integers(0, NUM_IMAGES - 1)),
            draw(st.sampled_from([CAT, DOG])),
        )
        drawn.append((image_id, category_id, box))
        more = {"id": len(truths)}
        if draw(st.booleans()):
            more["iscrowd"] = draw(st.integers(0, 1))
        if draw(st.booleans()):
            more["area"] = draw(st.sampled_from([0, 500.5, 32**2, 5000, 96**2, 20_000.25]))
        truths.append(entry(image_id, category_id, as_mask(draw, box), **more))
    scores = st.sampled_from([-7, 0.25, 0.5, 0.75, 12.5])
    for _ in range(draw(st.integers(0, 12))):
        if drawn and draw(st.integers(0, 4)):
            image_id, category_id, near = draw(st.sampled_from(drawn))
            box = draw(boxes(near=near))
        else:
            image_id, category_id = draw(st.integers(0, NUM_IMAGES - 1)), CAT
            box = draw(boxes())
        results.append(entry(image_id, category_id, as_mask(draw, box), score=draw(scores)))
    return truths, results


def same(ours, theirs):
    """Compare to 1e-9; what one leaves undefined the other has to as well."""
    for name, rates in theirs.items():
        found = np.array([ours[name][key] for key in rates], dtype=float)
        expected = np.array([*rates.values()], dtype=float)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9, err_msg=f"{name} {rates}")


@settings(deadline=None, max_examples=150)
@given(
    sets(), st.sampled_from([(0.5,), (0.3, 0.75, 1.0), tuple(t / 100 for t in range(50, 100, 5))])
)
def test_masks_are_matched_and_averaged_as_by_pycocotools(found, thresholds):
    truth, results = truth_file(found[0], NUM_IMAGES), found[1]
    with TemporaryDirectory() as folder:
        ours = our_rates(Path(folder), truth, results, thresholds=thresholds)
    same(ours, pycocotools_rates(truth, results, thresholds=thresholds))


@settings(deadline=None, max_examples=60)
@given(sets())
def test_all_recalls_are_pycocotools_with_each_recall_there_is(found):
    truth, results = truth_file(found[0], NUM_IMAGES), found[1]
    with TemporaryDirectory() as folder:
        ours = our_rates(Path(folder), truth, results, recalls="all")
    for name, category_id in (("cat", CAT), ("dog", DOG)):
        num_truth = sum(
            t["category_id"] == category_id and not t.get("iscrowd", 0)
            for t in truth["annotations"]
        )
        # At these the mean of precision is the area under the curve.
        recalls = np.arange(1, num_truth + 1) / max(num_truth, 1)
        if not num_truth:
            assert ours[name]["ap_vol"] is None
            continue
        theirs = pycocotools_rates(truth, results, recalls=recalls)[name]
        for key in ("ap_vol", "ap_0.5", "ap_0.75"):
            assert ours[name][key] == pytest.approx(theirs[key], rel=0, abs=1e-9)


def test_a_hundred_masks_of_an_image_and_category_count(tmp_path):
    generator = np.random.default_rng(0)
    truths, results = [], []
    for number in range(20):
        x0, y0 = 12 * (number % 10), 50 * (number // 10)
        truths.append(entry(0, CAT, compress(rectangle(x0, y0, x0 + 10, y0 + 40)), iscrowd=0))
    for number in range(130):
        x0, y0 = 12 * (number % 10) + int(generator.integers(3)), 50 * (number // 10 % 2)
        mask = compress(rectangle(x0, y0, x0 + 10, y0 + 40))
        results.append(entry(0, CAT, mask, score=float(generator.random())))
    # A right one that is the last in order: it is one of 131.
    truths.append(entry(0, CAT, compress(rectangle(0, 95, 100, 100)), iscrowd=0))
    results.append(entry(0, CAT, compress(rectangle(0, 95, 100, 100)), score=-1))
    truth = truth_file(truths, 1)
    ours = our_rates(tmp_path, truth, results)
    assert 0.1 < ours["cat"]["ap_vol"] < 0.9
    same(ours, pycocotools_rates(truth, results))
    assert ours["cat"]["ap_0.5"] < our_rates(tmp_path, truth, results[-100:])["cat"]["ap_0.5"]


def test_a_crowd_takes_what_lies_on_it_by_the_threshold(tmp_path):
    truths = [
        entry(0, CAT, compress(rectangle(0, 0, 10, 10)), iscrowd=1),
        entry(0, CAT, compress(rectangle(40, 0, 50, 10)), iscrowd=0),
    ]
    results = [
        entry(0, CAT, compress(rectangle(4, 0, 14, 10)), score=0.9),
        entry(0, CAT, compress(rectangle(40, 0, 50, 10)), score=0.5),
    ]
    truth = truth_file(truths, 1)
    # 60 of the first one's 100 pixels are on the crowd: enough to 0.6, then it is in the way.
    ours = our_rates(tmp_path, truth, results)["cat"]["ap_vol"]
    assert ours == pytest.approx((3 * 1 + 7 * 0.5) / 10)
    assert our_rates(tmp_path, truth, results, disjoint=True)["cat"]["ap_vol"] == 1


def test_true_masks_that_overlap_stay_whole(tmp_path):
    boxes = [(0, 0, 20, 10), (0, 0, 4, 10)]
    truth = truth_file([entry(0, CAT, compress(rectangle(*b)), iscrowd=0) for b in boxes], 1)
    results = [
        entry(0, CAT, compress(rectangle(*b)), score=s)
        for b, s in zip(boxes, (0.9, 0.5), strict=True)
    ]
    assert our_rates(tmp_path, truth, results)["cat"]["ap_vol"] == 1
    # Else the smaller has the pixels that both want, and the larger is found with IoU 16/20.
    cut = our_rates(tmp_path, truth, results, disjoint=True, recalls="all")["cat"]["ap_vol"]
    assert cut == pytest.approx((7 * 1 + 3 * 1 / 4) / 10)


def test_of_true_masks_with_equal_overlap_the_last_is_taken(tmp_path):
    boxes = [(0, 0, 10, 10), (10, 0, 20, 10)]
    truth = truth_file([entry(0, CAT, compress(rectangle(*b)), iscrowd=0) for b in boxes], 1)
    results = [
        entry(0, CAT, compress(rectangle(0, 0, 20, 10)), score=0.9),
        entry(0, CAT, compress(rectangle(10, 0, 20, 10)), score=0.5),
    ]
    # At 0.5 the second finds its own mask taken; above, 1 of 2 is found after a false alarm.
    ours, disjoint = (
        our_rates(tmp_path, truth, results, disjoint=d, recalls="all")["cat"]["ap_vol"]
        for d in (False, True)
    )
    assert ours == pytest.approx((1 / 2 + 9 * 1 / 4) / 10)
    assert disjoint == pytest.approx((1 + 9 * 1 / 4) / 10)


def test_what_was_matched_to_id_0_is_found(tmp_path):
    mask = compress(rectangle(0, 0, 10, 10))
    truth = truth_file([entry(0, CAT, mask, id=0, iscrowd=0)], 1)
    assert our_rates(tmp_path, truth, [entry(0, CAT, mask, score=0.9)])["cat"]["ap_vol"] == 1


def copies(truth):
    """Results that are the true masks, crowds left out."""
    keys = ("image_id", "category_id", "segmentation")
    return [
        {key: a[key] for key in keys} | {"score": 0.9}
        for a in truth["annotations"]
        if not a["iscrowd"]
    ]


def read_coco():
    path = real_data("coco", "annotations") / "instances_train2017.json"
    return json.loads(path.read_text())


def test_a_perfect_copy_of_real_masks_scores_one(tmp_path):
    truth = read_coco()
    rates = our_rates(tmp_path, truth, copies(truth))
    assert {rate for of_class in rates.values() for rate in of_class.values()} == {1, None}
    assert our_rates(tmp_path, truth, copies(truth), disjoint=True)["all"]["ap_vol"] < 0.98


def test_real_masks_that_are_moved_score_as_by_two_references(tmp_path):
    truth = read_coco()
    generator = np.random.default_rng(0)
    results = []
    for result in copies(truth):
        if not isinstance(result["segmentation"], list) or generator.random() < 0.1:
            continue
        moved = generator.normal(scale=4, size=2)
        result["segmentation"] = [
            (np.reshape(p, (-1, 2)) + moved).ravel().tolist() for p in result["segmentation"]
        ]
        results.append(result | {"score": float(generator.random())})
    ours = our_rates(tmp_path, truth, results)
    assert 0.2 < ours["all"]["ap_vol"] < 0.8
    same(ours, pycocotools_rates(truth, results))

    path = tmp_path / "annotations" / "instances_val.json"
    with contextlib.redirect_stdout(io.StringIO()):
        reference = hotcoco.COCO(str(path))
        found = reference.loadRes(str(tmp_path / "results.json"))
        evaluation = hotcoco.COCOeval(reference, found, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    means = [ours["all"][f"ap_{name}"] for name in ("vol", 0.5, 0.75, "small", "medium", "large")]
    assert means == pytest.approx(evaluation.stats[:6], abs=1e-6)
