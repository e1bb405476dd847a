"""Find where a YOLO folder has its classes, its photos and their labels, as tools leave them.

`data.yaml` or Darknet's `obj.data` names the classes and says where the photos of each split are;
without it classes are a name a line in `classes.txt` or `obj.names`, and photos are in the list
`SPLIT.txt`, in `images/SPLIT`, `SPLIT/images` or `SPLIT`, or, where there are no splits, in
`images`, `obj_train_data` or the root. The labels of `images/a.jpg` are in `labels/a.txt`, or in
`a.txt` beside the photo.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from annotools.errors import DatasetError
from annotools.formats.forms import as_whole
from annotools.formats.photo_places import (
    PhotoFolder,
    describe_folder,
    exists,
    is_there,
    visible_files,
    without_hash,
)
from annotools.formats.photos import PHOTO_SUFFIXES
from annotools.formats.split_names import DEFAULT_SPLIT, names_of
from annotools.read_files import read_lines, read_short
from annotools.records import Drop

_CLASS_FILES = ("classes.txt", "obj.names", "_darknet.labels")
_MAX_TABLE_BYTES = 2**20
MAX_LABEL_BYTES = 2**26
_OTHER_SPLITS = ("val", "valid", "test")
_NOTHING = ("", "~", "null", "Null", "NULL")
"""How YAML writes that there is no value."""


@dataclass(frozen=True, kw_only=True)
class YoloLayout:
    """What a folder has of a split.

    `names` are those of the classes by number, and `path` is of the file that has them; `photos`
    are by their name without suffix, and those that a list names in vain are `missing`.
    """

    path: Path
    names: Mapping[int, str]
    photos: Mapping[str, Path]
    missing: tuple[Path, ...]
    label_folders: tuple[Path, ...]
    lists_photos: bool
    has_given_photos: bool
    has_keypoints: bool


def find_layout(root: Path, split: str, given: Path | None) -> YoloLayout:
    """Return what a folder has of a split.

    Args:
        root: the folder, or its `data.yaml` or `obj.data`.
        split: names an entry of that file, or the folder of photos.
        given: the folder of the photos, in place of all others.

    Raises:
        DatasetError: when classes or photos are missing, a file is not what it should be, or two
            photos have the same labels.
    """
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
    return YoloLayout(
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
    if isinstance(listed, str) and listed not in _NOTHING and table_path is not None:
        path = table_path.parent / listed
        return _read_names(PhotoFolder(folder=table_path.parent).find(listed) or path)
    if isinstance(listed, list | dict) and table_path is not None:
        pairs = (dict(enumerate(listed)) if isinstance(listed, list) else listed).items()
        # An alias in a name could stand for ever so much text.
        numbered = {as_whole(i): name for i, name in pairs if isinstance(name, str)}
        if not numbered or None in numbered or len(numbered) < len(pairs):
            raise DatasetError(f"{table_path}: names is no list of classes: give their names")
        return {i: name for i, name in numbered.items() if i is not None}, table_path
    paths = (folder / name for folder in folders for name in _CLASS_FILES)
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        where = table_path or folders[0]
        raise DatasetError(
            f"{where}: there are no names of classes, neither names in data.yaml nor a file "
            f"{' or '.join(_CLASS_FILES)}: add them; {folders[0]} has {describe_folder(folders[0])}"
        )
    return _read_names(found)


def _read_names(path: Path) -> tuple[dict[int, str], Path]:
    lines = read_lines(path, _MAX_TABLE_BYTES)
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
    found = next((place for place in (*first, *later) if exists(place)), None)
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
        for path in visible_files(source):
            if path.suffix.lower() in PHOTO_SUFFIXES:
                yield path
    elif source.is_file() and source.suffix == ".txt":
        folder = PhotoFolder(folder=source.parent)
        lines = read_lines(source, MAX_LABEL_BYTES)
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


def pair_labels(layout: YoloLayout) -> dict[str, Path]:
    """Return the file of labels of each photo that has one, by the photo's name.

    Raises:
        DatasetError: when none has one.
    """
    label_of = {}
    uploads = _find_uploads(layout.label_folders) if layout.has_given_photos else {}
    for name, path in layout.photos.items():
        beside = [path.with_suffix(".txt")]
        parts = path.parts
        if "images" in parts:
            last = len(parts) - 1 - parts[::-1].index("images")
            beside.insert(0, Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt"))
        places = [folder / f"{name}.txt" for folder in layout.label_folders]
        # Photos that were given may lie beside labels of another kind.
        places = [*places, *beside] if layout.has_given_photos else [*beside, *places]
        found = next((place for place in places if place.is_file()), uploads.get(path.stem))
        if found is not None:
            label_of[name] = found
    if not label_of:
        path = next(iter(layout.photos.values()))
        raise DatasetError(
            f"{path}: neither this photo nor another has a file of labels, {path.stem}.txt beside "
            f"it or in {', '.join(map(str, layout.label_folders)) or 'a folder labels'}: check root"
        )
    return label_of


def _find_uploads(folders: Sequence[Path]) -> dict[str, Path]:
    """Return files of labels by the names that their photos had before they were uploaded."""
    paths = (path for folder in folders for path in sorted(folder.glob("*-*.txt")))
    named = ((without_hash(path.stem), path) for path in paths)
    return {name: path for name, path in named if name != path.stem}


def find_without_photo(layout: YoloLayout, label_of: Mapping[str, Path]) -> list[Drop]:
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
    text = read_short(path, MAX_LABEL_BYTES).decode("utf-8-sig", errors="replace").strip()
    return not text or text.split(maxsplit=1)[0].replace(".", "").isdecimal()
