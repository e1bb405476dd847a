"""The Pareto front of a study: what no other purchase beats for the same hours or fewer."""

from collections.abc import Sequence
from dataclasses import dataclass

from studies.results import TrialResult
from studies.summary import summary_table


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """A mix at a budget in hours, and its mean PQ in [0, 1] over the seeds."""

    mix: str
    hours: float
    score: float


def pareto_front(results: Sequence[TrialResult]) -> tuple[FrontPoint, ...]:
    """Return the points with a higher mean PQ than all with as many hours or fewer, hours rising.

    Of equal scores that with fewer hours is on the front, and of those the mix that comes first.
    """
    table = summary_table(results)
    table = table[table["pq_mean"].notna()]
    # Stable, so that mixes with equal means keep the order of the study.
    table = table.sort_values("pq_mean", ascending=False, kind="stable")
    table = table.sort_values("budget_hours", kind="stable")
    front: list[FrontPoint] = []
    for row in table[["mix", "budget_hours", "pq_mean"]].itertuples(index=False, name=None):
        mix, hours, score = str(row[0]), float(row[1]), float(row[2])
        if not front or score > front[-1].score:
            front.append(FrontPoint(mix=mix, hours=hours, score=score))
    return tuple(front)
