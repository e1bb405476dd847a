"""A recipe says how one model is trained: a table for each thing that work can depend on.

A piece of work is named by the digest of the tables that it uses, so a table holds what is used
together and nothing else. The defaults are those of the small network that trains on a CPU in
minutes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from annotools.errors import RecipeError

OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("cosine", "constant", "converged", "flat")
PRECISIONS = ("auto", "float32", "bfloat16")
NORMS = ("batch", "frozen", "group")
INPUTS = ("torchvision", "caffe")
COMPLETE = ("always", "without groups", "never")
CRF_ENGINES = ("lattice", "pydensecrf")

MAX_SIDE = 4096
"""Pixels to which a photo may be enlarged, or cropped: a slip of the pen would fill the memory."""

SCALES = 0.1, 10.0
"""Within which training images are enlarged, for the same reason."""

MAX_BATCH = 1024
"""Images of a step, for the same reason."""

DEFAULT_STUDENT = "li2018"
"""The segmenter that is trained: a key of `wsps.students.STUDENTS`."""

DEFAULT_BOX_METHOD = "agreed"
"""GrabCut and grouping agree. Paper: Li, Arnab, Torr 2018, sec. 3.2."""


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How every network sees a photo."""

    max_side: int | None = None
    """Photos with a longer side are reduced to it, and predictions enlarged again."""
    min_side: int | None = None
    """Photos whose longer side is shorter are enlarged to it, and predictions reduced again, so
    that small things have pixels enough. Where `max_side` is less, that counts."""
    stretch: bool = False
    """Whether the values of each photo are stretched from its darkest to its brightest, for photos
    of which some are taken in much less light than others, as through a microscope."""

    def __post_init__(self) -> None:
        if self.max_side is not None and self.max_side < 16:
            raise RecipeError("max_side must be at least 16")
        if self.min_side is not None and not 16 <= self.min_side <= MAX_SIDE:
            raise RecipeError(f"min_side must be from 16 to {MAX_SIDE}")


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """The random views of photos that segmenter and detector learn from."""

    crop_size_wh: tuple[int, int] = (192, 96)
    """Pixels of a training crop."""
    scale_range: tuple[float, float] = (0.8, 1.25)
    """Random enlargement of training images."""
    per_photo: int | None = None
    """How many views of a photo there are, which come again in turn; when absent each is a new one.
    The features that a frozen backbone sees in them are computed once."""

    def __post_init__(self) -> None:
        if self.per_photo is not None and self.per_photo < 1:
            raise RecipeError("per_photo must be at least 1")
        if not 16 <= min(self.crop_size_wh) <= max(self.crop_size_wh) <= MAX_SIDE:
            raise RecipeError(f"crop_size_wh must be from 16 x 16 to {MAX_SIDE} x {MAX_SIDE}")
        if not SCALES[0] <= self.scale_range[0] <= self.scale_range[1] <= SCALES[1]:
            least, most = SCALES
            raise RecipeError(f"scale_range must be two rising numbers from {least:g} to {most:g}")


@dataclass(frozen=True, kw_only=True)
class BackboneSettings:
    """The network that classifier, segmenter and detector start from."""

    name: str = "small"
    """`small`, `resnet18`, `resnet50`, `resnet101`, `thin-resnet50`, or `timm:NAME` of a network
    that timm has, where it is installed."""
    weights: str | None = None
    """Weights to start from: the path of a state dict, the name of torchvision's, such as
    `IMAGENET1K_V2`, or `pretrained` for timm's own; random initialisation when absent or `none`.
    They have seen classes of photos or photos alone: masks or boxes would leak the answer of a
    study."""
    output_stride: int | None = None
    """Pixels a cell of the feature map of classifier and segmenter: 8 or 16 for a ResNet, where 8
    is the paper's and 16 takes a quarter of the time. When absent 8 for torchvision's, 4 for
    `small`, and 16 for `thin-resnet50` and for those of timm that have it."""
    norm: str = "batch"
    """What is normalised: `batch`, the channels of a batch; `frozen`, the same by the statistics of
    the weights, as in the paper for batches of one photo; the layers that are put on the backbone,
    which no weights know, have `batch`. `group` is for networks without weights: groups of channels
    of each image, which suits photos that look unlike each other."""
    input: str | None = None
    """The colours that the weights expect: `torchvision` for RGB by ImageNet's mean and deviation,
    `caffe` for BGR of 0 to 255 less their mean; those of the network's own when absent."""
    frozen: bool = False
    """Whether the backbone stays as its weights have it, so that its features of a view or a photo
    need be computed only once: with `views.per_photo` training takes seconds on a CPU."""

    def __post_init__(self) -> None:
        if self.weights == "none":
            # So that a recipe can undo what it inherits.
            object.__setattr__(self, "weights", None)
        if self.weights is not None and not self.weights.strip():
            raise RecipeError("weights is empty: name some, or none")
        _check_choice("norm", self.norm, NORMS)
        if self.norm == "group" and self.weights is not None:
            raise RecipeError(
                "norm = 'group' has no place for what weights know of batches: use batch or frozen"
            )
        if self.input is not None:
            _check_choice("input", self.input, INPUTS)


