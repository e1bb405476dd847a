"""The command `draw` draws photos next to what was annotated on them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands import options
from annotools.commands.places import Commands, Reads, Writes
from annotools.terminal import say

if TYPE_CHECKING:
    from annotools.records import Dataset, Image, Photo

app = Commands()

_GREY = 128


@app.command()
def draw(
    root: options.Root,
    format_name: options.Format,
    out: Annotated[Path, typer.Option(help="The PNG file to write."), Writes(suffix=".png")],
    split: options.Split = "train",
    image: Annotated[
        list[str] | None, typer.Option(help="Id of an image to draw; repeat it.")
    ] = None,
    count: Annotated[
        int, typer.Option(min=1, help="Draw the first so many, where no --image is given.")
    ] = 4,
    show: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER",
            help="segments, boxes, tags, points, scribbles or coarse; repeat it. "
            "Segments and boxes if absent, or boxes alone where there are no masks.",
        ),
    ] = None,
    pseudo_labels: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A folder of `annotools pseudo-label`: its labels in a third column.",
        ),
        Reads(closed=True),
    ] = None,
    crops: options.Crops = None,
    seed: Annotated[int, typer.Option(min=0, help="Of points and scribbles.")] = 0,
    photos: options.Photos = None,
    allow_missing: options.AllowMissing = False,
) -> None:
    """Draw images beside their labels: segments, boxes, tags on crops, points, strokes, names.

    [bold]Examples[/bold]

    \b
    annotools draw DATA --format coco-instances --split val --count 6 --out sheet.png
    annotools draw world.toml --format scenes --image 3 --show tags --crops 48x40 --out tags.png
    annotools draw CITYSCAPES --format cityscapes --pseudo-labels pseudo --out beside.png
    """  # noqa: D301
    from annotools.drawing.labels import (
        LAYERS,
        WEAK_LAYERS,
        contact_sheet,
        draw_label,
        encode_png,
        enlarge,
        readable_factor,
    )
    from annotools.drops import drop_lines, follow_labels
    from annotools.files import write_whole
    from annotools.formats.source import Source, same_image
    from annotools.weak_labels.buy import read_source

    for layer in show or ():
        if layer not in LAYERS:
            raise typer.BadParameter(f"--show {layer}: use {', '.join(LAYERS)}")
    crop_size_wh = options.crops_of(crops, format_name)
    source = Source(
        format_name=format_name,
        root=root,
        split=split,
        allow_missing=allow_missing,
        photos=photos,
    )
    opened = options.open_dataset(source)
    dataset, left_out = follow_labels(opened)
    layers = show or (["segments", "boxes"] if dataset.read_weak is None else ["boxes"])
    needs_masks = not set(layers).issubset(WEAK_LAYERS)
    made = _open_labels(pseudo_labels, dataset)
    pictures = []
    for chosen in _choose_images(dataset, image, count, made):
        photo = _photo_or_grey(dataset, chosen)
        factor = readable_factor(chosen.width, chosen.height)
        drawn = draw_label(
            photo,
            # Without masks this says in one line that there are none.
            dataset.read_label(chosen) if needs_masks else read_source(dataset, chosen),
            dataset.categories,
            layers,
            crop_size_wh=crop_size_wh,
            seed=seed,
            factor=factor,
        )
        pictures += [enlarge(photo, factor), drawn]
        if made is not None:
            label = made.read_label(same_image(made, chosen))
            pictures.append(
                draw_label(photo, label, dataset.categories, ["segments"], factor=factor)
            )
    columns = 2 if made is None else 3
    write_whole(out, encode_png(contact_sheet(pictures, columns)))
    options.tell(drop_lines(left_out.groups))
    say(str(out))


def _open_labels(path: Path | None, dataset: "Dataset") -> "Dataset | None":
    """Return a label set of the dataset's images, None without a folder."""
    from annotools.errors import DatasetError
    from annotools.formats import read_dataset

    if path is None:
        return None
    # Photos are the dataset's own: a label set has no folder of this name.
    labels = read_dataset("coco-panoptic", path, "photos")
    if labels.categories != dataset.categories:
        raise DatasetError(
            f"{path}: its classes are not those of this dataset: give the dataset that the labels "
            "were made from"
        )
    return labels


def _choose_images(
    dataset: "Dataset", ids: list[str] | None, count: int, made: "Dataset | None"
) -> "list[Image]":
    """Return the images with these ids, else the first ones that have a label in `made` too."""
    from annotools.errors import DatasetError

    if not dataset.images:
        raise DatasetError(f"{dataset.name}: split {dataset.split} has no image")
    if not ids:
        # A label set may lack images of the dataset, which then have no third picture.
        labelled = {i.image_id for i in (dataset if made is None else made).images}
        drawable = [i for i in dataset.images if i.image_id in labelled]
        if not drawable:
            raise DatasetError(
                f"{dataset.name}: --pseudo-labels has no image of split {dataset.split}: give "
                "its --split"
            )
        return drawable[:count]
    image_of = {str(image.image_id): image for image in dataset.images}
    for image_id in ids:
        if image_id not in image_of:
            first = ", ".join(list(image_of)[:5])
            raise DatasetError(f"{dataset.name} has no image {image_id!r}; its first are {first}")
    return [image_of[image_id] for image_id in ids]


def _photo_or_grey(dataset: "Dataset", image: "Image") -> "Photo":
    """Return an image's photo, all grey where the dataset came without photos."""
    import numpy as np

    if not dataset.has_photo(image):
        return np.full((image.height, image.width, 3), _GREY, dtype=np.uint8)
    return dataset.read_photo(image)
