import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotools.costs import count_actions, price_seconds
from annotools.errors import TimesError
from annotools.times import AnnotationTimes, read_times
from tests.builders import make_categories, make_label

ROAD, SKY, CAR = 10, 20, 30

LABEL = make_label([[1, 1, 2, 2], [3, 4, 4, 0]], {1: SKY, 2: ROAD, 3: CAR, 4: CAR}, groups=[4])
PAPER = read_times("li2018")


@pytest.mark.parametrize(
    ("kind", "crop", "actions"),
    [
        ("boxes", (2, 2), {"box": 2}),
        ("tags", None, {"tag": 3}),
        ("tags", (2, 2), {"tag": 2 + 2}),
        ("boxes+tags", (2, 2), {"box": 2, "tag": 1 + 1}),
        ("boxes+tags", (4, 1), {"box": 2, "tag": 2 + 0}),
        ("full", (2, 2), {"full_image": 1}),
    ],
)
def test_actions_where_stuff_is_labelled(kind, crop, actions):
    assert count_actions(LABEL, make_categories(), kind, crop) == actions


@pytest.mark.parametrize(
    ("kind", "actions"),
    [
        ("boxes", {"box": 2}),
        ("tags", {"tag": 1}),
        ("boxes+tags", {"box": 2}),
        ("full", {"mask": 2}),
    ],
)
def test_actions_where_all_stuff_is_background(kind, actions):
    categories = make_categories(stuff=("background",), background=True)
    label = make_label([[1, 2, 3]], {1: 10, 2: 20, 3: 20}, groups=[3])

    assert count_actions(label, categories, kind, None) == actions


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'scribbles'"):
        count_actions(LABEL, make_categories(), "scribbles", None)


def test_a_cityscapes_image_costs_what_the_paper_says():
    weak = price_seconds({"box": 17.9, "tag": 15 * 3.8}, PAPER)
    full = price_seconds({"full_image": 1}, PAPER)

    assert weak == pytest.approx(182.3, abs=1e-9)
    assert full == 5400
    assert full / weak == pytest.approx(29.62, abs=0.005)
    assert 100 * weak / full == pytest.approx(3.376, abs=0.0005)


@pytest.mark.parametrize(
    ("images", "hours"),
    [
        (2975, (103.5, 47.1, 150.7, 4462.5)),
        (3475, (120.9, 55.0, 176.0, 5212.5)),
    ],
)
def test_cityscapes_splits_cost_what_the_paper_says(images, hours):
    labels = [{"box": 17.9}, {"tag": 57}, {"box": 17.9, "tag": 57}, {"full_image": 1}]
    priced = [images * price_seconds(label, PAPER) / 3600 for label in labels]

    assert priced == pytest.approx(hours, abs=0.05)


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
    count = {
        kind: count_actions(label, make_categories(), kind, crop)
        for kind in ("boxes", "tags", "boxes+tags")
    }

    assert count["boxes+tags"]["box"] == count["boxes"]["box"]
    assert 0 < count["boxes+tags"]["tag"] < count["tags"]["tag"]
