"""Runs of `annotools pseudo-label` on four scenes in one line, for tests."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from wsps.commands.pseudo_label import app
from wsps.pseudo_labels import label_images as image_task

QUICK = ("--set", "classifier.steps=2", "--set", "batch_size=2", "--crops", "32x32")


def make_world(folder: Path) -> Path:
    """Four scenes to label, and two held out."""
    path = folder / "world.toml"
    path.write_text("width = 64\nheight = 64\nnum_train = 4\nnum_val = 2\n")
    return path


def run(world: Path, labels: object, out: Path, *arguments: object) -> Result:
    given = [world, "--format", "scenes", "--labels", labels, "--out", out, *arguments]
    return CliRunner().invoke(app, [str(argument) for argument in given])


def run_well(world: Path, labels: object, out: Path, *arguments: object) -> dict[str, Any]:
    table = world.with_name("table.json")
    done = run(world, labels, out, *arguments, "--json", table)
    assert done.exit_code == 0, done.output + repr(done.exception)
    return json.loads(table.read_text())


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the disk be full when the maps of this image, counted from 1, are written."""
    write_maps, written = image_task.write_maps, []

    def stop(folder: Path, name: str, *maps: Any) -> None:
        written.append(name)
        if len(written) == number:
            raise OSError(28, "No space left on device", name)
        write_maps(folder, name, *maps)

    monkeypatch.setattr(image_task, "write_maps", stop)


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
