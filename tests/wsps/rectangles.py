"""An example whose photo, maps and boxes tell the same."""

import numpy as np

from wsps.data import TrainingExample

HEIGHT, WIDTH = 40, 60


def example_with_rectangles(seed: int) -> TrainingExample:
    """Six rectangles that do not touch, each of its own colour, class and instance number."""
    rng = np.random.default_rng(seed)
    instances = np.zeros((HEIGHT, WIDTH), dtype=np.int32)
    boxes = []
    for number in range(6):
        left, top = 20 * (number % 3), 20 * (number // 3)
        x0, y0 = left + rng.integers(1, 9), top + rng.integers(1, 9)
        x1, y1 = x0 + rng.integers(2, 10), y0 + rng.integers(2, 10)
        instances[y0:y1, x0:x1] = number + 1
        boxes.append((x0, y0, x1, y1))
    photo = np.repeat(30 * instances[..., None], 3, axis=2).astype(np.uint8)
    return TrainingExample(
        name=f"rectangles {seed}",
        photo=photo,
        photo_side=WIDTH,
        classes=instances.astype(np.uint8),
        instances=instances,
        boxes_xyxy=np.array(boxes, dtype=np.float32),
        box_classes=np.arange(1, 7),
    )
