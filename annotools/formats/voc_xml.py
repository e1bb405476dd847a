"""Read boxes that lie in one XML file an image, as Pascal VOC has them, without any mask.

LabelImg, Roboflow, CVAT and `annotools convert --box-format voc` write such folders. Files are in
`Annotations`, in `boxes`, in the folder of a split beside the photos, or in the root; the classes
are those of `labelmap.txt` or `class_names.txt` where there is one, else VOC's own or those named.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.formats.forms import Forms, as_whole, form_remarks
from annotools.formats.image_lists import read_names
from annotools.formats.json_values import refuse_gaps
from annotools.formats.photo_places import describe_folder, find_by_stem, plain_name
from annotools.formats.photos import read_photo, read_photo_head
from annotools.formats.pictures import is_possible_size
from annotools.formats.split_names import DEFAULT_SPLIT, names_of
from annotools.formats.voc_boxes import XmlFile, XmlObject, read_xml, to_voc_object
from annotools.formats.voc_classes import find_classes, name_classes
from annotools.records import Box, BoxXYXY, Dataset, Drop, FullLabel, Image, WeakLabel

_XML_FOLDERS = ("Annotations", "boxes", "annotations", "labels", "")
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
    categories = classes.categories
    if classes.path is None:
        categories = name_classes({thing.name for xml in files.values() for thing in xml.objects})
    photo_folders = [photos] if photos else [root / name for name in _PHOTO_FOLDERS]
    photo_folders += [] if photos else [folder, root / split]
    forms: Forms = Counter()
    images = [_describe(folder / f"{n}.xml", n, xml, photo_folders) for n, xml in files.items()]
    has_photos = any(image.path for image in images)
    if has_photos:
        missing = [image for image in images if image.path is None]
        drops += [Drop(place=i.file_name, reason="the photo is missing") for i in missing]
        images = [image for image in images if image.path is not None]
    refuse_gaps(drops, allow_missing)
    weak_of = {
        image.image_id: _take_boxes(
            image, files[str(image.image_id)], categories, forms, allow_missing=allow_missing
        )
        for image in images
    }
    places = ", ".join(map(str, photo_folders))
    alone = () if has_photos else (f"boxes alone are read: no photo of these is in {places}",)
    return Dataset(
        name="voc",
        split=split,
        categories=categories,
        images=tuple(images),
        read_label=partial(_refuse_masks, folder),
        read_photo=read_photo,
        read_weak=partial(_give, weak_of),
        notes=("there are boxes and no masks", "sides of boxes are rounded to whole pixels"),
        remarks=(
            f"boxes are those of {folder}",
            *classes.remarks,
            *alone,
            *form_remarks(folder, forms),
        ),
        drops=tuple(drops),
        source_files=lists if classes.path is None else (*lists, classes.path),
    )


def find_xml_folder(root: Path, split: str) -> Path | None:
    """Return the folder of a split's XML files, None where there is none."""
    own = ("", "Annotations", "annotations", "labels")
    folders = [root / one / name for one in names_of(split) for name in own]
    folders += [root / name for name in _XML_FOLDERS]
    return next((folder for folder in folders if any(folder.glob("*.xml"))), None)


def _list_names(root: Path, folder: Path, split: str) -> tuple[Sequence[str], tuple[Path, ...]]:
    """Return the names of a split's images, and the file that lists them if one does."""
    for lists in _LISTS:
        path = root / lists / f"{split}.txt"
        if path.is_file():
            return read_names(path), (path,)
    is_of_split = any(folder.is_relative_to(root / name) for name in names_of(split))
    if not is_of_split and split != DEFAULT_SPLIT:
        raise DatasetError(
            f"{root}: has no list of split {split!r} in ImageSets/Main, and no such folder: leave "
            f"--split out to read all of {folder}"
        )
    paths = sorted(folder.rglob("*.xml"))
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


def _describe(path: Path, name: str, xml: XmlFile, photo_folders: Sequence[Path]) -> Image:
    """Return the record of an image; its size is that of the file, or else of its photo."""
    own_name = plain_name(xml.file_name).rpartition("/")[2]
    photo = next((p for f in photo_folders if (p := find_by_stem(f, name)) is not None), None)
    if photo is None and own_name:
        named = (folder / own_name for folder in photo_folders)
        photo = next((p for p in named if p.is_file()), None)
    sides = tuple(map(as_whole, xml.size_texts))
    width, height = (side or 0 for side in sides)
    if not is_possible_size(width, height):
        if photo is None:
            raise DatasetError(
                f"{path}: size is {xml.size_texts[0]} x {xml.size_texts[1]}, and the photo is not "
                "there to be measured: give its size, or --photos its folder"
            )
        width, height = read_photo_head(photo).upright_wh
    suffix = Path(own_name).suffix if photo is None else photo.suffix
    return Image(
        image_id=name,
        file_name=f"{name}{suffix or '.jpg'}",
        width=width,
        height=height,
        path=photo,
        label_paths=(path,),
    )


def _take_boxes(
    image: Image, xml: XmlFile, categories: CategorySet, forms: Forms, *, allow_missing: bool
) -> WeakLabel:
    boxes, drops = [], []
    for thing in xml.objects:
        try:
            found = to_voc_object(_from_one(thing, forms), categories)
            box_xyxy = _clip(thing.place, found.box_xyxy, image)
        except DatasetError as error:
            if not allow_missing:
                raise
            reason = str(error).removeprefix(f"{thing.place}: ")
            drops.append(Drop(place=thing.place, reason=reason))
            continue
        boxes.append(Box(category_id=found.category_id, box_xyxy=box_xyxy))
    return WeakLabel(
        image_id=image.image_id, boxes=tuple(boxes), has_boxes=True, drops=tuple(drops)
    )


def _from_one(thing: XmlObject, forms: Forms) -> XmlObject:
    """Return an object whose coordinates of less than 1 are 1, where images begin."""
    corners = {}
    for key, text in thing.corners.items():
        try:
            is_outside = float(text) < 1
        except ValueError:
            is_outside = False
        corners[key] = "1" if is_outside else text
        if is_outside:
            forms["a coordinate is below 1, where VOC begins to count, and taken as 1"] += 1
    return XmlObject(
        place=thing.place,
        name=thing.name,
        corners=corners,
        is_difficult=thing.is_difficult,
        is_truncated=thing.is_truncated,
    )


def _clip(place: str, box_xyxy: BoxXYXY, image: Image) -> BoxXYXY:
    x0, y0, x1, y1 = box_xyxy
    if x0 >= image.width or y0 >= image.height:
        raise DatasetError(f"{place}: has no pixel in its image: correct it")
    return x0, y0, min(x1, image.width), min(y1, image.height)


def _give(weak_of: Mapping[int | str, WeakLabel], image: Image) -> WeakLabel:
    return weak_of[image.image_id]


def _refuse_masks(folder: Path, image: Image) -> FullLabel:
    raise DatasetError(
        f"{folder}: image {image.image_id!r} has boxes and no masks: ask for boxes or tags, or "
        "draw the masks"
    )
