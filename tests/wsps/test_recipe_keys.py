"""Each setting of a recipe redoes the work that uses it, and no other.

A piece of work is named by the tables of the recipe that it uses. `USED` says which these are;
every field of every table is changed in turn, so that one that is forgotten shows here.
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from annotools.errors import DatasetError
from annotools.formats.source import Source, open_source
from annotools.records import WeakLabel
from annotools.weak_labels.buy import buy
from tests.wsps.pseudo_label_runs import counted
from wsps import inference
from wsps.inference import predict_images
from wsps.label_sets import hash_label_set, read_label_set
from wsps.networks.backbone import build_backbone
from wsps.pseudo_labels import rounds, stored_networks, tags
from wsps.pseudo_labels.label_store import BoxLabelStore
from wsps.pseudo_labels.request import LabelRequest, make_tasks
from wsps.pseudo_labels.rounds import pseudo_label
from wsps.pseudo_labels.stored_networks import store_classifier, store_segmenter
from wsps.recipe import (
    BackboneSettings,
    CrfSettings,
    DescentSettings,
    InstanceSettings,
    Recipe,
    RefinementSettings,
    SemanticSettings,
    StageSettings,
    TagSettings,
    ViewSettings,
)
from wsps.training import stages
from wsps.training import train as training
from wsps.training.checkpoints import StoredNetwork
from wsps.training.train import train

CLASSIFIER = {"images", "backbone", "descent", "classifier"}
SEGMENTER = {"images", "views", "backbone", "descent", "semantic"}
TRAINING = {*SEGMENTER, "detector", "instance"}
PREDICTION = {*TRAINING, "prediction"}
FIRST_LABELS, TAGS = {"boxes", "refinement"}, {"tags", *CLASSIFIER}
USED = {
    "masks from boxes": {"boxes"},
    "classifier": CLASSIFIER,
    "segmenter": SEGMENTER,
    "first labels, boxes": FIRST_LABELS,
    "first labels, boxes+tags": FIRST_LABELS | TAGS,
    "later labels, boxes": FIRST_LABELS | SEGMENTER,
    "later labels, boxes+tags": FIRST_LABELS | TAGS | SEGMENTER,
    "training": TRAINING,
    "prediction": PREDICTION,
}
EXCEPTIONS = {
    ("classifier", "tags.crop_size_wh"),  # Tags of other crops are other tags.
    ("first labels, boxes", "refinement.rounds"),  # They are those of no round.
    ("first labels, boxes+tags", "refinement.rounds"),
}

ONE_STEP = StageSettings(steps=1, learning_rate=1e-3)
RECIPE = Recipe(
    views=ViewSettings(crop_size_wh=(64, 64)),
    descent=DescentSettings(batch_size=2),
    tags=TagSettings(crop_size_wh=(32, 32)),
    classifier=ONE_STEP,
    semantic=SemanticSettings(steps=1, learning_rate=1e-3),
    detector=ONE_STEP,
    instance=InstanceSettings(steps=1, learning_rate=1e-3, iterations=1),
    refinement=RefinementSettings(rounds=1, min_score=0.0, crf=CrfSettings(iterations=1)),
)
OTHER_VALUES = {
    "images.max_side": 48,
    "images.min_side": 128,
    "views.per_photo": 4,
    "backbone.name": "resnet50",
    "backbone.weights": "weights.pt",
    "backbone.output_stride": 16,
    "backbone.norm": "frozen",
    "backbone.input": "caffe",
    "descent.optimizer": "sgd",
    "boxes.method": "grabcut",
    "semantic.auxiliary_weight": 0.4,
    "descent.precision": "bfloat16",
    "instance.mask_weight": 1.0,
    **{
        f"{stage}.schedule": "constant"
        for stage in ("classifier", "semantic", "detector", "instance")
    },
    "refinement.min_score": 0.5,
    "refinement.complete": "never",
    "refinement.crf.engine": "pydensecrf",
    "prediction.tile_side": 128,
}
"""Of fields whose other value does not follow from the one that they have."""


def fields_of(settings: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(settings):
        name, value = f"{path}{field.name}", getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from fields_of(value, f"{name}.")
        else:
            yield name, value


FIELDS = dict(fields_of(RECIPE))


def other_value(path: str) -> Any:
    value = FIELDS[path]
    if path in OTHER_VALUES:
        return OTHER_VALUES[path]
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return tuple(2 * number for number in value)
    assert isinstance(value, int | float), f"{path}: give another value in OTHER_VALUES"
    return value + 1 if isinstance(value, int) else value / 2


def changed(path: str, settings: Any = RECIPE, below: str = "") -> Any:
    """The settings with another value in one field; `below` is the path of their table."""
    name, _, rest = path.removeprefix(below).partition(".")
    inner = getattr(settings, name)
    value = changed(path, inner, f"{below}{name}.") if rest else other_value(path)
    return dataclasses.replace(settings, **{name: value})


def ask(source: Source, labels: str, recipe: Recipe) -> LabelRequest:
    return LabelRequest(source=source, labels=labels, recipe=recipe)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    world = tmp_path_factory.mktemp("recipe") / "world.toml"
    world.write_text("width = 64\nheight = 64\nnum_train = 2\n")
    return Source(format_name="scenes", root=world, split="train")


@pytest.fixture(scope="module")
def done(source: Source) -> Path:
    """A finished chain of folders: labels of one round, run and predictions."""
    folder = source.root.parent / "done"
    pseudo_label(ask(source, "boxes+tags", RECIPE), folder / "labels")
    train([folder / "labels"], source, RECIPE, 0, folder / "run")
    predict_images(folder / "run", source, folder / "predictions")
    return folder


def names_of_work(source: Source, labels: Path, recipe: Recipe) -> dict[str, Any]:
    """By piece of work, what must stay as it is if the work is to be kept."""
    dataset, found = open_source(source), {}
    for time, number in (("first", 0), ("later", recipe.refinement.rounds)):
        refinement = dataclasses.replace(recipe.refinement, rounds=number)
        for kind in ("boxes", "boxes+tags"):
            request = ask(source, kind, dataclasses.replace(recipe, refinement=refinement))
            tasks = make_tasks(request, dataset, labels)
            found[f"{time} labels, {kind}"] = rounds._setup(request, tasks)
    size_wh, image = recipe.tags.crop_size_wh, dataset.images[0]
    weak = buy(dataset, image, "boxes+tags", size_wh)
    assert isinstance(weak, WeakLabel)
    store = BoxLabelStore(folder=labels, source=source, method=recipe.boxes.method)
    given = (source.root, dataset)
    network, tagged = labels / "classifier.pt", [(image, weak)]
    run = training.name_run([labels], read_label_set(labels), recipe, 0)
    return found | {
        "masks from boxes": store._key(image, weak.boxes, dataset.categories),
        "classifier": store_classifier(network, *given, tagged, recipe, 0),
        "segmenter": store_segmenter(labels / "rounds/0", *given, recipe, 0, 0, None),
        "training": run,
        "prediction": [run, recipe.prediction],
    }


def test_every_field_redoes_the_work_that_uses_it_and_no_other(
    source: Source, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name(path: Path, key: str, _train: Callable[[], Any]) -> StoredNetwork:
        return StoredNetwork(path=path, key=key)

    monkeypatch.setattr(stored_networks, "store_weights", name)
    # A file of weights is part of the keys by its content.
    (tmp_path / "weights.pt").write_bytes(b"any")
    monkeypatch.chdir(tmp_path)
    before = names_of_work(source, done / "labels", RECIPE)
    assert set(before) == set(USED)
    for path in FIELDS:
        after = names_of_work(source, done / "labels", changed(path))
        redone = {work for work in USED if after[work] != before[work]}
        table = path.split(".")[0]
        expected = {work for work, tables in USED.items() if table in tables}
        assert redone == expected ^ {work for work, field in EXCEPTIONS if field == path}, path


def test_weights_replaced_under_their_name_redo_what_starts_from_them(
    source: Source, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name(path: Path, key: str, _train: Callable[[], Any]) -> StoredNetwork:
        return StoredNetwork(path=path, key=key)

    monkeypatch.setattr(stored_networks, "store_weights", name)
    weights = tmp_path / "weights.pt"
    recipe = dataclasses.replace(RECIPE, backbone=BackboneSettings(weights=str(weights)))
    names = []
    for content in (b"some", b"other"):
        weights.write_bytes(content)
        names.append(names_of_work(source, done / "labels", recipe))
    redone = {work for work in USED if names[0][work] != names[1][work]}
    assert redone == {work for work, tables in USED.items() if "backbone" in tables}


ONE_OF_EACH_TABLE = (
    *("images.max_side", "views.scale_range", "backbone.weights", "descent.batch_size"),
    *("boxes.method", "tags.cam_threshold", "refinement.min_score", "prediction.iterations"),
    *("classifier.steps", "semantic.steps", "detector.steps", "instance.steps"),
)


@pytest.mark.parametrize("path", ONE_OF_EACH_TABLE)
def test_a_link_goes_on_where_it_does_not_use_the_setting(
    source: Source, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    assert {p.split(".")[0] for p in ONE_OF_EACH_TABLE} == {p.split(".")[0] for p in FIELDS}
    torch.save(build_backbone(BackboneSettings()).layers.state_dict(), tmp_path / "weights.pt")
    monkeypatch.chdir(tmp_path)
    table, recipe = path.split(".")[0], changed(path)
    shutil.copytree(done, tmp_path / "done")
    labels, run = tmp_path / "done/labels", tmp_path / "done/run"
    request = ask(source, "boxes+tags", recipe)
    classifiers = counted(monkeypatch, tags, "train_classifier")
    segmenters = counted(monkeypatch, stages, "train_semantic")
    trained = [counted(monkeypatch, stages, f"train_{s}") for s in ("detector", "instance")]
    predicted = counted(monkeypatch, inference, "predict_batch")

    def is_refused(name: str, link: Callable[..., Any], *arguments: Any) -> bool:
        """Whether a finished folder is refused; else the link goes on with it."""
        try:
            link(*arguments)
        except DatasetError as error:
            # Whose weights are others is told so, whatever else differs.
            wanted = (f"different {name}", f"different recipe.{name}", "different weights")
            return any(text in str(error) for text in wanted)
        return False

    # A folder that other settings filled is refused, and nothing is done before.
    is_used = table in USED["later labels, boxes+tags"]
    assert is_refused(table, pseudo_label, request, labels) == is_used
    assert is_refused("recipe", train, [labels], source, recipe, 0, run) == (table in TRAINING)
    assert classifiers == segmenters == predicted == []
    assert trained == [[], []]
    # Where it is taken, each network is trained again if it used the setting.
    for module in (rounds, training):
        monkeypatch.setattr(module, "filling", lambda *_, **__: contextlib.nullcontext())
    labels_before = hash_label_set(labels / "rounds/0")
    pseudo_label(request, labels)
    assert len(classifiers) == (table in CLASSIFIER)
    has_other_labels = hash_label_set(labels / "rounds/0") != labels_before
    assert len(segmenters) == (table in SEGMENTER or has_other_labels)
    # Labels and training have one function for their semantic network.
    segmenters.clear()
    train([done / "labels"], source, recipe, 0, run)
    assert [len(calls) for calls in (segmenters, *trained)] == [table in TRAINING] * 3
    predictions = tmp_path / "done/predictions"
    assert is_refused("run", predict_images, run, source, predictions) == (table in PREDICTION)
    assert predicted == []
