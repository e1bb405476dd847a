"""Convert a dataset to cheaper labels: all kinds in one pass over its labels.

Labels are read in shards, by several processes if asked. Each shard leaves its lines in a partial
file, so that a run that was killed goes on where it was; the JSON files are assembled from these
at the end, and the manifest comes last. The result does not depend on the number of processes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from annotools.categories import CategorySet
from annotools.conversion.account import Conversion, read_account
from annotools.conversion.assembly import DROPS_FILE, assemble
from annotools.conversion.shards import is_done, make_shard, make_shards, written_files
from annotools.conversion.wanted import CLASSES_FILE, ImageTask, Wanted, make_tasks
from annotools.errors import DatasetError, RecipeError, name_place
from annotools.files import digest, flush_files, hash_files, write_whole
from annotools.formats.box_files import plain_name, yolo_classes
from annotools.formats.coco_entries import image_entry
from annotools.formats.source import Source, open_source
from annotools.parallel import run_parallel
from annotools.prices.times import AnnotationTimes
from annotools.progress import track
from annotools.records import NO_LABEL, Dataset, Image
from annotools.seals import differing
from annotools.settings import as_table
from annotools.weak_labels.weaken import WEAK_KINDS
from annotools.work_folder import (
    MANIFEST_FILE,
    check_apart,
    filling,
    finish_folder,
    forget_state,
    read_manifest,
    tell_finished,
    write_manifest,
)

WRITTEN_BY = "annotools convert"

_PACKAGES = ("annotools", "numpy", "opencv-python-headless", "pycocotools", "scipy")

_NOTES = {
    "coco": "the area of a box is its own: masks are not known; iscrowd marks a group",
    "voc": "VOC boxes count pixels from 1, last pixel included; difficult is 1 for "
    "a group and else left out: labels do not tell what is difficult",
    "yolo": "YOLO counts the things from 0 in the order of classes.txt; groups are dropped",
    "tags": "tags.json has things and stuff; the price of boxes+tags is for the tags of stuff",
}


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
            that know them by it, or two photos the same in YOLO's; when a name leaves the folder,
            or the folder may not be written.
        RecipeError: when the dataset does not have the categories asked for, or lacks images of
            the allocation, or that was planned for other categories.
        OSError: when a file cannot be written.
    """
    open_source.cache_clear()  # The files may have changed since the last conversion.
    dataset = open_source(source)
    check_apart(out, source.root, _source_files(source, dataset, dataset.images))
    # Whatever can be refused is refused before the folder is touched.
    if wanted.allocation is not None:
        wanted.allocation.check_categories(source.categories)
        wanted.allocation.check_images(image.image_id for image in dataset.images)
    # The checks inside do not know which file they speak of, so their messages get it here.
    with name_place(str(dataset.source_files[0] if dataset.source_files else source.root)):
        _check_kinds(dataset, wanted)
        images = _choose_images(dataset, wanted, source.max_images)
        _check_class_names(dataset.categories, wanted)
        tasks = make_tasks(images, wanted, out)
        _check_stems(tasks, wanted)
    planned = [*wanted.shared_files, DROPS_FILE]
    planned += [name for task in tasks for name in task.files.values()]
    setup = _setup(source, wanted, tasks)
    made_with = digest(setup, times)
    finished = None if overwrite else _find_finished(source, dataset, images, made_with, out)
    if finished is not None:
        forget_state(out)  # A run may have been stopped just before it did.
        tell_finished(out)
        return finished
    with filling(out, WRITTEN_BY, setup, planned, overwrite=overwrite):
        shards = make_shards(tasks)
        missing = [shard for shard in shards if not is_done(source, out, shard)]
        running = run_parallel(partial(make_shard, source, out), missing, workers)
        for _ in track(running, "converting", total=len(missing)):
            pass
        if CLASSES_FILE in planned:
            write_whole(out / CLASSES_FILE, yolo_classes(dataset.categories))
        num_resumed = len(tasks) - sum(len(shard.tasks) for shard in missing)
        conversion = assemble(out, dataset, tasks, wanted, times, len(shards), num_resumed)
        digests = {
            name: told for shard in shards for name, told in written_files(out, shard).items()
        }
        shared = [name for name in planned if name not in digests and (out / name).is_file()]
        digests |= flush_files(out, shared)
        # In the order of the plan, whichever shards were made by this run.
        written = {name: digests[name] for name in planned if name in digests}
        asked = {
            "made_with": made_with,
            **_describe_request(source, wanted, times, dataset, images),
        }
        found = {**_describe_result(source, wanted, dataset, conversion), "files": written}
        # The manifest precedes the end of the state: a run that is killed between can be repeated.
        write_manifest(out, WRITTEN_BY, _PACKAGES, asked, found)
        finish_folder(out, WRITTEN_BY)
        forget_state(out)
    return conversion


def _find_finished(
    source: Source, dataset: Dataset, images: Sequence[Image], made_with: str, out: Path
) -> Conversion | None:
    """Return what is told by a folder in which the same conversion is finished, None without one.

    Raises:
        DatasetError: when another conversion is finished there, or one of its files is not as it
            was written: somebody may have changed it, so that it is not made again unasked.
    """
    manifest = read_manifest(out / MANIFEST_FILE, WRITTEN_BY)
    if manifest is None or not isinstance(manifest.get("files"), dict):
        return None
    remedy = "give another folder, or --overwrite to make it again"
    if manifest.get("made_with") != made_with:
        raise DatasetError(f"{out}: holds a conversion with other options: {remedy}")
    # What files hold decides whether they changed: a finished folder may be old, or a copy.
    told = manifest.get("source")
    if not isinstance(told, dict) or told != {
        **_describe_source(source, dataset, images),
        "root": told.get("root"),
    }:
        raise DatasetError(f"{out}: was made before {source.root} changed: {remedy}")
    changed = differing(out, manifest["files"])
    if changed:
        more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise DatasetError(f"{changed[0]}: is missing, or not as it was written{more}: {remedy}")
    try:
        return read_account(manifest)
    except (RecipeError, KeyError, TypeError, AttributeError):
        return None


