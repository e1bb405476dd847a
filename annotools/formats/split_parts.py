"""A part of a split is named by its ends: `train[:80%]` and `train[80%:]` share no image.

So a dataset with one list of images has one part to learn from and another to score on. The form is
that of TensorFlow Datasets.
"""

import re
from dataclasses import replace

from annotools.errors import DatasetError
from annotools.records import Dataset

_PART = re.compile(r"(.+)\[(?:(\d+)%)?:(?:(\d+)%)?\]")


def split_name(text: str) -> str:
    """Return the name of the split that a text names a part of, or the whole of.

    Raises:
        DatasetError: for a part whose ends are no percentages, or not in rising order.
    """
    return _parse(text)[0]


def take_part(dataset: Dataset, text: str) -> Dataset:
    """Return the images of a part, as they are listed, as a split of the part's name.

    Ends are percentages of the number of images, rounded down, so that neighbouring parts have each
    image once. What was left out of the split is told by the part that begins it.

    Args:
        dataset: of the whole split.
        text: a part such as `train[:80%]`, or the name of a whole split.

    Raises:
        DatasetError: as `split_name`.
    """
    name, start, stop = _parse(text)
    if name == text:
        return dataset
    first, last = (len(dataset.images) * percent // 100 for percent in (start, stop))
    part = replace(dataset, split=text, images=dataset.images[first:last])
    # What is left out of the whole split is of no part more than of another, and counts once.
    return part if start == 0 else replace(part, drops=(), gaps=())


def _parse(text: str) -> tuple[str, int, int]:
    if not text.endswith("]"):
        return text, 0, 100
    match = _PART.fullmatch(text)
    start, stop = (int(match[2] or 0), int(match[3] or 100)) if match else (1, 0)
    if match is None or not start < stop <= 100:
        raise DatasetError(
            f"split {text!r}: name a part by rising percentages, as train[:80%] and train[80%:]"
        )
    return match[1], start, stop
