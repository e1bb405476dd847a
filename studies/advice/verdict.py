"""A verdict on what to buy, from draws of what each mix would score."""

from collections.abc import Mapping

import numpy as np

from studies.advice.cells import Floats

SURE = 0.9
"""The probability with which a verdict must hold."""

SURE_IN_DOUBT = 0.95
"""The same where a caveat weakens the scores, such as trainings that had not converged."""

BUY, TIE, CANNOT_TELL = "buy", "tie", "cannot tell"


def decide(predicted: Mapping[str, Floats], delta: float, sure: float) -> tuple[str, str | None]:
    """Return the verdict on draws (D,) of each mix, and the mix to buy.

    A tie is asked for first: where the two best are alike either could be bought without regret,
    and to name one would claim a difference. For the same reason the mix to buy must be the best
    with that certainty, which is more than to be less than `delta` behind the best: where all mixes
    are alike and measured well, that is true of each, and chance would name one.
    """
    if len(predicted) < 2:
        return CANNOT_TELL, None
    regrets = regret_draws(predicted)
    first, second = sorted(regrets, key=lambda mix: float(regrets[mix].mean()))[:2]
    if np.mean(np.abs(predicted[first] - predicted[second]) < delta) >= sure:
        return TIE, None
    if chances_of_best(regrets)[first] >= sure:
        return BUY, first
    return CANNOT_TELL, None


def regret_draws(predicted: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return draws (D,) of how far each mix is below the best, from draws of their scores."""
    if not predicted:
        return {}
    best: Floats = np.max(np.stack(list(predicted.values())), axis=0)
    return {mix: np.asarray(best - found) for mix, found in predicted.items()}


def chances_of_best(regrets: Mapping[str, Floats]) -> dict[str, float]:
    """Return the probability that a mix is the best; mixes that are level share it.

    Args:
        regrets: draws (D,) of each mix, as `regret_draws` gives them.
    """
    if not regrets:
        return {}
    are_best = np.stack([regret == 0 for regret in regrets.values()])  # (M, D)
    shares = (are_best / are_best.sum(axis=0)).mean(axis=1)
    return dict(zip(regrets, map(float, shares), strict=True))
