"""The command `pseudo-label` makes label maps from boxes, tags and marks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands.options import (
    DEFAULT_CROPS,
    AllowMissing,
    AnnotatorFile,
    Categories,
    Crops,
    FormatIfAny,
    JsonFile,
    OutFolder,
    Overwrite,
    Split,
    Workers,
    open_dataset,
    parse_size,
)
from annotools.commands.places import READS, Commands, Writes
from wsps.commands.options import RecipeChanges, RecipeFile, read_recipe_kept
from wsps.commands.quality_tables import print_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from annotools.allocation.plan_file import Allocation
    from annotools.formats.source import Source
    from annotools.records import Dataset
    from wsps.recipe import Recipe

app = Commands()


@app.command("pseudo-label")
def pseudo_label(
    out: OutFolder,
    root: Annotated[
        Path | None,
        typer.Argument(help="A fully labelled dataset, whose cheaper labels are used."),
        READS,
    ] = None,
    format_name: FormatIfAny = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="KIND|FILE.json",
            help="boxes, tags, boxes+tags, points, scribbles or coarse for every image, or an "
            "allocation of `annotools plan`: each image its kind, full labels as they are.",
        ),
        READS,
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The photos of --boxes and --tags; of a dataset, if they are not where its format "
            "has them.",
        ),
        READS,
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Boxes that annotators drew, as COCO detection."),
        READS,
    ] = None,
    tags: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json", help="Tags that annotators gave, as `annotools convert` has them."
        ),
        READS,
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Full labels, as COCO panoptic, that measure the result."),
        READS,
    ] = None,
    annotator: AnnotatorFile = None,
    split: Split = "train",
    val_split: Annotated[
        str | None,
        typer.Option(help="Measure the classifier of tags on this split as well."),
    ] = None,
    crops: Crops = None,
    categories: Categories = None,
    recipe_file: RecipeFile = None,
    changes: RecipeChanges = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Times that a network learns from the labels and makes the next ones; replaces "
            "refinement.rounds of the recipe, which is 0 by default.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of mistakes and of all that is trained.")] = 0,
    workers: Workers = 1,
    max_images: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Label only the first so many images; another number needs another DIR, or "
            "--overwrite.",
        ),
    ] = None,
    box_labels: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep labels from boxes there and take those that are: the box_labels of a "
            "study's folder.",
        ),
        Writes(folder=True),
    ] = None,
    maps: Annotated[
        bool,
        typer.Option(
            "--maps",
            help="Also write semantic/NAME.png, 8-bit class indices, 255 for unknown, and "
            "instances/NAME.png, 16-bit instance numbers, 0 for none.",
        ),
    ] = False,
    allow_missing: AllowMissing = False,
    overwrite: Overwrite = False,
    json_file: JsonFile = None,
) -> None:
    """Make label maps from boxes and tags: real ones, or those that a full dataset implies.

    Of a full dataset also from points, scribbles and coarse outlines, void where nothing is marked.

    DIR becomes a label set: panoptic.json and panoptic/NAME.png as COCO has them, in which void is
    what nobody knows and a crowd a thing whose instances nobody knows; boxes.json with the boxes;
    manifest.json; and, where there are full labels, quality.json, which measures the result. A run
    that was stopped goes on where it was when it is repeated. With tags, a classifier is trained
    first.

    In a round of iterative ground truth, as in studies, a semantic network learns from the labels
    so far, and what it sees, cleaned up with boxes, tags and masks, is the next label of every
    image without a full one, also of images that an allocation lists as none. --rounds says how
    many; without it refinement.rounds of the recipe does. DIR/rounds/0, DIR/rounds/1 and so on keep
    the labels before, each a label set.

    [bold]Examples[/bold]

    \b
    annotools pseudo-label --photos photos --boxes boxes.json --out pseudo
    annotools pseudo-label --photos photos --boxes boxes.json --tags tags.json --rounds 1
      --out better
    annotools pseudo-label CITYSCAPES --format cityscapes --labels boxes+tags --out pseudo
      --workers 8 --val-split val
    annotools pseudo-label CITYSCAPES --format cityscapes --labels plan.json --out semi
    annotools pseudo-label world.toml --format scenes --labels tags --crops 48x40
      --set tags.cam_threshold=0.4 --set classifier.steps=400 --out tags
    """  # noqa: D301
    from annotools.files import write_json
    from annotools.formats.source import Source
    from annotools.settings import as_table
    from annotools.weak_labels.annotators import read_annotator
    from wsps.pseudo_labels import rounds as made_in
    from wsps.pseudo_labels.request import LabelRequest, kinds_of_allocation, kinds_of_given
    from wsps.recipe_files import default_recipe

    given = boxes is not None or tags is not None
    asked = {"ROOT": root, "--format": format_name, "--labels": labels}
    extra = {"--val-split": val_split, "--crops": crops and tags, "--categories": categories}
    _check_usage(given, asked, extra, photos)
    # The checks above leave one of the two.
    chosen = None if given else _read_labels(str(labels))
    if chosen is not None and not isinstance(chosen, str):
        categories = categories or chosen.settings.categories
        chosen.check_categories(categories)
    source = Source(
        format_name="" if given else str(format_name),
        root=Path(str(photos if given else root)),
        split=split,
        allow_missing=allow_missing,
        categories=categories,
        max_images=max_images,
        boxes=boxes,
        tags=tags,
        photos=None if given else photos,
    )
    dataset = open_dataset(source)
    measured_by = _find_truth(truth, source, dataset)
    if measured_by is not None:
        open_dataset(measured_by)
    named = recipe_file or default_recipe(format_name)
    recipe = _read_recipe(named, changes or (), crops, chosen, dataset)
    recipe = _replace_rounds(recipe, rounds)
    if chosen is None:
        kinds: str | Mapping[int | str, str] = kinds_of_given(dataset)
    else:
        kinds = chosen if isinstance(chosen, str) else kinds_of_allocation(chosen, dataset, recipe)
    request = LabelRequest(
        source=source,
        labels=kinds,
        origin=None if chosen is None or isinstance(chosen, str) else as_table(chosen.settings),
        recipe=recipe,
        annotator=None if annotator is None else read_annotator(annotator),
        seed=seed,
        held_out_split=val_split,
        box_labels=box_labels,
        truth=measured_by,
        with_maps=maps,
    )
    # The module has another name here, where `pseudo_label` is the command and `rounds` an option.
    result = made_in.pseudo_label(request, out, workers, overwrite=overwrite)
    print_labels(result, out)
    if json_file is not None:
        # Taken from the file of the run, so that the two files cannot tell different things.
        quality = made_in.read_quality(out)
        content = {"images": dict(result.images), "resumed": result.num_resumed, **quality}
        write_json(json_file, content)


def _check_usage(
    given: bool,
    asked: "Mapping[str, object]",
    extra: "Mapping[str, object]",
    photos: Path | None,
) -> None:
    """Make sure that labels come from files or from a dataset, and not from both.

    Args:
        given: whether there are files.
        asked: by option, what a dataset needs.
        extra: by option, what a dataset may have.
        photos: of the files, which need them.
    """
    if given and photos is None:
        raise typer.BadParameter("--boxes and --tags: give --photos, the folder of their photos")
    # A dataset may do without the extra options, so they are looked at only to refuse them.
    for option, value in {**asked, **(extra if given else {})}.items():
        if given and value is not None:
            raise typer.BadParameter(f"{option}: give either a dataset or --boxes and --tags")
        if not given and value is None:
            raise typer.BadParameter(
                f"{option} is missing: give ROOT, --format and --labels, or --photos with --boxes, "
                "--tags or both"
            )


def _find_truth(given: Path | None, source: "Source", dataset: "Dataset") -> "Source | None":
    """Return where full labels are that measure the result, None without any."""
    from annotools.formats.source import Source

    if given is not None:
        return Source(format_name="coco-panoptic", root=given, split=source.split)
    # A dataset that reads weak labels has no full ones to measure with.
    return source if dataset.read_weak is None else None


def _read_labels(text: str) -> "str | Allocation":
    """Return a weak label kind, or the allocation of a file."""
    from annotools.allocation.plan_file import read_allocation
    from annotools.records import LABEL_KINDS

    kinds = [kind for kind in LABEL_KINDS if kind != "full"]
    if text in kinds:
        return text
    if not Path(text).is_file():
        raise typer.BadParameter(
            f"--labels {text!r}: use {', '.join(kinds)}, or a file of `annotools plan`"
        )
    return read_allocation(Path(text))


def _read_recipe(
    name_or_path: str,
    changes: "Sequence[str]",
    crops: str | None,
    labels: "str | Allocation | None",
    dataset: "Dataset",
) -> "Recipe":
    """Return the recipe; its crops are those asked for, else the allocation's or the format's."""
    from dataclasses import replace

    from wsps.recipe import decide_completeness

    recipe = read_recipe_kept(name_or_path, changes)
    # What is asked for wins even over an allocation's crops: where the two differ, the check of its
    # prices then says so.
    size_wh = parse_size(crops) or recipe.tags.crop_size_wh
    if size_wh is None and labels is not None and not isinstance(labels, str):
        size_wh = labels.settings.crop_size_wh
    elif size_wh is None:
        size_wh = parse_size(DEFAULT_CROPS.get(dataset.name))
    recipe = replace(recipe, tags=replace(recipe.tags, crop_size_wh=size_wh))
    return decide_completeness(recipe, dataset.name)


def _replace_rounds(recipe: "Recipe", rounds: int | None) -> "Recipe":
    from dataclasses import replace

    if rounds is None:
        return recipe
    return replace(recipe, refinement=replace(recipe.refinement, rounds=rounds))
