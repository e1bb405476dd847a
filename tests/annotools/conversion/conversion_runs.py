"""Conversions of labels in memory and of drawn scenes, and what they wrote."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from annotools.conversion.convert import Conversion, convert
from annotools.conversion.wanted import Wanted
from annotools.formats.source import Source
from annotools.prices.times import read_times
from annotools.records import LABEL_KINDS
from tests.builders import make_categories, make_label

CATEGORIES = make_categories(things=("car", "bus"))  # road 10, sky 20, car 30, bus 40
TIMES = read_times("li2018")
STREET = make_label(
    [[1, 1, 1, 1], [1, 3, 3, 0], [2, 3, 3, 4], [2, 2, 2, 4]], {1: 20, 2: 10, 3: 30, 4: 40}, [4]
)
EMPTY = make_label([[0, 0], [0, 0]], {})

Memory = Callable[..., Source]


def run(
    source: Source, out: Path, *kinds: str, overwrite: bool = False, **options: Any
) -> Conversion:
    wanted = Wanted(kinds=kinds or LABEL_KINDS, **options)
    return convert(source, wanted, TIMES, out, overwrite=overwrite)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def write_world(folder: Path, count: int) -> Source:
    path = folder / "world.toml"
    path.write_text(f"width = 48\nheight = 48\nnum_train = {count}\nnum_val = 1\n")
    return Source(format_name="scenes", root=path, split="train")
