"""At how many seconds of an action another mix would lead."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from annotools.prices.times import AnnotationTimes
from studies.advice.changes import nearest_changes
from studies.advice.combinations import Table, drawn_hours, score_together

_DRAWS = 200
"""So many draws of the curves tell a mean."""


@dataclass(frozen=True, kw_only=True)
class Flip:
    """The nearest seconds of an action, now `now`, at which another mix has the higher mean.

    `below` and `above` are None where none is known; `mix_below` and `mix_above` lead from there.
    """

    action: str
    now: float
    below: float | None
    mix_below: str | None
    above: float | None
    mix_above: str | None


def find_flips(
    tables: Mapping[str, Table],
    shares: Mapping[str, Mapping[str, float]],
    times: AnnotationTimes,
    hours: float,
    have: Mapping[str, float],
) -> tuple[Flip, ...]:
    """Return a flip for each action whose time, alone, makes another mix lead.

    Args:
        tables: of all mixes that hours of `have` may be of.
        shares: for each mix that is compared the part of its hours that goes into each action.
        times: the present ones.
        hours: to spend.
        have: hours by mix that are bought already, whatever they took.
    """
    # More labels of a kind do no harm: else a mix could look better for being dearer.
    some = {
        mix: replace(table, scores=np.maximum.accumulate(table.scores[:_DRAWS], axis=1))
        for mix, table in tables.items()
    }
    used = {name for of_mix in shares.values() for name in of_mix}
    found = []
    for action in (name for name in times.actions if name in used):
        now = times.actions[action].seconds
        parts = {mix: of_mix.get(action, 0.0) for mix, of_mix in shares.items() if mix in some}
        flip = _find_flip(action, now, partial(_scores, some, parts, hours, have, now))
        if flip is not None:
            found.append(flip)
    return tuple(found)


def _scores(
    tables: Mapping[str, Table],
    parts: Mapping[str, float],
    hours: float,
    have: Mapping[str, float],
    now: float,
    seconds: float,
) -> dict[str, float]:
    """Return the mean score of each mix where a part of its hours takes longer or less long.

    Mixes whose curves do not reach so far are left out.
    """
    found = {}
    for mix, part in parts.items():
        table = tables[mix]
        price = np.full(len(table.scores), 1 + part * (seconds / now - 1))
        bought = drawn_hours({mix: hours}, have, {mix: price}, tables)
        is_within = table.is_exhausted or bought[mix][0] <= table.hours[-1] * (1 + 1e-9)
        if table.hours[0] * (1 - 1e-9) <= bought[mix][0] and is_within:
            found[mix] = float(score_together(tables, bought).mean())
    return found


def _find_flip(action: str, now: float, scores: Callable[[float], dict[str, float]]) -> Flip | None:
    present = scores(now)
    if len(present) < 2:
        return None
    leader = max(present, key=lambda mix: present[mix])

    def lead(seconds: float) -> float | None:
        at = scores(seconds)
        # What a mix scores that is no longer known may be more.
        if len(at) < len(present):
            return None
        return at[leader] - max(score for mix, score in at.items() if mix != leader)

    def second(seconds: float | None) -> str | None:
        others = {} if seconds is None else scores(seconds)
        return max((mix for mix in others if mix != leader), key=lambda m: others[m], default=None)

    below, above = nearest_changes(lead, now)
    if below is None and above is None:
        return None
    return Flip(
        action=action,
        now=now,
        below=below,
        mix_below=second(below),
        above=above,
        mix_above=second(above),
    )
