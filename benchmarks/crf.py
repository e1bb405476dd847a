"""The dense CRF: build, filter, whole inference, and a step of the instance subnetwork.

    OMP_NUM_THREADS=1 python benchmarks/crf.py [ROOT --format F] [--backbone resnet101]

`pydensecrf` runs in turn with the lattice, on the same photos and probabilities. Without ROOT the
photos are noisy patches of colour. It prints Markdown rows; `benchmarks/gpu.py` measures the CRF
on a GPU too.
"""

import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from convert import Row, describe_machine
from numpy.typing import NDArray
from steps import View, draw_patches, instance_step, semantic_step

from annotools.formats import read_dataset
from annotools.records import Photo
from wsps.crf.dense_crf import sharpen
from wsps.crf.lattice import Lattice
from wsps.crf.mean_field import build_kernels, place_features
from wsps.device import choose_device
from wsps.recipe import CRF_ENGINES, CrfSettings

SIZE_HW = (427, 640)
NUM_CLASSES = 21
VIEW = View(size_wh=(521, 521), batch_size=1)
"""One of the paper's training crops (Li, Arnab, Torr 2018, sec. B.1)."""

DETECTIONS = (10, 30, 100)
REPEATS = 3


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Medians of some runs."""

    seconds: float
    cpu_seconds: float

    def __str__(self) -> str:
        return f"{1000 * self.seconds:.1f} ms (processor {1000 * self.cpu_seconds:.1f})"


def main(
    root: Annotated[Path | None, typer.Argument(help="A dataset's folder, for its photos.")] = None,
    format_name: Annotated[str, typer.Option("--format", help="Its format.")] = "voc",
    split: Annotated[str, typer.Option(help="Its split.")] = "train",
    photos: Annotated[int, typer.Option(min=1, help="How many photos.")] = 6,
    backbone: Annotated[str, typer.Option(help="Of the semantic step beside.")] = "small",
) -> None:
    """Measure and print Markdown rows."""
    found = list(read_photos(root, format_name, split, photos))
    typer.echo(f"{describe_machine()} torch {torch.__version__}, {torch.get_num_threads()} threads")
    typer.echo("\n| figure | value | beside |\n| --- | --- | --- |")
    for row in itertools.chain(crf_rows(found), step_rows(backbone)):
        typer.echo(f"| {row.figure} | {row.value} | {row.beside} |")


def crf_rows(photos: list[Photo]) -> Iterator[Row]:
    """Yield the rows of the CRF itself, on the device that `choose_device` gives."""
    yield from error_rows(photos)
    yield from filter_rows(photos[0])
    yield from inference_rows(photos)
    yield from small_rows(photos[0])


def read_photos(root: Path | None, format_name: str, split: str, count: int) -> Iterator[Photo]:
    """Yield photos of one size, enlarged or reduced to it."""
    size_wh = SIZE_HW[::-1]
    if root is None:
        for seed in range(count):
            yield draw_patches(seed, size_wh)
        return
    dataset = read_dataset(format_name, root, split)
    for image in dataset.images[:count]:
        yield resize_photo(dataset.read_photo(image), size_wh)


def resize_photo(photo: Photo, size_wh: tuple[int, int]) -> Photo:
    """Return a photo of another size."""
    return np.asarray(cv2.resize(photo, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def error_rows(photos: list[Photo]) -> Iterator[Row]:
    """Compare both kernels with all pairs of pixels, on the middle of each photo.

    Labels are steps of 0 and 1, so that an error is one of a belief. The sums over all pairs are
    made in double precision: a GPU's matrix products in TF32 are further off than the lattice.
    """
    device, settings, side = choose_device(), CrfSettings(), 48
    here = torch.ones(1, device=device)
    errors: dict[str, list[float]] = {"Gaussian": [], "bilateral": []}
    for photo in photos:
        top, left = (size // 2 - side // 2 for size in photo.shape[:2])
        crop = photo[top : top + side, left : left + side].astype(np.float32)
        colours = torch.from_numpy(crop).to(device)
        places = place_features(side, side, device)
        near = places / settings.gaussian_sigma_xy
        alike = [
            places / settings.bilateral_sigma_xy,
            colours.flatten(0, 1) / settings.bilateral_sigma_rgb,
        ]
        labels = torch.stack([places[:, 0] > 20, places[:, 1] > 30], dim=1).float()
        kernels = build_kernels(colours.permute(2, 0, 1)[None], settings, here, "symmetric")
        for name, features, kernel in zip(
            errors, (near, torch.cat(alike, dim=1)), kernels, strict=True
        ):
            exact = torch.exp(-torch.cdist(features.double(), features.double()).square() / 2)
            scale = exact.sum(dim=1).rsqrt()
            expected = scale[:, None] * (exact @ (scale[:, None] * labels.double()))
            errors[name].append(float((kernel.filter(labels) - expected).abs().mean()))
    for name, found in errors.items():
        yield Row(
            figure=f"{name}, mean error of a belief on {side} x {side} pixels",
            value=f"{100 * np.mean(found):.2f} %",
            beside=f"by photo at most {100 * max(found):.2f} %",
        )


def filter_rows(photo: Photo) -> Iterator[Row]:
    """Measure one kernel of each sort: made once, then filtering some channels."""
    device, settings = choose_device(), CrfSettings()
    colours = torch.from_numpy(photo.astype(np.float32)).to(device).permute(2, 0, 1)[None]

    def build() -> tuple[Lattice, Lattice]:
        kernels = build_kernels(colours, settings, torch.ones(1, device=device), "symmetric")
        assert [len(kernel.chain) for kernel in kernels] == [5, 8]
        return kernels

    yield Row(figure="both kernels of a photo, made", value=str(measure(build)))
    for name, kernel in zip(("Gaussian", "bilateral"), build(), strict=True):
        rows = f"{kernel.splat.num_rows} lattice points"
        for channels in (16, 21, 32):
            values = torch.rand(photo[..., 0].size, channels, device=device)
            cost = measure(partial(kernel.filter, values))
            yield Row(figure=f"{name}, {channels} channels", value=str(cost), beside=rows)


def inference_rows(photos: list[Photo]) -> Iterator[Row]:
    """Measure 10 iterations with both engines in turn, and how far their classes agree."""
    costs: dict[str, list[Cost]] = {engine: [] for engine in CRF_ENGINES}
    shares = []
    for seed, photo in enumerate(photos):
        probabilities = rough_probabilities(seed)
        classes = []
        for engine in CRF_ENGINES:
            settings = CrfSettings(engine=engine)

            def infer(settings: CrfSettings = settings) -> NDArray[np.float32]:
                return sharpen(photo, probabilities, settings)  # noqa: B023

            costs[engine].append(measure(infer))
            classes.append(infer().argmax(axis=0))
        shares.append(np.mean(classes[0] == classes[1]))
    for engine, measured in costs.items():
        cost = Cost(
            seconds=median(c.seconds for c in measured),
            cpu_seconds=median(c.cpu_seconds for c in measured),
        )
        yield Row(figure=f"10 iterations, {NUM_CLASSES} classes, {engine}", value=str(cost))
    ratios = [a.seconds / b.seconds for a, b in zip(*(costs[e] for e in CRF_ENGINES), strict=True)]
    yield Row(
        figure="lattice in times of pydensecrf, by photo",
        value=", ".join(f"{ratio:.2f}" for ratio in ratios),
        beside=f"one class on {100 * np.mean(shares):.3f} %, at least {100 * min(shares):.3f} %",
    )


def rough_probabilities(seed: int) -> NDArray[np.float32]:
    """Of classes in smooth patches, as a network with a coarse output gives them."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(NUM_CLASSES, 11, 16)).astype(np.float32)
    large = [cv2.resize(3 * c, SIZE_HW[::-1], interpolation=cv2.INTER_CUBIC) for c in coarse]
    powers = np.exp(np.stack(large))
    return np.asarray(powers / powers.sum(axis=0), dtype=np.float32)


