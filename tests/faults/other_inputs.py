"""Tiny inputs without a fault that are no dataset: settings, plans, predictions, rows, networks."""

import contextlib
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints
from unittest import mock

import numpy as np

from tests.faults import inputs
from tests.faults.in_process import run_here
from tests.faults.trees import hostile_value, write_tree
from tests.studies.study_builders import make_result

RECIPE = (
    "views = { crop_size_wh = [32, 32], scale_range = [0.8, 1.25] }\n"
    "descent = { optimizer = 'adam', batch_size = 1, weight_decay = 0.0005 }\n"
    "tags = { cam_threshold = 0.5, crop_size_wh = [16, 16] }\n"
    "prediction = { iterations = 2 }\n"
    "refinement = { rounds = 0, min_score = 0.9, crf = { iterations = 1 } }\n"
    + "".join(
        f"{stage} = {{ steps = 1, learning_rate = 0.001, schedule = 'cosine' }}\n"
        for stage in ("classifier", "semantic", "detector", "instance")
    )
)


def times(folder: Path) -> None:
    """A table of annotation times of one's own, and what to price."""
    inputs.coco_instances(folder)
    actions = (
        ("box", "instance", 7),
        ("tag", "class present in an image or crop", 1),
        ("tag_question", "class asked about and absent", 1),
        ("mask", "instance", 79.2),
        ("full_image", "image with things and stuff", 5400),
    )
    lines = ['name = "own"', 'note = "mine"']
    for name, unit, seconds in actions:
        lines += [
            f"[actions.{name}]",
            f"seconds = {seconds}\nlow = {seconds * 0.5}\nhigh = {seconds * 2}",
            f'unit = "{unit}"\nsource = "a stopwatch"\nmeasured = true\nquality_control = false',
        ]
    inputs.write_text(folder / "times.toml", "\n".join(lines) + "\n")


def statistics(folder: Path) -> None:
    """Means per image in place of a dataset."""
    inputs.write_text(
        folder / "statistics.toml",
        'name = "own"\nsource = "counted"\nnum_images = 100\nnum_thing_classes = 20\n'
        "num_stuff_classes = 0\ncrops = 1\nthings_per_image = 2.8\nthing_classes_present = 1.5\n"
        "thing_tags_per_crop = 1.5\n",
    )


def annotator(folder: Path) -> None:
    """A careless annotator, and a dataset for it."""
    inputs.coco_panoptic(folder)
    inputs.write_text(
        folder / "annotator.toml",
        "boxes = { corner_shift = 0.1, miss_rate = { small = 0.5, medium = 0.3 }, "
        "duplicate_rate = 0.2 }\ntags = { miss_rate = 0.5, false_rate = 0.1 }\n"
        "polygons = { tolerance = 1, boundary_shift = 2 }\npoints = { shift = 4 }\n",
    )


def plan(folder: Path) -> None:
    """What `plan` bought of a dataset."""
    inputs.coco_panoptic(folder)
    place = "data --format coco-panoptic --crops 12x16"
    _run(folder, f"plan {place} --mix boxes+tags=1 --mix full=1 --budget 9 --out plan.json")


def recipe(folder: Path) -> None:
    """A recipe, and a folder of photos."""
    inputs.write_text(folder / "recipe.toml", RECIPE)
    inputs.write_picture(folder / "photos/a.png", inputs.photo())


def hostile_setting(rng: random.Random) -> tuple[str, ...]:
    """A `--set` of a recipe with a hostile value."""
    from wsps.recipe import Recipe

    names = [*_setting_names(Recipe), "nothing", "views.nothing", "views", "", "a b.c", "inherit"]
    value = write_tree(hostile_value(rng, "toml"), "toml")
    text = f"{rng.choice(names)}{rng.choice(('=', '=', '=', '==', ''))}{value}"
    # What no shell can hand over.
    return ("--set", text.replace("\0", "").replace("\ud800", ""))


def study(folder: Path) -> None:
    """A study of two mixes that is not begun."""
    inputs.scenes(folder)
    inputs.write_text(
        folder / "study.toml",
        'name = "small"\nbudgets_hours = [3]\nseeds = [0]\ntimes = "li2018"\n'
        'dataset = { format = "scenes", root = "world.toml" }\n'
        'mixes = { full = { full = 1 }, weak = { "boxes+tags" = 1, none = 1 } }\n'
        "[recipe]\n" + RECIPE.replace("rounds = 0", "rounds = 1"),
    )


@contextlib.contextmanager
def quick() -> Iterator[None]:
    """Let `--dry-run` take for granted what it would measure, and let reports have no picture."""
    from studies.running.timing import Timing

    def draw_nothing(_results: object, *paths: Path) -> None:
        for path in paths:
            path.write_bytes(b"")

    constant = Timing(
        label_seconds={},
        step_seconds=dict.fromkeys(("semantic", "detector", "instance"), 1.0),
        predict_seconds=0.5,
        label_bytes=10.0,
        network_bytes=1000.0,
        feature_bytes=7.0,
    )
    with (
        mock.patch("studies.running.timing.time_parts", return_value=constant),
        mock.patch("studies.report.draw_quality_vs_cost", draw_nothing),
    ):
        yield


