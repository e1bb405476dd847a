"""The students side by side: full labels, the same backbone, images and steps, from scratch.

    OMP_NUM_THREADS=1 python benchmarks/students.py nuclei ROOT --out DIR [--steps 250,500]
    OMP_NUM_THREADS=1 python benchmarks/students.py cityscapes ROOT --out DIR [--seeds 3]
    OMP_NUM_THREADS=1 python benchmarks/students.py nuclei ROOT --out DIR --vary NAME=A,B

At each length of training every student begins anew, with a schedule of its own. Of a length of N
steps `mask-rcnn` spends N on the semantic network and N on the detector; of `li2018` the instance
stage has half of the former, or the share that `--of` says, in which the semantic network learns as
well. It prints a Markdown row as soon as a student is scored, and at the end their differences:
each is of one seed, and the interval is Student's over the seeds. DIR keeps labels and finished
runs for the next time.

With `--vary` the runs predict other nuclei, which are neither learnt from nor scored, with each
value of a setting; the study of nuclei has the best for them.

With `--swap` each run of `li2018` predicts the photos that are scored with the detections of the
run of `mask-rcnn`, too: what is left of their difference is not the detector's.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import torch
import typer
from convert import describe_machine
from instance import describe_difference

import studies
from annotools.drawing.labels import encode_png
from annotools.files import write_json
from annotools.formats.json_values import read_json
from annotools.formats.panoptic_folder import write_label, write_label_set
from annotools.formats.source import Source, open_source
from annotools.label_maps import with_map
from annotools.parallel import run_parallel
from annotools.records import Dataset, FullLabel, Image, Photo
from wsps.evaluation.average_precision import THRESHOLDS
from wsps.evaluation.overlaps import to_runs
from wsps.inference import predict_images
from wsps.prediction import see
from wsps.pseudo_labels.request import LabelRequest
from wsps.pseudo_labels.rounds import pseudo_label
from wsps.recipe import Recipe
from wsps.recipe_files import read_recipe
from wsps.scoring.evaluate import score_prediction
from wsps.students import STUDENTS
from wsps.training.finished_runs import load_model
from wsps.training.train import train

SCORES = ("pq", "pq_things", "pq_stuff", "miou", "ap_vol")

CITIES = {"train": ("aachen", "jena", "zurich"), "val": ("hamburg", "hanover")}

CROP_WH = (500, 400)

CROPS_XY = (5, 3)
"""Crops of a photo, evenly spread from one side to the other."""


class Data(StrEnum):
    """What is trained on."""

    nuclei = "nuclei"
    cityscapes = "cityscapes"


RECIPES: dict[Data, tuple[str | Path, tuple[str, ...]]] = {
    # Full labels need no rounds.
    Data.nuclei: (Path(studies.__path__[0]) / "recipes/nuclei.toml", ("refinement.rounds=0",)),
    Data.cityscapes: ("small", ("views.crop_size_wh=[256, 192]",)),
}
"""By which the students learn, a name or the file of a study, and what is changed of it."""

CHOSEN_ON = "train[25%:38%]"
"""The nuclei on which settings of prediction are chosen: those after the first hundred."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One training of a student, in a folder."""

    student: str
    steps: int
    seed: int
    folder: Path


