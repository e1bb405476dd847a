import hashlib
import os
from pathlib import Path

import pytest

from annotools.errors import RecipeError
from wsps.networks.weights import describe_weights
from wsps.recipe import BackboneSettings


def describe(name: str, weights: str | None) -> str:
    return describe_weights(BackboneSettings(name=name, weights=weights))


def test_weights_are_named_and_files_by_their_content_too(tmp_path: Path):
    assert describe("small", None) == "none"
    assert describe("resnet50", "IMAGENET1K_V2") == "resnet50 IMAGENET1K_V2"
    path = tmp_path / "w.pt"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        # Of the same size: a clock may not tell the two writings apart.
        os.utime(path, ns=(content[0], content[0]))
        expected = hashlib.sha256(content).hexdigest()[:12]
        assert describe("small", str(path)) == f"w.pt (sha256 {expected})"


def test_a_file_that_cannot_be_read_is_named_with_the_remedies(tmp_path: Path):
    place = tmp_path / "none.pt"
    with pytest.raises(RecipeError) as refused:
        describe("small", str(place))
    assert str(refused.value) == (
        f"{place}: no such file: backbone.weights names a state dict or known weights; put the "
        "file there, or choose a recipe that needs no weights: small, in a study "
        "recipe.inherit=small"
    )
    with pytest.raises(RecipeError, match=r"is a folder: backbone\.weights names a file"):
        describe("small", str(tmp_path))
