"""Read label sets, which are anybody's panoptic folders, of one folder or several.

`manifest.json` next to the labels may say which kind of label each image has; `boxes.json` has the
boxes that annotators drew, for the detector.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.files import digest, hash_files
from annotools.formats import coco_panoptic
from annotools.formats.coco_entries import in_order, take_image_id
from annotools.formats.given_labels import GivenLabels, read_boxes
from annotools.formats.json_values import entries, read_json, take
from annotools.formats.panoptic_folder import LABELS_FILE
from annotools.formats.photo_places import describe_folder
from annotools.formats.weak_json import BOXES_FILE
from annotools.records import Box, Dataset, FullLabel, Image
from annotools.work_folder import MANIFEST_FILE


@dataclass(frozen=True, kw_only=True)
class LabelSet:
    """The labels of a folder, or of several joined.

    `kind_of` gives each image's label kind by image id. `boxes_of` gives the boxes that an
    annotator drew, None for an image whose annotator was not asked for boxes; it lacks images
    whose label itself says what boxes there are.
    """

    labels: Dataset
    kind_of: Mapping[int | str, str]
    boxes_of: Mapping[int | str, Sequence[Box] | None]

    @property
    def categories(self) -> CategorySet:
        """The categories of the labels."""
        return self.labels.categories

    @property
    def images_by_kind(self) -> dict[str, int]:
        """How many images have a label of each kind, by name of the kind."""
        return dict(sorted(Counter(self.kind_of[i.image_id] for i in self.labels.images).items()))


def read_label_sets(folders: Sequence[Path], photos: Sequence[Path] = ()) -> LabelSet:
    """Read the labels of several folders as those of one; each image has a label in one of them.

    Where folders have the photos and one id means two images, as ids of two COCO lists do, those
    of the second set become texts, `2/ID`, and so on.

    Args:
        folders: at least one; each as `read_label_set` takes it.
        photos: a folder that has the photos of all by their file name, or a folder for each; none
            where they are elsewhere.

    Raises:
        DatasetError: when there are neither one nor as many folders of photos, one cannot be read,
            two have other categories, or an image has two labels.
    """
    if len(photos) not in (0, 1, len(folders)):
        raise DatasetError(
            f"{len(photos)} folders of photos for {len(folders)} label sets: give one for all, or "
            "one for each"
        )
    places = photos if len(photos) == len(folders) else [*photos, None][:1] * len(folders)
    sets = [read_label_set(one, place) for one, place in zip(folders, places, strict=True)]
    first = sets[0]
    if len(sets) == 1:
        return first
    if photos:
        sets = _tell_apart(sets)
    set_of: dict[int | str, tuple[Path, LabelSet]] = {}
    folder_of: dict[str, tuple[Path, int | str]] = {}
    for folder, one in zip(folders, sets, strict=True):
        _check_categories(folders[0], first.categories, folder, one.categories)
        for image in one.labels.images:
            _check_single(image, folder, set_of, folder_of)
        # Only now, because an image's name may be given twice within one set.
        for image in one.labels.images:
            set_of[image.image_id] = folder, one
            folder_of[image.file_name] = folder, image.image_id

    images = in_order(image for one in sets for image in one.labels.images)
    joined = LabelSet(
        labels=replace(
            first.labels,
            images=images,
            read_label=partial(_read_joined, {i: one.labels for i, (_, one) in set_of.items()}),
            drops=tuple(drop for one in sets for drop in one.labels.drops),
            source_files=tuple(path for one in sets for path in one.labels.source_files),
            remarks=tuple(remark for one in sets for remark in one.labels.remarks),
        ),
        kind_of={i: kind for one in sets for i, kind in one.kind_of.items()},
        boxes_of={i: boxes for one in sets for i, boxes in one.boxes_of.items()},
    )
    _check_boxes(f"{BOXES_FILE} of {' and '.join(map(str, folders))} together", joined)
    return joined


def read_label_set(folder: Path, photos: Path | None = None) -> LabelSet:
    """Read a folder with `panoptic.json`, or any COCO panoptic list; PNGs are read when asked for.

    An image has the kind `full` unless a manifest beside the list tells another.

    Args:
        folder: of the labels, or the list itself.
        photos: a folder that has the photos by their file name; None where they are elsewhere.

    Raises:
        DatasetError: when a file is missing or contradicts itself or the other, a photo is not in
            the folder, or of one kind some images have boxes and others nobody asked for any.
    """
    if not folder.exists():
        raise DatasetError(f"{folder}: no such folder or list of labels: check --labels")
    try:
        # A label set has no folder of this name: without `photos` its images have no path.
        labels = coco_panoptic.read(folder, split="photos", photos=photos)
    except DatasetError:
        _refuse_folder(folder)
        raise
    kind_of = dict.fromkeys((image.image_id for image in labels.images), "full")
    manifest = labels.source_files[0].with_name(MANIFEST_FILE)
    content = read_json(manifest, "*.json") if manifest.is_file() else None
    if isinstance(content, dict) and "labels" in content:
        for place, entry in entries(manifest, content, "labels"):
            image_id = take_image_id(place, entry, "image_id")
            if image_id in kind_of:
                kind_of[image_id] = take(place, entry, "kind", str)
    boxes = manifest.with_name(BOXES_FILE)
    boxes_of: dict[int | str, Sequence[Box] | None] = {}
    if boxes.is_file():
        given = read_boxes(boxes)
        _check_box_categories(boxes, given, labels)
        weak_of = given.weak_of
        if weak_of and kind_of.keys().isdisjoint(weak_of):
            raise DatasetError(
                f"{boxes}: has no image of {labels.source_files[0]}: give both the same image ids"
            )
        boxes_of = {i: weak_of[i].boxes if i in weak_of else None for i in kind_of}
    label_set = LabelSet(labels=labels, kind_of=kind_of, boxes_of=boxes_of)
    _check_boxes(str(boxes), label_set)
    return label_set


def _check_box_categories(path: Path, given: GivenLabels, labels: Dataset) -> None:
    """Make sure that the boxes of a file are of things that the labels beside it have."""
    things = {c.category_id: c.name for c in labels.categories.categories if c.is_thing}
    for weak in given.weak_of.values():
        for box in weak.boxes:
            name = given.categories.by_id(box.category_id).name
            if things.get(box.category_id) != name:
                there = things.get(box.category_id)
                raise DatasetError(
                    f"{path}: category {box.category_id} is {name!r}, and "
                    f"{'no thing' if there is None else repr(there)} in {labels.source_files[0]}: "
                    "give both the same categories"
                )


def _check_boxes(place: str, label_set: LabelSet) -> None:
    """Make sure that the annotators of all images of a kind, or of none, were asked for boxes.

    A detector learns from whole kinds: an image without boxes would teach it that nothing is there.
    """
    for kind in label_set.images_by_kind:
        images = [i for i in label_set.labels.images if label_set.kind_of[i.image_id] == kind]
        unasked = [i for i in images if label_set.boxes_of.get(i.image_id, ()) is None]
        if 0 < len(unasked) < len(images):
            raise DatasetError(
                f"{place}: has {len(images) - len(unasked)} of {len(images)} images of kind "
                f"{kind!r}, and not {unasked[0].file_name}: list each image, also where nothing is "
                "in it"
            )


def hash_label_set(folder: Path) -> dict[str, Any]:
    """Return a SHA-256 over the labels of a folder, their boxes and their kinds.

    Raises:
        DatasetError: when a file is missing or contradicts itself.
    """
    label_set = read_label_set(folder)
    pngs = [path for image in label_set.labels.images for path in image.label_paths]
    listed = label_set.labels.source_files[0]
    files = [path for path in (listed, listed.with_name(BOXES_FILE)) if path.is_file()]
    # The manifest itself stays out: training depends on nothing in it but the kinds and the round.
    return {**hash_files(folder, [*files, *pngs]), "kinds": digest(list(label_set.kind_of.items()))}


def _refuse_folder(path: Path) -> None:
    """Refuse a folder without a list of its own, such as a dataset's, with what to give instead.

    Raises:
        DatasetError: for such a folder.
    """
    if path.is_file() or (path / LABELS_FILE).is_file():
        return
    # A level deep, as lists lie in `annotations`: folders of photos may be large.
    lists = [*path.glob("*panoptic*.json"), *path.glob("*/*panoptic*.json")]
    if lists:
        remedy = f": give a list, as {min(lists)}"
    else:
        remedy = (
            f"; it has {describe_folder(path)}: `annotools convert {path} --format F --to full "
            "--out DIR` makes one of a dataset, `annotools pseudo-label` one of cheaper labels"
        )
    raise DatasetError(f"{path}: has no {LABELS_FILE}, so is no label set{remedy}")


def _read_joined(dataset_of: Mapping[int | str, Dataset], image: Image) -> FullLabel:
    return dataset_of[image.image_id].read_label(image)


def _tell_apart(sets: Sequence[LabelSet]) -> list[LabelSet]:
    """Return the sets, with ids of their own where one has the id of another image before."""
    apart: list[LabelSet] = []
    name_of: dict[int | str, str] = {}
    for number, one in enumerate(sets, start=1):
        images = one.labels.images
        if any(name_of.get(i.image_id, i.file_name) != i.file_name for i in images):
            one = _renumber(one, number)
        apart.append(one)
        name_of |= {image.image_id: image.file_name for image in one.labels.images}
    return apart


def _renumber(label_set: LabelSet, number: int) -> LabelSet:
    """Return a set whose ids begin with its number among the sets."""
    own = {f"{number}/{image.image_id}": image for image in label_set.labels.images}

    def read_label(image: Image) -> FullLabel:
        label = label_set.labels.read_label(own[str(image.image_id)])
        return replace(label, image_id=image.image_id)

    images = tuple(replace(image, image_id=image_id) for image_id, image in own.items())
    return LabelSet(
        labels=replace(label_set.labels, images=images, read_label=read_label),
        kind_of={new: label_set.kind_of[image.image_id] for new, image in own.items()},
        boxes_of={
            new: label_set.boxes_of[image.image_id]
            for new, image in own.items()
            if image.image_id in label_set.boxes_of
        },
    )


def _check_categories(first: Path, wanted: CategorySet, folder: Path, found: CategorySet) -> None:
    """Make sure that two label sets have the same categories in the same order."""
    listed = [_describe(wanted), _describe(found)]
    for number, (one, other) in enumerate(zip_longest(*listed, fillvalue="none"), start=1):
        if one != other:
            raise DatasetError(
                f"{folder}: its category number {number} is {other}, and that of {first} is "
                f"{one}: give label sets of the same categories"
            )


def _describe(categories: CategorySet) -> list[str]:
    """Return a text for each category that says all that training depends on."""
    texts = []
    for category in categories.categories:
        kind = "thing" if category.is_thing else "stuff"
        if category.category_id == categories.background_id:
            kind = "background"
        texts.append(f"{category.category_id} {category.name!r} ({kind})")
    return texts


def _check_single(
    image: Image,
    folder: Path,
    set_of: Mapping[int | str, tuple[Path, LabelSet]],
    folder_of: Mapping[str, tuple[Path, int | str]],
) -> None:
    """Make sure that no set before has a label of an image, or its id for another one."""
    if image.file_name in folder_of:
        other, image_id = folder_of[image.file_name]
        of = f"image {image.image_id!r} ({image.file_name})"
        if image_id != image.image_id:
            of = f"{image.file_name}, images {image_id!r} and {image.image_id!r},"
        raise DatasetError(f"{of} has a label in {other} and in {folder}: leave it out of one")
    if image.image_id in set_of:
        other, one = set_of[image.image_id]
        name = one.labels.image_of[image.image_id].file_name
        raise DatasetError(
            f"image {image.image_id!r} is {name} in {other} and {image.file_name} in {folder}: "
            "give each image an id of its own"
        )
