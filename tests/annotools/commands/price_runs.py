"""Runs of `price` on published statistics and on a small dataset, and what they say."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from annotools.cli import app

TRAIN, TRAINVAL = ("--statistics", "cityscapes-train"), ("--statistics", "cityscapes-trainval")
VERTEX = """\
inherit = "li2018"
[actions.vertex]
seconds = 2
low = 1
high = 4
unit = "corner"
source = "us"
measured = true
quality_control = false
"""


def run_price(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["price", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def price_rows(folder: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    out = folder / "prices.json"
    run_price(*arguments, "--json", str(out))
    return {row["name"]: row for row in json.loads(out.read_text())["kinds"]}


def write_coco(root: Path, crowd: bool = False) -> tuple[str, ...]:
    """8 corners in two parts in one image, 4 corners in the other, and there maybe a crowd."""
    masks: list[tuple[int, Any]] = [
        (1, [[1, 1, 3, 1, 3, 3], [4, 0, 5, 0, 6, 1, 5, 2, 4, 2]]),
        (2, [[1, 1, 3, 1, 3, 3, 1, 3]]),
    ]
    masks += [(2, {"size": [5, 6], "counts": [0, 2, 28]})] * crowd
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 6, "height": 5} for i in (1, 2)],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [
            {"image_id": i, "category_id": 3, "segmentation": x, "iscrowd": int(type(x) is dict)}
            for i, x in masks
        ],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_val.json").write_text(json.dumps(content))
    return (str(root), "--format", "coco-instances", "--split", "val")


def dashes_of(kind: str, printed: str) -> list[str]:
    (line,) = [line for line in printed.splitlines() if line.strip().startswith(f"{kind}  ")]
    return line.strip().removeprefix(kind).split()
