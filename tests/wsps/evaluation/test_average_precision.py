from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from annotools.errors import DatasetError
from annotools.label_maps import build_label
from annotools.records import FullLabel
from tests.builders import make_categories, make_label
from tests.wsps.evaluation.one_image import score_image
from tests.wsps.evaluation.score_records import MeanPrecision, average_precision
from wsps.evaluation.average_precision import CITYSCAPES_THRESHOLDS, VOC_THRESHOLDS
from wsps.evaluation.segment_matching import ScoredImage

CATEGORIES = make_categories(things=("car", "bus"), stuff=("road",))
ROAD, CAR, BUS = 10, 20, 30
CAR_INDEX = CATEGORIES.class_index_of[CAR]


def cars(
    truth_row: Sequence[int],
    predicted_row: Sequence[int],
    scores: dict[int, float],
    groups: Sequence[int] = (),
) -> ScoredImage:
    truth = make_label([truth_row], {i: ROAD if i == 9 else CAR for i in truth_row if i}, groups)
    prediction = make_label([predicted_row], {i: CAR for i in predicted_row if i})
    return score_image(truth, prediction, scores, CATEGORIES)


def car_precision(images: Sequence[ScoredImage], threshold: float) -> float:
    result = average_precision(images, CATEGORIES, [threshold])
    return float(result.at_threshold[0, CAR_INDEX])


def test_thresholds_are_the_decimals_they_look_like():
    assert VOC_THRESHOLDS == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    assert CITYSCAPES_THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def test_area_of_an_example_by_hand():
    image = cars([1, 1, 2, 2, 3, 3, 9, 9], [5, 5, 6, 6, 0, 0, 7, 7], {5: 0.9, 7: 0.8, 6: 0.7})
    # Hit, false alarm, hit: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3.
    assert car_precision([image], 0.5) == pytest.approx((1 + 2 / 3) / 3)


def test_precision_is_the_highest_at_that_recall_or_a_greater():
    image = cars([1, 2, 3, 9, 9], [5, 6, 7, 8, 4], {5: 0.9, 8: 0.8, 4: 0.75, 6: 0.7, 7: 0.6})
    # Precision at the three hits is 1, 2/4 and 3/5: the second is raised to the third.
    assert car_precision([image], 0.5) == pytest.approx((1 + 3 / 5 + 3 / 5) / 3)


def test_perfect_predictions_score_one_everywhere():
    label = make_label([[1, 1, 2, 3, 4, 4]], {1: ROAD, 2: CAR, 3: CAR, 4: BUS})
    image = score_image(label, label, {1: 0.2, 2: 0.4, 3: 0.3, 4: 1.0}, CATEGORIES)
    result = average_precision([image], CATEGORIES, CITYSCAPES_THRESHOLDS)
    assert (result.at_threshold == 1).all()
    assert (result.volume == 1).all()
    assert result.all == MeanPrecision(at_threshold=(1.0,) * 10, volume=1.0, num_classes=3)
    assert result.stuff.num_classes == 1
    assert result.things.num_classes == 2


def test_volume_is_the_mean_over_thresholds():
    image = cars([1, 1, 1, 1, 9], [5, 5, 0, 0, 0], {5: 0.9})  # IoU is exactly 0.5
    result = average_precision([image], CATEGORIES, VOC_THRESHOLDS)
    assert result.at_threshold[:, CAR_INDEX].tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 0]
    assert result.volume[CAR_INDEX] == result.things.volume == pytest.approx(5 / 9)
    # Road is there but not found, bus is not there.
    assert result.volume[0] == 0
    assert np.isnan(result.volume[2])
    assert result.all.at_threshold == (0.5,) * 5 + (0.0,) * 4
    assert result.all.num_classes == 2


def test_void_is_left_out_of_the_union():
    image = cars([1, 1, 0, 0, 0], [5, 5, 5, 5, 5], {5: 0.9})
    assert car_precision([image], 0.95) == 1


def test_a_class_without_truth_is_undefined_even_when_predicted():
    image = cars([9, 9, 9], [5, 5, 9], {5: 0.9, 9: 0.1})
    assert np.isnan(car_precision([image], 0.5))
    assert np.isnan(average_precision([], CATEGORIES, VOC_THRESHOLDS).all.volume)


