"""What advice says: the verdict, and each mix at the hours asked for."""

from collections.abc import Mapping
from dataclasses import dataclass

from studies.advice.combinations import Combination
from studies.advice.crossings import Crossing
from studies.advice.flips import Flip
from studies.advice.next_run import NextRun


@dataclass(frozen=True, kw_only=True)
class MixAdvice:
    """A mix at the hours asked for; scores in [0, 1], None where the study cannot say.

    `score` is the mean with its 90 % interval, `p_best` the probability that no other mix is
    better, and `regret` how much less it is expected to score than the best: None where it is
    compared with no other, or one that is not predicted may be better. `gain_per_hour` is what the
    next hour is expected to add.
    """

    score: float | None
    low: float | None
    high: float | None
    p_best: float | None
    regret: float | None
    gain_per_hour: float | None


UNKNOWN = MixAdvice(score=None, low=None, high=None, p_best=None, regret=None, gain_per_hour=None)
"""A mix of which the study cannot say anything at these hours."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The verdict and its grounds; field names are the keys of the JSON file.

    `mix` is the one to buy, None with another verdict; `sure` is the probability with which it must
    hold. Differences below `delta` do not matter.
    `have` are hours by mix that were spent before. `combination` is the best split of the hours
    between two mixes, which nobody has trained on; None where it cannot be said.
    """

    verdict: str
    mix: str | None
    sure: float
    hours: float
    metric: str
    delta: float
    mixes: Mapping[str, MixAdvice]
    crossings: tuple[Crossing, ...]
    next_run: NextRun | None
    reasons: tuple[str, ...]
    have: Mapping[str, float]
    flips: tuple[Flip, ...]
    combination: Combination | None
