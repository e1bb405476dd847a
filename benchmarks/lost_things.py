"""Why one model finds things that another one does not find.

    python benchmarks/lost_things.py TRUTH.json ONE.json OTHER.json

Each is a COCO panoptic list; predictions of `students.py` are in `runs/NAME/predictions`, and
`annotools convert --to full` writes a truth. A thing is found when a segment of its category has
an IoU above 0.5 with it. For the things that one prediction finds and the other does not, it prints
what the latter has there: mostly no thing of the category, mostly other segments than the best
one, or a best segment that holds most of the thing and too much else. Then how many each finds of
the things that touch another one, at most two pixels away, and of those alone, and its mean IoU
with those that both find, in percent.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from annotools.records import Runs, draw_runs
from wsps.evaluation.overlaps import Overlaps, measure_overlaps
from wsps.scoring.panoptic_files import read_panoptic_task

REASONS = ("no thing there", "divided", "too large")

AROUND = np.ones((5, 5), np.uint8)
"""Pixels at most two away."""


def main(
    truth: Annotated[Path, typer.Argument(help="A list of true labels.")],
    one: Annotated[Path, typer.Argument(help="A list of predictions.")],
    other: Annotated[Path, typer.Argument(help="Predictions of another model.")],
) -> None:
    """Print a Markdown row for each of the two predictions."""
    tasks = [read_panoptic_task(truth, path) for path in (one, other)]
    lost: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    # Of things alone, and of those that touch another: the IoU that each prediction has with them.
    ious: dict[bool, list[list[float]]] = {False: [], True: []}
    for images in zip(*(task.images for task in tasks), strict=True):
        true, categories = images[0].read_truth(), tasks[0].categories
        sides = [measure_overlaps(true, im.read_prediction(), categories) for im in images]
        asked = [
            number
            for number, segment in enumerate(true.segments)
            if categories.by_id(segment.category_id).is_thing and not segment.is_group
        ]
        touching = find_touching(true.runs, {true.segments[number].segment_id for number in asked})
        for number in asked:
            found = [best_overlap(side, number) for side in sides]
            is_touching = true.segments[number].segment_id in touching
            ious[is_touching].append([iou for iou, *_ in found])
            for mine, theirs, counted in zip(found, found[::-1], lost, strict=True):
                if theirs[0] > 0.5 >= mine[0]:
                    counted[name_reason(*mine[1:])] += 1
    typer.echo(f"{sum(map(len, ious.values()))} things. Lost and found by the other:\n")
    typer.echo(f"| prediction | lost | {' | '.join(REASONS)} |")
    typer.echo("| --- " * (len(REASONS) + 2) + "|")
    for path, counted in zip((one, other), lost, strict=True):
        cells = [path.parent.parent.name, counted.total(), *(counted[name] for name in REASONS)]
        typer.echo(f"| {' | '.join(map(str, cells))} |")
    typer.echo("\n| prediction | things | of | found | mean IoU where both find it |")
    typer.echo("| --- " * 5 + "|")
    for is_touching, listed in ious.items():
        table = np.array(listed).reshape(-1, 2)
        both = table[(table > 0.5).all(axis=1)]
        for side, path in enumerate((one, other)):
            cells = [path.parent.parent.name, "touching" if is_touching else "alone", len(table)]
            mean = f"{100 * both[:, side].mean():.1f}" if len(both) else "-"
            cells += [int((table[:, side] > 0.5).sum()), mean]
            typer.echo(f"| {' | '.join(map(str, cells))} |")


def find_touching(runs: Runs, things: set[int]) -> set[int]:
    """Return the segment ids of those things that lie at most two pixels from another of them."""
    segment_map = draw_runs(runs)
    touching: set[int] = set()
    for thing in things:
        is_thing = (segment_map == thing).astype(np.uint8)
        around = cv2.dilate(is_thing, AROUND) > is_thing
        if things & set(np.unique(segment_map[around]).tolist()):
            touching.add(thing)
    return touching


def best_overlap(overlaps: Overlaps, number: int) -> tuple[float, float, float]:
    """Return the best IoU of a true segment with one of its category, and two shares of its pixels.

    They are the share that the best segment holds, and that all of its category hold.
    """
    pairs = np.flatnonzero((overlaps.pair_truth == number) & overlaps.same_class())
    if not len(pairs):
        return 0.0, 0.0, 0.0
    pixels, area = overlaps.pair_pixels[pairs], overlaps.truth_areas[number]
    ious = pixels / overlaps.unions()[pairs]
    best = int(ious.argmax())
    return float(ious[best]), float(pixels[best] / area), float(pixels.sum() / area)


def name_reason(in_best: float, in_any: float) -> str:
    """Return why a thing is not found, by the shares of `best_overlap`."""
    if in_any < 0.5:
        return REASONS[0]
    return REASONS[1] if in_best < 0.5 else REASONS[2]


if __name__ == "__main__":
    typer.run(main)
