"""Give a dataset boxes and tags where there are no masks: what all readers of such files share."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from annotools.errors import DatasetError
from annotools.records import Dataset, FullLabel, Image, WeakLabel


def give_weak(dataset: Dataset, weak_of: Mapping[int | str, WeakLabel], place: object) -> Dataset:
    """Return the dataset with weak labels, and without masks.

    Args:
        dataset: whose `read_label` is replaced by one that raises `DatasetError`.
        weak_of: the label of each image by its id; images without boxes have an empty one.
        place: the file or folder of the labels, for messages.
    """
    return replace(
        dataset,
        read_label=partial(_refuse_masks, place),
        read_weak=partial(_look_up, weak_of),
        notes=(
            *dataset.notes,
            "there are boxes or tags and no masks",
            "sides of boxes are rounded to whole pixels, and boxes end where their image does",
        ),
    )


def no_label(image: Image) -> FullLabel:
    """Stand for the `read_label` of a dataset in the making.

    Raises:
        DatasetError: always.
    """
    raise DatasetError(f"{image.file_name}: has no label: draw one")


def _look_up(weak_of: Mapping[int | str, WeakLabel], image: Image) -> WeakLabel:
    return weak_of[image.image_id]


def _refuse_masks(place: object, image: Image) -> FullLabel:
    raise DatasetError(
        f"{place}: image {image.image_id!r} has boxes or tags and no masks: ask for boxes or tags, "
        "or draw the masks"
    )
