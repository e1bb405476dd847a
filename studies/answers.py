"""What a study found, in sentences: the answer, and what has to be known with it."""

from collections.abc import Sequence

import pandas as pd

from annotools.commands.tables import join_words, percent
from studies.convergence import unconverged
from studies.results import TrialResult
from studies.summary import (
    LEAST_GAIN,
    deciding_budget,
    has_learnt_nothing,
    masks_have_learnt_nothing,
    summary_table,
)


def answer(results: Sequence[TrialResult]) -> str:
    """Return in a sentence which mix leads at the largest budget, by how much, and how sure.

    The smallest budget is named as well when another mix leads there. Budgets at which fewer than
    two mixes have a defined PQ are passed over. Where no mix beats one class everywhere at the
    largest budget nobody leads: that is said, and what to do. Where none beats its own boxes filled
    that comes first.
    """
    table = summary_table(results)
    if has_learnt_nothing(table):
        return _describe_nothing(table, results)
    named = list(named_mixes(results))
    if not named:
        return "There is nothing to compare: no budget has a defined PQ for two mixes."
    table = table[table["pq_mean"].notna()]
    sentence = "; but ".join(_describe_lead(table, hours) for hours in named)
    return f"{boxes_alone(results)}{sentence[0].upper()}{sentence[1:]}."


def boxes_alone(results: Sequence[TrialResult]) -> str:
    """Say that no mix has masks worth more than its boxes filled; empty where one has."""
    table = summary_table(results)
    if has_learnt_nothing(table) or not masks_have_learnt_nothing(table):
        return ""
    hours = deciding_budget(table)
    return (
        f"At {hours:g} h the masks of no mix are worth more than its predicted boxes filled: what "
        "differs is how well boxes and classes are found. "
    )


def named_mixes(results: Sequence[TrialResult]) -> dict[float, str]:
    """Return the mix that the answer names at each budget that it speaks of, the largest first.

    Where mixes tie it is the first of the two. There is none where nothing is compared, or nothing
    was learnt.
    """
    table = summary_table(results)
    if has_learnt_nothing(table):
        return {}
    table = table[table["pq_mean"].notna()]
    mixes_at = table.groupby("budget_hours").size()
    budgets = sorted(float(hours) for hours in mixes_at[mixes_at > 1].index)
    if not budgets:
        return {}
    leader = {h: str(_ranking(table, h)["mix"].iloc[0]) for h in (budgets[-1], budgets[0])}
    smallest = table["beats_trivial"][table["budget_hours"] == budgets[0]]
    # Where nobody has learnt anything, the order of mixes is chance.
    is_chance = all(verdict is False for verdict in smallest)
    if is_chance or leader[budgets[0]] == leader[budgets[-1]]:
        return {budgets[-1]: leader[budgets[-1]]}
    return leader


def caveats(results: Sequence[TrialResult]) -> tuple[str, ...]:
    """Return what has to be known with the answer, a text each; none where all is well.

    Mixes and budgets that do not beat one class everywhere are named, those whose PQ is not above
    that of their own boxes filled, mixes whose labels taught no detector, trainings that had not
    converged, and rows that were scored on other labels. What rows of older versions do not tell is
    passed over.
    """
    table = summary_table(results)
    found = []
    if not has_learnt_nothing(table):
        beats = table["beats_trivial"].map(lambda verdict: verdict is not False)
        if not beats.all():
            found.append(f"No better than one class everywhere: {_name_points(table[~beats])}.")
        filled = table[beats & table["beats_filled"].map(lambda verdict: verdict is False)]
        if not filled.empty:
            found.append(
                "Masks are worth no more than the predicted boxes filled, by PQ: "
                f"{_name_points(filled)}."
            )
    taught = _taught_detectors(results)
    untaught = [f'"{mix}"' for mix in taught if not taught[mix]]
    # Where it is so of all that learnt nothing, the answer says it.
    if untaught and (any(taught.values()) or not has_learnt_nothing(table)):
        found.append(
            f"No label says what boxes there are, so that no thing is found: {', '.join(untaught)}."
        )
    found += [unconverged(results), other_truth(results)]
    return tuple(filter(None, found))


