"""Measure how fast panoptic quality is counted, next to the reference implementation and hotcoco.

    python benchmarks/evaluate.py [--cityscapes ROOT]

Truths are Cityscapes labels, or scenes of their size; predictions are the truths with every
outline bent by a few pixels and some instances merged. The reference is the evaluation of
cityscapesScripts, which is that of panopticapi. It takes about two minutes and prints rows for
BENCHMARKS.md.
"""

import contextlib
import io
import itertools
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Annotated, TypeVar

import cv2
import numpy as np
import typer
from bent_predictions import Files, encode_with_pillow, write_files
from cityscapesscripts.evaluation.evalPanopticSemanticLabeling import (
    average_pq,
    pq_compute_single_core,
)
from convert import REPEATS, SPLIT, Row, copy_label_maps, describe_machine, make_label_maps, time_of
from hotcoco.panoptic import PanopticEval
from PIL import Image as PillowImage

from annotools.categories import CategorySet
from annotools.formats import read_dataset
from annotools.formats.panoptic_png import encode_segment_map
from annotools.formats.pictures import read_png_chunks
from annotools.formats.png_runs import find_png_runs
from annotools.parallel import run_parallel
from annotools.records import FullLabel
from wsps.evaluation.overlaps import RunLabel, measure_overlaps, to_runs
from wsps.evaluation.panoptic_quality import PanopticCounts, count_segments
from wsps.evaluation.rates import resample_quality
from wsps.scoring.evaluate import score_one

WORKERS = 2

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Spent:
    """The seconds that counting some images took: by the clock, and of all processors together."""

    seconds: float
    cpu_seconds: float


def main(
    cityscapes: Annotated[
        Path | None, typer.Option(help="The folder that holds gtFine; its split train is used.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Label maps to make or copy.")] = 48,
) -> None:
    """Measure evaluation and print Markdown rows."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "cityscapes"
        if cityscapes is None:
            make_label_maps(root, images)
        else:
            copy_label_maps(cityscapes, root, images)
        dataset = read_dataset("cityscapes", root, SPLIT)
        pillow = write_files(dataset, Path(folder) / "pillow", encode_with_pillow)
        own = write_files(dataset, Path(folder) / "own", encode_segment_map)
        source = "scenes scaled up" if cityscapes is None else "real labels"
        machine = describe_machine(("annotools", "numpy", "opencv-python-headless", "hotcoco"))
        typer.echo(f"Source: {images} pairs of label maps, {source}. {machine}")
        typer.echo(f"PQ, SQ and DQ of all three programs: {compare_scores(pillow)}.\n")
        rows = itertools.chain(
            measure_reference(pillow, "PNGs of Pillow, as the official script writes them"),
            measure_reference(own, "PNGs of annotools convert"),
            measure_decoders(pillow),
            measure_workers(pillow, "PNGs of Pillow", images),
            measure_workers(own, "PNGs of annotools convert", images),
            measure_memory(pillow, images),
        )
        typer.echo("| figure | value | beside | target |\n| --- | --- | --- | --- |")
        for row in rows:
            typer.echo(f"| {row.figure} | {row.value} | {row.beside} | {row.target} |")


def compare_scores(files: Files) -> str:
    """Return the mean scores in words; stop where the programs disagree.

    Raises:
        typer.Exit: after saying which scores differ.
    """
    truth, _ = files.read()
    rates = resample_quality([count_files(files)], np.ones((1, 1)), truth.categories)
    peer, hotcoco = reference_scores(files)["All"], hotcoco_scores(files)["All"]
    scores = np.array([rates[name][0, len(truth.categories)] for name in ("pq", "sq", "dq")])
    for name, others in (("reference", peer), ("hotcoco", hotcoco)):
        if not np.allclose(scores, [others["pq"], others["sq"], others["rq"]], rtol=0, atol=1e-9):
            typer.echo(f"ours {scores}, {name} {others}: the programs disagree", err=True)
            raise typer.Exit(1)
    return ", ".join(f"{score:.4f}" for score in scores)


def count_files(files: Files, first: int = 0, step: int = 1, times: int = 1) -> PanopticCounts:
    """Measure every `step`-th image as the command does; return the reference's counts."""
    task = files.pair()
    counts = PanopticCounts.zero(len(task.categories))
    for image in task.images[first::step] * times:
        official = score_one(task.categories, "detection", False, image).official_counts
        assert official is not None
        counts += official
    return counts


