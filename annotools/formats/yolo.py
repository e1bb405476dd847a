"""Read YOLO folders: one text file an image, a line an object, as a box or as a polygon.

`data.yaml` or Darknet's `obj.data` names the classes and says where the photos of each split are;
without it classes are a name a line in `classes.txt` or `obj.names`, and photos are in the list
`SPLIT.txt`, in `images/SPLIT`, `SPLIT/images` or `SPLIT`, or, where there are no splits, in
`images`, `obj_train_data` or the root. The labels of `images/a.jpg` are in `labels/a.txt`, or in
`a.txt` beside the photo. A line is `CLASS X Y WIDTH HEIGHT`, in a dataset with keypoints with these
behind it, or `CLASS X1 Y1 X2 Y2 X3 Y3 ...`, in fractions of the upright photo, whose size has to be
known: there must be photos. A turned box is a polygon with four corners. A photo without a file of
labels has no object.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from annotools.errors import DatasetError
from annotools.formats.coco_instances import read_instance_categories
from annotools.formats.forms import as_whole
from annotools.formats.instances import Instance, Instances, give_labels, no_label
from annotools.formats.json_values import read_short, refuse_gaps
from annotools.formats.photo_places import PhotoFolder, describe_folder, is_there
from annotools.formats.photos import PHOTO_SUFFIXES, read_photo, read_photo_head
from annotools.formats.split_names import DEFAULT_SPLIT, names_of
from annotools.records import Dataset, Drop, Image

_CLASS_FILES = ("classes.txt", "obj.names", "_darknet.labels")
_MAX_TABLE_BYTES = 2**20
_MAX_BYTES = 2**26
_OTHER_SPLITS = ("val", "valid", "test")
_NOTHING = ("", "~", "null", "Null", "NULL")
"""How YAML writes that there is no value."""


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """What a folder has: names of classes by number, photos of the split, folders of labels."""

    path: Path
    names: Mapping[int, str]
    photos: Mapping[str, Path]
    missing: tuple[Path, ...]
    label_folders: tuple[Path, ...]
    lists_photos: bool
    has_given_photos: bool
    has_keypoints: bool


def read(
    root: Path, split: str, allow_missing: bool = False, photos: Path | None = None
) -> Dataset:
    """Return the dataset of a split; all files of labels are read at once, photos when asked for.

    Category ids are YOLO's class numbers; a background is added behind them. Where every line is a
    box, the dataset has boxes and no masks. Labels are as `give_labels` makes them.

    Args:
        root: the dataset's folder, or its `data.yaml`.
        split: names an entry of `data.yaml`, or the folder of photos.
        allow_missing: leave out label files without a photo, photos that a list names and that are
            missing, and impossible lines, and list them as drops; take the box alone of an object
            without a polygon beside others that have one.
        photos: the folder of the photos, if it is not where it is looked for.

    Raises:
        DatasetError: when classes, photos or all labels are missing, two photos have the same
            labels, and, unless allowed, for a label file without a photo or an impossible line.
    """
    layout = _find(root, split, photos)
    label_of = _pair_labels(layout)
    drops = [Drop(place=str(path), reason="the photo is missing") for path in layout.missing]
    drops += _without_photo(layout, label_of)
    refuse_gaps(drops, allow_missing)
    images = tuple(
        _describe(name, path, label_of.get(name)) for name, path in layout.photos.items()
    )
    categories = read_instance_categories(
        layout.path,
        {"categories": [{"id": i, "name": name} for i, name in sorted(layout.names.items())]},
        Counter(),
    )
    drops_of: dict[int | str, list[Drop]] = {image.image_id: [] for image in images}
    listed = {
        image.image_id: tuple(
            _read_lines(image, layout, drops_of[image.image_id], allow_missing=allow_missing)
        )
        for image in images
    }
    of_image = {
        image_id: [x for x in instances if x.category_id != categories.background_id]
        for image_id, instances in listed.items()
    }
    num_background = sum(len(listed[image_id]) - len(found) for image_id, found in of_image.items())
    unlabelled = sum(not image.label_paths for image in images)
    folders = dict.fromkeys(path.parent for path in layout.photos.values())
    dataset = Dataset(
        name="yolo",
        split=split,
        categories=categories,
        images=images,
        read_label=no_label,
        read_photo=read_photo,
        remarks=(
            f"classes are those of {layout.path}, photos are in {next(iter(folders))}",
            *(
                f"{count:,} {what}: no object"
                for count, what in (
                    (unlabelled, "photos have no file of labels"),
                    (num_background, "lines are of the background"),
                )
                if count
            ),
        ),
        drops=tuple(drops),
        source_files=(layout.path,),
    )
    instances = Instances(categories=categories, of_image=of_image, allow_missing=allow_missing)
    labelled = give_labels(dataset, instances)
    if not any(drops_of.values()):
        return labelled
    read_weak = labelled.read_weak
    return replace(
        labelled,
        read_label=partial(_add_drops, drops_of, labelled.read_label),
        read_weak=None if read_weak is None else partial(_add_drops, drops_of, read_weak),
    )


def _add_drops(
    drops_of: Mapping[int | str, Sequence[Drop]], read_label: Callable[[Image], Any], image: Image
) -> Any:
    """Return an image's label with the lines of its file that are impossible."""
    label = read_label(image)
    return replace(label, drops=(*drops_of[image.image_id], *label.drops))


