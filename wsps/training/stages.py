"""Train the networks stage by stage: semantics, detector, then semantics and instances end to end.

Each stage goes on where its file says that it was. Which of them a student has, `wsps.students`
says.

Paper: Li, Arnab, Torr 2018, sec. 3.4, 3.5 and B.1.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from wsps.data import Batch
from wsps.features import feature_reader
from wsps.networks.model import PanopticModel
from wsps.networks.pspnet import PSPNet
from wsps.processes import own_places
from wsps.recipe import Recipe, StageSettings
from wsps.training.batches import Groups, ViewBatches
from wsps.training.checkpoints import load_weights
from wsps.training.course import Course, Watch
from wsps.training.loop import ParameterGroup, Running, descend, trainable
from wsps.training.losses import instance_loss, semantic_loss
from wsps.training.mask_targets import batch_masks
from wsps.training.schedules import most_steps


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What the stages of a run learn from, and what they go on with.

    `groups` are examples by label kind. `network` is the file of the semantic network that the
    labels' round goes on with, None for none; `has_detector` says that the detector goes on from
    another run.
    """

    groups: Groups
    seed: int
    round_number: int = 0
    network: Path | None = None
    has_detector: bool = False


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a student's training.

    `network` gives what it changes of a model, None where the model has no such thing; `train`
    trains that. A stage that `needs_boxes` is given the examples whose annotators were asked for
    boxes, and left out where there are none.
    """

    network: Callable[[PanopticModel], nn.Module | None]
    train: Callable[[PanopticModel, Lessons, Running], Course]
    needs_boxes: bool = True


def lessons_of(stage: Stage, model: PanopticModel, lessons: Lessons) -> Lessons | None:
    """Return what a stage learns from; None without its network, or labels that teach it."""
    groups = lessons.groups
    if stage.needs_boxes:
        groups = [group for group in groups if group[0].has_boxes]
    if stage.network(model) is None or not groups:
        return None
    return replace(lessons, groups=groups)


def train_semantic(
    network: PSPNet,
    groups: Groups,
    recipe: Recipe,
    seed: int,
    round_number: int,
    running: Running | None = None,
) -> Course:
    """Train the semantic network on the labels of a round.

    Losses are cross-entropies over labelled pixels.

    Args:
        network: as the round before left it, on the device where to train.
        groups: examples by label kind; at least one, and none empty.
        recipe: how long and how to train.
        seed: of order and augmentation.
        round_number: 0 for the labels that are there before the first training.
        running: what changes no result.

    Raises:
        RecipeError: when the loss is no longer finite.
    """
    network.train()
    stage = "semantic" if round_number == 0 else f"semantic-{round_number}"
    settings = recipe.semantic
    slower = settings.learning_rate * settings.round_rate**round_number

    running = running or Running()
    see = feature_reader(network.trunk.backbone, recipe.descent.precision, running.features)

    def loss_of(batch: Batch) -> Tensor:
        logits, auxiliary = network.both_logits(batch.images, see(batch.images, batch.pixels))
        loss = semantic_loss(logits, batch.classes)
        if auxiliary is None:
            return loss
        return loss + recipe.semantic.auxiliary_weight * semantic_loss(auxiliary, batch.classes)

    return descend(
        network,
        view_batches(groups, recipe, seed, stage),
        loss_of,
        recipe.descent,
        limited(replace(settings, learning_rate=slower), sum(map(len, groups)), recipe),
        "semantic" if round_number == 0 else f"semantic, round {round_number}",
        running=running,
    )


def train_detector(
    model: PanopticModel,
    batches: ViewBatches,
    running: Running | None = None,
) -> Course:
    """Train the detector, which the model has, on boxes, and on masks where it gives them."""
    detector = model.detector
    assert detector is not None
    detector.train()
    running, backbone = running or Running(), model.semantic.trunk.backbone
    see = feature_reader(backbone, model.recipe.descent.precision, running.features)

    def loss_of(batch: Batch) -> Tensor:
        masks = batch_masks(batch) if detector.has_masks else None
        features = see(batch.images, batch.pixels)
        return detector.loss(batch.images, batch.boxes, batch.box_classes, masks, features)

    return descend(
        detector,
        batches,
        loss_of,
        model.recipe.descent,
        limited(model.recipe.detector, sum(map(len, batches.groups)), model.recipe),
        "detector",
        running=running,
    )


def train_instance(
    model: PanopticModel,
    batches: ViewBatches,
    running: Running | None = None,
) -> Course:
    """Fine-tune semantic network and instance subnetwork end to end, or the latter alone.

    The detector is fixed, and so are the batch-normalisation statistics (sec. 4.1). Without a
    detector the batches have the detections, above the score threshold. The subnetwork's own
    weights are watched.
    """
    settings, instance = model.recipe.instance, model.instance
    assert instance is not None
    model.semantic.eval()  # Gradients still flow; only the statistics are fixed.
    running, backbone = running or Running(), model.semantic.trunk.backbone
    see = feature_reader(backbone, model.recipe.descent.precision, running.features)

    def loss_of(batch: Batch) -> Tensor:
        features = see(batch.images, batch.pixels)
        semantic = model.semantic(batch.images, features).float().softmax(dim=1)
        if model.detector is None:
            best = slice(settings.max_detections)
            detected = [found.pick(best) for found in batch.detections]
        else:
            detected = model.detector.detect(
                batch.images,
                settings.score_threshold,
                settings.max_detections,
                features,
                settings.nms_threshold,
            )
        marginals = instance(
            semantic, batch.images, batch.photo_sides, detected, settings.iterations
        )
        return instance_loss(marginals, batch.classes, batch.instances)

    own: ParameterGroup = {
        "params": list(instance.parameters()),
        "lr": settings.weights_rate * settings.learning_rate,
        # Decay would pull the weights to an arbitrary value: that of a softplus at 0.
        "weight_decay": 0.0,
    }
    names = tuple(name for name, _ in instance.named_parameters())
    watch = Watch(names=names, read=instance.weights)
    semantics: ParameterGroup = {"params": trainable(model.semantic)}
    return descend(
        end_to_end(model),
        batches,
        loss_of,
        model.recipe.descent,
        settings,
        "instance",
        groups=[semantics, own] if settings.end_to_end else [own],
        watch=watch,
        running=running,
    )


def end_to_end(model: PanopticModel) -> nn.Module:
    """Return what the last stage of `li2018` trains, as one module."""
    assert model.instance is not None
    return nn.ModuleDict({"semantic": model.semantic, "instance": model.instance})


def limited(stage: StageSettings, num_photos: int, recipe: Recipe) -> StageSettings:
    """Return a stage with no more steps than the views of its photos are worth.

    Whoever makes them all makes a number that is fixed, of which no loss has to tell the end: that
    of views that come again and again falls on.
    """
    per_photo, steps = recipe.views.per_photo, stage.steps
    if per_photo is None:
        return stage
    most = most_steps(per_photo * num_photos, recipe.descent.batch_size)
    if steps < most or stage.schedule != "flat":
        return replace(stage, steps=min(steps, most))
    return replace(stage, steps=most, schedule="cosine")


def view_batches(groups: Groups, recipe: Recipe, seed: int, stage: str) -> ViewBatches:
    """Return the batches of a stage: random views of examples."""
    return ViewBatches(
        groups=groups,
        views=recipe.views,
        batch_size=recipe.descent.batch_size,
        places=own_places(recipe.descent.batch_size),
        seed=seed,
        stage=stage,
    )


def _learn_semantics(model: PanopticModel, lessons: Lessons, running: Running) -> Course:
    if lessons.network is not None:
        load_weights(lessons.network, model.semantic, key=None)
    return train_semantic(
        model.semantic,
        lessons.groups,
        model.recipe,
        lessons.seed,
        lessons.round_number,
        running,
    )


def _learn_to_detect(model: PanopticModel, lessons: Lessons, running: Running) -> Course:
    assert model.detector is not None
    # Learning to detect from nothing takes many more steps than a small study has.
    if not lessons.has_detector:
        model.detector.start_from(model.semantic.trunk.backbone)
    batches = view_batches(lessons.groups, model.recipe, lessons.seed, "detector")
    return train_detector(model, batches, running)


def _learn_instances(model: PanopticModel, lessons: Lessons, running: Running) -> Course:
    batches = view_batches(lessons.groups, model.recipe, lessons.seed, "instance")
    return train_instance(model, batches, running)


SEMANTIC = Stage(network=lambda model: model.semantic, train=_learn_semantics, needs_boxes=False)
DETECTOR = Stage(network=lambda model: model.detector, train=_learn_to_detect)
INSTANCE = Stage(network=end_to_end, train=_learn_instances)
