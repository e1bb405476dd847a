import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

import studies.cli
from annotools.allocation.image_orders import random_order
from annotools.errors import DatasetError, RecipeError, TimesError
from annotools.prices.times import read_times
from annotools.records import Image
from studies import new_splits, new_study, new_study_toml
from studies.new_splits import limit_images
from studies.new_study import choose_budgets, choose_crops, choose_kinds, first_seconds
from studies.running.planning import plan_trials
from studies.study import DatasetSettings, Study, dataset_table, load_study
from studies.validate import check_budgets, check_study
from tests.builders import make_categories, make_dataset
from wsps.networks.backbone import build_backbone
from wsps.recipe import BackboneSettings

AS_CELLS = ("--format", "coco-instances", "--weights", "none")
"""Things of few categories, and no network that has to be downloaded."""


def new(*arguments: object) -> Result:
    return CliRunner().invoke(studies.cli.app, ["study", "new", *map(str, arguments)])


def new_well(*arguments: object) -> Result:
    done = new(*arguments)
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done


def check_that_it_runs(path: Path, folder: Path) -> Study:
    """Everything that `study run` checks before it trains."""
    study = load_study(path)
    check_study(study, path)
    check_budgets(study, plan_trials(study, folder / "run"))
    return study


def make_world(folder: Path, num_train: int = 40) -> Path:
    path = folder / "world.toml"
    path.write_text(f"width = 64\nheight = 48\nnum_train = {num_train}\nnum_val = 2\n")
    return path


def make_cells(folder: Path, splits: dict[str, int], labelled: tuple[str, ...]) -> Path:
    """COCO instances: photos of 40 x 30 pixels with two squares of 8 pixels each."""
    for number, (split, images) in enumerate(splits.items()):
        (folder / split).mkdir(parents=True)
        entries, objects = [], []
        for i in range(images):
            entries.append({"id": i, "file_name": f"{i}.png", "width": 40, "height": 30})
            photo = np.full((30, 40, 3), 80 * number + i, dtype=np.uint8)
            cv2.imwrite(str(folder / split / f"{i}.png"), photo)
            for x in (2, 20) if split in labelled else ():
                square = [x, 4, x + 8, 4, x + 8, 12, x, 12]
                objects.append(
                    {
                        "id": len(objects) + 1,
                        "image_id": i,
                        "category_id": 1,
                        "bbox": [x, 4, 8, 8],
                        "area": 64,
                        "iscrowd": 0,
                        "segmentation": [square],
                    }
                )
        content = {
            "images": entries,
            "annotations": objects,
            "categories": [{"id": 1, "name": "cell"}],
        }
        path = folder / f"annotations/instances_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("hours", "num_images", "least", "expected"),
    [
        # Five full images are 5 h; all boxes are 45 h, three budgets a factor of 3 apart.
        ({"full": 1.0, "boxes": 0.05}, 900, 0, (5, 15, 45)),
        # All boxes are 50 h: four budgets would end far beyond, three end with all boxes.
        ({"full": 1.0, "boxes": 0.05}, 640, 0, (5, 13, 32)),
        # So many images that no budget buys all.
        ({"full": 1.0, "boxes": 0.05}, 100_000, 0, (5, 15, 45, 140)),
        # Boxes run out at 3 h already: full labels go on to nine times the smallest.
        ({"full": 1.0, "boxes": 0.01}, 300, 0, (5, 15, 45)),
        # All 17 full images are 25.5 h, which leaves room for three from 2.9 h on.
        ({"full": 1.5, "boxes": 0.04}, 17, 0, (2.9, 8.5, 26)),
        # The image that is bought first takes 6 h.
        ({"full": 1.5, "boxes": 0.04}, 17, 6, (6.0, 13, 26)),
        # There is one image.
        ({"full": 1.5, "boxes": 0.04}, 1, 1.5, (1.5,)),
    ],
)
def test_budgets_go_from_a_few_full_images_to_all_cheap_ones(
    hours: dict[str, float], num_images: int, least: float, expected: tuple[float, ...]
) -> None:
    assert choose_budgets(hours, num_images, least) == expected


def test_large_photos_are_tagged_in_crops() -> None:
    assert choose_crops((640, 480)) is None
    assert choose_crops((2048, 1024)) == (512, 342)


