"""A study's rows in short: the scores of each mix and budget over its seeds, and what beats chance.

A model has learnt something where it is above what needs no learning: one class everywhere.
"""

import math
from collections.abc import Sequence

import pandas as pd

from studies.results import TrialResult, to_frame

SCORES = {
    "pq": "PQ",
    "pq_things": "PQ things",
    "pq_stuff": "PQ stuff",
    "ap_vol": "AP_vol",
    "miou": "mIoU",
    "miou_semantic": "mIoU semantic",
}
"""The scores that are shown, with their headings; the last is of the semantic network alone."""

TRIVIAL_SCORES = ("trivial_pq", "trivial_miou", "filled_pq")
"""The scores of predictions that need no learning."""

LEAST_GAIN = 0.01
"""How far a score has to be above that of one class everywhere: a point."""


def summary_table(results: Sequence[TrialResult]) -> pd.DataFrame:
    """Return one row for each mix and budget: the mean, lowest and highest score of its seeds.

    Columns: `mix`, `budget_hours`, `num_seeds`, `spent_hours` and `images_KIND` (means), for each
    of `SCORES` in [0, 1] `SCORE_mean`, `SCORE_min` and `SCORE_max`, for each of `TRIVIAL_SCORES`
    `SCORE_mean`; NaN where undefined. `beats_trivial` tells whether mean PQ is `LEAST_GAIN`
    above that of one class everywhere, and mean mIoU not below, of the best that a row has; where
    PQ is undefined mIoU has to be above, and where both are, as in rows of older versions, it is
    None. `beats_filled` tells whether the mean PQ of rows that have both is above that of boxes
    filled; None where none has. Mixes come in the order of the results, budgets rising.
    """
    scores = dict.fromkeys((*SCORES, *TRIVIAL_SCORES), float)
    frame = to_frame(list(results)).astype(scores)
    # A category sorts by the order in which mixes come.
    frame["mix"] = pd.Categorical(frame["mix"], frame["mix"].unique())
    columns = {"num_seeds": ("seed", "size"), "spent_hours": ("spent_hours", "mean")}
    columns |= {f"{s}_{name}": (s, name) for s in SCORES for name in ("mean", "min", "max")}
    columns |= {f"{s}_mean": (s, "mean") for s in TRIVIAL_SCORES}
    columns |= {c: (c, "mean") for c in frame.columns if c.startswith("images_")}
    table = frame.groupby(["mix", "budget_hours"], observed=True).agg(**columns).reset_index()
    gains = []
    for score in ("pq", "miou"):
        trivial = table[f"trivial_{score}_mean"]
        # Rows of older versions have that of their own labels: clicks do not tell which class has
        # most pixels.
        gains.append(table[f"{score}_mean"] - trivial.where(trivial.isna(), trivial.max()))
    verdicts = [_beats(of_mix) for of_mix in zip(gains[0], gains[1], strict=True)]
    table["beats_trivial"] = pd.Series(verdicts, dtype=object)
    both = frame.dropna(subset=["pq", "filled_pq"])
    gained = (both["pq"] - both["filled_pq"]).groupby(
        [both["mix"], both["budget_hours"]], observed=True
    )
    gain_of = gained.mean().to_dict()
    points = zip(table["mix"], table["budget_hours"], strict=True)
    table["beats_filled"] = pd.Series(
        [gain_of[point] > 0 if point in gain_of else None for point in points], dtype=object
    )
    return table.astype({"mix": object})


def deciding_budget(table: pd.DataFrame) -> float | None:
    """Return the budget in hours that an answer rests on, None where no PQ is defined.

    It is the largest at which two mixes have a PQ; where there is none, the largest with a PQ.

    Args:
        table: what `summary_table` returns.
    """
    hours = table["budget_hours"][table["pq_mean"].notna()]
    compared = hours[hours.duplicated()]
    if hours.empty:
        return None
    return float((hours if compared.empty else compared).max())


def has_learnt_nothing(table: pd.DataFrame) -> bool:
    """Return whether at the deciding budget no mix beats one class everywhere.

    It is false where that is not known of all of them.

    Args:
        table: what `summary_table` returns.
    """
    return _none_passes(table, "beats_trivial")


def never_learnt(table: pd.DataFrame) -> list[str]:
    """Return the mixes that are no better than one class everywhere at any budget.

    There is none where no mix has learnt, as `has_learnt_nothing` says. A mix without a score at
    the deciding budget is none: with more hours it may learn. Budgets are those of the study: with
    other prices others would decide.

    Args:
        table: what `summary_table` returns.
    """
    if has_learnt_nothing(table):
        return []
    decided = set(table["mix"][table["budget_hours"] == deciding_budget(table)])
    beats = table.groupby("mix", sort=False)["beats_trivial"]
    return [
        str(mix)
        for mix, verdicts in beats
        if mix in decided and all(verdict is False for verdict in verdicts)
    ]


def masks_have_learnt_nothing(table: pd.DataFrame) -> bool:
    """Return whether at the deciding budget no mix has a higher PQ than its boxes filled.

    It is false where that is not known of all of them.

    Args:
        table: what `summary_table` returns.
    """
    return _none_passes(table, "beats_filled")


def _none_passes(table: pd.DataFrame, verdict: str) -> bool:
    """Return whether a verdict is false of all mixes at the deciding budget."""
    rows = table[table["budget_hours"] == deciding_budget(table)]
    return len(rows) > 0 and all(passed is False for passed in rows[verdict])


def _beats(gains: tuple[float, float]) -> bool | None:
    """Return whether gains in PQ and mIoU are large enough; None where both are undefined."""
    # Rounded, so that one point exactly is no matter of the last binary digit.
    pq, miou = (round(gain, 9) for gain in gains)
    if math.isnan(pq):
        return None if math.isnan(miou) else miou >= LEAST_GAIN
    return pq >= LEAST_GAIN and not miou < 0  # An undefined one compares as false.
