import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from annotools.cli import app
from annotools.errors import DatasetError, RecipeError, TimesError
from tests.real_data import real_data

TRAIN, TRAINVAL = ("--statistics", "cityscapes-train"), ("--statistics", "cityscapes-trainval")
ALL = "boxes+tags, all questions"


@pytest.fixture
def world(tmp_path: Path) -> Path:
    path = tmp_path / "world.toml"
    path.write_text("width = 64\nheight = 64\nnum_train = 3\nnum_val = 1\n")
    return path


def run_price(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["price", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def price_rows(folder: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    out = folder / "prices.json"
    run_price(*arguments, "--json", str(out))
    return {row["name"]: row for row in json.loads(out.read_text())["kinds"]}


def test_an_image_of_the_paper_as_printed() -> None:
    lines = run_price(*TRAIN).splitlines()
    (line,) = [line for line in lines if line.strip().startswith("boxes+tags  ")]
    assert line.split()[:4] == ["boxes+tags", "182.3", "3.04", "150.7"]
    assert " 29.62x (" in line
    assert " 3.376 (" in line
    (line,) = [line for line in lines if line.strip().startswith("full  ")]
    # Full labels are as dear as full labels, whatever the times.
    assert line.split()[-2:] == ["1.000x", "100.0"]


@pytest.mark.parametrize(
    ("arguments", "hours"),
    [
        (TRAIN, (103.5, 47.1, 150.7, 4462.5)),
        (TRAINVAL, (120.9, 55.0, 176.0, 5212.5)),
        ((*TRAIN, "--coarse-images", "19998"), (799.6, 363.7, 1163.3, 6795.6)),
    ],
)
def test_hours_of_the_paper(
    tmp_path: Path, arguments: tuple[str, ...], hours: tuple[float, ...]
) -> None:
    rows = price_rows(tmp_path, *arguments)
    kinds = ("boxes", "tags of stuff", "boxes+tags", "full")
    assert [rows[kind]["hours"] for kind in kinds] == pytest.approx(hours, abs=0.05)
    printed = run_price(*arguments)
    assert all(f" {value:,.1f} " in printed for value in hours if value > 100)


@pytest.mark.parametrize(
    ("arguments", "name", "seconds", "full_is_times", "percent"),
    [
        ((), "boxes+tags", 182.3, 29.62, 3.376),
        (("--coarse-images", "19998"), "boxes+tags", 182.3, 5.84, 17.12),
        ((), ALL, 290.3, 18.60, 5.376),
        (("--seconds", "box=35"), "boxes+tags", 683.5, 7.90, 12.657),
        (("--seconds", "box=42"), ALL, 916.8, 5.89, 16.978),
    ],
)
def test_the_headline_and_its_caveats(
    tmp_path: Path,
    arguments: tuple[str, ...],
    name: str,
    seconds: float,
    full_is_times: float,
    percent: float,
) -> None:
    row = price_rows(tmp_path, *TRAIN, *arguments)[name]
    assert row["seconds_per_image"] == pytest.approx(seconds, abs=1e-9)
    assert row["full_is_times"] == pytest.approx(full_is_times, abs=0.005)
    assert 100 * row["ratio_to_full"] == pytest.approx(percent, abs=0.005)
    interval = row["full_is_times_interval"]
    assert interval["low"] < interval["median"] < interval["high"]


def test_pascal_voc_in_the_accounting_of_bearman(tmp_path: Path) -> None:
    rows = price_rows(tmp_path, "--statistics", "voc", "--times", "bearman2016")
    assert {name: round(row["seconds_per_image"] + 1e-9, 1) for name, row in rows.items() if
            row["hours"] is not None} == {
        "full": 239.7,
        "boxes": 38.1,
        "tags": 20.0,
        "boxes+tags": 38.1,
        "points": 23.3,
        "one point a class": 22.1,
        "scribbles": 34.9,
    }  # fmt: skip
    assert 100 * rows["boxes"]["ratio_to_full"] == pytest.approx(15.9, abs=0.05)
    assert rows["coarse"]["hours_interval"] is None


def test_a_kind_without_a_price_is_a_dash() -> None:
    printed = run_price(*TRAIN, "--kinds", "scribbles", "--kinds", "full")
    (line,) = [line for line in printed.splitlines() if line.strip().startswith("scribbles")]
    assert line.split() == ["scribbles", *["–"] * 5]
    assert "no price, because" in printed


def test_without_a_price_of_full_labels_there_is_no_ratio() -> None:
    printed = run_price(*TRAIN, "--times", "sam-assisted", "--kinds", "boxes")
    (line,) = [line for line in printed.splitlines() if line.strip().startswith("boxes")]
    assert line.split() == ["boxes", "125.3", "2.09", "103.5", "(88.9–515)", "–", "–"]
    assert "hangs on" not in printed


def test_mixed_quality_control_is_said_in_words(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('inherit = "li2018"\n[actions.box]\nseconds = 35\nquality_control = true\n')
    mixed = "These times mix"
    kinds = ("--kinds", "full", "--kinds", "boxes")
    assert f"{mixed} box without quality control with full_image that" in run_price(*TRAIN, *kinds)
    assert mixed not in run_price(*TRAIN, "--times", "like-for-like")
    assert mixed not in run_price(*TRAIN, *kinds, "--times", str(own))
    assert mixed in run_price(*TRAIN, "--times", str(own))


def test_notes_and_sources_are_said() -> None:
    printed = run_price("--statistics", "voc", "--times", "sam-assisted")
    assert "masks that SAM itself was" in printed
    assert "Kirillov et al. 2023, SA-1B" in printed
    assert "remembered, not confirmed" in run_price(
        "--statistics", "voc", "--times", "bearman2016", "--kinds", "points"
    )


def test_the_saving_is_explained_with_its_spread() -> None:
    printed = run_price(*TRAIN)
    assert "boxes+tags: full labels cost 29.62 times as much at the times as they are." in printed
    assert "share of spread" in printed
    certain = [f"--seconds={action}" for action in ("box=7", "tag=1", "full_image=5400")]
    assert "90 % lie between 29.6 and 29.6." in run_price(*TRAIN, *certain)


def test_break_evens_of_the_saving_or_of_all_pairs() -> None:
    few, many = run_price(*TRAIN), run_price(*TRAIN, "--break-even")
    assert "full = boxes+tags  " in few
    assert " 298.5 " in few
    assert "boxes = coarse" not in few
    assert "boxes = coarse" in many
    none = run_price("--statistics", "voc", "--times", "bearman2016", "--break-even")
    (line,) = [
        line
        for line in none.splitlines()
        if line.startswith(" tags = points ") and "point_further" in line
    ]
    assert line.split()[-2:] == ["0.9", "–"]


def test_full_labels_alone_have_no_saving() -> None:
    printed = run_price(*TRAIN, "--kinds", "full")
    assert "hangs on" not in printed
    assert "costs the same" not in printed
    assert "5,400.0" in printed


def test_the_saving_of_the_first_kind_where_none_has_boxes() -> None:
    printed = run_price(*TRAIN, "--kinds", "coarse")
    assert "coarse: full labels cost 12.86 times" in printed


def test_the_same_seed_gives_the_same_table() -> None:
    first, again, other = (run_price(*TRAIN, "--seed", seed) for seed in ("1", "1", "2"))
    assert first == again
    assert first != other


def test_price_of_a_dataset(world: Path, tmp_path: Path) -> None:
    rows = price_rows(
        tmp_path, str(world), "--format", "scenes", "--crops", "48x40", "--max-images", "2"
    )
    assert rows["full"]["hours"] == 3.0
    assert rows["boxes+tags"]["hours"] == pytest.approx(
        rows["boxes"]["hours"] + rows["tags of stuff"]["hours"]
    )
    assert rows["tags of stuff"]["hours"] < rows["tags"]["hours"]
    assert rows["tags"]["hours"] < rows["tags, all questions"]["hours"]
    assert rows["points"]["hours"] is None


VERTEX = """\
inherit = "li2018"
[actions.vertex]
seconds = 2
low = 1
high = 4
unit = "corner"
source = "us"
measured = true
quality_control = false
"""


def write_coco(root: Path, crowd: bool = False) -> tuple[str, ...]:
    """8 corners in two parts in one image, 4 corners in the other, and there maybe a crowd."""
    masks: list[tuple[int, Any]] = [
        (1, [[1, 1, 3, 1, 3, 3], [4, 0, 5, 0, 6, 1, 5, 2, 4, 2]]),
        (2, [[1, 1, 3, 1, 3, 3, 1, 3]]),
    ]
    masks += [(2, {"size": [5, 6], "counts": [0, 2, 28]})] * crowd
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 6, "height": 5} for i in (1, 2)],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [
            {"image_id": i, "category_id": 3, "segmentation": x, "iscrowd": int(type(x) is dict)}
            for i, x in masks
        ],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_val.json").write_text(json.dumps(content))
    return (str(root), "--format", "coco-instances", "--split", "val")


@pytest.fixture
def vertex_times(tmp_path: Path) -> str:
    path = tmp_path / "vertex.toml"
    path.write_text(VERTEX)
    return str(path)


def test_full_labels_by_vertex_with_a_time_of_your_own(tmp_path: Path, vertex_times: str) -> None:
    dataset, out = write_coco(tmp_path), tmp_path / "prices.json"
    printed = run_price(*dataset, "--times", vertex_times, "--break-even", "--json", str(out))
    table = json.loads(out.read_text())
    # 8 and 4 corners at 2 s; a mask in each image at 79.2 s.
    row = next(row for row in table["kinds"] if row["kind"] == "full by vertex")
    assert (row["actions"], row["seconds_per_image"]) == ({"vertex": 12}, 12)
    assert row["ratio_to_full"] == pytest.approx(12 / 79.2)
    assert row["hours_interval"]["low"] == pytest.approx(12 / 3600, rel=0.05)
    assert row["hours_interval"]["high"] == pytest.approx(48 / 3600, rel=0.05)
    assert (table["vertices_per_image"], table["images_with_vertices"]) == (6, 2)
    assert "Polygons have 6.0 vertices an image." in printed
    assert " vertex: 2 s (1 to 4) for one corner, measured, without" in printed
    (even,) = (
        row["seconds"]
        for row in table["break_even"]
        if (row["first"], row["second"], row["action"]) == ("full", "full by vertex", "vertex")
    )
    assert even == pytest.approx(79.2 / 6)
    kinds = ("--kinds", "full by vertex", "--kinds", "full")
    saving = run_price(*dataset, "--times", vertex_times, *kinds)
    assert "full by vertex: full labels cost 6.6 times as much" in saving
    assert "1 to 4  13.20x to 3.300x" in saving


def test_a_coarse_street_image_prices_no_outlines_of_things(tmp_path: Path) -> None:
    dataset, own = write_coco(tmp_path), tmp_path / "own.toml"
    kinds = ("--kinds", "full", "--kinds", "coarse")
    printed = run_price(*dataset, *kinds)
    assert dashes_of("coarse", printed) == ["–"] * 5
    assert (
        "– coarse: no price, because times li2018 have no coarse_instance: the 420 s of "
        "coarse_image are for one image with things and stuff (Cityscapes street images), and this "
        "dataset has no labelled stuff; add a table [actions.coarse_instance] of your own.\n"
    ) in printed
    assert "The seconds of" not in printed
    own.write_text(VERTEX.replace("vertex", "coarse_instance"))
    rows = price_rows(tmp_path, *dataset, *kinds, "--times", str(own))
    # Two images with an object each, 2 s for its outline and 79.2 s for its mask.
    assert (rows["coarse"]["actions"], rows["coarse"]["hours"]) == (
        {"coarse_instance": 2},
        4 / 3600,
    )
    assert rows["coarse"]["ratio_to_full"] == pytest.approx(2 / 79.2)


def test_times_of_street_images_are_called_that(world: Path) -> None:
    printed = run_price(str(world), "--format", "scenes", "--kinds", "full", "--kinds", "coarse")
    assert "The seconds of full_image and coarse_image are those of Cityscapes street" in printed
    own = run_price(*TRAIN, "--kinds", "full", "--seconds", "full_image=600")
    assert "Cityscapes street images" not in own


def test_a_coarse_street_does_not_go_with_your_own_full_image(tmp_path: Path) -> None:
    kinds = ("--kinds", "full", "--kinds", "coarse")
    printed = run_price(*TRAIN, *kinds, "--seconds", "full_image=300")
    assert dashes_of("coarse", printed) == ["–"] * 5
    assert (
        "– coarse: no price, because coarse_image is of Cityscapes street images, and full_image "
        "is not: give your own.\n"
    ) in printed
    own = tmp_path / "own.toml"
    own.write_text('inherit = "li2018"\n[actions.full_image]\nseconds = 300\n')
    rows = price_rows(tmp_path, *TRAIN, *kinds, "--times", str(own))
    assert (rows["full"]["seconds_per_image"], rows["coarse"]["hours"]) == (300, None)
    own.write_text(f"{own.read_text()}[actions.coarse_image]\nseconds = 60\n")
    rows = price_rows(tmp_path, *TRAIN, *kinds, "--times", str(own))
    assert rows["coarse"]["ratio_to_full"] == 0.2


def test_a_coarse_label_that_is_dearer_than_a_full_one_says_so() -> None:
    kinds = ("--kinds", "full", "--kinds", "coarse")
    said = "coarse: dearer than full labels, 140 % of them"
    own = ("--seconds", "full_image=300", "--seconds")
    assert said in run_price(*TRAIN, *kinds, *own, "coarse_image=420")
    assert "dearer" not in run_price(*TRAIN, *kinds, *own, "coarse_image=300")


def test_seconds_of_an_action_that_the_table_lacks(tmp_path: Path) -> None:
    dataset = write_coco(tmp_path)
    seconds = ("--seconds", "coarse_instance=15", "--seconds", "vertex=2")
    rows = price_rows(tmp_path, *dataset, *seconds)
    # A thing in each image; 8 and 4 corners.
    assert rows["coarse"]["seconds_per_image"] == 15
    assert rows["full by vertex"]["seconds_per_image"] == 12
    assert rows["coarse"]["hours_interval"]["low"] == pytest.approx(30 / 3600)


def test_without_a_time_of_a_vertex_only_their_number_is_said(tmp_path: Path) -> None:
    dataset = write_coco(tmp_path)
    printed = run_price(*dataset)
    assert "full by vertex" not in printed
    assert "Polygons have 6.0 vertices an image. No preset has a time of a vertex" in printed
    asked = run_price(*dataset, "--kinds", "full by vertex")
    assert dashes_of("full by vertex", asked) == ["–"] * 5
    assert "vertices" not in run_price(*TRAIN)


def test_a_crowd_leaves_its_image_out_of_the_mean(tmp_path: Path, vertex_times: str) -> None:
    dataset, out = write_coco(tmp_path, crowd=True), tmp_path / "prices.json"
    printed = run_price(*dataset, "--times", vertex_times, "--json", str(out))
    table = json.loads(out.read_text())
    assert (table["vertices_per_image"], table["images_with_vertices"]) == (8, 1)
    assert "Polygons have 8.0 vertices an image, the mean of the 1 of 2 images where" in printed
    row = next(row for row in table["kinds"] if row["kind"] == "full by vertex")
    assert (row["actions"], row["seconds_per_image"]) == ({"vertex": 16}, 16)


def test_vertices_that_nobody_knows_are_a_dash_with_the_reason(
    world: Path, tmp_path: Path, vertex_times: str
) -> None:
    for source in ((str(world), "--format", "scenes"), TRAIN):
        printed = run_price(*source, "--times", vertex_times)
        assert dashes_of("full by vertex", printed) == ["–"] * 5
        assert "full by vertex: the vertices are not known." in printed
    own = tmp_path / "own.toml"
    own.write_text(
        'name = "own"\nsource = "us"\nnum_images = 3600\nnum_thing_classes = 1\n'
        "num_stuff_classes = 1\ncrops = 1\nthings_per_image = 2\nvertices_per_image = 50\n"
    )
    rows = price_rows(tmp_path, "--statistics", str(own), "--times", vertex_times)
    assert rows["full by vertex"]["hours"] == 100


def test_images_without_a_file_are_left_out_if_allowed(tmp_path: Path) -> None:
    dataset = write_coco(tmp_path)
    (tmp_path / "val").mkdir()
    photo = np.zeros((5, 6, 3), dtype=np.uint8)
    assert cv2.imwrite(str(tmp_path / "val" / "1.png"), photo)
    done = CliRunner().invoke(app, ["price", *dataset])
    assert isinstance(done.exception, DatasetError)
    out = tmp_path / "prices.json"
    printed = run_price(*dataset, "--allow-missing", "--json", str(out))
    (drop,) = json.loads(out.read_text())["drops"]
    assert (drop["kind"], drop["count"], len(drop["places"])) == ("images", 1, 1)
    run_price(*TRAIN, "--json", str(out))
    assert json.loads(out.read_text())["drops"] == []
    assert printed.startswith("1 image of coco-instances, val (1 left out); times li2018")


def test_what_a_price_would_need_is_named(tmp_path: Path) -> None:
    printed = run_price(*TRAIN, "--kinds", "points", "--kinds", "tags", "--kinds", "boxes")
    assert (
        "– points: no price, because times li2018 have no point_first, point_further; "
        "the statistics have no thing_classes_present, stuff_classes_present."
    ) in printed
    assert "– tags: no price, because the statistics have no thing_tags_per_crop." in printed
    assert "– boxes" not in printed
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\nnote = ""\n[actions]\n')
    printed = run_price(*TRAIN, "--times", str(own))
    assert "– full: no price, because times own have no full_image.\n" in printed
    assert "– boxes+tags: no price, because times own have no box, tag.\n" in printed


def dashes_of(kind: str, printed: str) -> list[str]:
    (line,) = [line for line in printed.splitlines() if line.strip().startswith(f"{kind}  ")]
    return line.strip().removeprefix(kind).split()


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    out = tmp_path / "prices.png"
    assert str(out) in run_price(*TRAIN, "--picture", str(out)).replace("\n", "")
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["DATA"],
        ["--format", "voc"],
        [*TRAIN, "--format", "voc"],
        [*TRAIN, "--max-images", "2"],
        [*TRAIN, "--crops", "4x4"],
        [*TRAIN, "--allow-missing"],
        [*TRAIN, "--seconds", "box"],
        [*TRAIN, "--seconds", "box=fast"],
    ],
)
def test_wrong_use(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["price", *arguments]).exit_code == 2


