"""How fast labels are converted, beside bare decoding and the official Cityscapes script.

    python benchmarks/convert.py [--cityscapes ROOT]

Without ROOT it makes label maps of the size of Cityscapes from scenes, which have longer runs and
decode faster than real ones. It takes about three minutes and prints rows for BENCHMARKS.md.
"""

import contextlib
import io
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Annotated

import cv2
import numpy as np
import typer

from annotools.category_tables.cityscapes import CITYSCAPES_CATEGORIES
from annotools.formats import read_dataset
from annotools.formats.coco_panoptic import category_entries, panoptic_entry
from annotools.formats.panoptic_png import encode_segment_map
from annotools.parallel import available_processors
from annotools.records import Dataset, FullLabel
from annotools.scenes.world import SCENE_CATEGORIES, SceneWorld, draw_scene
from annotools.weak_labels.weaken import weaken

SPLIT = "train"
CROP_SIZE_WH = (500, 400)
SCALE = 8
"""Scenes of 256 x 128 become label maps of 2048 x 1024."""

REPEATS = 3
"""Times that each measurement is made; the median of them counts."""

SCENE_LABELS = {
    **{"road": 7, "sidewalk": 8, "building": 11, "vegetation": 21, "sky": 23},
    **{"person": 24, "car": 26, "bus": 28, "sign": 20},
}
"""Cityscapes label ids of the categories of scenes."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure, with its unit, and what it is to be compared with."""

    figure: str
    value: str
    beside: str = ""
    target: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a command took: CPU of all its processes, memory of the largest of them."""

    seconds: float
    cpu_seconds: float
    peak_mebibytes: float


def main(
    cityscapes: Annotated[
        Path | None, typer.Option(help="The folder that holds gtFine; its split train is used.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Label maps to make or copy.")] = 128,
    many: Annotated[int, typer.Option(min=1, help="Images of the run for memory.")] = 10_000,
) -> None:
    """Measure conversion and print Markdown rows."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "cityscapes"
        if cityscapes is None:
            make_label_maps(root, images)
        else:
            copy_label_maps(cityscapes, root, images)
        dataset = read_dataset("cityscapes", root, SPLIT)
        source = "scenes scaled up" if cityscapes is None else "real labels"
        rows = itertools.chain(
            measure_weak_labels(dataset),
            measure_panoptic(dataset, root, Path(folder)),
            measure_workers(root, Path(folder), len(dataset.images)),
            measure_memory(Path(folder), many),
        )
        typer.echo(f"Source: {len(dataset.images)} label maps, {source}. {describe_machine()}\n")
        typer.echo("| figure | value | beside | target |\n| --- | --- | --- | --- |")
        for row in rows:
            print_row(row)


def print_row(row: Row) -> None:
    """Print a figure as a row of Markdown, at once."""
    typer.echo(f"| {row.figure} | {row.value} | {row.beside} | {row.target} |")
    sys.stdout.flush()