def test_a_dataset_with_things_alone_compares_boxes(tmp_path: Path) -> None:
    root = make_cells(tmp_path / "cells", {"train": 60, "val": 2, "test": 3}, ("train", "val"))
    path = tmp_path / "cells.toml"
    done = new_well(root, *AS_CELLS, "--out", path)
    assert f"annotools study run {path} --out runs/cells" in done.stdout
    study = check_that_it_runs(path, tmp_path)
    assert study.mixes == {"full": {"full": 1}, "boxes": {"boxes": 1}}
    # Two masks of 79.2 s an image, five images; all 60 images in boxes take 14 s each, 0.23 h,
    # less than four times that: masks go on.
    assert study.budgets_hours == (0.22, 0.66, 2.0)
    assert study.seeds == (0, 1, 2)
    # The images of the split test have no labels.
    assert study.dataset.test_split is None
    assert study.recipe.views.crop_size_wh == (32, 16)
    assert study.recipe.images.max_side is None
    text = path.read_text()
    running = text.replace("\n# ", " ")
    assert "    0.22, # images: full 5, boxes 56" in text
    assert "# 2.64 min an image; all 60 take 2.64 h." in text
    assert "# 14 s an image; all 60 take 0.233 h, so that a larger budget leaves" in text
    assert "with 2.0 things an image (mean of 60)." in running
    assert "Left out (a click has no price in li2018; times = 'bearman2016' has one):" in running
    lines = [line for line in text.splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 100


def test_a_labelled_test_split_is_taken(tmp_path: Path) -> None:
    splits = {"train": 20, "val": 2, "test": 3}
    root = make_cells(tmp_path / "cells", splits, tuple(splits))
    path = tmp_path / "study.toml"
    new_well(root, *AS_CELLS, "--out", path, "--times", "bearman2016")
    study = check_that_it_runs(path, tmp_path)
    assert study.dataset.test_split == "test"
    # These times price a click.
    assert study.mixes["points"] == {"points": 1}
    unlabelled = make_cells(tmp_path / "other", splits, ("train", "val"))
    asked = ("--test-split", "test", "--out", tmp_path / "other.toml")
    done = new(unlabelled, *AS_CELLS, *asked)
    assert isinstance(done.exception, DatasetError)
    assert "split 'test' has images without labels" in str(done.exception)
    assert not (tmp_path / "other.toml").exists()


def test_the_last_fifth_is_scored_where_there_is_one_split(tmp_path: Path) -> None:
    root = make_cells(tmp_path / "cells", {"train": 21}, ("train",))
    path = tmp_path / "study.toml"
    done = new_well(root, *AS_CELLS, "--out", path)
    assert "note: the last fifth of split 'train' is scored and cannot be bought" in done.stderr
    study = check_that_it_runs(path, tmp_path)
    assert study.dataset.train_split == "train[:80%]"
    assert study.dataset.val_split == "train[80%:]"
    named = ("--val-split", "val", "--out", tmp_path / "other.toml")
    done = new(root, *AS_CELLS, *named)
    assert isinstance(done.exception, DatasetError)


def test_stuff_is_tagged_and_boxes_alone_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "street.toml"
    new_well(make_world(tmp_path), "--format", "scenes", "--out", path)
    study = check_that_it_runs(path, tmp_path)
    assert study.mixes == {"full": {"full": 1}, "boxes+tags": {"boxes+tags": 1}}
    assert study.budgets_hours == (7.5, 22, 60)
    text = path.read_text()
    assert "# Left out (boxes alone teach nothing of stuff):\n# " in text
    assert "# The seconds of full_image are those of Cityscapes street images" in text
    assert study.recipe.views.crop_size_wh == (64, 48)
    # What is commented out can be taken as it is.
    path.write_text(text.replace('# "half"', '"half"').replace('# "boxes"', '"boxes"'))
    assert set(load_study(path).mixes) == {"full", "boxes+tags", "half", "boxes"}


def test_fewer_detections_than_things_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_study_toml, "MOST_DETECTIONS", (1, 1))
    path, root = tmp_path / "cells.toml", tmp_path / "cells"
    make_cells(root, {"train": 40, "val": 4}, ("train", "val"))
    new_well(root, *AS_CELLS, "--out", path)
    assert check_that_it_runs(path, tmp_path).recipe.instance.max_detections == 1
    text = path.read_text().replace("\n# ", " ")
    assert "The fullest of 40 photos has 2, and more detections take much memory." in text


