"""What it takes to check and to inspect a long list of polygons, and an image covered many times.

    python benchmarks/check.py [--images N]

The list has ten random polygons an image; `json.loads` and pycocotools read the same file. The
image of 4000 x 4000 has 40 polygons that each cover all of it. It takes about two minutes and
prints rows for BENCHMARKS.md.
"""

import json
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from convert import Run, describe_machine, run_command, run_process

WIDTH, HEIGHT = 640, 480
PER_IMAGE, CORNERS, NUM_CATEGORIES = 10, 15, 80
SIDE, COVERS = 4000, 40
LIST = Path("annotations", "instances_train.json")
CATEGORIES = [{"id": n, "name": f"category {n}"} for n in range(1, NUM_CATEGORIES + 1)]


def main(
    images: Annotated[int, typer.Option(min=1, help="Images of the list.")] = 20_000,
) -> None:
    """Measure both commands and print Markdown rows."""
    typer.echo(f"{describe_machine()} Load {os.getloadavg()[0]:.1f}.\n")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "many"
        # In a process of its own: memory of this one would count as that of those it starts.
        writer = multiprocessing.get_context("spawn").Process(
            target=write_many, args=(root, images)
        )
        writer.start()
        writer.join()
        path = root / LIST
        size = path.stat().st_size / 2**20
        typer.echo(f"{images:,} images, {PER_IMAGE * images:,} polygons, {size:.0f} MB:\n")
        typer.echo("| command | CPU seconds | ms an image | peak MB |\n| --- | --- | --- | --- |")
        for name, code in (
            ("json.loads", f"import json; json.loads(open({str(path)!r}, 'rb').read())"),
            ("pycocotools.COCO", f"from pycocotools.coco import COCO; COCO({str(path)!r})"),
        ):
            print_run(name, run_process(sys.executable, "-c", code), images)
        for command in ("inspect", "check"):
            print_run(command, run_command(command, root, "--format", "coco-instances"), images)
        root = Path(folder) / "covered"
        write_covered(root)
        typer.echo(f"\nOne image of {SIDE} x {SIDE}, {COVERS} polygons that cover it:\n")
        typer.echo("| command | CPU seconds | peak MB |\n| --- | --- | --- |")
        kinds = ("--to", "full", "--to", "boxes+tags", "--to", "points", "--workers", 1)
        for command, options in (
            ("inspect", ()),
            ("check", ()),
            ("price", ()),
            ("convert", ("--out", Path(folder) / "out", *kinds)),
        ):
            run = run_command(command, root, "--format", "coco-instances", *options)
            typer.echo(f"| {command} | {run.cpu_seconds:.1f} | {run.peak_mebibytes:.0f} |")


def print_run(name: str, run: Run, images: int) -> None:
    """Print what a command took as a row of Markdown, at once."""
    seconds = run.cpu_seconds
    each = f"{1000 * seconds / images:.2f}"
    typer.echo(f"| {name} | {seconds:.1f} | {each} | {run.peak_mebibytes:.0f} |")
    sys.stdout.flush()


def write_many(root: Path, images: int) -> None:
    """Write a list of random polygons around a middle, with their own boxes and areas."""
    rng = np.random.default_rng(0)
    count = images * PER_IMAGE
    angles = 2 * np.pi * np.sort(rng.random((count, CORNERS)), axis=1)
    radii = rng.uniform(8, 90, (2, count, 1)) * rng.uniform(0.6, 1, (count, CORNERS))
    middles = rng.uniform(0, [WIDTH, HEIGHT], (count, 2)).T[:, :, np.newaxis]
    rays = middles + radii * np.stack([np.cos(angles), np.sin(angles)])
    corners = np.stack([rays[0].clip(0, WIDTH), rays[1].clip(0, HEIGHT)], axis=2).round(2)
    low, high = corners.min(axis=1), corners.max(axis=1)
    x, y = corners[..., 0], corners[..., 1]
    areas = np.abs((x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1)) / 2
    boxes = np.concatenate([low, high - low], axis=1).round(2)
    categories = rng.integers(1, NUM_CATEGORIES + 1, count)
    write_list(
        root,
        [(f"{n:012d}.jpg", WIDTH, HEIGHT) for n in range(images)],
        [
            (n // PER_IMAGE + 1, *values)
            for n, values in enumerate(
                zip(
                    categories.tolist(),
                    corners.reshape(count, -1).tolist(),
                    areas.round(4).tolist(),
                    boxes.tolist(),
                    strict=True,
                )
            )
        ],
    )


def write_covered(root: Path) -> None:
    """Write a list of one image that each of many polygons covers."""
    square: list[float] = [0, 0, SIDE, 0, SIDE, SIDE, 0, SIDE]
    area, box = float(SIDE * SIDE), [0.0, 0.0, SIDE, SIDE]
    objects = [(1, 1 + n % 3, square, area, box) for n in range(COVERS)]
    write_list(root, [("a.jpg", SIDE, SIDE)], objects)


def write_list(
    root: Path,
    images: list[tuple[str, int, int]],
    objects: list[tuple[int, int, list[float], float, list[float]]],
) -> None:
    """Write a COCO file: names and sizes; image id, category id, polygon, area and box."""
    image_keys = ("file_name", "width", "height")
    keys = ("image_id", "category_id", "segmentation", "area", "bbox")
    content = {
        "images": [
            {"id": n, **dict(zip(image_keys, image, strict=True))}
            for n, image in enumerate(images, start=1)
        ],
        "annotations": [
            {"id": n, "iscrowd": 0, **dict(zip(keys, (i, c, [polygon], area, box), strict=True))}
            for n, (i, c, polygon, area, box) in enumerate(objects, start=1)
        ],
        "categories": CATEGORIES,
    }
    (root / LIST).parent.mkdir(parents=True)
    # Unlike `dump`, `dumps` uses the fast encoder.
    (root / LIST).write_text(json.dumps(content))


if __name__ == "__main__":
    typer.run(main)
