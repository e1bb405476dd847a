"""The command `train` makes a panoptic model from label sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands.options import (
    FormatIfAny,
    JsonFile,
    OutFolder,
    Overwrite,
    keep_dataset,
    open_dataset,
    refuse_file,
    tell,
    write_answer,
)
from annotools.commands.places import READS, Commands, Reads, Writes
from annotools.commands.tables import console, count_of, number, table
from wsps.commands.options import RecipeChanges, RecipeFile, read_recipe_kept
from wsps.recipe import DEFAULT_STUDENT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from annotools.formats.source import Source
    from annotools.records import Dataset
    from wsps.detections import GivenDetections
    from wsps.recipe import Recipe
    from wsps.training.board import Board

ROUNDS_ELSEWHERE = (
    "refinement.rounds makes labels, with `annotools pseudo-label --rounds`; train learns from the "
    "labels that it is given"
)

NOTHING_TO_LEARN = {
    "semantic": "no pixel of their crops has a label",
    "detector": "no crop has a box",
    "instance": "no detection fits an instance of the labels; more detector.steps may find some, "
    "or a lower instance.score_threshold",
}
"""Why a step of a stage has no loss."""

ENDED = {None: "", True: "flat", False: "not flat"}
"""What is said of a loss, by whether it had converged before the steps ran out."""

SHOWN_PHOTOS = 4
"""Of so many photos TensorBoard gets pictures of predictions."""

app = Commands()


@app.command()
def train(
    labels: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR|FILE.json",
            help="A label set, as convert --to full and pseudo-label write it, or any COCO "
            "panoptic list; repeat it to train on several.",
        ),
        Reads(closed=True),
    ],
    photos: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR",
            help="The folder of their photos, by file name, one for all label sets or one for "
            "each; with --format the root of the dataset that they were made from.",
        ),
        READS,
    ],
    out: OutFolder,
    recipe: RecipeFile = None,
    changes: RecipeChanges = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and augmentation.")] = 0,
    student: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The segmenter: li2018, the paper's, or mask-rcnn, Mask R-CNN for things and the "
            "same semantic network for stuff.",
        ),
    ] = DEFAULT_STUDENT,
    start_from: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Go on with the networks of this run; its categories may be others, and those of "
            "the same name keep what they learnt.",
        ),
        Reads(closed=True),
    ] = None,
    detections: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="A COCO results file with detections in the photos, from any detector: none is "
            "trained then, and predict needs detections too.",
        ),
        READS,
    ] = None,
    format_name: FormatIfAny = None,
    split: Annotated[
        str | None, typer.Option(help="The part of the dataset of --format; train if absent.")
    ] = None,
    loaders: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Processes that make batches ahead, which change no result; if absent none on the "
            "CPU and up to 8 for a GPU.",
        ),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write losses and rates there for TensorBoard."),
        Writes(folder=True),
    ] = None,
    overwrite: Overwrite = False,
    json_file: JsonFile = None,
) -> None:
    """Train a panoptic model on labels of any kind, full and pseudo-labels together.

    Each image has a label in one of the label sets, which have the same categories. Each kind of
    label is drawn equally often. The semantic network comes first, then the detector, where
    somebody was asked for boxes, and then, with li2018, the instance subnetwork with the semantic
    network end to end. DIR gets a checkpoint for each stage and manifest.json. A run that was
    stopped goes on where it was when it is repeated.

    Detections of a file are found by image id. Each has category_id, of a thing of the labels, bbox
    (x, y, width, height in pixels of the photo) and score. Those above instance.score_threshold
    count, and at most instance.max_detections of an image. Give those of a detector that did not
    learn from these photos: it would be surer of them than of any others.

    [bold]Examples[/bold]

    \b
    annotools train --labels pseudo --photos photos --recipe resnet50 --out run
    annotools train --labels full --labels pseudo --photos photos --out run
      --set semantic.steps=400
    annotools train --labels pseudo --photos CITYSCAPES --format cityscapes
      --recipe li2018-cityscapes --out run
    annotools train --labels coco/annotations/panoptic_train2017.json
      --photos coco/train2017 --recipe resnet50 --out coco-run
    annotools train --labels voc --photos voc/JPEGImages --recipe resnet50
      --start-from coco-run --out voc-run
    annotools train --labels pseudo --photos photos --detections boxes-train.json --out run
    annotools train --labels pseudo --photos photos --student mask-rcnn --out rival
    torchrun --nproc-per-node 4 --no-python annotools train --labels voc
      --photos voc/JPEGImages --recipe resnet50 --out voc-run
    """  # noqa: D301
    from annotools.formats.source import open_source
    from wsps.device import choose_device, count_loaders
    from wsps.label_sets import read_label_sets
    from wsps.networks.model import check_segmenter
    from wsps.processes import is_main, join_processes
    from wsps.recipe_files import default_recipe
    from wsps.students import check_given, find_student
    from wsps.training.board import Board
    from wsps.training.finished_runs import read_summary
    from wsps.training.train import read_given
    from wsps.training.train import train as train_run

    find_student(student)
    join_processes()
    source = _name_source(photos, format_name, split)
    settings = read_recipe_kept(recipe or default_recipe(format_name), changes or ())
    if detections is not None:
        check_given(student, settings.instance)
    check_segmenter(settings)
    if settings.refinement.rounds > 0 and is_main():
        tell([ROUNDS_ELSEWHERE])
    if source is not None:
        open_dataset(source)
    # Read before training as well as by it, because one wants to know before the first hour.
    label_set = read_label_sets(labels, photos if source is None else ())
    keep_dataset(label_set.labels)
    given = read_given(detections, label_set, settings)
    device = choose_device().type
    if is_main():
        tell(() if given is None else given.remarks)
        console().print(_describe(label_set.images_by_kind, device), soft_wrap=True)
    board = Board(tensorboard) if tensorboard is not None and is_main() else None
    train_run(
        labels,
        source or photos,
        settings,
        seed,
        out,
        student=student,
        start=start_from,
        detections=detections,
        loaders=count_loaders() if loaders is None else loaders,
        board=board,
        overwrite=overwrite,
    )
    if not is_main():
        return
    if board is not None:
        photos_of = label_set.labels if source is None else open_source(source)
        _show_predictions(board, out, label_set.labels, photos_of, given)
    # Taken from the file of the run, so that the two cannot tell different things.
    summary = read_summary(out)
    _print_run(summary, settings, out, are_given=detections is not None)
    write_answer(json_file, {"run": str(out), "device": device, **summary})


def _name_source(photos: list[Path], format_name: str | None, split: str | None) -> "Source | None":
    """Return the dataset that has the photos, None where they are files of folders."""
    from annotools.formats.source import Source

    if format_name is not None and len(photos) > 1:
        raise typer.BadParameter("--photos: is one dataset with --format: give it once")
    if format_name is not None:
        # Photos without a label need not be there, and of one with a label that lacks its photo
        # `read_examples` tells.
        return Source(
            format_name=format_name, root=photos[0], split=split or "train", allow_missing=True
        )
    if split is not None:
        raise typer.BadParameter("--split: is of a dataset: give its --format")
    for place in photos:
        refuse_file(place)
    return None


def _show_predictions(
    board: "Board",
    run: Path,
    labels: "Dataset",
    photos: "Dataset",
    given: "GivenDetections | None",
) -> None:
    """Write what the run sees in some of the photos that it learnt from."""
    from wsps.prediction import draw_overlay
    from wsps.students import predict
    from wsps.training.finished_runs import load_model

    model = load_model(run)
    shown = [image for image in photos.images if image.image_id in labels.image_of]
    for image in shown[:SHOWN_PHOTOS]:
        photo = photos.read_photo(image)
        found = None if given is None else given.of(image.image_id)
        label = predict(model, photo, image.image_id, found).label
        picture = draw_overlay(photo, label, model.categories)
        board.add_picture("predictions", str(image.image_id), 0, picture)


def _describe(images: "Mapping[str, int]", device: str) -> str:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in images.items())
    where = "a GPU" if device == "cuda" else "the CPU"
    return f"Training on {count_of(sum(images.values()), 'image')} ({kinds}), on {where}."


def _lacking(stage: str, began: "Mapping[str, Any] | None") -> str:
    """Return what is told of a network of which the run that it starts from has not all."""
    parts = {} if began is None else began["taken"].get(stage, {})
    if not parts or parts["taken"] == parts["tensors"]:
        return ""
    missing = parts["tensors"] - parts["taken"]
    return f", {missing:,} of its {parts['tensors']:,} tensors without the run it starts from"


def _print_run(
    summary: "Mapping[str, Any]", recipe: "Recipe", out: Path, *, are_given: bool
) -> None:
    """Print how each stage ended, where its checkpoint is, and how to predict."""
    stages, began = summary["stages"], summary["began"]
    steps = {stage: getattr(recipe, stage).steps for stage in stages}
    rows = []
    for stage, end in stages.items():
        if end is not None:
            path, loss = str(out / f"{stage}.pt"), number(end["loss"], digits=3)
            rows.append((stage, path, f"{end['steps']:,}", loss, ENDED[end["converged"]]))
    heads = ("stage", "checkpoint", "steps", "last loss", "ended")
    # Where the recipe fixes all steps there is nothing to say of their end.
    shown = len(heads) if any(row[-1] for row in rows) else len(heads) - 1
    screen = console()
    screen.print(table(heads[:shown], [row[:shown] for row in rows], left=2))
    # The last stage needs boxes, or detections.
    if list(stages.values())[-1] is None:
        untrained = "instance subnetwork" if are_given else "detector"
        screen.print(f"No image's label says what boxes there are: no {untrained} was trained.")
    tell(
        f"{stage}: {end['steps_without_loss']:,} of {end['steps']:,} steps had nothing to learn "
        f"from: {NOTHING_TO_LEARN[stage]}"
        for stage, end in stages.items()
        if end is not None and end["steps_without_loss"]
    )
    tell(
        f"{stage}: made no step, and is as it began{_lacking(stage, began)}: set {stage}.steps"
        for stage, end in stages.items()
        if end is not None and end["steps"] == 0
    )
    tell(
        f"{stage}: ended after {end['steps']:,} steps, as its views are few: raise views.per_photo"
        for stage, end in stages.items()
        if end is not None and 0 < end["steps"] < steps[stage] and end["converged"] is None
    )
    tell(
        f"{stage}: its loss was not flat within {end['steps']:,} steps: raise {stage}.steps"
        for stage, end in stages.items()
        if end is not None and end["converged"] is False
    )
    needed = "--detections FILE.json " if are_given else ""
    screen.print(
        f"predict with it: annotools predict {out} PHOTOS {needed}--out DIR", soft_wrap=True
    )
