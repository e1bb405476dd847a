from dataclasses import replace
from pathlib import Path

import pytest

from annotools.allocation.allocate import allocate
from annotools.allocation.plan_file import PlanSettings, write_allocation
from annotools.errors import RecipeError
from studies.study import Study, load_study
from wsps.recipe import ImageSettings

TEXT = """
name = "small"
mixes = { "cheap" = { "boxes" = 1 }, "both" = { "boxes" = 1, "full" = 3 } }
budgets_hours = [1, 2.5]

[dataset]
format = "scenes"
root = "world.toml"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(TEXT)
    return path


def test_root_starts_at_the_folder_of_the_file(path: Path) -> None:
    study = load_study(path)
    assert study.dataset.root == path.parent / "world.toml"
    assert study.budgets_hours == (1.0, 2.5)
    assert study.mixes["both"] == {"boxes": 1.0, "full": 3.0}
    assert study.seeds == (0, 1)


def test_root_on_the_command_line_starts_at_the_working_directory(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    study = load_study(path, ["dataset.root=w.toml"])
    assert study.dataset.root == tmp_path / "elsewhere" / "w.toml"


def test_changes_replace_settings_deep_inside(path: Path) -> None:
    study = load_study(path, ["recipe.tags.crop_size_wh=[5, 4]", "times=bearman2016"])
    assert study.recipe.tags.crop_size_wh == (5, 4)
    assert study.times == "bearman2016"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("dataset.max_test_images=5", "max_test_images is given and no test_split"),
        ("mixes.cheap={boxs=1}", "mixes.cheap: unknown label kind 'boxs'; use full, boxes"),
        ("budgets_hours=[]", "at least one mix, budget and seed"),
        ("budgets_hours=[1, 0]", "give hours above 0"),
        ("budgets_hours=[nan]", "give hours above 0"),
        ("mixes.full.full=-1", "give a share above 0"),
        ("ap_thresholds=lvis", "use voc or cityscapes or coco"),
        ("seed=1", "unknown setting .?seed"),
        ("recipe.descent.batch_size=0", "batch_size must be from 1 to 1024"),
    ],
)
def test_impossible_settings_are_named(path: Path, change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_study(path, [change])


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        load_study(tmp_path / "absent.toml")
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(RecipeError, match=r"broken\.toml: not valid TOML"):
        load_study(tmp_path / "broken.toml")


def change_training(study: Study) -> Study:
    return replace(study, recipe=replace(study.recipe, images=ImageSettings(max_side=99)))


def test_digest_depends_on_what_a_result_depends_on(path: Path) -> None:
    study = load_study(path)
    digest = study.digest("cheap")
    assert digest != study.digest("both")
    assert digest != change_training(study).digest("cheap")
    assert digest != replace(study, ap_thresholds="cityscapes").digest("cheap")
    more = replace(study, seeds=(0, 1, 2), budgets_hours=(9.0,), mixes={"cheap": {"boxes": 1.0}})
    assert digest == more.digest("cheap")


@pytest.mark.parametrize("name", ["demo", "nuclei"])
def test_shipped_studies_can_be_read(name: str) -> None:
    import studies

    study = load_study(Path(studies.__path__[0]) / "recipes" / f"{name}.toml")
    assert study.name == name
    assert "full" in study.mixes


def write_allocation_file(path: Path, mix: dict[str, float], budget_hours: float = 2.0) -> None:
    settings = PlanSettings(
        format="scenes", root=Path("w.toml"), split="train", mix=mix, budget_hours=budget_hours
    )
    prices: dict[int | str, dict[str, float]] = {0: dict.fromkeys(mix, 3600.0)}
    write_allocation(path, allocate(settings, prices))


def test_other_files_start_where_the_root_does(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path.write_text('order = "a.txt"\nannotator = "h.toml"\ntimes = "mine.toml"\n' + TEXT)
    study = load_study(path)
    assert study.order == str(tmp_path / "a.txt")
    assert study.annotator == tmp_path / "h.toml"
    assert study.times == str(tmp_path / "mine.toml")
    study = load_study(path, ["annotator=h.toml", "order=cheapest", "times=mine.toml"])
    assert study.order == "cheapest"
    assert study.times == str(tmp_path / "elsewhere" / "mine.toml")
    assert study.annotator == tmp_path / "elsewhere" / "h.toml"


def test_an_allocation_takes_the_place_of_mixes_and_budgets(path: Path, tmp_path: Path) -> None:
    write_allocation_file(tmp_path / "cheap plan.json", {"boxes": 2.0, "none": 1.0})
    path.write_text('allocation = "cheap plan.json"\n' + TEXT)
    rounds = ["recipe.refinement.rounds=1"]
    study = load_study(path, rounds)
    assert study.mixes == {"cheap plan": {"boxes": 2.0, "none": 1.0}}
    assert study.budgets_hours == (2.0,)
    path.write_text('name = "x"\nallocation = "cheap plan.json"\n' + TEXT[TEXT.index("[data") :])
    assert load_study(path, rounds).mixes == study.mixes
    with pytest.raises(RecipeError, match=r"alone: set recipe\.refinement\.rounds"):
        load_study(path)
    write_allocation_file(tmp_path / "cheap plan.json", {"points": 1.0})
    assert load_study(path).mixes == {"cheap plan": {"points": 1.0}}


def test_digest_depends_on_how_images_are_bought_and_drawn(path: Path, tmp_path: Path) -> None:
    study = load_study(path)
    listed, habits, plan = (tmp_path / name for name in ("list.txt", "habits.toml", "cheap.json"))

    def digests() -> list[str]:
        return [
            replace(study, **changes).digest("cheap")
            for changes in (
                {"order": str(listed)},
                {"annotator": habits},
                {"allocation": plan},
            )
        ]

    listed.write_text("1\n")
    habits.write_text("[boxes]\ncorner_shift = 0.1\n")
    write_allocation_file(plan, {"boxes": 1.0})
    before = digests()
    listed.write_text("2\n")
    habits.write_text("[boxes]\ncorner_shift = 0.2\n")
    write_allocation_file(plan, {"boxes": 1.0}, budget_hours=0.5)
    named = [
        replace(study, **changes).digest("cheap")
        for changes in ({}, {"order": "cheapest"}, {"share_by": "images"})
    ]
    assert len({*before, *digests(), *named}) == 9
