"""Find the files of a folder in Pascal VOC's layout: the images of a split, and what each has."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from annotools.errors import DatasetError
from annotools.formats import sbd
from annotools.formats.image_lists import read_names
from annotools.formats.photo_places import describe_folder, find_by_stem, visible_files
from annotools.formats.photos import read_photo_head
from annotools.formats.pictures import read_picture_size
from annotools.formats.split_names import DEFAULT_SPLIT
from annotools.records import Drop, Image

LISTS = Path("ImageSets", "Segmentation")
CLASSES, _OBJECTS, _BOXES, PHOTOS = (
    *("SegmentationClass", "SegmentationObject"),
    *("Annotations", "JPEGImages"),
)
_OF_LABELME = "PNG"
"""What labelme once put behind the names of folders, where those without it have other files."""


@dataclass(frozen=True, kw_only=True)
class VocFiles:
    """Where the files of one image are to be; `name` is in the list of its split."""

    name: str
    class_path: Path
    object_path: Path
    photo_path: Path
    xml_path: Path


def find_year(root: Path) -> Path:
    """Return the folder of a year: the root, or the one year that it, or its VOCdevkit, holds.

    Raises:
        DatasetError: when there is none, or several.
    """
    parts = (LISTS, CLASSES, f"{CLASSES}{_OF_LABELME}", _BOXES)
    if any((root / part).is_dir() for part in parts):
        return root
    # What is no year, though it has such a folder, does not stand beside one with lists.
    found = (
        [place for place in root.glob(pattern) if (place / part).is_dir()]
        for pattern in ("VOC*", "VOCdevkit/VOC*")
        for part in parts
    )
    years = sorted(next(filter(None, found), []))
    if len(years) == 1:
        return years[0]
    if years:
        names = " or ".join(path.relative_to(root).as_posix() for path in years)
        raise DatasetError(f"{root}: holds several years: give the folder of one, {names}")
    if any(any(root.glob(f"{folders}*.xml")) for folders in ("", "*/", "*/*/", "*/*/*/")):
        return root
    raise DatasetError(
        f"{root / LISTS}: no such folder: give VOCdevkit/VOC2012 or another year, or a folder "
        f"with annotation files in XML; {root} has {describe_folder(root)}"
    )


def map_folder(year: Path, name: str) -> Path:
    """Return the folder of the class maps or of the object maps of a year."""
    folder = year / f"{name}{_OF_LABELME}"
    return folder if folder.is_dir() else year / name


def list_files(
    year: Path, split: str, photo_folder: Path
) -> tuple[list[VocFiles], tuple[Path, ...], tuple[str, ...]]:
    """Return the images of a split in the order of its list, the files that list them, remarks.

    Args:
        year: the folder of the year.
        split: as `annotools.formats.voc.read` has it.
        photo_folder: of the photos.

    Raises:
        DatasetError: for a split that is not there, or a damaged list.
    """
    lists = year / LISTS
    if split != "trainaug":
        names, paths, remarks = _list_names(year, split)
        return [_source_in_voc(year, name, photo_folder) for name in names], paths, remarks
    folder = sbd.find_sbd(year.absolute().parent)
    listed, of_sbd = sbd.list_trainaug(folder, lists)
    sources = [
        _source_in_sbd(year, folder, name, photo_folder)
        if name in of_sbd
        else _source_in_voc(year, name, photo_folder)
        for name in listed
    ]
    paths = tuple(f / f"{s}.txt" for f in (lists, folder) for s in ("train", "val"))
    return sources, paths, ()


def _list_names(year: Path, split: str) -> tuple[Sequence[str], tuple[Path, ...], tuple[str, ...]]:
    """Return the names of a split's images, the file that lists them, and what to remark."""
    lists = year / LISTS
    path = lists / f"{split}.txt"
    others = sorted(lists.glob("*.txt"))
    if path.is_file() or split != DEFAULT_SPLIT or len(others) > 1:
        return read_names(path), (path,), ()
    if others:
        return read_names(others[0]), (others[0],), (f"images are those of {others[0]}",)
    folder = map_folder(year, CLASSES)
    found = (path for path in visible_files(folder) if path.suffix == ".png")
    names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in found)
    if not names:
        raise DatasetError(f"{folder}: has no PNG: give the folder of a year with class maps")
    return names, (), (f"images are all of {folder}",)


def _source_in_voc(year: Path, name: str, photo_folder: Path) -> VocFiles:
    return VocFiles(
        name=name,
        class_path=map_folder(year, CLASSES) / f"{name}.png",
        object_path=map_folder(year, _OBJECTS) / f"{name}.png",
        photo_path=find_by_stem(photo_folder, name) or photo_folder / f"{name}.jpg",
        xml_path=year / _BOXES / f"{name}.xml",
    )


def _source_in_sbd(year: Path, folder: Path, name: str, photo_folder: Path) -> VocFiles:
    source = _source_in_voc(year, name, photo_folder)
    own_photo_path = folder / "img" / f"{name}.jpg"
    return replace(
        source,
        class_path=folder / "cls" / f"{name}.mat",
        object_path=folder / "inst" / f"{name}.mat",
        photo_path=own_photo_path if own_photo_path.is_file() else source.photo_path,
    )


def find_gaps(
    sources: list[VocFiles], photo_folder: Path
) -> tuple[list[VocFiles], list[Drop], list[Drop]]:
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


def describe_image(source: VocFiles) -> Image:
    """Return the record of an image; its size is that of its class map.

    Raises:
        DatasetError: for a damaged head of the class map or the photo.
    """
    photo_path = source.photo_path if source.photo_path.is_file() else None
    # Heads of pictures are cheap to read; SBD's maps have none and must be unpacked whole.
    if source.class_path.suffix == ".png":
        width, height = read_picture_size(source.class_path)
    elif photo_path is not None:
        width, height = read_photo_head(photo_path).upright_wh
    else:
        height, width = sbd.read_class_map(source.class_path).shape
    paths = (source.class_path, source.object_path, source.xml_path)
    label_paths = [path for path in paths if path.is_file()]
    return Image(
        image_id=source.name,
        file_name=f"{source.name}{source.photo_path.suffix}",
        width=width,
        height=height,
        path=photo_path,
        label_paths=tuple(label_paths),
    )
