import contextlib
import hashlib
import io
import json
import os
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from typer.testing import CliRunner

from annotools.categories import CategorySet
from annotools.cli import app
from annotools.conversion import assembly, shards
from annotools.conversion.convert import Conversion, convert
from annotools.conversion.wanted import ImageTask, Wanted
from annotools.errors import DatasetError, RecipeError
from annotools.formats import READERS, coco_panoptic
from annotools.formats.source import Source
from annotools.label_maps import build_label
from annotools.prices.times import read_times
from annotools.records import LABEL_KINDS, Dataset, Drop, FullLabel, Image
from annotools.weak_labels.weaken import weaken
from tests.builders import make_categories, make_label
from tests.real_data import real_data

CATEGORIES = make_categories(things=("car", "bus"))  # road 10, sky 20, car 30, bus 40
TIMES = read_times("li2018")
STREET = make_label(
    [[1, 1, 1, 1], [1, 3, 3, 0], [2, 3, 3, 4], [2, 2, 2, 4]], {1: 20, 2: 10, 3: 30, 4: 40}, [4]
)
EMPTY = make_label([[0, 0], [0, 0]], {})

Memory = Callable[..., Source]


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Memory:
    def make(
        labels: Sequence[tuple[str, FullLabel]],
        categories: CategorySet = CATEGORIES,
        gaps: tuple[Drop, ...] = (),
        **changes: Any,
    ) -> Source:
        images = []
        for number, (name, label) in enumerate(labels):
            height, width = label.segment_map.shape
            images.append(Image(image_id=number, file_name=name, width=width, height=height))
        dataset = Dataset(
            name="memory",
            split="train",
            categories=categories,
            images=tuple(images),
            read_label=lambda image: labels[int(image.image_id)][1],
            read_photo=lambda image: np.zeros((image.height, image.width, 3), dtype=np.uint8),
            drops=(Drop(place="c.png", reason="the photo is missing"),),
            gaps=gaps,
            notes=("a note",),
        )
        monkeypatch.setitem(READERS, "memory", lambda root, split, allow_missing: dataset)
        return Source(format_name="memory", root=tmp_path / "in", split="train", **changes)

    return make


def run(
    source: Source, out: Path, *kinds: str, overwrite: bool = False, **options: Any
) -> Conversion:
    wanted = Wanted(kinds=kinds or LABEL_KINDS, **options)
    return convert(source, wanted, TIMES, out, overwrite=overwrite)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def vertices(mark: dict[str, Any]) -> list[list[int]]:
    if "x" in mark:
        return [[mark["x"], mark["y"]]]
    if "polyline" in mark:
        return list(mark["polyline"])
    return [vertex for polygon in mark["polygons"] for vertex in polygon]


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def write_world(folder: Path, count: int) -> Source:
    path = folder / "world.toml"
    path.write_text(f"width = 48\nheight = 48\nnum_train = {count}\nnum_val = 1\n")
    return Source(format_name="scenes", root=path, split="train")


def test_boxes_are_read_back_as_they_were(in_memory: Memory, tmp_path: Path):
    source = in_memory([("a.png", STREET), ("b.png", EMPTY)])
    result = run(source, tmp_path / "out", "boxes")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "out" / "boxes.json"))
    assert coco.getImgIds() == [0, 1]
    assert [(c["id"], c["name"]) for c in coco.loadCats(coco.getCatIds())] == [
        (30, "car"),
        (40, "bus"),
    ]
    boxes = [
        (a["category_id"], a["bbox"], a["area"], a["iscrowd"])
        for a in coco.loadAnns(coco.getAnnIds(imgIds=[0]))
    ]
    assert boxes == [(30, [1, 1, 2, 2], 4, 0), (40, [3, 2, 1, 2], 2, 1)]
    assert coco.getAnnIds(imgIds=[1]) == []
    assert all("segmentation" not in annotation for annotation in coco.anns.values())
    (row,) = result.kinds
    assert (row.entries, row.written, row.dropped) == (2, 2, 2)
    assert row.hours == pytest.approx(14 / 3600)


