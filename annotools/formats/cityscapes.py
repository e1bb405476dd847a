"""Read Cityscapes: `gtFine` or `gtCoarse`, and the photos in `leftImg8bit` next to it.

An image's label comes from the first of these that it has: `CITY/NAME_gtFine_instanceIds.png`;
`NAME_gtFine_polygons.json`, drawn as the official tools draw it; `NAME_gtFine_labelIds.png`,
which does not tell instances apart.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw

from annotools.category_tables.cityscapes import (
    CITYSCAPES_CATEGORIES,
    LABEL_NAMES,
    LABELS_WITH_INSTANCES,
)
from annotools.errors import DatasetError
from annotools.formats.cityscapes_polygons import (
    INSTANCES,
    DrawnObject,
    box_around,
    number_objects,
    read_objects,
    read_polygon_size,
)
from annotools.formats.instances import COVERED
from annotools.formats.json_values import refuse_gaps
from annotools.formats.photos import read_photo
from annotools.formats.pictures import decode_map, read_picture_size
from annotools.formats.polygons import count_corners
from annotools.label_maps import find_runs, label_of_runs, replace_ids
from annotools.records import VOID, Box, BoxXYXY, Dataset, Drop, FullLabel, Image, Runs

_LABEL_FOLDERS = ("gtFine", "gtCoarse")
_LABEL_IDS = "labelIds.png"
_POLYGONS = "polygons.json"
_LABEL_FILES = ("instanceIds.png", _POLYGONS, _LABEL_IDS)
_UNREAD = {
    "labelTrainIds.png": "train ids",
    "instanceTrainIds.png": "train ids",
    "color.png": "colours",
}
"""Other files that Cityscapes' tools write of a label, and what is in them."""

_ASK_FOR_IDS = "give labelIds or instanceIds"

_RARE_LABELS = frozenset((14, 15, 16))
"""Guard rail, bridge and tunnel, each in few images, so that all three in one are something else.

Instance numbers of another dataset, counted from 1, or another table's ids look like this.
"""

_EVALUATED = CITYSCAPES_CATEGORIES.class_index_of
_LAST_TRAIN_ID = 18
_FIRST_DRAWN = 4
"""Label ids below are those of no object: unlabeled, ego vehicle, border and out of roi."""

_PHOTO_FILE = "_leftImg8bit.png"


def read(root: Path, split: str, allow_missing: bool = False) -> Dataset:
    """Return the dataset of a split; label maps and photos are read when asked for.

    Segment ids of things are the official values (label id * 1000 + n), those of stuff and of
    groups the label id. A thing has the box of its polygon, where the image has polygons, also of
    what others cover. Labels outside the 19 evaluated ones are void. An object of the source is
    a stuff class that is present, an instance, or a class's group; caravans and trailers have
    instances, are not evaluated, and so are drops. A label has doubts where its map looks like one
    of train ids, of another dataset's instances or of another table's ids.

    Args:
        root: the folder that holds `gtFine` or `gtCoarse`, where the first that has the split
            counts; or one of these two itself.
        split: a folder in it: train, val, test or train_extra.
        allow_missing: leave out images without a label or, where the split has photos, without a
            photo, and list them as drops; read the things of an image as groups if its split has
            instances and it has none.

    Raises:
        DatasetError: for a split that is not there, a missing file unless allowed, or a damaged
            head of a label map. `read_label` raises it for a damaged map and values that are no
            Cityscapes labels, `read_photo` for a damaged photo or one of another size.
    """
    label_folder = _find_label_folder(root, split)
    # The path is made absolute first, because the parent of `.` is `.` itself.
    photo_folder = label_folder.absolute().parent / "leftImg8bit" / split
    images, drops = _list_images(label_folder, split, photo_folder)
    grouped = [
        Drop(place=str(image.label_paths[0]), reason="has no instanceIds.png beside it")
        for image in images
        if image.label_paths[0].name.endswith(_LABEL_IDS)
    ]
    # A split in which no image has instances is meant to be so, and lacks no file for it.
    gaps = drops + grouped if len(grouped) < len(images) else drops
    refuse_gaps(gaps, allow_missing)
    if not images:
        found = f"{drops[0].place}: {drops[0].reason}" if drops else "check root and split"
        raise DatasetError(f"{label_folder / split}: no labels in CITY/*.png: {found}")
    notes = [
        f"labels come from {label_folder.name}",
        "pixels of other labels than the 19 evaluated are void",
    ]
    if grouped:
        notes.append(
            f"images that have labelIds.png alone, whose things are groups: {len(grouped)}"
        )
    return Dataset(
        name="cityscapes",
        split=split,
        categories=CITYSCAPES_CATEGORIES,
        images=tuple(images),
        read_label=_read_label,
        read_photo=read_photo,
        count_vertices=_count_vertices,
        notes=tuple(notes),
        remarks=()
        if photo_folder.is_dir()
        else (f"labels alone are read: there is no {photo_folder}",),
        drops=tuple(drops),
        gaps=tuple(gaps[len(drops) :]),
    )


