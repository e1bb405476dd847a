"""How often the advice of `annotools study recommend` is right, in worlds with a known answer.

    python benchmarks/advice.py [--studies 200] [--hours 32]

Each study is drawn from curves that are known: five budgets of 1 to 16 hours, three seeds, noise of
a point and as much between seeds. It prints a table, a row for each world:

- covered: how often the 90 % interval holds the true score, at twice and at four times the largest
  budget, of all mixes that are predicted; refused: how often boxes are not.
- bought, tied: how often that was the verdict; wrong: how often a mix was bought that loses more
  than delta, or any in the world where all are alike.
- lost: mean points behind the best mix, of following the advice (where it names no mix, the one
  with the best prediction, or, where there is none, the best mean at the largest budget), of always
  taking one mix, and of taking whichever measured best at the largest budget.

About seven minutes on one core that others use too.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from worlds import BOXES, BUDGETS_HOURS, FULL, HALF, WORLDS, Truth, draw_rows

from annotools.commands.tables import console, table
from studies.advice.advise import advise
from studies.advice.records import Advice
from studies.advice.verdict import BUY, TIE
from studies.results import TrialResult

FACTORS = (2, 4)
"""How far beyond the largest budget coverage is counted."""

HEADS = (
    "world", *(f"covered at {factor}x" for factor in FACTORS), "refused", "bought", "wrong",
    "tied", "lost: advice", BOXES, HALF, FULL, "best measured",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One study: covered intervals by factor, None where refused; losses in [0, 1] by strategy."""

    covered: dict[int, list[bool | None]]
    advice: Advice
    is_wrong: bool
    losses: dict[str, float]


def main(
    studies: Annotated[int, typer.Option(help="Studies drawn from each world.")] = 200,
    hours: Annotated[float, typer.Option(help="Hours of which advice is asked.")] = 32.0,
) -> None:
    """Print how good the advice is in each world."""
    shown = table(HEADS)
    for number, (name, draw_truth) in enumerate(WORLDS.items()):
        # A world keeps its studies when others are added or dropped.
        rng = np.random.default_rng([number, studies])
        outcomes = [judge(draw_truth(rng), rng, hours) for _ in range(studies)]
        shown.add_row(name, *describe(outcomes))
    console().print(shown)


def judge(truth: Truth, rng: np.random.Generator, hours: float) -> Outcome:
    """Draw a study and compare its advice with the truth."""
    rows = draw_rows(truth, rng)
    advice = advise(rows, hours)
    covered: dict[int, list[bool | None]] = {}
    for factor in FACTORS:
        at = factor * BUDGETS_HOURS[-1]
        asked = advice if at == hours else advise(rows, at)
        covered[factor] = [
            None if m.low is None or m.high is None else bool(m.low <= truth[mix](at) <= m.high)
            for mix, m in asked.mixes.items()
        ]
    true = {mix: float(curve(hours)) for mix, curve in truth.items()}
    losses = {mix: max(true.values()) - score for mix, score in true.items()}
    finals = final_means(rows)
    last = max(finals, key=lambda mix: finals[mix])
    chosen = advice.mix or max(advice.mixes, key=lambda m: advice.mixes[m].score or finals[m])
    are_alike = len(set(true.values())) == 1
    wrong = advice.mix is not None and (are_alike or losses[advice.mix] > advice.delta)
    losses |= {"advice": losses[chosen], "best measured": losses[last]}
    return Outcome(covered=covered, advice=advice, is_wrong=wrong, losses=losses)


def final_means(rows: list[TrialResult]) -> dict[str, float]:
    """Return the mean score of each mix at the largest budget."""
    last: dict[str, list[float]] = {}
    for row in rows:
        if row.budget_hours == BUDGETS_HOURS[-1] and row.pq is not None:
            last.setdefault(row.mix, []).append(row.pq)
    return {mix: float(np.mean(scores)) for mix, scores in last.items()}


def describe(outcomes: list[Outcome]) -> list[str]:
    """Return the cells of a row: shares in percent, losses in points."""
    cells = []
    for factor in FACTORS:
        known = [c for o in outcomes for c in o.covered[factor] if c is not None]
        cells.append(f"{100 * np.mean(known):.0f} %")
    refused = [o.advice.mixes[BOXES].score is None for o in outcomes]
    verdicts = [o.advice.verdict for o in outcomes]
    shares = [
        np.mean(refused),
        np.mean([verdict == BUY for verdict in verdicts]),
        np.mean([o.is_wrong for o in outcomes]),
        np.mean([verdict == TIE for verdict in verdicts]),
    ]
    cells += [f"{100 * share:.0f} %" for share in shares]
    strategies = ("advice", BOXES, HALF, FULL, "best measured")
    return cells + [f"{100 * np.mean([o.losses[s] for o in outcomes]):.2f}" for s in strategies]


if __name__ == "__main__":
    typer.run(main)
