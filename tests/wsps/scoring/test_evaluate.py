import contextlib
import io
import json
import math
import warnings
from dataclasses import replace

import pytest

from annotools.errors import DatasetError
from tests.builders import make_categories, make_label
from tests.wsps.panoptic_files import write_panoptic, write_random_pair
from tests.wsps.scoring_settings import make_settings
from wsps.scoring.evaluate import evaluate_predictions
from wsps.scoring.panoptic_files import read_panoptic_task

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from cityscapesscripts.evaluation.evalPanopticSemanticLabeling import (
        average_pq,
        pq_compute_single_core,
    )

CATEGORIES = make_categories(things=("car", "person", "bus"), stuff=("road", "sky", "grass"))
SETTINGS = make_settings()


def reference_results(truth, prediction):
    true_content, content = json.loads(truth.read_text()), json.loads(prediction.read_text())
    categories = {c["id"]: c for c in true_content["categories"]}
    predicted_of = {a["image_id"]: a for a in content["annotations"]}
    pairs = [(a, predicted_of[a["image_id"]]) for a in true_content["annotations"]]
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stat = pq_compute_single_core(
            0, pairs, truth.with_suffix(""), prediction.with_suffix(""), categories
        )
        return stat, average_pq(stat, categories)


@pytest.mark.parametrize("seed", range(6))
def test_official_crowds_give_the_figures_of_the_reference(tmp_path, seed):
    truth, prediction = write_random_pair(tmp_path, CATEGORIES, seed)
    stat, expected = reference_results(truth, prediction)
    task = read_panoptic_task(truth, prediction)
    found = evaluate_predictions([task], replace(SETTINGS, all_groups=False))
    row_of = {row.name: row for row in found.rows}
    for category in CATEGORIES.categories:
        row, counts = row_of[category.name], stat[category.category_id]
        assert row.counts == {"tp": counts.tp, "fp": counts.fp, "fn": counts.fn}
        for name, theirs in (("pq", "pq"), ("sq", "sq"), ("dq", "rq")):
            if row.rates[name] is None:  # The reference says 0, and leaves it out as we do.
                assert counts.tp + counts.fp + counts.fn == 0
            else:
                value = expected["per_class"][category.category_id][theirs]
                assert row.rates[name] == pytest.approx(value, abs=1e-9)
    for mean in ("All", "Things", "Stuff"):
        for name, theirs in (("pq", "pq"), ("sq", "sq"), ("dq", "rq")):
            value = row_of[mean.lower()].rates[name]
            assert value == pytest.approx(expected[mean][theirs], abs=1e-9)


def test_the_rules_for_crowds_differ_as_said(tmp_path):
    differing = 0
    for seed in range(6):
        truth, prediction = write_random_pair(tmp_path / str(seed), CATEGORIES, seed)
        task = read_panoptic_task(truth, prediction)
        ours = evaluate_predictions([task], SETTINGS)
        official = evaluate_predictions([task], replace(SETTINGS, all_groups=False))
        changes = [
            math.nan if None in (a.rates[name], b.rates[name]) else a.rates[name] - b.rates[name]
            for a, b in zip(ours.rows, official.rows, strict=True)
            for name in ("pq", "sq", "dq")
            if a.rates[name] != b.rates[name]
        ]
        assert ours.crowd_effect == official.crowd_effect
        assert ours.crowd_effect.num_scores == len(changes)
        most = max((abs(c) for c in changes if not math.isnan(c)), default=0)
        assert ours.crowd_effect.most == most
        differing += len(changes)
    assert differing


def test_the_rules_for_crowds_are_compared_on_both_predictions(tmp_path):
    truth, prediction = write_random_pair(tmp_path, CATEGORIES, 0)
    task, copy = read_panoptic_task(truth, prediction), read_panoptic_task(truth, truth)
    first, second = (evaluate_predictions([t], SETTINGS).crowd_effect for t in (task, copy))
    assert min(first.num_scores, second.num_scores) > 0
    for pair in ((task, copy), (copy, task)):
        both = evaluate_predictions(pair, SETTINGS).crowd_effect
        assert both.num_scores == first.num_scores + second.num_scores
        assert both.most == max(first.most, second.most)