@dataclass(frozen=True, kw_only=True)
class DescentSettings:
    """How every network descends its loss."""

    optimizer: str = "adam"
    """`adam`, or the paper's `sgd` with momentum, which suits pretrained weights."""
    momentum: float = 0.9
    """Of `sgd`. Paper: sec. B.1."""
    batch_size: int = 4
    """Images of a step, over all processes."""
    weight_decay: float = 5e-4
    precision: str = "auto"
    """In what the networks compute: `float32`, or `bfloat16`, in which devices with units for it
    are faster: GPUs, and processors with AMX or AVX-512 BF16; `auto` is the latter on these.
    Weights and losses have single precision in each case."""

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= MAX_BATCH:
            raise RecipeError(f"batch_size must be from 1 to {MAX_BATCH}")
        if not 0 <= self.weight_decay < math.inf:
            raise RecipeError("weight_decay must be at least 0, and finite")
        if not 0 <= self.momentum < 1:
            raise RecipeError("momentum must be at least 0 and below 1")
        _check_choice("optimizer", self.optimizer, OPTIMIZERS)
        _check_choice("precision", self.precision, PRECISIONS)


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """One stage of training: steps of stochastic gradient descent at one peak learning rate."""

    steps: int
    learning_rate: float
    schedule: str = "cosine"
    """`cosine` rises for a tenth of the steps and falls to 0; `constant` stays; `converged` stays
    until the loss no longer falls, and goes on with a tenth, as in the paper, sec. B.1; `flat`
    stays until the loss no longer falls, then falls to 0 and ends, after `steps` at the latest."""

    def __post_init__(self) -> None:
        if self.steps < 0 or not 0 < self.learning_rate < math.inf:
            raise RecipeError("steps must be at least 0 and learning_rate above 0")
        _check_choice("schedule", self.schedule, SCHEDULES)


