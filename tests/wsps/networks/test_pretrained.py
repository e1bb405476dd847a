import os
import pickle
import zipfile
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import Tensor

from annotools.errors import RecipeError
from wsps.networks.backbone import Backbone, build_backbone
from wsps.networks.weights import describe_weights
from wsps.recipe import BackboneSettings

KEY = "0.0.weight"
"""Of the first convolution of the small network."""


def small(weights: str | Path) -> Backbone:
    return build_backbone(BackboneSettings(weights=str(weights)))


def state() -> dict[str, Tensor]:
    return build_backbone(BackboneSettings()).layers.state_dict()


def test_weights_are_read_from_a_file_and_what_it_has_beyond_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    saved = {key: values + 1 for key, values in state().items()}
    torch.save(saved | {"fc.weight": torch.zeros(2)}, tmp_path / "weights.pt")
    (tmp_path / "weights.pt").rename(tmp_path / "without an ending")
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / "without an ending", "./without an ending", "without an ending"):
        loaded = small(path).layers.state_dict()
        assert all(torch.equal(values, loaded[key]) for key, values in saved.items())


def test_half_precision_and_a_missing_counter_are_taken(tmp_path: Path):
    path = tmp_path / "weights.pt"
    saved = {k: v.half() for k, v in state().items() if not k.endswith("num_batches_tracked")}
    torch.save(saved, path)
    loaded = small(path).layers.state_dict()
    assert torch.equal(loaded[KEY], saved[KEY].float())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({KEY: None}, "is missing"),
        ({KEY: torch.zeros(1)}, "has another shape"),
        ({KEY: [1.0]}, "is no tensor of numbers"),
        ({KEY: torch.zeros(16, 3, 3, 3, device="meta")}, "is no tensor of numbers"),
        ({KEY: torch.zeros(16, 3, 3, 3, dtype=torch.int64)}, "has numbers of type int64"),
        ({KEY: torch.zeros(16, 3, 3, 3, dtype=torch.complex64)}, "has numbers of type complex64"),
        ({KEY: torch.full((16, 3, 3, 3), torch.nan)}, "has values that are not finite"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path: Path, change: dict[str, Any], message: str):
    path = tmp_path / "weights.pt"
    torch.save({k: v for k, v in (state() | change).items() if v is not None}, path)
    with pytest.raises(RecipeError) as refused:
        small(path)
    expected = (
        f"{path}: does not fit small, {KEY} {message}: use other weights, or the backbone.name "
        "that these are of"
    )
    assert str(refused.value) == expected


def test_a_file_that_holds_no_state_dict_is_refused_in_one_line(tmp_path: Path):
    path = tmp_path / "weights.pt"
    torch.save(state(), path)
    whole = path.read_bytes()
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("hello.txt", "hello")
    contents = [b"", b"not weights", b"PK\x03\x04", whole[:1000], whole[:-100]]
    contents += [(tmp_path / "other.pt").read_bytes(), b"\x80\x04N.", b"\x80\x05\x95\xff\xff"]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(RecipeError, match=r"^\S*weights\.pt: not a state dict") as refused:
            small(path)
        assert "\n" not in str(refused.value)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(RecipeError, match=r"weights\.pt: not a state dict but list"):
        small(path)
    with pytest.raises(RecipeError, match="no such file"):
        small(tmp_path / "none.pt")
    with pytest.raises(RecipeError, match="is a folder"):
        small(tmp_path)


