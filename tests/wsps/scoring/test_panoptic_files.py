import json

import pytest
from PIL import Image as Picture

from annotools.errors import DatasetError
from annotools.records import draw_runs
from tests.builders import make_categories, make_label
from tests.wsps.panoptic_files import write_panoptic
from wsps.scoring.panoptic_files import read_panoptic_task

CATEGORIES = make_categories()
ROAD, SKY, CAR = 10, 20, 30


def label(image_id=1, groups=()):
    return make_label([[1, 1, 2], [3, 0, 2]], {1: CAR, 2: ROAD, 3: CAR}, groups, image_id)


def write_pair(folder, truths=None, predictions=None, scores=None):
    truths = [label()] if truths is None else truths
    predictions = [label()] if predictions is None else predictions
    return (
        write_panoptic(folder / "truth.json", truths, CATEGORIES),
        write_panoptic(folder / "prediction.json", predictions, None, scores),
    )


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content["annotations"])
    path.write_text(json.dumps(content))


def test_labels_scores_and_groups_in_the_order_of_the_file(tmp_path):
    scores = {1: {1: 0.5, 2: 0.25, 3: 1}}
    truth, prediction = write_pair(tmp_path, [label(groups=[3])], scores=scores)
    change(prediction, lambda entries: entries[0]["segments_info"][0].update(probability=0.75))
    (image,) = read_panoptic_task(truth, prediction).images
    true_label = image.read_truth()
    assert [s.segment_id for s in true_label.segments] == [3, 2, 1]
    assert [s.is_group for s in true_label.segments] == [True, False, False]
    assert draw_runs(true_label.runs).tolist() == label().segment_map.tolist()
    assert set(true_label.segments) == set(label(groups=[3]).segments)
    assert image.ranks("detection") == scores[1]
    assert image.ranks("probability") == {3: 0.75}


@pytest.mark.parametrize(
    ("true_id", "predicted_id"), [(1, "1"), ("1", 1), ("007", 7), ("a", "a"), (7, 7)]
)
def test_texts_and_numbers_match(tmp_path, true_id, predicted_id):
    paths = write_pair(tmp_path, [label(true_id)], [label(predicted_id)])
    task = read_panoptic_task(*paths)
    assert [image.image_id for image in task.images] == [true_id]
    assert task.images[0].read_prediction().image_id == true_id
    other = f"{paths[1]}: 1 times image_id is text in one file and a number in the other"
    assert task.remarks == (() if true_id == predicted_id else (other,))


def test_each_id_has_its_own_form_where_ids_are_mixed(tmp_path):
    truths, predictions = [label(1), label("a")], [label("1"), label("a"), label(2)]
    task = read_panoptic_task(*write_pair(tmp_path, truths, predictions))
    assert [image.prediction.image_id for image in task.images] == ["1", "a"]
    assert task.num_unasked == 1


def test_an_id_that_two_images_may_mean_is_nobody_s(tmp_path):
    truths, predictions = [label("1"), label("01")], [label(1), label("01")]
    with pytest.raises(DatasetError, match="image '1' has no prediction"):
        read_panoptic_task(*write_pair(tmp_path, truths, predictions))
    predictions = [label("1"), label(1), label("a")]
    with pytest.raises(DatasetError, match=r"annotations\[1\]: image_id 1 is given twice"):
        read_panoptic_task(*write_pair(tmp_path, [label(1), label("a")], predictions))


@pytest.mark.parametrize("side", ["truth", "prediction"])
def test_form_is_forgiven_on_both_sides_and_told(tmp_path, side):
    paths = write_pair(tmp_path, scores={1: {1: 0.5, 2: 0.25, 3: 1}})
    strict = read_panoptic_task(*paths)

    def edit(listed):
        listed[0]["image_id"] = 1.0
        third, second, first = listed[0]["segments_info"]
        third |= {"iscrowd": None, "score": "1.0", "probability": "0.5"}
        second |= {"id": 2.0, "category_id": str(ROAD)}
        first |= {"id": "1", "iscrowd": None}

    path = tmp_path / f"{side}.json"
    change(path, edit)
    task = read_panoptic_task(*paths)
    (image,), (before,) = task.images, strict.images
    assert image.read_truth().segments == before.read_truth().segments
    assert image.read_prediction().segments == before.read_prediction().segments
    assert image.ranks("detection") == before.ranks("detection")
    assert image.ranks("probability") == ({3: 0.5} if side == "prediction" else {})
    assert strict.remarks == ()
    # A label may have anything for a score.
    scores = {f"{path}: 1 times {key} is text" for key in ("score", "probability")}
    assert set(task.remarks) == (scores if side == "prediction" else set()) | {
        f"{path}: 1 times image_id is a number with a point",
        f"{path}: 2 times iscrowd is null and taken as 0",
        f"{path}: 1 times id is a number with a point",
        f"{path}: 1 times category_id is text",
        f"{path}: 1 times id is text",
    }


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ([{"id": CAR, "name": "car"}, {"id": 99, "name": "x"}, {"id": SKY}], None),
        (["x", {"id": [1], "name": "x"}, {"id": CAR, "name": 5}], None),
        ("x", None),
        ([{"id": CAR, "name": "bus"}], "30 is 'car' in the truth and 'bus' in the prediction"),
        (
            [{"id": i, "name": "x"} for i in (CAR, SKY)],
            "30 is 'car' in the truth and 'x' in the prediction (2 names differ)",
        ),
    ],
)
def test_other_names_of_the_truth_s_categories_are_told_in_one_line(tmp_path, listed, told):
    truth, prediction = write_pair(tmp_path)
    content = json.loads(prediction.read_text())
    prediction.write_text(json.dumps(content | {"categories": listed}))
    remarks = read_panoptic_task(truth, prediction).remarks
    assert remarks == (() if told is None else (f"{prediction}: category {told}",))


