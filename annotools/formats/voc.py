"""Read Pascal VOC's segmentation task, with SBD's additional training masks where asked.

In the folder of a year, `ImageSets/Segmentation/SPLIT.txt` lists the images,
`SegmentationClass/NAME.png` holds classes, `SegmentationObject/NAME.png` object numbers,
`Annotations/NAME.xml` boxes, and `JPEGImages/NAME.jpg` the photos. In both kinds of map 255 is
void. Other tools write the same folders with classes of their own, labelme once as
`SegmentationClassPNG`; a folder with boxes and no masks is read by `annotools.formats.voc_xml`.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotools.errors import DatasetError
from annotools.formats import sbd, voc_xml
from annotools.formats.json_values import refuse_gaps
from annotools.formats.photo_places import check_given, visible_files
from annotools.formats.photos import read_photo
from annotools.formats.voc_boxes import pair_up, read_xml, take_objects
from annotools.formats.voc_classes import (
    VOID_VALUE,
    VocClasses,
    decode_classes,
    decode_objects,
    find_classes,
)
from annotools.formats.voc_layout import (
    CLASSES,
    LISTS,
    PHOTOS,
    describe_image,
    find_gaps,
    find_year,
    list_files,
    map_folder,
)
from annotools.label_maps import build_label, look_up, measure_segments
from annotools.records import VOID, Box, Dataset, Drop, FullLabel, Image

_MIN_SHARE = 0.9
"""An object's class holds at least this share of its pixels; the rest may be its border."""


def read(
    root: Path, split: str, allow_missing: bool = False, photos: Path | None = None
) -> Dataset:
    """Return the dataset of a split; label maps, boxes and photos are read when asked for.

    Segment ids of objects are their numbers in the object map; the thing pixels of a class that
    belong to no object are its group, and the background follows. An object has the box of the
    annotation file, where that has one of its class that meets its mask, and else that of its mask;
    an object of the annotation file without a mask has a box and no segment. Images without an
    object map have groups and no boxes of their own. Split `trainaug` is VOC's train
    with SBD's images, without any of VOC's val; `annotools.formats.sbd` says where SBD is looked
    for.

    Args:
        root: the folder of a year, `VOCdevkit/VOC2012`, or `VOCdevkit` when it holds one year.
        split: a list in `ImageSets/Segmentation`, or `trainaug`. Where there is no list, all class
            maps are the split `train`; where there is one of another name, so are its images.
        allow_missing: leave out images without a class map or, where there are photos, without a
            photo, and objects of annotation files with an impossible box, and list them as drops;
            read the things of images without an object map as groups.
        photos: the folder of the photos, if it is not `JPEGImages`.

    Raises:
        DatasetError: for a split that is not there, a missing file unless allowed, or a damaged
            head of a class map. `read_label` raises it for damaged files and maps that contradict
            each other, `read_photo` for a damaged photo or one of another size.
    """
    year = find_year(root)
    has_maps = split == "trainaug" or any(
        path.suffix == ".png" for path in visible_files(map_folder(year, CLASSES))
    )
    is_of_boxes = not any((year / part).is_dir() for part in (LISTS, CLASSES))
    if not has_maps and (is_of_boxes or voc_xml.find_xml_folder(year, split) is not None):
        return voc_xml.read(year, split, allow_missing, photos)
    photo_folder = photos or year / PHOTOS
    if photos is not None:
        check_given(photos)
    classes = find_classes(year)
    sources, lists, remarks = list_files(year, split, photo_folder)
    kept, drops, grouped = find_gaps(sources, photo_folder)
    refuse_gaps([*drops, *grouped], allow_missing)
    notes = [
        "pixels of no object are background, those of value 255 void",
        "boxes are those of Annotations where these have one, else those of masks",
    ]
    num_from_sbd = sum(source.class_path.suffix == ".mat" for source in kept)
    if num_from_sbd:
        notes.append(f"images with SBD's labels, in which nothing is void: {num_from_sbd}")
    if grouped:
        notes.append(f"images without an object map, whose things are groups: {len(grouped)}")
    images = tuple(map(describe_image, kept))
    has_photos = any(image.path is not None for image in images)
    alone = () if has_photos else (f"labels alone are read: none has its photo in {photo_folder}",)
    return Dataset(
        name="voc",
        split=split,
        categories=classes.categories,
        images=images,
        read_label=partial(_read_label, classes, allow_missing),
        read_photo=read_photo,
        notes=tuple(notes),
        remarks=(*remarks, *classes.remarks, *alone),
        drops=tuple(drops),
        gaps=tuple(grouped),
        source_files=lists if classes.path is None else (*lists, classes.path),
    )


def xml_of(image: Image) -> Path | None:
    """Return an image's annotation file, None where it has none."""
    return next((path for path in image.label_paths if path.suffix == ".xml"), None)


def object_map_of(image: Image) -> Path | None:
    """Return an image's object map, None where it has none."""
    class_path, *others = image.label_paths
    return next((p for p in others if p.suffix == class_path.suffix), None)


def _read_label(classes: VocClasses, allow_missing: bool, image: Image) -> FullLabel:
    class_path, object_path = image.label_paths[0], object_map_of(image)
    class_map = _decode(class_path, classes)
    _check_shape(class_path, class_map, image)
    if object_path is None:
        return _build_label(image, classes, class_map, np.zeros_like(class_map), {})
    objects: NDArray[np.integer]
    class_of: Mapping[int, int] = {}
    if object_path.suffix == ".mat":
        objects, class_of = sbd.read_objects(object_path)
    else:
        objects = decode_objects(object_path)
    _check_shape(object_path, objects, image)
    label = _build_label(image, classes, class_map, objects, class_of)
    return _add_drawn_boxes(label, classes, image, allow_missing=allow_missing)


