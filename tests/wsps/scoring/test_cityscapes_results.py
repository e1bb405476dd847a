import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from annotools.errors import DatasetError
from tests.real_data import real_data
from tests.wsps.scoring_settings import make_settings
from wsps.commands.evaluate import app
from wsps.evaluation.average_precision import THRESHOLDS
from wsps.scoring.cityscapes_results import score_semantic, score_thing_masks
from wsps.scoring.evaluate import report_scores

IMAGE = "ulm_000000_000001"
ROAD, SKY, CAR, DYNAMIC, CARAVAN = 7, 23, 26, 5, 29
TRUTH = [[ROAD, ROAD, SKY, DYNAMIC], [26000, 26000, 26001, 26]]


def write_map(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.array(values, dtype=np.uint16))


@pytest.fixture
def root(tmp_path):
    write_map(tmp_path / "city/gtFine/val/ulm" / f"{IMAGE}_gtFine_instanceIds.png", TRUTH)
    (tmp_path / "results").mkdir()
    return tmp_path


def write_labels(root, values, name=f"deep/er/{IMAGE}_ours.png"):
    write_map(root / "results" / name, values)


def semantic(root):
    return report_scores([score_semantic(root / "city", "val", root / "results")], make_settings())


def write_masks(root, *lines):
    """Each line: columns of the lower row, then label id and score."""
    text = ""
    for number, (columns, label_id, score) in enumerate(lines):
        row = [255 * (column in columns) for column in range(4)]
        write_map(root / f"results/masks/{number}.png", [[0] * 4, row])
        text += f"masks/{number}.png {float(label_id)} {score}\n"
    (root / f"results/{IMAGE}_pred.txt").write_text(text)


def precision(root):
    scores = score_thing_masks(root / "city" / "gtFine", "val", root / "results")
    found = report_scores([scores], make_settings(thresholds=THRESHOLDS["voc"]))
    return {row.name: row.rates["ap_vol"] for row in found.rows}


def test_iou_by_hand(root):
    # Road: 1 of 2, one more is called sky. Sky: 1 of 1, and 1 false. A car pixel is given to a
    # label that is not evaluated: missed. What stands on the unevaluated pixel does not count.
    write_labels(root, [[ROAD, SKY, SKY, ROAD], [CAR, CAR, CAR, CARAVAN]])
    rows = {row.name: row.rates["iou"] for row in semantic(root).rows}
    assert {name: iou for name, iou in rows.items() if iou is not None} == pytest.approx(
        {"road": 1 / 2, "sky": 1 / 2, "car": 3 / 4, "all": 7 / 12, "things": 3 / 4, "stuff": 1 / 2}
    )


def test_other_files_and_images_do_not_count(root):
    write_labels(root, np.zeros((2, 4)))
    write_labels(root, [[ROAD]], "legend.png")
    write_labels(root, [[ROAD]], "ulm_000000_000002.png")
    found = semantic(root)
    assert (found.num_images, found.num_unasked) == (1, (1,))
    assert found.rows[0].rates["iou"] == 0


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, f"image {IMAGE} has no file .*1 of 1"),
        ({"a/": (2, 4), "b/": (2, 4)}, f"{IMAGE}.png is of image {IMAGE} too"),
        ({"": (4, 2)}, rf"shape \(4, 2\), not 2 rows of 4 .*{IMAGE}"),
        ({"": (2, 4, 3)}, r"shape \(2, 4, 3\)"),
    ],
)
def test_a_wrong_set_of_maps_is_named(root, files, message):
    for folder, shape in files.items():
        write_labels(root, np.zeros(shape), f"{folder}{IMAGE}.png")
    with pytest.raises(DatasetError, match=message):
        semantic(root)


@pytest.mark.parametrize("wrong", [34, 200, 255])
def test_an_id_that_no_label_has_is_named(root, wrong):
    write_labels(root, [[ROAD, ROAD, SKY, 0], [CAR, CAR, CAR, wrong]])
    with pytest.raises(DatasetError, match=rf"ours.png: has the id {wrong}, .* ids, 0 to 33, not"):
        semantic(root)


def test_a_missing_folder_is_named(root):
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        score_semantic(root / "city", "val", root / "nowhere")


def test_masks_by_hand(root):
    # The first has IoU 2/3 with the first car and is enough to 0.6; the second is exact; the third
    # lies on a group and does not count, nor do an empty mask, a caravan and the road.
    lines = (
        ((0, 1, 2), CAR, 0.9),
        ((2,), CAR, 0.8),
        ((3,), CAR, 1),
        ((), CAR, 1),
        ((0,), CARAVAN, 1),
        ((0,), ROAD, 1),
    )
    write_masks(root, *lines)
    # To 0.6 both cars are found, from 0.7 on one of two at precision 1/2.
    found = precision(root)
    assert found["car"] == pytest.approx((6 * 1 + 3 * 1 / 4) / 9)
    assert found["all"] == found["things"] == found["car"]
    assert found["road"] is found["stuff"] is found["bus"] is None


