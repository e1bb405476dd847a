"""This table lists the labels of Cityscapes.

Source: cityscapesScripts, helpers/labels.py.
"""

from collections.abc import Mapping

from annotools.categories import Category, CategorySet

_EVALUATED = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)

LABELS_WITH_INSTANCES = frozenset(range(24, 34))
"""Labels whose instances are told apart: the things, and two labels that are not evaluated."""

CITYSCAPES_CATEGORIES = CategorySet(
    categories=tuple(
        Category(
            category_id=label_id,
            name=name,
            is_thing=label_id in LABELS_WITH_INSTANCES,
            colour=colour,
        )
        for label_id, name, colour in _EVALUATED
    )
)
"""The 19 evaluated labels; class indices are the official trainIds, category ids the label ids."""

LABEL_NAMES: Mapping[int, str] = {
    -1: "license plate",
    0: "unlabeled",
    1: "ego vehicle",
    2: "rectification border",
    3: "out of roi",
    4: "static",
    5: "dynamic",
    6: "ground",
    9: "parking",
    10: "rail track",
    14: "guard rail",
    15: "bridge",
    16: "tunnel",
    18: "polegroup",
    29: "caravan",
    30: "trailer",
    **{label_id: name for label_id, name, _ in _EVALUATED},
}
"""Name by label id, of all labels; those with a negative id are not drawn into label maps."""
