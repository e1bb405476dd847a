"""Train the networks stage by stage: semantics, detector, then semantics and instances end to end.

Each stage goes on where its file says that it was.

Paper: Li, Arnab, Torr 2018, sec. 3.4, 3.5 and B.1.
"""

from dataclasses import replace

from torch import Tensor, nn

from wsps.data import Batch
from wsps.features import build_sight
from wsps.networks.model import PanopticModel
from wsps.networks.pspnet import PSPNet
from wsps.processes import own_places
from wsps.recipe import Recipe
from wsps.training.batches import Groups, ViewBatches
from wsps.training.course import Course, Watch
from wsps.training.loop import ParameterGroup, Running, descend, trainable
from wsps.training.losses import instance_loss, semantic_loss


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

    see = build_sight(
        network.trunk.backbone,
        recipe.descent.precision,
        None if running is None else running.features,
    )

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
        replace(settings, learning_rate=slower),
        "semantic" if round_number == 0 else f"semantic, round {round_number}",
        running=running,
    )


def train_detector(
    model: PanopticModel,
    batches: ViewBatches,
    running: Running | None = None,
) -> Course:
    """Train the detector, which the model has, on boxes."""
    detector = model.detector
    assert detector is not None
    detector.train()
    see = build_sight(
        model.semantic.trunk.backbone,
        model.recipe.descent.precision,
        None if running is None else running.features,
    )

    def loss_of(batch: Batch) -> Tensor:
        return detector.loss(
            batch.images, batch.boxes, batch.box_classes, see(batch.images, batch.pixels)
        )

    return descend(
        detector,
        batches,
        loss_of,
        model.recipe.descent,
        model.recipe.detector,
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
    settings = model.recipe.instance
    model.semantic.eval()  # Gradients still flow; only the statistics are fixed.
    see = build_sight(
        model.semantic.trunk.backbone,
        model.recipe.descent.precision,
        None if running is None else running.features,
    )

    def loss_of(batch: Batch) -> Tensor:
        features = see(batch.images, batch.pixels)
        semantic = model.semantic(batch.images, features).float().softmax(dim=1)
        if model.detector is None:
            best = slice(settings.max_detections)
            detected = [found.pick(best) for found in batch.detections]
        else:
            detected = model.detector.detect(
                batch.images, settings.score_threshold, settings.max_detections, features
            )
        marginals = model.instance(
            semantic, batch.images, batch.photo_sides, detected, settings.iterations
        )
        return instance_loss(marginals, batch.classes, batch.instances)

    own: ParameterGroup = {
        "params": list(model.instance.parameters()),
        "lr": settings.weights_rate * settings.learning_rate,
        # Decay would pull the weights to an arbitrary value: that of a softplus at 0.
        "weight_decay": 0.0,
    }
    names = tuple(name for name, _ in model.instance.named_parameters())
    watch = Watch(names=names, read=model.instance.weights)
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
    """Return what the last stage trains, as one module."""
    return nn.ModuleDict({"semantic": model.semantic, "instance": model.instance})


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
