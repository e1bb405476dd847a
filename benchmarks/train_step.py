"""Steps of training on a CPU beside torchvision's networks, and how fast batches are made.

    OMP_NUM_THREADS=1 python benchmarks/train_step.py [--repeats 5] [--side 257]

Networks that a row compares take turns in one process, with the same images, optimizer and
precision; figures are medians. It takes about five minutes and prints Markdown rows.
`benchmarks/gpu.py` measures the same on a GPU.
"""

import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import typer
from convert import Row, describe_machine, print_row
from examples import make_scenes, read_examples, write_photos
from steps import View, detector_rows, instance_rows, semantic_rows

from wsps.data import Examples
from wsps.recipe import ViewSettings
from wsps.training.batches import ViewBatches, load_batches

DEMO = View(size_wh=(192, 96), batch_size=4)
DETECTIONS = (10, 30)
LOADED = 20
"""Batches that are made for a row."""


def main(
    repeats: Annotated[int, typer.Option(min=1, help="Times that a step is measured.")] = 5,
    side: Annotated[int, typer.Option(min=33, help="Of the images of residual networks.")] = 257,
) -> None:
    """Measure and print Markdown rows."""
    packages = ("annotools", "torch", "torchvision", "numpy")
    typer.echo(f"{describe_machine(packages)} {torch.get_num_threads()} threads of torch")
    typer.echo("\n| figure | value | beside | target |\n| --- | --- | --- | --- |")
    for row in itertools.chain(small_rows(repeats), large_rows(side, repeats), loader_rows()):
        print_row(row)


def small_rows(repeats: int) -> Iterator[Row]:
    """Measure the networks of the demo, which have no peer."""
    for precision in ("float32", "bfloat16"):
        yield from semantic_rows("small", DEMO, precision, 4 * repeats)
        yield from detector_rows("small", DEMO, precision, 4 * repeats)
        yield from instance_rows("small", DEMO, precision, repeats, DETECTIONS)


def large_rows(side: int, repeats: int) -> Iterator[Row]:
    """Measure residual networks."""
    view = View(size_wh=(side, side), batch_size=2)
    yield from semantic_rows("resnet18", view, "float32", repeats)
    for precision in ("float32", "bfloat16"):
        yield from semantic_rows("resnet50", view, precision, repeats)
    yield from semantic_rows("resnet50", view, "float32", repeats, auxiliary=True)
    yield from detector_rows("resnet50", view, "float32", repeats)
    yield from instance_rows("resnet18", view, "float32", repeats, DETECTIONS)


def loader_rows() -> Iterator[Row]:
    """Measure how many batches are made while nobody trains, by the number of loaders."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        scenes = ViewSettings()
        large = ViewSettings(crop_size_wh=(521, 521), scale_range=(0.5, 2.0))
        write_photos(files)
        for name, examples, views in (
            ("scenes of the demo, kept", make_scenes(files), scenes),
            ("521 x 521 of JPEGs, kept", read_examples(files, keep=True), large),
            ("521 x 521 of JPEGs, decoded each time", read_examples(files, keep=False), large),
        ):
            examples.keep(threads=1)  # Before loaders are forked.
            rates = [f"{n}: {load_rate(examples, views, n):.1f}" for n in (0, 1, 2)]
            yield Row(figure=f"batches of 4 a second by loaders, {name}", value=", ".join(rates))


def load_rate(examples: Examples, views: ViewSettings, loaders: int) -> float:
    """Return batches a second after the first, which comes when the loaders have started."""
    batches = ViewBatches(
        groups=[examples], views=views, batch_size=4, places=range(4), seed=0, stage="benchmark"
    )
    taken = []
    for _ in range(3):
        loaded = load_batches(batches, range(1 + LOADED), torch.device("cpu"), loaders)
        next(loaded)
        start = time.perf_counter()
        for _batch in loaded:
            pass
        taken.append(time.perf_counter() - start)
    return LOADED / median(taken)


if __name__ == "__main__":
    typer.run(main)