def _decode(class_path: Path, classes: VocClasses) -> NDArray[np.integer]:
    if class_path.suffix == ".mat":
        return sbd.read_class_map(class_path)
    return decode_classes(class_path, classes)


def _add_drawn_boxes(
    label: FullLabel, classes: VocClasses, image: Image, *, allow_missing: bool
) -> FullLabel:
    """Return the label with the boxes that were drawn apart from its masks."""
    xml_path = xml_of(image)
    if xml_path is None:
        return label
    found = take_objects(
        read_xml(xml_path), image.size_wh, classes.categories, allow_missing=allow_missing
    )
    things = [s for s in label.segments if classes.categories.by_id(s.category_id).is_thing]
    instances = [segment for segment in things if not segment.is_group]
    pairs = pair_up(found.objects, instances)
    # Numbers of objects without a mask follow all segments.
    free = max((s.segment_id for s in label.segments), default=0) + 1
    own_boxes, unseen = {}, {}
    for n, thing in enumerate(found.objects):
        number = instances[pairs[n]].segment_id if n in pairs else free + n
        own_boxes[number] = Box(category_id=thing.category_id, box_xyxy=thing.box_xyxy)
        if n not in pairs:
            unseen[number] = Drop(place=thing.place, reason="it has a box and no mask")
    return replace(
        label,
        own_boxes=own_boxes,
        unseen=unseen,
        drops=(*label.drops, *found.drops),
        doubts=(*label.doubts, *found.doubts),
    )


def _check_shape(path: Path, pixels: NDArray[np.integer], image: Image) -> None:
    # Objects in colours are numbered here, in more than a byte where there are many.
    is_map = pixels.dtype in (np.uint8, np.int32)
    if pixels.shape != (image.height, image.width) or not is_map:
        raise DatasetError(
            f"{path}: holds {pixels.dtype} of shape {pixels.shape}, not {image.height} rows of "
            f"{image.width} bytes: restore the original"
        )


def _build_label(
    image: Image,
    classes: VocClasses,
    class_map: NDArray[np.integer],
    objects: NDArray[np.integer],
    class_of: Mapping[int, int],
) -> FullLabel:
    """Return the label of a class map and an object map.

    Void of the object map on background is background: some tools write 255 off the objects.

    Args:
        image: its image.
        classes: of the dataset.
        class_map: (H, W), class ids, 255 void.
        objects: (H, W), object numbers, 0 for none, 255 void.
        class_of: what the source says is the class of each object; empty where it does not.
    """
    # One number for each pair of object and class, so that one pass finds all; from 1, as 0 is
    # void to the pass.
    pairs = objects.astype(np.int32) * 256 + class_map + 1
    area_of = {divmod(pair - 1, 256): area for pair, (area, _) in measure_segments(pairs).items()}
    for _, class_id in area_of:
        if class_id != VOID_VALUE and class_id not in classes.categories.class_index_of:
            known = "Pascal VOC: restore the original, or name its classes in labelmap.txt"
            raise DatasetError(
                f"{image.label_paths[0]}: value {class_id} is no class of {classes.path or known}"
            )
    background_class = classes.categories.background_id
    assert background_class is not None
    category_of = _find_classes(image, area_of, class_of, background_class)
    # Numbers of objects may have gaps, so further ids follow the largest.
    num_objects = max(category_of, default=0)
    loose = sorted({c for o, c in area_of if o == 0 and c not in (background_class, VOID_VALUE)})
    group_of = {class_id: num_objects + 1 + n for n, class_id in enumerate(loose)}
    background = num_objects + len(group_of) + 1
    segment_of_class = {**group_of, background_class: background}
    # An object keeps all its pixels, also the few on its border where the classes say otherwise.
    segment_of = {
        o * 256 + c + 1: o if o in category_of else segment_of_class.get(c, VOID)
        for o, c in area_of
        if o != VOID_VALUE or c == background_class
    }
    return build_label(
        image.image_id,
        look_up(pairs, segment_of, VOID),
        category_of=category_of
        | {segment_id: class_id for class_id, segment_id in group_of.items()}
        | {background: background_class},
        groups=tuple(group_of.values()),
    )


def _find_classes(
    image: Image,
    area_of: Mapping[tuple[int, int], int],
    class_of: Mapping[int, int],
    background_class: int,
) -> dict[int, int]:
    """Return the class of each object: that of most of its pixels, void ones left out.

    Args:
        image: its image.
        area_of: pixels by object and class.
        class_of: what the source says.
        background_class: the class of what is no object.

    Raises:
        DatasetError: for an object on background or void, on several classes, or on another than
            the source says.
    """
    areas: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for (number, class_id), area in area_of.items():
        if number not in (0, VOID_VALUE):
            areas[number][class_id] = area
    found = {}
    for number, area_by_class in areas.items():
        # The border of an object may be void in the class map, which says nothing of its class.
        labelled = {c: area for c, area in area_by_class.items() if c != VOID_VALUE}
        best = max(labelled, key=labelled.__getitem__, default=background_class)
        if best == background_class or labelled[best] < _MIN_SHARE * sum(labelled.values()):
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
