"""The command `predict` segments photos with a trained model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands.options import (
    AllowMissing,
    FormatIfAny,
    JsonFile,
    MaxImages,
    OutFolder,
    Overwrite,
    Photos,
    open_dataset,
    refuse_file,
    tell,
    write_answer,
)
from annotools.commands.places import READS, Commands, Reads
from annotools.commands.tables import console, count_of, table

if TYPE_CHECKING:
    from annotools.formats.source import Source
    from wsps.inference import PredictedImages

app = Commands()


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="The folder of a trained model."), Reads(closed=True)],
    root: Annotated[
        Path,
        typer.Argument(
            metavar="PHOTOS",
            help="A folder of photos of any size, in subfolders too; with --format a dataset.",
        ),
        READS,
    ],
    out: OutFolder,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="A COCO file whose list images says which photos, and with which ids: the "
            "panoptic.json to score with, for example.",
        ),
        READS,
    ] = None,
    format_name: FormatIfAny = None,
    split: Annotated[
        str | None, typer.Option(help="The part of the dataset of --format; val if absent.")
    ] = None,
    photos: Photos = None,
    detections: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="A COCO results file with detections in the photos, in place of those of the "
            "run's own detector; needed where the run was trained with --detections.",
        ),
        READS,
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Another setting than the run's, as prediction.tile_side=512, "
            "instance.score_threshold=0.6 or images.max_side=1024; repeat it.",
        ),
    ] = None,
    overlays: Annotated[
        bool,
        typer.Option(
            "--overlays",
            help="Also write overlays/NAME.jpg, the photo with its segments with names over it.",
        ),
    ] = False,
    max_images: MaxImages = None,
    allow_missing: AllowMissing = False,
    overwrite: Overwrite = False,
    json_file: JsonFile = None,
) -> None:
    """Segment photos with a trained model.

    DIR becomes a label set whose segments have scores: panoptic.json and panoptic/NAME.png as COCO
    has them, semantic/NAME.png with the class indices of the semantic network alone, and
    manifest.json. Without --images and --format an image's id is the path of its photo below
    PHOTOS, without suffix. A run that was stopped goes on where it was when it is repeated.

    Detections of a file are found by image id. Where ids are paths of photos, a number means the
    photo of that name, 139 that of 000000000139.jpg. Each has category_id, of a thing that the run
    knows, bbox (x, y, width, height in pixels of the photo) and score. As with the run's detector,
    those above its instance.score_threshold count, and at most instance.max_detections of an image.

    Where memory is not enough, prediction.tile_side lets the semantic network see a photo in
    overlapping tiles, which leave no seam in a segment; images.max_side reduces the photo for all
    networks.

    [bold]Examples[/bold]

    \b
    annotools predict RUN photos --out predictions --overlays
    annotools predict RUN photos --images val/panoptic.json --out predictions
    annotools predict RUN world.toml --format scenes --split val --out predictions
    annotools predict RUN photos --set prediction.tile_side=512 --out predictions
    annotools predict RUN photos --images val/panoptic.json --detections boxes-val.json
      --out predictions
    """  # noqa: D301
    from annotools.drops import drop_lines, follow_labels
    from wsps.inference import predict_images

    source = _name_source(root, images, format_name, split, photos)
    source = _limit(source, max_images, allow_missing)
    _, left_out = follow_labels(open_dataset(source))
    tell(drop_lines(left_out.groups))
    found = predict_images(
        run,
        source,
        out,
        detections=detections,
        changes=changes or (),
        overlays=overlays,
        overwrite=overwrite,
    )
    tell(found.remarks)
    _print(found, out, _find_truth(images), format_name is None and images is None)
    write_answer(json_file, {**_answer(found), "drops": left_out.groups})


def _name_source(
    root: Path,
    images: Path | None,
    format_name: str | None,
    split: str | None,
    photos: Path | None,
) -> "Source":
    """Return what is to be predicted: a folder of photos, those of a list, or a dataset."""
    from annotools.formats.photo_folder import PHOTOS_ALONE
    from annotools.formats.source import Source

    if format_name is not None:
        if images is not None:
            raise typer.BadParameter("--images: is for a folder of photos: leave out --format")
        return Source(format_name=format_name, root=root, split=split or "val", photos=photos)
    for option, value in (("--split", split), ("--photos", photos)):
        if value is not None:
            raise typer.BadParameter(f"{option}: is of a dataset: give its --format")
    refuse_file(root)
    if images is None:
        return Source(format_name=PHOTOS_ALONE, root=root, split="")
    return Source(format_name=PHOTOS_ALONE, root=images, split="", photos=root)


def _limit(source: "Source", max_images: int | None, allow_missing: bool) -> "Source":
    from dataclasses import replace

    return replace(source, max_images=max_images, allow_missing=allow_missing)


def _find_truth(images: Path | None) -> str | None:
    """Return which list `evaluate` can score with, None where a list has no panoptic labels."""
    from annotools.formats.json_values import read_json

    if images is None:
        return "TRUTH/panoptic.json"
    listed = read_json(images, "*.json").get("annotations") or [None]
    is_panoptic = isinstance(listed[0], dict) and "segments_info" in listed[0]
    return str(images) if is_panoptic else None


def _print(found: "PredictedImages", out: Path, truth: str | None, has_own_ids: bool) -> None:
    screen = console()
    rows = (
        (
            category.name,
            "thing" if category.is_thing else "stuff",
            f"{found.images_with[category.category_id]:,}",
            f"{found.segments[category.category_id]:,}",
        )
        for category in found.categories.categories
    )
    screen.print(table(("category", "kind", "images", "segments"), rows, left=2))
    total = sum(found.segments.values())
    lines = [f"{count_of(found.num_images, 'image')}, {count_of(total, 'segment')}."]
    if found.num_resumed:
        lines.append(f"{found.num_resumed:,} were done by an earlier run.")
    labels = out / "panoptic.json"
    lines.append(str(labels))
    if has_own_ids:
        lines.append(f"to score it, predict with --images {truth}, whose ids it has then")
    elif truth is not None:
        lines.append(f"score it: annotools evaluate --prediction {labels} --truth {truth}")
    for line in lines:
        screen.print(line, soft_wrap=True)


def _answer(found: "PredictedImages") -> dict[str, object]:
    return {
        "images": found.num_images,
        "resumed": found.num_resumed,
        "segments": sum(found.segments.values()),
        "categories": [
            {
                "id": category.category_id,
                "name": category.name,
                "isthing": int(category.is_thing),
                "images": found.images_with[category.category_id],
                "segments": found.segments[category.category_id],
            }
            for category in found.categories.categories
        ],
    }
