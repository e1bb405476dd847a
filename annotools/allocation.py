"""From a budget and a mix of label kinds to the kind that each image gets."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from annotools.errors import RecipeError
from annotools.random_streams import stream
from annotools.records import LABEL_KINDS

# A budget worked out as a sum of prices must buy these, whatever way its last bits were rounded.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """The label kind of each image bought, in order of purchase; images left out have no label.

    `spent_by_kind` has an entry in seconds for each kind of the mix, 0 where none was bought.
    """

    kind_of: Mapping[int | str, str]
    spent_seconds: float
    spent_by_kind: Mapping[str, float]


def allocate(
    mix: Mapping[str, float],
    budget_hours: float,
    prices: Mapping[int | str, Mapping[str, float]],
    seed: int,
) -> Allocation:
    """Spend a budget on labels so that each kind gets its share of the hours.

    There is one sequence of purchases for a mix, prices and seed. Images come in a random order;
    the next one is bought with the kind whose hours spent are lowest in proportion to its share,
    the first of these in the mix where they tie. A budget buys this sequence up to the first
    purchase that would exceed it (by more than a billionth, which is rounding). Hence a smaller
    budget's allocation is the beginning of a larger one's.

    Args:
        mix: share of the hours by label kind, positive, of any sum.
        budget_hours: what there is to spend, infinite to label every image.
        prices: seconds by label kind, by image id; each image has all kinds of the mix.
        seed: of the order of images.

    Raises:
        RecipeError: for an empty mix, an unknown kind or one without a price, a share that is
            not positive, or a budget that is negative or not a number.
    """
    _check(mix, budget_hours, prices)
    total_share = math.fsum(mix.values())
    budget_seconds = budget_hours * 3600 * (1 + _ROUNDING)
    image_ids = sorted(prices, key=str)
    kind_of: dict[int | str, str] = {}
    spent_seconds = 0.0
    spent_by_kind = dict.fromkeys(mix, 0.0)
    for place in stream(seed, "allocation").permutation(len(image_ids)):
        image_id = image_ids[place]
        kind = min(mix, key=lambda kind: spent_by_kind[kind] / (mix[kind] / total_share))
        price = prices[image_id][kind]
        if spent_seconds + price > budget_seconds:
            break
        kind_of[image_id] = kind
        spent_seconds += price
        spent_by_kind[kind] += price
    return Allocation(kind_of=kind_of, spent_seconds=spent_seconds, spent_by_kind=spent_by_kind)


def _check(
    mix: Mapping[str, float], budget_hours: float, prices: Mapping[int | str, Mapping[str, float]]
) -> None:
    if not mix:
        raise RecipeError(f"the mix is empty: give a share to some of {', '.join(LABEL_KINDS)}")
    for kind, share in mix.items():
        if kind not in LABEL_KINDS:
            raise RecipeError(f"mix has the label kind {kind!r}: use {', '.join(LABEL_KINDS)}")
        if not 0 < share < math.inf:
            raise RecipeError(f"mix.{kind} = {share}: give a share above 0, or leave the kind out")
        unpriced = [image_id for image_id, price_of in prices.items() if kind not in price_of]
        if unpriced:
            raise RecipeError(f"mix has {kind!r}, but image {unpriced[0]} has no price for it")
    if not budget_hours >= 0:
        raise RecipeError(f"budget of {budget_hours} hours: give zero or more")