def make_label_maps(root: Path, count: int) -> None:
    """Write instanceIds maps of scenes; eight different ones take turns."""
    folder = root / "gtFine" / SPLIT / "scene"
    folder.mkdir(parents=True)
    world = SceneWorld(width=2048 // SCALE, height=1024 // SCALE, num_train=8)
    for number in range(count):
        path = folder / f"scene_{number:06d}_000019_gtFine_instanceIds.png"
        if number >= world.num_train:
            shutil.copy(folder / f"scene_{number % 8:06d}_000019_gtFine_instanceIds.png", path)
            continue
        scene = draw_scene(world, SPLIT, number)
        values = np.zeros(scene.segment_map.shape, dtype=np.uint16)
        instance_numbers = itertools.count()
        for segment_id, category_id in scene.category_of.items():
            category = SCENE_CATEGORIES.by_id(category_id)
            value = SCENE_LABELS[category.name]
            if value >= 24:
                value = 1000 * value + next(instance_numbers)
            values[scene.segment_map == segment_id] = value
        cv2.imwrite(str(path), values.repeat(SCALE, axis=0).repeat(SCALE, axis=1))


def copy_label_maps(cityscapes: Path, root: Path, count: int) -> None:
    """Copy instanceIds maps, in turn where there are fewer than `count`."""
    maps = sorted((cityscapes / "gtFine" / SPLIT).glob("*/*_gtFine_instanceIds.png"))
    if not maps:
        raise typer.BadParameter(f"{cityscapes} has no gtFine/{SPLIT}/CITY/*_instanceIds.png")
    folder = root / "gtFine" / SPLIT / "copy"
    folder.mkdir(parents=True)
    for number in range(count):
        name = f"copy_{number:06d}_000019_gtFine_instanceIds.png"
        shutil.copy(maps[number % len(maps)], folder / name)


def measure_weak_labels(dataset: Dataset) -> Iterator[Row]:
    """Measure decoding alone, then boxes and tags, image by image."""
    seconds: dict[str, list[float]] = {"decode": [], "read": [], "weaken": []}
    for image in dataset.images:
        path = str(image.label_paths[0])
        seconds["decode"].append(time_of(partial(cv2.imread, path, cv2.IMREAD_UNCHANGED)))
        label = dataset.read_label(image)
        seconds["read"].append(time_of(partial(dataset.read_label, image)))
        seconds["weaken"].append(time_of(partial(boxes_and_tags, label)))
    decode, read, weak = (1000 * sum(values) / len(values) for values in seconds.values())
    yield Row(figure="decode an instanceIds PNG (OpenCV)", value=f"{decode:.1f} ms")
    yield Row(
        figure="boxes and tags of 15 crops from the file",
        value=f"{read + weak:.1f} ms ({read:.1f} read, {weak:.1f} weaken)",
        beside=f"{(read + weak) / decode:.2f} times decoding",
        target="1.5 times",
    )


def boxes_and_tags(label: FullLabel) -> object:
    """Make the paper's weak label."""
    return weaken(label, CITYSCAPES_CATEGORIES, "boxes+tags", CROP_SIZE_WH)


def measure_panoptic(dataset: Dataset, root: Path, folder: Path) -> Iterator[Row]:
    """Measure COCO panoptic files, from files to files, beside the official script."""
    out = folder / "panoptic"
    out.mkdir()
    count = len(dataset.images)
    ours = 1000 * time_of(lambda: write_panoptic(dataset, out)) / count
    beside = "cityscapesScripts is not installed"
    with contextlib.suppress(ImportError):
        from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic

        def run_peer() -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                convert2panoptic(str(root / "gtFine"), str(folder), setNames=[SPLIT])

        peer = 1000 * time_of(run_peer, repeats=1) / count
        beside = f"createPanopticImgs {peer:.0f} ms, {peer / ours:.1f} times as long"
    yield Row(
        figure="COCO panoptic, PNG to PNG and JSON",
        value=f"{ours:.1f} ms an image",
        beside=beside,
        target="5 times",
    )


def write_panoptic(dataset: Dataset, out: Path) -> None:
    """Convert a dataset to COCO panoptic files in this process."""
    annotations = []
    for image in dataset.images:
        label = dataset.read_label(image)
        name = f"{Path(image.file_name).stem}.png"
        (out / name).write_bytes(encode_segment_map(label.segment_map))
        annotations.append(panoptic_entry(label, image, name))
    content = {"annotations": annotations, "categories": category_entries(dataset.categories)}
    (out / "panoptic.json").write_text(json.dumps(content))


def measure_workers(root: Path, folder: Path, count: int) -> Iterator[Row]:
    """Measure the whole command with one worker process, and with one per processor."""
    kinds = ("--to", "boxes", "--to", "tags", "--to", "full")
    first = 0.0
    for workers in sorted({1, 2, available_processors()}):
        out = folder / f"workers{workers}"
        run = run_command(
            *("convert", root, "--format", "cityscapes", "--split", SPLIT, *kinds),
            *("--out", out, "--workers", workers),
        )
        first = first or run.seconds
        yield Row(
            figure=f"annotools convert to boxes, tags and full, workers: {workers}",
            value=f"{run.seconds:.1f} s, {count / run.seconds:.1f} images/s",
            beside=f"{first / run.seconds:.2f} times as fast as 1; {run.cpu_seconds:.1f} s of CPU",
        )


def measure_memory(folder: Path, many: int) -> Iterator[Row]:
    """Measure peak memory of converting a few and many tiny images."""
    for count in (many // 10, many):
        world = folder / f"world{count}.toml"
        world.write_text(f"width = 48\nheight = 32\nnum_train = {count}\nnum_val = 1\n")
        run = run_command(
            *("convert", world, "--format", "scenes", "--to", "boxes", "--to", "tags"),
            *("--out", folder / f"tiny{count}"),
        )
        yield Row(
            figure=f"peak memory, {count:,} tiny images to boxes and tags",
            value=f"{run.peak_mebibytes:.0f} MiB",
            beside=f"{run.seconds:.0f} s",
        )


def run_command(*arguments: object) -> Run:
    """Run annotools to its end."""
    return run_process(Path(sys.executable).with_name("annotools"), *arguments)


def run_process(*command: object) -> Run:
    """Run a command to its end."""
    start = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise typer.Exit(process.returncode)
    return Run(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mebibytes=usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
    )


def time_of(action: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median seconds of an action."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def describe_machine(
    packages: Sequence[str] = ("annotools", "numpy", "opencv-python-headless"),
) -> str:
    """Return processors, Python and versions in a sentence."""
    found = [f"Python {platform.python_version()}"]
    for name in (*packages, "cityscapesScripts"):
        # A package may be installed under another name, or not at all.
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return (
        f"{available_processors()} processors {_processor_model()}, "
        f"{platform.system()}, {', '.join(found)}."
    )


def _processor_model() -> str:
    """Return what the system calls its processors; the architecture where it does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    typer.run(main)