def test_a_set_without_predictions_scores_zero():
    assert car_precision([cars([1, 1], [0, 0], {})], 0.1) == 0


def test_the_best_free_truth_is_taken():
    truth = [1] * 10 + [2] * 3
    predicted = [5] * 6 + [6] * 6 + [0]
    image = cars(truth, predicted, {5: 0.9, 6: 0.8})
    # Car 6 overlaps true car 1 by 4/12 and true car 2 by 2/7; car 5 takes true car 1 first.
    assert car_precision([image], 0.1) == 1
    assert car_precision([image], 0.3) == 1 / 2
    # The other way round, car 6 takes true car 1 and leaves none to car 5.
    mirrored = cars(truth[::-1], predicted[::-1], {5: 0.8, 6: 0.9})
    assert car_precision([mirrored], 0.1) == 1 / 2


@pytest.mark.parametrize("renaming", [{1: 1, 2: 2}, {1: 2, 2: 1}])
def test_of_equal_overlaps_the_first_in_reading_order_is_taken(renaming):
    truth = [renaming[i] for i in (1, 1, 2, 2)]
    # Car 5 overlaps both true cars by 1/3 and takes the left one.
    assert car_precision([cars(truth, [0, 5, 5, 6], {5: 0.9, 6: 0.8})], 0.3) == 1
    assert car_precision([cars(truth, [6, 5, 5, 0], {5: 0.9, 6: 0.8})], 0.3) == 1 / 2


def test_equal_scores_take_their_turn_by_image_then_by_segment():
    hit, miss = cars([1], [5], {5: 0.5}), cars([9], [5], {5: 0.5})
    assert car_precision([hit, miss], 0.5) == 1
    assert car_precision([miss, hit], 0.5) == 1 / 2
    both = cars([1, 9], [5, 6], {5: 0.5, 6: 0.5})
    assert car_precision([both], 0.5) == 1
    assert car_precision([cars([1, 9], [6, 5], {5: 0.5, 6: 0.5})], 0.5) == 1 / 2


def test_an_unmatched_segment_mostly_in_void_or_groups_is_left_out():
    scores = {5: 0.9, 6: 0.8}
    in_void = cars([9, 0, 0, 1, 1], [5, 5, 5, 6, 6], scores)
    in_group = cars([9, 2, 2, 1, 1], [5, 5, 5, 6, 6], scores, groups=[2])
    in_two_groups = cars([2, 9, 3, 1, 1], [5, 5, 5, 6, 6], scores, groups=[2, 3])
    half = cars([9, 9, 0, 0, 1], [5, 5, 5, 5, 6], scores)
    assert car_precision([in_void], 0.5) == 1
    assert car_precision([in_group], 0.5) == 1
    assert car_precision([in_two_groups], 0.5) == 1
    assert car_precision([half], 0.5) == 1 / 2


def test_a_matched_segment_counts_even_when_mostly_in_void():
    image = cars([9, 1, 0, 0], [5, 6, 6, 6], {5: 0.9, 6: 0.8})
    assert car_precision([image], 0.5) == 1 / 2


def test_the_background_counts_in_means_only_when_asked():
    categories = make_categories(things=("car",), stuff=("background",), background=True)
    truth = make_label([[1, 2]], {1: 10, 2: 20})
    image = score_image(truth, make_label([[1, 0]], {1: 10}), {1: 0.9}, categories)
    without = average_precision([image], categories, [0.5])
    within = average_precision([image], categories, [0.5], include_background=True)
    assert (without.all.volume, within.all.volume) == (0, 1 / 2)
    assert np.isnan(without.stuff.volume)
    assert within.stuff.volume == without.volume[0] == 1


@pytest.mark.parametrize("scores", [{}, {5: -0.1}, {5: 1.1}, {5: float("nan")}])
def test_a_score_that_is_missing_or_out_of_range_is_refused(scores):
    with pytest.raises(DatasetError, match="image 1: segment 5 of the prediction has the score"):
        cars([1], [5], scores)


