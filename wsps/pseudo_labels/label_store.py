"""Keep labels from boxes on disk: they are made once, though many trials and commands ask.

They depend on the photo and its boxes alone and take long to make.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.files import digest
from annotools.formats.panoptic_folder import join_maps, part_maps
from annotools.formats.panoptic_png import decode_segment_map, encode_segment_map
from annotools.formats.source import Source, photo_stamp
from annotools.records import Box, Image, Photo
from annotools.seals import read_sealed, write_sealed
from wsps.pseudo_labels.boxes import METHOD_VERSION, label_from_boxes
from wsps.pseudo_labels.refine import PseudoLabel
from wsps.recipe import DEFAULT_BOX_METHOD

_FORM = 2
"""Changes when the files do, so that those of an older version are not taken for damaged."""


@dataclass(frozen=True, kw_only=True)
class BoxLabelStore:
    """A folder with one PNG a label; several processes may use it at the same time.

    `source` has the images; `method` is that of `label_from_boxes`.
    """

    folder: Path
    source: Source
    method: str = DEFAULT_BOX_METHOD

    def label(
        self, photo: Photo, image: Image, boxes: Sequence[Box], categories: CategorySet
    ) -> PseudoLabel:
        """Return the label from boxes of an image, from the folder if it is there.

        Args:
            photo: (H, W, 3) RGB, of the image.
            image: one of the source.
            boxes: every thing in the image.
            categories: of the boxes.

        Raises:
            RecipeError: for an unknown method.
            OSError: when the label cannot be written.
        """
        path = self._path(image, boxes, categories)
        stored = _read_label(path, image, categories)
        if stored is not None:
            return stored
        # Two processes may both get here: each writes a whole file, and both write the same label.
        label = label_from_boxes(photo, boxes, categories, self.method)
        write_sealed(path, encode_segment_map(join_maps(label.classes, label.instances)))
        return label

    def has(self, image: Image, boxes: Sequence[Box], categories: CategorySet) -> bool:
        """Return whether the folder has the label; `label` makes one that is damaged anew."""
        return self._path(image, boxes, categories).is_file()

    def _path(self, image: Image, boxes: Sequence[Box], categories: CategorySet) -> Path:
        return self.folder / f"{self._key(image, boxes, categories)}.png"

    def _key(self, image: Image, boxes: Sequence[Box], categories: CategorySet) -> str:
        """Name what a label from boxes depends on: the photo, its boxes and the method.

        The file holds class indices, so their meaning counts as well.
        """
        source, root = self.source, self.source.root.resolve()
        photo = [source.format_name, root, source.split, image.image_id, photo_stamp(root, image)]
        return digest(METHOD_VERSION, _FORM, self.method, photo, boxes, categories)[:20]


def _read_label(path: Path, image: Image, categories: CategorySet) -> PseudoLabel | None:
    """Return the label of a file, None where there is none or it is damaged."""
    if read_sealed(path) is None:
        return None
    # A decoder of PNGs leaves the seal alone, which comes behind their end.
    classes, instances = part_maps(decode_segment_map(path))
    is_known = np.isin(classes, [*range(len(categories)), IGNORE_INDEX]).all()
    is_whole = classes.shape == (image.height, image.width)
    return PseudoLabel(classes=classes, instances=instances) if is_known and is_whole else None