def main(
    data: Annotated[Data, typer.Argument(help="Of which dataset the root is.")],
    root: Annotated[Path, typer.Argument(help="Of a dataset in COCO's or Cityscapes' layout.")],
    out: Annotated[Path, typer.Option(help="Keeps labels and runs for the next time.")],
    steps: Annotated[str, typer.Option(help="Lengths of training.")] = "250,500,1000,2000",
    seeds: Annotated[int, typer.Option(min=2, help="How many.")] = 3,
    workers: Annotated[int, typer.Option(min=1, help="Trainings at the same time.")] = 1,
    of: Annotated[int, typer.Option(min=1, help="One of so many steps is end to end.")] = 2,
    train_images: Annotated[int, typer.Option(help="Of nuclei, the first ones.")] = 100,
    val_images: Annotated[int, typer.Option(help="Of nuclei, the first ones.")] = 60,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Of the recipe.")] = None,
    vary: Annotated[
        str | None,
        typer.Option(metavar="NAME=A,B", help="Compare values of a setting on other nuclei."),
    ] = None,
    swap: Annotated[bool, typer.Option("--swap", help="Detections of the other, too.")] = False,
) -> None:
    """Train, score and print Markdown rows."""
    name, changes = RECIPES[data]
    given = read_recipe(name, (*changes, *(overrides or ())))
    if data is Data.nuclei:
        learnt, scored = (
            Source(format_name="coco-instances", root=root, split=split, max_images=limit)
            for split, limit in (("train", train_images), ("val", val_images))
        )
    else:
        learnt, scored = (cut_crops(root, out / split, CITIES[split]) for split in CITIES)
    images = open_source(learnt).images[: learnt.max_images]
    labels = out / "labels"
    kinds = {image.image_id: "full" for image in images}
    pseudo_label(LabelRequest(source=learnt, labels=kinds, recipe=given), labels)
    typer.echo(f"{describe_machine()} {torch.get_num_threads()} threads of torch.")
    typer.echo(f"{len(images)} images of {data.value} to learn from. Percent.\n")
    typer.echo(f"| steps | seed | student | {' | '.join(SCORES)} | training (s) |")
    typer.echo("| --- " * (len(SCORES) + 4) + "|")
    lengths = [int(text) for text in steps.split(",")]
    arms = [
        Arm(student=name, steps=length, seed=seed, folder=out / "runs" / f"{name}-{length}-{seed}")
        for length in lengths
        for seed in range(seeds)
        for name in STUDENTS
    ]
    measure = partial(score, given=given, labels=labels, learnt=learnt, scored=scored, of=of)
    found: dict[Arm, dict[str, float]] = {}
    # The longest first: at the end no processor waits for it.
    for arm, scores in run_parallel(measure, arms[::-1], workers):
        print_row(arm, scores)
        found[arm] = scores
    for length in lengths:
        of_length = [arm for arm in arms if arm.steps == length]
        print_differences(
            length, {name: [found[a] for a in of_length if a.student == name] for name in STUDENTS}
        )
    if vary is not None:
        print_values(arms, replace(learnt, split=CHOSEN_ON, max_images=None), vary, workers)
    if swap:
        typer.echo("\nli2018 with the detections of mask-rcnn\n\n| steps | seed | pq |")
        typer.echo("| --- | --- | --- |")
        pairs = [(arm, other) for arm in arms for other in arms if is_pair(arm, other)]
        for arm, scores in run_parallel(partial(swap_detections, source=scored), pairs, workers):
            pq = np.nan if scores["pq"] is None else 100 * scores["pq"]
            typer.echo(f"| {arm.steps} | {arm.seed} | {number(pq)} |")


def share_steps(recipe: Recipe, length: int, of: int) -> Recipe:
    """Return the recipe of `li2018` with so many steps, one of so many of them end to end."""
    last = length // of
    return replace(
        recipe,
        semantic=replace(recipe.semantic, steps=length - last, schedule="cosine"),
        detector=replace(recipe.detector, steps=length, schedule="cosine"),
        instance=replace(recipe.instance, steps=last),
    )


def score(
    arm: Arm, given: Recipe, labels: Path, learnt: Source, scored: Source, of: int
) -> tuple[Arm, dict[str, float]]:
    """Return what was scored, in percent, NaN where undefined, and the seconds of training."""
    path = arm.folder / "scores.json"
    if not path.is_file():
        recipe = share_steps(given, arm.steps, of)
        if "instance" not in STUDENTS[arm.student].stages:
            recipe = replace(recipe, semantic=replace(recipe.semantic, steps=arm.steps))
        started = time.perf_counter()
        train([labels], learnt, recipe, arm.seed, arm.folder / "run", student=arm.student)
        seconds = time.perf_counter() - started
        found = score_photos(arm.folder, scored, (), "predictions")
        write_json(path, {**{name: found[name] for name in SCORES}, "seconds": seconds})
    stored = read_json(path, "*.json")
    scores = {name: np.nan if stored[name] is None else 100 * stored[name] for name in SCORES}
    return arm, scores | {"seconds": stored["seconds"]}


def score_photos(
    folder: Path,
    source: Source,
    changes: tuple[str, ...],
    name: str,
    detections: Path | None = None,
) -> dict[str, Any]:
    """Return the scores of a run in a folder, whose predictions get a name there."""
    predict_images(folder / "run", source, folder / name, detections=detections, changes=changes)
    dataset = open_source(source)
    images = dataset.images[: source.max_images]
    truth = [to_runs(dataset.read_label(image)) for image in images]
    return score_prediction(folder / name, truth, dataset.categories, THRESHOLDS["voc"])


def print_values(arms: Sequence[Arm], source: Source, vary: str, workers: int) -> None:
    """Print the PQ of runs that predict photos with each value of `NAME=A,B`, as they come."""
    name, _, values = vary.partition("=")
    typer.echo(f"\n{source.split}\n\n| steps | seed | student | {name} | pq |")
    typer.echo("| --- | --- | --- | --- | --- |")
    tries = [(arm, f"{name}={value}") for arm in arms for value in values.split(",")]
    for arm, change, found in run_parallel(partial(try_value, source=source), tries, workers):
        pq = np.nan if found["pq"] is None else 100 * found["pq"]
        cells = (arm.steps, arm.seed, arm.student, change.partition("=")[2], number(pq))
        typer.echo(f"| {' | '.join(map(str, cells))} |")


