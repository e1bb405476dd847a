"""Steps of training, ours and those of peers, which the other benchmarks measure in turn.

A step is what the training loop does with a batch that is there: loss under the loop's autocast,
gradient, its norm and the optimizer. Peers are networks of torchvision, built plainly.
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import cv2
import numpy as np
import torch
import torchvision
from convert import Row
from torch import Tensor, nn

from annotools.category_tables.cityscapes import CITYSCAPES_CATEGORIES
from annotools.records import Photo
from wsps.data import Batch, TrainingExample, collate
from wsps.detections import Detections
from wsps.device import autocast, choose_device
from wsps.networks.backbone import build_backbone
from wsps.networks.detector import Detector
from wsps.networks.image_input import IMAGE_INPUTS, Normalise
from wsps.networks.instance import InstanceSubnetwork
from wsps.networks.pspnet import PSPNet
from wsps.recipe import BackboneSettings, DescentSettings, InstanceSettings, StageSettings
from wsps.training.loop import build_optimizer, descend_once
from wsps.training.losses import instance_loss, semantic_loss

PRECISIONS = ("float32", "TF32", "bfloat16")
"""What products are computed in; TF32 is of a GPU alone."""

CATEGORIES = CITYSCAPES_CATEGORIES
STAGE = StageSettings(steps=1, learning_rate=1e-4)
INSTANCE = InstanceSettings(steps=1, learning_rate=1e-4)
WARM_UP = {"cpu": 1, "cuda": 3}
"""Steps before those that count: a GPU tries algorithms in the first ones."""

Step = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class View:
    """What a step is given: `batch_size` images of `size_wh` pixels, with `things` in each."""

    size_wh: tuple[int, int]
    batch_size: int
    things: int = 10

    def __str__(self) -> str:
        return f"batch {self.batch_size}, {self.size_wh[0]} x {self.size_wh[1]}"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of a step: median seconds, and on a GPU the MiB that its network and it need at most."""

    seconds: float
    mebibytes: float | None = None

    def __str__(self) -> str:
        memory = "" if self.mebibytes is None else f", {self.mebibytes:,.0f} MiB"
        return f"{1000 * self.seconds:.1f} ms{memory}"


def semantic_rows(
    backbone: str, view: View, precision: str, repeats: int, *, auxiliary: bool = False
) -> Iterator[Row]:
    """Compare the semantic network with torchvision's DeepLabV3 of the same backbone and stride.

    Batches lie in memory as the loader makes them, channels last; contiguous ones are measured too,
    and the peer's best counts. A batch of one image is seen with fixed statistics: the peer's own
    pooling cannot normalise a single cell.

    Args:
        backbone: of both; there is no peer for `small` and `resnet18`.
        view: the batch.
        precision: one of `PRECISIONS`.
        repeats: how often each step is measured.
        auxiliary: whether both have a second classifier.
    """
    where = f"{backbone}, {view}, {precision}{', auxiliary loss' if auxiliary else ''}"
    batch = make_batch(view)
    plain = replace(batch, images=batch.images.contiguous())
    # Users of the peer normalise beforehand; our network does it itself, in the step.
    normalise = Normalise(IMAGE_INPUTS["torchvision"]).to(batch.images.device)

    def ours(batch: Batch) -> Step:
        network = build_segmenter(backbone, auxiliary)
        return make_step(
            network.train(view.batch_size > 1), lambda: _semantic_loss(network, batch), precision
        )

    def peer(batch: Batch, layout: torch.memory_format) -> Step:
        with choose_device():
            network = torchvision.models.get_model(
                f"deeplabv3_{backbone}",
                weights=None,
                weights_backbone=None,
                num_classes=len(CATEGORIES),
                aux_loss=auxiliary,
            ).to(memory_format=layout)
        seen = replace(batch, images=normalise(batch.images))
        return make_step(
            network.train(view.batch_size > 1), lambda: _peer_loss(network, seen), precision
        )

    builders: dict[str, Callable[[], Step]] = {
        "ours": lambda: ours(batch),
        "ours, contiguous": lambda: ours(plain),
    }
    peers = {
        "peer, contiguous": lambda: peer(plain, torch.contiguous_format),
        "peer, channels last": lambda: peer(batch, torch.channels_last),
    }
    has_peer = backbone in ("resnet50", "resnet101")
    costs = measure_in_turn({**builders, **peers} if has_peer else builders, repeats)
    own, others = costs["ours"], [costs[name] for name in peers if has_peer]
    beside, target = "", ""
    if others:
        best = min(others, key=lambda cost: cost.seconds)
        beside = f"deeplabv3_{backbone} {best}: ours takes {own.seconds / best.seconds:.2f} times"
        target = reach("1.0 times")
    yield Row(figure=f"semantic step, {where}", value=str(own), beside=beside, target=target)
    others_told = "; ".join(f"{name} {cost}" for name, cost in costs.items() if name in peers)
    yield Row(
        figure=f"the same with contiguous images, {where}",
        value=str(costs["ours, contiguous"]),
        beside=others_told,
    )