def reference_scores(files: Files) -> dict[str, dict[str, float]]:
    """Run the reference implementation in this process."""
    truth, prediction = (
        json.loads((root / "panoptic.json").read_text()) for root in (files.truth, files.prediction)
    )
    pairs = list(zip(truth["annotations"], prediction["annotations"], strict=True))
    categories = {entry["id"]: entry for entry in truth["categories"]}
    folders = (str(files.truth / "panoptic"), str(files.prediction / "panoptic"))
    with contextlib.redirect_stdout(io.StringIO()):
        counts = pq_compute_single_core(0, pairs, *folders, categories)
        scores: dict[str, dict[str, float]] = average_pq(counts, categories)
    return scores


def hotcoco_scores(files: Files) -> dict[str, dict[str, float]]:
    """Run hotcoco, with as many threads as its environment says."""
    evaluation = PanopticEval(
        str(files.truth / "panoptic.json"), str(files.prediction / "panoptic.json")
    )
    evaluation.evaluate()
    results: dict[str, dict[str, float]] = evaluation.results()
    return results


def measure_reference(files: Files, source: str) -> Iterator[Row]:
    """Measure one process from files and in memory; each repeat measures all, one by one."""
    truth, prediction = files.read()
    count = len(truth.images)
    labels = [truth.read_label(image) for image in truth.images[:8]]
    predictions = [prediction.read_label(image) for image in prediction.images[:8]]
    kept = [to_runs(label) for label in labels]
    size = median(runs_bytes(label) for label in kept) / labels[0].segment_map.nbytes
    seconds: dict[str, list[float]] = {"files": [], "maps": [], "runs": [], "reference": []}
    for _ in range(REPEATS):
        seconds["files"].append(time_of(lambda: count_files(files), repeats=1) / count)
        truths_of: dict[str, Sequence[FullLabel | RunLabel]] = {"maps": labels, "runs": kept}
        for name, truths in truths_of.items():
            pairs = list(zip(truths, predictions, strict=True))
            seconds[name].append(
                median(
                    time_of(partial(count_pair, *pair, truth.categories), repeats=5)
                    for pair in pairs
                )
            )
        seconds["reference"].append(time_of(lambda: reference_scores(files), repeats=1) / count)
    reference = seconds["reference"]
    for name, figure, target in (
        ("files", f"PQ from files, 1 process; {source}", "2.5 times"),
        ("maps", "PQ counted in memory from two maps", "15 times"),
        ("runs", f"PQ counted in memory, truth kept as runs ({size:.1%} of its map)", "15 times"),
    ):
        ratios = [peer / ours for peer, ours in zip(reference, seconds[name], strict=True)]
        yield Row(
            figure=figure,
            value=f"{1000 * median(seconds[name]):.1f} ms an image",
            beside=f"reference, from files, {1000 * median(reference):.0f} ms, "
            f"{median(ratios):.1f} times as long ({min(ratios):.1f} to {max(ratios):.1f})",
            target=target,
        )


def count_pair(
    truth: FullLabel | RunLabel, prediction: FullLabel, categories: CategorySet
) -> PanopticCounts:
    """Count the segments of one image, both labels in memory."""
    return count_segments(measure_overlaps(truth, prediction, categories), len(categories))


def runs_bytes(label: RunLabel) -> int:
    """Return the bytes of the arrays of a label kept as runs."""
    runs = label.runs
    return runs.starts.nbytes + runs.lengths.nbytes + runs.ids.nbytes