def _find_label_folder(root: Path, split: str) -> Path:
    if root.absolute().name in _LABEL_FOLDERS:
        folders = [root]
    else:
        folders = [root / name for name in _LABEL_FOLDERS]
    for folder in folders:
        if (folder / split).is_dir():
            return folder
    present = sorted(str(p.relative_to(root)) for folder in folders for p in folder.glob("*/"))
    raise DatasetError(
        f"{root}: has no split {split!r} in gtFine or gtCoarse: check root and split; it has "
        f"{', '.join(present) or 'none'}"
    )


def _list_images(
    label_folder: Path, split: str, photo_folder: Path
) -> tuple[list[Image], list[Drop]]:
    """Return the images that are there and those that lack a file, both by city and name."""
    kind = f"_{label_folder.absolute().name}_"
    endings = [kind + ending for ending in _LABEL_FILES]
    content_of = {kind + ending: content for ending, content in _UNREAD.items()}
    files_of = _list_files(label_folder / split, [*endings, *content_of])
    for key, files in _list_files(photo_folder, [_PHOTO_FILE]).items():
        files_of[key] |= files
    images, drops = [], []
    places: dict[str, str] = {}
    for key, files in sorted(files_of.items()):
        label_path = next((files[ending] for ending in endings if ending in files), None)
        photo_path = files.get(_PHOTO_FILE)
        image_id = key.partition("/")[2]
        # The id leaves the city out, so no two cities may have an image of the same name.
        if places.setdefault(image_id, key) != key:
            raise DatasetError(f"{label_folder / split}: {places[image_id]} and {key}: rename one")
        unread = next((ending for ending in content_of if ending in files), None)
        if label_path is None and unread is not None:
            reason = f"{content_of[unread]} are not read: {_ASK_FOR_IDS}"
            drops.append(Drop(place=str(files[unread]), reason=reason))
        elif label_path is None:
            drops.append(Drop(place=str(photo_path), reason="the photo has no label"))
        # Without any folder of photos the labels alone are wanted, and no photo is missing.
        elif photo_path is None and photo_folder.is_dir():
            reason = f"its photo is missing from {photo_folder}"
            drops.append(Drop(place=str(label_path), reason=reason))
        else:
            width, height = _read_size(label_path)
            images.append(
                Image(
                    image_id=image_id,
                    file_name=f"{key}{_PHOTO_FILE}",
                    width=width,
                    height=height,
                    path=photo_path,
                    label_paths=tuple(dict.fromkeys((label_path, *_polygons_of(files)))),
                )
            )
    return images, drops


def _list_files(folder: Path, endings: Sequence[str]) -> defaultdict[str, dict[str, Path]]:
    """Return the files CITY/NAME<ending> by CITY/NAME and ending."""
    files_of: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    # Archives made on a Mac hold a `._NAME` next to each NAME, which is no picture.
    for path in folder.glob("*/[!.]*"):
        for ending in endings:
            if path.name.endswith(ending):
                key = f"{path.parent.name}/{path.name.removesuffix(ending)}"
                files_of[key][ending] = path
    return files_of