def test_a_result_that_is_no_rate_cannot_be_made():
    two_cars = cars([1, 2], [5, 6], {5: 0.9, 6: 0.8})
    impossible = replace(two_cars, num_truth=two_cars.num_truth // 2)
    with pytest.raises(AssertionError):
        average_precision([impossible], CATEGORIES, [0.5])


def random_label(rng: np.random.Generator, image_id: int, base: FullLabel | None) -> FullLabel:
    """Nine cars and buses on a road; as predictions, near those of `base` and without road."""
    segment_map = np.full((48, 48), 99 if base is None else 0, dtype=np.int32)
    category_of = {99: ROAD}
    for number in range(9):
        y, x = 16 * (number // 3) + 2, 16 * (number % 3) + 2
        top, left, bottom, right = rng.integers(0, 3, 4) if base is None else rng.integers(-2, 7, 4)
        segment_map[y + top : y + 12 - bottom, x + left : x + 12 - right] = number + 1
        category_of[number + 1] = int(rng.choice([CAR, BUS]))
        if base is not None and rng.random() < 0.8:
            category_of[number + 1] = base.segments[number].category_id
    return build_label(image_id, segment_map, category_of)


def random_set(seed: int) -> list[tuple[FullLabel, FullLabel, dict[int, float]]]:
    rng = np.random.default_rng(seed)
    pairs = []
    for image_id in range(1, 4):
        truth = random_label(rng, image_id, None)
        pairs.append((truth, random_label(rng, image_id, truth)))
    scores = iter(rng.permutation(100) / 100)
    return [(t, p, {s.segment_id: float(next(scores)) for s in p.segments}) for t, p in pairs]


def test_order_of_images_and_of_segments_does_not_matter_when_scores_differ():
    samples = random_set(3)
    images = [score_image(*sample, CATEGORIES) for sample in samples]
    expected = average_precision(images, CATEGORIES, VOC_THRESHOLDS)
    assert 0.1 < expected.things.volume < 0.9
    shuffled = [
        score_image(
            replace(truth, segments=truth.segments[::-1]),
            replace(prediction, segments=prediction.segments[4:] + prediction.segments[:4]),
            scores,
            CATEGORIES,
        )
        for truth, prediction, scores in samples
    ]
    for order in permutations(shuffled):
        result = average_precision(order, CATEGORIES, VOC_THRESHOLDS)
        np.testing.assert_array_equal(result.at_threshold, expected.at_threshold)


def coco_entries(label: FullLabel, scores: dict[int, float] | None) -> list[dict]:
    entries = []
    for segment in label.segments:
        if segment.category_id == ROAD:
            continue
        mask = np.asfortranarray(label.segment_map == segment.segment_id).astype(np.uint8)
        entry = {
            "id": 1000 * label.image_id + segment.segment_id,
            "image_id": label.image_id,
            "category_id": segment.category_id,
            "segmentation": coco_mask.encode(mask),
            "area": segment.area,
            "iscrowd": 0,
        }
        entries.append(entry if scores is None else entry | {"score": scores[segment.segment_id]})
    return entries


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_agrees_with_pycocotools_within_its_sampling_of_the_curve(seed, capsys):
    samples = random_set(seed)
    images = [score_image(*sample, CATEGORIES) for sample in samples]
    ours = average_precision(images, CATEGORIES, VOC_THRESHOLDS).at_threshold[:, 1:]

    reference = COCO()
    reference.dataset = {
        "info": {},
        "images": [{"id": t.image_id, "width": 48, "height": 48} for t, _, _ in samples],
        "categories": [{"id": CAR, "name": "car"}, {"id": BUS, "name": "bus"}],
        "annotations": [e for truth, _, _ in samples for e in coco_entries(truth, None)],
    }
    reference.createIndex()
    found = [e for _, p, scores in samples for e in coco_entries(p, scores)]
    evaluation = COCOeval(reference, reference.loadRes(found), "segm")
    evaluation.params.iouThrs = np.array(VOC_THRESHOLDS)
    evaluation.evaluate()
    evaluation.accumulate()
    sampled = evaluation.eval["precision"][:, :, :, 0, -1].mean(axis=1)  # (R, K)
    assert len(np.unique(ours.round(2))) > 8
    # Both sum the same falling curve; 101 samples err by at most 1/100 of its height.
    np.testing.assert_allclose(ours, sampled, atol=0.01)
