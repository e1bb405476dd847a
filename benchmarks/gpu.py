"""All that needs a GPU, in one call: figures as Markdown rows and as JSON.

    python benchmarks/gpu.py [--out FILE.json]

Timings are of the second and later runs. The dense CRF is compared with `pydensecrf` on a core of
the same machine, and with itself on the CPU.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from convert import Row, describe_machine
from crf import crf_rows, read_photos, rough_probabilities, step_rows
from numpy.typing import NDArray

from annotools.records import Photo
from wsps.crf.mean_field import build_kernels, infer_labels
from wsps.recipe import CrfSettings

BACKBONE = "resnet101"
"""The paper's."""


def main(
    out: Annotated[Path | None, typer.Option(help="Also write the rows as JSON.")] = None,
) -> None:
    """Measure on the GPU and print Markdown rows."""
    if not torch.cuda.is_available():
        raise typer.BadParameter("there is no GPU here: run benchmarks/crf.py for a CPU's figures")
    typer.echo(f"{torch.cuda.get_device_name()}; {describe_machine()} torch {torch.__version__}")
    typer.echo("\n| figure | value | beside |\n| --- | --- | --- |")
    photos = list(read_photos(None, "", "", 3))
    rows = []
    measured = itertools.chain(
        device_rows(photos[0]), crf_rows(photos, BACKBONE), step_rows(BACKBONE, fast=True)
    )
    for row in measured:
        typer.echo(f"| {row.figure} | {row.value} | {row.beside} |")
        rows.append(dataclasses.asdict(row))
    if out is not None:
        out.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def device_rows(photo: Photo) -> Iterator[Row]:
    """Compare the beliefs of GPU and CPU."""
    on_gpu, on_cpu = (_beliefs(photo, torch.device(name)) for name in ("cuda", "cpu"))
    same = np.mean(on_gpu.argmax(axis=1) == on_cpu.argmax(axis=1))
    yield Row(
        figure="beliefs on GPU and CPU differ by at most",
        value=f"{np.abs(on_gpu - on_cpu).max():.2g}",
        beside=f"one class on {100 * same:.3f} %",
    )


def _beliefs(photo: Photo, device: torch.device) -> NDArray[np.float32]:
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
