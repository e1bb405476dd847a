"""How much of each object the masks made from boxes find, and how much of them is right.

    python benchmarks/box_labels.py ROOT --format F [--split S] [--method M] [--half even]

The tight boxes of all things of a full label, groups left out, become masks, and those of objects
of enough pixels are compared with the label. Pixels that the label leaves void count nowhere. Time
is processor time of this process, on one core. Beside the figures over all pixels stand their 95 %
intervals, from resampled images. It prints a table and a row for BENCHMARKS.md.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from convert import describe_machine
from numpy.typing import NDArray

from annotools.formats import read_dataset
from annotools.records import VOID, Box, Dataset, Image, Segment
from wsps.evaluation.rates import draw_resamples, interval
from wsps.pseudo_labels.boxes import BoxMask, masks_from_boxes, score_box
from wsps.pseudo_labels.methods import METHODS
from wsps.recipe import DEFAULT_BOX_METHOD

HALVES = {"all": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}
"""Images by their place in the dataset: settings are chosen on one half and judged on the other."""

NUM_RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Result:
    """One object's mask against its label: pixels, and the seconds that its box took."""

    hits: int
    false_alarms: int
    misses: int
    is_fallback: bool
    seconds: float


def main(
    root: Annotated[Path, typer.Argument(help="The dataset's folder.")],
    format_name: Annotated[str, typer.Option("--format", help="Its format.")],
    split: Annotated[str, typer.Option(help="Its split.")] = "train",
    method: Annotated[str, typer.Option(help="/".join(METHODS))] = DEFAULT_BOX_METHOD,
    half: Annotated[str, typer.Option(help="/".join(HALVES))] = "all",
    max_boxes: Annotated[int | None, typer.Option(help="Stop after the image that has it.")] = None,
    min_area: Annotated[int, typer.Option(help="Smallest object, in pixels of its label.")] = 400,
) -> None:
    """Compare masks from boxes with the labels the boxes are from."""
    for name, known in ((method, METHODS), (half, HALVES)):
        if name not in known:
            raise typer.BadParameter(f"unknown {name!r}: use {' or '.join(known)}")
    cv2.setNumThreads(1)
    dataset = read_dataset(format_name, root, split, allow_missing=True)
    images = dataset.images[HALVES[half]]
    results: list[list[Result]] = []
    num_boxes = 0
    for image in images:
        if max_boxes is not None and num_boxes >= max_boxes:
            break
        results.append(list(measure_image(dataset, image, method, min_area)))
        num_boxes += len(results[-1])
    if num_boxes == 0:
        raise typer.BadParameter(f"no object of {min_area} pixels in {len(results)} images")
    packages = ("annotools", "numpy", "opencv-python-headless", "higra", "pydensecrf2")
    machine = describe_machine(packages)
    typer.echo(f"{num_boxes} boxes of {len(results)} images, half: {half}. {machine}\n")
    figures = summarise(results)
    for name, value in figures.items():
        typer.echo(f"{name:28s} {value}")
    typer.echo(f"\n| data | method | half | boxes | {' | '.join(figures)} |")
    typer.echo(f"|{' --- |' * (len(figures) + 4)}")
    row = [root.name, method, half, str(num_boxes), *figures.values()]
    typer.echo(f"| {' | '.join(row)} |")


def measure_image(dataset: Dataset, image: Image, method: str, min_area: int) -> Iterator[Result]:
    """Yield the result of each object that is large enough; all of the image's boxes are used."""
    label = dataset.read_label(image)
    categories = dataset.categories
    things = [s for s in label.segments if categories.by_id(s.category_id).is_thing]
    # Equal boxes of one class would be one instance, and have no mask each.
    segment_of = {box_of(s): s for s in things if not s.is_group}
    if all(segment.area < min_area for segment in segment_of.values()):
        return
    photo = dataset.read_photo(image)
    start = time.process_time()
    masks = masks_from_boxes(photo, [box_of(segment) for segment in things], method)
    all_seconds = time.process_time() - start
    places = [mask.box_xyxy for mask in masks]
    box_seconds = []
    for i in range(len(places)):
        start = time.process_time()
        score_box(photo, places, i, method)
        box_seconds.append(time.process_time() - start)
    # What is done for all boxes together is shared out evenly.
    shared = max(0.0, all_seconds - sum(box_seconds)) / len(masks)
    for mask, seconds in zip(masks, box_seconds, strict=True):
        segment = segment_of[mask.box]
        if segment.area >= min_area:
            yield compare(mask, label.segment_map, segment.segment_id, seconds + shared)


def box_of(segment: Segment) -> Box:
    """Return the tight box of a segment."""
    return Box(
        category_id=segment.category_id, box_xyxy=segment.box_xyxy, is_group=segment.is_group
    )


def compare(
    mask: BoxMask, segment_map: NDArray[np.int32], segment_id: int, seconds: float
) -> Result:
    """Count a mask's pixels against its segment's, void ones left out."""
    x0, y0, x1, y1 = mask.box_xyxy
    labelled = segment_map[y0:y1, x0:x1]
    truth = labelled == segment_id
    return Result(
        hits=int(np.count_nonzero(mask.mask & truth)),
        false_alarms=int(np.count_nonzero(mask.mask & ~truth & (labelled != VOID))),
        misses=int(np.count_nonzero(truth & ~mask.mask)),
        is_fallback=mask.is_fallback,
        seconds=seconds,
    )


def summarise(results: list[list[Result]]) -> dict[str, str]:
    """Return figures over all pixels together, and means over boxes, by name.

    Args:
        results: of the boxes of each image.
    """
    boxes = [result for of_image in results for result in of_image]
    milliseconds = 1000 * np.array([r.seconds for r in boxes])
    by_image = np.array([count(of_image).sum(axis=0) for of_image in results])
    pooled = rates(by_image.sum(axis=0, keepdims=True))[:, 0]
    resamples = draw_resamples(len(results), NUM_RESAMPLES, seed=0)
    lows, highs = interval(rates(resamples @ by_image).T)
    means = np.nanmean(rates(count(boxes)), axis=1)
    names = ("precision", "recall", "IoU")
    return (
        {
            name: f"{value:.3f} ({low:.3f}–{high:.3f})"
            for name, value, low, high in zip(names, pooled, lows, highs, strict=True)
        }
        | {f"mean {name}": f"{value:.3f}" for name, value in zip(names, means, strict=True)}
        | {
            "empty": f"{np.mean(count(boxes)[:, :2].sum(axis=1) == 0):.1%}",
            "fell back": f"{np.mean([r.is_fallback for r in boxes]):.1%}",
            "median ms": f"{np.median(milliseconds):.0f}",
            "95th percentile ms": f"{np.percentile(milliseconds, 95):.0f}",
        }
    )


def count(results: list[Result]) -> NDArray[np.float64]:
    """Return hits, false alarms and misses of each result: (N, 3)."""
    counts = [(r.hits, r.false_alarms, r.misses) for r in results]
    return np.array(counts, dtype=np.float64).reshape(-1, 3)


def rates(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return precision, recall and IoU (3, N) of hits, false alarms and misses (N, 3).

    The precision of a mask without labelled pixels is NaN.
    """
    hits, false_alarms, misses = counts.T
    with np.errstate(invalid="ignore"):
        return np.stack(
            [
                hits / (hits + false_alarms),
                hits / (hits + misses),
                hits / (hits + false_alarms + misses),
            ]
        )


if __name__ == "__main__":
    typer.run(main)
