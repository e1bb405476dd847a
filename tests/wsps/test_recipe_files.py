from dataclasses import replace
from pathlib import Path

import pytest

import studies
from annotools.errors import RecipeError
from annotools.files import write_json
from annotools.settings import as_table
from studies.study import load_study
from wsps.recipe import BackboneSettings, Recipe, SemanticSettings, StageSettings
from wsps.recipe_files import RECIPES_FOLDER, default_recipe, read_recipe

NAMES = ("demo", "frozen", "li2018-cityscapes", "li2018-voc", "resnet50", "small")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_small_is_what_a_recipe_is_that_says_nothing() -> None:
    assert read_recipe("small") == Recipe()


def test_every_shipped_recipe_says_what_it_is_for() -> None:
    assert tuple(path.stem for path in sorted(RECIPES_FOLDER.glob("*.toml"))) == NAMES
    for name in NAMES:
        read_recipe(name)
        head = (RECIPES_FOLDER / f"{name}.toml").read_text().partition("\n\n")[0]
        assert head.startswith("# annotools ")
        assert all(word in head for word in ("# Question:", "# Duration:", "# Result:"))


def test_the_demo_trains_as_its_recipe_says() -> None:
    path = Path(studies.__path__[0]) / "recipes/demo.toml"
    assert load_study(path).recipe == read_recipe(path) == read_recipe("demo")


def test_the_paper_on_voc() -> None:
    recipe = read_recipe("li2018-voc")
    assert recipe.backbone == BackboneSettings(
        name="resnet101", weights="IMAGENET1K_V1", output_stride=8, norm="frozen"
    )
    assert recipe.views.crop_size_wh == (521, 521)
    assert (recipe.descent.optimizer, recipe.descent.batch_size) == ("sgd", 1)
    assert (recipe.descent.momentum, recipe.descent.weight_decay) == (0.9, 5e-4)
    assert recipe.semantic == SemanticSettings(
        steps=400_000, learning_rate=1e-4, schedule="converged", auxiliary_weight=0.4
    )
    assert (recipe.instance.steps, recipe.instance.learning_rate) == (400_000, 1e-5)
    assert recipe.instance.schedule == "constant"
    assert (recipe.instance.iterations, recipe.prediction.iterations) == (5, 10)
    assert (recipe.refinement.rounds, recipe.refinement.fill_from_round) == (0, 0)


def test_the_paper_on_cityscapes_differs_where_it_says_so() -> None:
    voc, recipe = read_recipe("li2018-voc"), read_recipe("li2018-cityscapes")
    assert recipe.tags.crop_size_wh == (500, 400)
    assert recipe.tags.cam_threshold == 0.5
    fixed = {"learning_rate": 1e-4, "schedule": "constant"}
    assert recipe.classifier == StageSettings(steps=50_000, **fixed)
    semantic = SemanticSettings(steps=150_000, round_rate=0.5, auxiliary_weight=0.4, **fixed)
    assert recipe.semantic == semantic
    assert recipe.refinement == replace(voc.refinement, rounds=5)
    changed = ("tags", "classifier", "semantic", "refinement")
    assert replace(recipe, **{name: getattr(voc, name) for name in changed}) == voc


def test_a_file_changes_what_it_says_of_what_it_inherits_however_deep(tmp_path: Path) -> None:
    write(
        tmp_path / "base.toml",
        'inherit = "demo"\n[refinement]\nmin_score = 0.5\ncrf = { bilateral_weight = 9.0 }\n',
    )
    heir = write(
        tmp_path / "sub/heir.toml",
        'inherit = "../base.toml"\nsemantic = { steps = 7 }\n[refinement]\nrounds = 3\n',
    )
    recipe, demo = read_recipe(heir), read_recipe("demo")
    crf = replace(demo.refinement.crf, bilateral_weight=9.0)
    assert crf.iterations == 5
    assert recipe == replace(
        demo,
        semantic=replace(demo.semantic, steps=7),
        refinement=replace(demo.refinement, rounds=3, min_score=0.5, crf=crf),
    )


def test_a_change_wins_and_may_name_what_to_inherit(tmp_path: Path) -> None:
    path = write(tmp_path / "own.toml", "semantic = { steps = 7 }\n")
    recipe = read_recipe(path, ["semantic.steps=8", "inherit=demo"])
    demo = read_recipe("demo")
    assert recipe == replace(demo, semantic=replace(demo.semantic, steps=8))


def test_the_recipe_of_a_study_may_inherit(tmp_path: Path) -> None:
    path = write(
        tmp_path / "study.toml",
        'name = "a"\nmixes = { "full" = { "full" = 1 } }\nbudgets_hours = [3]\n'
        'dataset = { format = "scenes", root = "world.toml" }\n'
        '[recipe]\ninherit = "demo"\nsemantic = { steps = 7 }\n',
    )
    demo = read_recipe("demo")
    expected = replace(demo, semantic=replace(demo.semantic, steps=7))
    assert load_study(path).recipe == read_recipe(path) == expected
    heir = write(tmp_path / "heir.toml", 'inherit = "study.toml"\n')
    assert read_recipe(heir) == expected
    other = load_study(path, ["recipe.inherit=small", "recipe.semantic.learning_rate=0.5"]).recipe
    assert (other.semantic.steps, other.semantic.learning_rate) == (7, 0.5)
    assert other.refinement == Recipe().refinement


