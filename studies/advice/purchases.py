"""How many images of each kind some hours buy, by what a study's trials bought."""

from collections.abc import Sequence

import numpy as np

from annotools.records import NO_LABEL
from studies.advice.cells import hours_of_all_images
from studies.results import TrialResult


def images_for(rows: Sequence[TrialResult], mix: str, hours: float) -> dict[str, float]:
    """Return about how many images of each kind a mix buys, by kind.

    Between budgets the images bought for one spent hour are interpolated over the logarithm of
    hours; outside they are those of the nearest budget.

    Args:
        rows: of a study, at least one of the mix.
        mix: its name.
        hours: to be spent; more than all images of the mix take buy no more.
    """
    all_hours = hours_of_all_images(rows, mix)
    hours = hours if all_hours is None else min(hours, all_hours)
    own = [row for row in rows if row.mix == mix]
    # Images with nothing to label cost nothing, and say nothing of how many an hour buys.
    budgets = sorted({row.budget_hours for row in own if row.spent_hours > 0})
    kinds = sorted({kind for row in own for kind in row.images}) if budgets else []
    found = {}
    for kind in kinds:
        rates = []
        for budget in budgets:
            of_budget = [row for row in own if row.budget_hours == budget]
            images = sum(row.images.get(kind, 0) for row in of_budget)
            rates.append(images / sum(row.spent_hours for row in of_budget))
        found[kind] = hours * float(np.interp(np.log(hours), np.log(budgets), rates))
    return found


def minutes_per_image(rows: Sequence[TrialResult]) -> dict[str, float]:
    """Return the minutes that an image of a label kind took, where mixes bought one kind alone."""
    spent: dict[str, float] = {}
    count: dict[str, int] = {}
    for row in rows:
        kinds = [kind for kind, images in row.images.items() if images and kind != NO_LABEL]
        if len(kinds) == 1:
            spent[kinds[0]] = spent.get(kinds[0], 0) + 60 * row.spent_hours
            count[kinds[0]] = count.get(kinds[0], 0) + row.images[kinds[0]]
    return {kind: spent[kind] / count[kind] for kind in spent}