def test_few_categories_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "cars.toml"
    new_well(make_world(tmp_path), "--format", "scenes", "--categories", "car", "--out", path)
    study = check_that_it_runs(path, tmp_path)
    assert study.dataset.categories == "car"
    assert study.mixes == {"full": {"full": 1}, "boxes": {"boxes": 1}}


def test_a_dataset_with_gaps_is_refused_or_studied_without_them(tmp_path: Path) -> None:
    root = make_cells(tmp_path / "cells", {"train": 21, "val": 4}, ("train", "val"))
    (root / "train/5.png").unlink()
    asked = (root, *AS_CELLS, "--out", path := tmp_path / "study.toml")
    done = new(*asked)
    assert isinstance(done.exception, DatasetError)
    assert "5.png" in str(done.exception)
    assert not path.exists()
    new_well(*asked, "--allow-missing")
    study = check_that_it_runs(path, tmp_path)
    assert study.dataset.allow_missing
    bought = {image for trial in plan_trials(study, tmp_path / "run") for image in trial.kind_of}
    assert 5 not in bought
    # What is not used is not stored either, so that older studies stay the same.
    assert "allow_missing" in dataset_table(study.dataset)
    assert "allow_missing" not in dataset_table(replace(study.dataset, allow_missing=False))


def test_the_smallest_budget_buys_an_image_that_holds_something() -> None:
    images = [Image(image_id=i, file_name=f"{i}.png", width=8, height=8) for i in range(6)]
    assert first_seconds(images, lambda _: {"full": 0.0, "boxes": 0.0}) == 0
    held = {0: 900.0, 4: 90.0, 5: 70.0}

    def price(image: Image) -> dict[str, float]:
        seconds = held.get(int(image.image_id), 0.0)
        return {"full": seconds, "boxes": seconds / 10}

    orders = [random_order({i: i for i in range(6)}, seed) for seed in (0, 1, 2)]
    firsts = {next(i for i in order if i in held) for order in orders}
    assert 0 not in firsts
    assert first_seconds(images, price) == max(held[int(i)] for i in firsts)


def test_photos_start_from_weights_unless_none_are_asked_for(tmp_path: Path) -> None:
    cells = make_cells(tmp_path / "cells", {"train": 21, "val": 4}, ("train", "val"))
    asked = (cells, "--format", "coco-instances")
    told = new_well(*asked, "--out", tmp_path / "photos.toml").stderr
    backbone = load_study(tmp_path / "photos.toml").recipe.backbone
    assert (backbone.name, backbone.frozen) == ("resnet50", True)
    assert "note: networks start from torchvision's weights of resnet50" in told
    assert "--weights takes a file in their place, or none for a small network" in told
    told = new_well(*asked, "--weights", "none", "--out", tmp_path / "small.toml").stderr
    backbone = load_study(tmp_path / "small.toml").recipe.backbone
    assert (backbone.name, backbone.weights, backbone.frozen) == ("small", None, False)
    assert "networks start" not in told


def test_weights_choose_the_network_that_they_fit(tmp_path: Path) -> None:
    weights = tmp_path / "mine.pt"
    settings = BackboneSettings(name="thin-resnet50")
    torch.save(build_backbone(settings).layers.state_dict(), weights)
    path = tmp_path / "street.toml"
    world = make_world(tmp_path)
    new_well(world, "--format", "scenes", "--weights", weights, "--out", path)
    backbone = load_study(path).recipe.backbone
    assert (backbone.name, backbone.weights, backbone.frozen) == (
        "thin-resnet50",
        str(weights),
        True,
    )
    weights.write_text("no weights")
    done = new(world, "--format", "scenes", "--weights", weights, "--out", tmp_path / "b.toml")
    assert isinstance(done.exception, RecipeError)
    assert "mine.pt: not a state dict" in str(done.exception)


