"""Memory follows the picture, and not the picture times its objects."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SIDE = 1500
COUNT = 60

CHILD = """
import resource, runpy, sys
sys.argv = ["annotools", *sys.argv[1:]]
try:
    runpy.run_module("studies.cli", run_name="__main__")
except SystemExit as error:
    assert not error.code, error.code
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_covered(root: Path, count: int, side: int) -> None:
    """Write an image of which each of many polygons covers everything."""
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": side, "height": side}],
        "categories": [{"id": 1, "name": "cell"}, {"id": 2, "name": "nucleus"}],
        "annotations": [
            {
                "id": number + 1,
                "image_id": 1,
                "category_id": 1 + number % 2,
                "segmentation": [[0, 0, side, 0, side, side, 0, side]],
                "bbox": [0, 0, side, side],
                "area": side * side,
                "iscrowd": 0,
            }
            for number in range(count)
        ],
    }
    (root / "annotations").mkdir(parents=True)
    (root / "annotations" / "instances_train.json").write_text(json.dumps(content))


def peak_mebibytes(*arguments: object) -> float:
    command = [sys.executable, "-c", CHILD, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return int(done.stdout.split()[-1]) / unit


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect",),
        ("check",),
        ("convert", "--workers", 1, "--to", "full", "--to", "boxes+tags", "--to", "points"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_many_objects_that_cover_an_image_take_no_more_memory(
    tmp_path: Path, arguments: tuple[object, ...]
) -> None:
    peaks = []
    for count in (1, COUNT):
        root = tmp_path / f"{count}"
        write_covered(root, count, SIDE)
        command, *options = arguments
        if command == "convert":
            options += ["--out", tmp_path / f"out{count}"]
        peaks.append(peak_mebibytes(command, root, "--format", "coco-instances", *options))
    # The places of all pixels of all masks would be a gigabyte.
    assert peaks[1] - peaks[0] < 60
