"""How the answer holds on the test split, whose scores no other module reads.

A choice among mixes was made by the scores on val, so that the score of the chosen one is a little
too good there. On a split that no choice has seen it is not.
"""

from collections.abc import Sequence
from statistics import fmean

from annotools.commands.tables import percent
from studies.answers import named_mixes
from studies.results import TrialResult
from studies.summary import SCORES, deciding_budget, summary_table

HEADINGS = (
    *("budget (h)", "mix", "chosen on val", "PQ on val"),
    *(f"{heading} on test" for heading in SCORES.values()),
)


def score_rows(results: Sequence[TrialResult]) -> list[list[str]]:
    """Return the rows of a table with `HEADINGS`: scores in percent, means over seeds.

    They are of the budgets that the answer speaks of, or of the one that it would rest on; at each
    the mix that the answer names comes first. There are none where no trial has test scores.
    """
    tested = [result for result in results if result.test]
    named = named_mixes(results)
    hours = deciding_budget(summary_table(results))
    budgets = list(named) or ([] if hours is None else [hours])
    rows = []
    for budget in budgets:
        mixes = dict.fromkeys(r.mix for r in tested if r.budget_hours == budget)
        for mix in sorted(mixes, key=lambda mix: mix != named.get(budget)):
            own = [r for r in tested if (r.mix, r.budget_hours) == (mix, budget)]
            on_test = [_mean([r.test.get(score) for r in own]) for score in SCORES]
            chosen = "yes" if mix == named.get(budget) else ""
            rows.append([f"{budget:g}", mix, chosen, _mean([r.pq for r in own]), *on_test])
    return rows


def _mean(scores: Sequence[float | None]) -> str:
    defined = [score for score in scores if score is not None]
    return percent(fmean(defined) if defined else None)