def _find(root: Path, split: str, given: Path | None) -> _Layout:
    base = root.parent if root.is_file() else root
    table_path = root if root.is_file() else _find_table(root)
    table = {} if table_path is None else _read_table(table_path)
    sources = [given] if given is not None else _find_sources(base, split, table_path, table)
    listed = _list_photos(sources)
    photos = {name: path for name, path in listed.items() if is_there(path)}
    if not photos:
        raise DatasetError(
            f"{root}: no photo of split {split!r} in {', '.join(map(str, sources))}: give --photos "
            "the folder of the photos, without whose size fractions mean nothing; it has "
            f"{describe_folder(base)}"
        )
    splits = names_of(split)
    label_folders = [base / "labels" / s for s in splits] + [base / s / "labels" for s in splits]
    label_folders += [base / name for s in splits for name in (f"obj_{s}_data", s)]
    label_folders += [base / "labels", base / "boxes", base / "obj_train_data", base]
    folders = [folder for folder in label_folders if folder.is_dir()]
    names, path = _find_names([base, *folders], table_path, table)
    return _Layout(
        path=path,
        names=names,
        photos=photos,
        missing=tuple(path for name, path in listed.items() if name not in photos),
        label_folders=tuple(folders),
        lists_photos=any(source.is_file() for source in sources),
        has_given_photos=given is not None,
        has_keypoints="kpt_shape" in table,
    )


def _find_table(root: Path) -> Path | None:
    paths = sorted(p for pattern in ("*.yaml", "*.yml", "*.data") for p in root.glob(pattern))
    named = [path for path in paths if path.stem in ("data", "dataset", "obj")]
    return next(iter(named or (paths if len(paths) == 1 else [])), None)


