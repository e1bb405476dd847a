"""Several commands share these arguments and options, and read their texts in one way."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotools.commands.tables import one_line

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

Root = Annotated[Path, _ROOT]
Format = Annotated[str, _FORMAT]
RootIfAny = Annotated[Path | None, _ROOT]
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
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the table to this file as well.")
]
OutFolder = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write to.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Remove what such a run wrote to DIR before.")
]
Workers = Annotated[int, typer.Option(min=1, help="Processes at work at the same time.")]
AnnotatorFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml", help="The habits of a hurried or careless annotator; else none."
    ),
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


def open_dataset(
    source: "Source",
    outputs: Mapping[str, Path | None],
    inputs: Iterable[Path | str | None] = (),
    picture: str | None = None,
) -> "Dataset":
    """Open the dataset of a source, after making sure that no output replaces a file of it.

    What is particular to the dataset is told on stderr.

    Args:
        source: what to read.
        outputs: files to write, by the option that names them; None where it is not given.
        inputs: further files that the command reads, as `check_outputs` takes them.
        picture: the option whose file is a picture, which is written as PNG.

    Raises:
        typer.BadParameter: when an output cannot be written, or is a file that is read.
        AnnotationError: when the dataset cannot be read.
    """
    from annotools.formats.source import open_source

    check_outputs(outputs, [source.root, *inputs], picture)
    open_source.cache_clear()  # The files may have changed since they were read last.
    dataset = open_source(source)
    refuse_replacing(outputs, dataset)
    tell(dataset.remarks)
    return dataset


def tell(remarks: Iterable[str]) -> None:
    """Print what a user should know beside the answer: on stderr, a line each."""
    for remark in remarks:
        typer.echo(f"note: {one_line(remark)}", err=True)


def check_outputs(
    outputs: Mapping[str, Path | None],
    inputs: Iterable[Path | str | None],
    picture: str | None = None,
) -> None:
    """Make sure, before any work, that files can be written and are not read by the command.

    Args:
        outputs: files by the option that names them; None where it is not given.
        inputs: files, texts that may be the path of one, or None.
        picture: the option whose file is a picture, which is written as PNG.

    Raises:
        typer.BadParameter: when one cannot be written, is read or written twice, or is a picture
            with another suffix.
    """
    # Resolved paths show that two names mean one file, in spite of links and `..`.
    known = {Path(path).resolve(): "a file that is read" for path in inputs if path is not None}
    for option, path in outputs.items():
        if path is None:
            continue
        other = known.setdefault(path.resolve(), f"the file of {option}")
        if other != f"the file of {option}":
            raise typer.BadParameter(f"{option} {path}: is {other} too: give it a name of its own")
        if option == picture and path.suffix.lower() != ".png":
            raise typer.BadParameter(f"{option} {path}: pictures are PNG: give a name in .png")
        _check_writable(option, path)


def check_answer(json_file: Path | None, out: Path, inputs: Iterable[Path | str | None]) -> None:
    """Make sure that the file of `--json` is none that a command with an output folder needs.

    Args:
        json_file: the file, or None.
        out: the folder that the command fills.
        inputs: files that it reads, as `check_outputs` takes them.

    Raises:
        typer.BadParameter: when it cannot be written, is read, or lies in the folder.
    """
    check_outputs({"--json": json_file}, inputs)
    if json_file is not None and json_file.resolve().is_relative_to(out.resolve()):
        raise typer.BadParameter(f"--json {json_file}: lies in {out}: give a file elsewhere")


def refuse_inside(outputs: Mapping[str, Path | None], folders: Iterable[Path | None]) -> None:
    """Make sure that nothing is written into folders that a command reads.

    Args:
        outputs: files and folders by the option that names them; None where it is not given.
        folders: of models and label sets; None where it is not given.

    Raises:
        typer.BadParameter: when an output lies in one of them.
    """
    from annotools.errors import DatasetError
    from annotools.work_folder import check_outside

    read = [folder for folder in folders if folder is not None]
    for option, place in outputs.items():
        if place is not None:
            try:
                check_outside(option, place, read)
            except DatasetError as error:
                raise typer.BadParameter(str(error)) from error


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


def refuse_replacing(outputs: Mapping[str, Path | None], dataset: "Dataset") -> None:
    """Make sure that no file to write is one of a dataset.

    Args:
        outputs: files by the option that names them; None where it is not given.
        dataset: whose photos, labels and lists are kept.

    Raises:
        typer.BadParameter: when one is.
    """
    photos = (image.path for image in dataset.images if image.path is not None)
    labels = (path for image in dataset.images for path in image.label_paths)
    # A dataset has many files: only those of the same name are looked up.
    options = {path.name: option for option, path in outputs.items() if path is not None}
    for path in (*dataset.source_files, *photos, *labels):
        option = options.get(path.name)
        output = None if option is None else outputs[option]
        if output is not None and output.resolve() == path.resolve():
            raise typer.BadParameter(f"{option} {output}: is a file of the dataset: give another")


def _check_writable(option: str, path: Path) -> None:
    try:
        if path.is_dir():
            raise typer.BadParameter(f"{option} {path}: is a folder: name a file in it")
        # Missing folders are made when the file is written, so the nearest that exists decides.
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        # Permission bits do not tell of a read-only file system: only making a file does.
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise typer.BadParameter(
            f"{option} {path}: cannot be written ({error.strerror}): name another file"
        ) from error
