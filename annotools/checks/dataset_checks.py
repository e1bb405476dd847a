"""Collect everything that is wrong with a dataset.

Files that a format describes in JSON are walked as they are; what the readers make of a dataset is
checked image by image, and the splits against each other.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from annotools.categories import CategorySet
from annotools.checks.coco_checks import Sizes, check_instances, check_panoptic
from annotools.checks.coco_file import Look
from annotools.checks.coco_mask_checks import find_repeated
from annotools.checks.coco_overlaps import SAME_OBJECT
from annotools.checks.problems import Problem, error_at, problem_of, warning_at
from annotools.checks.shared_photos import find_shared, find_shared_photos
from annotools.checks.voc_checks import check_boxes
from annotools.errors import AnnotationError, DatasetError
from annotools.formats import read_dataset
from annotools.formats.forms import share_content
from annotools.formats.photo_heads import turn_of
from annotools.formats.photos import check_photo, read_photo_head
from annotools.formats.voc_boxes import box_overlaps
from annotools.progress import track
from annotools.records import Dataset, FullLabel, Image, WeakLabel
from annotools.weak_labels.buy import read_source

FILE_CHECKS: dict[str, Callable[[Path, str, Sizes, Look], Iterator[Problem]]] = {
    "coco-instances": check_instances,
    "coco-panoptic": check_panoptic,
}
"""Checks of a split's files as they are, by format; the others have nothing to walk."""

LABEL_CHECKS: dict[str, Callable[[Image, FullLabel, CategorySet], Iterator[Problem]]] = {
    "voc": check_boxes
}
"""Checks of an image's label against other files of the image, by format."""

_Looked = tuple[list[Problem], float | None]
"""What is wrong with an image's label, and its part of void if it is a full one."""

MOST = 0.5
"""An image with a larger part of void is one to look at."""


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """The problems of a dataset, each once, and how many images and photos were looked at.

    `notes` are what the readers found where, and took in another form.
    """

    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    images: int
    photos: int


def check_dataset(
    format_name: str,
    root: Path,
    splits: Sequence[str],
    against: Sequence[str] = (),
    *,
    photos: Path | None = None,
    decode: bool = False,
) -> CheckReport:
    """Look for everything that is wrong with splits of a dataset.

    Args:
        format_name: a key of `annotools.formats.READERS`.
        root: the dataset's folder, or what else the format says.
        splits: what is checked, also for images that two of them share.
        against: splits that are not checked themselves, but share no image with `splits`.
        photos: the folder of the photos, if it is not where the format has it.
        decode: whether photos are decoded, which finds damage inside them; else only their size
            and their end are looked at.
    """
    problems: list[Problem] = []
    checked, others = [], []
    upright: list[Path] = []
    for split in dict.fromkeys(splits):
        looked: dict[int | str, _Looked] = {}
        with share_content():
            found = _read(format_name, root, split, photos)
            # A reader stops at its first problem; the walk over the files finds it with all others.
            file_problems = list(_check_files(format_name, root, split, found, looked))
        problems += file_problems
        read_problems = _tell_reading(root, split, found, file_problems)
        if isinstance(found, Dataset):
            checked.append(found)
            read_problems += _check_images(found, looked, upright, decode=decode)
        problems += _leave_out_repeated(read_problems, file_problems)
    for split in dict.fromkeys(against):
        found = _read(format_name, root, split, photos)
        problems += _tell_reading(root, split, found, [])
        # A split that is also checked itself is in `checked` by now.
        others += [found] if isinstance(found, Dataset) and split not in splits else []
    # The others come first, so that a shared image is reported at the split that is checked.
    problems += _check_shared([*others, *checked])
    images = [image for dataset in checked for image in dataset.images]
    notes = [note for dataset in checked for note in dataset.remarks]
    if upright:
        notes.append(f"photos turned by EXIF, as their labels are drawn: {len(upright):,}")
    return CheckReport(
        # Splits may share files, whose problems then turn up once for each of these splits.
        problems=tuple(dict.fromkeys(problems)),
        notes=tuple(dict.fromkeys(notes)),
        images=len(images),
        photos=sum(image.path is not None for image in images),
    )


def _read(
    format_name: str, root: Path, split: str, photos: Path | None
) -> Dataset | AnnotationError | OSError:
    """Return a split, or why its reader refuses it."""
    try:
        return read_dataset(format_name, root, split, allow_missing=True, photos=photos)
    except (AnnotationError, OSError) as error:
        return error