def _polygons_of(files: Mapping[str, Path]) -> list[Path]:
    return [path for ending, path in files.items() if ending.endswith(_POLYGONS)]


def _read_size(label_path: Path) -> tuple[int, int]:
    if label_path.suffix == ".png":
        return read_picture_size(label_path)
    return read_polygon_size(label_path)


def _read_label(image: Image) -> FullLabel:
    path = image.label_paths[0]
    drawn = _read_polygons(image)
    if path.suffix == ".json":
        return _draw_polygons(image, drawn)
    values = decode_map(path)
    if values.shape != (image.height, image.width):
        raise DatasetError(
            f"{path}: has pixels of shape {values.shape}, not {image.height} rows of "
            f"{image.width} numbers: copy it again"
        )
    # The value 0, Cityscapes' `unlabeled`, is also the number of `VOID`, and needs no change.
    runs = find_runs(values)
    label_of = {
        value: value // INSTANCES if value >= INSTANCES else value
        for value in np.unique(runs.ids).tolist()
        if value != VOID
    }
    for value, label_id in label_of.items():
        if label_id not in LABEL_NAMES:
            raise DatasetError(
                f"{path}: value {value} is no label of Cityscapes: give its instanceIds or labelIds"
            )
    place_of = {value: f"{path}: value {value}" for value in label_of}
    label = _build_label(image, runs, label_of, place_of)
    label = replace(label, doubts=tuple(_find_doubts(path, label_of)))
    # Without instances nobody knows which polygon a value stands for.
    return label if path.name.endswith(_LABEL_IDS) else _add_whole_boxes(label, image, drawn)


def _find_doubts(path: Path, label_of: Mapping[int, int]) -> Iterator[Drop]:
    """Yield what shows that the values of a map are likely to be something else than Cityscapes'.

    Args:
        path: of the map.
        label_of: label id by value.
    """
    for value, label_id in label_of.items():
        if value >= INSTANCES and label_id not in LABELS_WITH_INSTANCES:
            yield Drop(
                place=f"{path}: value {value}",
                reason="is an instance of a class that has none, as other datasets number them: "
                f"{_ASK_FOR_IDS} of Cityscapes",
            )
    drawn = {label_id for label_id in label_of.values() if label_id >= _FIRST_DRAWN}
    if drawn and max(drawn) <= _LAST_TRAIN_ID:
        yield Drop(
            place=str(path),
            reason=f"no label id above {_LAST_TRAIN_ID}, as in maps of train ids: {_ASK_FOR_IDS}",
        )
    elif drawn >= _RARE_LABELS:
        yield Drop(
            place=str(path),
            reason="guard rail, bridge and tunnel in one image, as where values are no label ids: "
            f"{_ASK_FOR_IDS} of Cityscapes",
        )


def _read_polygons(image: Image) -> tuple[DrawnObject, ...]:
    """Return the polygons of an image, none where it has no file of them."""
    path = _polygons_path(image)
    return () if path is None else tuple(number_objects(image, path))


def _polygons_path(image: Image) -> Path | None:
    return next((path for path in image.label_paths if path.suffix == ".json"), None)


def _draw_polygons(image: Image, drawn: Sequence[DrawnObject]) -> FullLabel:
    """Draw the polygons in the file's order, as cityscapesScripts' json2instanceImg does."""
    # The official tool draws with Pillow, and OpenCV's polygons have other pixels along their
    # sides. Mode I has 32 bits a pixel: values of instances need more than a byte.
    canvas = Picture.new("I", image.size_wh, VOID)
    drawer = ImageDraw.Draw(canvas)
    for one in drawn:
        drawer.polygon(one.points, fill=one.value)
    runs = find_runs(np.asarray(canvas, dtype=np.int32))
    label_of = {one.value: one.label_id for one in drawn}
    # Stuff and groups are drawn many times with one value: the first place stands for all.
    place_of = {one.value: one.place for one in reversed(drawn)}
    label = _build_label(image, runs, label_of, place_of)
    return _add_whole_boxes(label, image, drawn)