def other_truth(results: Sequence[TrialResult]) -> str:
    """Say that rows were scored on different images or labels; empty where they were not.

    What one class everywhere scores tells of these alone.
    """
    pairs = [(row.trivial_pq, row.trivial_miou) for row in results if row.trivial_miou is not None]
    # Other machines may add up in another order.
    known = {tuple(f"{score:.9g}" for score in pair if score is not None) for pair in pairs}
    if len(known) < 2:
        return ""
    return (
        "Rows were scored on different images or labels, as one class everywhere scores "
        "differently on them: the dataset has changed in between; make them anew in another folder."
    )


def _taught_detectors(results: Sequence[TrialResult]) -> dict[str, bool]:
    """Return for each mix whether its labels taught a detector in any trial.

    Mixes of data without things, and of rows that do not tell, are left out.
    """
    found: dict[str, bool] = {}
    for row in results:
        if row.steps and row.pq_things is not None:
            found[row.mix] = found.get(row.mix, False) or "detector" in row.steps
    return found


def _describe_nothing(table: pd.DataFrame, results: Sequence[TrialResult]) -> str:
    hours = deciding_budget(table)
    assert hours is not None
    best = _ranking(table, hours).iloc[0]
    # All mixes are held against the best such prediction of the study.
    trivial = [table[f"trivial_{score}_mean"].max() for score in ("pq", "miou")]
    remedy = "Train"
    if "none" in {result.weights for result in results}:
        remedy = 'Start from pretrained weights (recipe.inherit = "frozen"), train'
    semantic = table["miou_semantic_mean"][table["budget_hours"] == hours].max()
    # Semantics are learnt before things are found, and tell what to do.
    semantics = ""
    has_things = table["pq_things_mean"].notna().any()
    if has_things and round(semantic - trivial[1], 9) >= LEAST_GAIN:
        semantics = (
            f"Semantics alone have learnt (mIoU {percent(semantic)} %): what is missing are "
            "things, so train the detector longer, or lower recipe.instance.score_threshold. "
        )
    taught = _taught_detectors(results).values()
    if taught and not any(taught):
        semantics = (
            "No label says what boxes there are, so that no thing is found: buy boxes or full "
            "labels too. "
        )
    return (
        "These models have learnt nothing that can be told from one class everywhere, so that no "
        f"label kind can be recommended: at {hours:g} h no mix is a point above it in PQ without "
        f'being below it in mIoU (the best, "{best["mix"]}": PQ {percent(best["pq_mean"])} %, '
        f"mIoU {percent(best['miou_mean'])} %; one class everywhere: "
        f"{percent(trivial[0])} % and {percent(trivial[1])} %). {semantics}"
        f"{remedy} longer (recipe.semantic.steps, recipe.detector.steps; of few photos on a frozen "
        "backbone recipe.views.per_photo too), or study fewer categories (dataset.categories), "
        "with another --out."
    )


def _name_points(table: pd.DataFrame) -> str:
    """Name mixes with their budgets: "full" at 2 h and 6 h."""
    named = []
    for mix in table["mix"].unique():
        hours = [f"{h:g} h" for h in table["budget_hours"][table["mix"] == mix]]
        named.append(f'"{mix}" at {join_words(hours)}')
    return "; ".join(named)


def _ranking(table: pd.DataFrame, budget_hours: float) -> pd.DataFrame:
    rows = table[table["budget_hours"] == budget_hours]
    # Stable, so that mixes with equal means keep the order of the study.
    return rows.sort_values("pq_mean", ascending=False, kind="stable")


def _describe_lead(table: pd.DataFrame, budget_hours: float) -> str:
    ranking = _ranking(table, budget_hours)
    best, second = ranking.iloc[0], ranking.iloc[1]
    points = 100 * (best["pq_mean"] - second["pq_mean"])
    if min(best["num_seeds"], second["num_seeds"]) == 1:
        certainty = "one seed cannot tell whether that would happen again"
    elif best["pq_min"] <= second["pq_max"]:
        certainty = "the seeds' ranges overlap, so this is not settled"
    else:
        certainty = "the seeds' ranges do not overlap"
    leading = f"{percent(best['pq_mean'])} %"
    # A difference that is printed as 0.0 is a tie to the reader.
    if f"{points:.1f}" == "0.0":
        return f'at {budget_hours:g} h, "{best["mix"]}" and "{second["mix"]}" tie at {leading} PQ'
    return (
        f'at {budget_hours:g} h, "{best["mix"]}" has the highest mean PQ, {leading}, '
        f'{points:.1f} points above "{second["mix"]}" ({certainty})'
    )
