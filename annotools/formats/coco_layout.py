"""Find the list of a COCO-like dataset by what lies in its folder, and where its photos may be.

Tools leave the same file in different places: COCO itself, CVAT, datumaro, Roboflow, Label Studio,
labelme's scripts, FiftyOne, Cityscapes' and Mapillary's panoptic lists. Nothing is looked up by the
name of a tool: the first place that has a file counts.
"""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from annotools.errors import DatasetError
from annotools.formats.photo_places import describe_folder
from annotools.formats.split_names import DEFAULT_SPLIT, names_of

_WHOLE_LISTS = (
    *("annotations/instances_default.json", "_annotations.coco.json", "result.json"),
    *("annotations.json", "labels.json", "dataset.json", "annotations/annotations.json"),
    "annotations/instances.json",
)
"""Lists of all images: of CVAT, Roboflow, Label Studio, labelme, FiftyOne, labelme2coco and, last,
Supervisely."""

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
        *("annotations/instances_{}.json", "{}/_annotations.coco.json", "annotations/{}.json"),
        *("{}.json", "{}/annotations.json", "{}/result.json", "{}/labels.json"),
        *("instances_{}.json", "{}/instances_{}.json", "{}/annotations/instances.json"),
    )
    path = _find_list(root, split, own, patterns, _WHOLE_LISTS, "instances")
    folders = _photo_folders(root, path, split, "instances")
    return CocoFiles(path=path, is_own=path == own, photo_folders=folders)


def find_panoptic(root: Path, split: str) -> CocoFiles:
    """Return the files of a split with panoptic labels, as `find_instances` does."""
    own = root / "panoptic.json"
    if root.is_dir() and not own.is_file():
        own = root / "annotations" / f"panoptic_{split}.json"
    patterns = (
        *("annotations/panoptic_{}.json", "panoptic_{}.json", "{}/panoptic.json"),
        *("cityscapes_panoptic_{}.json", "gtFine/cityscapes_panoptic_{}.json"),
        *("cityscapes_panoptic_{}_trainId.json", "gtFine/cityscapes_panoptic_{}_trainId.json"),
        *("{}/v2.0/panoptic/panoptic_2020.json", "{}/v1.2/panoptic/panoptic_2018.json"),
        *("{}/panoptic/panoptic_2018.json", "annotations/{}.json", "{}.json"),
    )
    path = _find_list(
        root, split, own, patterns, ("annotations/panoptic_default.json",), "panoptic"
    )
    above = path.absolute().parent.parent if root.is_file() else path.parent.parent
    # Others than COCO put the folder of label PNGs beside that of lists.
    png_folders = (
        *(path.with_suffix(""), path.parent / "panoptic", path.parent),
        *(above / path.stem, above / "panoptic"),
    )
    # A list that is given itself may be of any split.
    splits = (split, "train", "val", "test")
    beside = [base / "leftImg8bit" / s for base in (root, path.parent, above) for s in splits]
    # Mapillary has photos beside the folder of labels, and label PNGs beside their list.
    mapillary = [above / "images", above.parent / "images"]
    folders = (*_photo_folders(root, path, split, "panoptic"), *beside, *mapillary)
    return CocoFiles(
        path=path,
        is_own=path == own,
        # Label PNGs may have the names of photos.
        photo_folders=tuple(folder for folder in folders if folder not in png_folders),
        png_folders=png_folders,
    )


def _photo_folders(root: Path, path: Path, split: str, kind: str) -> tuple[Path, ...]:
    # A list of another year's split, such as instances_train2017.json, names its own photos.
    is_named = path.stem.startswith(f"{kind}_")
    splits = (split, path.stem.removeprefix(f"{kind}_")) if is_named else (split,)
    base = root
    if root.is_file():
        # A list may be given from within its folder.
        in_annotations = path.absolute().parent.name == "annotations"
        base = path.absolute().parent.parent if in_annotations else path.parent
    folders = [base / name for name in splits]
    for name in dict.fromkeys(name for split in splits for name in names_of(split)):
        folders += [base / name, base / "images" / name, base / name / "images"]
    for place in (base, path.parent):
        folders += [place / name for name in _WHOLE_PHOTOS]
    # The folder of the list is there in any case, so that it is never the format's own for photos.
    others = [folder for folder in folders if folder != path.parent]
    return tuple(dict.fromkeys((*others, path.parent, base)))


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
    if not root.exists():
        raise DatasetError(f"{root}: no such folder or file: check ROOT")
    names = names_of(split)
    places = [root / pattern.replace("{}", name) for pattern in patterns for name in names]
    for path in (own, *places):
        if path.is_file():
            return path
    folder = root / "annotations"
    # COCO's own lists have the year behind the split.
    years = folder.glob(f"{kind}_{glob.escape(split)}[12][0-9][0-9][0-9].json")
    listed = [root / name for name in whole if (root / name).is_file()]
    found = sorted(years)
    # One list of all images stands for the split that is meant where nobody names one.
    if not found and split == DEFAULT_SPLIT:
        found = listed or [*root.glob("*.json"), *folder.glob("*.json")]
    if len(found) == 1:
        return found[0]
    remedy = "give the list itself as ROOT, or another split"
    if len(listed) == 1 and split != DEFAULT_SPLIT:
        remedy = f"{listed[0]} lists all images: leave --split out"
    tried = ", ".join(pattern.replace("{}", split) for pattern in (*patterns[1:4], *whole[:1]))
    raise DatasetError(
        f"{own}: no such file, nor {tried}, ...: {root} has {describe_folder(root)}; its "
        f"annotations has {describe_folder(folder, '*.json')}: {remedy}"
    )
