"""Read YOLO folders: one text file an image, a line an object, as a box or as a polygon.

`data.yaml` names the classes and where the photos of each split are; without it classes are a name
a line in `classes.txt` or `obj.names`, and photos in `images/SPLIT`, `SPLIT/images`, `images` or
`SPLIT`. The labels of `images/a.jpg` are in `labels/a.txt`, or in `a.txt` beside the photo. A line
is `CLASS X Y WIDTH HEIGHT` or `CLASS X1 Y1 X2 Y2 X3 Y3 ...` in fractions of the upright photo,
whose size has to be known: there must be photos. A photo without a file of labels has no object.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import yaml

from annotools.errors import DatasetError
from annotools.formats.coco_instances import read_instance_categories
from annotools.formats.forms import as_whole
from annotools.formats.instances import Instance, Instances, give_labels, no_label
from annotools.formats.json_values import read_short, refuse_gaps
from annotools.formats.photo_places import describe_folder, plain_name
from annotools.formats.photos import PHOTO_SUFFIXES, read_photo, read_photo_head
from annotools.formats.split_names import names_of
from annotools.records import Dataset, Drop, Image

_CLASS_FILES = ("classes.txt", "obj.names", "_darknet.labels")
_MAX_BYTES = 2**24


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """What a folder has: names of classes by number, photos of the split, folders of labels."""

    path: Path
    names: Mapping[int, str]
    photos: Mapping[str, Path]
    label_folders: tuple[Path, ...]
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
        allow_missing: leave out label files without a photo and impossible lines, and list them as
            drops; take the box alone of an object without a polygon beside others that have one.
        photos: the folder of the photos, if it is not where it is looked for.

    Raises:
        DatasetError: when classes, photos or all labels are missing, two photos have the same
            labels, and, unless allowed, for a label file without a photo or an impossible line.
    """
    layout = _find(root, split, photos)
    label_of = _pair_labels(layout)
    drops = _without_photo(label_of)
    refuse_gaps(drops, allow_missing)
    images = tuple(
        _describe(name, path, label_of.get(name)) for name, path in layout.photos.items()
    )
    categories = read_instance_categories(
        layout.path,
        {"categories": [{"id": i, "name": name} for i, name in sorted(layout.names.items())]},
        Counter(),
    )
    of_image = {
        image.image_id: tuple(_read_lines(image, layout, drops, allow_missing=allow_missing))
        for image in images
        if image.label_paths
    }
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
            *((f"{unlabelled:,} photos have no file of labels: no object",) if unlabelled else ()),
        ),
        drops=tuple(drops),
        source_files=(layout.path,),
    )
    instances = Instances(categories=categories, of_image=of_image, allow_missing=allow_missing)
    return give_labels(dataset, instances)


def _find(root: Path, split: str, given: Path | None) -> _Layout:
    base = root.parent if root.is_file() else root
    yaml_path = root if root.is_file() else _find_yaml(root)
    table: dict[str, Any] = {} if yaml_path is None else _read_yaml(yaml_path)
    splits = names_of(split)
    folders = [base / name for s in splits for name in (f"images/{s}", f"{s}/images")]
    folders += [base / "images", *(base / s for s in splits), base / "obj_train_data"]
    listed = next((table[s] for s in splits if table.get(s)), None)
    if yaml_path is not None and listed is not None:
        sources = _resolve(yaml_path, table, listed)
    else:
        sources = [folder for folder in folders if folder.is_dir()][:1]
    if given is not None:
        sources = [given]
    photos = _list_photos(sources)
    if not photos:
        where = ", ".join(map(str, sources or folders))
        raise DatasetError(
            f"{root}: no photo of split {split!r} in {where}: give --photos the folder of the "
            f"photos, without whose size fractions mean nothing; it has {describe_folder(base)}"
        )
    names, path = _find_names(base, yaml_path, table)
    label_folders = [base / "labels" / s for s in splits] + [base / s / "labels" for s in splits]
    label_folders += [base / "labels", base / "boxes", base / "obj_train_data"]
    return _Layout(
        path=path,
        names=names,
        photos=photos,
        label_folders=tuple(folder for folder in label_folders if folder.is_dir()),
        has_keypoints="kpt_shape" in table,
    )


def _find_yaml(root: Path) -> Path | None:
    paths = sorted([*root.glob("*.yaml"), *root.glob("*.yml")])
    named = [path for path in paths if path.stem in ("data", "dataset")]
    return next(iter(named or (paths if len(paths) == 1 else [])), None)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        table = yaml.safe_load(read_short(path, _MAX_BYTES))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{path}: not valid YAML ({reason}): correct it") from error
    if not isinstance(table, dict):
        raise DatasetError(f"{path}: is not a table of names and folders: give YOLO's data.yaml")
    return table


def _find_names(
    base: Path, yaml_path: Path | None, table: Mapping[str, Any]
) -> tuple[dict[int, str], Path]:
    """Return the names of the classes by number, and the file that has them."""
    if yaml_path is not None:
        listed = table.get("names")
        rows = dict(enumerate(listed)) if isinstance(listed, list) else listed
        numbered = {as_whole(i): str(n) for i, n in rows.items()} if isinstance(rows, dict) else {}
        if not numbered or None in numbered:
            raise DatasetError(f"{yaml_path}: names is no list of classes: give their names")
        return {i: name for i, name in numbered.items() if i is not None}, yaml_path
    path = next((base / name for name in _CLASS_FILES if (base / name).is_file()), None)
    if path is None:
        raise DatasetError(
            f"{base}: has neither data.yaml nor {' nor '.join(_CLASS_FILES)}, which name the "
            f"classes: add one; it has {describe_folder(base)}"
        )
    lines = read_short(path, _MAX_BYTES).decode("utf-8", errors="replace").splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DatasetError(f"{path}: names no class: give a name a line")
    return dict(enumerate(names)), path