def measure_decoders(files: Files) -> Iterator[Row]:
    """Measure what decoding alone takes, with packages that are installed."""
    paths = sorted((files.truth / "panoptic").glob("*.png"))[:8]
    decoders: dict[str, Callable[[bytes], object]] = {
        "OpenCV": lambda d: cv2.imdecode(np.frombuffer(d, dtype=np.uint8), cv2.IMREAD_UNCHANGED),
        "Pillow": lambda d: np.asarray(PillowImage.open(io.BytesIO(d))),
    }
    for package, name in (("imagecodecs", "png_decode"), ("pyspng", "load")):
        with contextlib.suppress(ImportError):
            decoders[package] = getattr(import_module(package), name)
    for name, decode in decoders.items():
        seconds = [time_of(partial(decode, path.read_bytes())) for path in paths]
        figure = f"decode a PNG of Pillow ({name})"
        yield Row(figure=figure, value=f"{1000 * median(seconds):.1f} ms")

    def read_runs(path: Path) -> object:
        return find_png_runs(read_png_chunks(path))

    seconds = [time_of(partial(read_runs, path)) for path in paths]
    figure = "the runs of a PNG of Pillow, as annotools evaluate reads it"
    yield Row(figure=figure, value=f"{1000 * median(seconds):.1f} ms")


def measure_workers(files: Files, source: str, count: int) -> Iterator[Row]:
    """Measure two workers, ours as processes that have to start and hotcoco's as threads.

    Times are the best of the repeats, as other work on the machine can only add to them.
    """
    shares = partial(_count_share, files)

    def run_ours() -> None:
        for _ in run_parallel(shares, range(WORKERS), WORKERS):
            pass

    ours, inside, peer = [], [], []
    for _ in range(REPEATS):
        ours.append(time_of(run_ours, repeats=1))
        parts = list(run_parallel(shares, range(WORKERS), WORKERS))
        inside.append(
            Spent(
                seconds=max(part.seconds for part in parts),
                cpu_seconds=sum(part.cpu_seconds for part in parts),
            )
        )
        peer.append(in_new_process(_time_hotcoco, files, WORKERS))
    yield Row(
        figure=f"PQ from files, {WORKERS} workers; {source}",
        **_compare([s.seconds for s in inside], [s.seconds for s in peer], count, "of the clock"),
    )
    yield Row(
        figure="the same, processor time",
        **_compare(
            [s.cpu_seconds for s in inside],
            [s.cpu_seconds for s in peer],
            count,
            "of all processors",
        ),
    )
    start = median(ours) - median(spent.seconds for spent in inside)
    yield Row(figure="start of the workers", value=f"{start:.1f} s")


def _compare(ours: list[float], peer: list[float], count: int, of_what: str) -> dict[str, str]:
    ratios = [mine / other for mine, other in zip(ours, peer, strict=True)]
    return {
        "value": f"{1000 * min(ours) / count:.1f} ms an image {of_what}",
        "beside": f"hotcoco, {WORKERS} threads, {1000 * min(peer) / count:.1f} ms: ours takes "
        f"{median(ratios):.2f} times as long ({min(ratios):.2f} to {max(ratios):.2f})",
        "target": "level",
    }


def measure_memory(files: Files, count: int) -> Iterator[Row]:
    """Measure peak memory of counting few and many images, each in a process of its own."""
    for times in (1, 10):
        yield Row(
            figure=f"peak memory, PQ of {times * count} images from files",
            value=f"{in_new_process(_peak_mebibytes, files, times):.0f} MiB",
        )


def in_new_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Return what a function returns in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def _count_share(files: Files, first: int) -> Spent:
    return _time(lambda: count_files(files, first, WORKERS))


def _time_hotcoco(files: Files, threads: int) -> Spent:
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # read when the first threads are made
    return _time(lambda: hotcoco_scores(files))


def _time(function: Callable[[], object]) -> Spent:
    start, cpu_start = time.perf_counter(), time.process_time()
    function()
    return Spent(seconds=time.perf_counter() - start, cpu_seconds=time.process_time() - cpu_start)


def _peak_mebibytes(files: Files, times: int) -> float:
    count_files(files, times=times)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    typer.run(main)