def test_panoptic_quality_does_not_move_by_a_bit_when_the_ranking_changes(tmp_path):
    task = read_panoptic_task(*write_random_pair(tmp_path, CATEGORIES, 1, scored=True))
    by_detection, by_oracle = (
        evaluate_predictions([task], replace(SETTINGS, ranking=ranking))
        for ranking in ("detection", "oracle")
    )
    for one, other in zip(by_detection.rows, by_oracle.rows, strict=True):
        for name in ("pq", "sq", "dq", "iou"):
            assert one.rates[name] == other.rates[name]
    assert by_detection.rows[-3].rates["ap_vol"] < by_oracle.rows[-3].rates["ap_vol"]


def test_two_processes_find_what_one_finds(tmp_path):
    task = read_panoptic_task(*write_random_pair(tmp_path, CATEGORIES, 2, scored=True))
    one = evaluate_predictions([task], SETTINGS)
    assert evaluate_predictions([task], replace(SETTINGS, workers=2)) == one


def test_a_prediction_compared_with_itself_differs_by_nothing(tmp_path):
    task = read_panoptic_task(*write_random_pair(tmp_path, CATEGORIES, 3))
    found = evaluate_predictions([task, task], replace(SETTINGS, num_resamples=50))
    for row in found.differences:
        assert set(row.rates.values()) <= {0.0, None}
        assert set(row.intervals.values()) <= {(0.0, 0.0)}
    assert found.differences[-3].intervals


def test_intervals_of_average_precision_and_its_differences(tmp_path):
    truth, prediction = write_random_pair(tmp_path, CATEGORIES, 5, num_images=12, scored=True)
    task = read_panoptic_task(truth, prediction)
    _, other = write_random_pair(tmp_path / "other", CATEGORIES, 5, num_images=12, scored=True)
    content = json.loads(other.read_text())
    for segment in (s for a in content["annotations"] for s in a["segments_info"]):
        segment["score"] = 1 - segment["score"]
    other.write_text(json.dumps(content))
    found = evaluate_predictions(
        [task, read_panoptic_task(truth, other)], replace(SETTINGS, num_resamples=200)
    )
    for row, difference in zip(found.rows, found.differences, strict=True):
        low, high = row.intervals["ap_vol"]
        assert low <= row.rates["ap_vol"] <= high
        assert low < high
        # The masks are the same, so that panoptic quality is; only the ranks differ.
        assert difference.intervals["pq"] == (0, 0)
        low, high = difference.intervals["ap_vol"]
        assert low <= difference.rates["ap_vol"] <= high
        assert low < high


def test_a_difference_is_the_second_minus_the_first(tmp_path):
    truth, prediction = write_random_pair(tmp_path, CATEGORIES, 4)
    task, perfect = read_panoptic_task(truth, prediction), read_panoptic_task(truth, truth)
    found = evaluate_predictions([task, perfect], replace(SETTINGS, num_resamples=100))
    best = evaluate_predictions([perfect], SETTINGS)
    assert [row.rates for row in found.second_rows] == [row.rates for row in best.rows]
    assert found.second_rows[-3].intervals["iou"] == (1, 1)
    for difference, first, second in zip(found.differences, found.rows, best.rows, strict=True):
        if None not in (first.rates["iou"], second.rates["iou"]):
            assert difference.rates["iou"] == second.rates["iou"] - first.rates["iou"]
    overall = found.differences[-3]
    low, high = overall.intervals["pq"]
    assert 0 < low <= overall.rates["pq"] <= high