def test_tags_are_those_of_the_crops(in_memory: Memory, tmp_path: Path):
    run(in_memory([("a.png", STREET)]), tmp_path / "out", "tags", crop_size_wh=(2, 4))
    content = read(tmp_path / "out" / "tags.json")
    assert content["crops"] == [
        {"image_id": 0, "x": 0, "y": 0, "width": 2, "height": 4, "category_ids": [10, 20, 30]},
        {"image_id": 0, "x": 2, "y": 0, "width": 2, "height": 4, "category_ids": [10, 20, 30, 40]},
    ]
    assert [c["id"] for c in content["categories"]] == [10, 20, 30, 40]


def test_full_labels_are_read_back_as_they_were(in_memory: Memory, tmp_path: Path):
    labels = [("x/a.png", STREET), ("y/a.jpg", EMPTY)]
    run(in_memory(labels), tmp_path / "out", "full")
    dataset = coco_panoptic.read(tmp_path / "out", "train")
    assert dataset.categories == CATEGORIES
    assert [image.file_name for image in dataset.images] == ["x/a.png", "y/a.jpg"]
    for image, (_, label) in zip(dataset.images, labels, strict=True):
        again = dataset.read_label(image)
        np.testing.assert_array_equal(again.segment_map, label.segment_map)
        assert again.segments == label.segments
    entries = read(tmp_path / "out" / "panoptic.json")["annotations"]
    assert [entry["file_name"] for entry in entries] == ["x/a.png", "y/a.png"]


def test_marks_lie_in_their_segments(in_memory: Memory, tmp_path: Path):
    side = np.zeros((40, 40), dtype=np.int32)
    side[:, :20], side[:, 20:] = 1, 2
    label = build_label(0, side, {1: 10, 2: 30}, groups=[2])
    kinds = ("points", "scribbles", "coarse")
    run(in_memory([("a.png", label)]), tmp_path / "out", *kinds)
    for kind in kinds:
        marks = read(tmp_path / "out" / f"{kind}.json")["annotations"]
        assert [mark["id"] for mark in marks] == [1, 2]
        for mark in marks:
            for x, y in vertices(mark):
                assert label.segment_map[y, x] == mark["segment_id"]
            expected = {1: (10, 0), 2: (30, 1)}[mark["segment_id"]]
            assert (mark["category_id"], mark["iscrowd"]) == expected


def test_boxes_may_be_voc_or_yolo_files(in_memory: Memory, tmp_path: Path):
    source = in_memory([("x/a.png", STREET), ("b.png", EMPTY)])
    voc = run(source, tmp_path / "voc", "boxes", box_format="voc")
    assert set(contents(tmp_path / "voc")) == {"boxes/x/a.xml", "boxes/b.xml", "manifest.json"}
    assert (voc.kinds[0].written, voc.kinds[0].dropped) == (2, 2)

    yolo = run(source, tmp_path / "yolo", "boxes+tags", box_format="yolo")
    found = contents(tmp_path / "yolo")
    assert found["boxes/x/a.txt"] == b"0 0.500000 0.500000 0.500000 0.500000\n"
    assert found["boxes/b.txt"] == b""
    assert found["classes.txt"] == b"car\nbus\n"
    assert [(g.kind, g.count, g.reason) for g in yolo.drops[1:]] == [
        ("boxes+tags", 1, "YOLO files cannot mark a group")
    ]
    assert yolo.drops[1].places == ("image 0: segment 4",)


def test_every_kind_has_the_hours_of_its_actions(in_memory: Memory, tmp_path: Path):
    source = in_memory([("a.png", STREET), ("b.png", EMPTY)])
    wanted = Wanted(kinds=("points", "scribbles", "coarse"))
    done = convert(source, wanted, read_times("bearman2016"), tmp_path / "out", workers=1)
    hours = {row.kind: row.hours for row in done.kinds}
    # Four classes, all in the first image and none in the second, each asked about for a second.
    assert hours["points"] == pytest.approx((4 * 2.4 + 4) / 3600)
    assert hours["scribbles"] == pytest.approx((4 * 10.9 + 4) / 3600)
    assert hours["coarse"] is None