def _add_whole_boxes(label: FullLabel, image: Image, drawn: Sequence[DrawnObject]) -> FullLabel:
    """Return the label with the boxes of whole things, which are those of their polygons.

    Polygons go on behind what covers them. Where they do not fit the visible pixels, they are of
    another map, and boxes stay those of what is visible.
    """
    polygons_of: defaultdict[int, list[DrawnObject]] = defaultdict(list)
    for one in drawn:
        if one.label_id in LABELS_WITH_INSTANCES and one.label_id in _EVALUATED:
            polygons_of[one.value].append(one)
    box_of = {value: box_around(ones, image.size_wh) for value, ones in polygons_of.items()}
    visible = {segment.segment_id: segment for segment in label.segments}
    for value, box_xyxy in box_of.items():
        if value in visible and not _encloses(box_xyxy, visible[value].box_xyxy):
            place = polygons_of[value][0].place
            doubt = Drop(place=place, reason="does not fit the pixels of its instance: not used")
            return replace(label, doubts=(*label.doubts, doubt))
    own_boxes = {
        value: Box(
            category_id=polygons_of[value][0].label_id,
            box_xyxy=box_xyxy,
            is_group=value < INSTANCES,
        )
        for value, box_xyxy in box_of.items()
        if box_xyxy is not None and (value not in visible or box_xyxy != visible[value].box_xyxy)
    }
    covered = {
        value: Drop(place=polygons_of[value][0].place, reason=COVERED)
        for value in own_boxes
        if value not in visible
    }
    places = {drop.place for drop in covered.values()}
    drops = tuple(drop for drop in label.drops if drop.place not in places)
    return replace(label, own_boxes=own_boxes, unseen=covered, drops=drops)


def _encloses(outer: BoxXYXY | None, inner: BoxXYXY) -> bool:
    """Tell whether one box holds another, but for the pixel that rounding may cost."""
    if outer is None:
        return False
    starts = zip(outer[:2], inner[:2], strict=True)
    ends = zip(outer[2:], inner[2:], strict=True)
    return all(a <= b + 1 for a, b in starts) and all(a >= b - 1 for a, b in ends)


def _count_vertices(image: Image) -> int | None:
    """Return the corners of the polygons of evaluated labels, also where other objects cover them.

    None for an image without a file of polygons.
    """
    path = _polygons_path(image)
    if path is None:
        return None
    return sum(
        count_corners(points)
        for _, label_id, _, points in read_objects(image, path)
        if label_id in _EVALUATED
    )


def _build_label(
    image: Image,
    runs: Runs,
    label_of: Mapping[int, int],
    place_of: Mapping[int, str],
) -> FullLabel:
    """Return the label of a map of values, given by its runs.

    Args:
        image: its image.
        runs: their ids are the values, `VOID` where nothing is labelled.
        label_of: label id by value; a group's value is its label id.
        place_of: where each value stands in the source, for drops.
    """
    # Stuff has no instances, so all values of a stuff label become one segment.
    segment_of = {
        value: value if label_id in LABELS_WITH_INSTANCES else label_id
        for value, label_id in label_of.items()
        if label_id in _EVALUATED
    }
    runs = replace_ids(runs, segment_of, VOID)
    label = label_of_runs(
        image.image_id,
        runs,
        category_of={segment_of[value]: label_of[value] for value in segment_of},
        # A segment whose id is a bare label id is a group; ids that the map lacks do no harm.
        groups=sorted(LABELS_WITH_INSTANCES),
    )
    visible = {segment.segment_id for segment in label.segments}
    drops = []
    for value, label_id in label_of.items():
        if label_id in LABELS_WITH_INSTANCES and label_id not in _EVALUATED:
            reason = f"category {LABEL_NAMES[label_id]} is not one of the 19 evaluated"
            drops.append(Drop(place=place_of[value], reason=reason))
        elif label_id in _EVALUATED and segment_of[value] not in visible:
            drops.append(Drop(place=place_of[value], reason=COVERED))
    return replace(label, drops=tuple(drops))