def edit_scores(path, edit):
    """Change each segment of a file, given its object and whether it is a thing."""
    things = {c.category_id for c in CATEGORIES.categories if c.is_thing}
    content = json.loads(path.read_text())
    for number, annotation in enumerate(content["annotations"]):
        for segment in annotation["segments_info"]:
            edit(segment, segment["category_id"] in things, number)
    path.write_text(json.dumps(content))


def drop_stuff_scores(segment, is_thing, number):
    # In one image alone: the others' do not count either.
    if not is_thing and number == 0:
        del segment["score"]


def precision(evaluation):
    return {row.name: row.rates["ap_vol"] for row in evaluation.rows}


def test_stuff_without_scores_leaves_the_precision_of_things(tmp_path):
    truth, prediction = write_random_pair(tmp_path, CATEGORIES, 6, scored=True)
    both = evaluate_predictions([read_panoptic_task(truth, prediction)], SETTINGS)
    assert not both.has_things_alone
    edit_scores(prediction, drop_stuff_scores)
    for metrics in ((), ("ap",)):
        settings = replace(SETTINGS, metrics=metrics)
        found = evaluate_predictions([read_panoptic_task(truth, prediction)], settings)
        assert found.has_things_alone
        assert "ap" in found.metrics
        expected = precision(both) | dict.fromkeys(("road", "sky", "grass", "stuff"))
        assert precision(found) == expected | {"all": precision(both)["things"]}


def test_a_comparison_is_of_things_if_one_prediction_has_scores_of_things_alone(tmp_path):
    truth, prediction = write_random_pair(tmp_path, CATEGORIES, 6, scored=True)
    _, other = write_random_pair(tmp_path / "other", CATEGORIES, 6, scored=True)
    edit_scores(other, drop_stuff_scores)
    tasks = [read_panoptic_task(truth, path) for path in (prediction, other)]
    for pair in (tasks, tasks[::-1]):
        found = evaluate_predictions(pair, replace(SETTINGS, num_resamples=20))
        assert found.has_things_alone
        assert [row.rates["ap_vol"] for row in found.rows[3:]] == [
            row.rates["ap_vol"] for row in found.second_rows[3:]
        ]
        assert found.differences[-3].intervals["ap_vol"] == (0, 0)


def test_a_thing_without_a_score_leaves_no_precision(tmp_path):
    truth, prediction = write_random_pair(tmp_path, CATEGORIES, 6, scored=True)
    edit_scores(prediction, lambda segment, _, number: number or segment.pop("score"))
    task = read_panoptic_task(truth, prediction)
    found = evaluate_predictions([task], SETTINGS)
    assert (found.metrics, found.has_things_alone) == (("pq", "miou"), False)
    with pytest.raises(DatasetError, match="has no score: give each thing one in") as caught:
        evaluate_predictions([task], replace(SETTINGS, metrics=("ap",)))
    named = int(str(caught.value).partition(": segment ")[2].split()[0])
    category_id = task.images[0].prediction.category_of[named]
    assert CATEGORIES.by_id(category_id).is_thing


@pytest.mark.parametrize("metrics", [(), ("ap",)])
def test_things_that_are_all_missed_have_a_precision_of_zero(tmp_path, metrics):
    road, car, person = 10, 40, 50
    truth = make_label([[1, 2, 3]], {1: road, 2: car, 3: person})
    # Nothing has a score, and what is predicted is stuff, which needs none.
    prediction = make_label([[1, 0, 0]], {1: road})
    paths = [
        write_panoptic(tmp_path / f"{name}.json", [label], CATEGORIES)
        for name, label in (("truth", truth), ("prediction", prediction))
    ]
    found = evaluate_predictions([read_panoptic_task(*paths)], replace(SETTINGS, metrics=metrics))
    assert "ap" in found.metrics
    assert found.has_things_alone
    missed = ("car", "person", "things", "all")
    others = ("road", "sky", "grass", "bus", "stuff")
    assert precision(found) == dict.fromkeys(missed, 0) | dict.fromkeys(others)
