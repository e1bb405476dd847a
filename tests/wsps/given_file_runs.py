"""A small dataset, the weak labels bought of it, and runs of `pseudo-label` on their files."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from typer.testing import CliRunner

from annotools.cli import app as annotools_app
from annotools.formats import read_dataset
from annotools.formats.panoptic_folder import write_label, write_label_set
from annotools.records import Dataset, Image
from tests.builders import make_categories, make_label
from tests.wsps.pseudo_label_runs import run_command

QUICK = (
    *("--recipe", "small", "--set", "classifier.steps=2"),
    *("--set", "descent.batch_size=2"),
)
ROUND = (
    *QUICK,
    *("--set", "semantic.steps=1", "--set", "views.crop_size_wh=[32, 32]"),
    *("--set", "refinement.crf.iterations=1", "--rounds", 1),
)


def make_street(root: Path, *, background: bool) -> Dataset:
    """A panoptic dataset of two photos, with stuff or a background, one of them without a thing."""
    categories = make_categories(
        things=("car", "dog"),
        stuff=("sea",) if background else ("road", "sky"),
        background=background,
    )
    rng = np.random.default_rng(0)
    first, second = (category.category_id for category in categories.categories[:2])
    last = categories.categories[-1].category_id
    rows = np.full((40, 60), 1, dtype=np.int32)
    rows[20:] = 1 if background else 2
    things = rows.copy()
    things[10:30, 10:30], things[22:38, 25:50] = 3, 4
    kinds = {1: first, 2: first if background else second, 3: last, 4: last}
    labelled = []
    (root / "train").mkdir(parents=True)
    # The file's order is not that of the ids.
    for image_id, segments in (("b", things), ("a", rows)):
        image = Image(image_id=image_id, file_name=f"{image_id}.png", width=60, height=40)
        cv2.imwrite(
            str(root / "train" / image.file_name), rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)
        )
        label = make_label(segments.tolist(), kinds, groups=[4], image_id=image_id)
        labelled.append((image, write_label(root, image_id, image, label)))
    write_label_set(root, categories, labelled)
    return read_dataset("coco-panoptic", root, "train")


def convert(root: Path, out: Path, *arguments: object) -> None:
    given = ["convert", root, "--format", "coco-panoptic", "--out", out, *arguments]
    done = CliRunner().invoke(annotools_app, [str(argument) for argument in given])
    assert done.exit_code == 0, done.output + repr(done.exception)


def run_well(*arguments: object) -> str:
    done = run_command(*arguments)
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


def given_files(weak: Path) -> list[object]:
    return [
        argument
        for option, name in (("--boxes", "boxes.json"), ("--tags", "tags.json"))
        if (weak / name).is_file()
        for argument in (option, weak / name)
    ]


def labels_in(out: Path) -> dict[str, bytes]:
    paths = [*out.rglob("*.png"), out / "panoptic.json", out / "boxes.json"]
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in paths if ".state" not in p.parts}


PHOTO_B = {"id": 7, "file_name": "b.png", "width": 60, "height": 40}
PHOTO_A = {"id": 8, "file_name": "a.png", "width": 60, "height": 40}


def write_detection(path: Path, **changes: Any) -> Path:
    """A detection file as annotation tools export rectangles, with a crowd."""
    content = {
        "images": [PHOTO_B, PHOTO_A],
        "categories": [{"id": 1, "name": "dog"}, {"id": 5, "name": "car"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 5,
                "segmentation": [],
                "bbox": [9.6, 10, 20.7, 20],
            },
            {"id": 2, "image_id": 8, "category_id": 1, "bbox": [40, 5, 15, 30], "iscrowd": 1},
        ],
    }
    path.write_text(json.dumps(content | changes))
    return path
