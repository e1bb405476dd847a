import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import annotools.cli
from annotools.errors import AnnotationError
from annotools.formats.pictures import decode_map
from annotools.formats.source import Source, open_source
from wsps import inference
from wsps.commands import evaluate, predict
from wsps.inference import predict_images
from wsps.pseudo_labels.request import LabelRequest
from wsps.pseudo_labels.rounds import pseudo_label
from wsps.recipe import (
    DescentSettings,
    InstanceSettings,
    Recipe,
    SemanticSettings,
    StageSettings,
    ViewSettings,
)
from wsps.training.train import train

STAGE = StageSettings(steps=2, learning_rate=3e-3)
RECIPE = Recipe(
    views=ViewSettings(crop_size_wh=(64, 64)),
    descent=DescentSettings(batch_size=2),
    semantic=SemanticSettings(steps=2, learning_rate=3e-3),
    detector=STAGE,
    instance=InstanceSettings(steps=1, learning_rate=1e-3, score_threshold=0.05),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, `run`, of `world.toml`, its held-out photos and their full labels."""
    folder = tmp_path_factory.mktemp("predict")
    world = folder / "world.toml"
    world.write_text("width = 64\nheight = 64\nnum_train = 2\nnum_val = 3\n")
    bought = Source(format_name="scenes", root=world, split="train")
    pseudo_label(
        LabelRequest(source=bought, labels=dict.fromkeys(range(2), "full"), recipe=RECIPE),
        folder / "labels",
    )
    train([folder / "labels"], bought, RECIPE, 0, folder / "run")
    dataset = open_source(replace(bought, split="val"))
    (folder / "photos").mkdir()
    for image in dataset.images:
        photo = dataset.read_photo(image)
        cv2.imwrite(str(folder / "photos" / image.file_name), photo[..., ::-1])
    given = [world, "--format", "scenes", "--split", "val", "--to", "full"]
    assert run_app(annotools.cli.app, "convert", *given, "--out", folder / "truth").exit_code == 0
    return folder


def run_app(app: Any, *arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run(trained: Path, photos: Path, out: Path, *arguments: object) -> Result:
    return run_app(predict.app, trained / "run", photos, "--out", out, *arguments)


def run_well(trained: Path, photos: Path, out: Path, *arguments: object) -> str:
    done = run(trained, photos, out, *arguments)
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.stdout


def refusal(trained: Path, photos: Path, out: Path, *arguments: object) -> str:
    done = run(trained, photos, out, *arguments)
    assert isinstance(done.exception, AnnotationError)
    return str(done.exception)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def contents(out: Path) -> dict[str, bytes]:
    paths = (p for p in out.rglob("*.*") if p.is_file() and ".state" not in p.parts)
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in paths}


def test_photos_of_any_size_in_subfolders(trained: Path, tmp_path: Path) -> None:
    photos, out, table = tmp_path / "photos", tmp_path / "out", tmp_path / "table.json"
    (photos / "day 1").mkdir(parents=True)
    sizes = {"day 1/b.jpg": (40, 70), "a.png": (64, 64), "day 1/c.png": (33, 50)}
    rng = np.random.default_rng(0)
    for name, (height, width) in sizes.items():
        noise = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        cv2.imwrite(str(photos / name), noise)
    told = run_well(trained, photos, out, "--overlays", "--json", table)
    written = read_json(out / "panoptic.json")
    assert [(i["id"], i["file_name"], (i["height"], i["width"])) for i in written["images"]] == [
        (name.rpartition(".")[0], name, sizes[name]) for name in sorted(sizes)
    ]
    infos = [info for entry in written["annotations"] for info in entry["segments_info"]]
    assert all(0 <= info["score"] <= 1 for info in infos)
    for name, size_hw in sizes.items():
        stem = name.rpartition(".")[0]
        assert decode_map(out / "semantic" / f"{stem}.png").shape == size_hw
        drawn = cv2.imread(str(out / "overlays" / f"{stem}.jpg"))
        assert drawn is not None
        # Enlarged by whole numbers until the names can be read.
        height, width = size_hw
        factor = -(-640 // width)
        assert drawn.shape[:2] == (factor * height, factor * width)
    found = read_json(table)
    assert (found["images"], found["resumed"], found["segments"]) == (3, 0, len(infos))
    for row in found["categories"]:
        ids = [info["category_id"] for info in infos]
        assert row["segments"] == ids.count(row["id"])
    assert f"3 images, {len(infos)} segments.\n{out / 'panoptic.json'}\n" in told
    # These ids are those of no truth.
    assert "to score it, predict with --images TRUTH/panoptic.json, whose ids it has then" in told


def test_ids_of_a_list_let_evaluate_score_what_inspect_and_draw_open(
    trained: Path, tmp_path: Path
) -> None:
    photos, out, truth = trained / "photos", tmp_path / "out", trained / "truth/panoptic.json"
    told = run_well(trained, photos, out, "--images", truth)
    assert f"--prediction {out / 'panoptic.json'} --truth {truth}\n" in told
    assert [image["id"] for image in read_json(out / "panoptic.json")["images"]] == [0, 1, 2]
    scores = tmp_path / "scores.json"
    paths = ("--prediction", out / "panoptic.json", "--truth", truth, "--json", scores)
    assert run_app(evaluate.app, *paths).exit_code == 0
    content = read_json(scores)
    assert (content["images"], content["metrics"]) == (3, ["pq", "ap", "miou"])
    opened = (out, "--format", "coco-panoptic", "--photos", photos)
    inspected = run_app(annotools.cli.app, "inspect", *opened, "--json", tmp_path / "counts.json")
    assert inspected.exit_code == 0
    assert read_json(tmp_path / "counts.json")["images"] == 3
    sheet = tmp_path / "sheet.png"
    assert run_app(annotools.cli.app, "draw", *opened, "--out", sheet).exit_code == 0
    assert cv2.imread(str(sheet)) is not None


def test_a_dataset_gives_what_its_photos_give(trained: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    run_well(trained, trained / "world.toml", one, "--format", "scenes", "--max-images", 2)
    run_well(trained, trained / "photos", other, "--max-images", 2)
    files = [f"{folder}/val_00000{n}.png" for folder in ("panoptic", "semantic") for n in range(2)]
    assert len(list((one / "panoptic").iterdir())) == 2
    for name in files:
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_a_run_that_was_stopped_goes_on_and_gives_the_same(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, whole, out = trained / "photos", tmp_path / "whole", tmp_path / "out"
    run_well(trained, photos, whole, "--overlays")
    write_label, written = inference.write_label, []

    def stop(folder: Path, name: str, *rest: Any) -> Any:
        written.append(name)
        if len(written) >= 2:
            raise OSError(28, "No space left on device", name)
        return write_label(folder, name, *rest)

    # With one thread images are written one after the other.
    monkeypatch.setattr(inference, "_MAX_THREADS", 1)
    with monkeypatch.context() as patch:
        patch.setattr(inference, "write_label", stop)
        stopped = run(trained, photos, out, "--overlays")
    assert isinstance(stopped.exception, OSError)
    assert not (out / "panoptic.json").exists()
    assert "1 were done by an earlier run." in run_well(trained, photos, out, "--overlays")
    assert contents(out) == contents(whole)
    assert "3 were done by an earlier run." in run_well(trained, photos, out)


def test_overlays_come_later_without_predicting_again(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = trained / "photos", tmp_path / "out"
    run_well(trained, photos, out)
    monkeypatch.setattr(inference, "predict_batch", None)
    run_well(trained, photos, out, "--overlays")
    assert len(list((out / "overlays").iterdir())) == 3


def test_settings_are_replaced_and_no_two_are_mixed(trained: Path, tmp_path: Path) -> None:
    photos, out = trained / "photos", tmp_path / "out"
    run_well(trained, photos, out)
    change = ("--set", "prediction.iterations=1")
    assert "with different settings" in refusal(trained, photos, out, *change)
    (out / "mine.txt").write_text("")
    assert "holds 'mine.txt'" in refusal(trained, photos, out, *change, "--overwrite")
    (out / "mine.txt").unlink()
    run_well(trained, photos, out, *change, "--overwrite")
    settings = read_json(out / "manifest.json")["settings"]
    assert settings["prediction"]["iterations"] == 1
    assert "others: prediction" in refusal(trained, photos, out, "--set", "semantic.steps=1")


def test_what_is_wrong_with_photos_is_one_line(trained: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    shutil.copytree(trained / "photos", photos)
    path = photos / "val_000001.png"
    path.write_bytes(path.read_bytes()[:-40])
    line = refusal(trained, photos, out)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    path.unlink()
    run_well(trained, photos, tmp_path / "others")
    inside = refusal(trained, photos, photos / "out")
    assert inside == f"{photos / 'out'}: lies in {photos}, which is read: give --out elsewhere"
    assert not (photos / "out").exists()
    assert "no such folder" in refusal(trained, tmp_path / "none", out)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--split", "val"), "--split: is of a dataset"),
        (("--photos", "photos"), "--photos: is of a dataset"),
        (("--format", "scenes", "--images", "a.json"), "--images: is for a folder of photos"),
    ],
)
def test_options_that_would_change_nothing_are_refused(
    trained: Path, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = run(trained, trained / "photos", tmp_path / "out", *arguments)
    assert done.exit_code == 2
    assert told in done.stderr


def test_another_dataset_is_refused(trained: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    shutil.copytree(trained / "truth", truth)
    content = read_json(truth / "panoptic.json")
    content["categories"].reverse()
    (truth / "panoptic.json").write_text(json.dumps(content))
    source = Source(format_name="coco-panoptic", root=truth, split="photos")
    with pytest.raises(AnnotationError, match="was trained for other categories than"):
        predict_images(trained / "run", source, tmp_path / "out")


def test_a_table_never_replaces_the_model(trained: Path, tmp_path: Path) -> None:
    manifest = trained / "run/manifest.json"
    before = manifest.read_bytes()
    for arguments in (("--json", manifest), ("--json", trained / "run/new.json")):
        done = run(trained, trained / "photos", tmp_path / "out", *arguments)
        assert done.exit_code == 2
        assert not (trained / "run/new.json").exists()
    assert run(trained, trained / "photos", trained / "run/out").exit_code == 2
    listed = ("--images", trained / "truth/panoptic.json")
    in_labels = run(trained, trained / "photos", trained / "truth/out", *listed)
    assert "which is read: give --out elsewhere" in str(in_labels.exception)
    assert manifest.read_bytes() == before


def test_photos_that_are_left_out_are_told(trained: Path, tmp_path: Path) -> None:
    photos, listed = tmp_path / "photos", tmp_path / "list.json"
    photos.mkdir()
    names = sorted(path.name for path in (trained / "photos").iterdir())
    (photos / names[0]).write_bytes((trained / "photos" / names[0]).read_bytes())
    images = [
        {"id": number, "file_name": name, "width": 64, "height": 64}
        for number, name in enumerate(names[:2])
    ]
    listed.write_text(json.dumps({"images": images, "annotations": [{"bbox": [0, 0, 1, 1]}]}))
    out, table = tmp_path / "out", tmp_path / "table.json"
    given = ("--images", listed, "--allow-missing", "--json", table)
    done = run(trained, photos, out, *given)
    assert done.exit_code == 0, done.output
    assert names[1] in done.stderr
    assert "score it" not in done.stdout  # The list has no panoptic labels to score with.
    assert json.loads(table.read_text())["drops"][0]["count"] == 1
    (left_out,) = json.loads((out / "manifest.json").read_text())["left_out"]
    assert names[1] in left_out
    (photos / names[0]).unlink()
    nothing = run(trained, photos, tmp_path / "nothing", *given)
    assert "no photo" in str(nothing.exception)
    assert not (tmp_path / "nothing").exists()
