"""`annotools train` on label sets as commands and others write them."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner, Result

from annotools.errors import AnnotationError, DatasetError, RecipeError
from annotools.formats.panoptic_folder import write_label, write_label_set
from annotools.records import Dataset
from tests.builders import make_categories
from tests.wsps.given_file_runs import convert, make_street
from tests.wsps.pseudo_label_runs import make_world, run_command
from tests.wsps.pseudo_label_runs import run as pseudo_label
from wsps.commands.train import app
from wsps.networks.backbone import build_backbone
from wsps.training.finished_runs import load_model

QUICK = (
    *("--set", "descent.batch_size=2", "--set", "views.crop_size_wh=[32, 32]"),
    *("--set", "semantic.steps=2", "--set", "detector.steps=1", "--set", "instance.steps=1"),
    *("--set", "semantic.schedule=cosine", "--set", "detector.schedule=cosine"),
)


def run(*arguments: object) -> Result:
    # Photos would start from weights that have to be downloaded.
    given = ("--recipe", "small", *arguments, *QUICK)
    return CliRunner().invoke(app, [str(argument) for argument in given])


def run_well(*arguments: object) -> str:
    done = run(*arguments)
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


def error_of(*arguments: object) -> AnnotationError:
    error = run(*arguments).exception
    assert isinstance(error, AnnotationError)
    assert "\n" not in str(error)
    return error


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture
def street(tmp_path: Path) -> Dataset:
    """A panoptic dataset in `street` whose image ids are texts, with its photos in `photos`."""
    dataset = make_street(tmp_path / "street", background=False)
    (tmp_path / "street/train").rename(tmp_path / "photos")
    return dataset


@pytest.mark.usefixtures("street")
def test_it_says_what_it_trains_on_how_that_ended_and_what_comes_next(tmp_path: Path) -> None:
    out, table = tmp_path / "run", tmp_path / "table.json"
    place = ("--labels", tmp_path / "street", "--photos", tmp_path / "photos", "--out", out)
    text = run_well(*place, "--json", table)
    assert text.startswith("Training on 2 images (2 full), on ")
    content, manifest = read_json(table), read_json(out / "manifest.json")
    assert content["images"] == manifest["images"] == {"full": 2}
    assert content["stages"] == manifest["stages"]
    assert [end["steps"] for end in content["stages"].values()] == [2, 1, 1]
    lines = [line.split() for line in text.splitlines()]
    for stage, end in content["stages"].items():
        loss = f"{end['loss']:.3f}"
        assert [stage, str(out / f"{stage}.pt"), str(end["steps"]), loss] in lines
        assert (out / f"{stage}.pt").is_file()
    assert f"annotools predict {out} PHOTOS --out DIR" in text
    # Repeated, nothing is trained and the same is told, after a note that it is finished.
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.pt")}
    note = f"note: {out}: is finished\n"
    again = run_well(*place)
    assert (note in again, again.replace(note, "")) == (True, text)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.pt")} == before


@pytest.mark.usefixtures("street", "on_the_cpu")
def test_it_says_which_stage_was_flat_and_which_still_gained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsps.training.schedules.FLAT_WINDOW_STEPS", 40)
    out = tmp_path / "run"
    folders = ("--labels", tmp_path / "street", "--photos", tmp_path / "photos", "--out", out)
    place = (*folders, "--recipe", "small")
    steps = ("--set", "semantic.steps=200", "--set", "detector.steps=3", "--set")
    # At such a rate nothing is learnt: three windows of steps after the 20 of the warm-up, and a
    # fifth of all to fall.
    slow = ("semantic.learning_rate=1e-12", "--set", "semantic.schedule=flat")
    # Later settings count, so the quick ones must not come after these.
    arguments = (*place, *QUICK, *steps, *slow, "--set", "detector.schedule=flat")
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output + repr(done.exception)
    text = done.output
    lines = [line.split() for line in text.splitlines()]
    (semantic,) = (line for line in lines if line[:1] == ["semantic"])
    assert semantic[2] == "175"
    assert semantic[-1] == "flat"
    (instance,) = (line for line in lines if line[:1] == ["instance"])
    assert len(instance) == 4
    told = "detector: its loss was not flat within 3 steps: raise detector.steps"
    assert told in " ".join(text.split())
    stages = read_json(out / "manifest.json")["stages"]
    ended = {stage: end["converged"] for stage, end in stages.items()}
    assert ended == {"semantic": True, "detector": False, "instance": None}


@pytest.mark.usefixtures("street", "on_the_cpu")
def test_photos_of_a_folder_and_of_a_dataset_train_alike(tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "photos", tmp_path / "street/train")
    labels = ("--labels", tmp_path / "street")
    run_well(*labels, "--photos", tmp_path / "photos", "--out", tmp_path / "a")
    dataset = ("--photos", tmp_path / "street", "--format", "coco-panoptic")
    run_well(*labels, *dataset, "--out", tmp_path / "b")
    assert read_json(tmp_path / "a/manifest.json") == read_json(tmp_path / "b/manifest.json")


@pytest.mark.usefixtures("street", "on_the_cpu")
def test_of_a_dataset_only_the_photos_of_labels_have_to_be_there(tmp_path: Path) -> None:
    few = tmp_path / "few"
    shutil.copytree(tmp_path / "street", few)
    content = read_json(few / "panoptic.json")
    for table, key in (("images", "id"), ("annotations", "image_id")):
        content[table] = [entry for entry in content[table] if entry[key] != "b"]
    (few / "panoptic.json").write_text(json.dumps(content))
    photos = ("--photos", tmp_path / "street", "--format", "coco-panoptic")
    (tmp_path / "photos").rename(tmp_path / "street/train")
    (tmp_path / "street/train/b.png").unlink()
    run_well("--labels", few, *photos, "--out", tmp_path / "run")
    lacking = str(error_of("--labels", tmp_path / "street", *photos, "--out", tmp_path / "other"))
    missing = tmp_path / "street/train/b.png"
    wanted = f"{missing}: the photo is missing, and image 'b' (b.png) has a label: restore it, or"
    assert lacking.startswith(wanted)
    assert not (tmp_path / "other").exists()


@pytest.mark.usefixtures("street", "on_the_cpu")
def test_a_list_of_labels_is_a_label_set_wherever_it_is(tmp_path: Path) -> None:
    coco = tmp_path / "coco/annotations"
    coco.mkdir(parents=True)
    shutil.copy(tmp_path / "street/panoptic.json", coco / "panoptic_train2017.json")
    shutil.copytree(tmp_path / "street/panoptic", coco / "panoptic_train2017")
    photos = ("--photos", tmp_path / "photos")
    given = ("--labels", coco / "panoptic_train2017.json")
    run_well(*given, *photos, "--out", tmp_path / "a")
    run_well("--labels", tmp_path / "street", *photos, "--out", tmp_path / "b")
    stages = [read_json(tmp_path / name / "manifest.json")["stages"] for name in "ab"]
    assert stages[0] == stages[1]


def test_full_labels_that_convert_wrote_and_pseudo_labels_are_trained_on_together(
    tmp_path: Path, street: Dataset
) -> None:
    root = tmp_path / "street"
    shutil.copytree(tmp_path / "photos", root / "train")
    convert(root, tmp_path / "full", "--to", "full", "--max-images", 1)
    # The second half is another dataset of the same categories.
    other = tmp_path / "other"
    (other / "train").mkdir(parents=True)
    image = street.images[1]
    for folder in (other / "train", tmp_path / "photos"):
        shutil.copy(tmp_path / "photos" / image.file_name, folder / "c.png")
    entry = write_label(other, "c", image, street.read_label(image)) | {"image_id": "c"}
    named = replace(image, image_id="c", file_name="c.png")
    write_label_set(other, street.categories, [(named, entry)])
    done = run_command(
        *(other, "--format", "coco-panoptic", "--labels", "boxes", "--out", tmp_path / "weak")
    )
    assert done.exit_code == 0, repr(done.exception)
    labels = ("--labels", tmp_path / "full", "--labels", tmp_path / "weak")
    together = ("--photos", tmp_path / "photos")
    text = run_well(*labels, *together, "--out", tmp_path / "run")
    assert text.startswith("Training on 2 images (1 boxes, 1 full), on ")
    apart = ("--photos", root / "train", "--photos", other / "train")
    again = run_well(*labels, *apart, "--out", tmp_path / "run")
    assert again.replace(f"note: {tmp_path / 'run'}: is finished\n", "") == text
    three = error_of(*labels, *apart, *together, "--out", tmp_path / "run")
    assert str(three).startswith("3 folders of photos for 2 label sets: give one for all, or one")
    assert "c.png: the photo is missing" in str(
        error_of(*labels, "--photos", root / "train", "--out", tmp_path / "run")
    )
    done = run(*labels, *apart, "--out", tmp_path / "run", "--format", "coco-panoptic")
    assert done.exit_code == 2
    assert load_model(tmp_path / "run").categories == street.categories


def test_tags_alone_train_no_detector_and_the_command_says_so(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    quick = ("--set", "classifier.steps=1", "--crops", "32x32")
    assert pseudo_label(world, "tags", tmp_path / "tags", *quick).exit_code == 0
    text = run_well(
        *("--labels", tmp_path / "tags", "--photos", world, "--format", "scenes"),
        *("--out", tmp_path / "run"),
    )
    assert "(4 tags)" in text
    assert "no detector was trained" in text
    assert read_json(tmp_path / "run/manifest.json")["stages"]["detector"] is None


@pytest.mark.usefixtures("street")
def test_a_run_starts_from_another_with_other_categories(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    photos = ("--photos", tmp_path / "photos")
    run_well("--labels", tmp_path / "street", *photos, "--out", first)
    content = read_json(tmp_path / "street/panoptic.json")
    content["categories"][0]["name"] = "path"
    (tmp_path / "street/panoptic.json").write_text(json.dumps(content))
    table = tmp_path / "table.json"
    arguments = ("--labels", tmp_path / "street", *photos, "--out", second, "--json", table)
    run_well(*arguments, "--start-from", first)
    began = read_json(table)["began"]
    assert began["run"] == str(first)
    assert set(began["taken"]) == {"semantic", "detector", "instance"}


def test_a_training_that_diverged_is_corrected_in_its_folder(tmp_path: Path) -> None:
    world, labels, out = make_world(tmp_path), tmp_path / "labels", tmp_path / "run"
    assert pseudo_label(world, "boxes", labels).exit_code == 0
    asked = ("--labels", labels, "--photos", world, "--format", "scenes", "--out", out)
    assert "diverge" in str(error_of(*asked, "--set", "semantic.learning_rate=1e30"))
    other = tmp_path / "other"
    unfinished = str(error_of(*asked[:-1], other, "--start-from", out))
    assert unfinished == (f"{out}: its training is not finished: repeat the command that trains it")
    assert not other.exists()
    refused = str(error_of(*asked))
    assert "different recipe.semantic" in refused
    assert "--overwrite" in refused
    run_well(*asked, "--overwrite")
    assert (out / "manifest.json").is_file()


@pytest.mark.usefixtures("street")
def test_a_stage_without_a_step_is_told(tmp_path: Path) -> None:
    asked = ("--labels", tmp_path / "street", "--photos", tmp_path / "photos")
    # The quick settings come last, and would win.
    recipe = tmp_path / "none.toml"
    recipe.write_text("[semantic]\nsteps = 0\nlearning_rate = 0.1\n")
    steps = ("--set", "detector.steps=0", "--set", "instance.steps=0")
    given = (*asked, "--recipe", recipe, *steps, "--out", tmp_path / "run")
    done = CliRunner().invoke(app, [str(argument) for argument in given])
    assert done.exit_code == 0, done.output
    for stage in ("semantic", "detector", "instance"):
        assert f"note: {stage}: made no step, and is as it began" in " ".join(done.output.split())


@pytest.mark.usefixtures("street")
def test_what_is_wrong_is_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    street, photos, out = tmp_path / "street", tmp_path / "photos", tmp_path / "run"
    good = ("--labels", street, "--photos", photos, "--out", out)
    twice = error_of(*good, "--labels", street)
    assert "image 'a' (a.png) has a label in" in str(twice)
    assert "absent: no such folder or list" in str(error_of(*good, "--labels", tmp_path / "absent"))
    assert "no recipe 'big'" in str(error_of(*good, "--recipe", "big"))
    assert isinstance(error_of(*good, "--start-from", street), DatasetError)
    assert isinstance(error_of(*good, "--set", "backbone.name=vgg"), RecipeError)
    # Weights that cannot be had are told before the labels are read.
    lost = ("--labels", tmp_path / "absent", "--photos", photos, "--out", out)
    assert "w.pt: no such file" in str(error_of(*lost, "--set", "backbone.weights=w.pt"))
    (photos / "a.png").unlink()
    assert "a.png: the photo is missing (1 of 2 are" in str(error_of(*good))
    assert "absent: no such folder" in str(
        error_of("--labels", street, "--photos", tmp_path / "absent", "--out", out)
    )
    assert not out.exists()


@pytest.mark.usefixtures("street")
def test_other_categories_are_refused_with_the_first_difference(tmp_path: Path) -> None:
    categories = make_categories(things=("car", "cat"), stuff=("road", "sky"))
    write_label_set(tmp_path / "other", categories, [])
    street = tmp_path / "street"
    error = error_of(
        *("--labels", street, "--labels", tmp_path / "other"),
        *("--photos", tmp_path / "photos", "--out", tmp_path / "run"),
    )
    assert "category number 4 is 40 'cat' (thing), and that of" in str(error)


@pytest.mark.usefixtures("street")
def test_no_output_replaces_what_is_read(tmp_path: Path) -> None:
    street, photos, out = tmp_path / "street", tmp_path / "photos", tmp_path / "run"
    place = ("--labels", street, "--photos", photos)
    content = (street / "panoptic.json").read_bytes()
    for table in (street / "panoptic.json", photos / "a.png", street / "panoptic/a.png", out / "t"):
        done = run(*place, "--out", out, "--json", table)
        assert done.exit_code == 2, table
    for folder in (street, photos):
        assert run(*place, "--out", folder).exit_code == 2
    assert (street / "panoptic.json").read_bytes() == content
    assert not out.exists()


@pytest.mark.usefixtures("street", "on_the_cpu")
def test_loaders_change_no_result_and_tensorboard_is_written_elsewhere(tmp_path: Path) -> None:
    place = ("--labels", tmp_path / "street", "--photos", tmp_path / "photos")
    run_well(*place, "--out", tmp_path / "a")
    board = tmp_path / "board"
    run_well(*place, "--out", tmp_path / "b", "--loaders", 2, "--tensorboard", board)
    shown = EventAccumulator(str(board)).Reload()
    for stage in ("semantic", "detector", "instance"):
        assert len(shown.Scalars(f"{stage}/loss")) == len(shown.Scalars(f"{stage}/learning rate"))
        assert shown.Scalars(f"{stage}/seconds of waiting")[0].value >= 0
    assert shown.Scalars("instance/bilateral_weight")[0].value == 4
    assert shown.Tags()["images"] == ["predictions/a", "predictions/b"]
    manifests = [read_json(tmp_path / name / "manifest.json") for name in "ab"]
    assert manifests[0] == manifests[1]
    inside = tmp_path / "c/board"
    assert run(*place, "--out", tmp_path / "c", "--tensorboard", inside).exit_code == 2
    assert not (tmp_path / "c").exists()


@pytest.mark.usefixtures("street")
def test_a_split_without_a_format_is_a_usage_error(tmp_path: Path) -> None:
    place = ("--labels", tmp_path / "street", "--photos", tmp_path / "photos")
    done = run(*place, "--out", tmp_path / "run", "--split", "val")
    assert done.exit_code == 2
    assert "give its --format" in " ".join(done.output.split())


@pytest.mark.usefixtures("street")
def test_nothing_is_written_into_what_is_read(tmp_path: Path) -> None:
    labels, photos = tmp_path / "street", tmp_path / "photos"
    place = ("--labels", labels, "--photos", photos)
    start = tmp_path / "start"
    run_well(*place, "--out", start)
    manifest = (start / "manifest.json").read_bytes()
    assert "which is read: give --out" in str(error_of(*place, "--out", photos / "run"))
    out = ("--out", tmp_path / "run")
    for arguments in (
        ("--out", labels / "run"),
        ("--out", start / "run", "--start-from", start),
        (*out, "--start-from", start, "--json", start / "manifest.json"),
        (*out, "--tensorboard", labels / "board"),
    ):
        done = run(*place, *arguments)
        assert done.exit_code == 2
        assert "Invalid value: --" in done.output
    assert (start / "manifest.json").read_bytes() == manifest
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("street")
def test_steps_without_anything_to_learn_and_rounds_are_told(tmp_path: Path) -> None:
    place = ("--labels", tmp_path / "street", "--photos", tmp_path / "photos")
    sure = ("--set", "instance.score_threshold=1.0", "--set", "refinement.rounds=1")
    done = run(*place, "--out", tmp_path / "run", *sure)
    assert done.exit_code == 0
    assert "note: refinement.rounds makes labels, with `annotools pseudo-label" in done.stderr
    stages = read_json(tmp_path / "run/manifest.json")["stages"]
    assert stages["semantic"]["steps_without_loss"] == 0
    assert "note: semantic" not in done.stderr


def test_a_list_of_instances_says_what_makes_labels_of_it(tmp_path: Path) -> None:
    instances = tmp_path / "instances.json"
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 4, "height": 4}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}],
    }
    instances.write_text(json.dumps(content))
    place = ("--labels", instances, "--photos", tmp_path, "--out", tmp_path / "run")
    assert "lists instances: `annotools convert ROOT" in str(error_of(*place))


def test_the_folder_of_a_dataset_says_what_makes_labels_of_it(tmp_path: Path) -> None:
    (tmp_path / "data" / "train").mkdir(parents=True)
    place = ("--labels", tmp_path / "data", "--photos", tmp_path, "--out", tmp_path / "run")
    told = str(error_of(*place))
    assert "data: has no panoptic.json, so is no label set; it has train/: `annotools" in told
    listed = tmp_path / "data" / "annotations" / "panoptic_val2017.json"
    listed.parent.mkdir()
    listed.write_text("{}")
    assert f"so is no label set: give a list, as {listed}" in str(error_of(*place))


@pytest.mark.usefixtures("street")
def test_photos_start_from_weights_that_are_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    out = tmp_path / "run"
    given = ("--labels", tmp_path / "street", "--photos", tmp_path / "photos", "--out", out)
    done = CliRunner().invoke(app, [str(argument) for argument in given])
    assert isinstance(done.exception, RecipeError)
    message = str(done.exception)
    assert message.startswith("backbone.weights = 'IMAGENET1K_V2': cannot be downloaded (")
    assert f"put https://download.pytorch.org/models/resnet50-11ad3fa6.pth at {tmp_path}" in message
    assert message.endswith(
        "or choose a recipe that needs no weights: small, in a study recipe.inherit=small"
    )
    assert not out.exists()


@pytest.mark.usefixtures("street")
def test_the_manifest_names_what_the_backbone_started_from(tmp_path: Path) -> None:
    given = ("--labels", tmp_path / "street", "--photos", tmp_path / "photos")
    run_well(*given, "--out", tmp_path / "a")
    assert read_json(tmp_path / "a/manifest.json")["weights"] == "none"
    settings = load_model(tmp_path / "a").recipe.backbone
    weights = tmp_path / "w.pt"
    torch.save(build_backbone(settings).layers.state_dict(), weights)
    started = ("--out", tmp_path / "b", "--set", f"backbone.weights={weights}")
    run_well(*given, *started, "--set", "backbone.frozen=true")
    named = read_json(tmp_path / "b/manifest.json")["weights"]
    assert re.fullmatch(r"w\.pt \(sha256 [0-9a-f]{12}\)", named)
    # Nothing that the run had is needed to predict with it, and the backbone is as it was.
    state = torch.load(weights, weights_only=True)
    weights.unlink()
    semantic = load_model(tmp_path / "b").semantic
    taken = semantic.trunk.backbone.layers.state_dict()
    assert all(torch.equal(taken[key].cpu(), values) for key, values in state.items())
