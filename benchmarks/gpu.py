"""All that needs a GPU, in one call of at most eight minutes: Markdown rows and JSON.

    python benchmarks/gpu.py [--out FILE.json] [--nuclei DIR] [--only PART ...]

Each part runs in processes of its own and has a limit of its own; what a part has measured before
its end is kept, and so is what the call has when it is stopped itself. `--nuclei` is the data of
`studies/recipes/nuclei.toml`. Steps and their peers take turns in one process, each turn five steps
long; figures are medians after the first steps. The dense CRF is compared with `pydensecrf` on a
core of the same machine.
"""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from convert import Row, describe_machine, print_row
from crf import NUM_CLASSES, crf_rows, read_photos, rough_probabilities
from examples import make_scenes, read_examples, write_photos
from numpy.typing import NDArray
from steps import View, detector_rows, instance_rows, semantic_rows

from annotools.parallel import available_processors
from annotools.records import Photo
from wsps.crf.mean_field import build_kernels, infer_labels
from wsps.data import Examples
from wsps.device import choose_device
from wsps.networks.model import build_segmenter
from wsps.recipe import (
    BackboneSettings,
    CrfSettings,
    DescentSettings,
    Recipe,
    SemanticSettings,
    ViewSettings,
)
from wsps.training.loop import Running
from wsps.training.stages import train_semantic

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("annotools", "torch", "torchvision", "numpy", "opencv-python-headless")
SECONDS = 470
"""Of the whole call, so that one of eight minutes ends by itself."""

SPARE_SECONDS = 5
"""Before its limit a part stops what it has started, to tell how far that came."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large everything is."""

    side: int = 521
    """Of the paper's training crops (Li, Arnab, Torr 2018, sec. B.1)."""
    steps: tuple[tuple[str, str], ...] = (
        *(("resnet101", "bfloat16"), ("resnet50", "bfloat16")),
        *(("resnet101", "TF32"), ("resnet101", "float32")),
    )
    """Backbones and precisions, what training uses on a GPU first."""
    detections: tuple[int, ...] = (30, 100)
    repeats: int = 4
    small_steps: int = 160
    """Those of the recipe, of which starting the loaders takes its share."""
    large_steps: int = 100
    demo: tuple[str, ...] = ("demo",)
    nuclei: tuple[str, ...] = (
        *("--seeds", "1", "--workers", "1", "--set", "mixes={boxes={boxes=1}}"),
        *("--set", "budgets_hours=[2]", "--set", "dataset.max_val_images=20"),
        *("--set", "recipe.semantic.steps=500", "--set", "recipe.detector.steps=2000"),
    )
    """One trial with a quarter of its steps: the study's twelve take an hour and more."""
    loaders: int = max(1, min(8, available_processors() - 1))
    """As the command train has on a GPU."""


TINY = Sizes(
    side=65,
    steps=(("resnet50", "bfloat16"),),
    detections=(3, 5),
    repeats=1,
    small_steps=6,
    large_steps=1,
    demo=(
        *("study", "run", str(ROOT / "studies/recipes/demo.toml"), "--seeds", "1"),
        *("--workers", "1", "--set", "budgets_hours=[0.4]", "--set", "recipe.semantic.steps=2"),
        *("--set", "recipe.detector.steps=2", "--set", "recipe.instance.steps=1"),
        *("--set", "recipe.classifier.steps=2"),
    ),
    nuclei=(
        *("--seeds", "1", "--workers", "1", "--set", "budgets_hours=[0.5]"),
        *("--set", "dataset.max_val_images=1", "--set", "recipe.semantic.steps=2"),
        *("--set", "recipe.detector.steps=2", "--set", "recipe.instance.steps=1"),
        *("--set", "recipe.images.max_side=64", "--set", "recipe.refinement.rounds=0"),
    ),
)
"""What a CPU measures in a minute or two, to see that every part runs."""

Rows = Iterator[Row]
Part = Callable[[Sizes, float, Path], Rows]
"""Given sizes, the seconds it has, and a folder for its files."""


