import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from torch import nn

from annotools.errors import RecipeError
from wsps.networks.backbone import Backbone, build_backbone
from wsps.networks.image_input import find_input
from wsps.networks.weights import describe_weights
from wsps.recipe import BackboneSettings

IMAGES = 255 * torch.rand(1, 3, 70, 101)
"""Of a size that is no multiple of anything."""


def build(name: str, **settings: Any) -> Backbone:
    torch.manual_seed(0)
    return build_backbone(BackboneSettings(name=f"timm:{name}", **settings)).eval()


def refusal(name: str, **settings: Any) -> str:
    with pytest.raises(RecipeError) as refused:
        build(name, **settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "asked", "channels", "stride"),
    [
        ("resnet18", None, 512, 16),
        ("resnet18", 8, 512, 8),
        ("resnet18", 4, 64, 4),
        ("convnext_atto", 32, 320, 32),
        ("mobilenetv3_small_050", None, 288, 16),
        ("hrnet_w18_small", None, 512, 16),  # Cannot be dilated.
        ("hrnet_w18_small", 8, 256, 8),
        ("swin_tiny_patch4_window7_224", None, 384, 16),  # Channels last.
        ("vit_tiny_patch16_224", None, 192, 16),
        ("vit_small_patch14_dinov2", None, 384, 14),
        ("xcit_nano_12_p8_224", None, 128, 8),
    ],
)
def test_a_network_gives_the_channels_and_the_stride_it_announces(
    name: str, asked: int | None, channels: int, stride: int
):
    backbone = build(name, output_stride=asked)
    assert (backbone.out_channels, backbone.stride) == (channels, stride)
    assert backbone.middle_channels is None
    with torch.no_grad():
        features = backbone(IMAGES)
    assert features.shape == (1, channels, -(-70 // stride), -(-101 // stride))
    assert features.isfinite().all()


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "vit_tiny_patch16_224"])
def test_a_state_dict_of_timm_fits_and_gives_its_features(tmp_path: Path, name: str):
    options = {"dynamic_img_size": True} if name.startswith("vit") else {"output_stride": 16}
    torch.manual_seed(5)
    network = timm.create_model(name, **options).eval()
    path = tmp_path / "weights.pt"
    torch.save(network.half().state_dict(), path)
    backbone = build(name, weights=str(path))
    images = 255 * torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        *_, expected = network.float().forward_intermediates(
            backbone.normalise(images), intermediates_only=True
        )
        torch.testing.assert_close(backbone(images), expected)
    state = network.state_dict()
    key = next(iter(state))
    torch.save({k: values for k, values in state.items() if k != key}, path)
    message = refusal(name, weights=str(path))
    assert message.startswith(f"{path}: does not fit timm:{name}, ")
    assert message.endswith("is missing: use other weights, or the backbone.name that these are of")


def test_safetensors_are_read(tmp_path: Path):
    from safetensors.torch import save_file

    torch.manual_seed(5)
    state = timm.create_model("resnet18").state_dict()
    save_file(state, tmp_path / "model.safetensors")
    loaded = build("resnet18", weights=str(tmp_path / "model.safetensors")).layers.state_dict()
    assert torch.equal(loaded["0.network.conv1.weight"], state["conv1.weight"])
    # The first eight bytes are the length of a header of JSON.
    headers = [(2**60).to_bytes(8, "little"), (10).to_bytes(8, "little") + b"not json!!"]
    for content in (b"no weights", b"", *headers):
        (tmp_path / "model.safetensors").write_bytes(content)
        message = refusal("resnet18", weights=str(tmp_path / "model.safetensors"))
        assert message.startswith(f"{tmp_path}/model.safetensors: not a state dict")


def test_colours_are_those_of_the_network_unless_the_recipe_says_otherwise():
    # Google's transformers expect -1 to 1.
    half = find_input(BackboneSettings(name="timm:vit_tiny_patch16_224"))
    assert (half.mean, half.deviation, half.is_bgr) == ((127.5,) * 3, (127.5,) * 3, False)
    settings = BackboneSettings(name="timm:vit_tiny_patch16_224", input="caffe")
    assert find_input(settings).is_bgr
    assert find_input(BackboneSettings(name="timm:resnet18")) == find_input(
        BackboneSettings(name="resnet18")
    )


def test_statistics_stay_where_they_are_frozen():
    images = 255 * torch.rand(2, 3, 64, 64)
    for norm in ("frozen", "batch"):
        backbone = build("mobilenetv3_small_050", norm=norm)
        before = {key: values.clone() for key, values in backbone.state_dict().items()}
        nn.Sequential(backbone).train()(images)
        changed = [k for k, v in backbone.state_dict().items() if not torch.equal(v, before[k])]
        assert bool(changed) == (norm == "batch")


def test_timms_own_weights_are_asked_for_by_a_word(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(7)
    state = timm.create_model("resnet18").state_dict()
    builder = sys.modules["timm.models._builder"]
    monkeypatch.setattr(builder, "load_state_dict_from_hf", lambda *_, **__: dict(state))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: "in the cache")
    loaded = build("resnet18.a1_in1k", weights="pretrained").layers.state_dict()
    assert torch.equal(loaded["0.network.conv1.weight"], state["conv1.weight"])
    # Without a tag it is the one that timm takes, and that is what a row shall name.
    settings = BackboneSettings(name="timm:resnet18", weights="pretrained")
    assert describe_weights(settings) == "timm:resnet18.a1_in1k"


@pytest.mark.parametrize(
    "name",
    [
        *("samvit_base_patch16", "sam2_hiera_tiny", "vit_pe_spatial_tiny_patch16_512"),
        "vit_so400m_patch14_siglip_gap_448.pali_refcoco_seg",
    ],
)
def test_weights_that_saw_masks_or_boxes_are_refused(name: str):
    message = refusal(name, weights="pretrained")
    assert "learnt from masks or boxes, or may have, which would leak the answer" in message


def test_weights_that_cannot_be_had_are_told_at_once(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError(-2, "Name or\nservice not known")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    # An optimizer is called so too.
    assert refusal("vit_base_patch16_224.sam_in1k", weights="pretrained") == (
        "backbone.weights = 'pretrained': those of vit_base_patch16_224.sam_in1k cannot be had "
        "([Errno -2] Name or service not known): put https://huggingface.co/timm/"
        "vit_base_patch16_224.sam_in1k/resolve/main/model.safetensors in a file and give its path, "
        "or choose a recipe that needs no weights: small, in a study recipe.inherit=small"
    )


def test_what_timm_does_not_have_is_refused_in_a_line(monkeypatch: pytest.MonkeyPatch):
    unknown = f"timm {timm.__version__} has no such network: give one of timm.list_models(), such"
    assert unknown in refusal("resnet1")
    assert "resnet18 has no weights 'foo': use a1_in1k or " in refusal("resnet18.foo")
    assert refusal("vit_tiny_patch16_224", output_stride=8) == (
        "backbone.output_stride = 8: timm:vit_tiny_patch16_224 has 16"
    )
    assert refusal("resnet18", norm="group") == (
        "norm = 'group': timm:resnet18 has normalisations of its own: use batch"
    )
    assert "does not take photos of any size (" in refusal("mixer_s16_224")
    assert "gives a map of (1, 768, 8, 12) where (1, 768, 10, 14) was" in refusal("inception_v3")
    monkeypatch.setitem(sys.modules, "timm", None)
    assert refusal("resnet18") == (
        "backbone.name begins with timm:, and timm is not installed: pip install 'annotools[timm]'"
    )