def small_rows(photo: Photo) -> Iterator[Row]:
    """Measure both engines on the pixels of a box and of a small photo, with few classes."""
    for (height, width), count in (((64, 64), 2), ((140, 250), 4)):
        small = resize_photo(photo, (width, height))
        classes = rough_probabilities(0)[:count]
        resized = np.stack([cv2.resize(c, (width, height)) for c in classes]) + 1e-3
        probabilities = np.asarray(resized / resized.sum(axis=0), dtype=np.float32)
        found = []
        for engine in CRF_ENGINES:
            settings = CrfSettings(engine=engine)
            found.append(measure(partial(sharpen, small, probabilities, settings)))
        yield Row(
            figure=f"10 iterations, {count} classes, {width} x {height} pixels, lattice",
            value=str(found[0]),
            beside=f"pydensecrf {found[1]}",
        )


def step_rows(backbone: str) -> Iterator[Row]:
    """Measure training steps on one crop, each in a process of its own."""
    where = f"{backbone}, {VIEW}, float32"
    alone, memory = in_own_process(backbone, None)
    yield Row(figure=f"semantic step, {where}", value=str(alone), beside=f"{memory:.0f} MiB")
    for count in DETECTIONS:
        cost, memory = in_own_process(backbone, count)
        yield Row(
            figure=f"instance step, {count} detections given, {where}",
            value=str(cost),
            beside=f"{memory:.0f} MiB, {cost.seconds / alone.seconds:.2f} semantic steps",
        )


def measure(function: Callable[[], object]) -> Cost:
    """Return the medians of some runs after a first one."""
    is_gpu = choose_device().type == "cuda"
    times = []
    for _ in range(1 + REPEATS):
        start, cpu_start = time.perf_counter(), time.process_time()
        function()
        if is_gpu:
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start, time.process_time() - cpu_start))
    return Cost(
        seconds=median(seconds for seconds, _ in times[1:]),
        cpu_seconds=median(seconds for _, seconds in times[1:]),
    )


def in_own_process(backbone: str, count: int | None) -> tuple[Cost, float]:
    """Return the cost of a step, and the MiB that it took on top of a process that imports this.

    Args:
        backbone: of the semantic network.
        count: of detections, for the instance step; None for the semantic one.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(_with_memory, backbone, count).result()


def _with_memory(backbone: str, count: int | None) -> tuple[Cost, float]:
    before = _peak_mebibytes()
    if count is None:
        step = semantic_step(backbone, VIEW, "float32")
    else:
        step = instance_step(backbone, VIEW, "float32", count)
    return measure(step), _peak_mebibytes() - before


def _peak_mebibytes() -> float:
    """Return the most memory that this process has had; `getrusage` gives its parent's as well."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    typer.run(main)
