import json

import pytest
from typer.testing import CliRunner

from annotools.errors import DatasetError
from tests.builders import make_categories, make_label
from tests.wsps.panoptic_files import write_panoptic
from tests.wsps.scoring.instance_sets import CAT, DOG, compress, entry, rectangle, truth_file
from wsps.commands.evaluate import app

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
    assert "differ in 0 scores (PQ, SQ, DQ of classes and means), by" in result.stdout
    assert "1 image, in percent" in result.stdout
    assert "No AP: not every predicted thing has a score (stuff needs none)" in result.stdout
    assert result.stderr == ""


def test_a_name_with_brackets_is_shown_as_it_is(files):
    content = json.loads((files / "truth.json").read_text())
    content["categories"][0]["name"] = "road [bold]"
    (files / "truth.json").write_text(json.dumps(content))
    assert "road [bold]   stuff" in run(files, "plain.json").stdout


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


def test_average_precision_at_any_thresholds(files):
    options = ("--thresholds", "0.5,0.75", "--json", files / "scores.json")
    result = run(files, "scored.json", *options, "--csv", files / "scores.csv")
    assert "AP_vol   AP 0.5   AP 0.75" in result.stdout
    # Both cars count at 0.5 and none at 0.75; the road, with IoU 3/4, at both.
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["car", "thing", "33.3", "66.7", "50.0", "50.0", "100.0", "0.0"] in [
        x[:8] for x in lines
    ]
    content = json.loads((files / "scores.json").read_text())
    assert content["thresholds"] == [0.5, 0.75]
    rows = {row["name"]: row for row in content["rows"]}
    assert (rows["road"]["ap_0.5"], rows["road"]["ap_0.75"], rows["car"]["ap_0.75"]) == (1, 1, 0)
    assert rows["all"]["ap_0.75"] == 0.5
    heads = (files / "scores.csv").read_text().splitlines()[0].split(",")
    assert heads[5:8] == ["ap_vol", "ap_0.5", "ap_0.75"]


def test_of_a_named_list_the_files_have_average_precision_at_each(files):
    options = ("--json", files / "scores.json", "--bootstrap", "5")
    result = run(files, "scored.json", *options, "--metrics", "ap")
    assert "AP_vol" in result.stdout
    assert "AP 0.5" not in result.stdout
    car = json.loads((files / "scores.json").read_text())["rows"][2]
    assert [car[f"ap_{t}"] for t in (0.5, 0.55, 0.7, 0.95)] == [1, 0.5, 0, 0]
    assert car["intervals"]["ap_0.55"] == [0.5, 0.5]


@pytest.mark.parametrize("text", ["x", "", "0", "1.5", "nan", "0.5,0.5", "0.5,voc"])
def test_other_thresholds_are_usage_errors(files, text):
    result = run(files, "scored.json", "--thresholds", text)
    assert result.exit_code == 2
    assert "choose voc, cityscapes," in " ".join(result.output.split())


@pytest.mark.parametrize("options", [("pq,miou",), ("pq miou",), ("miou", "--metrics", "pq")])
def test_metrics_are_a_list_or_repeated(files, options):
    run(files, "scored.json", "--json", files / "scores.json", "--metrics", *options)
    assert json.loads((files / "scores.json").read_text())["metrics"] == ["pq", "miou"]


def test_ap_without_scores_is_refused_and_the_oracle_needs_none(files):
    error = run(files, "plain.json", "--metrics", "ap").exception
    assert isinstance(error, DatasetError)
    # Segment 7 is stuff, which needs none.
    assert "plain.json: image 1: segment 6 of the prediction has no score" in str(error)
    assert run(files, "plain.json", "--metrics", "ap", "--rank", "oracle").exit_code == 0


def test_a_missing_score_is_named_with_the_prediction_that_lacks_it(files):
    error = run(
        files, "scored.json", "--metrics", "ap", "--compare", files / "plain.json"
    ).exception
    assert f"{files / 'plain.json'}: image 1: segment" in str(error)


