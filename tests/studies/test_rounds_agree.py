from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from annotools.allocation.plan_file import read_allocation
from annotools.formats import read_dataset
from annotools.formats.panoptic_folder import read_maps
from annotools.formats.source import Source
from annotools.weak_labels.annotators import Annotator
from studies.purchases import Purchase, buy_labels, first_examples, relabelled_examples
from tests.wsps.pseudo_label_runs import write_allocation
from wsps.data import TrainingExample
from wsps.networks.pspnet import PSPNet
from wsps.pseudo_labels.label_split import label_split
from wsps.pseudo_labels.label_store import BoxLabelStore
from wsps.pseudo_labels.request import LabelRequest
from wsps.recipe import (
    CrfSettings,
    Recipe,
    RefinementSettings,
    StageSettings,
    TagSettings,
)
from wsps.training.stages import train_model

KIND_OF: dict[int | str, str] = {
    0: "full",
    1: "boxes",
    2: "none",
    3: "boxes+tags",
    4: "tags",
    5: "boxes",
}
ONE_STEP = StageSettings(steps=1, learning_rate=1e-3)
RECIPE = Recipe(
    batch_size=2,
    crop_size_wh=(48, 48),
    classifier=ONE_STEP,
    semantic=replace(ONE_STEP, steps=3),
    detector=ONE_STEP,
    instance=ONE_STEP,
    tags=TagSettings(crop_size_wh=(32, 32)),
    refinement=RefinementSettings(
        rounds=2, min_score=0.0, complete="always", crf=CrfSettings(iterations=0)
    ),
)
SEED = 3


def maps_by_image(
    bought: Purchase, groups: Mapping[str, Sequence[TrainingExample]]
) -> dict[int | str, NDArray[np.uint8]]:
    return {
        image.image_id: example.classes
        for kind, group in groups.items()
        for image, example in zip(bought.images_of[kind], group, strict=True)
    }


def maps_of_a_study(bought: Purchase) -> list[dict[int | str, NDArray[np.uint8]]]:
    """The class map of each image, by round."""
    cpu = torch.device("cpu")
    first = first_examples(bought, cpu)
    rounds = [maps_by_image(bought, first)]

    def relabel(network: PSPNet, number: int) -> list[list[TrainingExample]]:
        groups = [list(g) for g in relabelled_examples(bought, first, network, number)]
        rounds.append(maps_by_image(bought, dict(zip(bought.images_of, groups, strict=True))))
        return groups

    categories = bought.dataset.categories
    train_model(list(first.values()), categories, RECIPE, SEED, cpu, relabel)
    return rounds


def test_the_labels_of_each_round_are_those_that_a_study_trains_on(tmp_path: Path) -> None:
    world = tmp_path / "world.toml"
    world.write_text("width = 64\nheight = 64\nnum_train = 6\nnum_val = 1\n")
    dataset = read_dataset("scenes", world, "train")
    store = BoxLabelStore(folder=tmp_path / "box_labels", source=("scenes", world, "train"))
    bought = buy_labels(dataset, KIND_OF, Annotator(), store, RECIPE, SEED)
    expected = maps_of_a_study(bought)
    plan = write_allocation(tmp_path / "plan.json", KIND_OF, crop_size_wh=[32, 32])
    request = LabelRequest(
        source=Source(format_name="scenes", root=world, split="train"),
        labels=read_allocation(plan),
        recipe=RECIPE,
        seed=SEED,
    )
    out = tmp_path / "out"
    label_split(request, out)
    for folder, maps in zip((out / "rounds/0", out / "rounds/1", out), expected, strict=True):
        for image in dataset.images:
            path = folder / f"semantic/{image.file_name}"
            assert path.exists() == (image.image_id in maps)
            if path.exists():
                found, _ = read_maps(folder, image.file_name.removesuffix(".png"))
                np.testing.assert_array_equal(found, maps[image.image_id])
    assert len(expected[0]) == 5
    assert not np.array_equal(expected[1][2], expected[2][2])
