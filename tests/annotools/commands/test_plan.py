import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from annotools.allocation.plan_file import read_allocation
from annotools.cli import app
from annotools.errors import DatasetError, RecipeError, TimesError
from annotools.formats import read_dataset


@pytest.fixture
def world(tmp_path: Path) -> Path:
    path = tmp_path / "world.toml"
    path.write_text("width = 64\nheight = 64\nnum_train = 4\nnum_val = 0\n")
    return path


def plan(world: Path, *arguments: object) -> Result:
    texts = ["plan", str(world), "--format", "scenes", *(str(a) for a in arguments)]
    return CliRunner().invoke(app, texts)


def test_it_shows_what_each_budget_buys(world: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    arguments = ("--mix", "full=1", "--mix", "none=1", "--budget", 4, "--budget", 2)
    done = plan(world, *arguments, "--json", table)
    assert done.exit_code == 0, done.output
    # A full image takes 1.5 h.
    lines = [line.split() for line in done.stdout.splitlines()]
    dataset = read_dataset("scenes", world, "train")
    instances = sum(
        dataset.categories.by_id(segment.category_id).is_thing
        for image in dataset.images
        for segment in dataset.read_label(image).segments
    )
    content = json.loads(table.read_text())
    assert content["mix"] == {"full": 1.0, "none": 1.0}
    small, large = content["budgets"]
    assert (small["budget_hours"], small["spent_hours"], small["left_hours"]) == (2, 1.5, 0.5)
    assert [(k["kind"], k["images"], k["hours"]) for k in large["kinds"]] == [
        ("full", 2, 3.0),
        ("none", 2, 0.0),
    ]
    for row in content["budgets"]:
        assert sum(kind["instances"] for kind in row["kinds"]) == instances
    bought = str(small["kinds"][0]["instances"])
    assert ["2", "h", "full", "1", bought, "1.50"] in lines
    assert ["left", "over", "0.50"] in lines


def test_it_writes_one_allocation_a_budget(world: Path, tmp_path: Path) -> None:
    arguments = ("--mix", "full=1", "--budget", 2, "--budget", 4.5, "--seed", 3)
    done = plan(world, *arguments, "--out", tmp_path / "p_{budget}h.json", "--crops", "5x4")
    assert done.exit_code == 0, done.output
    small, large = (read_allocation(tmp_path / f"p_{hours}h.json") for hours in ("2", "4.5"))
    assert (small.settings.budget_hours, large.settings.budget_hours) == (2, 4.5)
    assert (small.settings.seed, small.settings.crop_size_wh) == (3, (5, 4))
    assert small.settings.root == world
    assert list(large.kind_of)[:1] == list(small.kind_of)
    assert (small.spent_hours, large.spent_hours) == (1.5, 4.5)


def test_order_and_basis_of_shares_are_followed(world: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("2\n0\n3\n")
    out = tmp_path / "p.json"
    mix = ("--mix", "boxes+tags=1", "--mix", "full=2", "--budget", 9, "--share-by", "images")
    done = plan(world, *mix, "--order", tmp_path / "list.txt", "--out", out)
    assert done.exit_code == 0, done.output
    assert list(read_allocation(out).kind_of.items()) == [
        (2, "boxes+tags"),
        (0, "full"),
        (3, "full"),
    ]


def test_a_budget_that_images_run_out_of_says_so(world: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    budgets = ("--budget", 2, "--budget", 6, "--budget", 9)
    done = plan(world, "--mix", "full=1", *budgets, "--json", table)
    # Four full images take 6 h.
    said = [line for line in done.stdout.splitlines() if "more than there is to buy" in line]
    assert said == [
        "9 h are more than there is to buy: no image is left, and 3.00 h are not spent."
    ]
    rows = json.loads(table.read_text())["budgets"]
    assert [row["ran_out"] for row in rows] == [False, False, True]


def test_a_mix_that_takes_every_image_says_which_kind_took_them(world: Path) -> None:
    # By hours both have the same, so that boxes take three images and full labels the first.
    done = plan(world, "--mix", "full=1", "--mix", "boxes=1", "--budget", 9, "--budget", 2)
    lines = [line for line in done.stdout.splitlines() if " h are " in line]
    assert [line.split(", and ")[0] for line in lines] == [
        "2 h are more than this mix can spend: no image is left (full 1, boxes 3)",
        "9 h are more than this mix can spend: no image is left (full 1, boxes 3)",
    ]
    assert all(line.endswith("; a larger share of full spends more.") for line in lines)


def test_a_budget_that_buys_nothing_says_why(world: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    order = ("--order", "most-categories", "--json", table)
    done = plan(world, "--mix", "full=1", "--mix", "none=1", "--budget", 0.3, *order)
    assert "0.3 h buy no label: the first in this order, of the kind full, takes 1.500 h." in (
        done.stdout
    )
    (row,) = json.loads(table.read_text())["budgets"]
    assert (row["ran_out"], row["next_kind"], row["next_hours"]) == (False, "full", 1.5)
    assert "buy no label" not in plan(world, "--mix", "full=1", "--budget", 1.5).stdout


def test_times_of_street_images_are_called_that(world: Path) -> None:
    said = "note: The seconds of full_image and coarse_image are those of Cityscapes street images"
    mix = ("--mix", "full=1", "--mix", "coarse=1", "--mix", "none=1", "--budget", 1)
    assert plan(world, *mix).stderr.count(said) == 1
    assert "Cityscapes" not in plan(world, "--mix", "boxes=1", "--budget", 1).stderr
    own = world.with_name("own.toml")
    own.write_text('inherit = "li2018"\n[actions.full_image]\nseconds = 600\n')
    done = plan(world, "--mix", "full=1", "--budget", 1, "--times", own)
    assert (done.exit_code, "Cityscapes" in done.stderr) == (0, False)


def test_a_plan_with_times_of_your_own_is_converted_from_anywhere(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(*arguments: object) -> Result:
        given = ("convert", world, "--format", "scenes", "--labels", tmp_path / "p.json")
        out = ("--out", tmp_path / "out")
        return CliRunner().invoke(app, [str(a) for a in (*given, *out, *arguments)])

    own, elsewhere = tmp_path / "own.toml", tmp_path / "elsewhere"
    own.write_text('inherit = "li2018"\n[actions.full_image]\nseconds = 600\n')
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    done = plan(world, "--mix", "full=1", "--budget", 0.5, "--times", own.name, "--out", "p.json")
    assert done.exit_code == 0, done.output
    assert read_allocation(tmp_path / "p.json").settings.times == str(own)
    monkeypatch.chdir(elsewhere)
    done = convert()
    assert done.exit_code == 0, done.output
    # Three images of 600 s.
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["kinds"]["full"]["hours"] == 0.5
    own.unlink()
    done = convert("--overwrite")
    assert isinstance(done.exception, TimesError)
    message = f"{tmp_path / 'p.json'} asks for these times (--times takes others): {own}: cannot be"
    assert str(done.exception).startswith(message)
    assert convert("--overwrite", "--times", "li2018").exit_code == 0


def test_files_that_would_be_replaced_are_refused(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    out, order = tmp_path / "p.json", tmp_path / "order.txt"
    order.write_text("1\n")
    for arguments, message in (
        (("--out", out, "--json", out), "is the file of --out too"),
        (("--out", tmp_path / "p{budget}.json", "--json", tmp_path / "p1.json"), "is the file of"),
        (("--order", order, "--out", order), "is a file that is read too"),
        (("--json", world), "is a file that is read too"),
    ):
        done = plan(world, "--mix", "full=1", "--budget", 1, *arguments)
        assert (done.exit_code, message in done.output) == (2, True), done.output
    assert (out.exists(), order.read_text()) == (False, "1\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--mix", "full", "--budget", 1), "write kind and share"),
        (("--mix", "full=x", "--budget", 1), "write kind and share"),
        (("--mix", "full=1", "--mix", "full=2", "--budget", 1), "has a share already"),
        (("--mix", "full=1", "--budget", "inf"), "give 0 to 1e+08 hours"),
        (("--mix", "full=1", "--budget", -1), "give 0 to 1e+08 hours"),
        (
            ("--mix", "full=1", "--budget", 1, "--budget", 2, "--out", "p.json"),
            "as plan_{budget}h.json",
        ),
    ],
)
def test_wrong_usage_is_explained(
    world: Path, arguments: tuple[object, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    done = plan(world, *arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_impossible_plans_are_refused(world: Path) -> None:
    done = plan(world, "--mix", "boxs=1", "--budget", 1)
    assert isinstance(done.exception, RecipeError)
    done = plan(world, "--mix", "boxes=1", "--budget", 1, "--split", "val")
    assert isinstance(done.exception, DatasetError)
    assert "split val has no image to buy" in str(done.exception)


def test_few_categories_are_planned_and_converted_together(world: Path, tmp_path: Path) -> None:
    out, converted = tmp_path / "p.json", tmp_path / "converted"
    done = plan(world, "--mix", "boxes=1", "--budget", 9, "--categories", "car,road", "--out", out)
    assert done.exit_code == 0, done.output
    allocation = read_allocation(out)
    dataset = read_dataset("scenes", world, "train")
    cars = {
        image.image_id: sum(s.category_id == 12 for s in dataset.read_label(image).segments)
        for image in dataset.images
    }
    assert allocation.settings.categories == "car,road"
    # A box takes 7 s; absent things are not paid for here. Other things and stuff cost nothing.
    seconds = {i: 7.0 * number for i, number in cars.items()}
    assert {i: round(s, 6) for i, s in allocation.seconds_of.items()} == seconds
    allocation.check_categories("car,road")

    arguments = ["convert", str(world), "--format", "scenes", "--labels", str(out)]
    done = CliRunner().invoke(app, [*arguments, "--out", str(converted)])
    assert done.exit_code == 0, done.output
    boxes = json.loads((converted / "boxes.json").read_text())
    assert [c["name"] for c in boxes["categories"]] == ["car"]
    assert len(boxes["annotations"]) == sum(cars.values()) > 0
    refused = [*arguments, "--categories", "car", "--out", str(tmp_path / "other")]
    done = CliRunner().invoke(app, refused)
    assert isinstance(done.exception, RecipeError)
    assert "for the categories car,road, not for car: use" in str(done.exception)
    assert not (tmp_path / "other").exists()