def _check_files(
    format_name: str,
    root: Path,
    split: str,
    found: Dataset | Exception,
    looked: dict[int | str, _Looked],
) -> Iterator[Problem]:
    """Yield what is wrong with a split's files, and look at labels that come by on the way."""
    image_of = found.image_of if isinstance(found, Dataset) else {}

    def look(image_id: int | str | None) -> None:
        image = None if image_id is None else image_of.get(image_id)
        if isinstance(found, Dataset) and image is not None:
            looked[image.image_id] = _look_at_label(found, image)

    if format_name in FILE_CHECKS:
        sizes: Sizes = {image_id: image.size_wh for image_id, image in image_of.items()}
        yield from FILE_CHECKS[format_name](root, split, sizes, look)


def _tell_reading(
    root: Path,
    split: str,
    found: Dataset | AnnotationError | OSError,
    known: Sequence[Problem],
) -> list[Problem]:
    """Return the problems that reading a split shows.

    Args:
        root: the dataset's folder, or what else the format says.
        split: the one that was read.
        found: what `_read` returned.
        known: problems of the split's files; what the reader stops at is among the errors.
    """
    if isinstance(found, Dataset):
        missing = [*found.drops, *found.gaps]
        return [error_at(drop.place, drop.reason) for drop in missing]
    if not any(problem.severity == "error" for problem in known):
        return [problem_of(found, root)]
    unread = "its images and what it shares with other splits were not checked"
    return [warning_at(f"split {split}", f"{unread}: correct its errors first")]


def _leave_out_repeated(
    read_problems: Sequence[Problem], file_problems: Sequence[Problem]
) -> Iterator[Problem]:
    """Yield what reading shows, leaving out places where the files' checks found an error."""
    known = {problem.place for problem in file_problems if problem.severity == "error"}
    # A reader's message begins with the place in the file, where it knows one.
    beginnings = tuple(f"{place}: " for place in known)
    for problem in read_problems:
        if problem.place not in known and not problem.message.startswith(beginnings):
            yield problem


def _check_images(
    dataset: Dataset, looked: dict[int | str, _Looked], upright: list[Path], *, decode: bool
) -> Iterator[Problem]:
    """Yield what is wrong with images, and add photos that EXIF turns upright to a list.

    Args:
        dataset: of the images.
        looked: what is known of labels by now, by image id; what is used of it is taken out.
        upright: the list of photos.
        decode: whether photos are decoded.
    """
    if not dataset.images and not dataset.drops:
        yield error_at(f"split {dataset.split}", "has no image: give the path of one that has")
    # Where the files were walked, repeated names have been reported with their places.
    if dataset.name not in FILE_CHECKS:
        names = [(f"image {i.image_id}", i.file_name) for i in dataset.images]
        yield from find_repeated(names, "file_name")
    description = f"checking {dataset.split}"
    void_shares = []
    for image in track(dataset.images, description, len(dataset.images)):
        known = looked.pop(image.image_id, None)
        found, share = known or _look_at_label(dataset, image)
        yield from found
        if share is not None:
            void_shares.append((image, share))
        if image.path is not None:
            yield from _check_photo(dataset, image, image.path, upright, decode=decode)
    yield from _check_void(dataset.split, void_shares)


def _look_at_label(dataset: Dataset, image: Image) -> _Looked:
    label = _read_label(dataset, image)
    if isinstance(label, Problem):
        return [label], None
    share = _share_void(label) if isinstance(label, FullLabel) else None
    return list(_check_label(dataset, image, label)), share


def _read_label(dataset: Dataset, image: Image) -> FullLabel | WeakLabel | Problem:
    try:
        return read_source(dataset, image)
    except (DatasetError, OSError) as error:
        named = (path for path in image.label_paths if str(error).startswith(f"{path}: "))
        return problem_of(error, next(named, image.file_name))


def _check_label(dataset: Dataset, image: Image, label: FullLabel | WeakLabel) -> Iterator[Problem]:
    found: list[Problem] = []
    if isinstance(label, FullLabel):
        found += _check_size(image, label)
        if dataset.name in LABEL_CHECKS:
            found += LABEL_CHECKS[dataset.name](image, label, dataset.categories)
    found += [warning_at(doubt.place, doubt.reason) for doubt in label.doubts]
    yield from found
    wrong = {problem.place for problem in found if problem.severity == "error"}
    for drop in label.drops:
        if drop.is_refused and drop.place not in wrong:
            yield error_at(drop.place, drop.reason)
        elif drop.place not in wrong:
            yield warning_at(drop.place, f"is left out: {drop.reason}")
    # Where other files were looked at, these objects were among what is in them.
    if isinstance(label, FullLabel) and dataset.name not in LABEL_CHECKS:
        for drop in label.unseen.values():
            report = error_at if drop.is_refused else warning_at
            yield report(drop.place, f"has no segment: {drop.reason}")
    if isinstance(label, WeakLabel):
        yield from _check_repeated(image, label)