def rows(folder: Path) -> None:
    """A study's folder with the rows of its trials."""
    study(folder)
    actions = {"box": 12.0, "tag": 40.0}
    for mix in ("full", "weak"):
        for budget in (1.6, 2.2, 3.0):
            for seed in (0, 1):
                score = 0.1 + 0.05 * budget + 0.01 * seed
                row = make_result(
                    mix,
                    budget,
                    seed,
                    score,
                    actions=actions,
                    class_pq={"car": score},
                    steps={"semantic": 1},
                    miou_semantic=score,
                )
                # Without a seal, as rows that were made elsewhere: the seal would refuse all.
                name = f"run/trials/{mix}_{budget:g}h_seed{seed}/result.json"
                inputs.write_json(folder / name, asdict(row))
    from annotools.settings import as_table
    from studies.study import load_study

    with contextlib.chdir(folder):
        table = as_table(
            load_study(Path("study.toml"), ["budgets_hours=[1.6,2.2,3]", "seeds=[0,1]"])
        )
    table["dataset"]["root"] = "../world.toml"
    inputs.write_json(folder / "run/study.json", table)


def panoptic_results(folder: Path) -> None:
    """Truth and prediction as COCO panoptic has them."""
    inputs.write_panoptic(folder / "truth.json")
    inputs.write_panoptic(folder / "prediction.json", scored=True)


def coco_results(folder: Path) -> None:
    """True instances, and detections with masks."""
    inputs.coco_instances(folder)
    path = folder / "data/annotations/instances_train.json"
    path.rename(folder / "truth.json")
    truth = json.loads((folder / "truth.json").read_text())
    inputs.write_json(
        folder / "results.json",
        [
            {key: entry[key] for key in ("image_id", "category_id", "segmentation")}
            | {"score": 0.9 - 0.1 * number}
            for number, entry in enumerate(truth["annotations"])
            if isinstance(entry["segmentation"], dict)
        ],
    )


def cityscapes_results(folder: Path) -> None:
    """A city, label maps of a prediction, and masks of another."""
    inputs.cityscapes(folder)
    image = "aachen_000000_000019"
    ids = np.full((inputs.HEIGHT, inputs.WIDTH), 7, dtype=np.uint8)
    ids[2:9, 3:12] = 26
    for city in ("aachen", "ulm"):
        name = image.replace("aachen", city)
        inputs.write_picture(folder / f"maps/{name}_ours.png", ids)
        inputs.write_picture(folder / f"masks/parts/{name}.png", (ids == 26) * np.uint8(255))
        inputs.write_text(folder / f"masks/{name}_pred.txt", f"parts/{name}.png 26 0.9\n")


def given_labels(folder: Path) -> None:
    """Boxes and tags that annotators gave."""
    inputs.coco_panoptic(folder)
    inputs.write_text(folder / "recipe.toml", RECIPE)
    for number in (1, 2):
        inputs.write_picture(folder / f"photos/{number}.jpg", inputs.photo())
    place = "data --format coco-panoptic --crops 12x16"
    _run(folder, f"convert {place} --to boxes+tags --out weak")
    for name in ("boxes.json", "tags.json"):
        (folder / "weak" / name).rename(folder / name)
    (folder / "weak/manifest.json").unlink()


def detections(folder: Path) -> None:
    """A model, a photo and detections in it."""
    model(folder)
    inputs.write_json(
        folder / "detections.json",
        [{"image_id": "a", "category_id": 12, "bbox": [2, 3, 10, 9], "score": 0.9}],
    )


def weights(folder: Path) -> None:
    """Weights of the smallest backbone, and a folder of photos."""
    import torch

    from wsps.networks.backbone import build_backbone
    from wsps.recipe import BackboneSettings

    recipe(folder)
    layers = build_backbone(BackboneSettings(name="small")).state_dict()
    torch.save(layers, folder / "weights.pt")


def model(folder: Path) -> None:
    """A trained model of one step a stage, and a photo."""
    study(folder)
    inputs.write_text(folder / "recipe.toml", RECIPE)
    place = "world.toml --format scenes"
    _run(folder, f"convert {place} --to full --out full")
    _run(folder, f"train --labels full --photos {place} --recipe recipe.toml --out run")
    inputs.write_picture(folder / "photos/a.png", inputs.photo())


def _run(folder: Path, command: str) -> None:
    outcome = run_here(command.split(), folder)
    assert outcome.status == 0, (command, outcome)


def _setting_names(table: Any, above: str = "") -> list[str]:
    """Return the dotted names of all settings."""
    hints = get_type_hints(table)
    names = []
    for field in fields(table):
        name = f"{above}{field.name}"
        nested = is_dataclass(hints[field.name])
        names += _setting_names(hints[field.name], f"{name}.") if nested else [name]
    return names