def _read_table(path: Path) -> dict[str, Any]:
    """Return what `data.yaml` or `obj.data` says; all values are text, so that a class may be `no`.

    Raises:
        DatasetError: for a file that cannot be read or is no table.
    """
    data = read_short(path, _MAX_TABLE_BYTES)
    if path.suffix == ".data":
        lines = data.decode("utf-8-sig", errors="replace").splitlines()
        pairs = (line.partition("=") for line in lines if "=" in line)
        return {key.strip(): value.strip() for key, _, value in pairs}
    try:
        # This loader makes text, lists and tables alone, whatever tags a file has.
        table = yaml.load(data, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{path}: not valid YAML ({reason}): correct it") from error
    if not isinstance(table, dict):
        raise DatasetError(f"{path}: is not a table of names and folders: give YOLO's data.yaml")
    return table


def _find_names(
    folders: Sequence[Path], table_path: Path | None, table: Mapping[str, Any]
) -> tuple[dict[int, str], Path]:
    """Return the names of the classes by number, and the file that has them."""
    listed = table.get("names")
    if table_path is not None and (table_path.suffix != ".data" or "names" in table):
        if isinstance(listed, str) and listed not in _NOTHING:
            path = PhotoFolder(folder=table_path.parent).find(listed)
            return _read_names(path or table_path.parent / listed)
        rows = dict(enumerate(listed)) if isinstance(listed, list) else listed
        pairs = rows.items() if isinstance(rows, dict) else ()
        # An alias in a name could stand for ever so much text.
        numbered = {as_whole(i): name for i, name in pairs if isinstance(name, str)}
        if not numbered or None in numbered or len(numbered) < len(pairs):
            raise DatasetError(f"{table_path}: names is no list of classes: give their names")
        return {i: name for i, name in numbered.items() if i is not None}, table_path
    paths = (folder / name for folder in folders for name in _CLASS_FILES)
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise DatasetError(
            f"{folders[0]}: has neither data.yaml nor {' nor '.join(_CLASS_FILES)}, which name the "
            f"classes: add one; it has {describe_folder(folders[0])}"
        )
    return _read_names(path)


def _read_names(path: Path) -> tuple[dict[int, str], Path]:
    lines = read_short(path, _MAX_TABLE_BYTES).decode("utf-8-sig", errors="replace").splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DatasetError(f"{path}: names no class: give a name a line")
    return dict(enumerate(names)), path


def _find_sources(
    base: Path, split: str, table_path: Path | None, table: Mapping[str, Any]
) -> list[Path]:
    """Return the folders of photos, or lists of photos, that a split has.

    Raises:
        DatasetError: when the table has other splits.
    """
    splits = names_of(split)
    listed = next((table[s] for s in splits if table.get(s, "") not in _NOTHING), None)
    if table_path is not None and listed is not None:
        texts = listed if isinstance(listed, list) else [listed]
        return [_resolve(table_path, table.get("path"), str(text)) for text in texts]
    others = [s for s in ("train", *_OTHER_SPLITS) if table.get(s, "") not in _NOTHING]
    if others:
        raise DatasetError(f"{table_path}: has no split {split!r}: use {' or '.join(others)}")
    places = [base / f"{s}.txt" for s in splits]
    places += [
        base / name for s in splits for name in (f"images/{s}", f"{s}/images", f"obj_{s}_data", s)
    ]
    # What has no folder of its own may be of another split.
    if split == DEFAULT_SPLIT:
        shared = (base / "images", base)
        if not any((folder / s).is_dir() for folder in shared for s in _OTHER_SPLITS):
            places += shared
    return [place for place in places if place.exists()][:1] or places


def _resolve(table_path: Path, root: Any, text: str) -> Path:
    """Return the folder or list of photos that `data.yaml` names, as its tool knew it.

    It is relative to `path`, which may be of another machine, or to the file's own folder. Roboflow
    writes `../train/images` for what lies in `train/images`.

    Raises:
        DatasetError: when it is not there.
    """
    folder = table_path.parent
    bases = [folder / root, folder] if isinstance(root, str) else [folder]
    first = (base / text for base in bases)
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    later = (folder.joinpath(*parts[n:]) for n in range(len(parts)))
    found = next((place for place in (*first, *later) if is_there(place)), None)
    if found is None:
        raise DatasetError(
            f"{table_path}: photos are in {text[:200]!r}, and nothing is there: correct it, or "
            "give --photos the folder of the photos"
        )
    return found


def _list_photos(sources: Sequence[Path]) -> dict[str, Path]:
    """Return the photos of folders and lists by their names without suffix, in order.

    Names are relative to the folder, or to what several have in common.

    Raises:
        DatasetError: when two have the same name but for the suffix, or a list has something else.
    """
    paths = dict.fromkeys(path for source in sources for path in _photos_of(source))
    folders = {source if source.is_dir() else source.parent for source in sources}
    common = Path(os.path.commonpath([folder.absolute() for folder in folders]))
    photos: dict[str, Path] = {}
    for path in paths:
        # What a list names may lie anywhere.
        own = path.absolute()
        name = own.relative_to(common) if own.is_relative_to(common) else Path(*own.parts[1:])
        other = photos.setdefault(name.with_suffix("").as_posix(), path)
        if other != path:
            raise DatasetError(
                f"{path}: has the labels of {other} too, {path.stem}.txt: rename one of the two"
            )
    return photos


def _photos_of(source: Path) -> Iterator[Path]:
    """Yield the photos of a folder, below it too, or of a list."""
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            is_hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
            if path.suffix.lower() in PHOTO_SUFFIXES and not is_hidden and path.is_file():
                yield path
    elif source.is_file() and source.suffix == ".txt":
        folder = PhotoFolder(folder=source.parent)
        lines = read_short(source, _MAX_BYTES).decode("utf-8-sig", "replace").splitlines()
        for number, line in enumerate(map(str.strip, lines), start=1):
            if not line:
                continue
            own = source.parent / line
            if own.suffix.lower() not in PHOTO_SUFFIXES:
                raise DatasetError(
                    f"{source}: line {number}: {line[:200]!r} is no photo with one of the suffixes "
                    f"{', '.join(PHOTO_SUFFIXES)}: correct it"
                )
            # CVAT lists `data/obj_train_data/a.jpg` for what lies in `obj_train_data`.
            found = own if is_there(own) else folder.find(line)
            yield Path(os.path.normpath(found or own))


def _pair_labels(layout: _Layout) -> dict[str, Path]:
    """Return the file of labels of each photo that has one, by the photo's name."""
    label_of = {}
    for name, path in layout.photos.items():
        beside = [path.with_suffix(".txt")]
        parts = path.parts
        if "images" in parts:
            last = len(parts) - 1 - parts[::-1].index("images")
            beside.insert(0, Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt"))
        places = [folder / f"{name}.txt" for folder in layout.label_folders]
        # Photos that were given may lie beside labels of another kind.
        places = [*places, *beside] if layout.has_given_photos else [*beside, *places]
        found = next((place for place in places if place.is_file()), None)
        if found is not None:
            label_of[name] = found
    if not label_of:
        path = next(iter(layout.photos.values()))
        raise DatasetError(
            f"{path}: neither this photo nor another has a file of labels, {path.stem}.txt beside "
            f"it or in {', '.join(map(str, layout.label_folders)) or 'a folder labels'}: check root"
        )
    return label_of


def _without_photo(layout: _Layout, label_of: Mapping[str, Path]) -> list[Drop]:
    """Return the files of labels beside those that were found which have no photo."""
    # A list may leave out what is of another split.
    if layout.lists_photos:
        return []
    used = set(label_of.values())
    folders = sorted({path.parent for path in used})
    others = (p for folder in folders for p in sorted(folder.glob("*.txt")) if p not in used)
    return [
        Drop(place=str(path), reason="its photo is missing")
        for path in others
        if path.name not in _CLASS_FILES and _is_of_labels(path)
    ]


def _is_of_labels(path: Path) -> bool:
    """Tell a file of labels, which may be empty, from a README or a list of photos."""
    text = read_short(path, _MAX_BYTES).decode("utf-8-sig", errors="replace").strip()
    return not text or text.split(maxsplit=1)[0].replace(".", "").isdecimal()


def _describe(name: str, path: Path, label_path: Path | None) -> Image:
    width, height = read_photo_head(path).upright_wh
    return Image(
        image_id=name,
        file_name=f"{name}{path.suffix}",
        width=width,
        height=height,
        path=path,
        label_paths=() if label_path is None else (label_path,),
    )


def _read_lines(
    image: Image, layout: _Layout, drops: list[Drop], *, allow_missing: bool
) -> Iterator[Instance]:
    for path in image.label_paths:
        text = read_short(path, _MAX_BYTES).decode("utf-8-sig", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            place = f"{path}: line {number}"
            try:
                if line.strip():
                    yield _read_line(place, line, image, layout)
            except DatasetError as error:
                if not allow_missing:
                    raise DatasetError(f"{place}: {error}, or allow missing ones") from error
                drops.append(Drop(place=place, reason=str(error)))


def _read_line(place: str, line: str, image: Image, layout: _Layout) -> Instance:
    try:
        number, *fractions = map(float, line.split())
    except ValueError as error:
        raise DatasetError(f"{line[:60]!r} is no line of numbers: correct it") from error
    category_id = as_whole(number)
    if category_id is None or category_id not in layout.names:
        raise DatasetError(f"class {number:g} has no name in {layout.path}: add it")
    if layout.has_keypoints:
        fractions = fractions[:4]
    # Not-a-number fails the comparison. What reaches out a little is clipped.
    if not all(-1 <= fraction <= 2 for fraction in fractions):
        raise DatasetError(
            "has a number that is no fraction of the photo: if these are pixels, divide "
            "them by its width and height"
        )
    sizes = (image.width, image.height)
    polygons, bbox = [], None
    if len(fractions) == 4:
        x, y, width, height = (f * sizes[n % 2] for n, f in enumerate(fractions))
        bbox = [x - width / 2, y - height / 2, width, height]
    elif len(fractions) >= 6 and len(fractions) % 2 == 0:
        polygons = [[f * sizes[n % 2] for n, f in enumerate(fractions)]]
    else:
        hint = "; the sixth of a prediction is how sure it is" if len(fractions) == 5 else ""
        raise DatasetError(
            f"{1 + len(fractions)} numbers are neither a box (5) nor a polygon (7, 9, "
            f"...){hint}: correct it"
        )
    return Instance(
        place=place, category_id=category_id, segmentation=polygons, bbox=bbox, is_crowd=False
    )
