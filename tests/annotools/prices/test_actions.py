import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotools.errors import TimesError
from annotools.prices.actions import (
    ABSENT_CLASSES,
    ABSENT_TAGS,
    actions_for,
    count_actions,
    paid_actions,
    price_seconds,
    unknown_counts,
)
from annotools.prices.image_content import UNKNOWN
from annotools.prices.times import AnnotationTimes, read_times
from tests.builders import make_categories, make_label, measure

ROAD, SKY, CAR = 10, 20, 30

# Both stuff classes and the only thing class are in the image: none is absent from it.
LABEL = make_label([[1, 1, 2, 2], [3, 4, 4, 0]], {1: SKY, 2: ROAD, 3: CAR, 4: CAR}, groups=[4])
PAPER = read_times("li2018")
BEARMAN = read_times("bearman2016")


@pytest.mark.parametrize(
    ("kind", "crop", "actions"),
    [
        ("boxes", (2, 2), {"box": 2, ABSENT_CLASSES: 0}),
        ("tags", None, {"tag": 3, ABSENT_TAGS: 0}),
        ("tags", (2, 2), {"tag": 2 + 2, ABSENT_TAGS: 1 + 1}),
        ("boxes+tags", (2, 2), {"box": 2, ABSENT_CLASSES: 0, "tag": 1 + 1, ABSENT_TAGS: 1 + 1}),
        ("boxes+tags", (4, 1), {"box": 2, ABSENT_CLASSES: 0, "tag": 2 + 0, ABSENT_TAGS: 0 + 2}),
        ("points", None, {"point_first": 3, "point_further": 1, ABSENT_CLASSES: 0}),
        ("scribbles", None, {"scribble": 3, ABSENT_CLASSES: 0}),
        ("coarse", None, {"coarse_image": 1, ABSENT_CLASSES: 0}),
        ("full", (2, 2), {"full_image": 1, ABSENT_CLASSES: 0}),
    ],
)
def test_actions_where_stuff_is_labelled(kind, crop, actions):
    content = measure(LABEL, make_categories(), crop)

    assert count_actions(content, [kind]) == {kind: actions}


@pytest.mark.parametrize(
    ("kind", "actions"),
    [
        ("boxes", {"box": 2, ABSENT_CLASSES: 1}),
        ("tags", {"tag": 1, ABSENT_TAGS: 1}),
        ("boxes+tags", {"box": 2, ABSENT_CLASSES: 1}),
        ("points", {"point_first": 1, "point_further": 1, ABSENT_CLASSES: 1}),
        ("scribbles", {"scribble": 1, ABSENT_CLASSES: 1}),
        ("full", {"mask": 2, ABSENT_CLASSES: 1}),
        ("coarse", {"coarse_instance": 2, ABSENT_CLASSES: 1}),
    ],
)
def test_actions_where_all_stuff_is_background(kind, actions):
    categories = make_categories(things=("car", "dog"), stuff=("background",), background=True)
    label = make_label([[1, 2, 3]], {1: 10, 2: 20, 3: 20}, groups=[3])

    content = measure(label, categories, None)

    assert count_actions(content, [kind]) == {kind: actions}


@pytest.mark.parametrize(("rows", "things"), [([[1, 2]], 2), ([[0, 0]], 0)])
def test_things_alone_are_paid_by_the_instance(rows, things):
    categories = make_categories(stuff=())
    content = measure(make_label(rows, dict.fromkeys(range(1, things + 1), 10)), categories, None)
    absent = {ABSENT_CLASSES: int(things == 0)}

    assert count_actions(content, ["full", "coarse"]) == {
        "full": {"mask": things, **absent},
        "coarse": {"coarse_instance": things, **absent},
    }


def test_stuff_alone_is_paid_by_the_image():
    categories = make_categories(things=())
    content = measure(make_label([[1, 2]], {1: 10, 2: 20}), categories, None)

    assert count_actions(content, ["full", "coarse"]) == {
        "full": {"full_image": 1, ABSENT_CLASSES: 0},
        "coarse": {"coarse_image": 1, ABSENT_CLASSES: 0},
    }


