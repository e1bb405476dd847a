import json
from pathlib import Path

import cv2
import numpy as np
from typer.testing import CliRunner

from annotools.cli import app


def test_photos_are_decoded_on_request(tmp_path: Path) -> None:
    for folder in ("annotations", "val"):
        (tmp_path / folder).mkdir()
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 500, "height": 400}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [],
    }
    (tmp_path / "annotations" / "instances_val.json").write_text(json.dumps(content))
    noise = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    data = cv2.imencode(".png", noise)[1]
    data[300_000] ^= 1
    (tmp_path / "val" / "a.png").write_bytes(data.tobytes())
    arguments = ["check", str(tmp_path), "--format", "coco-instances", "--split", "val"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    done = CliRunner().invoke(app, [*arguments, "--decode"])
    assert (done.exit_code, "the PNG is damaged" in done.stdout) == (1, True)


def test_the_answer_replaces_no_file_of_the_dataset(tmp_path: Path) -> None:
    root, linked = tmp_path / "data", tmp_path / "linked"
    for folder in (root / "gtFine/train/aachen", linked):
        folder.mkdir(parents=True)
    (root / "leftImg8bit").symlink_to(linked)
    label = root / "gtFine/train/aachen/aachen_000000_000019_gtFine_instanceIds.png"
    photo = root / "leftImg8bit/a.png"
    for path in (label, photo):
        path.write_bytes(b"kept")
        arguments = ["check", str(root), "--format", "cityscapes", "--json", str(path)]
        done = CliRunner().invoke(app, arguments)
        assert (done.exit_code, "is a file in" in done.output) == (2, True)
        assert path.read_bytes() == b"kept"
    beside = root / ".." / "problems.json"
    beside.write_text("{}")
    arguments[-1] = str(beside)
    CliRunner().invoke(app, arguments)
    assert "problems" in json.loads(beside.read_text())
