"""Convert a dataset to cheaper labels: all kinds in one pass over its labels.

Labels are read in shards, by several processes if asked. Each shard leaves its lines in a partial
file, so that a run that was killed goes on where it was; the JSON files are assembled from these
at the end, and the manifest comes last. The result does not depend on the number of processes.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from annotools.categories import CategorySet
from annotools.conversion.assembly import DROPS_FILE, Assembled, assemble, part_files
from annotools.conversion.image_outputs import image_files
from annotools.conversion.manifest import WRITTEN_BY, DropGroup, KindSummary, build_manifest
from annotools.conversion.shards import ShardMaker, make_shards
from annotools.conversion.wanted import Wanted
from annotools.errors import DatasetError
from annotools.files import hash_files, write_json, write_whole
from annotools.formats.box_files import plain_name, yolo_classes
from annotools.formats.json_values import check_inside
from annotools.formats.source import Source, open_source
from annotools.formats.weak_json import image_entry
from annotools.parallel import run_parallel
from annotools.prices.times import AnnotationTimes
from annotools.progress import track
from annotools.records import NO_LABEL, Dataset, Image
from annotools.settings import as_table
from annotools.weak_labels.weaken import WEAK_KINDS
from annotools.work_folder import (
    MANIFEST_FILE,
    check_apart,
    finish_folder,
    forget_state,
    start_folder,
)

_NOTES = {
    "coco": "the area of a box is its own: masks are not known; iscrowd marks a group",
    "voc": "VOC boxes count pixels from 1, last pixel included; difficult is 1 for "
    "a group and else left out: labels do not tell what is difficult",
    "yolo": "YOLO counts the things from 0 in the order of classes.txt; groups are dropped",
    "tags": "tags.json has things and stuff; the price of boxes+tags is for the tags of stuff",
}


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """The result of a conversion; `num_resumed` images were done by an earlier run."""

    num_images: int
    num_resumed: int
    num_objects: int
    kinds: tuple[KindSummary, ...]
    drops: tuple[DropGroup, ...]


def convert(
    source: Source,
    wanted: Wanted,
    times: AnnotationTimes,
    out: Path,
    workers: int = 1,
    *,
    overwrite: bool = False,
) -> Conversion:
    """Write the labels of a dataset as the kinds that are wanted.

    Args:
        source: what to read.
        wanted: what to write.
        times: seconds of each action, for the price.
        out: the folder to write to: new, empty, or left unfinished by the same conversion.
        workers: processes that read labels at the same time.
        overwrite: remove what a conversion, finished or not, wrote to the folder before.

    Raises:
        DatasetError: when the source cannot be read, or has no masks and a kind needs them; when
            two of its images would have the same file, or two of its things the same name in boxes
            that know them by it; when a name leaves the folder, or the folder may not be written.
        RecipeError: when the dataset does not have the categories asked for, or lacks images of
            the allocation.
        OSError: when a file cannot be written.
    """
    open_source.cache_clear()  # The files may have changed since the last conversion.
    dataset = open_source(source)
    check_apart(out, source.root, _source_files(source, dataset, dataset.images))
    place = dataset.source_files[0] if dataset.source_files else source.root
    # Whatever can be refused is refused before the folder is touched.
    _check_kinds(dataset, wanted, place)
    images = _choose_images(dataset, wanted, source.max_images, place)
    _check_class_names(dataset.categories, wanted, place)
    keep_suffix = _check_names(images, wanted, out, place)
    maker = ShardMaker(source=source, out=out, keep_suffix=keep_suffix)
    planned = _planned_files(images, wanted, keep_suffix=keep_suffix)
    start_folder(out, WRITTEN_BY, _setup(source, wanted, images), planned, overwrite=overwrite)
    shards = make_shards(images, wanted)
    missing = [shard for shard in shards if not maker.is_done(shard)]
    for _ in track(run_parallel(maker, missing, workers), "converting", total=len(missing)):
        pass
    if "classes.txt" in planned:
        write_whole(out / "classes.txt", yolo_classes(dataset.categories))
    assembled = assemble(out, dataset, images, wanted, times, len(shards))
    # The manifest comes last: a folder that has one is whole.
    manifest = _describe(source, wanted, times, dataset, images, assembled)
    manifest["files"] = [n for n in planned if n != DROPS_FILE or (out / n).is_file()]
    write_json(out / MANIFEST_FILE, manifest)
    finish_folder(out, WRITTEN_BY)
    forget_state(out)
    num_made = sum(len(shard.images) for shard in missing)
    return Conversion(
        num_images=len(images),
        num_resumed=len(images) - num_made,
        num_objects=assembled.num_objects,
        kinds=assembled.kinds,
        drops=assembled.drops,
    )


def _source_files(source: Source, dataset: Dataset, images: Iterable[Image]) -> Iterator[Path]:
    """Yield the files from which the labels of images come."""
    yield from (*source.root_files, *dataset.source_files)
    for image in images:
        yield from image.label_paths


def _check_kinds(dataset: Dataset, wanted: Wanted, source_path: Path) -> None:
    """Make sure that a dataset without masks is not asked for labels that need them."""
    impossible = [kind for kind in wanted.kinds if kind not in WEAK_KINDS]
    if dataset.read_weak is not None and impossible:
        raise DatasetError(
            f"{source_path}: has no masks, so there can be no label of kind {impossible[0]}: ask "
            f"for {', '.join(WEAK_KINDS)}"
        )


def _choose_images(
    dataset: Dataset, wanted: Wanted, max_images: int | None, source_path: Path
) -> tuple[Image, ...]:
    """Return the images to convert, at least one."""
    if wanted.allocation is not None:
        wanted.allocation.check_images(image.image_id for image in dataset.images)
    images = wanted.choose_images(dataset.images[:max_images])
    if images:
        return images
    place = f"{source_path}: split {dataset.split} has no image"
    if dataset.images and wanted.allocation is not None:
        path = wanted.allocation.path
        raise DatasetError(
            f"{place} that {path} buys a label for: raise --max-images or plan again"
        )
    if dataset.drops:
        raise DatasetError(f"{place} to convert, {len(dataset.drops)} lack a file: restore these")
    raise DatasetError(f"{place} to convert: give a split or a file with images")


def _check_names(images: Sequence[Image], wanted: Wanted, out: Path, source_path: Path) -> bool:
    """Return whether names of images need their suffix to tell their files apart."""
    for image in images:
        place = f"{source_path}: image {image.image_id}"
        check_inside(place, image.file_name, out)
        try:
            os.fsencode(image.file_name)
        except UnicodeEncodeError as error:
            raise DatasetError(
                f"{place}: file_name {image.file_name!r} is no possible name: correct it"
            ) from error
    if _find_clash(images, wanted, keep_suffix=False) is None:
        return False
    clash = _find_clash(images, wanted, keep_suffix=True)
    if clash is not None:
        raise DatasetError(
            f"{source_path}: image {clash.image_id}: another image has the file name "
            f"{clash.file_name!r} too: give each its own"
        )
    return True


def _check_class_names(categories: CategorySet, wanted: Wanted, source_path: Path) -> None:
    """Make sure that things can be told apart in files of boxes that know them by name."""
    if "boxes" not in wanted.parts or wanted.box_format == "coco":
        return
    id_of: dict[str, int] = {}
    for index in categories.thing_indices:
        category = categories.categories[index]
        name = plain_name(category)
        if not name:
            raise DatasetError(
                f"{source_path}: category {category.category_id} has no name, by which "
                f"{wanted.box_format} boxes know it: name it, or write coco boxes"
            )
        if id_of.setdefault(name, category.category_id) != category.category_id:
            raise DatasetError(
                f"{source_path}: categories {id_of[name]} and {category.category_id} are both "
                f"named {name!r}, by which {wanted.box_format} boxes know them: rename one, or "
                "write coco boxes"
            )


def _find_clash(images: Sequence[Image], wanted: Wanted, *, keep_suffix: bool) -> Image | None:
    """Return the first image that would write over a file of an earlier one."""
    seen: set[str] = set()
    for image in images:
        names = image_files(image, wanted.for_image(image), keep_suffix=keep_suffix)
        if not seen.isdisjoint(names):
            return image
        seen.update(names)
    return None


def _planned_files(images: Sequence[Image], wanted: Wanted, *, keep_suffix: bool) -> list[str]:
    files = [name for names in part_files(wanted).values() for name in names]
    files.append(DROPS_FILE)
    for image in images:
        files.extend(image_files(image, wanted.for_image(image), keep_suffix=keep_suffix))
    return files


def _setup(source: Source, wanted: Wanted, images: Sequence[Image]) -> dict[str, Any]:
    """Return everything on which the result depends, except the content of the source's files."""
    listed = hashlib.sha256()
    for image in images:
        entry = {**image_entry(image), "kinds": wanted.for_image(image).kinds}
        listed.update(f"{json.dumps(entry)}\n".encode())
    return {
        **as_table(source),
        **_options(wanted),
        "list of images": listed.hexdigest(),
        "version of annotools": version("annotools"),
    }


