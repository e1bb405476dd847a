import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from annotools.allocation.plan_file import Allocation, PlanSettings
from annotools.cli import app
from annotools.conversion.convert import Conversion, convert
from annotools.conversion.wanted import Wanted
from annotools.errors import DatasetError, RecipeError
from annotools.formats import coco_panoptic, read_dataset
from annotools.formats.source import Source
from annotools.prices.times import read_times
from annotools.records import LABEL_KINDS
from annotools.weak_labels.annotators import (
    Annotator,
    BoxHabits,
    MissRates,
    PointHabits,
    PolygonHabits,
)
from annotools.weak_labels.annotators import TagHabits as Tags

KIND_OF = {5: "boxes", 1: "full", 7: "boxes", 0: "boxes+tags", 2: "none"}
CROP_SIZE_WH = (24, 48)
BLIND = Annotator(
    boxes=BoxHabits(miss_rate=MissRates(small=1, medium=1, large=1)), tags=Tags(miss_rate=1)
)
CARELESS = Annotator(
    boxes=BoxHabits(
        corner_shift=0.1, miss_rate=MissRates(small=0.5, medium=0.3), duplicate_rate=0.2
    ),
    tags=Tags(miss_rate=0.5, false_rate=0.1),
    polygons=PolygonHabits(tolerance=1, boundary_shift=2),
    points=PointHabits(shift=4),
)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    path = tmp_path / "world.toml"
    path.write_text("width = 48\nheight = 48\nnum_train = 40\nnum_val = 1\n")
    return Source(format_name="scenes", root=path, split="train")


def allocation(kind_of: Mapping[int | str, str]) -> Allocation:
    mix = dict.fromkeys(("boxes", "boxes+tags", "full", "none"), 1.0)
    settings = PlanSettings(
        format="scenes",
        root=Path("w.toml"),
        split="train",
        mix=mix,
        budget_hours=5,
        crop_size_wh=CROP_SIZE_WH,
    )
    return Allocation(
        path=Path("plan.json"),
        settings=settings,
        kind_of=kind_of,
        seconds_of=dict.fromkeys(kind_of, 0.0),
    )


def run(
    source: Source,
    out: Path,
    *kinds: str,
    kind_of: Mapping[int | str, str] | None = None,
    **options: Any,
) -> Conversion:
    stored = None if kind_of is None else allocation(kind_of)
    kinds = kinds or (stored.bought_kinds if stored else LABEL_KINDS)
    wanted = Wanted(kinds=kinds, allocation=stored, crop_size_wh=CROP_SIZE_WH, **options)
    return convert(source, wanted, read_times("li2018"), out)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def image_ids(path: Path) -> list[int]:
    return [image["id"] for image in read(path)["images"]]


