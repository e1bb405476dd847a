"""Rows with curves, and pages of them, for tests."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotools.prices.times import read_times
from studies.page.page import make_page
from studies.results import TrialResult
from tests.studies.study_builders import make_result, make_study

BUDGETS = (1.0, 4.0, 16.0)
"""Of the rows with curves."""


def rows_of(
    scores: Mapping[str, Sequence[float]], seeds: Sequence[int] = (0, 1, 2), **changes: Any
) -> list[TrialResult]:
    """Rows of each mix at the budgets, around the scores; a seed is half a point from the next."""
    return [
        make_result(mix, hours, seed, score + seed / 200 + (seed * place % 2) / 500, **changes)
        for mix, of_mix in scores.items()
        for place, (hours, score) in enumerate(zip(BUDGETS, of_mix, strict=False))
        for seed in seeds
    ]


CROSSING = {"boxes": (0.45, 0.50, 0.52), "full": (0.30, 0.47, 0.60)}
"""Boxes are better with few hours, full labels with many."""


def page_of(rows: Sequence[TrialResult], folder: Path, **changes: Any) -> str:
    """The page of rows, in a study of their mixes, budgets and seeds."""
    table: dict[str, Any] = {
        "mixes": {mix: {"full": 1} for mix in dict.fromkeys(row.mix for row in rows)},
        "budgets_hours": sorted({row.budget_hours for row in rows}),
        "seeds": sorted({row.seed for row in rows}),
    }
    study = make_study(folder, **(table | changes))
    return make_page(study, rows, read_times(study.times), folder)


def priced(rows: Sequence[TrialResult]) -> list[TrialResult]:
    """The rows with what annotators did: all hours went into full images."""
    return [
        replace(row, times="/elsewhere/times.toml", actions={"full_image": row.spent_hours / 1.5})
        for row in rows
    ]
