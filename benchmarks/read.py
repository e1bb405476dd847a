"""How long it takes to read all labels of real datasets, and to check them.

    python benchmarks/read.py DATA

DATA holds coco, nuclei, cityscapes and voc, as the tests find them. To compare two versions, run
the script in turn with PYTHONPATH at each. Seconds are processor time of one process, the least of
several repeats.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import typer

from annotools.checks.dataset_checks import check_dataset
from annotools.formats import read_dataset
from annotools.weak_labels.buy import read_source

SETS = (
    ("coco-instances", "coco", "train2017"),
    ("coco-instances", "nuclei", "train"),
    ("cityscapes", "cityscapes", "train"),
    ("voc", "voc/VOCdevkit/VOC2007", "train"),
)


def least_time(function: Callable[[], object], repeats: int) -> float:
    """Return the least processor time of several calls, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def read_all(format_name: str, root: Path, split: str) -> None:
    """Read every label of a split."""
    dataset = read_dataset(format_name, root, split, allow_missing=True)
    for image in dataset.images:
        read_source(dataset, image)


def main(data: Path, repeats: int = 5) -> None:
    """Print a row for each dataset."""
    typer.echo("| dataset | all labels | check |\n| --- | --- | --- |")
    for format_name, folder, split in SETS:
        root = data / folder
        read = least_time(partial(read_all, format_name, root, split), repeats)
        check = least_time(partial(check_dataset, format_name, root, [split]), repeats)
        typer.echo(f"| {folder}, {split} | {read:.3f} s | {check:.3f} s |")


if __name__ == "__main__":
    typer.run(main)