def _resolve(yaml_path: Path, table: Mapping[str, Any], listed: Any) -> list[Path]:
    """Return the folders or lists of photos that a split has in `data.yaml`."""
    folder = yaml_path.parent
    bases = [folder]
    if isinstance(table.get("path"), str):
        # A path of another machine is not there, and the files are beside this one.
        bases.insert(0, folder / table["path"])
    found = []
    for text in listed if isinstance(listed, list) else [listed]:
        # Roboflow writes `../train/images` for what lies in `train/images`.
        names = (str(text), plain_name(str(text)))
        places = [base / name for base in bases for name in names if name]
        found.append(next((place for place in places if place.exists()), places[0]))
    return found


def _list_photos(sources: Sequence[Path]) -> dict[str, Path]:
    """Return the photos of folders and lists by their names without suffix, in order.

    Raises:
        DatasetError: when two have the same name but for the suffix.
    """
    photos: dict[str, Path] = {}
    for source in sources:
        if source.is_dir():
            listed = sorted(p for p in source.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
            named = [(path.relative_to(source), path) for path in listed]
        elif source.is_file() and source.suffix == ".txt":
            named = [(path, source.parent / path) for path in _read_list(source)]
        else:
            named = []
        for name, path in named:
            key = name.with_suffix("").as_posix()
            other = photos.setdefault(key, path)
            if other != path:
                raise DatasetError(
                    f"{path}: has the labels of {other} too, {key}.txt: rename one of the two"
                )
    return photos


def _read_list(path: Path) -> Iterator[Path]:
    """Yield the photos that a text file lists, relative to its folder."""
    for line in read_short(path, _MAX_BYTES).decode("utf-8", errors="replace").splitlines():
        if line.strip():
            name = PureWindowsPath(plain_name(line.strip())).as_posix()
            inside = [Path(name)] + [Path(*Path(name).parts[n:]) for n in (1, 2)]
            # CVAT lists `data/obj_train_data/a.jpg` for what lies in `obj_train_data`.
            yield next((p for p in inside if p.parts and (path.parent / p).is_file()), inside[0])


def _pair_labels(layout: _Layout) -> dict[str, Path]:
    """Return the file of labels of each photo that has one, by the photo's name."""
    label_of = {}
    for name, path in layout.photos.items():
        places = [path.with_suffix(".txt"), *(f / f"{name}.txt" for f in layout.label_folders)]
        parts = path.parts
        if "images" in parts:
            last = len(parts) - 1 - parts[::-1].index("images")
            places.insert(0, Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt"))
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


def _without_photo(label_of: Mapping[str, Path]) -> list[Drop]:
    """Return the files of labels beside those that were found which have no photo."""
    used = set(label_of.values())
    folders = sorted({path.parent for path in used})
    others = (p for folder in folders for p in sorted(folder.glob("*.txt")) if p not in used)
    return [
        Drop(place=str(path), reason="its photo is missing")
        for path in others
        if path.name not in _CLASS_FILES and path.stem not in ("train", "val", "test")
    ]


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
    (path,) = image.label_paths
    text = read_short(path, _MAX_BYTES).decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{path}: line {number}"
        try:
            yield _read_line(place, line, image, layout)
        except DatasetError as error:
            if not allow_missing:
                raise DatasetError(f"{error}, or allow missing ones") from error
            drops.append(Drop(place=place, reason=str(error).removeprefix(f"{place}: ")))


def _read_line(place: str, line: str, image: Image, layout: _Layout) -> Instance:
    try:
        number, *fractions = map(float, line.split())
    except ValueError as error:
        raise DatasetError(f"{place}: {line[:60]!r} is no line of numbers: correct it") from error
    category_id = as_whole(number)
    if category_id is None or category_id not in layout.names:
        raise DatasetError(f"{place}: class {number:g} has no name in {layout.path}: add it")
    # Not-a-number fails the comparison.
    if not all(-1 <= fraction <= 2 for fraction in fractions):
        raise DatasetError(f"{place}: has a number that is no fraction of the image: correct it")
    if layout.has_keypoints:
        fractions = fractions[:4]
    sizes = (image.width, image.height)
    polygons, bbox = [], None
    if len(fractions) == 4:
        x, y, width, height = (f * sizes[n % 2] for n, f in enumerate(fractions))
        bbox = [x - width / 2, y - height / 2, width, height]
    elif len(fractions) >= 6 and len(fractions) % 2 == 0:
        polygons = [[f * sizes[n % 2] for n, f in enumerate(fractions)]]
    else:
        raise DatasetError(
            f"{place}: {1 + len(fractions)} numbers are neither a box (5) nor a polygon (7, 9, "
            "...): correct it"
        )
    return Instance(
        place=place, category_id=category_id, segmentation=polygons, bbox=bbox, is_crowd=False
    )
