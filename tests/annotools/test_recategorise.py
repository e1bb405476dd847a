import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from annotools.categories import Category, CategorySet
from annotools.category_tables.coco import VOC_NAME_OF_COCO
from annotools.category_tables.voc import VOC_CATEGORIES
from annotools.errors import RecipeError
from annotools.formats import read_dataset
from annotools.prices.image_content import measure_image
from annotools.recategorise import recategorise
from annotools.records import Box, Dataset, Drop, Image, TaggedCrop, WeakLabel
from annotools.weak_labels.weaken import weaken
from tests.builders import make_categories, make_label
from tests.real_data import real_data

NOT_CHOSEN = "is in none of the categories chosen"
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


def choose(dataset, names):
    chosen = recategorise(dataset, names)
    return chosen, chosen.read_label(chosen.images[0])


def test_chosen_categories_stay_and_all_else_joins_one_background():
    source = replace(
        make_label(
            [[5, 5, 4, 7, 9, 0], [3, 3, 4, 7, 8, 0]],
            {3: 10, 4: SKY, 5: GIRAFFE, 7: COUCH, 8: AIRPLANE, 9: PERSON_OF_COCO},
            groups=[5, 9],
        ),
        own_boxes={
            8: Box(category_id=AIRPLANE, box_xyxy=(3, 0, 6, 2)),
            9: Box(category_id=PERSON_OF_COCO, box_xyxy=(3, 0, 6, 2), is_group=True),
            11: Box(category_id=COUCH, box_xyxy=(0, 0, 1, 1)),
            12: Box(category_id=GIRAFFE, box_xyxy=(0, 0, 2, 1)),
        },
        unseen={
            11: Drop(place="couch 11", reason="covered"),
            12: Drop(place="giraffe 12", reason="covered"),
        },
    )
    dataset = make_dataset(source)
    # The order is the dataset's, whatever that of the list.
    few, label = choose(dataset, " person, couch")

    np.testing.assert_array_equal(label.segment_map, [[3, 3, 3, 7, 9, 0], [3, 3, 3, 7, 3, 0]])
    assert [(s.segment_id, s.category_id, s.area, s.is_group) for s in label.segments] == [
        (3, 10, 7, False),
        (7, COUCH, 2, False),
        (9, PERSON_OF_COCO, 1, True),
    ]
    own = dataset.categories.categories
    assert few.categories.categories == (own[0], own[2], own[5])
    assert few.categories.background_id == 10
    assert set(label.own_boxes) == {9, 11}
    assert set(label.unseen) == {11}
    assert label.drops == (
        Drop(place="image 1: segment 4 (sky)", reason=NOT_CHOSEN),
        Drop(place="image 1: segment 5 (giraffe)", reason=NOT_CHOSEN),
        Drop(place="image 1: segment 8 (airplane)", reason=NOT_CHOSEN),
        Drop(place="giraffe 12 (giraffe)", reason=NOT_CHOSEN),
    )
    assert few.notes == ("a note", "all but couch, person is background")


def test_chosen_stuff_stays_stuff_and_a_background_comes_in_front():
    source = make_label([[1, 2, 3, 4, 0]], {1: 10, 2: 20, 3: 30, 4: 40})
    dataset = replace(
        make_dataset(source), categories=make_categories(("car", "bus"), ("road", "sky"))
    )
    few, label = choose(dataset, "bus,road")
    background = few.categories.categories[0]

    assert (background.category_id, background.name, background.is_thing) == (
        0,
        "background",
        False,
    )
    assert [c.name for c in few.categories.categories] == ["background", "road", "bus"]
    assert [c.is_thing for c in few.categories.categories] == [False, False, True]
    assert few.categories.background_id == 0
    # Outside of all boxes there may be road as well.
    assert few.categories.outside_index is None
    np.testing.assert_array_equal(label.segment_map, [[1, 2, 2, 4, 0]])
    assert {s.segment_id: s.category_id for s in label.segments} == {1: 10, 2: 0, 4: 40}


def test_the_id_of_the_added_background_is_free_among_all_categories():
    own = CategorySet(
        categories=tuple(
            Category(category_id=i, name=f"c{i}", is_thing=True, colour=(i, i, i))
            for i in (0, 1, 3)
        )
    )
    dataset = replace(make_dataset(make_label([[1, 2]], {1: 0, 2: 3})), categories=own)
    few, label = choose(dataset, "c3")

    assert few.categories.background_id == 2
    assert few.categories.outside_index == 0
    assert [(s.segment_id, s.category_id) for s in label.segments] == [(1, 2), (2, 3)]


