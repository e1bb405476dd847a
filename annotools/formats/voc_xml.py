"""Read boxes that lie in one XML file an image, as Pascal VOC has them, without any mask.

LabelImg, Roboflow, CVAT and `annotools convert --box-format voc` write such folders. Files are in
`Annotations`, in `boxes`, in the folder of a split beside the photos, or in the root; the classes
are those of `labelmap.txt` or `class_names.txt` where there is one, else VOC's own, or those that
the files of all splits name, in the order of the alphabet.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.formats.forms import Forms, as_whole, form_remarks
from annotools.formats.image_lists import read_names
from annotools.formats.json_values import refuse_gaps
from annotools.formats.photo_places import (
    PhotoFolder,
    check_given,
    describe_folder,
    find_by_stem,
    is_there,
    plain_name,
)
from annotools.formats.photos import read_photo, read_photo_head
from annotools.formats.pictures import is_possible_size
from annotools.formats.split_names import DEFAULT_SPLIT, names_of
from annotools.formats.voc_boxes import XmlFile, read_xml, take_objects
from annotools.formats.voc_classes import find_classes, name_classes
from annotools.formats.without_masks import give_weak, no_label
from annotools.records import Box, Dataset, Drop, Image, WeakLabel

_XML_FOLDERS = ("Annotations", "boxes", "annotations", "labels")
_PHOTO_FOLDERS = ("JPEGImages", "images", "photos", "img")
_LISTS = (Path("ImageSets", "Main"), Path("ImageSets", "Segmentation"))


def read(
    root: Path, split: str, allow_missing: bool = False, photos: Path | None = None
) -> Dataset:
    """Return boxes as a dataset without masks; all XML files are read at once.

    Boxes count from 1 and their last pixel belongs to them; they are clipped to their image.

    Args:
        root: the folder of the XML files, or the one that holds their folder.
        split: a list in `ImageSets`, or a folder of XML files; where there is neither, all files
            are the split `train`.
        allow_missing: leave out images whose XML file or photo is missing, and impossible boxes,
            and list them as drops.
        photos: the folder of the photos, if they are not where they are looked for.

    Raises:
        DatasetError: for a split that is not there, and, unless allowed, for a missing file or an
            impossible box.
    """
    folder = find_xml_folder(root, split)
    if folder is None:
        raise DatasetError(
            f"{root}: has no annotation file in XML for split {split!r}: check root and split; it "
            f"has {describe_folder(root)}"
        )
    names, lists = _list_names(root, folder, split)
    files, drops = _read_all(folder, names, allow_missing=allow_missing)
    classes = find_classes(root)
    if classes.path is None:
        classes = replace(classes, categories=name_classes(_find_names(root, folder, files)))
    photo_folders = _photo_folders(root, folder, split, photos)
    forms: Forms = Counter()
    images = [_describe(folder / f"{n}.xml", n, xml, photo_folders) for n, xml in files.items()]
    has_photos = photos is not None or any(image.path for image in images)
    if has_photos:
        missing = [image for image in images if image.path is None]
        drops += [Drop(place=i.file_name, reason="the photo is missing") for i in missing]
        images = [image for image in images if image.path is not None]
    refuse_gaps(drops, allow_missing)
    weak_of = {
        image.image_id: _take_boxes(
            image,
            files[str(image.image_id)],
            classes.categories,
            forms,
            allow_missing=allow_missing,
        )
        for image in images
    }
    places = ", ".join(map(str, photo_folders))
    alone = () if has_photos else (f"boxes alone are read: none has its photo in {places}",)
    dataset = Dataset(
        name="voc",
        split=split,
        categories=classes.categories,
        images=tuple(images),
        read_label=no_label,
        read_photo=read_photo,
        remarks=(
            f"boxes are those of {folder}",
            *classes.remarks,
            *alone,
            *form_remarks(folder, forms),
        ),
        drops=tuple(drops),
        source_files=lists if classes.path is None else (*lists, classes.path),
    )
    return give_weak(dataset, weak_of, folder)


def find_xml_folder(root: Path, split: str) -> Path | None:
    """Return the folder of a split's XML files, None where there is none."""
    folders = [*_split_folders(root, split), *(root / name for name in _XML_FOLDERS)]
    # Names may have folders of their own; below the root these are of other splits.
    found = (folder for folder in folders if any(folder.rglob("*.xml")))
    return next(found, root if any(root.glob("*.xml")) else None)


def _split_folders(root: Path, split: str) -> list[Path]:
    """Return where the XML files of a split are, if it has a folder of its own."""
    pairs = [(one, name) for one in names_of(split) for name in _XML_FOLDERS]
    inside = [root / one / name for one, name in pairs] + [root / name / one for one, name in pairs]
    return [*inside, *(root / one for one in names_of(split))]