def main(
    out: Annotated[Path | None, typer.Option(help="Also write the rows as JSON.")] = None,
    nuclei: Annotated[
        Path | None, typer.Option(help="The data of the nuclei study; left out without.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="PART", help="A part to measure; repeat it.")
    ] = None,
    seconds: Annotated[int, typer.Option(min=10, help="Limit of the whole call.")] = SECONDS,
    tiny: Annotated[bool, typer.Option("--tiny", hidden=True)] = False,
) -> None:
    """Measure on the GPU and print Markdown rows."""
    end = time.monotonic() + seconds
    if not tiny and not torch.cuda.is_available():
        raise typer.BadParameter(
            "there is no GPU here: benchmarks/crf.py and benchmarks/train_step.py are for a CPU"
        )
    parts = list_parts(nuclei)
    unknown = sorted({*(only or ())} - parts.keys())
    if unknown:
        raise typer.BadParameter(f"--only {unknown[0]}: use {', '.join(parts)}")
    # A call that is stopped from outside ends its parts as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    machine = f"{device}; {describe_machine(PACKAGES)}"
    command = shlex.join(["python", "benchmarks/gpu.py", *sys.argv[1:]])
    typer.echo(f"{machine}\n\n    {command}\n")
    typer.echo("| figure | value | beside | target |\n| --- | --- | --- | --- |")
    found: list[dict[str, str]] = []
    for name, (limit, part) in parts.items():
        if only and name not in only:
            continue
        started = time.monotonic()
        for row in run_part(name, part, TINY if tiny else Sizes(), min(limit, end - started)):
            print_row(row)
            found.append({"part": name, **dataclasses.asdict(row)})
            if out is not None:
                content = {"machine": machine, "command": command, "rows": found}
                out.write_text(json.dumps(content, indent=1), encoding="utf-8")
        typer.echo(f"{name}: {time.monotonic() - started:.0f} s", err=True)


def list_parts(nuclei: Path | None) -> dict[str, tuple[float, Part]]:
    """Return the parts with their limits in seconds: what the reaches are about first."""
    study = skip_nuclei if nuclei is None else partial(nuclei_rows, nuclei.resolve())
    return {
        "device": (40, device_rows),
        "crf": (90, dense_crf_rows),
        "tests": (70, gpu_test_rows),
        "steps": (220, steps_rows),
        "waiting": (110, waiting_rows),
        "demo": (110, demo_rows),
        "nuclei": (260, study),
    }


def run_part(name: str, part: Part, sizes: Sizes, seconds: float) -> Rows:
    """Yield the rows of a part as they come, and one more where it does not end well."""
    if seconds < 2 * SPARE_SECONDS:
        yield Row(figure=name, value="not measured: the call's time was over")
        return
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = context.Process(
            target=_send_rows, args=(sender, name, part, sizes, end - SPARE_SECONDS, Path(folder))
        )
        process.start()
        sender.close()
        try:
            while receiver.poll(max(0.0, end - time.monotonic())):
                row = receiver.recv()
                if row is None:
                    break
                yield row
            else:
                yield Row(figure=name, value=f"stopped after {seconds:.0f} s")
        except EOFError:
            yield Row(figure=name, value="its process died")
        finally:
            # With all that it has started: the part leads a group of its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()


def _send_rows(
    sender: Connection, name: str, part: Part, sizes: Sizes, end: float, folder: Path
) -> None:
    os.setsid()
    # Of the limit, the start of this process has taken its share: clocks of both are one.
    seconds = max(1.0, end - time.monotonic())
    try:
        for row in part(sizes, seconds, folder):
            sender.send(row)
    except Exception as error:  # One part that fails must not end the others.
        traceback.print_exc()
        told = " ".join(f"{type(error).__name__}: {error}".split()).replace("|", "/")
        sender.send(Row(figure=name, value=f"failed: {told[:200]}"))
    sender.send(None)


def steps_rows(sizes: Sizes, _seconds: float, _folder: Path) -> Rows:
    """Compare steps of training with the peers' and with each other; memory is of each alone."""
    view = View(size_wh=(sizes.side, sizes.side), batch_size=1)
    for backbone, precision in sizes.steps:
        yield from semantic_rows(backbone, view, precision, sizes.repeats)
        yield from instance_rows(backbone, view, precision, sizes.repeats, sizes.detections)
    yield from detector_rows("resnet50", view, sizes.steps[0][1], sizes.repeats)


def waiting_rows(sizes: Sizes, _seconds: float, folder: Path) -> Rows:
    """Measure the share of a semantic stage that is spent waiting for batches."""
    scenes, small = make_scenes(folder), Recipe()
    scenes.keep(available_processors())
    for loaders in (sizes.loaders, 0):
        yield waiting_row("small, scenes of the demo", small, scenes, loaders, sizes.small_steps)
    large = Recipe(
        backbone=BackboneSettings(name="resnet50"),
        views=ViewSettings(crop_size_wh=(sizes.side, sizes.side), scale_range=(0.5, 2.0)),
        descent=DescentSettings(batch_size=8),
    )
    write_photos(folder)
    for name, keep in (("kept", True), ("decoded each time", False)):
        photos = read_examples(folder, keep)
        photos.keep(available_processors())
        figure = f"resnet50, batch 8, {sizes.side} x {sizes.side}, JPEGs {name}"
        yield waiting_row(figure, large, photos, sizes.loaders, sizes.large_steps)


def waiting_row(name: str, recipe: Recipe, examples: Examples, loaders: int, steps: int) -> Row:
    """Train a semantic network, and say for what share of the time it waited for batches."""
    torch.manual_seed(0)
    network = build_segmenter(recipe, NUM_CLASSES).to(choose_device())
    # A GPU tries its algorithms in a short stage before.
    for count in (3, steps):
        stage = SemanticSettings(steps=count, learning_rate=1e-4)
        trained = dataclasses.replace(recipe, semantic=stage)
        course = train_semantic(network, [examples], trained, 0, 0, Running(loaders=loaders))
    return Row(
        figure=f"share of {steps} semantic steps spent waiting, {name}, loaders: {loaders}",
        value=f"{100 * course.waiting / course.seconds:.1f} %",
        beside=f"{1000 * course.seconds / steps:.1f} ms a step",
        # A study trains on small crops without loaders.
        target="5 %" if loaders else "",
    )


def demo_rows(sizes: Sizes, seconds: float, folder: Path) -> Rows:
    """Measure the demo as a user runs it."""
    yield from _study_rows("annotools demo", sizes.demo, 60, seconds, folder)


def nuclei_rows(data: Path, sizes: Sizes, seconds: float, folder: Path) -> Rows:
    """Measure a short trial of the shipped study of nuclei."""
    recipe = str(ROOT / "studies" / "recipes" / "nuclei.toml")
    command = ("study", "run", recipe, "--set", f"dataset.root={data}", *sizes.nuclei)
    yield from _study_rows("a short trial of nuclei", command, None, seconds, folder)


def skip_nuclei(_sizes: Sizes, _seconds: float, _folder: Path) -> Rows:
    """Say that there are no data."""
    yield Row(figure="a short trial of nuclei", value="not measured: no --nuclei")


def _study_rows(
    name: str, command: Sequence[str], target: int | None, seconds: float, folder: Path
) -> Rows:
    """Run a study to its end; yield its seconds and scores, or how far it came."""
    study, table = folder / "study", folder / "table.json"
    whole = [sys.executable, "-m", "studies.cli", *command, "--out", str(study)]
    start = time.monotonic()
    with (folder / "errors.txt").open("w") as errors:
        process = subprocess.Popen(
            [*whole, "--json", str(table)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
    taken = time.monotonic() - start
    results = [json.loads(path.read_text()) for path in study.glob("trials/*/result.json")]
    trials = [result["seconds"] for result in results]
    beside = f"{len(trials)} trials"
    if trials:
        beside += f" of {min(trials):.0f} to {max(trials):.0f} s"
    if code is None:
        value = f"not done after {taken:.0f} s"
    elif code:
        lines = (folder / "errors.txt").read_text().strip().splitlines() or ["says nothing"]
        value = f"failed after {taken:.0f} s: {lines[-1][-200:]}".replace("|", "/")
    else:
        value = f"{taken:.0f} s"
    aim = "" if target is None else f"{target} s"
    yield Row(figure=name, value=value, beside=beside, target=aim)
    if code != 0:
        return
    for row in json.loads(table.read_text())["rows"]:
        yield Row(
            figure=f"{name}: {row['mix']}, {row['budget_hours']:g} h, {row['num_seeds']} seeds",
            value=f"PQ {_percent(row['pq_mean'])}",
            beside=f"{_percent(row['pq_min'])} to {_percent(row['pq_max'])}",
        )


def _percent(share: float | None) -> str:
    return "undefined" if share is None else f"{100 * share:.1f} %"


def gpu_test_rows(_sizes: Sizes, seconds: float, _folder: Path) -> Rows:
    """Run the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/wsps/test_gpu.py"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    if found.returncode:
        typer.echo(found.stdout[-4000:] + found.stderr[-2000:], err=True)
    lines = (found.stdout.strip() or found.stderr.strip()).splitlines() or ["says nothing"]
    yield Row(figure="pytest -m gpu", value=lines[-1].strip("= ").replace("|", "/"))


def dense_crf_rows(_sizes: Sizes, _seconds: float, _folder: Path) -> Rows:
    """Measure the dense CRF, beside pydensecrf."""
    yield from crf_rows(list(read_photos(None, "", "", 3)))


def device_rows(_sizes: Sizes, _seconds: float, _folder: Path) -> Rows:
    """Compare the beliefs of GPU and CPU."""
    photo = next(read_photos(None, "", "", 1))
    on_device, on_cpu = (_beliefs(photo, device) for device in (choose_device(), "cpu"))
    same = np.mean(on_device.argmax(axis=1) == on_cpu.argmax(axis=1))
    yield Row(
        figure="beliefs on GPU and CPU differ by at most",
        value=f"{np.abs(on_device - on_cpu).max():.2g}",
        beside=f"one class on {100 * same:.3f} %",
    )


def _beliefs(photo: Photo, device: torch.device | str) -> NDArray[np.float32]:
    settings = CrfSettings()
    colours = torch.from_numpy(photo.astype(np.float32)).to(device).permute(2, 0, 1)[None]
    kernels = build_kernels(colours, settings, torch.ones(1, device=device), "symmetric")
    weights = torch.tensor([settings.gaussian_weight, settings.bilateral_weight], device=device)
    evidence = torch.from_numpy(rough_probabilities(0)).to(device).log().flatten(1).t()[None]
    pairs = list(zip(kernels, weights, strict=True))
    log_q = infer_labels(evidence.contiguous(), pairs, settings.iterations)
    return np.asarray(log_q[0].exp().cpu(), dtype=np.float32)


if __name__ == "__main__":
    typer.run(main)