def test_the_manifest_accounts_for_everything(in_memory: Memory, tmp_path: Path):
    label = build_label(
        0,
        STREET.segment_map,
        {1: 20, 2: 10, 3: 30, 4: 40},
        groups=[4],
        drops=(Drop(place="instance 9", reason="covered"),),
    )
    source = in_memory([("a.png", label), ("b.png", EMPTY), ("d.png", EMPTY)], max_images=2)
    run(source, tmp_path / "out", seed=5)
    manifest = read(tmp_path / "out" / "manifest.json")
    assert manifest["images"] == {"in": 4, "converted": 2, "dropped": 1, "beyond_max_images": 1}
    assert manifest["objects"] == 5
    assert manifest["options"]["seed"] == 5
    assert manifest["notes"][0] == "a note"
    counts = {k: (row["written"], row["dropped"]) for k, row in manifest["kinds"].items()}
    # Nothing in four pixels' width is far enough from its border for a coarse outline.
    expected = dict.fromkeys(LABEL_KINDS, (4, 1)) | {"boxes": (2, 3), "coarse": (0, 5)}
    assert counts == expected
    hours = {kind: row["hours"] for kind, row in manifest["kinds"].items()}
    assert hours["full"] == 3.0
    assert hours["boxes+tags"] == pytest.approx((2 * 7 + 2) / 3600)
    assert hours["coarse"] == pytest.approx(2 * 7 / 60)
    assert hours["points"] is None
    drops = {(d["kind"], d["reason"]): d["places"] for d in manifest["drops"]}
    assert drops["images", "the photo is missing"] == ["c.png"]
    assert drops["all", "covered"] == ["instance 9"]
    assert drops["boxes", "stuff has no box"] == ["image 0: segment 1", "image 0: segment 2"]
    assert set(manifest["files"]) | {"manifest.json"} == set(contents(tmp_path / "out"))


def test_background_is_no_object(in_memory: Memory, tmp_path: Path):
    categories = make_categories(stuff=("background",), background=True)
    label = make_label([[1, 1], [1, 2]], {1: 10, 2: 20})
    result = run(in_memory([("a.png", label)], categories), tmp_path / "out")
    assert result.num_objects == 1
    written = {row.kind: row.written for row in result.kinds}
    assert written == dict.fromkeys(LABEL_KINDS, 1) | {"coarse": 0}
    hours = {row.kind: row.hours for row in result.kinds}
    # A mask of the one car; seven minutes are for an image with stuff, which this is not.
    assert (hours["full"], hours["coarse"]) == (79.2 / 3600, None)
    tags = read(tmp_path / "out" / "tags.json")
    assert [category["name"] for category in tags["categories"]] == ["car"]


@pytest.mark.parametrize("count", [0, 5000])
def test_images_of_no_and_of_thousands_of_instances(in_memory: Memory, tmp_path: Path, count: int):
    flat = np.zeros(20000, dtype=np.int32)
    flat[: 2 * count] = np.repeat(np.arange(1, count + 1), 2)
    label = build_label(0, flat.reshape(100, 200), dict.fromkeys(range(1, count + 1), 30))
    source = in_memory([("a.png", label)])
    result = run(source, tmp_path / "out", "boxes", "points", "full", "coarse")
    assert [row.written for row in result.kinds] == [count, count, count, 0]
    boxes = read(tmp_path / "out" / "boxes.json")["annotations"]
    assert [box["id"] for box in boxes] == list(range(1, count + 1))
    # The photo that is missing, and every instance, too small for a coarse outline.
    drops = tmp_path / "out" / "drops.jsonl"
    assert drops.exists() == bool(count)
    assert not count or len(drops.read_text().splitlines()) == 1 + count