def test_an_empty_list_misses_all(root):
    write_masks(root)
    assert precision(root)["car"] == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.png 26", "line 2: .* is not MASK.png LABEL_ID SCORE"),
        ("a.png car 0.5", "is not MASK.png LABEL_ID SCORE"),
        ("a.png 60 0.5", "60 is no label id"),
        ("a.png 26.5 0.5", "26.5 is no label id"),
        ("a.png 26 1.5", "score 1.5: give"),
        ("a.png 26 nan", "score nan: give"),
        ("../city/a.png 26 0.5", "'../city/a.png' is outside"),
        ("none.png 26 0.5", "none.png: cannot be read"),
        ("small.png 26 0.5", rf"small.png: has pixels of shape \(1, 1\).*{IMAGE}"),
    ],
)
def test_a_wrong_line_is_named(root, line, message):
    write_labels(root, [[1]], "small.png")
    (root / f"results/{IMAGE}.txt").write_text(f"\n{line}\n")
    with pytest.raises(DatasetError, match=message):
        precision(root)


def test_the_command_takes_both_kinds(root):
    write_labels(root, [[ROAD, ROAD, SKY, 0], [CAR] * 4])
    write_masks(root, ((0, 1), CAR, 1))
    options = ["evaluate"] if len(app.registered_commands) > 1 else []
    options += ["--format", "cityscapes", "--truth", root / "city", "--prediction"]
    options = [str(option) for option in [*options, root / "results"]]
    maps = CliRunner().invoke(app, options)
    assert ["all", "mean", "100.0"] in [line.split() for line in maps.stdout.splitlines()]
    assert "No AP" not in maps.stdout
    ap = [*options, "--metrics", "ap", "--thresholds", "voc"]
    masks = CliRunner().invoke(app, ap)
    for one, of_one in ((options, maps), (ap, masks)):
        assert CliRunner().invoke(app, [*one, "--workers", "2"]).stdout == of_one.stdout
    assert ["car", "thing", "50.0"] in [line.split() for line in masks.stdout.splitlines()]
    (root / "better").mkdir()
    write_map(root / f"better/{IMAGE}.png", [[ROAD, ROAD, SKY, 0], [CAR] * 4])
    write_labels(root, [[SKY, ROAD, SKY, 0], [CAR] * 4])
    compared = CliRunner().invoke(app, [*options, "--compare", str(root / "better")])
    assert ["road", "stuff", "50.0"] in [line.split() for line in compared.stdout.splitlines()]
    bounded = CliRunner().invoke(app, [*options, "--bootstrap", "5"])
    assert ["road", "stuff", "50.0", "[50.0,", "50.0]"] in [
        line.split() for line in bounded.stdout.splitlines()
    ]
    for wrong in (
        ["--metrics", "pq"],
        ["--metrics", "ap", "--metrics", "miou"],
        ["--rank", "oracle"],
    ):
        assert CliRunner().invoke(app, [*options, *wrong]).exit_code == 2


@pytest.fixture
def train():
    return real_data("cityscapes", "gtFine") / "train"


def test_real_label_maps_as_prediction_are_perfect(train, tmp_path):
    for path in train.glob("*/*_labelIds.png"):
        (tmp_path / path.name).symlink_to(path)
    found = report_scores([score_semantic(train.parents[1], "train", tmp_path)], make_settings())
    assert {row.rates["iou"] for row in found.rows} <= {1.0, None}
    assert found.rows[0].rates["iou"] == 1.0


def test_real_instances_as_prediction_are_perfect(train, tmp_path):
    city = tmp_path / "gtFine" / "val" / "zurich"
    city.mkdir(parents=True)
    source = sorted(train.glob("zurich/*_instanceIds.png"))[0]
    (city / source.name).symlink_to(source)
    values = cv2.imread(str(source), cv2.IMREAD_UNCHANGED)
    lines = []
    for value in np.unique(values[values >= 1000]).tolist():
        write_map(tmp_path / "results" / f"{value}.png", values == value)
        lines.append(f"{value}.png {value // 1000} 0.5")
    (tmp_path / "results" / f"{source.stem}.txt").write_text("\n".join(lines))
    scores = score_thing_masks(tmp_path, "val", tmp_path / "results")
    found = report_scores([scores], make_settings())
    assert {row.rates["ap_vol"] for row in found.rows} == {1.0, None}
