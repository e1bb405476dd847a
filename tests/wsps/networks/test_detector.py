import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from wsps.networks.backbone import build_backbone
from wsps.networks.detector import Detector
from wsps.recipe import BackboneSettings

THINGS = (2, 5, 7)


def noise(count: int, height: int, width: int) -> Tensor:
    """Images of about ImageNet's mean and deviation."""
    return 120 + 58 * torch.randn(count, 3, height, width)


@pytest.fixture(scope="module")
def detector() -> Detector:
    torch.manual_seed(0)
    return Detector(BackboneSettings(), THINGS)


def test_images_without_boxes_have_a_loss_that_can_be_trained_on(detector: Detector):
    boxes = [torch.zeros(0, 4), torch.tensor([[4.0, 4.0, 30.0, 20.0]])]
    classes = [torch.zeros(0, dtype=torch.int64), torch.tensor([7])]
    for chosen in ([0, 1], [0, 0]):
        images = noise(2, 48, 64)
        loss = detector.loss(images, [boxes[i] for i in chosen], [classes[i] for i in chosen])
        loss.backward()
        assert loss.isfinite()
        assert loss > 0
    gradients = [p.grad for p in detector.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_detections_are_things_of_the_dataset_inside_the_image_best_first(detector: Detector):
    detector.train()
    height, width = 42, 70  # no multiple of any stride
    (found,) = detector.detect(noise(1, height, width), 0.05, max_detections=6)
    assert detector.training
    assert 0 < len(found) <= 6
    assert set(found.class_indices.tolist()) <= set(THINGS)
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert found.boxes_xyxy.min() >= 0
    assert found.boxes_xyxy[:, 2].max() <= width
    assert found.boxes_xyxy[:, 3].max() <= height
    assert not found.scores.requires_grad


@pytest.mark.parametrize(
    "settings", [BackboneSettings(), BackboneSettings(name="thin-resnet50", frozen=True)]
)
def test_where_many_things_are_asked_for_there_are_proposals_enough(settings: BackboneSettings):
    images = noise(1, 384, 384)
    features = build_backbone(settings)(images) if settings.frozen else None
    counts = []
    for most in (100, 600):
        torch.manual_seed(0)
        untrained = Detector(settings, THINGS, max_detections=most)
        (found,) = untrained.detect(images, 0.0, most, features)
        counts.append(len(found))
    assert counts == [100, 600]


@pytest.mark.parametrize(
    "settings",
    [
        BackboneSettings(),
        BackboneSettings(name="resnet18"),
        BackboneSettings(name="thin-resnet50", frozen=True),
    ],
    ids=lambda settings: settings.name,
)
def test_a_photo_is_read_alike_whatever_photo_came_first(settings: BackboneSettings):
    photo, strip = noise(1, 256, 256), noise(1, 40, 120)

    def detect(*photos: Tensor) -> list[Tensor]:
        torch.manual_seed(0)
        fresh = Detector(settings, THINGS, masks=True)
        backbone = build_backbone(settings).eval()
        with torch.no_grad():
            seen = [backbone(one) if settings.frozen else None for one in photos]
        for one, features in zip(photos, seen, strict=True):
            (found,) = fresh.detect(one, 0.0, 20, features)
        return [found.boxes_xyxy, found.scores, found.masks]

    alone, after = detect(photo), detect(strip, photo)
    assert len(alone[0]) == 20
    assert all(torch.equal(one, other) for one, other in zip(alone, after, strict=True))


def test_no_detection_lies_below_the_threshold(detector: Detector):
    images = noise(1, 48, 64)
    (all_found,) = detector.detect(images, 0.0, max_detections=5000)
    threshold = float(all_found.scores.median())
    (found,) = detector.detect(images, threshold, max_detections=5000)
    assert len(found) == int((all_found.scores > threshold).sum()) < len(all_found)
    assert found.scores.min() > threshold
    (none,) = detector.detect(images, 1.0, max_detections=100)
    assert len(none) == 0
    assert none.boxes_xyxy.shape == (0, 4)


def test_no_two_boxes_of_a_class_overlap_more_than_is_allowed(detector: Detector):
    images = noise(1, 48, 64)
    most = []
    for threshold in (0.1, 0.5):
        (found,) = detector.detect(images, 0.0, 5000, nms_threshold=threshold)
        overlaps = box_iou(found.boxes_xyxy, found.boxes_xyxy).fill_diagonal_(0)
        same = found.class_indices[:, None] == found.class_indices
        most.append(float(overlaps[same].max()))
    assert most[0] <= 0.1 < most[1] <= 0.5


def test_it_learns_where_a_bright_square_is():
    torch.manual_seed(0)
    detector = Detector(BackboneSettings(), THINGS)
    optimizer = torch.optim.Adam(detector.parameters(), lr=1e-3)
    image = torch.full((1, 3, 64, 64), 120.0)
    image[..., 16:40, 8:32] = 235.0
    box, label = torch.tensor([[8.0, 16.0, 32.0, 40.0]]), torch.tensor([5])
    for _ in range(40):
        loss = detector.loss(image.expand(2, -1, -1, -1), [box, box], [label, label])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    (found,) = detector.detect(image, 0.5, max_detections=10)
    assert found.class_indices[0] == 5
    assert box_iou(found.boxes_xyxy[:1], box).item() > 0.6


@pytest.mark.parametrize("name", ["small", "resnet18", "resnet50"])
def test_it_starts_from_every_weight_of_a_trained_backbone(name: str):
    torch.manual_seed(1)
    settings = BackboneSettings(name=name)
    backbone, detector = build_backbone(settings), Detector(settings, THINGS)
    detector.start_from(backbone)
    layers = detector.network.backbone
    taken = (layers[0] if name == "small" else layers.body).state_dict()
    for key, values in backbone.layers.state_dict().items():
        assert torch.equal(taken[key], values)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet101"])
def test_a_resnet_detects_by_its_feature_pyramid_with_frozen_statistics(name: str):
    torch.manual_seed(0)
    detector = Detector(BackboneSettings(name=name, norm="frozen"), THINGS).train()
    body = detector.network.backbone.body
    before = {key: values.clone() for key, values in body.named_buffers()}
    boxes, classes = [torch.tensor([[4.0, 4.0, 30.0, 20.0]])], [torch.tensor([7])]
    loss = detector.loss(noise(1, 32, 48), boxes, classes)
    loss.backward()
    assert loss.isfinite()
    assert all(torch.equal(values, before[key]) for key, values in body.named_buffers())
    # Nothing of the backbone is fixed but the statistics.
    assert all(p.grad is not None for p in body.parameters())
    (found,) = detector.detect(noise(1, 32, 48), 0.0, max_detections=5)
    assert 1 <= len(found) <= 5
    assert set(found.class_indices.tolist()) <= set(THINGS)


def test_padding_is_what_the_mean_colour_is_to_the_network():
    for name, mean in (("torchvision", (123.675, 116.28, 103.53)), ("caffe", (123, 117, 104))):
        detector = Detector(BackboneSettings(input=name), THINGS)
        colours = torch.tensor(mean)[:, None, None].expand(3, 40, 50)
        padded, _ = detector.network.transform([colours], None)
        assert padded.tensors.shape == (1, 3, 64, 64)
        assert padded.image_sizes == [(40, 50)]
        assert padded.tensors.abs().max() < 1e-5
    white, _ = detector.network.transform([torch.full((3, 32, 32), 255.0)], None)
    assert white.tensors[0, :, 0, 0].tolist() == [151.0, 138.0, 132.0]


@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_masks_are_learnt_and_come_with_the_detections(name: str):
    torch.manual_seed(0)
    detector = Detector(BackboneSettings(name=name, norm="frozen"), THINGS, masks=True)
    images = noise(2, 48, 64)
    boxes = [torch.tensor([[4.0, 4.0, 30.0, 20.0]]), torch.zeros(0, 4)]
    classes = [torch.tensor([7]), torch.zeros(0, dtype=torch.int64)]
    masks = [torch.ones(1, 48, 64), torch.zeros(0, 48, 64)]
    for chosen in ([0, 1], [1, 1]):
        loss = detector.loss(images, *([of[i] for i in chosen] for of in (boxes, classes, masks)))
        assert loss.isfinite()
        detector.zero_grad()
        loss.backward()
        head = detector.network.roi_heads.mask_head[0][0].weight
        is_learning = head.grad is not None and bool(head.grad.any())
        assert is_learning == (0 in chosen)
    for found in detector.detect(images, 0.0, max_detections=5):
        assert found.masks is not None
        assert found.masks.shape == (len(found), 28, 28)
        assert 0 <= found.masks.min() <= found.masks.max() <= 1
        assert found.pick(slice(1)).masks.shape == (1, 28, 28)
    (none, _) = detector.detect(images, 1.0, max_detections=5)
    assert none.masks is not None
    assert none.masks.shape == (0, 28, 28)