def test_a_study_that_inherits_nothing_has_the_default_of_its_format(tmp_path: Path) -> None:
    head = 'name = "a"\nmixes = { "full" = { "full" = 1 } }\nbudgets_hours = [3]\n'
    for format_name, default in (("scenes", "small"), ("voc", "frozen"), ("cityscapes", "frozen")):
        assert default_recipe(format_name) == default
        dataset = f'dataset = {{ format = "{format_name}", root = "world.toml" }}\n'
        path = write(tmp_path / "study.toml", head + dataset)
        inherited = read_recipe(default)
        assert load_study(path).recipe == read_recipe(path) == inherited
        write(path, f"{head}{dataset}[recipe]\nsemantic = {{ steps = 7 }}\n")
        expected = replace(inherited, semantic=replace(inherited.semantic, steps=7))
        assert load_study(path).recipe == read_recipe(path) == expected
        assert load_study(path, ["recipe.inherit=demo"]).recipe.tags == read_recipe("demo").tags
    assert default_recipe(None) == "frozen"


def test_a_stored_study_inherits_nothing_again(tmp_path: Path) -> None:
    path = write(
        tmp_path / "study.toml",
        'name = "a"\nmixes = { "full" = { "full" = 1 } }\nbudgets_hours = [3]\n'
        'dataset = { format = "voc", root = "voc" }\nrecipe = { inherit = "small" }\n',
    )
    study = load_study(path)
    write_json(tmp_path / "study.json", as_table(study))
    # JSON has a null for the weights, as which it must be read and not as what `frozen` has.
    assert load_study(tmp_path / "study.json") == study
    assert study.recipe == Recipe()


def test_photos_start_from_pretrained_features_that_stay() -> None:
    recipe = read_recipe("frozen")
    assert recipe.backbone == BackboneSettings(
        name="resnet50",
        weights="IMAGENET1K_V2",
        frozen=True,
        norm="frozen",
        output_stride=16,
    )
    assert recipe.views.per_photo is not None
    assert all(side % 32 == 0 for side in recipe.views.crop_size_wh)
    thin = read_recipe("frozen", ["backbone.name=thin-resnet50", "backbone.weights=w.pt"])
    assert (thin.backbone.name, thin.backbone.frozen) == ("thin-resnet50", True)
    assert thin.backbone.weights == str(Path.cwd() / "w.pt")


def test_weights_start_at_the_folder_of_the_file_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write(tmp_path / "base/base.toml", 'backbone = { weights = "../w.pt" }\n')
    heir = write(tmp_path / "heir.toml", 'inherit = "base/base.toml"\n')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def weights(path: Path, *changes: str) -> Path:
        return Path(str(read_recipe(path, changes).backbone.weights)).resolve()

    assert weights(base) == weights(heir) == weights(Path("../heir.toml")) == tmp_path / "w.pt"
    assert weights(heir, "backbone.weights=w.pt") == tmp_path / "elsewhere/w.pt"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert weights(heir, "backbone.weights=~/w.pt") == tmp_path / "home/w.pt"
    # A folder before it makes a file of what has no suffix.
    base.write_text('backbone = { weights = "nets/w" }\n')
    assert weights(heir) == tmp_path / "base/nets/w"
    base.write_text('backbone = { weights = "IMAGENET1K_V2" }\n')
    assert str(read_recipe(heir).backbone.weights) == "IMAGENET1K_V2"
    study = write(
        tmp_path / "study.toml",
        'name = "a"\nmixes = { "full" = { "full" = 1 } }\nbudgets_hours = [3]\n'
        'dataset = { format = "scenes", root = "world.toml" }\n'
        'recipe = { backbone = { weights = "w.pt" } }\n',
    )
    found = load_study(study, ["seeds=[1]"]).recipe.backbone.weights
    assert Path(str(found)) == tmp_path / "w.pt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('inherit = "own.toml"', r"own\.toml: inherit leads back to this file: break the circle"),
        ('inherit = "big"', "no recipe 'big': there is demo, frozen, li2018-cityscapes,"),
        ("inherit = 3", r"own\.toml: inherit = 3: give text"),
        ('inherit = "absent.toml"', r"absent\.toml: cannot be read"),
        ("semantic = { step = 3 }", r"own\.toml: .*unknown setting semantic\.step"),
        ("recipe = 3", r"own\.toml: recipe is not a table"),
        ('inherit = "small"\nsemantic = 3', r"own\.toml: semantic: expected a table"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "own.toml", text)
    with pytest.raises(RecipeError, match=message):
        read_recipe(path)


def test_a_mistake_is_that_of_the_file_that_has_it(tmp_path: Path) -> None:
    write(tmp_path / "base.toml", "semantic = { steps = -1 }")
    heir = write(tmp_path / "heir.toml", 'inherit = "base.toml"\nsemantic = { steps = 1 }')
    with pytest.raises(RecipeError, match=r"base\.toml: semantic: steps must be at least 0"):
        read_recipe(heir)
    with pytest.raises(RecipeError, match=r"^recipe small with --set: semantic: steps must be at"):
        read_recipe("small", ["semantic.steps=-1"])
