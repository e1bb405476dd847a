"""Several commands share these arguments and options, and read their texts in one way."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotools import terminal
from annotools.commands.places import READS, Reads, Writes, keep

if TYPE_CHECKING:
    from annotools.formats.source import Source
    from annotools.records import Dataset

DEFAULT_CROPS = {"cityscapes": "500x400"}
"""Crops whose tags are counted and drawn, by format: 15 an image in the paper; else the image."""

_ROOT = typer.Argument(
    help="The dataset's folder; of COCO formats also its JSON, of yolo its data.yaml, of scenes a "
    "TOML file of knobs."
)
_FORMAT = typer.Option(
    "--format", help="cityscapes, voc, yolo, coco-panoptic, coco-instances or scenes."
)

Root = Annotated[Path, _ROOT, Reads(inner=True)]
Format = Annotated[str, _FORMAT]
KeptRoot = Annotated[Path, _ROOT, Reads(kept=True)]
"""Of a dataset that may not open, so that its files are not known."""
RootIfAny = Annotated[Path | None, _ROOT, Reads(inner=True)]
FormatIfAny = Annotated[str | None, _FORMAT]
Split = Annotated[
    str, typer.Option(help="The part of the dataset; train[:80%] is the first 80 % of train.")
]
AllowMissing = Annotated[
    bool,
    typer.Option(
        "--allow-missing",
        help="Leave out images of which a file is missing and objects that are impossible, and "
        "list them.",
    ),
]
Photos = Annotated[
    Path | None,
    typer.Option(
        "--photos", metavar="DIR", help="The photos, if they are not where the format has them."
    ),
    READS,
]
Categories = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME|voc",
        help="Keep few of the dataset's own categories, all else being background, or go over to "
        "those of Pascal VOC.",
    ),
]
MaxImages = Annotated[int | None, typer.Option(min=1, help="Take only the first so many images.")]
Crops = Annotated[
    str | None,
    typer.Option(
        metavar="WxH",
        help="Pixels of the tagged crops; if absent 500x400 of cityscapes, else the whole image.",
    ),
]
Times = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help="Annotation times: li2018, bearman2016, like-for-like, sam-assisted, or your own "
        "file.toml. None shipped has a time of a vertex; your own may.",
    ),
    READS,
]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", help="Write the table to this file as well."),
    Writes(),
]
OutFolder = Annotated[
    Path,
    typer.Option("--out", metavar="DIR", help="The folder to write to."),
    Writes(folder=True),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Remove what such a run wrote to DIR before.")
]
Workers = Annotated[int, typer.Option(min=1, help="Processes at work at the same time.")]
AnnotatorFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml", help="The habits of a hurried or careless annotator; else none."
    ),
    READS,
]


def write_answer(json_file: Path | None, content: Any) -> None:
    """Write what a command found to the file of `--json`, where one is given.

    Args:
        json_file: the file, or None.
        content: dataclasses and what JSON can hold.

    Raises:
        OSError: when the file cannot be written.
    """
    from annotools.files import write_json
    from annotools.settings import as_table

    if json_file is not None:
        write_json(json_file, as_table(content))


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return (width, height) of a text such as 500x400, None for None.

    Raises:
        typer.BadParameter: for another text.
    """
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise typer.BadParameter(f"{text!r}: write width and height as 500x400")
    return int(width), int(height)


def crops_of(text: str | None, format_name: str) -> tuple[int, int] | None:
    """Return the crops asked for, else those that the format has; None for the whole image.

    Raises:
        typer.BadParameter: for a text that is no size.
    """
    return parse_size(text or DEFAULT_CROPS.get(format_name))


def open_dataset(source: "Source") -> "Dataset":
    """Open the dataset of a source; what is particular to it is told on stderr.

    Args:
        source: what to read.

    Raises:
        typer.BadParameter: when an output of the command is a file of the dataset.
        AnnotationError: when the dataset cannot be read.
    """
    from annotools.formats.source import open_source

    open_source.cache_clear()  # The files may have changed since they were read last.
    dataset = open_source(source)
    keep_dataset(dataset)
    tell(dataset.remarks)
    return dataset


def keep_dataset(dataset: "Dataset") -> None:
    """Make sure that no output of the command replaces a photo, label or list of a dataset.

    Raises:
        typer.BadParameter: when one would.
    """
    photos = (image.path for image in dataset.images)
    labels = (path for image in dataset.images for path in image.label_paths)
    keep(itertools.chain(dataset.source_files, photos, labels), "a file of the dataset")


def tell(remarks: Iterable[str]) -> None:
    """Print what a user should know beside the answer: on stderr, a line each."""
    for remark in remarks:
        terminal.tell(remark)


def refuse_file(place: Path) -> None:
    """Make sure that what is given as a folder of photos, without a format, is no file.

    Raises:
        DatasetError: when it is one.
    """
    from annotools.errors import DatasetError

    if place.is_file():
        raise DatasetError(
            f"{place}: is a file: give the folder of the photos, or of a dataset its --format"
        )
