"""Choose the splits of a new study: what is bought, what is scored, and what no choice sees."""

import math
from collections.abc import Mapping
from dataclasses import replace

from annotools.errors import AnnotationError, DatasetError
from annotools.formats.source import Source, open_source
from studies.splits import check_splits, used_images
from studies.study import DatasetSettings

BOUGHT_PART, SCORED_PART = "[:80%]", "[80%:]"
"""The parts of a split that are bought and scored where there is no other."""

TEST_SPLIT = "test"
"""The split that no choice sees, where the dataset has it."""

LOOKED_AT = 50
"""So many images are looked at for labels: benchmarks keep those of a whole split to themselves."""

MANY_IMAGES = 2000
"""With more than these a study leaves out images that no budget can buy: all would be priced."""

MAX_SCORED = 500
"""So many images tell a score well enough; more only take longer to score."""


def choose_splits(
    settings: DatasetSettings, *, is_val_given: bool
) -> tuple[DatasetSettings, tuple[str, ...]]:
    """Return the dataset with splits that serve, and what a user should know of the choice.

    The split that is scored serves if it can be read, has labels and shares no image with that
    which is bought. Where it was not named and does not serve, the last fifth of the latter is
    scored. The split `test` is taken if it serves, unless another one is named.

    Args:
        settings: with the splits that were named, else their defaults.
        is_val_given: whether the val split was named.

    Raises:
        DatasetError: when a split that was named does not serve.
    """
    open_source(settings.train_source)
    scored = replace(settings, test_split=None)
    notes: tuple[str, ...] = ()
    try:
        _check(scored, scored.val_source)
    except AnnotationError as error:
        whole = settings.train_split
        if is_val_given or whole.endswith("]"):
            raise
        scored = replace(
            scored, train_split=f"{whole}{BOUGHT_PART}", val_split=f"{whole}{SCORED_PART}"
        )
        _check(scored, scored.val_source)
        notes = (
            f"the last fifth of split {whole!r} is scored and cannot be bought, because split "
            f"{settings.val_split!r} does not serve: {error}",
        )
    tested = replace(scored, test_split=settings.test_split or TEST_SPLIT)
    try:
        _check(tested, tested.test_source)
    except AnnotationError:
        if settings.test_split is not None:
            raise
        return scored, notes
    return tested, notes


def limit_images(
    settings: DatasetSettings, hours: Mapping[str, float], top_hours: float
) -> DatasetSettings:
    """Return the dataset with no more images than are needed, where it has many.

    Args:
        settings: with splits that serve.
        hours: of a mean image, by label kind.
        top_hours: the largest budget; half as many images again as it buys can be bought.
    """
    needed = max(MANY_IMAGES, math.ceil(1.5 * top_hours / min(hours.values())))
    test = settings.test_source
    return replace(
        settings,
        max_train_images=_limit(settings.train_source, needed),
        max_val_images=_limit(settings.val_source, MAX_SCORED),
        max_test_images=None if test is None else _limit(test, MAX_SCORED),
    )


def _limit(source: Source, most: int) -> int | None:
    """Return the most images to take of a split, None where it has no more than that."""
    return most if len(used_images(source)) > most else None


def _check(settings: DatasetSettings, scored: Source | None) -> None:
    """Make sure that splits share no image, and that one that is scored has labels."""
    check_splits(settings)
    assert scored is not None
    dataset = open_source(scored)
    # Background alone is what a list without objects gives.
    if not any(
        segment.category_id != dataset.categories.background_id
        for image in dataset.images[:LOOKED_AT]
        for segment in dataset.read_label(image).segments
    ):
        raise DatasetError(f"{scored.root}: split {scored.split!r} has images without labels")