def detector_rows(backbone: str, view: View, precision: str, repeats: int) -> Iterator[Row]:
    """Compare the detector with torchvision's Faster R-CNN, of ResNet-50 alone."""
    batch = make_batch(view)
    targets = [
        {"boxes": boxes, "labels": torch.ones_like(classes)}
        for boxes, classes in zip(batch.boxes, batch.box_classes, strict=True)
    ]

    def ours() -> Step:
        network = build_detector(backbone).train()
        return make_step(
            network,
            lambda: network.loss(batch.images, batch.boxes, batch.box_classes),
            precision,
        )

    def peer() -> Step:
        # Its own resizing is set to the size that the images have.
        with choose_device():
            network = torchvision.models.detection.fasterrcnn_resnet50_fpn(
                weights=None,
                weights_backbone=None,
                num_classes=len(CATEGORIES.thing_indices) + 1,
                min_size=min(view.size_wh),
                max_size=max(view.size_wh),
            ).train()
        images = [image / 255 for image in batch.images.contiguous()]
        return make_step(
            network, lambda: torch.stack(list(network(images, targets).values())).sum(), precision
        )

    has_peer = backbone == "resnet50"
    costs = measure_in_turn({"ours": ours, "peer": peer} if has_peer else {"ours": ours}, repeats)
    beside = ""
    if has_peer:
        ratio = costs["ours"].seconds / costs["peer"].seconds
        beside = f"fasterrcnn_resnet50_fpn {costs['peer']}: ours takes {ratio:.2f} times"
    where = f"{backbone}, {view}, {precision}"
    yield Row(figure=f"detector step, {where}", value=str(costs["ours"]), beside=beside)


def instance_rows(
    backbone: str, view: View, precision: str, repeats: int, detections: tuple[int, ...]
) -> Iterator[Row]:
    """Compare instance steps at some detections with the semantic step of the same network.

    Detections are given; a row for each number says too what it takes to detect before that.
    """
    where = f"{backbone}, {view}, {precision}"

    first = detections[0]
    builders = {"semantic": partial(semantic_step, backbone, view, precision)}
    for count in detections:
        builders[f"{count}"] = partial(instance_step, backbone, view, precision, count)
    builders["detecting"] = partial(instance_step, backbone, view, precision, first, detect=True)
    costs = measure_in_turn(builders, repeats)
    whole = costs["semantic"]
    for count in detections:
        cost = costs[str(count)]
        beside = f"{cost.seconds / whole.seconds:.2f} semantic steps of {whole}"
        if count == first:
            share = costs["detecting"].seconds / whole.seconds
            beside += f"; with the detector before it {costs['detecting']}, {share:.2f} steps"
        yield Row(
            figure=f"instance step, {count} detections given, {where}",
            value=str(cost),
            beside=beside,
            target=reach("1.5 semantic steps") if count == 30 else "",
        )


def reach(target: str) -> str:
    """Return a target, which is one of a GPU."""
    return target if choose_device().type == "cuda" else ""


def semantic_step(backbone: str, view: View, precision: str) -> Step:
    """Return a step of the semantic network with fixed statistics, as the instance step has."""
    batch, network = make_batch(view), build_segmenter(backbone).eval()
    return make_step(network, lambda: _semantic_loss(network, batch), precision)


def instance_step(
    backbone: str, view: View, precision: str, count: int, *, detect: bool = False
) -> Step:
    """Return a step of the instance stage, end to end, at a number of detections in each image.

    Args:
        backbone: of the semantic network, and of the detector.
        view: the batch.
        precision: one of `PRECISIONS`.
        count: of detections, which are given, and each of which is there.
        detect: whether a detector looks at the images before, in vain.
    """
    batch = make_batch(replace(view, things=count))
    device = batch.images.device
    segmenter = build_segmenter(backbone).eval()
    subnetwork = InstanceSubnetwork(CATEGORIES, INSTANCE).to(device)
    detector = build_detector(backbone).eval() if detect else None
    found = [
        Detections(boxes_xyxy=b, class_indices=c, scores=torch.rand(len(c), device=device))
        for b, c in zip(batch.boxes, batch.box_classes, strict=True)
    ]

    def loss() -> Tensor:
        semantic = segmenter(batch.images).float().softmax(dim=1)
        if detector is not None:
            detector.detect(batch.images, INSTANCE.score_threshold, INSTANCE.max_detections)
        marginals = subnetwork(
            semantic, batch.images, batch.photo_sides, found, INSTANCE.iterations
        )
        return instance_loss(marginals, batch.classes, batch.instances)

    return make_step(nn.ModuleList([segmenter, subnetwork]), loss, precision)


def build_segmenter(backbone: str, auxiliary: bool = False) -> PSPNet:
    """Return a semantic network of random weights, on the device."""
    torch.manual_seed(0)
    # Weights are drawn where they lie: on the CPU it would take longer than what is measured.
    with choose_device():
        return PSPNet(build_backbone(BackboneSettings(name=backbone)), len(CATEGORIES), auxiliary)


