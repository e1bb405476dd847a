"""Read Pascal VOC's segmentation task, with SBD's additional training masks where asked.

In the folder of a year, `ImageSets/Segmentation/SPLIT.txt` lists the images,
`SegmentationClass/NAME.png` holds classes, `SegmentationObject/NAME.png` object numbers, and
`JPEGImages/NAME.jpg` the photos. In both kinds of map 255 is void.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotools.category_tables.voc import VOC_CATEGORIES
from annotools.errors import DatasetError
from annotools.formats import sbd
from annotools.formats.image_lists import read_names
from annotools.formats.json_values import refuse_gaps
from annotools.formats.photos import read_photo
from annotools.formats.pictures import decode_map, read_picture_size
from annotools.label_maps import build_label, look_up, measure_segments
from annotools.records import VOID, Dataset, Drop, FullLabel, Image

_LISTS = Path("ImageSets", "Segmentation")
_PHOTOS = "JPEGImages"
_BACKGROUND, _VOID_VALUE = 0, 255

_MIN_SHARE = 0.9
"""An object's class holds at least this share of its pixels; the rest may be its border."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where the files of one image are to be."""

    name: str
    class_path: Path
    object_path: Path
    photo_path: Path


def read(root: Path, split: str, allow_missing: bool = False) -> Dataset:
    """Return the dataset of a split; label maps and photos are read when asked for.

    Segment ids of objects are their numbers in the object map; the thing pixels of a class that
    belong to no object are its group, and the background follows. Split `trainaug` is VOC's train
    with SBD's images, without any of VOC's val; `annotools.formats.sbd` says where SBD is looked
    for.

    Args:
        root: the folder of a year, `VOCdevkit/VOC2012`, or `VOCdevkit` when it holds one year.
        split: a list in `ImageSets/Segmentation`, or `trainaug`.
        allow_missing: leave out images without a class map or, where there are photos, without a
            photo, and list them as drops; read the things of images without an object map as
            groups.

    Raises:
        DatasetError: for a split that is not there, a missing file unless allowed, or a damaged
            head of a class map. `read_label` raises it for damaged maps and maps that contradict
            each other, `read_photo` for a damaged photo or one of another size.
    """
    year = _find_year(root)
    sources, lists = _list_sources(year, split)
    kept, drops, grouped = _find_gaps(sources, year / _PHOTOS)
    refuse_gaps([*drops, *grouped], allow_missing)
    notes = ["pixels of no object are background, those of value 255 void"]
    num_from_sbd = sum(source.class_path.suffix == ".mat" for source in kept)
    if num_from_sbd:
        notes.append(f"{num_from_sbd} images have SBD's labels, in which nothing is void")
    if grouped:
        notes.append(f"things are groups in {len(grouped)} images that have no object map")
    return Dataset(
        name="voc",
        split=split,
        categories=VOC_CATEGORIES,
        images=tuple(_describe(source) for source in kept),
        read_label=_read_label,
        read_photo=read_photo,
        notes=tuple(notes),
        drops=tuple(drops),
        gaps=tuple(grouped),
        source_files=lists,
    )


def _find_year(root: Path) -> Path:
    if (root / _LISTS).is_dir():
        return root
    years = sorted(path for path in root.glob("VOC*") if (path / _LISTS).is_dir())
    if len(years) == 1:
        return years[0]
    if years:
        names = " or ".join(path.name for path in years)
        raise DatasetError(f"{root}: holds several years: give the folder of one, {names}")
    raise DatasetError(f"{root / _LISTS}: no such folder: give VOCdevkit/VOC2012 or another year")


def _list_sources(year: Path, split: str) -> tuple[list[_Source], tuple[Path, ...]]:
    """Return the images of a split in the order of its list, and the files that list them."""
    lists = year / _LISTS
    if split != "trainaug":
        path = lists / f"{split}.txt"
        return [_source_in_voc(year, name) for name in read_names(path)], (path,)
    folder = sbd.find_sbd(year.absolute().parent)
    names, of_sbd = sbd.list_trainaug(folder, lists)
    sources = [
        _source_in_sbd(year, folder, name) if name in of_sbd else _source_in_voc(year, name)
        for name in names
    ]
    paths = tuple(f / f"{s}.txt" for f in (lists, folder) for s in ("train", "val"))
    return sources, paths


def _source_in_voc(year: Path, name: str) -> _Source:
    return _Source(
        name=name,
        class_path=year / "SegmentationClass" / f"{name}.png",
        object_path=year / "SegmentationObject" / f"{name}.png",
        photo_path=year / _PHOTOS / f"{name}.jpg",
    )


def _source_in_sbd(year: Path, folder: Path, name: str) -> _Source:
    photo_path = year / _PHOTOS / f"{name}.jpg"
    own_photo_path = folder / "img" / f"{name}.jpg"
    return _Source(
        name=name,
        class_path=folder / "cls" / f"{name}.mat",
        object_path=folder / "inst" / f"{name}.mat",
        photo_path=own_photo_path if own_photo_path.is_file() else photo_path,
    )


def _find_gaps(
    sources: list[_Source], photo_folder: Path
) -> tuple[list[_Source], list[Drop], list[Drop]]:
    """Return images that can be read, gaps of the others, and the object maps that are missing."""
    kept, drops, grouped = [], [], []
    # SBD has photos in a folder of its own, so VOC's may be absent and photos be there.
    has_photos = photo_folder.is_dir() or any(source.photo_path.is_file() for source in sources)
    for source in sources:
        if not source.class_path.is_file():
            drops.append(Drop(place=str(source.class_path), reason="the class map is missing"))
        elif has_photos and not source.photo_path.is_file():
            drops.append(Drop(place=str(source.photo_path), reason="the photo is missing"))
        else:
            kept.append(source)
            if not source.object_path.is_file():
                reason = "the object map is missing"
                grouped.append(Drop(place=str(source.object_path), reason=reason))
    return kept, drops, grouped