def test_a_prediction_of_another_size_is_named(files):
    small = make_label([[1, 1]], {1: CAR})
    write_panoptic(files / "small.json", [small], None)
    error = run(files, "small.json").exception
    assert f"{files / 'small.json'}: image 1: the prediction has shape (1, 2)" in str(error)


def test_ranking_by_probability_needs_one_of_each_thing(files):
    error = run(files, "scored.json", "--rank", "probability").exception
    assert isinstance(error, DatasetError)
    assert "scored.json: image 1: segment 6 of the prediction has no probability" in str(error)
    assert run(files, "scored.json", "--rank", "probability", "--metrics", "pq").exit_code == 0
    content = json.loads((files / "scored.json").read_text())
    for segment in content["annotations"][0]["segments_info"]:
        segment["probability"] = 1 - segment.pop("score")
    (files / "scored.json").write_text(json.dumps(content))
    result = run(files, "scored.json", "--rank", "probability", "--thresholds", "0.6")
    # The worse car, which is not enough at 0.6, now comes first.
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["car", "thing", "33.3", "66.7", "50.0", "25.0", "25.0"] in [line[:7] for line in lines]


def test_a_comparison_has_differences_with_intervals(files):
    result = run(
        files,
        "plain.json",
        *("--compare", files / "truth.json", "--bootstrap", "10", "--json", files / "out.json"),
    )
    assert "Second prediction minus first" in result.stdout
    content = json.loads((files / "out.json").read_text())
    assert [row["pq"] for row in content["second_rows"]] == [1, None, 1, 1, 1, 1]
    rows = {r["name"]: r for r in content["differences"]}
    assert rows["road"]["pq"] == 0.25
    assert rows["road"]["intervals"]["pq"] == [0.25, 0.25]


def test_the_second_prediction_may_have_its_pictures_elsewhere(files):
    (files / "scored").rename(files / "pngs")
    options = ("--compare", files / "scored.json", "--compare-folder", files / "pngs")
    assert "Second prediction minus first" in run(files, "plain.json", *options).stdout
    assert run(files, "plain.json", "--compare-folder", files / "pngs").exit_code == 2


def unwrapped(text: str) -> str:
    """The text without the box around an error and the spaces at which it wraps."""
    return "".join(text.replace("│", " ").split())


