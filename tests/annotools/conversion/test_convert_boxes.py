import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from annotools.cli import app
from annotools.conversion.convert import Conversion, convert
from annotools.conversion.wanted import Wanted
from annotools.errors import DatasetError
from annotools.formats.source import Source
from annotools.prices.times import read_times
from annotools.records import LABEL_KINDS
from annotools.weak_labels.annotators import Annotator, BoxHabits, MissRates, TagHabits
from annotools.weak_labels.weaken import WEAK_KINDS

BOXES = ([2.2, 1.8, 10.5, 6.4], [0, 0, 5, 5], [10, 5, 4, 4])
BLIND = Annotator(
    boxes=BoxHabits(miss_rate=MissRates(small=1, medium=1, large=1)), tags=TagHabits(miss_rate=1)
)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    annotations: list[Mapping[str, Any]] = [
        {"image_id": 1, "category_id": 3, "segmentation": [], "bbox": BOXES[0]},
        {"image_id": 2, "category_id": 7, "segmentation": [], "bbox": BOXES[1]},
        {"image_id": 2, "category_id": 3, "segmentation": [], "bbox": BOXES[2], "iscrowd": 1},
        {"image_id": 2, "category_id": 3, "segmentation": [], "bbox": [1, 2, 3]},
    ]
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": 20, "height": 10} for i in (1, 2, 4)
        ],
        "categories": [{"id": 3, "name": "car"}, {"id": 7, "name": "pin"}],
        "annotations": annotations,
    }
    path = tmp_path / "in" / "annotations" / "instances_val.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return Source(
        format_name="coco-instances", root=tmp_path / "in", split="val", allow_missing=True
    )


def run(source: Source, out: Path, *kinds: str, **options: Any) -> Conversion:
    return convert(source, Wanted(kinds=kinds, **options), read_times("li2018"), out)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_boxes_and_tags_come_from_boxes(source: Source, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(source, out, *WEAK_KINDS, crop_size_wh=(12, 10))
    boxes = read(out / "boxes.json")["annotations"]
    assert [(b["image_id"], b["category_id"], b["bbox"], b["iscrowd"]) for b in boxes] == [
        (1, 3, [2, 2, 11, 6], 0),
        (2, 7, [0, 0, 5, 5], 0),
        (2, 3, [10, 5, 4, 4], 1),
    ]
    crops = read(out / "tags.json")["crops"]
    assert [(c["image_id"], c["x"], c["category_ids"]) for c in crops] == [
        *[(1, 0, [3]), (1, 8, [3])],
        *[(2, 0, [3, 7]), (2, 8, [3])],
        *[(4, 0, []), (4, 8, [])],
    ]
    assert done.num_objects == 4
    assert [(row.kind, row.written, row.dropped) for row in done.kinds] == [
        (kind, 3, 1) for kind in WEAK_KINDS
    ]
    (drop,) = done.drops
    assert (drop.kind, drop.count) == ("all", 1)
    assert drop.places[0].endswith("instances_val.json: annotations[3]")
    hours = {row.kind: row.hours for row in done.kinds}
    assert hours["boxes"] == pytest.approx(3 * 7 / 3600)
    assert hours["tags"] == pytest.approx(5 / 3600)
    assert hours["boxes+tags"] == hours["boxes"]


def test_what_an_annotator_misses_is_named(source: Source, tmp_path: Path) -> None:
    done = run(source, tmp_path / "out", *WEAK_KINDS, annotator=BLIND)
    assert [(row.kind, row.written, row.dropped) for row in done.kinds] == [
        ("boxes", 0, 4),
        ("tags", 0, 4),
        ("boxes+tags", 0, 4),
    ]
    missed = {group.kind: group for group in done.drops if group.kind != "all"}
    assert missed["boxes"].places == ("image 1: box 1", "image 2: box 1", "image 2: box 2")
    assert {group.reason for group in missed.values()} == {"missed by the annotator"}


@pytest.mark.parametrize("box_format", ["voc", "yolo"])
def test_other_files_of_boxes(source: Source, tmp_path: Path, box_format: str) -> None:
    (row,) = run(source, tmp_path / "out", "boxes", box_format=box_format).kinds
    counts = {"voc": (3, 3, 1), "yolo": (2, 2, 2)}
    assert (row.entries, row.written, row.dropped) == counts[box_format]


@pytest.mark.parametrize("kind", sorted(set(LABEL_KINDS) - set(WEAK_KINDS)))
def test_masks_are_refused_before_anything_is_written(
    source: Source, tmp_path: Path, kind: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        run(source, tmp_path / "out", "boxes", kind)
    assert str(caught.value) == (
        f"{source.root / 'annotations' / 'instances_val.json'}: has no masks, so there can be no "
        f"label of kind {kind}: ask for boxes, tags, boxes+tags"
    )
    assert not (tmp_path / "out").exists()


def test_boxes_go_over_to_other_categories(source: Source, tmp_path: Path) -> None:
    arguments = ["convert", source.root, "--format", "coco-instances", "--split", "val"]
    arguments += ["--to", "boxes", "--categories", "voc", "--allow-missing"]
    out = tmp_path / "out"
    done = CliRunner().invoke(app, [*map(str, arguments), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert [b["category_id"] for b in read(out / "boxes.json")["annotations"]] == [7, 7]
    assert read(out / "manifest.json")["kinds"]["boxes"]["dropped"] == 2


def test_files_say_all_categories_of_the_dataset(tmp_path: Path) -> None:
    world = tmp_path / "world.toml"
    world.write_text("width = 48\nheight = 48\nnum_train = 1\nnum_val = 1\n")
    out = tmp_path / "out"
    run(Source(format_name="scenes", root=world, split="train"), out, *LABEL_KINDS)
    every = read(out / "panoptic.json")["categories"]
    for name in ("boxes", "tags", "points", "scribbles", "coarse"):
        content = read(out / f"{name}.json")
        assert (content["all_categories"], content["info"]["format"]) == (every, "scenes")


def test_the_remedy_of_an_error_goes_on_where_the_error_was(tmp_path: Path) -> None:
    square, line = [1, 1, 5, 1, 5, 4, 1, 4], [1, 1, 5, 1]
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": 20, "height": 10} for i in range(40)
        ],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [
            {"image_id": i, "category_id": 3, "segmentation": [line if i == 39 else square]}
            for i in range(40)
        ],
    }
    path = tmp_path / "in.json"
    path.write_text(json.dumps(content))
    strict = Source(format_name="coco-instances", root=path, split="train")
    with pytest.raises(DatasetError, match=r"annotations\[39\]: .*, or leave such objects out"):
        run(strict, tmp_path / "out", "full", "boxes")

    loose = replace(strict, allow_missing=True)
    done = run(loose, tmp_path / "out", "full", "boxes")
    fresh = run(loose, tmp_path / "fresh", "full", "boxes")
    assert (done.num_objects, [row.dropped for row in done.kinds]) == (40, [1, 1])
    assert done.kinds == fresh.kinds
    for name in ("boxes.json", "panoptic.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()