def test_ugly_names_keep_apart(in_memory: Memory, tmp_path: Path):
    names = [
        "a.png",
        "x/a.png",
        "straße/日本 1.jpg",
        ".hidden",
        "'\"<&>.png",
        "new\nline\t.png",
        "-",
    ]
    result = run(in_memory([(name, STREET) for name in names]), tmp_path / "out", "full")
    assert result.kinds[0].entries == 4 * len(names)
    dataset = coco_panoptic.read(tmp_path / "out", "train")
    assert [image.file_name for image in dataset.images] == names
    assert len({image.label_paths for image in dataset.images}) == len(names)


def test_a_suffix_is_kept_where_it_tells_names_apart(in_memory: Memory, tmp_path: Path):
    names = ("a.png", "a.jpg", "b.png")
    run(in_memory([(name, EMPTY) for name in names]), tmp_path / "out", "full")
    written = {path.name for path in (tmp_path / "out" / "panoptic").iterdir()}
    assert written == {"a.png.png", "a.jpg.png", "b.png.png"}


def test_a_conversion_never_removes_what_it_reads(in_memory: Memory, tmp_path: Path):
    root = tmp_path / "bought"
    run(in_memory([("a.png", STREET)]), root, "full")
    before = contents(root)
    again = Source(format_name="coco-panoptic", root=root, split="train")
    for out in (root, root / "panoptic", tmp_path):
        with pytest.raises(DatasetError, match="give --out another folder"):
            run(again, out, "full", "boxes", overwrite=True)
    assert contents(root) == before
    run(again, root / "boxes", "boxes", overwrite=True)
    assert contents(root).items() > before.items()


def test_missing_files_that_make_a_label_lesser_are_listed(in_memory: Memory, tmp_path: Path):
    gaps = tuple(Drop(place=f"{n}.png", reason="the object map is missing") for n in range(21))
    result = run(in_memory([("a.png", STREET)], gaps=gaps), tmp_path / "out", "boxes")
    (gap,) = (group for group in result.drops if group.kind == "gap")
    assert (gap.count, gap.places[0], gap.reason) == (21, "0.png", "the object map is missing")
    lines = map(json.loads, (tmp_path / "out" / "drops.jsonl").read_text().splitlines())
    listed = [line["place"] for line in lines if line["kind"] == "gap"]
    assert listed == [f"{n}.png" for n in range(21)]
    assert result.kinds[0].dropped == 2


@pytest.mark.parametrize("box_format", ["voc", "yolo"])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("car", " car\n"), "categories 30 and 40 are both named 'car', by which"),
        (("car", " "), "category 40 has no name, by which"),
    ],
)
def test_boxes_known_by_name_need_names_apart(
    in_memory: Memory, tmp_path: Path, box_format: str, names: tuple[str, str], message: str
):
    source = in_memory([("a.png", STREET)], categories=make_categories(things=names))
    with pytest.raises(DatasetError, match=rf"in: {message} {box_format} boxes know"):
        run(source, tmp_path / "out", "boxes", box_format=box_format)
    assert not (tmp_path / "out").exists()
    run(source, tmp_path / "tags", "tags", box_format=box_format)
    run(source, tmp_path / "coco", "boxes")


def test_the_same_name_twice_is_refused_only_where_it_names_a_file(
    in_memory: Memory, tmp_path: Path
):
    source = in_memory([("a.png", EMPTY), ("./a.png", EMPTY)])
    run(source, tmp_path / "boxes", "boxes")
    with pytest.raises(DatasetError, match=r"in: image 1: .*'\./a\.png' too: give each"):
        run(source, tmp_path / "full", "full")


@pytest.mark.parametrize(
    "name", ["../a.png", "/a.png", "x/../../a.png", "C:\\a.png", "", "a\0.png"]
)
def test_hostile_names_write_nothing(in_memory: Memory, tmp_path: Path, name: str):
    source = in_memory([("good.png", EMPTY), (name, EMPTY)])
    with pytest.raises(DatasetError, match="in: image 1: file_name"):
        run(source, tmp_path / "out", "full")
    assert contents(tmp_path) == {}


