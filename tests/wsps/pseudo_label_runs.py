"""Runs of `annotools pseudo-label` on four scenes in one line, for tests."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from annotools.formats.pictures import decode_map
from wsps.commands.pseudo_label import app
from wsps.pseudo_labels import label_images

PARTS = ("semantic", "instances")
QUICK = (
    *("--set", "classifier.steps=2", "--set", "descent.batch_size=2", "--crops", "32x32"),
    # The same on every processor, with units for bfloat16 or without.
    *("--set", "descent.precision=float32"),
)


def make_world(folder: Path) -> Path:
    """Four scenes to label, and two held out."""
    path = folder / "world.toml"
    path.write_text("width = 64\nheight = 64\nnum_train = 4\nnum_val = 2\n")
    return path


def run(world: Path, labels: object, out: Path, *arguments: object) -> Result:
    given = [world, "--format", "scenes", "--labels", labels, "--out", out, "--maps", *arguments]
    return run_command(*given)


def run_command(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_well(world: Path, labels: object, out: Path, *arguments: object) -> dict[str, Any]:
    table = world.with_name("table.json")
    done = run(world, labels, out, *arguments, "--json", table)
    assert done.exit_code == 0, done.output + repr(done.exception)
    return json.loads(table.read_text())


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the disk be full when the label of this image, counted from 1, is written."""
    write_label, written = label_images.write_label, []

    def stop(folder: Path, name: str, *rest: Any) -> Any:
        written.append(name)
        if len(written) == number:
            raise OSError(28, "No space left on device", name)
        return write_label(folder, name, *rest)

    monkeypatch.setattr(label_images, "write_label", stop)


def read_maps(out: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The class map and the instance map that --maps wrote."""
    classes, instances = (decode_map(out / part / f"{name}.png") for part in PARTS)
    return classes, instances.astype(np.int32)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def contents(out: Path) -> dict[str, bytes]:
    paths = (path for path in out.rglob("*.*") if path.is_file() and ".state" not in path.parts)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


def write_allocation(path: Path, kind_of: Mapping[int, str], **settings: object) -> Path:
    mix = dict.fromkeys(kind_of.values(), 1)
    asked = {"format": "scenes", "root": "w", "split": "train", "mix": mix, "budget_hours": 9}
    images = [{"id": i, "kind": kind, "seconds": 1} for i, kind in kind_of.items()]
    content = {"written_by": "annotools plan", "settings": asked | settings, "images": images}
    path.write_text(json.dumps(content))
    return path


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[tuple[Any, ...]]:
    """The arguments of every call of a function from now on."""
    function: Callable[..., Any] = getattr(module, name)
    calls = []

    def count(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        return function(*arguments, **named)

    monkeypatch.setattr(module, name, count)
    return calls
