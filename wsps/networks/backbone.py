"""Build the convolutional feature extractors, each by its name."""

from collections.abc import Callable

import torchvision
from torch import Tensor, nn

from annotools.errors import RecipeError
from wsps.networks import timm_networks
from wsps.networks.image_input import ImageInput, Normalise, find_input
from wsps.networks.pretrained import read_pretrained
from wsps.networks.thin_resnet import OUT_CHANNELS, thin_resnet50
from wsps.networks.weight_names import PRETRAINED, is_timm
from wsps.recipe import BackboneSettings

OUTPUT_STRIDES = {
    "small": (4,),
    "resnet18": (8, 16),
    "resnet50": (8, 16),
    "resnet101": (8, 16),
    "thin-resnet50": (16, 8, 32),
}
"""The backbones by name, and the output strides of each, the usual one first. The paper's is
ResNet-101 with 8 (Li, Arnab, Torr 2018, sec. 4.1; Zhao et al. 2017, sec. 3.3). Beside these there
are those of timm, named as `timm:resnet18`."""

NormLayer = Callable[[int], nn.Module]
"""Gives the normalisation of a number of channels."""


class FrozenBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the pretrained weights, in training as well.

    Its scale and offset are learnt. Paper: Li, Arnab, Torr 2018, sec. 4.1.
    """

    # torchvision's own would freeze scale and offset too, and give float32 maps under bfloat16.

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.eval()

    def train(self, _mode: bool = True) -> "FrozenBatchNorm":
        """Leave the statistics as they are."""
        return super().train(False)


NORM_GROUPS = 8
"""Groups of channels that `group_norm` normalises: of eight channels each where there are 64."""


def group_norm(channels: int) -> nn.Module:
    """Return the normalisation of groups of channels, image by image.

    It does the same in training and in prediction, and no image hangs on the others of its batch:
    in one of four, photos that look unlike each other have other statistics than those that batch
    normalisation keeps for prediction.

    Source: Wu and He, Group Normalization, ECCV 2018.

    Args:
        channels: a multiple of `NORM_GROUPS`.
    """
    return nn.GroupNorm(NORM_GROUPS, channels)


NORM_LAYERS: dict[str, NormLayer] = {
    "batch": nn.BatchNorm2d,
    "frozen": FrozenBatchNorm,
    "group": group_norm,
}
"""By the name that `BackboneSettings.norm` gives: one of `wsps.recipe.NORMS`."""


def conv_block(
    in_channels: int,
    out_channels: int,
    norm_layer: NormLayer,
    kernel_size: int = 3,
    stride: int = 1,
) -> nn.Sequential:
    """Return a convolution with padded edges, normalisation and rectifier."""
    return nn.Sequential(
        nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            # Normalisation subtracts the mean, and any bias with it.
            bias=False,
        ),
        norm_layer(out_channels),
        nn.ReLU(inplace=True),
    )


class Backbone(nn.Module):
    """A feature extractor that knows what it gives: (B, 3, H, W) -> (B, C, H / s, W / s).

    `out_channels` is C and `stride` is s; `middle_channels` are those of the last stage but one,
    None where there are no stages. `norm_layer` is for what is put on it. `is_frozen` says that it
    stays as it is, in training too.
    """

    def __init__(
        self,
        layers: nn.Sequential,
        out_channels: int,
        stride: int,
        image_input: ImageInput,
        middle_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.normalise = Normalise(image_input)
        self.layers = layers
        self.out_channels = out_channels
        self.stride = stride
        self.middle_channels = middle_channels
        self.norm_layer: NormLayer = nn.BatchNorm2d
        self.is_frozen = False

    def freeze(self) -> None:
        """Let no training change anything: neither weights nor the statistics of batches."""
        self.is_frozen = True
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Backbone":
        """Set the mode, which is that of evaluation for a frozen one."""
        return super().train(mode and not self.is_frozen)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of (B, 3, H, W) RGB images of 0 to 255."""
        features: Tensor = self.layers(self.normalise(images))
        return features

    def with_middle(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features, and those that the last stage is given: (B, C', h', w')."""
        middle: Tensor = self.layers[:-1](self.normalise(images))
        return self.layers[-1](middle), middle


def build_backbone(settings: BackboneSettings) -> Backbone:
    """Return the backbone of a recipe, with its pretrained weights where it names some.

    A frozen one may have random weights, which some compare pretrained ones with.

    Raises:
        RecipeError: for an unknown name, an output stride that the network does not have, or
            weights that cannot be had, do not fit or are known to have seen masks or boxes.
    """
    name, weights = settings.name, settings.weights
    if is_timm(name):
        layers, channels, stride = timm_networks.build_layers(settings)
        backbone = Backbone(layers, channels, stride, find_input(settings))
        file_key: Callable[[str], str] = timm_networks.file_key
    else:
        backbone, file_key = _build_own(settings), str
    if weights is not None and not (is_timm(name) and weights == PRETRAINED):
        wanted = backbone.layers.state_dict()
        backbone.layers.load_state_dict(read_pretrained(name, weights, wanted, file_key))
    if settings.norm == "group":
        backbone.norm_layer = group_norm
    if settings.frozen:
        backbone.freeze()
    return backbone


def _build_own(settings: BackboneSettings) -> Backbone:
    name = settings.name
    if name not in OUTPUT_STRIDES:
        known = ", ".join(OUTPUT_STRIDES)
        raise RecipeError(f"unknown backbone {name!r}: use {known}, or timm:NAME")
    strides = OUTPUT_STRIDES[name]
    stride = strides[0] if settings.output_stride is None else settings.output_stride
    if stride not in strides:
        raise RecipeError(
            f"backbone.output_stride = {stride}: {name} has {' or '.join(map(str, strides))}: "
            "set that, or take another backbone"
        )
    norm_layer, image_input = NORM_LAYERS[settings.norm], find_input(settings)
    if name == "small":
        return _small(norm_layer, image_input)
    if name == "thin-resnet50":
        layers, channels = thin_resnet50(), OUT_CHANNELS
    else:
        layers, channels = _torchvision_layers(name, norm_layer)
    _dilate_stages(layers, stride)
    return Backbone(layers, channels, stride, image_input, middle_channels=channels // 2)


def _small(norm_layer: NormLayer, image_input: ImageInput) -> Backbone:
    """Return four convolutions with output stride 4, for studies on a CPU.

    They see 31 pixels, less than a tagged crop, so that a heat map says where in it a class is.
    """
    layers = nn.Sequential(
        conv_block(3, 16, norm_layer, stride=2),
        conv_block(16, 32, norm_layer, stride=2),
        conv_block(32, 64, norm_layer),
        conv_block(64, 64, norm_layer),
    )
    return Backbone(layers, out_channels=64, stride=4, image_input=image_input)


def _torchvision_layers(name: str, norm_layer: NormLayer) -> tuple[nn.Sequential, int]:
    """Return torchvision's ResNet of a name without its classifier, and its channels."""
    network = torchvision.models.get_model(name, weights=None, norm_layer=norm_layer)
    layers = nn.Sequential()
    for child_name, child in network.named_children():
        if child_name not in ("avgpool", "fc"):
            layers.add_module(child_name, child)
    channels: int = network.fc.in_features
    return layers, channels


def _dilate_stages(layers: nn.Sequential, stride: int) -> None:
    """Bring a ResNet from its own stride of 32 to another one."""
    dilation = 1
    # Stage 3 would bring the stride to 16 and stage 4 to 32.
    for stage, its_stride in (("layer3", 16), ("layer4", 32)):
        if its_stride > stride:
            _dilate(layers.get_submodule(stage), dilation, 2 * dilation)
            dilation *= 2


def _dilate(stage: nn.Module, before: int, after: int) -> None:
    """Let a stage keep the size of its maps, with the weights that it has.

    Its convolution that would halve the map does so no more, and those that come later skip what it
    would have left out. At every second pixel the result is what it was.

    Args:
        stage: of a ResNet; torchvision dilates those of larger blocks alone.
        before: dilation of the stage before it.
        after: dilation from the halving convolution on: twice as large.
    """
    for module in stage.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        dilation = before if module.stride == (2, 2) else after
        module.stride = (1, 1)
        if module.kernel_size == (3, 3):
            module.dilation = module.padding = (dilation, dilation)
