"""A COCO panoptic label is a PNG whose pixels hold segment ids: R + 256 G + 256 * 256 B.

The id is 0 where the image is unlabelled.
"""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from annotools.errors import DatasetError
from annotools.formats.pictures import decode_map, read_png_chunks
from annotools.formats.png_runs import find_png_runs
from annotools.label_maps import find_runs, look_up
from annotools.records import VOID, Runs, SegmentMap

END_OF_IDS = 2**24
"""The first segment id that the three bytes of a pixel cannot hold."""

# Rows of label maps repeat those above. Unfiltered, they are written a fifth faster than with the
# best filter and read two to three times as fast; files are up to twice as large.
_PNG_OPTIONS = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE),
)


def encode_segment_map(segment_map: SegmentMap) -> bytes:
    """Return the PNG of a segment map.

    Ids are kept where all fit three bytes; otherwise they become 1..N in their order, here and in
    `panoptic_entry` alike.

    Args:
        segment_map: (H, W), `VOID` where unlabelled.
    """
    if segment_map.max() >= END_OF_IDS:
        ids = np.unique(segment_map).tolist()
        segment_map = look_up(segment_map, written_ids(ids), default=VOID)
    # Little-endian integers are R, G, B and a zero in memory.
    rgb0 = np.ascontiguousarray(segment_map, dtype="<i4").view(np.uint8)  # (H, 4 W)
    bgr = cv2.cvtColor(rgb0.reshape(*segment_map.shape, 4), cv2.COLOR_RGBA2BGR)  # (H, W, 3)
    done, png = cv2.imencode(".png", bgr, _PNG_OPTIONS)
    assert done
    return bytes(png)


def decode_segment_map(path: Path) -> SegmentMap:
    """Return the segment map that a PNG holds: (H, W), `VOID` where unlabelled.

    Raises:
        DatasetError: when it cannot be read or is no RGB picture of 8 bits a colour.
    """
    pixels = decode_map(path)
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise DatasetError(f"{path}: is not RGB with 8 bits a colour: give a COCO panoptic PNG")
    # Blue comes first in what OpenCV decodes: seen that way round, the array is contiguous.
    rgba = cv2.cvtColor(np.ascontiguousarray(pixels[:, :, ::-1]), cv2.COLOR_BGR2RGBA)
    segment_map: SegmentMap = rgba.view("<i4").reshape(pixels.shape[:2])
    segment_map &= END_OF_IDS - 1  # without the opaque alpha
    return segment_map


def read_runs(path: Path) -> Runs:
    """Return the runs of the segment map that a PNG holds.

    Raises:
        DatasetError: as `decode_segment_map`.
    """
    # Runs read from the scan lines save drawing the map; a decoder tells of all other pictures.
    runs = find_png_runs(read_png_chunks(path))
    return find_runs(decode_segment_map(path)) if runs is None else runs


def written_ids(segment_ids: Iterable[int]) -> dict[int, int]:
    """Return the id in the PNG by segment id; void has none."""
    ordered = sorted(set(segment_ids) - {VOID})
    fits = not ordered or ordered[-1] < END_OF_IDS
    return dict(zip(ordered, ordered if fits else range(1, len(ordered) + 1), strict=True))
