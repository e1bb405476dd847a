"""Advice in plain sentences, for the terminal and for the page."""

from annotools.commands.tables import duration, join_words, percent
from annotools.records import NO_LABEL
from studies.advice.crossings import LIKELY, Crossing
from studies.advice.flips import Flip
from studies.advice.next_run import NextRun
from studies.advice.records import Advice, MixAdvice
from studies.advice.verdict import BUY, TIE
from studies.summary import SCORES

_KIND_WORDS = {
    "full": "full labels",
    "boxes+tags": "boxes and tags",
    "coarse": "coarse outlines",
    NO_LABEL: "no label",
}


def describe_kind(kind: str) -> str:
    """Return what an image has that was bought with a label kind."""
    return _KIND_WORDS.get(kind, kind)


def verdict_sentence(advice: Advice) -> str:
    """Return the verdict with its score and its certainty."""
    names = ranked(advice)
    if advice.verdict == BUY and advice.mix is not None:
        best = advice.mixes[advice.mix]
        return (
            f'With {advice.hours:g} h, buy "{advice.mix}": {score_with_interval(advice, best)}. '
            f"{_certainty(advice)}"
        )
    if advice.verdict == TIE:
        certainty = _certainty(advice)
        return (
            f'With {advice.hours:g} h, "{names[0]}" and "{names[1]}" tie: '
            f"{certainty[0].lower()}{certainty[1:]}"
        )
    leads = f' "{names[0]}" leads, but that is not settled.' if len(names) > 1 else ""
    return f"This study cannot tell what to buy with {advice.hours:g} h.{leads}"


def headline(advice: Advice) -> str:
    """Return in one sentence, without a number but the hours, what somebody who pays must know."""
    names = ranked(advice)
    hours = f"{advice.hours:g} hour" + ("" if advice.hours == 1 else "s")
    if advice.verdict == BUY and advice.mix is not None:
        return f'With {hours} of annotation, buy "{advice.mix}".'
    if advice.verdict == TIE:
        return (
            f'With {hours} of annotation, "{names[0]}" and "{names[1]}" are worth the same: '
            "buy what is easier to get."
        )
    leads = f': "{names[0]}" leads, but that is not settled' if len(names) > 1 else ""
    return f"This study cannot tell what to buy with {hours} of annotation{leads}."


def grounds(advice: Advice) -> str:
    """Return what a headline rests on: scores with their intervals, and the certainty."""
    names = ranked(advice)
    if not names:
        return ""
    if advice.verdict == BUY and advice.mix is not None:
        names.remove(advice.mix)
        names.insert(0, advice.mix)
    scores = [
        f'"{name}" {score_with_interval(advice, advice.mixes[name], unit=place == 0)}'
        for place, name in enumerate(names[:3])
    ]
    certainty = _certainty(advice) if advice.verdict in (BUY, TIE) else ""
    return f"Predicted, with 90 % intervals: {', '.join(scores)}. {certainty}".rstrip()


def ranked(advice: Advice) -> list[str]:
    """Return the mixes whose score is predicted, the best first."""
    known = {n: mix.score for n, mix in advice.mixes.items() if mix.score is not None}
    return sorted(known, key=lambda name: -known[name])


def score_with_interval(advice: Advice, mix: MixAdvice, *, unit: bool = True) -> str:
    """Return a predicted score: PQ 55.0 % (53.1–57.0); without `unit` its name is left out."""
    name = f"{SCORES[advice.metric]} " if unit else ""
    return f"{name}{percent(mix.score)} % ({percent(mix.low)}–{percent(mix.high)})"


def notes(advice: Advice) -> list[str]:
    """Return what has to be known with the verdict, a line each."""
    lines = [f"- {reason}" for reason in advice.reasons]
    # Where the hours are near a crossing a reason says so.
    far = [c for c in advice.crossings if not c.low <= advice.hours <= c.high]
    lines += [f"- {describe_crossing(crossing)}" for crossing in far]
    lines += [f"- {line}" for line in map(describe_flip, advice.flips)]
    if is_likely_better(advice):
        lines.append(f"- {describe_combination(advice)}")
    if advice.next_run is not None:
        lines.append(f"Run next: {describe_run(advice.next_run)}.")
    return lines


def describe_flip(flip: Flip) -> str:
    """Return in a clause at how many seconds of an action another mix leads."""
    ends = [
        f'"{mix}" leads from {_seconds(seconds)} s {way}'
        for mix, seconds, way in (
            (flip.mix_below, flip.below, "downwards"),
            (flip.mix_above, flip.above, "upwards"),
        )
        if seconds is not None
    ]
    return f"the answer flips with the time of {flip.action}, now {flip.now:g} s: {', '.join(ends)}"


def is_likely_better(advice: Advice) -> bool:
    """Return whether a split of the hours is likelier than not to be better than any mix."""
    return advice.combination is not None and advice.combination.p_better >= LIKELY


def describe_combination(advice: Advice) -> str:
    """Return in a clause which split of hours may be better than any mix, and what it assumes."""
    found = advice.combination
    assert found is not None
    parts = join_words([f'{hours:.3g} h of "{mix}"' for mix, hours in found.hours.items()])
    return (
        f"not studied, but perhaps better: {parts} together, "
        f"{SCORES[advice.metric]} {percent(found.score)} % "
        f"({percent(found.low)}–{percent(found.high)}), if labels that score alike can stand for "
        "each other; study that mix before you buy it"
    )


def describe_crossing(crossing: Crossing) -> str:
    """Return in a clause which mix is better on both sides of a crossing."""
    return (
        f'"{crossing.before}" is better below {crossing.hours:.3g} h and "{crossing.after}" above '
        f"(90 %: {crossing.low:.3g} to {crossing.high:.3g} h; "
        f"certainty {percent(crossing.probability, 0)} %)"
    )


def describe_run(run: NextRun) -> str:
    """Return in a clause a trial, its cost in computing and what it is expected to save."""
    worth = ""
    if run.regret_saved is not None:
        saved = percent(run.regret_saved, 2)
        change = "change little" if saved == "0.00" else f"save {saved} points of regret"
        worth = f", which is expected to {change}"
    return (
        f'"{run.mix}" at {run.budget_hours:g} h with seed {run.seed}, about '
        f"{duration(run.seconds)} of computing{worth}"
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g}" if seconds < 1000 else f"{seconds:.0f}"


def _certainty(advice: Advice) -> str:
    sure = f"With at least {100 * advice.sure:.0f} % certainty"
    if advice.verdict == BUY:
        return f"{sure} it is the best of the mixes studied."
    return (
        f"{sure} they are within {100 * advice.delta:.1f} points of {SCORES[advice.metric]}, "
        "so that other grounds decide."
    )
