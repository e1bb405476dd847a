import json

import pytest
from typer.testing import CliRunner

from annotools.errors import DatasetError
from tests.builders import make_categories, make_label
from tests.wsps.panoptic_files import write_panoptic
from wsps.cli import app

CATEGORIES = make_categories()
ROAD, SKY, CAR = 10, 20, 30


@pytest.fixture
def files(tmp_path):
    truth = make_label([[1, 1, 1, 2, 2, 2], [3, 3, 3, 3, 0, 0]], {1: CAR, 2: CAR, 3: ROAD})
    found = make_label([[5, 5, 6, 6, 6, 0], [7, 7, 7, 0, 0, 0]], {5: CAR, 6: CAR, 7: ROAD})
    write_panoptic(tmp_path / "truth.json", [truth], CATEGORIES)
    write_panoptic(tmp_path / "plain.json", [found], None)
    scores = {1: {5: 0.5, 6: 0.25, 7: 1.0}}
    write_panoptic(tmp_path / "scored.json", [found], None, scores)
    return tmp_path


def run(folder, prediction, *options):
    arguments = ["--prediction", folder / prediction, "--truth", folder / "truth.json", *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_table_by_hand(files):
    result = run(files, "plain.json")
    lines = [line.split() for line in result.stdout.splitlines()]
    # Car 5 has IoU 2/3, car 6 has 2/4: one match, one too many, one missed. Road has 3/4.
    assert ["road", "stuff", "75.0", "75.0", "100.0", "75.0", "1", "0", "0"] in lines
    assert ["sky", "stuff", "–", "–", "–", "–", "0", "0", "0"] in lines
    assert ["car", "thing", "33.3", "66.7", "50.0", "83.3", "1", "1", "1"] in lines
    assert ["all", "mean", "54.2", "70.8", "75.0", "79.2", "2", "1", "1"] in lines
    assert "differ in the PQ of 0 classes" in result.stdout
    assert "No AP: not every predicted segment has a score" in result.stdout


def test_json_has_the_rows_and_null_where_undefined(files):
    run(files, "scored.json", "--thresholds", "voc", "--json", files / "scores.json")
    content = json.loads((files / "scores.json").read_text())
    assert (content["images"], content["metrics"]) == (1, ["pq", "ap", "miou"])
    rows = {row["name"]: row for row in content["rows"]}
    assert rows["sky"]["pq"] is None
    # Both cars count to 0.5, the better one to 0.6; none from 0.7 on.
    assert rows["car"]["ap_vol"] == pytest.approx((5 * 1 + 1 * 0.5) / 9)
    assert rows["road"]["ap_vol"] == pytest.approx(7 / 9)
    assert "NaN" not in (files / "scores.json").read_text()


def test_csv_and_chosen_metrics(files):
    run(files, "plain.json", "--metrics", "miou", "--csv", files / "scores.csv")
    lines = (files / "scores.csv").read_text().splitlines()
    assert lines[:3] == ["name,kind,iou", "road,stuff,0.75", "sky,stuff,"]


def test_ap_without_scores_is_refused_and_the_oracle_needs_none(files):
    error = run(files, "plain.json", "--metrics", "ap").exception
    assert isinstance(error, DatasetError)
    assert "segment 7 of the prediction has no score" in str(error)
    assert run(files, "plain.json", "--metrics", "ap", "--rank", "oracle").exit_code == 0


def test_a_comparison_has_differences_with_intervals(files):
    result = run(
        files,
        "plain.json",
        *("--compare", files / "truth.json", "--bootstrap", "10", "--json", files / "out.json"),
    )
    assert "Second prediction minus first" in result.stdout
    rows = {r["name"]: r for r in json.loads((files / "out.json").read_text())["differences"]}
    assert rows["road"]["pq"] == 0.25
    assert rows["road"]["intervals"]["pq"] == [0.25, 0.25]


@pytest.mark.parametrize(
    "options",
    [
        ("--crowds", "x"),
        ("--thresholds", "x"),
        ("--rank", "x"),
        ("--metrics", "x"),
        ("--format", "x"),
    ],
)
def test_unknown_choices_are_usage_errors(files, options):
    result = run(files, "plain.json", *options)
    assert result.exit_code == 2
    assert "choose" in result.output


@pytest.mark.parametrize(
    "option", [("--metrics", "pq"), ("--metrics", "miou"), ("--rank", "oracle")]
)
def test_instance_results_have_average_precision_alone(files, option):
    result = run(files, "plain.json", "--format", "coco-instances", *option)
    assert result.exit_code == 2
    assert "AP by detection score is all there is" in " ".join(result.output.split())