@pytest.mark.parametrize("option", ["--json", "--csv"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plain.json", "plain.json: is a file that is read too: give it a name of its own"),
        ("scored/../truth.json", "truth.json: is a file that is read too"),
        ("scored.json", "scored.json: is a file that is read too"),
        ("plain", "plain: is a folder: name a file in it"),
        ("plain.json/x.csv", "cannot be written (Not a directory): name another file"),
        ("a" * 300, "cannot be written (File name too long): name another file"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_written(
    files, option, name, message
):
    before = (files / "truth.json").read_bytes()
    other = "--csv" if option == "--json" else "--json"
    outputs = (option, files / name, other, files / "other")
    done = run(files, "plain.json", "--compare", files / "scored.json", *outputs)
    assert done.exit_code == 2
    assert unwrapped(message) in unwrapped(done.output)
    assert not (files / "other").exists()
    assert (files / "truth.json").read_bytes() == before


def test_two_outputs_are_two_files(files):
    outputs = ("--json", files / "out", "--csv", files / "out")
    assert unwrapped("out: is the file of --json") in unwrapped(
        run(files, "plain.json", *outputs).output
    )
    assert not (files / "out").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--crowds", "x"),
        ("--rank", "x"),
        ("--metrics", "x"),
        ("--metrics", "pq,x"),
        ("--metrics", ""),
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


def test_stuff_without_scores_is_left_out_and_said(files):
    content = json.loads((files / "scored.json").read_text())
    del content["annotations"][0]["segments_info"][0]["score"]
    (files / "scored.json").write_text(json.dumps(content))
    result = run(files, "scored.json", "--thresholds", "0.5", "--json", files / "scores.json")
    assert "AP is of things alone: not every predicted segment of stuff has" in result.stdout
    content = json.loads((files / "scores.json").read_text())
    assert content["ap_of_things_alone"] is True
    rows = {row["name"]: row["ap_0.5"] for row in content["rows"]}
    assert rows == {"road": None, "sky": None, "car": 1, "all": 1, "things": 1, "stuff": None}
    # Without AP there is nothing to say about it.
    assert "AP is of" not in run(files, "scored.json", "--metrics", "pq").stdout


@pytest.fixture
def masks(tmp_path):
    """A cat, and a dog inside it, in the first of two images."""
    runs = [compress(rectangle(0, 0, 40, 40)), compress(rectangle(5, 5, 33, 33))]
    truths = [entry(0, CAT, runs[0], area=1600), entry(0, DOG, runs[1])]
    results = [entry(0, CAT, runs[0], score=0.9), entry(0, DOG, runs[1], score=0.8)]
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "instances_val.json").write_text(json.dumps(truth_file(truths, 2)))
    (tmp_path / "results.json").write_text(json.dumps(results))
    return tmp_path


def run_masks(folder, *options):
    arguments = ["--prediction", folder / "results.json", "--format", "coco-instances"]
    arguments += ["--truth", folder / "annotations" / "instances_val.json"]
    arguments += ["--json", folder / "scores.json", *options]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    content = json.loads((folder / "scores.json").read_text())
    return result.stdout, content, {row["name"]: row for row in content["rows"]}


def test_masks_in_masks_are_found_whole_as_by_pycocotools(masks):
    output, content, rows = run_masks(masks)
    lines = [line.split() for line in output.splitlines()]
    heads = "class kind AP_vol AP 0.5 AP 0.75 AP small AP medium AP large"
    assert heads.split() in lines
    assert ["cat", "thing", "100.0", "100.0", "100.0", "–", "100.0", "–"] in lines
    assert ["all", "mean", "100.0", "100.0", "100.0", "100.0", "100.0", "–"] in lines
    assert (content["recalls"], content["masks"]) == ("101", "whole")
    assert (rows["cat"]["ap_0.95"], rows["dog"]["ap_small"]) == (1, 1)
    # COCOeval's chatter stays off the terminal.
    assert "DONE" not in output


def test_masks_are_made_disjoint_on_demand(masks):
    options = ("--masks", "disjoint", "--recalls", "all", "--thresholds", "0.5,0.75")
    _, content, rows = run_masks(masks, *options)
    # The dog takes 784 pixels of the cat's 1600.
    assert (rows["cat"]["ap_0.5"], rows["cat"]["ap_0.75"], rows["dog"]["ap_vol"]) == (1, 0, 1)
    assert (content["recalls"], content["masks"]) == ("all", "disjoint")


def test_an_empty_mask_is_a_false_positive_and_said(masks):
    results = json.loads((masks / "results.json").read_text())
    results.append(entry(1, CAT, compress(rectangle(0, 0, 0, 0)), score=1))
    (masks / "results.json").write_text(json.dumps(results))
    output, content, rows = run_masks(masks)
    assert "Predicted masks without a pixel, each a false positive: 1." in output
    assert content["predicted_masks_without_pixel"] == [1]
    assert rows["cat"]["ap_vol"] == pytest.approx(1 / 2)
    assert run_masks(masks, "--masks", "disjoint")[2]["dog"]["ap_vol"] == 1


def test_what_is_odd_is_told_of_each_prediction(masks):
    results = json.loads((masks / "results.json").read_text())
    empty = [entry(1, CAT, compress(rectangle(0, 0, 0, 0)), score=1) for _ in range(3)]
    (masks / "other.json").write_text(json.dumps([*results, *empty]))
    note = "Predicted masks without a pixel, each a false positive: "
    output, _, _ = run_masks(masks, "--compare", masks / "other.json")
    assert f"{note}0 of the first prediction and 3 of the second prediction." in output


def test_what_was_forgiven_is_noted_on_stderr(masks):
    path = masks / "results.json"
    results = json.loads(path.read_text())
    path.write_text(json.dumps([r | {"score": str(r["score"])} for r in results]))
    arguments = ["--prediction", path, "--truth", masks / "annotations" / "instances_val.json"]
    arguments += ["--format", "coco-instances", "--compare", path]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0
    assert "note: " not in result.stdout
    assert result.stderr.count(f"note: {path}: 2 times score is text\n") == 1
    truth = masks / "annotations" / "instances_val.json"
    assert result.stderr.count(f"note: {truth}: 1 times area is missing\n") == 1


def test_masks_have_intervals_and_differences(masks):
    others = json.loads((masks / "results.json").read_text())[:1]
    (masks / "other.json").write_text(json.dumps(others))
    options = ("--compare", masks / "other.json", "--bootstrap", "50")
    _, content, _ = run_masks(masks, *options)
    differences = {row["name"]: row for row in content["differences"]}
    assert (differences["cat"]["ap_vol"], differences["dog"]["ap_small"]) == (0, -1)
    # A resample without the first image has no truth; all others have the same difference.
    assert differences["dog"]["intervals"]["ap_small"] == [-1, -1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            ((*option, "--format", name), f"{' '.join(option[:1])}{shown}: is of --format coco-pan")
            for name in ("coco-instances", "cityscapes")
            for option, shown in (
                (("--crowds", "official"), " official"),
                (("--prediction-folder", "x"), ""),
                (("--truth-folder", "x"), ""),
                (("--compare", "x", "--compare-folder", "x"), "-folder"),
            )
        ),
        (("--recalls", "11"), "--recalls '11': choose 101, all"),
        (("--masks", "whole"), "--masks: is of --format coco-instances"),
        (("--split", "val"), "--split: is of --format cityscapes"),
        (("--masks", "x", "--format", "coco-instances"), "--masks 'x': choose whole, disjoint"),
    ],
)
def test_rules_that_do_not_exist_are_usage_errors(files, options, message):
    result = run(files, "plain.json", *options)
    assert result.exit_code == 2
    assert unwrapped(message) in unwrapped(result.output)


