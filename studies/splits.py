"""The splits of a study share no image: what is bought is not scored, and no choice sees the test.

Images are the same where their photos have the same content, be it one file or two.
"""

from itertools import combinations

from annotools.checks.shared_photos import find_shared, find_shared_photos
from annotools.errors import DatasetError, RecipeError
from annotools.formats.source import Source, open_source
from annotools.records import Image
from studies.study import DatasetSettings

LEFT_SHARE = 0.1
"""A budget of which all images leave more than this share is one that a mix cannot use."""

_USED_FOR = {"train_split": "bought", "val_split": "scored", "test_split": "tested on"}


def check_splits(settings: DatasetSettings) -> None:
    """Make sure that the splits have images, the same categories, and no image twice.

    Of the images only those count that the study uses. Images whose photos are drawn are known by
    their names.

    Raises:
        RecipeError: when two settings name one split.
        DatasetError: when a split cannot be read, has no image or other categories, or two have an
            image in common.
    """
    named = [(key, use, getattr(settings, key)) for key, use in _USED_FOR.items()]
    for (_, use, one), (other_key, other_use, other) in combinations(named, 2):
        if one == other:
            raise RecipeError(
                f"dataset: the split {one!r} is both {use} and {other_use}: name another "
                f"{other_key}; a dataset with one split has parts such as train[:80%] and "
                "train[80%:]"
            )
    sources = (settings.train_source, settings.val_source, settings.test_source)
    given = [source for source in sources if source is not None]
    for source in given:
        if not used_images(source):
            raise DatasetError(f"{source.root}: split {source.split!r} has no image")
        if _describe_categories(source) != _describe_categories(given[0]):
            raise DatasetError(
                f"{source.root}: split {source.split!r} has other categories than "
                f"{given[0].split!r}: give splits of the same categories"
            )
    images = [(source.split, image) for source in given for image in used_images(source)]
    for split, path, first_split, first_path in find_shared_photos(images):
        raise DatasetError(
            f"{path} of split {split!r} is the same photo as {first_path} of split "
            f"{first_split!r}: leave the image out of one"
        )
    drawn = ((i.file_name, split, i.file_name) for split, i in images if i.path is None)
    for split, name, first_split, _ in find_shared(drawn):
        raise DatasetError(
            f"{settings.root}: image {name} is in the splits {first_split!r} and {split!r}: leave "
            "it out of one"
        )


def used_images(source: Source) -> tuple[Image, ...]:
    """Return the images of a split that a study uses."""
    return open_source(source).images[: source.max_images]


def _describe_categories(source: Source) -> list[tuple[int, str, bool]]:
    categories = open_source(source).categories.categories
    return [(c.category_id, c.name, c.is_thing) for c in categories]
