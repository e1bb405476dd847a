"""What is wrong with a study is told before anything runs, by the command that would run it."""

import io
import json
import pickle
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from typer.testing import CliRunner

import studies
import studies.cli
from annotools.errors import AnnotationError, RecipeError, TimesError
from studies.running import runner
from studies.running.planning import plan_trials
from studies.study import load_study
from studies.validate import check_budgets, check_study
from tests.real_data import real_data
from tests.studies.study_builders import make_study
from wsps.recipe import BackboneSettings

HERE = Path("study.toml")


def not_weights() -> dict[str, bytes]:
    """Files of all kinds that are no weights, by name."""
    image, archive = io.BytesIO(), io.BytesIO()
    PillowImage.fromarray(np.zeros((4, 4, 3), np.uint8)).save(image, "PNG")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "a")
    saved: dict[str, object] = {
        "list.pt": [1, 2],
        "numbers.pt": {"a": 1},
        "tensor.pt": torch.zeros(2),
        "path.pt": HERE,
        "empty.pt": {},
    }
    files = {
        "nothing.pt": b"",
        "text.pth": b"weights of a network\n",
        "table.pt": json.dumps({"a": 1}).encode(),
        "photo.pt": image.getvalue(),
        "archive.pt": archive.getvalue(),
        "pickle.pt": pickle.dumps({"a": 1}),
        "bytes.pt": bytes(range(256)) * 40,
        "text.safetensors": b"weights of a network\n",
    }
    for name, content in saved.items():
        buffer = io.BytesIO()
        torch.save(content, buffer)
        files[name] = buffer.getvalue()
    return files


def test_any_file_that_is_no_weights_gives_one_line(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    for name, content in {**not_weights(), "folder.pt": None}.items():
        path = tmp_path / name
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
        backbone = BackboneSettings(name="resnet18", weights=str(path))
        other = replace(study, recipe=replace(study.recipe, backbone=backbone))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with pytest.raises(RecipeError) as told:
                check_study(other, HERE)
        assert not warned
        message = str(told.value)
        assert message.startswith(f"study.toml: recipe: {path}: "), message
        assert "\n" not in message
        assert "Traceback" not in message


@pytest.mark.parametrize(
    ("backbone", "reason"),
    [
        (BackboneSettings(), "the backbone has no stage for an auxiliary loss"),
        (BackboneSettings(name="resnet18", frozen=True), "a frozen backbone learns nothing"),
    ],
)
def test_an_auxiliary_loss_without_a_place_is_told_before_anything_runs(
    tmp_path: Path, backbone: BackboneSettings, reason: str
) -> None:
    study = make_study(tmp_path)
    semantic = replace(study.recipe.semantic, auxiliary_weight=0.4)
    other = replace(study, recipe=replace(study.recipe, backbone=backbone, semantic=semantic))
    with pytest.raises(RecipeError, match=f"^study.toml: recipe: semantic.aux.*{reason}"):
        check_study(other, HERE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"student": "fcn"}, "study.toml: student: unknown student 'fcn': use li2018"),
        ({"annotator": "gone.toml"}, "study.toml: annotator: gone.toml: cannot be read"),
        ({"annotator": "habits.toml"}, "annotator: habits.toml: unknown setting boxes.shift"),
        ({"times": "gone.toml"}, "study.toml: times: gone.toml: cannot be read"),
        ({"times": "li2019"}, "study.toml: times: no preset of annotation times 'li2019'"),
        ({"times": "habits.toml"}, "study.toml: times: habits.toml: unknown setting boxes"),
        (
            {"mixes": {"clicks": {"points": 1}, "boxes": {"boxes": 1}}},
            "study.toml: mixes.clicks: points has no price: annotation times 'li2018' lack the "
            "action 'point_first': add a table [actions.point_first], or take times = "
            "'bearman2016'",
        ),
        (
            {"mixes": {"clicks": {"points": 1, "full": 1}}},
            "add a table [actions.point_first]",
        ),
    ],
)
def test_each_setting_is_named_with_its_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("habits.toml").write_text("[boxes]\nshift = 1\n")
    with pytest.raises(AnnotationError) as told:
        check_study(make_study(tmp_path, **changes), HERE)  # type: ignore[arg-type]
    assert message in str(told.value)