def _list_names(root: Path, folder: Path, split: str) -> tuple[Sequence[str], tuple[Path, ...]]:
    """Return the names of a split's images, and the file that lists them if one does."""
    for lists in _LISTS:
        path = root / lists / f"{split}.txt"
        if path.is_file():
            return read_names(path), (path,)
    if folder not in _split_folders(root, split) and split != DEFAULT_SPLIT:
        raise DatasetError(
            f"{root}: has no list of split {split!r} in ImageSets/Main, and no such folder: leave "
            f"--split out to read all of {folder}"
        )
    # Below the root lie other things too.
    paths = sorted(folder.glob("*.xml") if folder == root else folder.rglob("*.xml"))
    return [path.relative_to(folder).with_suffix("").as_posix() for path in paths], ()


def _read_all(
    folder: Path, names: Sequence[str], *, allow_missing: bool
) -> tuple[dict[str, XmlFile], list[Drop]]:
    files, drops = {}, []
    for name in names:
        path = folder / f"{name}.xml"
        if path.is_file() or not allow_missing:
            files[name] = read_xml(path)
        else:
            drops.append(Drop(place=str(path), reason="the annotation file is missing"))
    return files, drops


def _find_names(root: Path, folder: Path, files: Mapping[str, XmlFile]) -> set[str]:
    """Return the names of classes in all splits, so that these have the same category ids."""
    names = {thing.name for xml in files.values() for thing in xml.objects}
    read = {folder / f"{name}.xml" for name in files}
    for path in set(root.rglob("*.xml")) - read:
        # What is wrong with files of another split does not matter to this one.
        with suppress(DatasetError):
            names |= {thing.name for thing in read_xml(path).objects}
    return names - {""}


def _photo_folders(root: Path, folder: Path, split: str, given: Path | None) -> list[Path]:
    """Return where photos may be: the given folder alone, or those that are there."""
    if given is not None:
        check_given(given)
        return [given]
    parts = [root / name for name in _PHOTO_FOLDERS]
    own = [part for one in names_of(split) for part in (root / one, *(p / one for p in parts))]
    own += [root / one / name for one in names_of(split) for name in _PHOTO_FOLDERS]
    places = dict.fromkeys([*own, *parts, folder, root])
    return [place for place in places if place.is_dir()]


def _describe(path: Path, name: str, xml: XmlFile, photo_folders: Sequence[Path]) -> Image:
    """Return the record of an image; its size is that of the file, or else of its photo."""
    own_name = plain_name(xml.file_name).rpartition("/")[2]
    file_name = f"{name}{Path(own_name).suffix or '.jpg'}"
    if own_name == name.rpartition("/")[2]:
        # Of two photos that differ in their suffix, each has it in the name of its file.
        file_name = name
    photo = next((p for f in photo_folders if (p := find_by_stem(f, name)) is not None), None)
    if photo is not None:
        file_name = f"{name}{photo.suffix}"
    elif own_name:
        named = ((f, PhotoFolder(folder=f).find(xml.file_name)) for f in photo_folders)
        found = next(((f, path) for f, path in named if path and is_there(path)), None)
        if found is not None:
            photo = found[1]
            file_name = photo.relative_to(found[0]).as_posix()
    sides = tuple(map(as_whole, xml.size_texts))
    width, height = (side or 0 for side in sides)
    has_photo_size = not is_possible_size(width, height)
    if has_photo_size:
        if photo is None:
            raise DatasetError(
                f"{path}: size is {xml.size_texts[0]} x {xml.size_texts[1]}, and the photo is not "
                "there to be measured: give its size, or --photos its folder"
            )
        width, height = read_photo_head(photo).upright_wh
    return Image(
        image_id=name,
        file_name=file_name,
        width=width,
        height=height,
        path=photo,
        label_paths=(path,),
        has_photo_size=has_photo_size,
    )


def _take_boxes(
    image: Image, xml: XmlFile, categories: CategorySet, forms: Forms, *, allow_missing: bool
) -> WeakLabel:
    found = take_objects(xml, image.size_wh, categories, allow_missing=allow_missing)
    if xml.counts_from_zero:
        forms[
            "boxes are read as CVAT and datumaro write them, in borders between pixels from 0"
        ] += 1
    boxes = (Box(category_id=x.category_id, box_xyxy=x.box_xyxy) for x in found.objects)
    return WeakLabel(
        image_id=image.image_id,
        boxes=tuple(boxes),
        has_boxes=True,
        drops=found.drops,
        doubts=found.doubts,
    )