TEXTS = {
    "greeting": b"hello world\n",
    "accounts": b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/bin/false\n",
    "dots": b"....",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64,
    "page": b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n",
    "plain pickle": pickle.dumps({"conv1.weight": [1.0]}),
    "pickle of an object": pickle.dumps(Path("conv1.weight")),
    "deep pickle": b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".",
    "marks without end": b"\x80\x02" + b"(" * 100_000 + b".",
}


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
def test_any_file_that_is_no_weights_gives_one_line(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(RecipeError) as refused:
        small(path)
    expected = f"{path}: not a state dict that torch.save wrote: fetch the file again"
    assert str(refused.value) == expected
    assert capfd.readouterr() == ("", "")


def test_an_archive_is_not_unpacked_to_more_than_its_size(tmp_path: Path):
    path, packed = tmp_path / "weights.pt", tmp_path / "packed.pt"
    torch.save({KEY: torch.zeros(10**6)}, path)
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(packed, "w") as archive:
        for member in whole.infolist():
            content = whole.read(member)
            archive.writestr(member.filename, content, zipfile.ZIP_DEFLATED)
    assert packed.stat().st_size < 10**4
    with pytest.raises(RecipeError, match=r"packed\.pt: not a state dict") as refused:
        small(packed)
    assert "unpacks to 400" in str(refused.value.__cause__)


def test_what_has_no_end_is_not_read(tmp_path: Path):
    pipe = tmp_path / "weights.pt"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(RecipeError, match=f"^{path}: is no regular file"):
            small(path)
        with pytest.raises(RecipeError, match=f"^{path}: is no regular file"):
            describe_weights(BackboneSettings(weights=str(path)))


@pytest.mark.parametrize("name", ["state_dict", "model"])
def test_weights_that_a_training_program_wrapped_are_taken(tmp_path: Path, name: str):
    wrapped = {f"module.{key}": values + 1 for key, values in state().items()}
    torch.save({"epoch": 3, name: wrapped}, tmp_path / "weights.pt")
    loaded = small(tmp_path / "weights.pt").layers.state_dict()
    assert torch.equal(loaded[KEY], wrapped[f"module.{KEY}"])


def test_weights_by_name_are_taken_from_the_cache_of_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(3)
    network = torchvision.models.resnet18()
    torch.save(network.state_dict(), folder / "resnet18-f37072fd.pth")
    loaded = build_backbone(BackboneSettings(name="resnet18", weights="IMAGENET1K_V1"))
    taken = loaded.layers.state_dict()
    assert torch.equal(taken["layer4.1.conv2.weight"], network.layer4[1].conv2.weight)
    (folder / "resnet18-f37072fd.pth").write_bytes(b"cut short")
    with pytest.raises(RecipeError, match=r"resnet18-f37072fd\.pth: not a state dict"):
        build_backbone(BackboneSettings(name="resnet18", weights="IMAGENET1K_V1"))


@pytest.mark.parametrize(
    "failure",
    [
        URLError(OSError(-2, "Name or service not known")),
        RuntimeError('invalid hash value (expected "f37072fd",\n got "0")'),
    ],
)
def test_a_failed_download_says_which_file_goes_where_and_nothing_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failure: Exception,
):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))

    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(RecipeError) as refused:
        build_backbone(BackboneSettings(name="resnet18", weights="IMAGENET1K_V1"))
    assert capsys.readouterr() == ("", "")
    message = str(refused.value)
    assert message.startswith("backbone.weights = 'IMAGENET1K_V1': cannot be downloaded (")
    assert message.endswith(
        "): put https://download.pytorch.org/models/resnet18-f37072fd.pth at "
        f"{tmp_path}/checkpoints/resnet18-f37072fd.pth, "
        "give backbone.weights the path of a file that you have, "
        "or choose a recipe that needs no weights: small, in a study recipe.inherit=small"
    )
    assert "\n" not in message


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(RecipeError, match=r"resnet50 has no such .* IMAGENET1K_V1, IMAGENET1K_V2"):
        build_backbone(BackboneSettings(name="resnet50", weights="DEFAULT"))
    with pytest.raises(RecipeError, match="small has no such weights: give the path of a state"):
        small("IMAGENET1K_V1")


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("backbone.body.conv1.weight", (64, 3, 7, 7)),
        ("roi_heads.box_predictor.cls_score.weight", (91, 1024)),
        ("module.rpn.head.conv.weight", (4, 4, 3, 3)),
        ("decode_head.conv_seg.weight", (19, 512, 1, 1)),
        ("mask_decoder.iou_token.weight", (1, 256)),
        ("classifier.4.weight", (21, 256, 1, 1)),
    ],
)
def test_weights_of_detectors_and_segmenters_are_refused(
    tmp_path: Path, key: str, shape: tuple[int, ...]
):
    path = tmp_path / "weights.pt"
    torch.save(state() | {key: torch.zeros(shape)}, path)
    with pytest.raises(RecipeError) as refused:
        small(path)
    assert str(refused.value) == (
        f"{path}: has {key.removeprefix('module.')}, a part of a network that has seen masks or "
        "boxes, which would leak the answer: use weights of classification or self-supervision"
    )


def test_the_linear_layer_of_a_classifier_leaks_nothing(tmp_path: Path):
    path = tmp_path / "weights.pt"
    saved = state()
    torch.save(saved | {"classifier.4.weight": torch.zeros(1, 4096)}, path)
    assert torch.equal(small(path).layers.state_dict()[KEY], saved[KEY])


@pytest.mark.parametrize("prefix", ["encoder_q.", "base_encoder."])
def test_the_encoder_that_moco_learns_is_taken(tmp_path: Path, prefix: str) -> None:
    own = build_backbone(BackboneSettings(name="resnet18")).layers.state_dict()
    other = {key: torch.zeros_like(values) for key, values in own.items()}
    saved = {f"module.{prefix}{key}": values for key, values in own.items()}
    saved |= {f"module.encoder_k.{key}": values for key, values in other.items()}
    torch.save({"state_dict": saved, "epoch": 200}, path := tmp_path / "moco.pth")
    read = build_backbone(BackboneSettings(name="resnet18", weights=str(path)))
    assert all(
        values.equal(own[key])
        for key, values in read.layers.state_dict().items()
        if not key.endswith("num_batches_tracked")
    )


def test_parts_that_have_seen_masks_are_found_below_a_prefix_too(tmp_path: Path) -> None:
    own = build_backbone(BackboneSettings(name="resnet18")).layers.state_dict()
    saved = {f"encoder_q.{key}": values for key, values in own.items()}
    saved["encoder_q.rpn.head.weight"] = torch.zeros(2)
    torch.save(saved, path := tmp_path / "moco.pth")
    with pytest.raises(
        RecipeError, match=r"has rpn\.head\.weight, a part of a network that has seen"
    ):
        build_backbone(BackboneSettings(name="resnet18", weights=str(path)))