def test_a_kind_without_a_price_is_told_before_a_label_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a label was read")

    monkeypatch.setattr("annotools.allocation.buy_images.measure_images", fail)
    study = make_study(tmp_path, mixes={"clicks": {"points": 1}})
    with pytest.raises(TimesError, match="lack the action 'point_first'"):
        plan_trials(study, tmp_path / "run")


def test_a_right_study_is_let_through(tmp_path: Path) -> None:
    check_study(make_study(tmp_path), HERE)


def test_budgets_that_a_mix_cannot_use_are_told_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four full images take 6 h, and their boxes far less than one."""
    study = make_study(
        tmp_path, mixes={"full": {"full": 1}, "boxes": {"boxes": 1}}, budgets_hours=[3, 6]
    )
    check_budgets(study, plan_trials(study, tmp_path / "run"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for line, hours in zip(lines, ("3", "6"), strict=True):
        assert line.startswith(
            f'note: budgets_hours: {hours} h are more than "boxes" can use: all 4 images take 0.0'
        )
        assert line.endswith(" h, and the rest is not spent")


def test_a_budget_that_no_mix_can_use_is_an_error(tmp_path: Path) -> None:
    study = make_study(
        tmp_path, mixes={"full": {"full": 1}, "boxes": {"boxes": 1}}, budgets_hours=[3, 9]
    )
    message = (
        "study 'small': budgets_hours: 9 h are more than any mix can use: all 4 images take at "
        "most 6 h \\(full\\): lower it"
    )
    with pytest.raises(RecipeError, match=message):
        runner.run_study(study, tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()
    one = replace(study, dataset=replace(study.dataset, max_train_images=1), budgets_hours=(2.0,))
    with pytest.raises(RecipeError, match=r"any mix can use: the one image takes at most 1\.5 h"):
        check_budgets(one, plan_trials(one, tmp_path / "run"))


def test_a_tenth_that_is_left_is_no_matter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(tmp_path, mixes={"full": {"full": 1}}, budgets_hours=[6.5])
    check_budgets(study, plan_trials(study, tmp_path / "run"))
    assert capsys.readouterr().err == ""


def test_a_budget_that_buys_images_with_nothing_to_label_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(tmp_path, mixes={"full": {"full": 1}}, budgets_hours=[3])
    free = [replace(trial, spent_hours=0.0) for trial in plan_trials(study, tmp_path / "run")]
    check_budgets(study, free[:1])
    assert capsys.readouterr().err == (
        'note: budgets_hours: with 3 h and seed 0 "full" buys images that hold nothing to label, '
        "and spends nothing\n"
    )


def test_images_without_a_label_do_not_use_a_budget(tmp_path: Path) -> None:
    """By hours the kind `none` takes all images that are left, at any budget."""
    study = make_study(tmp_path, mixes={"m": {"full": 1, "none": 1}}, budgets_hours=[3])
    check_budgets(study, plan_trials(study, tmp_path / "run"))


def test_the_command_tells_the_file_before_it_makes_a_folder(tmp_path: Path) -> None:
    make_study(tmp_path)
    path = tmp_path / "study.toml"
    path.write_text(
        'name = "x"\nmixes = { full = { full = 1 } }\nbudgets_hours = [3]\n'
        '[dataset]\nformat = "scenes"\nroot = "world.toml"\nval_split = "train"\n'
    )
    out = tmp_path / "run"
    done = CliRunner().invoke(studies.cli.app, ["study", "run", str(path), "--out", str(out)])
    assert str(done.exception).startswith(f"{path}: dataset: the split 'train' is both bought and")
    assert not out.exists()


def test_the_shipped_study_of_nuclei_buys_images_in_each_trial(tmp_path: Path) -> None:
    root = real_data("nuclei")
    path = Path(studies.__path__[0]) / "recipes" / "nuclei.toml"
    study = load_study(path)
    study = replace(study, dataset=replace(study.dataset, root=root))
    check_study(study, path)
    trials = plan_trials(study, tmp_path)
    assert len(trials) == len(study.mixes) * len(study.budgets_hours) * len(study.seeds)
    check_budgets(study, trials)
    assert all(trial.spent_hours > 0 for trial in trials)
