"""An evaluation becomes rows that can be printed or stored: scores, intervals, differences."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotools.categories import CategorySet
from wsps.evaluation.rates import CrowdEffect, Measured, interval

_MEANS = ("all", "things", "stuff")
_ENDS = ("low", "high")

Ends = tuple[float, float]
"""The lower and the upper end of an interval."""


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """A class, or a mean over classes (`kind` is then `mean`).

    `rates` are in [0, 1] by name, None where undefined; of a comparison they are differences in
    [-1, 1]. `counts` are by name, sums over its classes for a mean. `intervals` are of rates, by
    name; a rate that no resample defines has none.
    """

    name: str
    kind: str
    rates: Mapping[str, float | None]
    counts: Mapping[str, int]
    intervals: Mapping[str, Ends]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of `num_images` images: a row for each class, then the three means.

    `second_rows` are the second prediction's, `differences` the second minus the first; both are
    empty without a second one. `num_unasked` counts predicted images that the truth does not have,
    `num_empty` predicted masks without a pixel, of each prediction. `has_things_alone` is true
    where average precision leaves out stuff. `remarks` say what is particular to the files.
    """

    num_images: int
    num_unasked: tuple[int, ...]
    num_empty: tuple[int, ...]
    has_things_alone: bool
    metrics: tuple[str, ...]
    rows: tuple[ScoreRow, ...]
    second_rows: tuple[ScoreRow, ...]
    differences: tuple[ScoreRow, ...]
    crowd_effect: CrowdEffect
    remarks: tuple[str, ...]


def score_rows(measured: Measured, categories: CategorySet) -> tuple[ScoreRow, ...]:
    """Return a row for each class and mean; rates that are resampled have intervals."""
    heads = [(c.name, "thing" if c.is_thing else "stuff") for c in categories.categories]
    heads += [(name, "mean") for name in _MEANS]
    ends = {name: interval(values) for name, values in measured.resampled.items()}
    return tuple(
        ScoreRow(
            name=name,
            kind=kind,
            rates={key: none_if_undefined(values[place]) for key, values in measured.rates.items()},
            counts={key: int(values[place]) for key, values in measured.counts.items()},
            intervals={
                key: (float(low[place]), float(high[place]))
                for key, (low, high) in ends.items()
                if not np.isnan(low[place])
            },
        )
        for place, (name, kind) in enumerate(heads)
    )


def rows_as_json(rows: Sequence[ScoreRow]) -> list[dict[str, Any]]:
    """Return an object for each row; intervals are lists of two numbers."""
    return [
        {
            "name": row.name,
            "kind": row.kind,
            **row.rates,
            **row.counts,
            "intervals": {name: list(ends) for name, ends in row.intervals.items()},
        }
        for row in rows
    ]


def evaluation_as_csv(evaluation: Evaluation) -> str:
    """Return a table with a heading; what is undefined, or no count, is an empty field.

    Of a comparison the first column says what a row is of: `first`, `second` or `difference`.
    """
    parts = {"first": evaluation.rows}
    if is_comparison := bool(evaluation.differences):
        parts |= {"second": evaluation.second_rows, "difference": evaluation.differences}
    first, rows = evaluation.rows[0], [row for part in parts.values() for row in part]
    # A rate may have an interval in some rows only: it has columns if any row has one.
    bounded = sorted({name for row in rows for name in row.intervals})
    heads = ["name", "kind", *first.rates, *first.counts]
    heads += [f"{name}_{end}" for name in bounded for end in _ENDS]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["of", *heads] if is_comparison else heads)
    for part, of_part in parts.items():
        for row in of_part:
            ends = [end for name in bounded for end in row.intervals.get(name, (None, None))]
            counts = [row.counts.get(name) for name in first.counts]
            fields = [row.name, row.kind, *row.rates.values(), *counts, *ends]
            writer.writerow([part, *fields] if is_comparison else fields)
    return text.getvalue()


def none_if_undefined(rate: float) -> float | None:
    """Return a rate as JSON has it: None for NaN."""
    return None if np.isnan(rate) else float(rate)
