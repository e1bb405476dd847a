"""Look outwards from a number for the nearest one at which a lead changes hands."""

from collections.abc import Callable
from math import exp, log

import numpy as np

SEARCHED_FACTOR = 20.0
"""A change is looked for up to this factor from the present number, downwards and upwards."""

_STEPS = 400
"""Numbers tried in each direction before bisection."""

_HALVINGS = 40
"""Steps of bisection."""


def nearest_changes(
    lead: Callable[[float], float | None], now: float
) -> tuple[float | None, float | None]:
    """Return the nearest numbers below and above at which a lead changes its sign.

    Args:
        lead: by how much the leader leads at a number; None where that is not known, and there the
            search ends.
        now: the present number.

    Returns:
        Both numbers, None where no change is known within `SEARCHED_FACTOR`.
    """
    return _search(lead, now, now / SEARCHED_FACTOR), _search(lead, now, now * SEARCHED_FACTOR)


def _search(lead: Callable[[float], float | None], now: float, end: float) -> float | None:
    """Return the first time on the way from now to the end at which the lead changes its sign."""
    lead_now = lead(now) or 0.0
    # No factor leads away from 0 seconds, and between equal mixes there is no lead to lose.
    if now == 0 or lead_now == 0:
        return None
    # Curves are made of pieces, so that the sign may change twice: steps find the nearest change.
    inside = now
    for outside in np.geomspace(now, end, _STEPS + 1)[1:].tolist():
        lead_there = lead(outside)
        if lead_there is None:
            return None
        if lead_there * lead_now < 0:
            break
        inside = outside
    else:
        return None
    # The lead has its present sign at `inside` and has not at `outside`, before each halving and
    # after it.
    for _ in range(_HALVINGS):
        middle = exp((log(inside) + log(outside)) / 2)
        if (lead(middle) or 0.0) * lead_now > 0:
            inside = middle
        else:
            outside = middle
    return float(outside)