def test_more_predictions_than_asked_for_are_counted(tmp_path):
    task = read_panoptic_task(*write_pair(tmp_path, [label(2)], [label(1), label(2), label(3)]))
    assert (len(task.images), task.num_unasked) == (1, 2)


def test_a_folder_may_have_another_name(tmp_path):
    truth, prediction = write_pair(tmp_path)
    (tmp_path / "prediction").rename(tmp_path / "pngs")
    task = read_panoptic_task(truth, prediction, prediction_folder=tmp_path / "pngs")
    assert task.images[0].read_prediction().image_id == 1
    with pytest.raises(DatasetError, match="prediction: no such folder"):
        read_panoptic_task(truth, prediction)
    with pytest.raises(DatasetError, match="aaa: no such folder: give the folder of the PNGs"):
        read_panoptic_task(truth, prediction, prediction_folder=tmp_path / ("a" * 300))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda e: e.clear(), r"image 1 has no prediction \(images without one: 1 of 1\)"),
        (lambda e: e[0].update(image_id=9), "image 1 has no prediction"),
        (lambda e: e.append(e[0]), "image_id 1 is given twice"),
        (lambda e: e[0].update(file_name="../1.png"), r"\.\./1\.png"),
        (lambda e: e[0].update(segments_info=None), "segments_info is missing"),
        (
            lambda e: e[0]["segments_info"][0].update(id=0),
            r"segments_info\[0\]: id 0: give 1 to 16777215",
        ),
        (
            lambda e: e[0]["segments_info"][0].update(id=2),
            r"segments_info\[1\]: id 2 is given twice: use another",
        ),
        (
            lambda e: e[0]["segments_info"][0].update(category_id=5),
            r"\[0\]: segments_info\[0\]: category_id 5 is not in the truth, which has 10, 20, 30: ",
        ),
        (lambda e: e[0]["segments_info"][0].update(score=1.5), "score = 1.5"),
        (lambda e: e[0]["segments_info"][0].update(score=True), "score = True"),
        (lambda e: e[0]["segments_info"][0].update(score=float("nan")), "score = nan"),
        (lambda e: e[0]["segments_info"].pop(), "segment 1 is in .*1.png but not in segments_info"),
        (
            lambda e: e[0]["segments_info"].append({"id": 8, "category_id": CAR}),
            "segment 8 is in segments_info but has no pixel",
        ),
        (lambda e: e[0].update(file_name="2.png"), "2.png"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, edit, message):
    truth, prediction = write_pair(tmp_path)
    change(prediction, edit)
    with pytest.raises(DatasetError, match=message):
        read_panoptic_task(truth, prediction).images[0].read_prediction()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_pictures_with_and_without_opacity(tmp_path, mode):
    truth, prediction = write_pair(tmp_path)
    path = tmp_path / "prediction" / "1.png"
    Picture.open(path).convert(mode).save(path)
    predicted = read_panoptic_task(truth, prediction).images[0].read_prediction()
    assert draw_runs(predicted.runs).tolist() == label().segment_map.tolist()


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16"])
def test_pictures_of_other_kinds_are_refused(tmp_path, mode):
    truth, prediction = write_pair(tmp_path)
    Picture.new(mode, (3, 2)).save(tmp_path / "prediction" / "1.png")
    with pytest.raises(DatasetError, match=r"1\.png: is not RGB with 8 bits a colour"):
        read_panoptic_task(truth, prediction).images[0].read_prediction()


def test_a_damaged_picture_is_refused(tmp_path):
    truth, prediction = write_pair(tmp_path)
    path = tmp_path / "prediction" / "1.png"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DatasetError, match=r"1\.png: the file is truncated"):
        read_panoptic_task(truth, prediction).images[0].read_prediction()


def test_a_truth_without_images_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="annotations is empty"):
        read_panoptic_task(*write_pair(tmp_path, truths=[]))


def test_a_truth_of_instances_says_what_makes_labels_of_it(tmp_path):
    truth, prediction = write_pair(tmp_path)
    truth.write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.png", "width": 4, "height": 4}],
                "categories": [{"id": 1, "name": "car"}],
                "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}],
            }
        )
    )
    with pytest.raises(DatasetError, match="lists instances: `annotools convert ROOT"):
        read_panoptic_task(truth, prediction)
