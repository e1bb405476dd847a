import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.wsps.scoring_settings import make_settings
from wsps.scoring.evaluate import report_scores
from wsps.scoring.instance_results import score_instances

HEIGHT, WIDTH, CELL = 60, 80, 20
CAT, DOG = 3, 7
CATEGORIES = [{"id": DOG, "name": "dog"}, {"id": CAT, "name": "cat"}]


def compress(mask):
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def list_runs(mask):
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": [0, *counts] if flat[0] else counts}


def rectangle(x0, y0, x1, y1):
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[max(y0, 0) : y1, max(x0, 0) : x1] = True
    return mask


def segment(generator, x0, y0, x1, y1):
    """A rectangle in one of the three ways in which COCO says a mask."""
    way = generator.integers(3)
    if way == 0:
        return [[int(v) for v in (x0, y0, x1, y0, x1, y1, x0, y1)]]
    mask = rectangle(x0, y0, x1, y1)
    return compress(mask) if way == 1 else list_runs(mask)


def entry(image_id, category_id, segmentation, **more):
    return {"image_id": image_id, "category_id": category_id, "segmentation": segmentation} | more


def make_image(generator, image_id):
    """Truths each in a cell of its own, a crowd in the first; predictions near, wrong, double."""
    truths, results = [], []
    for cell in range(HEIGHT * WIDTH // CELL**2):
        left, top = CELL * (cell % 4), CELL * (cell // 4)
        x0, y0 = np.add((left, top), generator.integers(2, 8, 2))
        box = np.array([x0, y0, left + 18, top + 18])
        category_id = int(generator.choice([CAT, DOG]))
        if generator.random() < 0.7:
            is_crowd = int(cell == 0)
            found = segment(generator, *box)
            truths.append(entry(image_id, category_id, found, iscrowd=is_crowd))
        for _ in range(generator.integers(0, 3)):
            moved = box + generator.integers(-2, 3, 4)
            # What lies on a crowd only in part has a test of its own.
            near = segment(generator, *(np.add(box, (1, 1, -1, -1)) if cell == 0 else moved))
            guess = category_id if generator.random() < 0.8 else CAT
            score = float(generator.integers(1, 10)) / 10
            results.append(entry(image_id, guess, near, score=score))
    return truths, results


def make_set(seed):
    generator = np.random.default_rng(seed)
    images = [make_image(generator, image_id) for image_id in (5, 2, 9, 4)]
    truths = [truth for of_image, _ in images for truth in of_image]
    results = [result for _, of_image in images for result in of_image]
    return truths, [results[i] for i in generator.permutation(len(results))]


def our_scores(folder, truths, results):
    path = folder / "annotations" / "instances_val.json"
    path.parent.mkdir()
    content = {"images": images_of(truths), "annotations": truths, "categories": CATEGORIES}
    path.write_text(json.dumps(content))
    (folder / "results.json").write_text(json.dumps(results))
    scores = score_instances(path, folder / "results.json")
    rows = {row.name: row for row in report_scores([scores], make_settings()).rows}
    return [rows[name].rates["ap_vol"] for name in ("cat", "dog", "all")]


def images_of(truths):
    ids = {truth["image_id"] for truth in truths}
    return [{"id": i, "file_name": f"{i}.jpg", "width": WIDTH, "height": HEIGHT} for i in ids]


def encode(segmentation):
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, HEIGHT, WIDTH))
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, HEIGHT, WIDTH)
    return segmentation


def their_score(truths, results, category_id, recalls=None):
    """The AP of COCOeval over its ten thresholds; at its 101 recalls if None are given."""
    reference = COCO()
    annotations = [
        truth | {"id": number, "area": float(coco_mask.area(encode(truth["segmentation"])))}
        for number, truth in enumerate(truths, start=1)
    ]
    reference.dataset = {"info": {}, "images": images_of(truths), "categories": CATEGORIES}
    reference.dataset["annotations"] = annotations
    with contextlib.redirect_stdout(io.StringIO()):
        reference.createIndex()
        found = reference.loadRes(
            [r | {"segmentation": encode(r["segmentation"])} for r in results]
        )
        evaluation = COCOeval(reference, found, "segm")
        evaluation.params.catIds = [category_id]
        evaluation.params.maxDets = [10_000]
        if recalls is not None:
            evaluation.params.recThrs = recalls
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, 0, 0, 0].mean()