def build_detector(backbone: str) -> Detector:
    """Return a detector of random weights, on the device."""
    torch.manual_seed(0)
    with choose_device():
        return Detector(BackboneSettings(name=backbone), CATEGORIES.thing_indices)


def make_step(network: nn.Module, loss_of: Callable[[], Tensor], precision: str) -> Step:
    """Return a step of training with the loop's own parts; none of them waits for a GPU."""
    parameters = [{"params": list(network.parameters())}]
    optimizer = build_optimizer(parameters, DescentSettings(), STAGE)
    device = choose_device()

    def step() -> None:
        # What is drawn at random, such as proposals of a detector, is the same in each step.
        torch.manual_seed(0)
        set_products(precision)
        with autocast(device, "bfloat16" if precision == "bfloat16" else "float32"):
            loss = loss_of()
        descend_once(optimizer, loss)

    return step


def set_products(precision: str) -> None:
    """Let a GPU round the factors of products in single precision to 10 bits, or not."""
    fast = precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = fast


def measure_in_turn(builders: Mapping[str, Callable[[], Step]], repeats: int) -> dict[str, Cost]:
    """Return what steps cost that take turns, so that other work on the machine meets them alike.

    On a GPU each turn has several steps, because training does not wait after each.
    """
    torch.backends.cudnn.benchmark = True
    is_gpu = choose_device().type == "cuda"
    in_turn = 5 if is_gpu else 1
    steps: dict[str, Step] = {}
    peaks: dict[str, float | None] = {}
    for name, build in builders.items():
        before = torch.cuda.memory_allocated() if is_gpu else 0
        steps[name] = build()
        for _ in range(WARM_UP[choose_device().type]):
            steps[name]()
        peaks[name] = None
        if is_gpu:
            # After the first steps, whose trials of algorithms take more.
            torch.cuda.reset_peak_memory_stats()
            steps[name]()
            peaks[name] = (torch.cuda.max_memory_allocated() - before) / 2**20
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            wait_for_device()
            start = time.perf_counter()
            for _ in range(in_turn):
                step()
            wait_for_device()
            seconds[name].append((time.perf_counter() - start) / in_turn)
    steps.clear()
    gc.collect()
    if is_gpu:
        torch.cuda.empty_cache()
    return {
        name: Cost(seconds=median(taken), mebibytes=peaks[name]) for name, taken in seconds.items()
    }


def wait_for_device() -> None:
    """Return when a GPU has done what it was asked for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def make_batch(view: View) -> Batch:
    """Return cars on a road, as boxes all over noisy patches of colour, on the device."""
    return collate([make_example(view, seed) for seed in range(view.batch_size)]).on_device(
        choose_device()
    )


def make_example(view: View, seed: int) -> TrainingExample:
    """Return one image of `make_batch`."""
    rng = np.random.default_rng(seed)
    width, height = view.size_wh
    size = np.array([width, height])
    corners = rng.random((view.things, 2)) * size * 0.8
    ends = corners + np.maximum(size * rng.uniform(0.04, 0.2, corners.shape), 3)
    boxes = np.concatenate([corners, ends], axis=1).astype(np.float32)
    class_index = CATEGORIES.thing_indices[0]
    instances = np.zeros((height, width), dtype=np.int32)
    for number, (x0, y0, x1, y1) in enumerate(boxes.astype(int).tolist(), start=1):
        instances[y0:y1, x0:x1] = number
    classes = np.where(instances > 0, class_index, CATEGORIES.stuff_indices[0]).astype(np.uint8)
    return TrainingExample(
        name=str(seed),
        photo=draw_patches(seed, view.size_wh),
        photo_side=max(view.size_wh),
        classes=classes,
        instances=instances,
        boxes_xyxy=boxes,
        box_classes=np.full(view.things, class_index, dtype=np.int64),
    )


def draw_patches(seed: int, size_wh: tuple[int, int]) -> Photo:
    """Return a photo of noisy patches of colour."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (9, 13, 3), dtype=np.uint8)
    photo = cv2.resize(patches, size_wh, interpolation=cv2.INTER_NEAREST)
    noisy = np.clip(photo + rng.normal(0, 4, photo.shape), 0, 255)
    return np.asarray(noisy, dtype=np.uint8)


def _semantic_loss(network: PSPNet, batch: Batch) -> Tensor:
    logits, auxiliary = network.both_logits(batch.images)
    loss = semantic_loss(logits, batch.classes)
    return loss if auxiliary is None else loss + 0.4 * semantic_loss(auxiliary, batch.classes)


def _peer_loss(network: nn.Module, batch: Batch) -> Tensor:
    found = network(batch.images)
    loss = semantic_loss(found["out"], batch.classes)
    return loss if "aux" not in found else loss + 0.4 * semantic_loss(found["aux"], batch.classes)
