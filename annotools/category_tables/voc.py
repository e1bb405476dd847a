"""This table lists the classes of Pascal VOC's segmentation task.

Source: VOC development kit 2012, VOCinit.m and VOClabelcolormap.m.
"""

from annotools.categories import Category, CategorySet, background_category, distinct_colour

_THINGS = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)

VOC_CATEGORIES = CategorySet(
    categories=(
        background_category(),
        *(
            Category(category_id=i + 1, name=name, is_thing=True, colour=distinct_colour(i))
            for i, name in enumerate(_THINGS)
        ),
    ),
    background_id=0,
)
"""The background and the 20 things; category ids are class indices and values of label maps."""