def _describe(source: _Source) -> Image:
    photo_path = source.photo_path if source.photo_path.is_file() else None
    # Heads of pictures are cheap to read; SBD's maps have none and must be unpacked whole.
    if source.class_path.suffix == ".png":
        width, height = read_picture_size(source.class_path)
    elif photo_path is not None:
        width, height = read_picture_size(photo_path)
    else:
        height, width = sbd.read_class_map(source.class_path).shape
    label_paths = [p for p in (source.class_path, source.object_path) if p.is_file()]
    return Image(
        image_id=source.name,
        file_name=f"{source.name}.jpg",
        width=width,
        height=height,
        path=photo_path,
        label_paths=tuple(label_paths),
    )


def _read_label(image: Image) -> FullLabel:
    class_path, *object_paths = image.label_paths
    classes = _decode(class_path)
    _check_shape(class_path, classes, image)
    if not object_paths:
        return _build_label(image, classes, np.zeros_like(classes), {})
    (object_path,) = object_paths
    if object_path.suffix == ".mat":
        objects, class_of = sbd.read_objects(object_path)
    else:
        objects, class_of = decode_map(object_path), {}
    _check_shape(object_path, objects, image)
    return _build_label(image, classes, objects, class_of)


def _decode(class_path: Path) -> NDArray[np.uint8]:
    return sbd.read_class_map(class_path) if class_path.suffix == ".mat" else decode_map(class_path)


def _check_shape(path: Path, pixels: NDArray[np.uint8], image: Image) -> None:
    if pixels.shape != (image.height, image.width) or pixels.dtype != np.uint8:
        raise DatasetError(
            f"{path}: holds {pixels.dtype} of shape {pixels.shape}, not {image.height} rows of "
            f"{image.width} bytes: restore the original"
        )


def _build_label(
    image: Image,
    classes: NDArray[np.uint8],
    objects: NDArray[np.uint8],
    class_of: Mapping[int, int],
) -> FullLabel:
    """Return the label of a class map and an object map.

    Args:
        image: its image.
        classes: (H, W), class ids, 255 void.
        objects: (H, W), object numbers, 0 for none, 255 void.
        class_of: what the source says is the class of each object; empty where it does not.
    """
    # One number for each pair of object and class, so that one pass finds all; from 1, as 0 is
    # void to the pass.
    pairs = objects.astype(np.int32) * 256 + classes + 1
    area_of = {divmod(pair - 1, 256): area for pair, (area, _) in measure_segments(pairs).items()}
    for _, class_id in area_of:
        if class_id != _VOID_VALUE and class_id not in VOC_CATEGORIES.class_index_of:
            raise DatasetError(
                f"{image.label_paths[0]}: value {class_id} is no class of Pascal VOC: "
                "restore the original"
            )
    category_of = _find_classes(image, area_of, class_of)
    # Numbers of objects may have gaps, so further ids follow the largest.
    num_objects = max(category_of, default=0)
    loose = sorted({c for o, c in area_of if o == 0 and c not in (_BACKGROUND, _VOID_VALUE)})
    group_of = {class_id: num_objects + 1 + n for n, class_id in enumerate(loose)}
    background = num_objects + len(group_of) + 1
    segment_of_class = {**group_of, _BACKGROUND: background}
    # An object keeps all its pixels, also the few on its border where the classes say otherwise.
    segment_of = {
        o * 256 + c + 1: o if o in category_of else segment_of_class.get(c, VOID)
        for o, c in area_of
        if o != _VOID_VALUE
    }
    return build_label(
        image.image_id,
        look_up(pairs, segment_of, VOID),
        category_of=category_of
        | {segment_id: class_id for class_id, segment_id in group_of.items()}
        | {background: _BACKGROUND},
        groups=tuple(group_of.values()),
    )


def _find_classes(
    image: Image, area_of: Mapping[tuple[int, int], int], class_of: Mapping[int, int]
) -> dict[int, int]:
    """Return the class of each object: that of most of its pixels, void ones left out.

    Args:
        image: its image.
        area_of: pixels by object and class.
        class_of: what the source says.

    Raises:
        DatasetError: for an object on background or void, on several classes, or on another than
            the source says.
    """
    areas: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for (number, class_id), area in area_of.items():
        if number not in (0, _VOID_VALUE):
            areas[number][class_id] = area
    found = {}
    for number, area_by_class in areas.items():
        # The border of an object may be void in the class map, which says nothing of its class.
        labelled = {c: area for c, area in area_by_class.items() if c != _VOID_VALUE}
        best = max(labelled, key=labelled.__getitem__, default=_BACKGROUND)
        if best == _BACKGROUND or labelled[best] < _MIN_SHARE * sum(labelled.values()):
            raise DatasetError(
                f"{image.label_paths[1]}: object {number} has classes {sorted(area_by_class)} in "
                "the class map: restore both maps"
            )
        if class_of.get(number, best) != best:
            raise DatasetError(
                f"{image.label_paths[1]}: object {number} has class {class_of[number]}, in the "
                f"class map {best}: restore both"
            )
        found[number] = best
    return found
