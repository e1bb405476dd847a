"""COCO panoptic files are read here, and their entries are made for those who write them.

A split has one JSON, an image one PNG. `read` makes a dataset of them; `read_entries` is also for
those who score predictions.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from annotools.categories import Category, CategorySet, distinct_colour
from annotools.errors import ALLOW_MISSING, DatasetError, name_place
from annotools.formats.coco_entries import (
    drop_without_photo,
    in_order,
    photo_remarks,
    read_images,
    take_colour,
    take_flag,
    take_image_id,
    take_score,
)
from annotools.formats.coco_layout import find_panoptic
from annotools.formats.forms import form_remarks, read_coco
from annotools.formats.json_values import check_inside, entries, take
from annotools.formats.other_formats import refuse_other_format
from annotools.formats.panoptic_png import END_OF_IDS, read_runs, written_ids
from annotools.formats.photo_places import choose_folder, plain_name
from annotools.formats.photos import read_photo
from annotools.label_maps import label_of_runs
from annotools.records import VOID, Dataset, Drop, FullLabel, Image, Runs


@dataclass(frozen=True, kw_only=True)
class PanopticEntry:
    """An image's label as the JSON lists it; `place` names its place there in messages.

    `category_of` gives category ids by segment id, in the order of the list, and `crowds` the
    segment ids with `iscrowd`. `scores` and `probabilities`, of segments that have one, are in
    [0, 1] by segment id.
    """

    place: str
    image_id: int | str
    png_path: Path
    category_of: Mapping[int, int]
    crowds: tuple[int, ...]
    scores: Mapping[int, float]
    probabilities: Mapping[int, float]


def read(
    root: Path, split: str, allow_missing: bool = False, photos: Path | None = None
) -> Dataset:
    """Return the dataset of a split; PNGs and photos are read when asked for.

    Labels are `ROOT/panoptic.json` and `ROOT/panoptic/` where that file exists, as `annotools
    convert` writes them, and else `ROOT/annotations/panoptic_SPLIT.json` and the folder
    `ROOT/annotations/panoptic_SPLIT/`. Photos are in `ROOT/SPLIT/`; where no photo is found images
    have no path. `coco_layout` says where else lists, PNGs and photos are looked for.

    Categories come in the file's order; one with `is_background` is the background. Images come by
    id. Areas and boxes are measured, not the file's. A thing with `iscrowd` is a group. A segment
    of the JSON without a pixel is among its label's drops.

    Args:
        root: the dataset's folder.
        split: the part of the dataset.
        allow_missing: leave out images whose annotation, PNG or photo is missing, and list them
            as drops.
        photos: the folder of the photos, if it is not where it is looked for.

    Raises:
        DatasetError: for a JSON that is missing or contradicts itself, and, unless allowed, for
            an image without annotation, PNG or, where there are photos, photo. `read_label`
            raises it for a PNG that is damaged, of another size or has segments that the JSON has
            not, `read_photo` for a photo it cannot give.
    """
    files = find_panoptic(root, split)
    path, forms = files.path, Counter[str]()
    content = read_coco(path, forms)
    refuse_other_format(path, content)
    refuse_instances(path, content)
    categories = read_categories(path, content)
    images, found = read_images(path, content, files.photo_folders, forms, photos)
    label_folder = find_png_folder(files.png_folders, content)
    listed = read_entries(path, content, label_folder, categories)
    annotation_of = _by_image(listed, images)
    images, drops = _part_labelled(path, in_order(images), annotation_of)
    if drops and not allow_missing:
        raise DatasetError(
            f"{drops[0].place}: {drops[0].reason} (images without label: {len(drops)}): "
            f"restore it, or leave such images out {ALLOW_MISSING}"
        )
    images, more_drops = drop_without_photo(images, found.folder, allow_missing=allow_missing)
    drops += more_drops
    return Dataset(
        name="coco-panoptic",
        split=split,
        categories=categories,
        images=images,
        read_label=partial(_read_label, path, categories, annotation_of),
        read_photo=read_photo,
        drops=drops,
        source_files=(path,),
        remarks=(
            *files.remarks,
            *photo_remarks(found, own_folder=root / split),
            *form_remarks(path, forms),
        ),
    )


def find_png_folder(folders: Sequence[Path], content: Any) -> Path:
    """Return the folder that has the PNGs of a file, as `choose_folder` does, or else the first.

    Args:
        folders: one or more.
        content: of the file.
    """
    listed = content.get("annotations") if isinstance(content, dict) else None
    found = listed if isinstance(listed, list) else ()
    names = [entry.get("file_name") for entry in found if isinstance(entry, dict)]
    chosen = choose_folder(folders, [name for name in names if isinstance(name, str)], None)
    return chosen.folder or folders[0]


def panoptic_entry(label: FullLabel, image: Image, file_name: str) -> dict[str, Any]:
    """Return an image's object for the list `annotations`.

    Args:
        label: of the image.
        image: whose id is in the list `images`.
        file_name: of the PNG that `encode_segment_map` gave, in the folder of the PNGs.
    """
    written_id = written_ids(s.segment_id for s in label.segments)
    segments_info = [
        {
            "id": written_id[s.segment_id],
            "category_id": s.category_id,
            "area": s.area,
            "bbox": [*s.box_xyxy[:2], s.box_xyxy[2] - s.box_xyxy[0], s.box_xyxy[3] - s.box_xyxy[1]],
            "iscrowd": int(s.is_group),
        }
        for s in label.segments
    ]
    return {"image_id": image.image_id, "file_name": file_name, "segments_info": segments_info}


def category_entries(categories: CategorySet) -> list[dict[str, Any]]:
    """Return the list `categories`.

    COCO has no word for the background that covers all that is no thing: it is stuff, and has the
    additional key `is_background`.
    """
    background = {"is_background": True}
    return [
        {"id": c.category_id, "name": c.name, "isthing": int(c.is_thing), "color": list(c.colour)}
        | (background if c.category_id == categories.background_id else {})
        for c in categories.categories
    ]


def refuse_instances(path: Path, content: Any) -> None:
    """Make sure that a list is none of instances, which COCO's best known files are.

    Raises:
        DatasetError: when its annotations are objects and not images with segments.
    """
    listed = content.get("annotations") if isinstance(content, dict) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    if isinstance(first, dict) and "segments_info" not in first and "bbox" in first:
        raise DatasetError(
            f"{path}: lists instances: `annotools convert ROOT --format coco-instances --to full` "
            "makes a label set of them"
        )


def read_categories(path: Path, content: Any, key: str = "categories") -> CategorySet:
    """Return the list of categories of a file; one with `is_background` is the background.

    Args:
        path: of the file, for messages.
        content: of the file.
        key: of the list.

    Raises:
        DatasetError: when the list is missing or contradicts itself.
    """
    categories: list[Category] = []
    background_ids = []
    for place, entry in entries(path, content, key):
        category = Category(
            category_id=take(place, entry, "id", int),
            name=take(place, entry, "name", str),
            is_thing=take_flag(place, entry, "isthing"),
            colour=take_colour(place, entry, default=distinct_colour(len(categories))),
        )
        categories.append(category)
        if take_flag(place, entry, "is_background", default=False):
            background_ids.append(category.category_id)
            if category.is_thing or len(background_ids) > 1:
                raise DatasetError(f"{place}: is_background is for one category that is no thing")
    background_id = background_ids[0] if background_ids else None
    with name_place(f"{path}: {key}"):
        return CategorySet(categories=tuple(categories), background_id=background_id)


def read_entries(
    path: Path,
    content: Any,
    png_folder: Path,
    categories: CategorySet,
    *,
    with_scores: bool = False,
    known: str = "categories",
) -> Iterator[PanopticEntry]:
    """Yield the list `annotations` of a file; PNGs are not read.

    Args:
        path: of the file, for messages.
        content: of the file.
        png_folder: the folder that its file names are relative to.
        categories: that its segments may have.
        with_scores: whether `score` and `probability` of segments are read; a label may have
            anything there.
        known: where these categories are listed, for messages.

    Raises:
        DatasetError: for a value that is missing or impossible, a PNG outside the folder, an
            unknown category, or two segments of an image that have the same id.
    """
    for place, entry in entries(path, content, "annotations"):
        image_id = take_image_id(place, entry, "image_id")
        file_name = take(place, entry, "file_name", str)
        check_inside(place, file_name, png_folder)
        segments = _check_segments(place, entry.get("segments_info"), categories, known)
        yield PanopticEntry(
            place=place,
            image_id=image_id,
            png_path=png_folder / plain_name(file_name),
            category_of={i: segment["category_id"] for i, (_, segment) in segments.items()},
            crowds=tuple(i for i, (_, segment) in segments.items() if segment.get("iscrowd")),
            scores=_take_scores(segments, "score") if with_scores else {},
            probabilities=_take_scores(segments, "probability") if with_scores else {},
        )


def _check_segments(
    place: str, listed: Any, categories: CategorySet, known: str
) -> dict[int, tuple[str, dict[str, Any]]]:
    """Return the objects of `segments_info` by id, each after its place for messages."""
    if not isinstance(listed, list):
        raise DatasetError(
            f"{place}: segments_info is missing or not a list: give a panoptic file, or read it as "
            "coco-instances"
        )
    segments: dict[int, tuple[str, dict[str, Any]]] = {}
    for number, entry in enumerate(listed):
        inner = f"{place}: segments_info[{number}]"
        if not isinstance(entry, dict):
            raise DatasetError(f"{inner}: is not an object: give a COCO file")
        segment_id = take(inner, entry, "id", int)
        category_id = take(inner, entry, "category_id", int)
        if not VOID < segment_id < END_OF_IDS:
            raise DatasetError(f"{inner}: id {segment_id}: give 1 to {END_OF_IDS - 1}")
        if segment_id in segments:
            raise DatasetError(f"{inner}: id {segment_id} is given twice: use another")
        if category_id not in categories.class_index_of:
            raise DatasetError(f"{inner}: category_id {category_id} is not in {known}: drop it")
        # The flag is only checked here: `read_entries` takes it from the entry.
        take_flag(inner, entry, "iscrowd", default=False)
        segments[segment_id] = (inner, entry)
    return segments


def _take_scores(segments: dict[int, tuple[str, dict[str, Any]]], key: str) -> dict[int, float]:
    found = {i: take_score(inner, segment, key) for i, (inner, segment) in segments.items()}
    return {segment_id: score for segment_id, score in found.items() if score is not None}


def _by_image(
    listed: Iterable[PanopticEntry], images: tuple[Image, ...]
) -> dict[int | str, PanopticEntry]:
    image_ids = {image.image_id for image in images}
    annotation_of: dict[int | str, PanopticEntry] = {}
    for entry in listed:
        image_id = entry.image_id
        if image_id not in image_ids:
            raise DatasetError(f"{entry.place}: image_id {image_id!r} is not in images: drop it")
        if image_id in annotation_of:
            raise DatasetError(f"{entry.place}: image_id {image_id!r} is given twice: drop one")
        annotation_of[image_id] = entry
    return annotation_of


def _part_labelled(
    path: Path, images: tuple[Image, ...], annotation_of: Mapping[int | str, PanopticEntry]
) -> tuple[tuple[Image, ...], tuple[Drop, ...]]:
    """Return the images that have a label, with its path, and the others as drops."""
    labelled, drops = [], []
    for image in images:
        annotation = annotation_of.get(image.image_id)
        if annotation is None:
            place = f"{path}: image {image.image_id!r}"
            drops.append(Drop(place=place, reason="the annotation is missing"))
        elif annotation.png_path.is_file():
            labelled.append(replace(image, label_paths=(annotation.png_path,)))
        else:
            drops.append(Drop(place=str(annotation.png_path), reason="the PNG is missing"))
    return tuple(labelled), tuple(drops)


def _read_label(
    path: Path,
    categories: CategorySet,
    annotation_of: Mapping[int | str, PanopticEntry],
    image: Image,
) -> FullLabel:
    annotation = annotation_of[image.image_id]
    (label_path,) = image.label_paths
    runs = _read_runs(label_path, image)
    category_of = annotation.category_of
    # Stuff has no instances that could be told apart, so `iscrowd` says nothing about it.
    groups = [i for i in annotation.crowds if categories.by_id(category_of[i]).is_thing]
    try:
        label = label_of_runs(image.image_id, runs, category_of, groups)
    except KeyError as error:  # The ids are looked up where they are measured, once.
        raise DatasetError(
            f"{label_path}: segment id {error.args[0]} of image {image.image_id!r} is not in "
            f"segments_info of {path}: add it, or make its pixels 0"
        ) from error
    present = {segment.segment_id for segment in label.segments}
    # The background is no object, so nothing is lost where none of it is visible.
    drops = tuple(
        Drop(place=f"{annotation.place}: segment {segment_id}", reason="the PNG has no pixel of it")
        for segment_id, category_id in category_of.items()
        if segment_id not in present and category_id != categories.background_id
    )
    return replace(label, drops=drops)


def _read_runs(path: Path, image: Image) -> Runs:
    runs = read_runs(path)
    if (runs.width, runs.height) != image.size_wh:
        raise DatasetError(
            f"{path}: is {runs.width} x {runs.height} pixels, the JSON says {image.width} x "
            f"{image.height} for image {image.image_id!r}: restore the PNG"
        )
    return runs
