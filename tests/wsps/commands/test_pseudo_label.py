import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from annotools.categories import IGNORE_INDEX
from annotools.errors import DatasetError, RecipeError
from annotools.formats import read_dataset
from annotools.formats.panoptic_folder import join_maps
from annotools.formats.panoptic_png import encode_segment_map
from annotools.formats.source import Source
from annotools.label_maps import class_map, instance_map
from annotools.seals import write_sealed
from annotools.weak_labels.weaken import weaken
from tests.wsps.pseudo_label_runs import (
    PARTS,
    QUICK,
    contents,
    make_world,
    read_json,
    read_maps,
    run,
    run_well,
    stop_at,
    write_allocation,
)
from wsps.pseudo_labels import label_images, label_store
from wsps.pseudo_labels.boxes import label_from_boxes
from wsps.pseudo_labels.label_store import BoxLabelStore
from wsps.pseudo_labels.refine import merge_with_boxes
from wsps.pseudo_labels.tags import (
    label_from_tags,
    see_classes,
    tagged_photos,
    train_classifier,
)
from wsps.recipe import DescentSettings, ImageSettings, Recipe, StageSettings


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return make_world(tmp_path)


@pytest.mark.usefixtures("on_the_cpu")
def test_boxes_and_tags_become_the_labels_that_a_study_trains_on(
    world: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    content = run_well(world, "boxes+tags", out, *QUICK, "--val-split", "val", "--seed", 3)
    dataset = read_dataset("scenes", world, "train")
    categories = dataset.categories
    tagged = [
        (image, weaken(dataset.read_label(image), categories, "boxes+tags", (32, 32)))
        for image in dataset.images
    ]
    recipe = Recipe(
        descent=DescentSettings(batch_size=2),
        classifier=StageSettings(steps=2, learning_rate=3e-3),
    )
    photos, cpu = tagged_photos(dataset, tagged), torch.device("cpu")
    classifier = train_classifier(photos, categories, recipe, 3, cpu)
    for image, photo in zip(dataset.images, photos, strict=True):
        from_boxes = label_from_boxes(photo.photo, photo.weak.boxes, categories)
        (heat,) = see_classes(classifier, [photo], ImageSettings(), "auto")
        from_tags = label_from_tags(heat, photo, categories, recipe.tags.cam_threshold)
        classes, instances = read_maps(out, image.file_name.removesuffix(".png"))
        expected = merge_with_boxes(from_tags, from_boxes.classes, categories)
        np.testing.assert_array_equal(classes, expected)
        np.testing.assert_array_equal(instances, from_boxes.instances)
    tags = content["tags"]
    assert (tags["train"]["crops"], tags["val"]["crops"]) == (16, 8)
    assert tags["train"]["ap"]["car"] is None
    assert 0 < tags["val"]["map"] <= 1
    manifest = read_json(out / "manifest.json")
    assert manifest["recipe"]["tags"]["crop_size_wh"] == [32, 32]
    assert manifest["classes"][5] == "person"
    assert manifest["labels"][0] == {"image_id": 0, "name": "train_000000", "kind": "boxes+tags"}


def test_an_allocation_gives_each_image_its_kind(world: Path, tmp_path: Path) -> None:
    kinds = {2: "full", 0: "boxes", 3: "none"}
    labels, out = write_allocation(tmp_path / "plan.json", kinds), tmp_path / "out"
    content = run_well(world, labels, out, "--max-images", 3)
    assert content["images"] == {
        "in": 4,
        "labelled": 1,
        "passed_through": 1,
        "dropped": 0,
        "beyond_max_images": 1,
        "not in the allocation": 1,
        "without a label": 0,
    }
    assert set(contents(out)) == {
        *(f"{part}/train_00000{i}.png" for part in ("panoptic", *PARTS) for i in (0, 2)),
        "boxes.json",
        "panoptic.json",
        "manifest.json",
        "quality.json",
    }
    dataset = read_dataset("scenes", world, "train")
    full = dataset.read_label(dataset.images[2])
    classes, instances = read_maps(out, "train_000002")
    np.testing.assert_array_equal(classes, class_map(full, dataset.categories))
    np.testing.assert_array_equal(instances, instance_map(full, dataset.categories))
    assert list(content["kinds"]) == ["boxes"]
    assert content["tags"] == {}
    assert read_json(out / "manifest.json")["kinds"] == {"boxes": 1, "full": 1}


def test_an_allocation_brings_the_crops_that_it_prices(world: Path, tmp_path: Path) -> None:
    labels = write_allocation(tmp_path / "plan.json", {0: "tags"}, crop_size_wh=[32, 64])
    quick = ("--set", "classifier.steps=0")
    content = run_well(world, labels, tmp_path / "a", *quick)
    assert content["tags"]["train"]["crops"] == 2
    done = run(world, labels, tmp_path / "b", *quick, "--crops", "64x64")
    assert "prices are for crops of 32x64, not for crops of 64x64" in str(done.exception)
    assert not (tmp_path / "b").exists()


def test_an_allocation_brings_the_categories_that_it_prices(world: Path, tmp_path: Path) -> None:
    labels = write_allocation(tmp_path / "plan.json", {0: "boxes"}, categories="car")
    run_well(world, labels, tmp_path / "a")
    found = read_dataset("coco-panoptic", tmp_path / "a", "train")
    assert [c.name for c in found.categories.categories] == ["background", "car"]
    done = run(world, labels, tmp_path / "b", "--categories", "bus")
    assert "prices are for the categories car, not for bus" in str(done.exception)
    assert not (tmp_path / "b").exists()
    run_well(world, "boxes", tmp_path / "c", "--categories", "car,bus")
    found = read_dataset("coco-panoptic", tmp_path / "c", "train")
    assert [c.name for c in found.categories.categories] == ["background", "car", "bus"]


@pytest.mark.usefixtures("on_the_cpu")
def test_a_run_that_was_stopped_goes_on(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    run_well(world, "tags", whole, *QUICK)
    with monkeypatch.context() as full_disk:
        stop_at(full_disk, 3)
        assert isinstance(run(world, "tags", out, *QUICK).exception, OSError)
    assert not (out / "manifest.json").exists()
    assert run_well(world, "tags", out, *QUICK)["resumed"] == 2
    assert contents(out) == contents(whole)


def test_what_is_missing_is_made_again_and_nothing_else(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_well(world, "boxes", out)
    before = contents(out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    (out / "semantic/train_000001.png").unlink()
    assert run_well(world, "boxes", out, "--workers", 2)["resumed"] == 3
    assert contents(out) == before
    again = {path.stem for path in out.rglob("*.png") if path.stat().st_mtime_ns != times[path]}
    assert again == {"train_000001"}
    world.write_text(world.read_text() + "noise = 7\n")
    assert run_well(world, "boxes", out)["resumed"] == 0


def test_what_is_damaged_is_made_again(world: Path, tmp_path: Path) -> None:
    out, labels = tmp_path / "out", tmp_path / "labels"
    settings = (*QUICK, "--box-labels", labels)
    run_well(world, "boxes+tags", out, *settings)
    before = contents(out)
    damaged = (out / "panoptic/train_000001.png", out / ".state/classifier.pt", *labels.iterdir())
    for path in damaged:
        path.write_bytes(path.read_bytes()[:40])
    assert run_well(world, "boxes+tags", out, *settings)["resumed"] == 3
    assert contents(out) == before
    assert all(path.stat().st_size > 40 for path in damaged[:2])


def test_labels_of_another_photo_are_not_shared(world: Path, tmp_path: Path) -> None:
    labels = ("--box-labels", tmp_path / "labels")
    run_well(world, "boxes", tmp_path / "a", *labels)
    world.write_text(world.read_text() + "noise = 60\n")
    run_well(world, "boxes", tmp_path / "b", *labels)
    run_well(world, "boxes", tmp_path / "c")
    maps = [contents(tmp_path / name)["panoptic/train_000001.png"] for name in "abc"]
    assert maps[1] == maps[2] != maps[0]


def test_labels_from_boxes_are_shared_with_a_study(world: Path, tmp_path: Path) -> None:
    dataset = read_dataset("scenes", world, "train")
    image = dataset.images[1]
    source = Source(format_name="scenes", root=world, split="train")
    store = BoxLabelStore(folder=tmp_path / "box_labels", source=source)
    boxes = weaken(dataset.read_label(image), dataset.categories, "boxes", None).boxes
    label = store.label(dataset.read_photo(image), image, boxes, dataset.categories)
    (stored,) = store.folder.iterdir()
    # Another label in its place shows who takes what is stored.
    is_first = label.instances == 1
    other = np.where(is_first, 0, label.instances)
    classes = np.where(is_first, IGNORE_INDEX, label.classes).astype(np.uint8)
    write_sealed(stored, encode_segment_map(join_maps(classes, other)))
    out = tmp_path / "out"
    run_well(world, "boxes", out, "--box-labels", store.folder)
    assert len(list(store.folder.iterdir())) == 4
    np.testing.assert_array_equal(read_maps(out, "train_000001")[1] > 0, other > 0)
    assert (other > 0).sum() < (label.instances > 0).sum()
    settings = ("--box-labels", store.folder, "--set", "boxes.method=box")
    run_well(world, "boxes", tmp_path / "filled", *settings)
    assert len(list(store.folder.iterdir())) == 8
    assert (read_maps(tmp_path / "filled", "train_000001")[1] > 0).sum() > (
        label.instances > 0
    ).sum()


def test_labels_of_another_version_of_the_method_are_made_again(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, stored = tmp_path / "out", tmp_path / "box_labels"
    arguments = ("boxes", out, "--box-labels", stored)
    run_well(world, *arguments)
    assert run_well(world, *arguments)["resumed"] == 4
    for module in (label_images, label_store):
        monkeypatch.setattr(module, "METHOD_VERSION", 0)
    assert run_well(world, *arguments)["resumed"] == 0
    assert len(list(stored.iterdir())) == 8


def test_the_recipe_of_a_study_is_used(world: Path, tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(
        'dataset = { format = "scenes", root = "world.toml" }\n'
        "[recipe.tags]\ncam_threshold = 0.9\ncrop_size_wh = [64, 64]\n"
        "[recipe.classifier]\nsteps = 0\nlearning_rate = 1e-3\n"
    )
    run_well(world, "tags", tmp_path / "a", "--recipe", study, "--set", "descent.batch_size=1")
    recipe = read_json(tmp_path / "a/manifest.json")["recipe"]
    assert recipe["tags"] == {"cam_threshold": 0.9, "crop_size_wh": [64, 64]}
    assert (recipe["classifier"]["steps"], recipe["descent"]["batch_size"]) == (0, 1)


def test_the_table_shows_the_rates(world: Path, tmp_path: Path) -> None:
    done = run(world, "boxes", tmp_path / "out")
    assert "4 images labelled from boxes, in percent" in done.stdout
    rows = read_json(tmp_path / "out/quality.json")["kinds"]["boxes"]["rows"]
    lines = [line.split() for line in done.stdout.splitlines()]
    for row in rows:
        rates = (row[name] for name in ("precision", "recall", "coverage"))
        shown = ["–" if rate is None else f"{100 * rate:.1f}" for rate in rates]
        assert [row["name"], row["kind"], *shown, f"{row['pixels']:,}"] in lines
    assert "4 images: 4 labelled." in done.stdout


def test_wrong_input_is_refused_before_anything_is_written(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for kind in ("full", "polygons", "nowhere.json"):
        done = run(world, kind, out)
        assert done.exit_code == 2
        assert f"--labels '{kind}'" in " ".join(done.output.replace("│", " ").split())
    foreign = write_allocation(tmp_path / "foreign.json", {9: "boxes"})
    nothing = write_allocation(tmp_path / "nothing.json", {0: "none"})
    full = write_allocation(tmp_path / "full.json", {0: "full"})
    for labels, more, error, message in (
        (foreign, (), RecipeError, "1 images are not in the dataset"),
        (nothing, ("--rounds", 1), RecipeError, "nothing.json: no image has a label"),
        (full, ("--rounds", 1), RecipeError, "leave out --rounds"),
        ("boxes", ("--val-split", "val"), RecipeError, "no image has tags"),
        ("boxes", ("--split", "test"), DatasetError, "no split 'test'"),
        ("tags", ("--set", "tags.cam=1"), RecipeError, "--set: unknown setting tags.cam"),
        ("tags", ("--val-split", "vla"), DatasetError, "no split 'vla'"),
        (
            "boxes",
            ("--set", "boxes.method=nope"),
            RecipeError,
            "use agreed, grabcut, grouping, box",
        ),
        ("tags", ("--set", "tags.cam_threshold=7"), RecipeError, "cam_threshold must be above 0"),
        ("tags", ("--set", "images.max_side=-5"), RecipeError, "max_side must be at least 16"),
        ("tags", ("--set", "descent.optimizer=lion"), RecipeError, "unknown optimizer 'lion'"),
    ):
        done = run(world, labels, out, *more)
        assert isinstance(done.exception, error)
        assert message in str(done.exception)
    for place in (world, out / "b", tmp_path / "nothing.json"):
        assert run(world, "boxes", out, "--box-labels", place).exit_code == 2
    assert not out.exists()


def test_a_folder_of_others_or_with_other_settings_is_refused(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "photo.png").write_text("mine")
    assert "is not empty" in str(run(world, "boxes", out).exception)
    assert "holds 'photo.png'" in str(run(world, "boxes", out, "--overwrite").exception)
    (out / "photo.png").unlink()
    run_well(world, "boxes", out, "--max-images", 1)
    assert "different list of images" in str(run(world, "boxes", out).exception)
    assert run_well(world, "boxes", out, "--overwrite")["resumed"] == 0


def test_labelling_from_boxes_loads_no_torch(world: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\n"
        "from wsps.commands.pseudo_label import app\n"
        "done = CliRunner().invoke(app, sys.argv[1:])\nassert done.exit_code == 0, done.output\n"
        "print('torch' in sys.modules)"
    )
    given = [world, "--format", "scenes", "--labels", "boxes", "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, given)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
