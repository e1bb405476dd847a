"""Find the list of a COCO-like dataset by what lies in its folder, and where its photos may be.

Tools leave the same file in different places: COCO itself, CVAT, datumaro, Roboflow, Label Studio,
labelme's scripts, FiftyOne, Cityscapes' and Mapillary's panoptic lists. Nothing is looked up by the
name of a tool: the first place that has a file counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotools.errors import DatasetError
from annotools.formats.photo_places import describe_folder
from annotools.formats.split_names import DEFAULT_SPLIT, names_of

_WHOLE_LISTS = (
    *("annotations/instances_default.json", "_annotations.coco.json", "result.json"),
    *("annotations.json", "labels.json", "dataset.json", "annotations/annotations.json"),
)
"""Lists of all images: of CVAT, Roboflow, Label Studio, labelme, FiftyOne and labelme2coco."""

_WHOLE_PHOTOS = ("images", "images/default", "JPEGImages", "data", "photos", "img")


@dataclass(frozen=True, kw_only=True)
class CocoFiles:
    """The list of a split, and the folders where its photos and its label PNGs may be.

    `is_own` is true of the place that the format itself has.
    """

    path: Path
    is_own: bool
    photo_folders: tuple[Path, ...]
    png_folders: tuple[Path, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know of where the list was found."""
        return () if self.is_own else (f"labels are {self.path}",)


def find_instances(root: Path, split: str) -> CocoFiles:
    """Return the files of a split with instances.

    Args:
        root: the dataset's folder, or the list itself, whatever the split.
        split: names the list and the folder of photos.

    Raises:
        DatasetError: when there is no list; it says what lies there instead.
    """
    own = root / "annotations" / f"instances_{split}.json"
    patterns = (
        *("{}/_annotations.coco.json", "annotations/{}.json", "{}.json", "{}/annotations.json"),
        *("{}/result.json", "{}/labels.json", "instances_{}.json", "{}/instances_{}.json"),
    )
    path = _find_list(root, split, own, patterns, _WHOLE_LISTS, "instances")
    # A list of another year's split, such as instances_train2017.json, names its own photos.
    named = path.stem.removeprefix("instances_")
    return CocoFiles(
        path=path, is_own=path == own, photo_folders=_photo_folders(root, path, (split, named))
    )


def find_panoptic(root: Path, split: str) -> CocoFiles:
    """Return the files of a split with panoptic labels, as `find_instances` does."""
    own = root / "panoptic.json"
    if root.is_dir() and not own.is_file():
        own = root / "annotations" / f"panoptic_{split}.json"
    patterns = (
        *("cityscapes_panoptic_{}.json", "gtFine/cityscapes_panoptic_{}.json"),
        *("{}/panoptic/panoptic_2018.json", "{}/v2.0/panoptic/panoptic_2020.json"),
        *("panoptic_{}.json", "{}/panoptic.json", "annotations/{}.json", "{}.json"),
    )
    path = _find_list(
        root, split, own, patterns, ("annotations/panoptic_default.json",), "panoptic"
    )
    png_folders = (path.with_suffix(""), path.parent / "panoptic", path.parent)
    beside = [
        base / "leftImg8bit" / split for base in (root, path.parent, path.absolute().parent.parent)
    ]
    # Mapillary has photos beside the folder of labels, and label PNGs beside their list.
    mapillary = [path.parent.parent / "images", path.parent.parent.parent / "images"]
    folders = (*_photo_folders(root, path, (split,)), *beside, *mapillary)
    return CocoFiles(
        path=path,
        is_own=path == own,
        # Label PNGs may have the names of photos.
        photo_folders=tuple(folder for folder in folders if folder not in png_folders),
        png_folders=png_folders,
    )


def _photo_folders(root: Path, path: Path, splits: Sequence[str]) -> tuple[Path, ...]:
    base = root
    if root.is_file():
        base = path.parent.parent if path.parent.name == "annotations" else path.parent
    folders = [base / split for split in splits]
    for split in dict.fromkeys(name for s in splits for name in names_of(s)):
        folders += [base / split, base / "images" / split, base / split / "images"]
    folders += [base / name for name in _WHOLE_PHOTOS]
    return tuple(dict.fromkeys((*folders, path.parent, base)))


def _find_list(
    root: Path,
    split: str,
    own: Path,
    patterns: Sequence[str],
    whole: Sequence[str],
    kind: str,
) -> Path:
    """Return the path of a list.

    Args:
        root: as `find_instances` has it.
        split: the split.
        own: where the format itself has it.
        patterns: where else lists of a split are, below the root, with `{}` for the split.
        whole: where lists of all images are.
        kind: the beginning of the names of such lists.
    """
    if root.is_file():
        return root
    names = names_of(split)
    places = [root / pattern.replace("{}", name) for pattern in patterns for name in names]
    for path in (own, *places):
        if path.is_file():
            return path
    # One list of all images stands for the split that is meant where nobody names one.
    listed = [root / name for name in whole if (root / name).is_file()]
    found = listed or list(_find_others(root, split, kind))
    if split == DEFAULT_SPLIT and len(found) == 1:
        return found[0]
    one = f"; {listed[0]} lists all images: leave --split out" if len(listed) == 1 else ""
    tried = ", ".join(str(place.relative_to(root)) for place in places[:3])
    raise DatasetError(
        f"{own}: no such file, nor {tried}, ...: check root and split; {root} has "
        f"{describe_folder(root)}; its annotations has "
        f"{describe_folder(root / 'annotations', '*.json')}{one}"
    )


def _find_others(root: Path, split: str, kind: str) -> Iterator[Path]:
    """Yield lists of another name: those of a year's split, or the one JSON that there is."""
    years = sorted((root / "annotations").glob(f"{kind}_{split}*.json"))
    if years:
        yield from years
        return
    others = sorted([*root.glob("*.json"), *(root / "annotations").glob("*.json")])
    yield from others if len(others) == 1 else ()
