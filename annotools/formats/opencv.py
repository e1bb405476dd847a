"""Decode pictures with OpenCV, whose decoders print what they think to stderr."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.stderr import catch_stderr

MAX_SIDE = 2**20
"""OpenCV takes no picture that is wider or higher, in pixels."""


def decode_by_opencv(data: bytes, flags: int) -> tuple[NDArray[Any] | None, list[str]]:
    """Return the pixels of a picture, None where there are none, and the lines that were printed.

    Args:
        data: the file's content.
        flags: as `cv2.imdecode` takes them.
    """
    with catch_stderr() as printed:
        try:
            pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
        # Of a picture that is wider or higher than OpenCV takes.
        except cv2.error:
            pixels = None
    return pixels, printed.decode(errors="replace").splitlines()