def test_stuff_by_the_name_of_background_is_the_background():
    source = make_label([[1, 2, 3]], {1: 10, 2: 20, 3: 30})
    few, label = choose(make_dataset(source, background=False), "couch")

    assert few.categories.background_id == 10
    assert [(s.segment_id, s.category_id) for s in label.segments] == [(1, 10), (3, COUCH)]
    assert [drop.place for drop in label.drops] == ["image 1: segment 2 (sky)"]


def test_a_name_with_a_comma_is_found_as_a_whole():
    categories = make_categories(("cat", "cat, lying", "dog", "voc"), ("background",), True)
    dataset = replace(make_dataset(make_label([[1]], {1: 10})), categories=categories)

    def names(text):
        return [c.name for c in recategorise(dataset, text).categories.categories[1:]]

    assert names("cat, lying,dog") == ["cat, lying", "dog"]
    assert names("cat,dog,") == ["cat", "dog"]
    # A category that is called like the target is a list of one.
    assert names("voc,") == ["voc"]
    with pytest.raises(RecipeError, match="no category 'lying'"):
        names("dog,lying")


def test_unknown_and_no_names_are_refused_in_one_line_with_those_that_are_known():
    dataset = make_dataset(make_label([[1]], {1: 10}), things=("person", "dog"))

    for text, message in (
        (
            "dog,persn",
            r"categories 'dog,persn': made has no category 'persn' \(did you mean 'person'\?\); ",
        ),
        ("Dog", r"no category 'Dog' \(did you mean 'dog'\?\); it has background, "),
        ("zzz", "no category 'zzz'; it has background, "),
        ("background", "the background alone leaves nothing to segment"),
        (" ,", "name some of background, sky, person, dog, or 'voc'"),
    ):
        with pytest.raises(RecipeError, match=message) as raised:
            recategorise(dataset, text)
        assert "\n" not in str(raised.value)


def test_boxes_and_tags_of_others_go_where_there_are_no_masks():
    weak = WeakLabel(
        image_id=1,
        boxes=tuple(
            Box(category_id=i, box_xyxy=(n, 0, n + 1, 1)) for n, i in enumerate((COUCH, GIRAFFE))
        ),
        crops=(TaggedCrop(box_xyxy=(0, 0, 6, 2), category_ids=(SKY, COUCH)),),
        tagged_category_ids=(SKY, COUCH, GIRAFFE),
        has_boxes=True,
    )
    dataset = replace(make_dataset(None), read_weak=partial(give, weak))
    few = recategorise(dataset, "couch,person")
    found = few.read_weak(few.images[0])

    assert found.boxes == weak.boxes[:1]
    assert found.tagged_category_ids == (COUCH,)
    assert found.crops[0].category_ids == (COUCH,)
    assert found.drops == (Drop(place="image 1: box 2 (giraffe)", reason=NOT_CHOSEN),)


def test_what_is_bought_and_priced_is_of_the_chosen_things_alone():
    source = make_label(
        [[5, 5, 4, 7, 9, 6], [3, 3, 4, 7, 8, 6]],
        {3: 10, 4: SKY, 5: GIRAFFE, 6: COUCH, 7: COUCH, 8: AIRPLANE, 9: PERSON_OF_COCO},
    )
    few = recategorise(make_dataset(source), "couch,sky,person")
    weak = weaken(few.read_label(few.images[0]), few.categories, "boxes+tags", None)

    assert sorted(box.category_id for box in weak.boxes) == [COUCH, COUCH, PERSON_OF_COCO]
    # Stuff is asked about, and the background is not.
    assert weak.tagged_category_ids == (SKY,)
    content = measure_image(few, few.images[0], few.read_label(few.images[0]), None)
    assert (content.things, content.thing_classes_present) == (3, 2)
    assert (content.num_thing_classes, content.num_stuff_classes) == (2, 1)
    assert (content.thing_tags, content.stuff_tags) == (2, 1)
    everything = measure_image(make_dataset(source), few.images[0], source, None)
    assert (everything.things, everything.num_thing_classes) == (5, 4)


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