def _describe(
    source: Source,
    wanted: Wanted,
    times: AnnotationTimes,
    dataset: Dataset,
    images: Sequence[Image],
    assembled: Assembled,
) -> dict[str, Any]:
    hashed = hash_files(source.root, _source_files(source, dataset, images))
    place = {"format": source.format_name, "root": str(source.root), "split": source.split}
    possible = dataset.images[: source.max_images]
    noted = [*wanted.parts, wanted.box_format] if "boxes" in wanted.parts else wanted.parts
    return build_manifest(
        source=place | hashed,
        options=_options(wanted)
        | {
            "categories": source.categories,
            "allow_missing": source.allow_missing,
            "max_images": source.max_images,
            "times": times.name,
        },
        images={
            "in": len(dataset.images) + len(dataset.drops),
            "converted": len(images),
            "dropped": len(dataset.drops),
            "beyond_max_images": len(dataset.images[len(possible) :]),
            **_left_out(possible, wanted),
        },
        num_objects=assembled.num_objects,
        kinds=assembled.kinds,
        drops=assembled.drops,
        notes=[*dataset.notes, *(_NOTES[name] for name in noted if name in _NOTES)],
    )


def _options(wanted: Wanted) -> dict[str, Any]:
    """Return what is wanted; an allocation is described by what it was made from."""
    stored = wanted.allocation
    allocation = None if stored is None else as_table(stored.settings)
    options = as_table(replace(wanted, allocation=None))
    return {**options, "allocation": allocation}


def _left_out(possible: Sequence[Image], wanted: Wanted) -> dict[str, int]:
    """Count the images that an allocation leaves without a label, and those it does not name."""
    if wanted.allocation is None:
        return {}
    kind_of = wanted.allocation.kind_of
    absent = sum(image.image_id not in kind_of for image in possible)
    unlabelled = sum(kind_of.get(image.image_id) == NO_LABEL for image in possible)
    return {"not in the allocation": absent, "without a label": unlabelled}
