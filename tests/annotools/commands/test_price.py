import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from annotools.cli import app
from annotools.errors import DatasetError
from tests.annotools.commands.price_runs import TRAIN, TRAINVAL, price_rows, run_price, write_coco
from tests.real_data import real_data

ALL = "boxes+tags, all questions"


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


def test_seconds_of_an_action_that_the_table_lacks(tmp_path: Path) -> None:
    dataset = write_coco(tmp_path)
    seconds = ("--seconds", "coarse_instance=15", "--seconds", "vertex=2")
    rows = price_rows(tmp_path, *dataset, *seconds)
    # A thing in each image; 8 and 4 corners.
    assert rows["coarse"]["seconds_per_image"] == 15
    assert rows["full by vertex"]["seconds_per_image"] == 12
    assert rows["coarse"]["hours_interval"]["low"] == pytest.approx(30 / 3600)


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


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    out = tmp_path / "prices.png"
    assert str(out) in run_price(*TRAIN, "--picture", str(out)).replace("\n", "")
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_street_of_cityscapes_has_fifteen_crops(tmp_path: Path) -> None:
    root = str(real_data("cityscapes"))
    rows = price_rows(tmp_path, root, "--format", "cityscapes")
    number = rows["full"]["actions"]["full_image"]
    questions = rows["tags of stuff, all questions"]["actions"]
    assert questions["tag"] + questions["tag_question"] == pytest.approx(15 * 11 * number)
