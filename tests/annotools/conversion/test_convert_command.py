import json
from pathlib import Path

from typer.testing import CliRunner

from annotools.cli import app
from annotools.formats import READERS, coco_panoptic
from annotools.records import Drop
from tests.annotools.conversion.conversion_runs import STREET, Memory, read, write_world
from tests.real_data import real_data


def test_the_command_prints_and_writes_its_table(tmp_path: Path):
    source = write_world(tmp_path, count=2)
    table, out = tmp_path / "table.json", tmp_path / "out"
    arguments = ["convert", str(source.root), "--format", "scenes", "--out", str(out)]
    arguments += ["--to", "boxes", "--to", "tags", "--crops", "24x24", "--json", str(table)]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "boxes.json" in done.stdout
    assert "stuff has no box" in done.stdout
    assert "missing files" not in done.stdout
    assert [row["kind"] for row in read(table)["kinds"]] == ["boxes", "tags"]
    assert len(read(out / "tags.json")["crops"]) == 8


def test_the_command_says_how_many_files_are_missing(in_memory: Memory, tmp_path: Path):
    gap = Drop(place="SegmentationObject/a.png", reason="the object map is missing")
    source = in_memory([("a.png", STREET)], gaps=(gap, gap))
    arguments = ["convert", str(source.root), "--format", "memory", "--to", "boxes"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    path = "SegmentationObject/a.png"
    assert f"missing files: 2, the object map is missing; {path}, {path}\n" in done.stdout


def test_a_kind_without_a_price_has_the_reason(tmp_path: Path):
    source = write_world(tmp_path, count=1)
    out = tmp_path / "out"
    arguments = ["convert", str(source.root), "--format", "scenes", "--out", str(out)]
    arguments += ["--to", "boxes", "--to", "scribbles"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    why = "times li2018 have no scribble"
    assert f"– scribbles: no price, because {why}\n" in done.stdout
    assert done.stdout.startswith("1 image, ")
    kinds = read(out / "manifest.json")["kinds"]
    assert (kinds["scribbles"]["hours"], kinds["scribbles"]["hours_missing"]) == (None, why)
    assert (kinds["boxes"]["hours"] is None, kinds["boxes"]["hours_missing"]) == (False, None)


def test_real_cityscapes_has_the_crops_of_the_paper(tmp_path: Path):
    root = real_data("cityscapes")
    arguments = ["convert", str(root), "--format", "cityscapes", "--out", str(tmp_path / "out")]
    arguments += ["--to", "boxes+tags", "--to", "full", "--max-images", "2"]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    crops = read(tmp_path / "out" / "tags.json")["crops"]
    assert len(crops) == 2 * 15
    assert {(crop["width"], crop["height"]) for crop in crops} == {(500, 400)}
    truth = READERS["cityscapes"](root, "train", False)
    dataset = coco_panoptic.read(tmp_path / "out", "train")
    for image in dataset.images:
        original = next(i for i in truth.images if i.image_id == image.image_id)
        assert dataset.read_label(image).segments == truth.read_label(original).segments


def test_a_kind_whose_work_is_unknown_has_no_price(tmp_path: Path):
    """Boxes say nothing of stuff, so that nobody knows how many tags of it there would be."""
    content = {
        "images": [{"id": 1, "file_name": "1.png", "width": 10, "height": 8}],
        "categories": [{"id": 3, "name": "car"}, {"id": 5, "name": "sky", "isthing": 0}],
        "annotations": [{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}],
    }
    path = tmp_path / "data" / "annotations" / "instances_val.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    out = tmp_path / "out"
    arguments = ["convert", str(tmp_path / "data"), "--format", "coco-instances", "--split", "val"]
    arguments += ["--to", "boxes", "--to", "tags", "--out", str(out)]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    why = "the labels do not tell how much there is to label"
    assert f"– tags: no price, because {why}\n" in done.stdout
    kinds = read(out / "manifest.json")["kinds"]
    assert (kinds["tags"]["hours"], kinds["tags"]["hours_missing"]) == (None, why)
    assert kinds["boxes"]["hours"] > 0
