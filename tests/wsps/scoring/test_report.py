from dataclasses import replace

import numpy as np

from tests.builders import make_categories
from wsps.evaluation.rates import CrowdEffect, Measured, difference
from wsps.scoring.report import (
    Evaluation,
    evaluation_as_csv,
    rows_as_json,
    score_rows,
)

CATEGORIES = make_categories(stuff=("road",))
MEASURED = Measured(
    rates={"pq": np.array([0.5, np.nan, 0.5, np.nan, 0.5]), "ap_vol": np.full(5, 0.25)},
    counts={"tp": np.array([2, 0, 2, 0, 2])},
    resampled={},
)


def resampled(pq: float, ap: float = 0.25) -> dict[str, np.ndarray]:
    rates = np.full((10, 5), pq)
    rates[:, 1] = np.nan
    return {"pq": rates, "ap_vol": np.full((10, 5), ap)}


def as_csv(rows, second_rows=(), differences=()):
    return evaluation_as_csv(
        Evaluation(
            num_images=1,
            num_unasked=(0,),
            num_empty=(0,),
            has_things_alone=False,
            metrics=("pq", "ap"),
            rows=rows,
            second_rows=second_rows,
            differences=differences,
            crowd_effect=CrowdEffect(num_scores=0, most=0.0),
            remarks=(),
        )
    )


def test_undefined_is_null_in_json_and_empty_in_csv():
    rows = score_rows(MEASURED, CATEGORIES)
    assert [(row.name, row.kind) for row in rows] == [
        ("road", "stuff"),
        ("car", "thing"),
        *((name, "mean") for name in ("all", "things", "stuff")),
    ]
    assert rows_as_json(rows)[1] == {
        "name": "car",
        "kind": "thing",
        "pq": None,
        "ap_vol": 0.25,
        "tp": 0,
        "intervals": {},
    }
    assert as_csv(rows).splitlines()[:3] == [
        "name,kind,pq,ap_vol,tp",
        "road,stuff,0.5,0.25,2",
        "car,thing,,0.25,0",
    ]


def test_intervals_go_to_rates_that_some_resample_defines():
    rows = score_rows(replace(MEASURED, resampled=resampled(0.75)), CATEGORIES)
    assert rows[0].intervals == {"pq": (0.75, 0.75), "ap_vol": (0.25, 0.25)}
    assert rows[1].intervals == {"ap_vol": (0.25, 0.25)}
    assert as_csv(rows).splitlines()[:3] == [
        "name,kind,pq,ap_vol,tp,ap_vol_low,ap_vol_high,pq_low,pq_high",
        "road,stuff,0.5,0.25,2,0.25,0.25,0.75,0.75",
        "car,thing,,0.25,0,0.25,0.25,,",
    ]


def test_a_difference_is_second_minus_first_in_the_same_resamples():
    rates = {"pq": np.array([0.75, 0.5, 0.75, 0.5, np.nan])}
    first = replace(MEASURED, resampled=resampled(0.25))
    second = Measured(
        rates=rates | {"ap_vol": np.zeros(5)}, counts={}, resampled=resampled(0.75, ap=0.0)
    )
    rows = score_rows(difference(first, second), CATEGORIES)
    assert [row.rates["pq"] for row in rows] == [0.25, None, 0.25, None, None]
    assert rows[0].rates["ap_vol"] == -0.25
    assert rows[0].intervals == {"pq": (0.5, 0.5), "ap_vol": (-0.25, -0.25)}
    assert rows[0].counts == {}


def test_csv_of_a_comparison_has_both_and_their_difference():
    ones = {"pq": np.ones(5), "ap_vol": np.ones(5)}
    second = replace(MEASURED, rates=ones, resampled=resampled(0.75))
    first = replace(MEASURED, resampled=resampled(0.25))
    lines = as_csv(
        score_rows(MEASURED, CATEGORIES),
        score_rows(replace(second, resampled={}), CATEGORIES),
        score_rows(difference(first, second), CATEGORIES),
    ).splitlines()
    assert lines[0] == "of,name,kind,pq,ap_vol,tp,ap_vol_low,ap_vol_high,pq_low,pq_high"
    assert len(lines) == 1 + 3 * 5
    assert lines[1] == "first,road,stuff,0.5,0.25,2,,,,"
    assert lines[6] == "second,road,stuff,1.0,1.0,2,,,,"
    assert lines[11] == "difference,road,stuff,0.5,0.75,,0.0,0.0,0.5,0.5"
