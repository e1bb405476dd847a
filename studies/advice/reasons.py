"""Why a verdict is what it is, in clauses: what curves cannot say, and on what it hangs."""

from collections.abc import Collection, Mapping, Sequence

from studies.advice.cells import Floats
from studies.advice.crossings import Crossing
from studies.advice.curves import Curves, has_all_images, why_not
from studies.results import TrialResult


def rows_not_counted(
    results: Sequence[TrialResult], used: Sequence[TrialResult]
) -> tuple[()] | tuple[str]:
    """Say of which students rows are not counted; nothing where there is one student."""
    others = sorted({row.student for row in results} - {row.student for row in used})
    if not others:
        return ()
    return (
        f"scores are those of the student {used[0].student}; rows of {', '.join(others)} are asked "
        "only whether they agree",
    )


def describe_unlearnt(mix: str, have: Mapping[str, float]) -> str:
    """Say of a mix that learnt nothing that it is not predicted, nor what was spent on it."""
    spent = f"; the {have[mix]:g} h spent on it are not counted" if mix in have else ""
    return (
        f'"{mix}" is not predicted: it is no better than one class everywhere at any budget, which '
        f"says more of how it was trained than of what its labels are worth{spent}"
    )


def describe_unrepeated(unlearnt: Sequence[str]) -> str:
    """Say why nothing is predicted where no curve can be fitted, but for mixes left out."""
    who = "no mix that has learnt something" if unlearnt else "no mix"
    return f"{who} has two seeds at one budget, so that chance cannot be told from truth"


def describe_exact(verdict: str, mix: str | None) -> str:
    """Say what the verdict hangs on, given what it would be were the times known."""
    would = f'to buy "{mix}"' if mix is not None else f'"{verdict}"'
    return (
        f"it hangs on how long annotators take: were the times exact, the answer would be {would}; "
        "time your own annotators and give `--times`"
    )


def list_reasons(
    curves: Curves,
    hours_of: Mapping[str, float],
    have: Mapping[str, float],
    tables: Collection[str],
    crossings: Sequence[Crossing],
    open_mixes: Sequence[str],
) -> list[str]:
    """Return in clauses what the curves cannot say, and what changes near the hours.

    Args:
        curves: of the study.
        hours_of: those that each mix will have had.
        have: hours by mix that were spent before.
        tables: the mixes whose hours count for others.
        crossings: that change the answer.
        open_mixes: that are not predicted and could still be best.
    """
    unknown = {mix: why_not(curves, mix, hours_of[mix]) for mix in curves.mixes}
    reasons = [
        f'"{mix}" is not predicted at {hours_of[mix]:g} h: {why}'
        for mix, why in unknown.items()
        if why
    ]
    reasons += [
        f'"{mix}" has all its images already: there is nothing left to buy'
        if has_all_images(curves, mix, have.get(mix, 0.0))
        else f'"{mix}" buys all its images with {curve.hours[-1]:.3g} h: more hours change nothing'
        for mix, curve in curves.mixes.items()
        if has_all_images(curves, mix, hours_of[mix])
    ]
    reasons += [
        f'hours spent on "{mix}" are not counted: nothing is said between its budgets'
        for mix in have
        if mix in curves.mixes and mix not in tables
    ]
    if len(curves.mixes) == 1:
        reasons.append(f'"{next(iter(curves.mixes))}" has no other mix to be compared with')
    elif None in unknown.values():
        reasons += [f'"{mix}" may be better all the same' for mix in open_mixes]
    return reasons + [
        f'near these hours the better mix changes: "{c.before}" below, "{c.after}" above '
        f"{c.hours:.3g} h (90 %: {c.low:.3g} to {c.high:.3g} h)"
        for c in crossings
        # At one number of hours of both: where one has had more, that is past or to come.
        if c.low <= hours_of[c.before] <= c.high and c.low <= hours_of[c.after] <= c.high
    ]


def crossings_of_the_best(
    crossings: Sequence[Crossing], predicted: Mapping[str, Floats]
) -> list[Crossing]:
    """Return the crossings that change the answer: those of the mix that leads."""
    leader = max(predicted, key=lambda mix: float(predicted[mix].mean()), default=None)
    return [c for c in crossings if leader in (c.before, c.after)]
