"""Images are bought in an order: at random, the cheapest first, the richest first, or as listed.

An order gives each label kind of a mix its own queue of images, because an image that is cheap
with one kind may be dear with another.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from annotools.errors import DatasetError, RecipeError
from annotools.random_streams import stream
from annotools.read_files import read_text
from annotools.records import NO_LABEL

ORDERS = ("random", "cheapest", "most-categories")
"""Orders that have a name; any other text is the path of a list of images."""

Queues = Mapping[str, Sequence[int | str]]
"""By label kind, the ids of the images in the order in which this kind takes them."""


def random_order(image_ids: Iterable[int | str], seed: int) -> tuple[int | str, ...]:
    """Return the ids shuffled; in what order they are given changes nothing."""
    # Numbers and texts may both be ids here, and Python can sort the two together only as texts.
    ordered = sorted(image_ids, key=str)
    places = stream(seed, "allocation").permutation(len(ordered))
    return tuple(ordered[place] for place in places)


def queue_images(
    order: str,
    kinds: Iterable[str],
    prices: Mapping[int | str, Mapping[str, float]],
    num_categories: Mapping[int | str, int],
    seed: int,
) -> Queues:
    """Return the queues of an order given by a text; where images tie, they come at random.

    The cheapest images come by rising price of each kind, and at random for `NO_LABEL`, which costs
    nothing; the richest come by falling number of categories present.

    Args:
        order: one of `ORDERS`, or the path of a text file with one image id a line; images that
            it does not list are not bought.
        kinds: of the mix.
        prices: seconds by label kind, by image id.
        num_categories: categories present by image id, background left out.
        seed: of what is left to chance.

    Raises:
        RecipeError: for a list that cannot be read, names no image, one twice or one unpriced.
    """
    # Python's sort is stable: images that tie keep the random order in which they stand here.
    shuffled = random_order(prices, seed)
    if order == "random":
        return dict.fromkeys(kinds, shuffled)
    if order == "cheapest":
        return {
            kind: shuffled
            if kind == NO_LABEL
            else sorted(shuffled, key=lambda image_id: prices[image_id][kind])
            for kind in kinds
        }
    if order == "most-categories":
        richest = sorted(shuffled, key=lambda image_id: -num_categories[image_id])
        return dict.fromkeys(kinds, richest)
    return dict.fromkeys(kinds, read_image_list(Path(order), prices))


def read_image_list(path: Path, image_ids: Iterable[int | str]) -> tuple[int | str, ...]:
    """Return the image ids of a text file, one a line; empty lines are left out.

    Raises:
        RecipeError: when the file cannot be read, names no image, one twice or one not in
            `image_ids`.
    """
    try:
        text = read_text(path)
    except DatasetError as error:
        reason = str(error).removeprefix(f"{path}: ").removesuffix(": check the file")
        raise RecipeError(
            f"order {str(path)!r}: {reason}: use {', '.join(ORDERS)}, or a text file of image ids"
        ) from error
    lines = [line.strip() for line in text.splitlines()]
    # A text file cannot tell the number 1 from the text "1", so ids are found by their text.
    id_of = {str(image_id): image_id for image_id in image_ids}
    listed = [line for line in lines if line]
    if not listed:
        raise RecipeError(f"{path}: lists no image: write image ids into it, one a line")
    for line in listed:
        if line not in id_of:
            first = ", ".join(list(id_of)[:5])
            raise RecipeError(f"{path}: no image {line!r} can be bought; the first are {first}")
    if len(set(listed)) < len(listed):
        twice = next(line for line in listed if listed.count(line) > 1)
        raise RecipeError(f"{path}: image {twice!r} is listed twice: list it once")
    return tuple(id_of[line] for line in listed)