def every_recall(truths, category_id):
    """All that a curve can step to: at these the mean of precision is the area under it."""
    is_counted = [t["category_id"] == category_id and not t["iscrowd"] for t in truths]
    return np.arange(1, sum(is_counted) + 1) / sum(is_counted)


@pytest.mark.parametrize("seed", range(8))
def test_the_area_under_pycocotools_curves(tmp_path, seed):
    truths, results = make_set(seed)
    *ours, mean = our_scores(tmp_path, truths, results)
    theirs = [their_score(truths, results, c, every_recall(truths, c)) for c in (CAT, DOG)]
    assert 0.05 < mean < 0.95
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert mean == pytest.approx(np.mean(theirs), abs=1e-9)
    # COCO's own figure samples the same curves at 101 recalls.
    sampled = [their_score(truths, results, c) for c in (CAT, DOG)]
    assert ours == pytest.approx(sampled, abs=0.01)


def test_a_curve_by_hand_is_the_same(tmp_path):
    truths = [entry(1, CAT, compress(rectangle(0, 0, 10, 10)), iscrowd=0)]
    results = [
        entry(1, CAT, list_runs(rectangle(0, 0, 10, 7)), score=0.5),
        entry(1, CAT, compress(rectangle(0, 0, 10, 10)), score=0.25),
    ]
    # The first has IoU 0.7: enough to that threshold, then in the way of the second.
    expected = (5 * 1 + 5 * 0.5) / 10
    assert our_scores(tmp_path, truths, results) == pytest.approx([expected, None, expected])
    assert their_score(truths, results, CAT) == pytest.approx(expected)


def test_what_lies_on_a_crowd_by_more_than_half_is_left_out_at_every_threshold(tmp_path):
    truths = [
        entry(1, CAT, compress(rectangle(0, 0, 10, 10)), iscrowd=1),
        entry(1, CAT, compress(rectangle(40, 0, 50, 10)), iscrowd=0),
    ]
    results = [
        entry(1, CAT, compress(rectangle(4, 0, 14, 10)), score=0.9),
        entry(1, CAT, compress(rectangle(40, 0, 50, 10)), score=0.5),
    ]
    # 60 of the first one's 100 pixels are on the crowd: to COCO that is enough to 0.6 alone.
    assert our_scores(tmp_path, truths, results)[0] == 1
    assert their_score(truths, results, CAT) == pytest.approx((3 * 1 + 7 * 0.5) / 10)


def test_true_masks_that_overlap_are_cut(tmp_path):
    truths = [
        entry(1, CAT, compress(rectangle(0, 0, 20, 10)), iscrowd=0),
        entry(1, CAT, compress(rectangle(0, 0, 4, 10)), iscrowd=0),
    ]
    results = [
        entry(1, CAT, compress(rectangle(0, 0, 20, 10)), score=0.9),
        entry(1, CAT, compress(rectangle(0, 0, 4, 10)), score=0.5),
    ]
    # The smaller has the pixels that both want, so that the larger is found with IoU 16/20.
    assert our_scores(tmp_path, truths, results)[0] == pytest.approx((7 * 1 + 3 * 1 / 4) / 10)
    assert their_score(truths, results, CAT) == pytest.approx(1)


def test_of_true_masks_with_equal_overlap_the_first_is_taken(tmp_path):
    truths = [
        entry(1, CAT, compress(rectangle(0, 0, 10, 10)), iscrowd=0),
        entry(1, CAT, compress(rectangle(10, 0, 20, 10)), iscrowd=0),
    ]
    results = [
        entry(1, CAT, compress(rectangle(0, 0, 20, 10)), score=0.9),
        entry(1, CAT, compress(rectangle(10, 0, 20, 10)), score=0.5),
    ]
    # At 0.5 ours leaves the second to its own mask, COCO takes it from it; above, 1 of 2 is found.
    assert our_scores(tmp_path, truths, results)[0] == pytest.approx((1 + 9 * 1 / 4) / 10)
    theirs = their_score(truths, results, CAT, every_recall(truths, CAT))
    assert theirs == pytest.approx((1 / 2 + 9 * 1 / 4) / 10)