def test_files_that_would_be_replaced_are_refused(
    tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    own, same = tmp_path / "own.toml", tmp_path / "same.png"
    own.write_text('inherit = "li2018"\n')
    dataset = write_coco(tmp_path)
    labels = tmp_path / "annotations" / "." / "instances_val.json"
    scenes = (str(world), "--format", "scenes")
    for arguments, message in (
        ((*TRAIN, "--picture", tmp_path / "x.txt"), "pictures are PNG: give a name in .png"),
        ((*TRAIN, "--picture", same, "--json", same), "is the file of --json too"),
        ((*TRAIN, "--times", own, "--json", own), "is a file that is read too"),
        ((*scenes, "--json", world), "is a file that is read too"),
        ((*dataset, "--json", labels), "is a file in "),
    ):
        done = CliRunner().invoke(app, ["price", *map(str, arguments)])
        assert (done.exit_code, message in done.output) == (2, True), done.output
    assert not same.exists()
    assert json.loads(labels.read_text())["categories"] == [{"id": 3, "name": "car"}]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--seconds", "click=1"], TimesError, "no action 'click'"),
        (["--times", "lee"], TimesError, "'lee'"),
        (["--kinds", "masks"], RecipeError, "unknown label kind 'masks': use full, full by v"),
    ],
)
def test_wrong_input_is_named(arguments: list[str], error: type, message: str) -> None:
    done = CliRunner().invoke(app, ["price", *TRAIN, *arguments])
    assert isinstance(done.exception, error)
    assert message in str(done.exception)


def test_a_street_of_cityscapes_has_fifteen_crops(tmp_path: Path) -> None:
    root = str(real_data("cityscapes"))
    rows = price_rows(tmp_path, root, "--format", "cityscapes")
    number = rows["full"]["actions"]["full_image"]
    questions = rows["tags of stuff, all questions"]["actions"]
    assert questions["tag"] + questions["tag_question"] == pytest.approx(15 * 11 * number)
