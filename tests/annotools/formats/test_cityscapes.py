import warnings

import numpy as np
import pytest

from annotools.category_tables.cityscapes import CITYSCAPES_CATEGORIES, LABEL_NAMES
from annotools.errors import DatasetError
from annotools.formats import cityscapes
from annotools.records import Segment
from tests.annotools.formats.cityscapes_files import (
    AACHEN,
    CAR,
    EGO_VEHICLE,
    PARKING,
    PERSON,
    ROAD,
    SKY,
    read_only_label,
    write_label,
    write_photo,
)


def test_categories_are_the_official_ones():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cityscapesscripts.helpers.labels import id2label, trainId2label

    official = [trainId2label[index] for index in range(19)]
    assert [
        (c.category_id, c.name, c.is_thing, c.colour) for c in CITYSCAPES_CATEGORIES.categories
    ] == [(label.id, label.name, label.hasInstances, label.color) for label in official]
    assert {i: label.name for i, label in id2label.items()} == LABEL_NAMES
    assert CITYSCAPES_CATEGORIES.thing_indices == tuple(range(11, 19))


def test_values_become_segments_and_what_is_not_evaluated_is_void(tmp_path):
    path = write_label(
        tmp_path,
        [
            [ROAD, ROAD, 26000, 26001],
            [EGO_VEHICLE, CAR, 26000, 29000],
            [PARKING, CAR, 7001, 0],
        ],
    )
    label = read_only_label(tmp_path)

    assert label.image_id == "aachen_000000_000019"
    assert label.segment_map.dtype == np.int32
    assert label.segment_map.tolist() == [
        [ROAD, ROAD, 26000, 26001],
        [0, CAR, 26000, 0],
        [0, CAR, ROAD, 0],
    ]
    assert label.segments == (
        Segment(segment_id=ROAD, category_id=ROAD, area=3, box_xyxy=(0, 0, 3, 3)),
        Segment(segment_id=CAR, category_id=CAR, area=2, box_xyxy=(1, 1, 2, 3), is_group=True),
        Segment(segment_id=26000, category_id=CAR, area=2, box_xyxy=(2, 0, 3, 2)),
        Segment(segment_id=26001, category_id=CAR, area=1, box_xyxy=(3, 0, 4, 1)),
    )
    assert [(d.place, d.reason) for d in label.drops] == [
        (f"{path}: value 29000", "category caravan is not one of the 19 evaluated")
    ]
    # Road has no instances.
    assert [(d.place, d.reason) for d in label.doubts] == [
        (
            f"{path}: value 7001",
            "is an instance of a class that has none, as other datasets number them: give labelIds "
            "or instanceIds of Cityscapes",
        )
    ]


TRAIN_IDS, RARE = "no label id above 18", "guard rail, bridge and tunnel in one image"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0, 10, 13, 0], TRAIN_IDS),
        (range(19), TRAIN_IDS),
        # Instances of train ids have their numbers in the places of label ids 11 and 13.
        ([10, 4, 18], TRAIN_IDS),
        (range(1, 24), RARE),
        ([14, 15, 16, 26001], RARE),
        # Real maps have these: classes that are drawn often, and the frame of a dummy label.
        ([1, 2, 3, 4, ROAD, SKY, 26000, 29001], None),
        ([14, 16, ROAD, 19], None),
        ([0, 1, 2, 3], None),
        ([0, 0], None),
    ],
)
def test_maps_of_something_else_are_doubted(tmp_path, values, reason):
    path = write_label(tmp_path, [list(values)])
    doubts = read_only_label(tmp_path).doubts

    assert [d.place for d in doubts] == ([] if reason is None else [str(path)])
    assert all(d.reason.startswith(reason) for d in doubts)


def test_instances_of_other_datasets_are_doubted_value_by_value(tmp_path):
    path = write_label(tmp_path, [[7000, 11001, 13002, 24000]])

    assert [d.place for d in read_only_label(tmp_path).doubts] == [
        f"{path}: value {value}" for value in (7000, 11001, 13002)
    ]


@pytest.mark.parametrize(
    ("ending", "content"),
    [("labelTrainIds", "train ids"), ("instanceTrainIds", "train ids"), ("color", "colours")],
)
def test_files_that_are_not_read_are_named(tmp_path, ending, content):
    path = write_label(tmp_path, [[ROAD]], ending=ending)
    message = rf"_{ending}\.png: {content} are not read: give labelIds or instanceIds"

    for allow_missing in (False, True):
        with pytest.raises(DatasetError, match=message):
            cityscapes.read(tmp_path, "train", allow_missing)
    # Beside a label, or where another image has one.
    write_label(tmp_path, [[ROAD]])
    assert cityscapes.read(tmp_path, "train").drops == ()
    path.rename(path.with_name(path.name.replace("000019", "000020")))
    with pytest.raises(DatasetError, match=message):
        cityscapes.read(tmp_path, "train")
    write_photo(tmp_path, shape=(1, 1, 3))
    write_photo(tmp_path, key=AACHEN.replace("19", "20"))
    dataset = cityscapes.read(tmp_path, "train", allow_missing=True)
    assert [drop.place for drop in dataset.drops] == [str(path).replace("000019", "000020")]
    assert len(dataset.images) == 1


def test_label_ids_alone_give_groups(tmp_path):
    write_label(tmp_path, [[ROAD, CAR, CAR, PERSON]], ending="labelIds")
    dataset = cityscapes.read(tmp_path, "train")
    label = dataset.read_label(dataset.images[0])

    assert [(s.segment_id, s.area, s.is_group) for s in label.segments] == [
        (ROAD, 1, False),
        (PERSON, 1, True),
        (CAR, 2, True),
    ]
    assert dataset.notes[-1] == "images that have labelIds.png alone, whose things are groups: 1"


def test_label_ids_among_instance_ids_are_incomplete(tmp_path):
    write_label(tmp_path, [[ROAD]])
    write_label(tmp_path, [[ROAD]], ending="labelIds")
    write_label(tmp_path, [[CAR]], key="bonn/b_0_1", ending="labelIds")

    with pytest.raises(DatasetError, match=r"b_0_1_gtFine_labelIds\.png: has no inst"):
        cityscapes.read(tmp_path, "train")
    dataset = cityscapes.read(tmp_path, "train", allow_missing=True)
    assert len(dataset.images) == 2
    assert dataset.drops == ()
    assert dataset.notes[-1].endswith("whose things are groups: 1")


def test_dummy_labels_have_no_segments(tmp_path):
    write_label(tmp_path, [[EGO_VEHICLE, 2, 3, 0]])
    label = read_only_label(tmp_path)

    assert (label.segments, label.drops) == ((), ())
    assert not label.segment_map.any()


@pytest.mark.parametrize("value", [34, 255, 999, 34000, 65535])
def test_values_that_are_no_labels(tmp_path, value):
    write_label(tmp_path, [[ROAD, value]])

    with pytest.raises(DatasetError, match=f"value {value} is no label of Cityscapes"):
        read_only_label(tmp_path)


def test_maps_of_colours_are_refused(tmp_path):
    write_label(tmp_path, np.zeros((2, 3, 3)))

    with pytest.raises(DatasetError, match=r"shape \(2, 3, 3\), not 2 rows of 3 numbers"):
        read_only_label(tmp_path)