def test_a_name_that_no_disk_can_hold_is_refused(in_memory: Memory, tmp_path: Path):
    with pytest.raises(DatasetError, match="is no possible name"):
        run(in_memory([("\ud800.png", EMPTY)]), tmp_path / "out", "full")


def test_no_image_and_no_possible_kind_are_refused(in_memory: Memory, tmp_path: Path):
    message = r"in: split train has no image to convert, 1 lack a file: restore these"
    with pytest.raises(DatasetError, match=message):
        run(in_memory([]), tmp_path / "out", "boxes")
    for kinds, message in [((), "label kinds ()"), (("x",), "'x'"), (("tags",) * 2, "each once")]:
        with pytest.raises(RecipeError, match=message.replace("(", r"\(").replace(")", r"\)")):
            Wanted(kinds=kinds)
    with pytest.raises(RecipeError, match="'pascal': use coco, voc, yolo"):
        Wanted(kinds=("boxes",), box_format="pascal")


def test_the_number_of_workers_changes_nothing(tmp_path: Path):
    source = write_world(tmp_path, count=40)
    wanted = Wanted(kinds=LABEL_KINDS, crop_size_wh=(30, 20))
    for workers in (1, 3):
        convert(source, wanted, TIMES, tmp_path / str(workers), workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_a_bad_label_stops_and_what_was_done_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source = write_world(tmp_path, count=40)
    out = tmp_path / "out"
    run(source, tmp_path / "whole", "full", "boxes", "tags")
    make = shards.convert_image

    def fail(task: ImageTask, *rest: Any):
        if task.image.image_id == 35:
            raise DatasetError("35.png: damaged")
        return make(task, *rest)

    monkeypatch.setattr(shards, "convert_image", fail)
    with pytest.raises(DatasetError, match=r"35\.png: damaged"):
        run(source, out, "full", "boxes", "tags")
    assert {path.name for path in out.iterdir()} == {".state", "panoptic"}

    made = []
    monkeypatch.setattr(
        shards, "convert_image", lambda *a: made.append(a[0].image.image_id) or make(*a)
    )
    (out / "panoptic" / "train_000003.png").unlink()
    result = run(source, out, "full", "boxes", "tags")
    # The first shard lacks a file, the third was not finished.
    assert made == [*range(16), *range(32, 40)]
    assert result.num_resumed == 16
    assert contents(out) == contents(tmp_path / "whole")


def test_a_changed_source_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = write_world(tmp_path, count=20)
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(assembly, "reconcile", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(source, out, "boxes")
    source.root.write_text(source.root.read_text() + "# changed\n")
    assert run(source, out, "boxes").num_resumed == 0


def test_other_options_do_not_resume(in_memory: Memory, tmp_path: Path, monkeypatch):
    source = in_memory([("a.png", STREET)])
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(assembly, "reconcile", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(source, out, "points", seed=1)
    with pytest.raises(DatasetError, match="different seed"):
        run(source, out, "points", seed=2)
    with pytest.raises(DatasetError, match="different list of images"):
        run(in_memory([("b.png", STREET)]), out, "points", seed=1)
    run(source, out, "points", seed=2, overwrite=True)
    with pytest.raises(DatasetError, match="out: holds a conversion with other options: give"):
        run(source, out, "points", seed=1)
    run(source, out, "tags", overwrite=True)
    assert set(contents(out)) == {"tags.json", "manifest.json"}


@pytest.mark.parametrize(
    ("lose", "message"),
    [
        (lambda weak: {"boxes": weak.boxes[:-1]}, "boxes: 4 objects in, 1 written and 2 dropped"),
        (lambda weak: {"crops": ()}, "tags: 4 objects in, 0 written and 0 dropped"),
    ],
)
def test_a_lost_object_is_noticed_before_any_file_is_final(
    in_memory: Memory, tmp_path: Path, monkeypatch, lose, message: str
):
    def lossy(*arguments: Any):
        weak = weaken(*arguments)
        return type(weak)(**(vars(weak) | lose(weak)))

    monkeypatch.setattr("annotools.weak_labels.buy.weaken", lossy)
    with pytest.raises(AssertionError, match=message):
        run(in_memory([("a.png", STREET)]), tmp_path / "out", "boxes", "tags")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".state"}


def test_a_lost_line_is_noticed(in_memory: Memory, tmp_path: Path, monkeypatch):
    lines = assembly._read_lines
    monkeypatch.setattr(
        assembly, "_read_lines", lambda path: list(lines(path))[:1] + list(lines(path))[2:]
    )
    with pytest.raises(AssertionError, match="boxes: 2 entries made, 1 written"):
        run(in_memory([("a.png", STREET)]), tmp_path / "out", "boxes")


def test_memory_does_not_grow_with_the_number_of_images(
    in_memory: Memory, tmp_path: Path, monkeypatch
):
    ids = np.arange(1, 21, dtype=np.int32).reshape(4, 5)
    label = build_label(0, ids, dict.fromkeys(range(1, 21), 30))
    peak = 0
    assemble = assembly.assemble

    def measured(*arguments: Any):
        nonlocal peak
        tracemalloc.start()
        try:
            return assemble(*arguments)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()

    monkeypatch.setattr("annotools.conversion.convert.assemble", measured)
    run(in_memory([(f"{n}.png", label) for n in range(2000)]), tmp_path / "out", "boxes")
    assert (tmp_path / "out" / "boxes.json").stat().st_size > 3_000_000
    assert peak < 500_000


def test_the_source_files_are_hashed(tmp_path: Path):
    source = write_world(tmp_path, count=1)
    run(source, tmp_path / "out", "boxes")
    digest = hashlib.sha256(source.root.read_bytes()).hexdigest()
    expected = hashlib.sha256(f"{digest} world.toml\n".encode()).hexdigest()
    found = read(tmp_path / "out" / "manifest.json")["source"]
    assert (found["files"], found["format"], found["split"]) == (1, "scenes", "train")
    assert found["sha256"] == expected


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


def test_a_finished_conversion_says_so_and_tells_the_same(
    in_memory: Memory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = in_memory([("a.png", STREET), ("b.png", STREET)])
    out = tmp_path / "out"
    first = run(source, out, "boxes", "points", "full")
    before = contents(out)
    (out / ".state").mkdir()
    (out / ".state/setup.json").write_text("left by a run that was killed at its very end")
    again = run(source, out, "boxes", "points", "full")
    assert again == replace(first, num_resumed=2)
    assert capsys.readouterr().err == (f"note: {out}: is finished\n")
    assert contents(out) == before
    assert not (out / ".state").exists()
    # Somebody may have corrected a file: it is not made again unasked.
    (out / "points.json").write_text("corrected")
    (out / "boxes.json").unlink()
    with pytest.raises(DatasetError, match=r"boxes\.json: is missing, or not as .*, and 1 more: "):
        run(source, out, "boxes", "points", "full")
    assert (out / "points.json").read_text() == "corrected"
    run(source, out, "boxes", "points", "full", overwrite=True)
    assert contents(out) == before


def test_another_source_under_the_same_name_is_not_finished(tmp_path: Path):
    source = write_world(tmp_path, 1)
    out = tmp_path / "out"
    run(source, out, "boxes")
    content, stat = source.root.read_bytes(), source.root.stat()
    source.root.write_bytes(content[:-1] + b" ")
    os.utime(source.root, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(DatasetError, match=r"out: was made before .*world\.toml changed: give"):
        run(source, out, "boxes")


def test_the_way_to_the_source_may_be_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = write_world(tmp_path, 2)
    out = tmp_path / "out"
    first = run(source, out, "boxes")
    monkeypatch.chdir(tmp_path)
    again = run(replace(source, root=Path(source.root.name)), out, "boxes")
    assert again == replace(first, num_resumed=2)
