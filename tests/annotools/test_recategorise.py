import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from annotools.category_tables.coco import VOC_NAME_OF_COCO
from annotools.category_tables.voc import VOC_CATEGORIES
from annotools.errors import RecipeError
from annotools.formats import read_dataset
from annotools.recategorise import recategorise
from annotools.records import Dataset, Drop, Image
from tests.builders import make_categories, make_label
from tests.real_data import real_data

BACKGROUND, AEROPLANE, PERSON, SOFA = 0, 1, 15, 18
SKY, COUCH, GIRAFFE, AIRPLANE, PERSON_OF_COCO = 20, 30, 40, 50, 60  # make_categories' ids


def make_dataset(label, background=True, things=("couch", "giraffe", "airplane", "person")):
    stuff = ("background", "sky")
    return Dataset(
        name="made",
        split="val",
        categories=make_categories(things=things, stuff=stuff, background=background),
        images=(Image(image_id=1, file_name="a.png", width=6, height=2),),
        read_label=partial(give, label),
        read_photo=partial(give, None),
        notes=("a note",),
    )


def give(label, image):
    return label


def read_recategorised(dataset):
    voc = recategorise(dataset, "voc")
    return voc.read_label(voc.images[0])


def test_things_of_voc_stay_and_all_else_joins_one_background():
    source = replace(
        make_label(
            [[5, 5, 4, 7, 9, 0], [3, 3, 4, 7, 8, 0]],
            {3: 10, 4: SKY, 5: GIRAFFE, 7: COUCH, 8: AIRPLANE, 9: PERSON_OF_COCO},
            groups=[5, 9],
        ),
        drops=(Drop(place="there", reason="covered"),),
    )
    dataset = make_dataset(source)
    voc = recategorise(dataset, "voc")
    label = voc.read_label(voc.images[0])

    np.testing.assert_array_equal(label.segment_map, [[3, 3, 3, 7, 9, 0], [3, 3, 3, 7, 8, 0]])
    assert [(s.segment_id, s.category_id, s.area, s.is_group) for s in label.segments] == [
        (3, BACKGROUND, 6, False),
        (7, SOFA, 2, False),
        (8, AEROPLANE, 1, False),
        (9, PERSON, 1, True),
    ]
    assert label.segments[0].box_xyxy == (0, 0, 3, 2)
    assert label.drops == (
        Drop(place="there", reason="covered"),
        Drop(place="image 1: segment 4", reason="category sky has no VOC counterpart"),
        Drop(place="image 1: segment 5", reason="category giraffe has no VOC counterpart"),
    )
    assert voc.categories == VOC_CATEGORIES
    assert voc.images == dataset.images
    assert voc.notes == ("a note", "what is no VOC class is background")


def test_without_a_background_category_stuff_is_listed_too():
    label = read_recategorised(make_dataset(make_label([[1, 2]], {1: 10, 2: 30}), background=False))

    assert [(s.segment_id, s.category_id) for s in label.segments] == [(1, 0), (2, SOFA)]
    assert [drop.reason for drop in label.drops] == ["category background has no VOC counterpart"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [([[1, 0]], [(1, SOFA)]), ([[0, 0]], []), ([[2, 2]], [(2, BACKGROUND)])],
)
def test_labels_without_background_or_objects(rows, expected):
    label = read_recategorised(make_dataset(make_label(rows, {1: COUCH, 2: SKY})))

    np.testing.assert_array_equal(label.segment_map, rows)
    assert [(s.segment_id, s.category_id) for s in label.segments] == expected


def test_stuff_is_no_voc_class_whatever_its_name():
    source = make_label([[1, 2]], {1: 10, 2: 20})
    dataset = replace(
        make_dataset(source), categories=make_categories(things=("dog",), stuff=("x", "cat"))
    )

    assert [s.category_id for s in read_recategorised(dataset).segments] == [BACKGROUND]


def test_every_voc_class_has_one_name_in_coco():
    things = {c.name for c in VOC_CATEGORIES.categories if c.is_thing}

    assert set(VOC_NAME_OF_COCO.values()) == things
    assert len(VOC_NAME_OF_COCO) == 20


def test_a_dataset_in_voc_categories_stays_as_it_is():
    dataset = replace(make_dataset(make_label([[1]], {1: 0})), categories=VOC_CATEGORIES)

    assert recategorise(dataset, "voc") is dataset


def test_what_cannot_be_recategorised_is_said():
    dataset = make_dataset(make_label([[1]], {1: 10}), things=("giraffe", "kite"))

    with pytest.raises(RecipeError, match=r"made has no thing with a VOC .*giraffe.*dining table"):
        recategorise(dataset, "voc")


def test_a_recategorised_dataset_travels_to_another_process():
    dataset = recategorise(make_dataset(make_label([[1, 2]], {1: 10, 2: COUCH})), "voc")
    copy = pickle.loads(pickle.dumps(dataset))

    assert len(copy.read_label(copy.images[0]).segments) == 2


@pytest.mark.parametrize(
    ("folder", "format_name", "split"),
    [("coco", "coco-instances", "train2017"), ("coco-panoptic", "coco-panoptic", "val2017")],
)
def test_real_coco_reconciles(folder, format_name, split):
    source = read_dataset(format_name, real_data(folder), split)
    voc = recategorise(source, "voc")
    assert voc.images == source.images
    for image in source.images[:20]:
        before, after = source.read_label(image), voc.read_label(image)
        counts = [
            len([s for s in label.segments if s.category_id != categories.background_id])
            + len(label.drops)
            for label, categories in ((before, source.categories), (after, VOC_CATEGORIES))
        ]
        assert counts[0] == counts[1]
        assert sum(s.area for s in after.segments) == sum(s.area for s in before.segments)
