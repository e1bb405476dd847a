"""One training run as frozen dataclasses, read from the `[recipe]` table of a study.

The defaults are those of the small network that trains on a CPU in under a minute.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

from annotools.errors import RecipeError

TRAINABLE_KINDS = ("full", "boxes", "tags", "boxes+tags")
"""Label kinds that the segmenter can learn from."""


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """One stage of training: steps of stochastic gradient descent at one peak learning rate."""

    steps: int
    learning_rate: float

    def __post_init__(self) -> None:
        if self.steps < 0 or not 0 < self.learning_rate < math.inf:
            raise RecipeError("steps must be at least 0 and learning_rate above 0")


@dataclass(frozen=True, kw_only=True)
class InstanceSettings:
    """The instance subnetwork. Paper: Li, Arnab, Torr 2018, sec. 3.5."""

    training_iterations: int = 5
    """Mean-field iterations while training (Arnab and Torr 2017 use 5)."""
    test_iterations: int = 10
    """Mean-field iterations when predicting (Arnab and Torr 2017 use 10)."""
    score_threshold: float = 0.4
    """Detections below this score are not offered as instances."""
    max_detections: int = 100
    """Highest-scoring detections of an image that are offered as instances."""


@dataclass(frozen=True, kw_only=True)
class TagSettings:
    """From image tags to a label map. Paper: Li, Arnab, Torr 2018, sec. 3.3 and 4.1."""

    cam_threshold: float = 0.5
    """Share of a heat map's maximum above which a pixel is labelled."""
    crop_size_wh: tuple[int, int] | None = None
    """Size in pixels of the fixed crops that are tagged; the whole image when absent."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one model is trained, from labels in to weights out."""

    backbone: str = "small"
    backbone_weights: Path | None = None
    """State dict to start from; random initialisation when absent."""
    batch_size: int = 4
    crop_size_wh: tuple[int, int] = (192, 96)
    """Pixels of a training crop."""
    max_side: int | None = None
    """Photos with a longer side are reduced to it, and predictions enlarged again."""
    scale_range: tuple[float, float] = (0.8, 1.25)
    """Random enlargement of training images."""
    classifier: StageSettings = StageSettings(steps=120, learning_rate=3e-3)
    semantic: StageSettings = StageSettings(steps=160, learning_rate=3e-3)
    detector: StageSettings = StageSettings(steps=260, learning_rate=3e-3)
    instance: StageSettings = StageSettings(steps=30, learning_rate=5e-4)
    optimizer: str = "adam"
    """`adam`, or the paper's `sgd` with momentum 0.9, which suits pretrained weights."""
    weight_decay: float = 5e-4
    instances: InstanceSettings = field(default_factory=InstanceSettings)
    tags: TagSettings = field(default_factory=TagSettings)

    def __post_init__(self) -> None:
        if self.batch_size < 1 or min(self.crop_size_wh) < 16:
            raise RecipeError("batch_size must be at least 1 and crop_size_wh at least 16 x 16")
        if not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise RecipeError("scale_range must be two rising positive numbers")