def _check_repeated(image: Image, label: WeakLabel) -> Iterator[Problem]:
    """Yield boxes of one category that nearly repeat an earlier one.

    Where there are masks, `check_overlap` compares these.
    """
    boxes = label.boxes
    overlaps = np.triu(box_overlaps(boxes, boxes), k=1)
    for first, second in np.argwhere(overlaps > SAME_OBJECT).tolist():
        if boxes[first].category_id == boxes[second].category_id:
            yield warning_at(
                f"{image.file_name}: box {second + 1}",
                f"nearly repeats box {first + 1}, of the same category (their intersection over "
                f"union is {overlaps[first, second]:.2f}): drop one if they are one object",
            )


def _share_void(label: FullLabel) -> float:
    """Return the part of a label's pixels that no segment has."""
    return 1 - sum(segment.area for segment in label.segments) / (
        label.runs.height * label.runs.width
    )


def _check_void(split: str, shares: Sequence[tuple[Image, float]]) -> Iterator[Problem]:
    """Yield a warning for each image that is void for the most part.

    Args:
        split: of the images.
        shares: the images that have a full label, and what part of each is void.
    """
    for image, share in shares:
        if share > MOST:
            mean = sum(share for _, share in shares) / len(shares)
            yield warning_at(
                image.label_paths[0] if image.label_paths else f"image {image.image_id}",
                f"more than half of its pixels are void: {share:.0%}, and {mean:.0%} of split "
                f"{split}: make sure that these are its labels",
            )


def _check_size(image: Image, label: FullLabel) -> Iterator[Problem]:
    height, width = label.runs.height, label.runs.width
    if (width, height) != image.size_wh:
        yield error_at(
            image.file_name,
            f"its label is {width} x {height} pixels, the image {image.width} x {image.height}: "
            "give both the same size",
        )


def _check_photo(
    dataset: Dataset, image: Image, path: Path, upright: list[Path], *, decode: bool
) -> Iterator[Problem]:
    try:
        if decode:
            dataset.read_photo(image)
        else:
            check_photo(image)
        yield from _check_turn(image, path, upright)
    except (DatasetError, OSError) as error:
        yield problem_of(error, path)


def _check_turn(image: Image, path: Path, upright: list[Path]) -> Iterator[Problem]:
    head = read_photo_head(path)
    turn = turn_of(head, image.size_wh)
    exif = f"EXIF turns this photo ({head.orientation})"
    if turn == "upright" and head.orientation != 1 and image.has_photo_size:
        rule = "whether labels were drawn upright or as stored: taken as upright"
        yield warning_at(path, f"{exif}; its list has no size, which would tell {rule}")
    elif turn == "upright" and head.orientation != 1:
        upright.append(path)
    elif turn == "either":
        rule = "tell whether labels were drawn upright or as stored: taken as upright"
        yield warning_at(path, f"{exif}; its size does not {rule}")
    elif turn == "stored":
        yield warning_at(path, f"{exif}; by its size labels were drawn on it as stored: not turned")


def _check_shared(datasets: Sequence[Dataset]) -> Iterator[Problem]:
    """Yield the images that a split shares with one before it: by their photos, if these are there.

    Splits may number their images alike, so that names tell of images alone whose photo is missing.
    """
    images = [(dataset.split, image) for dataset in datasets for image in dataset.images]
    seen = {(s, i.file_name) for s, i in images if i.path is not None and i.path.is_file()}
    names = ((PurePosixPath(i.file_name).stem, split, i.file_name) for split, i in images)
    for split, name, first_split, first_name in find_shared(names):
        if {(split, name), (first_split, first_name)} <= seen:
            continue
        yield error_at(
            f"{split}: {name}",
            f"split {first_split} has {first_name}: keep the image in one split",
        )
    for _, path, first_split, first_path in find_shared_photos(images):
        yield error_at(
            path,
            f"is the same photo as {first_path} of split {first_split}: keep it in one split",
        )