def test_parts_that_are_no_label_kind():
    content = measure(LABEL, make_categories(), (2, 2))

    assert actions_for(content, "tags of stuff") == {"tag": 2, ABSENT_TAGS: 2}
    assert math.isnan(actions_for(content, "full by vertex")["vertex"])
    counted = measure(LABEL, make_categories(), None, vertices=40)
    assert actions_for(counted, "full by vertex") == {"vertex": 40, ABSENT_CLASSES: 0}
    assert actions_for(content, "one point a class") == {"point_first": 3, ABSENT_CLASSES: 0}


def test_an_unknown_count_is_not_a_number():
    content = measure(LABEL, make_categories(), None)
    unknown = replace(content, thing_tags=UNKNOWN)

    assert math.isnan(actions_for(unknown, "tags")["tag"])
    assert actions_for(unknown, "boxes+tags") == actions_for(content, "boxes+tags")
    assert count_actions(unknown, ["tags", "boxes"]) == count_actions(content, ["boxes"])
    assert unknown_counts(unknown, "tags", PAPER) == ("thing_tags",)
    assert unknown_counts(unknown, "boxes+tags", PAPER, all_questions=True) == ()


def test_a_count_is_missed_only_where_its_question_is_paid():
    content = measure(LABEL, make_categories(), None)
    unknown = replace(content, stuff_classes_present=UNKNOWN, thing_classes_present=UNKNOWN)
    present = ("thing_classes_present", "stuff_classes_present")

    assert unknown_counts(unknown, "full", PAPER) == ()
    assert unknown_counts(unknown, "full", BEARMAN) == present
    assert unknown_counts(unknown, "boxes", BEARMAN) == present[:1]
    assert unknown_counts(unknown, "points", PAPER) == present


@pytest.mark.parametrize("kind", ["masks", "tags of stuff", "full by vertex"])
def test_an_unknown_kind_is_refused(kind):
    with pytest.raises(ValueError, match=f"'{kind}'"):
        count_actions(measure(LABEL, make_categories(), None), [kind])


@pytest.mark.parametrize(
    ("times", "all_questions", "questions"), [(PAPER, False, 0), (PAPER, True, 5), (BEARMAN, 0, 8)]
)
def test_which_questions_are_paid(times, all_questions, questions):
    counts = {"box": 2, ABSENT_CLASSES: 3, "tag": 4, ABSENT_TAGS: 5}
    asked = {"tag_question": questions} if questions else {}

    assert paid_actions(counts, times, all_questions=all_questions) == {"box": 2, "tag": 4, **asked}
    assert price_seconds(counts, times, all_questions=all_questions) == 14 + 4 + questions


def test_no_action_costs_nothing():
    assert price_seconds({}, PAPER) == 0


def test_a_missing_action_is_named():
    times = AnnotationTimes(name="mine", note="", actions={"box": PAPER.actions["box"]})

    assert price_seconds({"box": 2}, times) == 14
    with pytest.raises(TimesError, match=r"'mine' lack the action 'tag': add .*\[actions\.tag\]"):
        price_seconds({"box": 2, "tag": 1}, times)


@given(st.integers(0, 15), st.sampled_from([(2, 2), (4, 1), (3, 2), None]))
def test_the_weak_label_costs_its_parts(pixels, crop):
    rows = [[1 + (pixels >> i & 1) for i in range(4)], [3, 4, 4, 0]]
    label = make_label(rows, {1: SKY, 2: ROAD, 3: CAR, 4: CAR})
    categories = make_categories()
    content = measure(label, categories, crop)
    count = count_actions(content, ("boxes", "tags", "boxes+tags"))

    assert count["boxes+tags"]["box"] == count["boxes"]["box"]
    assert 0 < count["boxes+tags"]["tag"] < count["tags"]["tag"]
    questions = {kind: count[kind]["tag"] + count[kind][ABSENT_TAGS] for kind in list(count)[1:]}
    # Three classes are asked about in each crop by tags, the two of stuff by boxes+tags.
    assert 2 * questions["tags"] == 3 * questions["boxes+tags"]
