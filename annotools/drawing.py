"""Pictures of labels, to look at: segments, boxes and names over the photo; contact sheets."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.label_maps import build_label, class_map
from annotools.records import FullLabel, Photo, Segment, SegmentMap

GAP = 4
"""Pixels of white between the pictures of a contact sheet."""

_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def draw_label(photo: Photo, label: FullLabel, categories: CategorySet) -> Photo:
    """Return the photo with its label over it: (H, W, 3).

    Each segment is tinted in its category's colour and outlined in white, void is darkened. Things
    have their boxes; names stand in the box of a thing and deep inside a stuff segment.
    """
    colours = np.zeros((256, 3), dtype=np.uint16)  # Void stays black.
    colours[: len(categories)] = categories.palette
    tinted = (photo + colours[class_map(label, categories)]) // 2
    picture = np.ascontiguousarray(tinted, dtype=np.uint8)
    picture[_outlines(label.segment_map)] = _WHITE
    # Large segments first, so that the names of small ones stay on top.
    for segment in sorted(label.segments, key=lambda s: -s.area):
        category = categories.by_id(segment.category_id)
        name = f"{category.name} (group)" if segment.is_group else category.name
        x0, y0, x1, y1 = segment.box_xyxy
        if category.is_thing:
            cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), category.colour, 1)
            _write(picture, name, left=x0 + 2, top=y0 + 2)
        else:
            x, y = _deepest_point(label.segment_map, segment)
            _write(picture, name, left=x - 3 * len(name), top=y - 4)
    return picture


def enlarge(photo: Photo, label: FullLabel, factor: int) -> tuple[Photo, FullLabel]:
    """Return photo and label with every pixel repeated `factor` times along both axes."""
    category_of = {s.segment_id: s.category_id for s in label.segments}
    groups = [s.segment_id for s in label.segments if s.is_group]
    segment_map = label.segment_map.repeat(factor, axis=0).repeat(factor, axis=1)
    larger = build_label(label.image_id, segment_map, category_of, groups)
    return photo.repeat(factor, axis=0).repeat(factor, axis=1), larger


def contact_sheet(pictures: Sequence[Photo], columns: int) -> Photo:
    """Return the pictures in rows of `columns`, each at the upper left of its cell, on white.

    All cells are as high as the highest picture and as wide as the widest, with `GAP` between.

    Raises:
        ValueError: without pictures or columns.
    """
    if not pictures or columns < 1:
        raise ValueError(f"{len(pictures)} pictures in {columns} columns: give at least one each")
    columns = min(columns, len(pictures))
    num_rows = -(-len(pictures) // columns)
    height = max(picture.shape[0] for picture in pictures) + GAP
    width = max(picture.shape[1] for picture in pictures) + GAP
    sheet = np.full((num_rows * height - GAP, columns * width - GAP, 3), 255, dtype=np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // columns * height, place % columns * width
        sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return sheet


def encode_png(picture: Photo) -> bytes:
    """Return the content of a PNG file."""
    _, content = cv2.imencode(".png", picture[..., ::-1])
    return content.tobytes()


def _outlines(segment_map: SegmentMap) -> NDArray[np.bool_]:
    """Return (H, W), true on pixels whose right or lower neighbour is of another segment."""
    outlines = np.zeros(segment_map.shape, dtype=bool)
    outlines[:, :-1] |= segment_map[:, 1:] != segment_map[:, :-1]
    outlines[:-1] |= segment_map[1:] != segment_map[:-1]
    return outlines


def _deepest_point(segment_map: SegmentMap, segment: Segment) -> tuple[int, int]:
    """Return (x, y) of the segment's pixel that is farthest from everything else."""
    mask = np.pad(segment_map == segment.segment_id, 1).astype(np.uint8)
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return int(x), int(y)


def _write(picture: Photo, text: str, left: int, top: int) -> None:
    """Write white text with a black rim, moved to lie within the picture where it can."""
    scale = max(0.42, max(picture.shape[:2]) / 2400)
    thickness = max(1, round(scale))
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), _ = cv2.getTextSize(text, font, scale, thickness)
    x = max(0, min(left, picture.shape[1] - width))
    y = max(height, min(top + height, picture.shape[0] - 1))
    # Thicker letters would be set wider, so the rim is the text itself moved all around.
    rim = [(_BLACK, dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    for colour, dx, dy in (*rim, (_WHITE, 0, 0)):
        place = (x + dx * thickness, y + dy * thickness)
        cv2.putText(picture, text, place, font, scale, colour, thickness, cv2.LINE_AA)
