"""Train the networks stage by stage: semantics, detector, then semantics and instances end to end.

Paper: Li, Arnab, Torr 2018, sec. 3.4, 3.5 and B.1.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from annotools.random_streams import stream
from wsps.data import Batch, TrainingExample, augment, collate
from wsps.networks.model import PanopticModel
from wsps.networks.pspnet import PSPNet
from wsps.recipe import Recipe
from wsps.training.loop import ParameterGroup, descend
from wsps.training.losses import instance_loss, semantic_loss

Groups = Sequence[Sequence[TrainingExample]]
"""Examples by label kind. Each kind is drawn equally often, so that a few full labels are not lost
among many weak ones."""


def train_semantic(
    network: PSPNet, groups: Groups, recipe: Recipe, seed: int, round_number: int
) -> list[float]:
    """Train the semantic network on the labels of a round and return the losses.

    They are cross-entropies over labelled pixels.

    Args:
        network: as the round before left it, on the device where to train.
        groups: examples by label kind; at least one, and none empty.
        recipe: how long and how to train.
        seed: of order and augmentation.
        round_number: 0 for the labels that are there before the first training.

    Raises:
        RecipeError: when the loss is no longer finite.
    """
    network.train()
    stage = "semantic" if round_number == 0 else f"semantic-{round_number}"
    batches = draw_batches(groups, recipe, seed, stage, next(network.parameters()).device)

    def loss_of(batch: Batch) -> Tensor:
        logits, auxiliary = network.both_logits(batch.images)
        loss = semantic_loss(logits, batch.classes)
        if auxiliary is None:
            return loss
        return loss + recipe.semantic.auxiliary_weight * semantic_loss(auxiliary, batch.classes)

    name = f"semantic on labels of round {round_number}"
    return descend(network.parameters(), batches, loss_of, recipe.descent, recipe.semantic, name)


def train_detector(model: PanopticModel, batches: Iterator[Batch]) -> list[float]:
    """Train the detector on boxes; return the losses."""
    model.detector.train()

    def loss_of(batch: Batch) -> Tensor:
        return model.detector.loss(batch.images, batch.boxes, batch.box_classes)

    parameters = model.detector.parameters()
    return descend(
        parameters, batches, loss_of, model.recipe.descent, model.recipe.detector, "detector"
    )


def train_instance(model: PanopticModel, batches: Iterator[Batch]) -> tuple[list[float], Tensor]:
    """Fine-tune semantic network and instance subnetwork end to end.

    The detector is fixed, and so are the batch-normalisation statistics (sec. 4.1). Returns the
    losses of N steps, and the subnetwork's own weights before each and after the last: (N + 1, W).
    """
    settings = model.recipe.instance
    model.semantic.eval()  # Gradients still flow; only the statistics are fixed.
    course = []

    def loss_of(batch: Batch) -> Tensor:
        course.append(model.instance.weights())
        semantic = model.semantic(batch.images).softmax(dim=1)
        detected = model.detector.detect(
            batch.images, settings.score_threshold, settings.max_detections
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
    groups = [{"params": list(model.semantic.parameters())}, own]
    losses = descend(groups, batches, loss_of, model.recipe.descent, settings, "instance")
    return losses, torch.stack([*course, model.instance.weights()])


def draw_batches(
    groups: Groups,
    recipe: Recipe,
    seed: int,
    stage: str,
    device: torch.device,
) -> Iterator[Batch]:
    """Yield batches for ever: each group equally often, each group's examples in random order."""
    # Two streams, so that another augmentation leaves the order of the examples as it was.
    shuffle, augmentation = stream(seed, "shuffle", stage), stream(seed, "augment", stage)
    orders = [_endless_order(len(group), shuffle) for group in groups]
    while True:
        examples = []
        for _ in range(recipe.descent.batch_size):
            chosen = int(shuffle.integers(len(groups)))
            example = groups[chosen][next(orders[chosen])]
            examples.append(
                augment(example, recipe.views.crop_size_wh, recipe.views.scale_range, augmentation)
            )
        yield collate(examples, device)


def _endless_order(count: int, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from (int(i) for i in rng.permutation(count))
