"""A budget is spent on a mix of label kinds, image by image."""

import math
from collections.abc import Iterator, Mapping, Sequence

from annotools.allocation.image_orders import Queues, random_order
from annotools.allocation.plan_file import Allocation, PlanSettings
from annotools.errors import RecipeError
from annotools.records import LABEL_KINDS, NO_LABEL

SHARE_BASES = ("hours", "images")
"""The shares of a mix are shares of one of these."""

MIX_KINDS = (*LABEL_KINDS, NO_LABEL)
"""A mix may hold these kinds."""

# A budget worked out as a sum of prices must buy these, whatever way its last bits were rounded.
_ROUNDING = 1e-9


def allocate(
    settings: PlanSettings,
    prices: Mapping[int | str, Mapping[str, float]],
    queues: Queues | None = None,
) -> Allocation:
    """Spend a budget on labels so that each kind gets its share of the hours, or of the images.

    A mix, its queues, prices and seed have one sequence of purchases. The next purchase is of the
    kind whose hours spent (or images bought) are lowest in proportion to its share; where kinds
    tie, of the first of them in the mix. It is the first image in this kind's queue that has not
    been bought. A budget buys this sequence up to the first purchase that would exceed it (by more
    than a billionth, which is rounding). Hence a smaller budget's allocation is the beginning of a
    larger one's, whatever the order of the images.

    The mix may hold `NO_LABEL`, images used without a label. By images, it has its share of the
    sequence, at no cost. By hours a share of it would mean nothing: it takes every image that
    nothing else bought, whatever its share. These images are not nested, because a larger budget
    leaves fewer of them.

    Args:
        settings: mix, budget, basis of shares and seed. Shares are positive, of any sum; an
            infinite budget labels every image. The seed is that of the order of images where no
            queues are given.
        prices: seconds by label kind, by image id; each image has all kinds of the mix except
            `NO_LABEL`.
        queues: by kind of the mix, ids of the images that can be bought, each once, as
            `annotools.allocation.image_orders` gives them; the same random order for all kinds if
            absent.

    Raises:
        RecipeError: for what `check_plan` refuses, or a kind without a price.
    """
    mix, seed, share_by = settings.mix, settings.seed, settings.share_by
    check_plan(settings)
    for kind in mix:
        unpriced = [image_id for image_id, price_of in prices.items() if kind not in price_of]
        if unpriced and kind != NO_LABEL:
            raise RecipeError(f"mix has {kind!r}, but image {unpriced[0]} has no price for it")
    if queues is None:
        queues = dict.fromkeys(mix, random_order(prices, seed))
    shares = {k: v for k, v in mix.items() if k != NO_LABEL or share_by == "images"}
    budget_seconds = settings.budget_hours * 3600 * (1 + _ROUNDING)
    kind_of: dict[int | str, str] = {}
    seconds_of: dict[int | str, float] = {}
    spent_seconds = 0.0
    next_purchase: tuple[str, float] | None = None
    for image_id, kind, price in _purchases(shares, prices, queues, share_by):
        # A cheaper purchase might still fit, but taking it would break the nesting of budgets.
        if spent_seconds + price > budget_seconds:
            next_purchase = kind, price
            break
        kind_of[image_id], seconds_of[image_id] = kind, price
        spent_seconds += price
    if NO_LABEL in mix and share_by == "hours":
        # An order of one's own lists all images that may be used.
        rest = random_order(set(queues[NO_LABEL]) - kind_of.keys(), seed)
        kind_of |= dict.fromkeys(rest, NO_LABEL)
        seconds_of |= dict.fromkeys(rest, 0.0)
    return Allocation(
        settings=settings,
        kind_of=kind_of,
        seconds_of=seconds_of,
        ran_out=next_purchase is None,
        next_purchase=next_purchase,
    )


def check_plan(settings: PlanSettings) -> None:
    """Make sure, before anything is priced, that a plan buys something.

    Raises:
        RecipeError: for a mix that buys nothing, an unknown kind, a share that is not positive, an
            unknown basis of shares, or a budget that is negative or not a number.
    """
    mix = settings.mix
    if not mix:
        raise RecipeError(f"the mix is empty: give a share to some of {', '.join(MIX_KINDS)}")
    for kind, share in mix.items():
        if kind not in MIX_KINDS:
            raise RecipeError(f"mix has the label kind {kind!r}: use {', '.join(MIX_KINDS)}")
        if not 0 < share < math.inf:
            raise RecipeError(f"mix.{kind} = {share}: give a share above 0, or leave the kind out")
    if set(mix) == {NO_LABEL}:
        raise RecipeError(f"the mix buys no label: add a kind to {NO_LABEL!r}")
    if settings.share_by not in SHARE_BASES:
        raise RecipeError(f"shares by {settings.share_by!r}: use {' or '.join(SHARE_BASES)}")
    # Written this way round, the comparison also refuses what is not a number.
    if not settings.budget_hours >= 0:
        raise RecipeError(f"budget of {settings.budget_hours} hours: give zero or more")


def _purchases(
    shares: Mapping[str, float],
    prices: Mapping[int | str, Mapping[str, float]],
    queues: Mapping[str, Sequence[int | str]],
    share_by: str,
) -> Iterator[tuple[int | str, str, float]]:
    """Yield image, kind and price of one purchase after another until a queue is at its end."""
    total_share = math.fsum(shares.values())
    taken = dict.fromkeys(shares, 0.0)
    # Iterators keep their place, so each queue is walked once, however many purchases there are.
    waiting = {kind: iter(queues[kind]) for kind in shares}
    bought: set[int | str] = set()
    while True:
        kind = min(shares, key=lambda kind: taken[kind] / (shares[kind] / total_share))
        image_id = next((i for i in waiting[kind] if i not in bought), None)
        # Without this kind the shares could not be kept, so the other kinds stop as well.
        if image_id is None:
            return
        price = 0.0 if kind == NO_LABEL else prices[image_id][kind]
        yield image_id, kind, price
        bought.add(image_id)
        taken[kind] += price if share_by == "hours" else 1