def _source_files(source: Source, dataset: Dataset, images: Iterable[Image]) -> Iterator[Path]:
    """Yield the files from which the labels of images come."""
    yield from (*source.root_files, *dataset.source_files)
    for image in images:
        yield from image.label_paths


def _check_kinds(dataset: Dataset, wanted: Wanted) -> None:
    """Make sure that a dataset without masks is not asked for labels that need them."""
    impossible = [kind for kind in wanted.kinds if kind not in WEAK_KINDS]
    if dataset.read_weak is not None and impossible:
        raise DatasetError(
            f"has no masks, so there can be no label of kind {impossible[0]}: ask for "
            f"{', '.join(WEAK_KINDS)}"
        )


def _choose_images(dataset: Dataset, wanted: Wanted, max_images: int | None) -> tuple[Image, ...]:
    """Return the images to convert, at least one."""
    images = wanted.choose_images(dataset.images[:max_images])
    if images:
        return images
    place = f"split {dataset.split} has no image"
    if dataset.images and wanted.allocation is not None:
        path = wanted.allocation.path
        raise DatasetError(
            f"{place} that {path} buys a label for: raise --max-images or plan again"
        )
    if dataset.drops:
        raise DatasetError(f"{place} to convert, {len(dataset.drops)} lack a file: restore these")
    raise DatasetError(f"{place} to convert: give a split or a file with images")


def _check_class_names(categories: CategorySet, wanted: Wanted) -> None:
    """Make sure that things can be told apart in files of boxes that know them by name."""
    # COCO boxes know categories by their ids, so that names may be empty or repeated there.
    if "boxes" not in wanted.parts or wanted.box_format == "coco":
        return
    id_of: dict[str, int] = {}
    for index in categories.thing_indices:
        category = categories.categories[index]
        name = plain_name(category)
        if not name:
            raise DatasetError(
                f"category {category.category_id} has no name, by which {wanted.box_format} boxes "
                "know it: name it, or write coco boxes"
            )
        if id_of.setdefault(name, category.category_id) != category.category_id:
            raise DatasetError(
                f"categories {id_of[name]} and {category.category_id} are both named {name!r}, by "
                f"which {wanted.box_format} boxes know them: rename one, or write coco boxes"
            )


def _check_stems(tasks: Sequence[ImageTask], wanted: Wanted) -> None:
    """Make sure that no two photos have the same YOLO labels, known by the name without suffix."""
    first_of: dict[PurePosixPath, str] = {}
    for task in tasks if wanted.box_format == "yolo" else ():
        name = task.image.file_name
        if "boxes" in task.files:
            stem = PurePosixPath(name).with_suffix("")
            first = first_of.setdefault(stem, name)
            if first != name:
                raise DatasetError(
                    f"photos {first} and {name}: YOLO trainers look for {stem}.txt for both: "
                    "rename one, or write coco or voc boxes"
                )


def _setup(source: Source, wanted: Wanted, tasks: Sequence[ImageTask]) -> dict[str, Any]:
    """Return everything on which the result depends, except the content of the source's files."""
    return {
        # The times are not among these: prices are worked out anew when the files are put together.
        # What may be missing is asked of each shard, because it is the remedy that an error names.
        **as_table(replace(source, allow_missing=False, root=source.root.resolve())),
        **_options(wanted),
        "list of images": digest([[image_entry(t.image), t.wanted.kinds] for t in tasks]),
        "version of annotools": version("annotools"),
    }


def _describe_request(
    source: Source,
    wanted: Wanted,
    times: AnnotationTimes,
    dataset: Dataset,
    images: Sequence[Image],
) -> dict[str, Any]:
    """Return what the manifest says of what was asked for, and where that came from."""
    return {
        "source": _describe_source(source, dataset, images),
        "options": {
            **_options(wanted),
            "categories": source.categories,
            "allow_missing": source.allow_missing,
            "max_images": source.max_images,
            "photos": None if source.photos is None else str(source.photos),
            "times": times.name,
        },
    }


def _describe_source(source: Source, dataset: Dataset, images: Sequence[Image]) -> dict[str, Any]:
    """Return where the labels came from, with a digest of what they are."""
    place = {"format": source.format_name, "root": str(source.root), "split": source.split}
    return place | hash_files(source.root, _source_files(source, dataset, images))


def _describe_result(
    source: Source, wanted: Wanted, dataset: Dataset, conversion: Conversion
) -> dict[str, Any]:
    """Return what the manifest says of what was found and made."""
    possible = dataset.images[: source.max_images]
    noted = [*wanted.parts, wanted.box_format] if "boxes" in wanted.parts else wanted.parts
    return {
        "images": {
            "in": len(dataset.images) + len(dataset.drops),
            "converted": conversion.num_images,
            "dropped": len(dataset.drops),
            "beyond_max_images": len(dataset.images[len(possible) :]),
            **_left_out(possible, wanted),
        },
        **conversion.as_json(),
        "notes": [
            *dataset.notes,
            *dataset.remarks,
            *(_NOTES[name] for name in noted if name in _NOTES),
        ],
    }


def _options(wanted: Wanted) -> dict[str, Any]:
    """Return what is wanted; an allocation is described by what it was made from."""
    # Its list of images would be as long as the dataset; `_setup` has a digest of what each gets.
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
