import math

import pytest

from annotools.errors import RecipeError
from annotools.settings import as_table, read_settings
from wsps.recipe import CrfSettings, Recipe, SemanticSettings


def test_a_recipe_is_read_and_its_table_is_read_back():
    table = {
        "views": {"crop_size_wh": [64, 32]},
        "semantic": {"steps": 3, "learning_rate": 1},
        "tags": {"crop_size_wh": [32, 32]},
        "refinement": {"rounds": 2, "crf": {"bilateral_sigma_xy": 25}},
    }
    recipe = read_settings(Recipe, table, "file")
    assert recipe.views.crop_size_wh == (64, 32)
    assert recipe.semantic == SemanticSettings(steps=3, learning_rate=1.0, schedule="flat")
    assert recipe.tags.crop_size_wh == (32, 32)
    assert recipe.refinement.rounds == 2
    assert recipe.refinement.crf == CrfSettings(bilateral_sigma_xy=25.0)
    assert recipe.detector == Recipe().detector
    assert read_settings(Recipe, as_table(recipe), "file") == recipe


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"prediction": {"tile_overlap": 0.6}},
            "^file: prediction: tile_overlap must be within 0 and 0.5$",
        ),
        ({"descent": {"batch_size": 0}}, "^file: descent: batch_size must be from 1 to 1024$"),
        ({"descent": {"batch_size": 100000}}, "^file: descent: batch_size must be from 1"),
        ({"descent": {"weight_decay": -1.0}}, "weight_decay must be at least 0"),
        ({"views": {"crop_size_wh": [64, 8]}}, "^file: views: crop_size_wh must be from 16"),
        ({"views": {"crop_size_wh": [5000, 64]}}, "^file: views: crop_size_wh .* 4096 x 4096$"),
        ({"images": {"min_side": 15}}, "^file: images: min_side must be from 16 to 4096$"),
        ({"images": {"min_side": 51200}}, "^file: images: min_side must be from 16 to 4096$"),
        ({"views": {"scale_range": [1.2, 0.8]}}, "^file: views: scale_range"),
        ({"views": {"scale_range": [0.001, 1.0]}}, "^file: views: scale_range .* 0.1 to 10$"),
        ({"semantic": {"steps": -1, "learning_rate": 0.1}}, "^file: semantic: steps must be"),
        ({"semantic": {"steps": 1, "learning_rate": 0.0}}, "^file: semantic: .*learning_rate"),
        (
            {"refinement": {"rounds": -1}},
            "^file: refinement: rounds, merge_rounds and fill_from_round must be",
        ),
        ({"refinement": {"merge_rounds": -1}}, "^file: refinement: rounds, merge_rounds"),
        ({"refinement": {"min_score": 1.5}}, "^file: refinement: min_score and fill_below must be"),
        ({"refinement": {"fill_below": -0.1}}, "^file: refinement: min_score and fill_below"),
        (
            {"refinement": {"crf": {"iterations": -1}}},
            r"^file: refinement\.crf: iterations must be",
        ),
        (
            {"refinement": {"crf": {"bilateral_sigma_rgb": 0.0}}},
            r"^file: refinement\.crf: bilateral_sigma_rgb must be at least 0\.1, and finite",
        ),
        (
            {"refinement": {"crf": {"gaussian_weight": -1.0}}},
            r"^file: refinement\.crf: gaussian_weight must be between 0 and 10000",
        ),
        ({"tags": {"iterations": 5}}, r"^file: unknown setting tags\.iterations"),
        ({"instance": {"score_threshold": 2.0}}, "^file: instance: score_threshold must be"),
        (
            {"instance": {"iterations": -1}},
            "^file: instance: iterations must be between 0 and 1000",
        ),
        ({"instance": {"max_detections": 0}}, "^file: instance: max_detections must be at least 1"),
        (
            {"instance": {"box_weight": -1.0}},
            "^file: instance: box_weight must be between 0 and 10000",
        ),
        (
            {"instance": {"mask_weight": math.nan}},
            "^file: instance: mask_weight must be between 0 and 10000",
        ),
        (
            {"instance": {"weights_rate": math.inf}},
            "^file: instance: weights_rate must be at least 0, and finite",
        ),
        (
            {"instance": {"box_weight": 0.0, "global_weight": 0.0}},
            "^file: instance: box_weight and global_weight must not both be 0",
        ),
        (
            {"instance": {"kernels": {"gaussian_sigma_xy": math.nan}}},
            r"^file: instance\.kernels: gaussian_sigma_xy must be at least 0\.1, and finite",
        ),
        (
            {"refinement": {"crf": {"engine": "permutohedral"}}},
            r"^file: refinement\.crf: unknown engine 'permutohedral': use lattice or pydensecrf",
        ),
        (
            {"backbone": {"norm": "free"}},
            "^file: backbone: unknown norm 'free': use batch or frozen or group",
        ),
        (
            {"backbone": {"norm": "group", "weights": "IMAGENET1K_V2"}},
            "^file: backbone: norm = 'group' has no place for what weights know of batches",
        ),
        (
            {"backbone": {"input": "bgr"}},
            "^file: backbone: unknown input 'bgr': use torchvision or caffe",
        ),
        (
            {"semantic": {"auxiliary_weight": -0.1}},
            "^file: semantic: auxiliary_weight must be at least 0, and finite",
        ),
        ({"prediction": {"iterations": -1}}, "^file: prediction: iterations must be"),
        ({"prediction": {"iterations": 1001}}, "^file: prediction: iterations must be"),
    ],
)
def test_a_wrong_setting_is_named(table: dict[str, object], message: str):
    with pytest.raises(RecipeError, match=message):
        read_settings(Recipe, table, "file")


def test_no_weights_can_be_asked_for_and_empty_ones_are_refused():
    inherited = {"backbone": {"weights": "none"}}
    assert read_settings(Recipe, inherited, "file").backbone == Recipe().backbone
    with pytest.raises(RecipeError, match="weights is empty"):
        read_settings(Recipe, {"backbone": {"weights": " "}}, "file")


def test_a_stage_keeps_what_its_table_leaves_out():
    recipe = read_settings(Recipe, {"semantic": {"steps": 7}}, "file")
    assert recipe.semantic == SemanticSettings(steps=7, learning_rate=3e-3, schedule="flat")