def test_panoptic_precision_at_the_recalls_of_coco(files):
    path = files / "scores.json"
    run(files, "scored.json", "--thresholds", "0.6", "--recalls", "101", "--json", path)
    rows = {row["name"]: row["ap_0.6"] for row in json.loads(path.read_text())["rows"]}
    # One of two cars is found: of the 101 recalls 0, ..., 0.5 are reached.
    assert rows["car"] == pytest.approx(51 / 101)


def test_crowds_of_one_class_count_all_or_as_the_official_tool_has_them(files):
    """Two car groups, and a car on each: the official tool forgives the one that it sees last."""
    truth = make_label([[1, 1, 1, 2, 2, 2], [3, 3, 3, 3, 0, 0]], {1: CAR, 2: CAR, 3: ROAD}, [1, 2])
    found = make_label([[5, 5, 5, 6, 6, 6], [7, 7, 7, 7, 0, 0]], {5: CAR, 6: CAR, 7: ROAD})
    write_panoptic(files / "truth.json", [truth], CATEGORIES)
    write_panoptic(files / "crowded.json", [found], None)
    counts = {}
    for rule in ("all", "official"):
        run(files, "crowded.json", "--crowds", rule, "--json", files / "out.json")
        content = json.loads((files / "out.json").read_text())
        (car,) = (row for row in content["rows"] if row["name"] == "car")
        counts[rule] = content["crowds"], car["pq"], car["tp"], car["fp"], car["fn"]
    assert counts == {"all": ("all", None, 0, 0, 0), "official": ("official", 0, 0, 1, 0)}


def test_pictures_of_both_sides_may_lie_elsewhere(files):
    table = run(files, "plain.json").stdout
    (files / "plain").rename(files / "found_pngs")
    (files / "truth").rename(files / "true_pngs")
    assert run(files, "plain.json").exit_code == 1
    folders = ("--prediction-folder", files / "found_pngs", "--truth-folder", files / "true_pngs")
    assert run(files, "plain.json", *folders).stdout == table