@dataclass(frozen=True, kw_only=True)
class SemanticSettings(StageSettings):
    """The stage of the semantic network."""

    auxiliary_weight: float = 0.0
    """What a second loss counts, on a ResNet's last stage but one: 0.4 in Zhao et al. 2017, sec.
    3.3; 0 leaves it out."""
    round_rate: float = 1.0
    """What the learning rate is multiplied with in each further round of labels; the paper halves
    it on Cityscapes. Paper: sec. B.1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.auxiliary_weight < math.inf:
            raise RecipeError("auxiliary_weight must be at least 0, and finite")
        if not 0 < self.round_rate <= 1:
            raise RecipeError("round_rate must be above 0 and at most 1")


def _check_choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise RecipeError(f"unknown {name} {value!r}: use {' or '.join(known)}")


MIN_SIGMA = 0.1
"""Least reach of a kernel, in pixels or grey levels; with less no pixel sees another one."""

MAX_WEIGHT = 1e4
"""Largest weight of a kernel or a term: single precision holds what follows from it."""


def _check_weight(name: str, weight: float) -> None:
    if not 0 <= weight <= MAX_WEIGHT:
        raise RecipeError(f"{name} must be between 0 and {MAX_WEIGHT:g}")


MAX_ITERATIONS = 1000
"""Of mean field, which is at rest after some tens."""


def _check_iterations(iterations: int) -> None:
    if not 0 <= iterations <= MAX_ITERATIONS:
        raise RecipeError(f"iterations must be between 0 and {MAX_ITERATIONS}")


@dataclass(frozen=True, kw_only=True)
class KernelSettings:
    """The two Gaussian kernels by which pixels of one photo make each other's label likely."""

    bilateral_weight: float
    """Of neighbours with a similar colour."""
    bilateral_sigma_xy: float
    """Their reach in pixels."""
    bilateral_sigma_rgb: float
    """Their reach in colour, of 0 to 255 a channel."""
    gaussian_weight: float
    """Of neighbours with any colour."""
    gaussian_sigma_xy: float
    """Their reach in pixels."""

    def __post_init__(self) -> None:
        # The chained comparisons are false for NaN as well, which TOML can write.
        for name in ("bilateral_sigma_xy", "bilateral_sigma_rgb", "gaussian_sigma_xy"):
            if not MIN_SIGMA <= getattr(self, name) < math.inf:
                raise RecipeError(f"{name} must be at least {MIN_SIGMA}, and finite")
        for name in ("bilateral_weight", "gaussian_weight"):
            _check_weight(name, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class InstanceKernelSettings(KernelSettings):
    """The kernels of the instance subnetwork; its training begins with their weights.

    Reaches are in pixels of a photo whose longer side is `PHOTO_SIDE`, and are scaled with the
    photo that the network sees: half as far in a photo reduced to half that side. The defaults are
    those of the authors' released network.
    """

    bilateral_weight: float = 4.0
    bilateral_sigma_xy: float = 49.0
    bilateral_sigma_rgb: float = 5.0
    gaussian_weight: float = 3.0
    gaussian_sigma_xy: float = 3.0


PHOTO_SIDE = 500
"""Longer side, in pixels, of the photos that the reaches of the instance subnetwork are given for:
those of Pascal VOC."""


@dataclass(frozen=True, kw_only=True)
class InstanceSettings(StageSettings):
    """The stage of the instance subnetwork. Paper: Li, Arnab, Torr 2018, sec. 3.5.

    What the paper leaves open has the value of the authors' released network; `reach` is our own.
    """

    iterations: int = 3
    """Mean-field iterations while training (Arnab and Torr 2017 use 5)."""
    box_weight: float = 1.0
    """What the box term of eq. 2 counts when training begins, w1."""
    global_weight: float = 1.0
    """What its global term counts when training begins, w2."""
    mask_weight: float = 0.0
    """What the mask of a detection counts in its box when training begins, which parts things of
    one class that touch. Above 0 the detector is a Mask R-CNN; with 0, as in the paper, no mask
    counts."""
    reach: float = 0.5
    """How far beyond its box the global term of a detection goes, in widths and heights of the box;
    a thousand covers any photo, as in the paper. Where many detections have one class, those far
    away would leave each one only a small share of every pixel."""
    soften_scores: bool = True
    """Whether the score s of a detection counts as sigmoid(2 s - 1) in the box term."""
    kernels: InstanceKernelSettings = field(default_factory=InstanceKernelSettings)
    end_to_end: bool = True
    """Whether the semantic network learns as well, as in the paper, or the subnetwork alone."""
    weights_rate: float = 10.0
    """Learning rate of the subnetwork's own weights, as a multiple of the stage's; they have
    no weight decay."""
    score_threshold: float = 0.4
    """Detections below this score are not offered as instances."""
    nms_threshold: float = 0.5
    """IoU of two boxes of one class above which the detector keeps only the better one (the code of
    Fast R-CNN has 0.3, torchvision 0.5). Where things touch, less drops a box around both."""
    max_detections: int = 100
    """Highest-scoring detections of an image that are offered as instances."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_iterations(self.iterations)
        if self.max_detections < 1:
            raise RecipeError("max_detections must be at least 1")
        for name in ("box_weight", "global_weight", "mask_weight"):
            _check_weight(name, getattr(self, name))
        if not self.box_weight + self.global_weight > 0:
            raise RecipeError("box_weight and global_weight must not both be 0")
        for name in ("weights_rate", "reach"):
            if not 0 <= getattr(self, name) < math.inf:
                raise RecipeError(f"{name} must be at least 0, and finite")
        for name in ("score_threshold", "nms_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"{name} must be within 0 and 1")


MIN_TILE_SIDE = 128
"""Least side of a tile in pixels: in less a network sees too little around a pixel."""


@dataclass(frozen=True, kw_only=True)
class PredictionSettings:
    """How a trained model predicts."""

    iterations: int = 10
    """Mean-field iterations, as in Arnab and Torr 2017; the released network has 3."""
    tile_side: int | None = None
    """Longer side, in pixels, of what goes through the semantic network at once; larger photos go
    through it in overlapping tiles. When absent photos are whole. It bounds the memory of this
    network alone: detector and instance subnetwork see the whole photo, which `images.max_side`
    reduces."""
    tile_overlap: float = 0.25
    """Least share of a tile's side that the next one has too; 32 pixels where that is more."""

    def __post_init__(self) -> None:
        _check_iterations(self.iterations)
        if self.tile_side is not None and self.tile_side < MIN_TILE_SIDE:
            raise RecipeError(f"tile_side must be at least {MIN_TILE_SIDE}")
        if not 0 <= self.tile_overlap <= 0.5:
            raise RecipeError("tile_overlap must be within 0 and 0.5")


@dataclass(frozen=True, kw_only=True)
class BoxSettings:
    """From boxes to masks. Paper: Li, Arnab, Torr 2018, sec. 3.2."""

    method: str = DEFAULT_BOX_METHOD
    """How the object in a box is found: a key of `wsps.pseudo_labels.methods.METHODS`."""


@dataclass(frozen=True, kw_only=True)
class TagSettings:
    """From image tags to a label map. Paper: Li, Arnab, Torr 2018, sec. 3.3 and 4.1."""

    cam_threshold: float = 0.5
    """Share of a heat map's maximum above which a pixel is labelled."""
    crop_size_wh: tuple[int, int] | None = None
    """Size in pixels of the fixed crops that are tagged; the whole image when absent."""

    def __post_init__(self) -> None:
        if not 0 < self.cam_threshold <= 1:
            raise RecipeError("cam_threshold must be above 0 and at most 1")
        if self.crop_size_wh is not None and min(self.crop_size_wh) < 1:
            raise RecipeError("crop_size_wh must be at least 1 x 1")


@dataclass(frozen=True, kw_only=True)
class CrfSettings(KernelSettings):
    """The dense CRF between a prediction and its next use as a label.

    Its reaches are in pixels of the photo that the network sees. The defaults are those of
    DeepLab's ResNet-101 on Pascal VOC (Chen et al. 2016, arXiv 1606.00915), which Li, Arnab, Torr
    2018, sec. 3.4 take over for all photos; 67 pixels are a seventh of VOC's width.
    """

    engine: str = "lattice"
    """`lattice` runs on a GPU too; `pydensecrf` is the reference, for one CPU."""
    iterations: int = 10
    """Rounds of mean field; 0 leaves predictions as they are."""
    bilateral_weight: float = 4.0
    bilateral_sigma_xy: float = 67.0
    bilateral_sigma_rgb: float = 3.0
    gaussian_weight: float = 3.0
    gaussian_sigma_xy: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_iterations(self.iterations)
        _check_choice("engine", self.engine, CRF_ENGINES)


@dataclass(frozen=True, kw_only=True)
class RefinementSettings:
    """Iterative ground truth: predictions, cleaned up, become labels. Paper: sec. 3.4."""

    rounds: int = 0
    """Times that labels are made again from predictions, and trained on, after the first."""
    min_score: float = 0.99
    """Probability of the predicted class below which a pixel is ignored; 0 keeps all."""
    keep_tagged: bool = True
    """Whether a class not among a crop's tags is ignored there."""
    merge_rounds: int = 5
    """Rounds in which the masks from boxes overrule the prediction; later ones trust it."""
    keep_in_boxes: bool = True
    """Whether a thing outside its class's boxes is ignored, and background where that exists."""
    fill_below: float = 0.5
    """Share of a box covered by its class below which the box is filled; 0 fills none."""
    fill_from_round: int = 1
    """First round in which boxes are filled. The released code begins with 0, the label of the
    first training; after masks as sure as ours that mislabels more than it finds."""
    complete: str | None = None
    """Which weak labels name all that is in their image: `always`, `without groups`, or `never`,
    as if from coarse outlines. With the others tags and boxes remove nothing from a prediction, and
    no pixel has an instance. When absent `always`, but `without groups` for COCO, whose crowds hold
    things that have no box."""
    crf: CrfSettings = field(default_factory=CrfSettings)

    def __post_init__(self) -> None:
        if min(self.rounds, self.merge_rounds, self.fill_from_round) < 0:
            raise RecipeError("rounds, merge_rounds and fill_from_round must be at least 0")
        if not (0 <= self.min_score <= 1 and 0 <= self.fill_below <= 1):
            raise RecipeError("min_score and fill_below must be within 0 and 1")
        if self.complete is not None:
            _check_choice("complete", self.complete, COMPLETE)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one model is trained, from labels in to weights out."""

    images: ImageSettings = field(default_factory=ImageSettings)
    views: ViewSettings = field(default_factory=ViewSettings)
    backbone: BackboneSettings = field(default_factory=BackboneSettings)
    descent: DescentSettings = field(default_factory=DescentSettings)
    boxes: BoxSettings = field(default_factory=BoxSettings)
    tags: TagSettings = field(default_factory=TagSettings)
    classifier: StageSettings = StageSettings(steps=120, learning_rate=3e-3)
    semantic: SemanticSettings = SemanticSettings(steps=1200, learning_rate=3e-3, schedule="flat")
    detector: StageSettings = StageSettings(steps=5000, learning_rate=3e-3, schedule="flat")
    instance: InstanceSettings = InstanceSettings(steps=300, learning_rate=5e-4)
    prediction: PredictionSettings = field(default_factory=PredictionSettings)
    refinement: RefinementSettings = field(default_factory=RefinementSettings)


def decide_completeness(recipe: Recipe, format_name: str) -> Recipe:
    """Return the recipe with `refinement.complete` decided for the images of a format."""
    if recipe.refinement.complete is not None:
        return recipe
    complete = "without groups" if format_name.startswith("coco") else "always"
    return replace(recipe, refinement=replace(recipe.refinement, complete=complete))


def without_weights(recipe: Recipe) -> Recipe:
    """Return the recipe of a network whose own weights are read next, so that no others need be."""
    return replace(recipe, backbone=replace(recipe.backbone, weights=None))