def test_each_image_has_the_files_of_its_kind(source: Source, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(source, out, kind_of=KIND_OF)
    assert image_ids(out / "boxes.json") == [0, 5, 7]
    assert image_ids(out / "tags.json") == [0]
    assert image_ids(out / "panoptic.json") == [1]
    assert [path.name for path in (out / "panoptic").iterdir()] == ["train_000001.png"]
    assert {crop["image_id"] for crop in read(out / "tags.json")["crops"]} == {0}
    dataset = read_dataset("scenes", source.root, "train")
    labels = {i: dataset.read_label(dataset.images[i]) for i in (0, 1, 5, 7)}
    things = {
        i: sum(dataset.categories.by_id(s.category_id).is_thing for s in label.segments)
        for i, label in labels.items()
    }
    found = {row.kind: row for row in result.kinds}
    assert list(found) == ["boxes", "boxes+tags", "full"]
    assert [row.images for row in result.kinds] == [2, 1, 1]
    assert found["boxes"].entries == things[5] + things[7]
    assert found["boxes+tags"].entries == things[0] + 2
    assert found["full"].objects == len(labels[1].segments)
    assert found["boxes"].hours == pytest.approx(7 * (things[5] + things[7]) / 3600)
    assert found["full"].hours == 1.5
    assert result.num_images == 4


def test_the_manifest_says_who_is_left_out_and_why(source: Source, tmp_path: Path) -> None:
    limited = Source(**(vars(source) | {"max_images": 6}))
    run(limited, tmp_path / "out", kind_of=KIND_OF)
    manifest = read(tmp_path / "out" / "manifest.json")
    assert manifest["images"] == {
        "in": 40,
        "converted": 3,
        "dropped": 0,
        "beyond_max_images": 34,
        "not in the allocation": 2,
        "without a label": 1,
    }
    assert manifest["options"]["allocation"]["budget_hours"] == 5
    assert manifest["options"]["annotator"] is None
    assert manifest["kinds"]["boxes"]["images"] == 1


def test_a_kind_beyond_the_limit_is_empty(source: Source, tmp_path: Path) -> None:
    limited = Source(**(vars(source) | {"max_images": 1}))
    result = run(limited, tmp_path / "out", kind_of=KIND_OF)
    assert [(row.kind, row.images, row.hours) for row in result.kinds[::2]] == [
        ("boxes", 0, 0),
        ("full", 0, 0),
    ]
    assert image_ids(tmp_path / "out" / "panoptic.json") == []


def test_images_that_the_dataset_lacks_are_refused(source: Source, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"plan\.json: 1 images are not in the dataset \(99\)"):
        run(source, tmp_path / "out", kind_of={99: "full", 1: "full"})
    with pytest.raises(
        DatasetError, match=r"world\.toml: split train has no image that plan\.json"
    ):
        run(source, tmp_path / "out", "full", kind_of={1: "none"})


def test_workers_and_other_kinds_change_nothing(source: Source, tmp_path: Path) -> None:
    contents = []
    for workers in (1, 2):
        stored = allocation(dict.fromkeys(range(40), "boxes") | KIND_OF)
        wanted = Wanted(
            kinds=stored.bought_kinds,
            allocation=stored,
            annotator=CARELESS,
            crop_size_wh=CROP_SIZE_WH,
        )
        out = tmp_path / str(workers)
        convert(source, wanted, read_times("li2018"), out, workers)
        contents.append({p.name: p.read_bytes() for p in out.rglob("*.*")})
    assert contents[0] == contents[1]


def test_an_annotator_without_habits_changes_nothing(source: Source, tmp_path: Path) -> None:
    small = Source(**(vars(source) | {"max_images": 4}))
    run(small, tmp_path / "none")
    run(small, tmp_path / "perfect", annotator=Annotator())
    for name in ("boxes", "tags", "points", "scribbles", "coarse", "panoptic"):
        path = f"{name}.json"
        assert (tmp_path / "none" / path).read_bytes() == (tmp_path / "perfect" / path).read_bytes()


def test_what_nobody_saw_is_dropped(source: Source, tmp_path: Path) -> None:
    small = Source(**(vars(source) | {"max_images": 3}))
    result = run(small, tmp_path / "out", "boxes", "tags", "boxes+tags", annotator=BLIND)
    assert [row.written for row in result.kinds] == [0, 0, 0]
    assert {row.dropped for row in result.kinds} == {result.num_objects}
    assert read(tmp_path / "out" / "boxes.json")["annotations"] == []
    missed = {g.kind: g.count for g in result.drops if g.reason == "missed by the annotator"}
    stuff = next(g.count for g in result.drops if g.reason == "stuff has no box")
    assert missed == {
        "boxes": result.num_objects - stuff,
        "tags": result.num_objects,
        "boxes+tags": result.num_objects,
    }


@pytest.mark.parametrize("box_format", ["coco", "voc", "yolo"])
def test_every_object_is_accounted_for_whatever_the_mistakes(
    source: Source, tmp_path: Path, box_format: str
) -> None:
    out = tmp_path / "out"
    result = run(source, out, annotator=CARELESS, box_format=box_format, seed=3)
    for row in result.kinds:
        assert row.written + row.dropped == result.num_objects
    missed = {g.kind for g in result.drops if g.reason == "missed by the annotator"}
    assert {"boxes", "tags", "boxes+tags"} <= missed
    manifest = read(out / "manifest.json")
    assert manifest["options"]["annotator"]["boxes"]["corner_shift"] == 0.1
    truth, drawn = read_dataset("scenes", source.root, "train"), coco_panoptic.read(out, "train")
    for image, original in zip(drawn.images, truth.images, strict=True):
        true = truth.read_label(original).segment_map
        agreement = np.mean(drawn.read_label(image).segment_map == true)
        assert 0.4 < agreement < 1
    points = read(out / "points.json")["annotations"]
    assert all(0 <= p["x"] < 48 and 0 <= p["y"] < 48 for p in points)


def test_the_command_takes_allocation_and_annotator(source: Source, tmp_path: Path) -> None:
    plan, habits, out = tmp_path / "plan.json", tmp_path / "habits.toml", tmp_path / "out"
    habits.write_text("[boxes]\ncorner_shift = 0.1\n")
    dataset = [str(source.root), "--format", "scenes"]

    def invoke(*arguments: object) -> Any:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    def make_plan(hours: float) -> None:
        mix = ("--mix", "full=1", "--mix", "boxes+tags=1", "--crops", "24x48")
        assert invoke("plan", *dataset, *mix, "--budget", hours, "--out", plan).exit_code == 0

    make_plan(2)
    done = invoke(
        "convert", *dataset, "--labels", plan, "--annotator", habits, "--out", out, "--seed", 2
    )
    assert done.exit_code == 0, done.output
    manifest = read(out / "manifest.json")
    assert manifest["images"]["not in the allocation"] == 0
    assert (manifest["kinds"]["full"]["images"], manifest["kinds"]["full"]["hours"]) == (1, 1.5)
    assert manifest["kinds"]["boxes+tags"]["images"] == 39
    assert manifest["options"]["crop_size_wh"] == [24, 48]
    assert manifest["options"]["annotator"]["boxes"]["corner_shift"] == 0.1

    for arguments in ((), ("--labels", plan, "--to", "boxes")):
        done = invoke("convert", *dataset, *arguments, "--out", tmp_path / "x")
        assert done.exit_code == 2
        assert "either --to or --labels" in done.output
    done = invoke("convert", *dataset, "--labels", plan, "--crops", "9x8", "--out", tmp_path / "x")
    assert isinstance(done.exception, RecipeError)
    assert str(done.exception) == (
        f"{plan}: its prices are for crops of 24x48, not for crops of 9x8: "
        "use the former, or plan again"
    )
    assert not (tmp_path / "x").exists()
    make_plan(0)
    done = invoke("convert", *dataset, "--labels", plan, "--out", tmp_path / "x")
    assert isinstance(done.exception, RecipeError)
    assert "buys no label: plan with a larger budget" in str(done.exception)