def test_nothing_is_replaced_and_nothing_written_where_it_cannot_be(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    path = tmp_path / "street.toml"
    path.write_text("mine\n")
    done = new(world, "--format", "scenes", "--out", path)
    assert isinstance(done.exception, RecipeError)
    assert f"{path}: is there already" in str(done.exception)
    assert path.read_text() == "mine\n"
    free = tmp_path / "b.toml"
    for changes, error in (
        (("--train-split", "nowhere"), DatasetError),
        (("--val-split", "train"), RecipeError),
        (("--times", "sam-assisted"), TimesError),
        (("--categories", "tram"), RecipeError),
    ):
        done = new(world, "--format", "scenes", "--out", free, *changes)
        assert isinstance(done.exception, error), done.output
        assert not free.exists()


def test_stuff_alone_is_tagged() -> None:
    dataset = make_dataset({}, make_categories(things=()))
    kinds, left_out = choose_kinds(dataset, read_times("li2018"))
    assert kinds == ["full", "tags"]
    assert list(left_out) == ["points"]


def test_of_many_images_a_sample_is_measured_and_few_are_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_study, "MEASURED_IMAGES", 6)
    monkeypatch.setattr(new_splits, "MAX_SCORED", 2)
    root = make_cells(tmp_path / "cells", {"train": 20, "val": 3}, ("train", "val"))
    path = tmp_path / "study.toml"
    new_well(root, *AS_CELLS, "--out", path)
    study = check_that_it_runs(path, tmp_path)
    assert "(mean of 6)" in path.read_text().replace("\n# ", " ")
    assert study.dataset.max_val_images == 2


def test_a_dataset_of_boxes_alone_is_refused(tmp_path: Path) -> None:
    root = make_cells(tmp_path / "cells", {"train": 3, "val": 2}, ("train", "val"))
    for split in ("train", "val"):
        path = root / f"annotations/instances_{split}.json"
        content = json.loads(path.read_text())
        for entry in content["annotations"]:
            del entry["segmentation"]
        path.write_text(json.dumps(content))
    out = tmp_path / "study.toml"
    done = new(root, *AS_CELLS, "--out", out)
    assert isinstance(done.exception, DatasetError)
    assert "has no masks, and a study compares with full labels" in str(done.exception)
    assert not out.exists()


def test_images_that_no_budget_buys_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an hour buys boxes for 50 images, and half as many again are kept."""
    monkeypatch.setattr(new_splits, "MANY_IMAGES", 60)
    settings = DatasetSettings(format="scenes", root=make_world(tmp_path, num_train=80))
    hours = {"full": 1.0, "boxes": 0.01}
    limits = [
        limit_images(settings, hours, top_hours).max_train_images for top_hours in (0.5, 0.1, 1.0)
    ]
    assert limits == [75, 60, None]


def test_a_split_in_which_nothing_is_labelled_is_refused_in_one_line(tmp_path: Path) -> None:
    root = make_cells(tmp_path / "cells", {"train": 6, "val": 3}, labelled=("val",))
    done = new(root, *AS_CELLS, "--out", tmp_path / "study.toml")
    assert isinstance(done.exception, DatasetError)
    assert "cost nothing: none of 6 images looked at has anything to label" in str(done.exception)
    assert not (tmp_path / "study.toml").exists()


def test_splits_that_are_parts_and_others_that_are_named_are_taken(tmp_path: Path) -> None:
    splits = {"train": 20, "val2": 4}
    root = make_cells(tmp_path / "cells", splits, labelled=tuple(splits))
    out = tmp_path / "study.toml"
    parts = ("--train-split", "train[:70%]", "--val-split", "train[70%:]")
    new_well(root, *AS_CELLS, *parts, "--test-split", "val2", "--out", out)
    dataset = load_study(out).dataset
    assert dataset.train_split == "train[:70%]"
    assert dataset.val_split == "train[70%:]"
    assert dataset.test_split == "val2"


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    splits = {"train": 20, "val": 4, "test": 4}
    root = make_cells(tmp_path / 'a\x7f "b"', splits, labelled=tuple(splits))
    new_well(root, *AS_CELLS, "--out", tmp_path / "study.toml")
    assert load_study(tmp_path / "study.toml").dataset.root == root
