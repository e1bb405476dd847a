"""Read SBD, the masks that the Semantic Boundaries Dataset adds to Pascal VOC's training images.

The folder is `SBD` or `benchmark_RELEASE`, next to `VOCdevkit` or inside it; in it, or in its
`dataset` as in the official archive, lie `cls/NAME.mat`, `inst/NAME.mat`, `train.txt`, `val.txt`
and the photos `img/NAME.jpg`.

Paper: Hariharan, Arbelaez, Bourdev, Maji, Malik 2011, Semantic contours from inverse detectors.
"""

import io
import struct
import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from annotools.errors import DatasetError
from annotools.formats.image_lists import read_names
from annotools.formats.pictures import MAX_PIXELS
from annotools.read_files import read_short

_FOLDERS = ("SBD", "benchmark_RELEASE")

_MAX_BYTES = 2**22
"""Files of SBD have some kilobytes; what is much longer would unpack to more than memory holds."""

_MAX_UNPACKED = 2**26
"""What the files of SBD hold has less than a megabyte."""

_CHUNK = 2**20
_HEAD_BYTES = 128
_COMPRESSED = 15


def find_sbd(devkit: Path) -> Path:
    """Return the folder that holds SBD's `cls` and `inst`.

    Args:
        devkit: the folder `VOCdevkit`.

    Raises:
        DatasetError: when there is none.
    """
    for parent in (devkit.parent, devkit):
        for name in _FOLDERS:
            for folder in (parent / name / "dataset", parent / name):
                if (folder / "cls").is_dir():
                    return folder
    raise DatasetError(
        f"{devkit}: no SBD/dataset/cls or benchmark_RELEASE/dataset/cls beside it: split trainaug "
        "needs the SBD archive there"
    )


def list_trainaug(sbd: Path, voc_lists: Path) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the names of the augmented training images, sorted, and those that SBD labels.

    The images are SBD's train and val and VOC's train, without VOC's val: none that VOC tests on
    is trained on. Images of VOC's train keep VOC's labels. On the full sets these are 10 582.

    Args:
        sbd: as `find_sbd` returns it.
        voc_lists: the folder with VOC's `train.txt` and `val.txt`.

    Raises:
        DatasetError: when one of the four lists is missing or damaged.
    """
    voc_train, voc_val = (set(read_names(voc_lists / f"{s}.txt")) for s in ("train", "val"))
    both = {name for s in ("train", "val") for name in read_names(sbd / f"{s}.txt")}
    return tuple(sorted((both | voc_train) - voc_val)), frozenset(both - voc_train - voc_val)


def read_class_map(path: Path) -> NDArray[np.uint8]:
    """Return the class map of a file in `cls`: (H, W), VOC's class ids, 0 is background.

    Raises:
        DatasetError: when the file is missing, damaged or holds something else.
    """
    return _take_map(path, _load_struct(path, "GTcls"))


def read_objects(path: Path) -> tuple[NDArray[np.uint8], dict[int, int]]:
    """Return the object map of a file in `inst` and the class id of each object.

    Returns:
        objects: (H, W), object numbers from 1, 0 is background.
        class_of: class id by object number.

    Raises:
        DatasetError: when the file is missing, damaged or holds something else.
    """
    content = _load_struct(path, "GTinst")
    objects = _take_map(path, content)
    classes = np.asarray(_take_field(path, content, "Categories")).ravel()
    is_number = classes.dtype.kind in "iuf" and bool(np.isfinite(classes).all())
    if not is_number:
        raise DatasetError(f"{path}: Categories of GTinst are not numbers: download it again")
    if objects.max() > len(classes):
        raise DatasetError(
            f"{path}: GTinst has {objects.max()} objects and {len(classes)} Categories: "
            "download it again"
        )
    return objects, {number: int(c) for number, c in enumerate(classes, start=1)}


def _load_struct(path: Path, name: str) -> Any:
    # Imported here, because every reader of a dataset would wait for it.
    import scipy.io

    data = read_short(path, _MAX_BYTES)
    if _is_bomb(data):
        raise DatasetError(f"{path}: unpacks to more than {_MAX_UNPACKED} bytes: replace it")
    try:
        # SciPy takes open files too; its type hints do not say so.
        file = cast(Any, io.BytesIO(data))
        content = scipy.io.loadmat(file, variable_names=[name])
    # What SciPy raises on a damaged file is of many types.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise DatasetError(f"{path}: not a MATLAB file ({reason}): download it again") from error
    if name not in content:
        raise DatasetError(f"{path}: {name} is missing: give a file of SBD")
    return content[name]


def _is_bomb(data: bytes) -> bool:
    """Tell whether a file unpacks to more than `_MAX_UNPACKED` bytes, without keeping them.

    Source: MAT-File Format, MathWorks, ch. 1 (level 5: data elements, type `miCOMPRESSED`).
    """
    order = ">" if data[_HEAD_BYTES - 2 : _HEAD_BYTES] == b"MI" else "<"
    place, unpacked = _HEAD_BYTES, 0
    while place + 8 <= len(data):
        kind, length = struct.unpack_from(f"{order}II", data, place)
        place += 8
        if kind == _COMPRESSED:
            inflater, packed = zlib.decompressobj(), data[place : place + length]
            while packed and unpacked <= _MAX_UNPACKED:
                try:
                    unpacked += len(inflater.decompress(packed, _CHUNK))
                # What is wrong with it is said by whoever reads it.
                except zlib.error:
                    break
                packed = inflater.unconsumed_tail
        place += length
    return unpacked > _MAX_UNPACKED


def _take_field(path: Path, content: Any, name: str) -> Any:
    """Return a field of a structure of size 1 x 1."""
    if content.dtype.names is None or name not in content.dtype.names or content.size != 1:
        raise DatasetError(f"{path}: {name} is missing: give a file of SBD")
    return content[name].item()


def _take_map(path: Path, content: Any) -> NDArray[np.uint8]:
    pixels = np.asarray(_take_field(path, content, "Segmentation"))
    if pixels.ndim != 2 or not 0 < pixels.size <= MAX_PIXELS or pixels.dtype != np.uint8:
        raise DatasetError(
            f"{path}: Segmentation is {pixels.dtype} of shape {pixels.shape}, not rows of bytes: "
            "download it again"
        )
    return pixels