def try_value(item: tuple[Arm, str], source: Source) -> tuple[Arm, str, dict[str, Any]]:
    """Return what was tried, and the scores of a run that predicts with a changed setting."""
    arm, change = item
    return arm, change, score_photos(arm.folder, source, (change,), f"with_{change}")


def is_pair(arm: Arm, other: Arm) -> bool:
    """Return whether the arms are of `li2018` and of `mask-rcnn`, with the same steps and seed."""
    students = arm.student, other.student
    same = (arm.steps, arm.seed) == (other.steps, other.seed)
    return same and students == ("li2018", "mask-rcnn")


def swap_detections(pair: tuple[Arm, Arm], source: Source) -> tuple[Arm, dict[str, Any]]:
    """Return an arm, and its scores with the detections of another one in the photos."""
    arm, other = pair
    path = arm.folder / "detections_of_the_other.json"
    model, dataset, entries = load_model(other.folder / "run"), open_source(source), []
    for image in dataset.images[: source.max_images]:
        sight = see(model, [dataset.read_photo(image)])
        found = sight.detections[0]
        height, width = sight.images.shape[2:]
        scale = torch.tensor([image.width / width, image.height / height] * 2)
        for box, index, sure in zip(
            (found.boxes_xyxy.cpu() * scale).tolist(),
            found.class_indices.tolist(),
            found.scores.tolist(),
            strict=True,
        ):
            entries.append(
                {
                    "image_id": image.image_id,
                    "category_id": model.categories.categories[index].category_id,
                    "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                    "score": sure,
                }
            )
    write_json(path, entries)
    return arm, score_photos(arm.folder, source, (), "with_detections_of_the_other", path)


def print_row(arm: Arm, scores: dict[str, float]) -> None:
    """Print what one training came to."""
    values = " | ".join(number(scores[name]) for name in SCORES)
    row = f"| {arm.steps} | {arm.seed} | {arm.student} | {values} | {scores['seconds']:.0f} |"
    typer.echo(row)


def print_differences(length: int, found: dict[str, list[dict[str, float]]]) -> None:
    """Print the means over the seeds, and by how much the first student has more than another."""
    first, *others = found
    for name, rows in found.items():
        means = [fmean(row[key] for row in rows) for key in (*SCORES, "seconds")]
        values = " | ".join(number(mean) for mean in means[:-1])
        typer.echo(f"| {length} | mean | {name} | {values} | {means[-1]:.0f} |")
    for name in others:
        pairs = list(zip(found[first], found[name], strict=True))
        differences = [
            np.array([ours[key] - other[key] for ours, other in pairs]) for key in SCORES
        ]
        values = " | ".join(
            "-" if np.isnan(ones).any() else describe_difference(ones) for ones in differences
        )
        typer.echo(f"| {length} | paired | {first} less {name} | {values} | |")


def number(score: float) -> str:
    """Return a score as the table has it."""
    return "-" if np.isnan(score) else f"{score:.1f}"


def cut_crops(root: Path, out: Path, cities: tuple[str, ...]) -> Source:
    """Write crops of the photos of some cities, with their labels, and return where they are."""
    source = Source(format_name="coco-panoptic", root=out, split="photos")
    if (out / "panoptic.json").is_file():
        return source
    dataset = open_source(Source(format_name="cityscapes", root=root, split="train"))
    entries = []
    (out / "photos").mkdir(parents=True, exist_ok=True)
    for image, photo, label in crops_of(dataset, cities):
        (out / "photos" / image.file_name).write_bytes(encode_png(photo))
        entries.append((image, write_label(out, str(image.image_id), image, label)))
    write_label_set(out, dataset.categories, entries)
    return source


def crops_of(dataset: Dataset, cities: tuple[str, ...]) -> Iterator[tuple[Image, Photo, FullLabel]]:
    """Yield crops of photos whose file names begin with a city, numbered, with their labels."""
    number = 0
    width, height = CROP_WH
    for image in dataset.images:
        if not Path(image.file_name).name.startswith(cities):
            continue
        photo, label = dataset.read_photo(image), dataset.read_label(image)
        for top in np.linspace(0, image.height - height, CROPS_XY[1]).astype(int).tolist():
            for left in np.linspace(0, image.width - width, CROPS_XY[0]).astype(int).tolist():
                place = slice(top, top + height), slice(left, left + width)
                crop = np.ascontiguousarray(label.segment_map[place])
                name = Image(image_id=number, file_name=f"{number}.png", width=width, height=height)
                yield name, photo[place], replace(with_map(label, crop), image_id=number)
                number += 1


if __name__ == "__main__":
    typer.run(main)
