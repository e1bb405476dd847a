"""The runs of a segment map are found in its PNG without decoding most of the pixels.

A PNG stores what each pixel adds to a guess from its left, upper and upper left neighbours; which
guess, its row's filter says. In a label map nearly all pixels add nothing. Take some rows and a
column in which they add nothing, nor in the column left of it, and let these two be equal in the
row above. Then they are equal in all the rows: filter Sub guesses the left neighbour; Up guesses
the upper one, and the upper two are equal; Paeth guesses the left one where the upper two are
equal. Such columns are cut out, and a picture a tenth as wide is left to decode; only rows with
the filter Average, which are rare in label maps, and the rows next to them keep all columns.

Source: PNG Specification (Third Edition), W3C 2025, sec. 9.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from annotools.formats.opencv import MAX_SIDE
from annotools.records import Runs

BAND_ROWS = 32
"""Rows whose columns are cut together: more rows leave fewer columns to cut."""

_START = b"\x89PNG\r\n\x1a\n"
_RGB_BYTES = bytes([8, 2, 0, 0, 0])
"""End of a header: 8 bits, RGB, the only compression, the only filters, not interlaced."""

_PLAIN, _SUB, _AVERAGE, _NUM_FILTERS = 0, 1, 3, 5
_OPAQUE = np.int32(-1 << 24)


class _NeedsDecodingError(Exception):
    """The runs of a picture cannot be found here."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    """The columns (S,) where the runs of a row begin and their ids (S,), opaque."""

    columns: NDArray[np.intp]
    ids: NDArray[np.int32]


def find_png_runs(chunks: Sequence[tuple[bytes, bytes]]) -> Runs | None:
    """Return the runs of an RGB picture of 8 bits a colour, their ids R + 256 G + 65,536 B.

    None says that a decoder has to tell the pixels, or what is wrong with them: the picture is of
    another kind, or does not end where it should.

    Args:
        chunks: name and content of each chunk of a PNG, checksums and size verified.
    """
    name, head = chunks[0]
    if name != b"IHDR" or head[8:] != _RGB_BYTES:
        return None
    width, height = struct.unpack(">II", head[:8])
    if max(width, height) > MAX_SIDE:
        return None
    scan = b"".join(content for name, content in chunks if name == b"IDAT")
    starts, ids = [], []
    # The filters take what lies above the first row for zeros, which is one run of the id 0.
    above = _Row(columns=np.zeros(1, dtype=np.intp), ids=np.full(1, _OPAQUE))
    try:
        for number, band in enumerate(_inflate_bands(scan, width, height)):
            columns, pixels = _decode_band(band, above)
            # The first column stays true: no run leaves its row.
            changes = np.ones(pixels.shape, dtype=bool)
            np.not_equal(pixels[:, 1:], pixels[:, :-1], out=changes[:, 1:])
            rows, places = np.nonzero(changes)
            starts.append((number * BAND_ROWS + rows) * width + columns[places])
            ids.append(pixels[rows, places])
            above = _Row(columns=columns[changes[-1]], ids=pixels[-1, changes[-1]])
    except _NeedsDecodingError:
        return None
    all_starts = np.concatenate(starts)
    return Runs(
        height=height,
        width=width,
        starts=all_starts,
        lengths=np.diff(all_starts, append=height * width),
        ids=np.concatenate(ids) & ~_OPAQUE,
    )


def _inflate_bands(scan: bytes, width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """Yield (N, 1 + 3 W) bytes of up to `BAND_ROWS` rows: a row's filter, then what pixels add."""
    inflater = zlib_ng.decompressobj()
    row_bytes = 1 + 3 * width
    try:
        for first_row in range(0, height, BAND_ROWS):
            rows = min(BAND_ROWS, height - first_row)
            data = inflater.decompress(scan, rows * row_bytes)
            scan = inflater.unconsumed_tail
            if len(data) < rows * row_bytes:
                raise _NeedsDecodingError
            band = np.frombuffer(data, dtype=np.uint8).reshape(rows, row_bytes)
            if band[:, 0].max() >= _NUM_FILTERS:
                raise _NeedsDecodingError
            yield band
        # More data than the rows need are damage, or something that only a decoder can judge.
        if inflater.decompress(scan, 1) or not inflater.eof or inflater.unused_data:
            raise _NeedsDecodingError
    except zlib_ng.error as error:  # type: ignore[misc]  # its stub says it is an instance
        raise _NeedsDecodingError from error


def _decode_band(
    band: NDArray[np.uint8], above: _Row
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Return the columns that stay (C,), the first among them, and their opaque ids (N, C)."""
    plain = np.flatnonzero(band[:, 0] == _PLAIN)
    # A row without a filter holds its pixels: turned into Sub, it shows too what adds nothing.
    filtered = _with_sub_for_plain(band, plain)
    added = np.bitwise_or.reduce(filtered, axis=0)
    stays = (added[1::3] | added[2::3] | added[3::3]) != 0
    # A column equals the one left of it only if neither adds anything, so the next one stays too.
    stays[1:] |= stays[:-1].copy()
    # Where a run begins in the row above, two columns differ before the band begins.
    stays[above.columns] = True
    if (band[:, 0] == _AVERAGE).any():
        stays[:] = True
    columns = np.flatnonzero(stays)
    places = (3 * columns[:, np.newaxis] + np.arange(1, 4)).ravel()
    if len(plain) == len(band):
        # Without filters the bytes are the pixels themselves, and nothing has to be decoded.
        rgb = band.take(places, axis=1).reshape(len(band), -1, 3)
        return columns, cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA).view(np.int32)[..., 0]
    narrow = np.zeros((1 + len(band), 1 + len(places)), dtype=np.uint8)
    # The row above comes first, unfiltered, so that the decoder guesses from the true neighbours.
    upper = above.ids[above.columns.searchsorted(columns, side="right") - 1]
    narrow[0, 1:] = upper.view(np.uint8).reshape(-1, 4)[:, :3].ravel()
    narrow[1:, 0] = filtered[:, 0]
    narrow[1:, 1:] = filtered.take(places, axis=1)
    bgr = cv2.imdecode(_make_png(narrow), cv2.IMREAD_COLOR)
    assert bgr is not None
    return columns, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGBA).view(np.int32)[1:, :, 0]


def _with_sub_for_plain(band: NDArray[np.uint8], plain: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return a band with the filter Sub in rows that have none."""
    if not plain.size:
        return band
    changed = band.copy()
    rows = slice(None) if len(plain) == len(band) else plain
    changed[rows, 4:] -= band[rows, 1:-3]
    changed[rows, 0] = _SUB
    return changed


def _make_png(filtered: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the PNG of (N, 1 + 3 C) filtered rows, not compressed."""
    height, row_bytes = filtered.shape
    head = struct.pack(">II", row_bytes // 3, height) + _RGB_BYTES
    png = _START
    for name, content in (
        (b"IHDR", head),
        (b"IDAT", zlib_ng.compress(filtered, 0)),
        (b"IEND", b""),
    ):
        checksum = zlib_ng.crc32(content, zlib_ng.crc32(name))
        png += struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
    return np.frombuffer(png, dtype=np.uint8)
