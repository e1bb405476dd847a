from pathlib import Path

import numpy as np
import pytest

from annotools.categories import IGNORE_INDEX
from annotools.formats.panoptic_folder import label_from_maps
from annotools.formats.source import Source, open_source
from annotools.label_maps import class_map, instance_map
from annotools.records import MARKED_KINDS, Outline, Point, Scribble, WeakLabel
from annotools.weak_labels.annotators import Annotator, PointHabits, PolygonHabits
from annotools.weak_labels.buy import buy
from annotools.weak_labels.marks import mark
from tests.builders import make_categories, make_label
from tests.wsps.pseudo_label_runs import make_world, run_well
from wsps.label_sets import read_label_set
from wsps.labelled_photos import read_examples
from wsps.pseudo_labels.marks import label_from_marks, lay_over
from wsps.pseudo_labels.refine import PseudoLabel
from wsps.recipe import ImageSettings

CATEGORIES = make_categories()  # road 0, sky 1, car 2
VOID = IGNORE_INDEX


def weak(*marks: Point | Scribble | Outline, groups: tuple[int, ...] = ()) -> WeakLabel:
    return WeakLabel(image_id=1, marks=marks, group_ids=groups)


def test_a_click_is_a_small_cross_and_all_else_is_void() -> None:
    car = Point(segment_id=7, category_id=30, x=2, y=1)
    made = label_from_marks(weak(car), (5, 4), CATEGORIES)
    assert made.classes.tolist() == [
        [VOID, VOID, 2, VOID, VOID],
        [VOID, 2, 2, 2, VOID],
        [VOID, VOID, 2, VOID, VOID],
        [VOID] * 5,
    ]
    assert made.instances.tolist() == [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0], [0] * 5]


def test_things_have_the_number_of_their_mark_stuff_and_groups_none() -> None:
    marks = [Point(segment_id=n, category_id=c, x=4 * n, y=1) for n, c in enumerate((10, 30, 30))]
    made = label_from_marks(weak(*marks, groups=(2,)), (10, 3), CATEGORIES)
    assert made.classes[1, [0, 4, 8]].tolist() == [0, 2, 2]
    assert made.instances[1, [0, 4, 8]].tolist() == [0, 2, 0]


def test_where_two_marks_meet_nobody_knows() -> None:
    """Clicks on neighbours two pixels apart share the pixel between them."""
    marks = [Point(segment_id=n, category_id=30, x=1 + 2 * n, y=0) for n in range(2)]
    made = label_from_marks(weak(*marks), (5, 1), CATEGORIES)
    assert made.classes.tolist() == [[2, 2, VOID, 2, 2]]
    assert made.instances.tolist() == [[1, 1, 0, 2, 2]]


def test_a_stroke_is_three_pixels_wide_and_an_outline_is_filled() -> None:
    stroke = Scribble(segment_id=1, category_id=10, points_xy=((1, 1), (4, 1)))
    outline = Outline(
        segment_id=2,
        category_id=30,
        polygons_xy=(((0, 4), (3, 4), (3, 6), (0, 6)), ((2, 5), (5, 5), (5, 7), (2, 7))),
    )
    made = label_from_marks(weak(stroke, outline), (6, 8), CATEGORIES)
    assert (made.classes[:3] == 0).all()
    assert (made.classes[4:7, 0:4] == 2).all()  # The corner where both polygons lie as well.
    assert (made.classes[5:8, 2:6] == 2).all()
    assert (made.classes == 2).sum() == 4 * 3 + 4 * 3 - 2 * 2
    assert (made.classes[3] == VOID).all()


def test_marks_are_as_wide_as_photos_are_large() -> None:
    """A click in 2048 pixels has nine: seen with a side of 256 it still has a pixel."""
    point = Point(segment_id=1, category_id=10, x=1000, y=500)
    made = label_from_marks(weak(point), (2048, 1024), CATEGORIES)
    assert (made.classes[500] == 0).sum() == 9
    assert (made.classes[::8, ::8] == 0).any()


def test_marks_at_the_border_stay_in_the_image() -> None:
    point = Point(segment_id=1, category_id=10, x=0, y=2)
    made = label_from_marks(weak(point), (3, 3), CATEGORIES)
    assert (made.classes == 0).tolist() == [
        [False, False, False],
        [True, False, False],
        [True, True, False],
    ]


def test_an_image_without_marks_is_void() -> None:
    assert (label_from_marks(weak(), (3, 2), CATEGORIES).classes == VOID).all()


def test_marks_take_the_place_of_a_prediction() -> None:
    marked = PseudoLabel(
        classes=np.array([[VOID, 2]], dtype=np.uint8), instances=np.array([[0, 3]], dtype=np.int32)
    )
    predicted = PseudoLabel(
        classes=np.array([[2, 1]], dtype=np.uint8), instances=np.array([[0, 0]], dtype=np.int32)
    )
    both = lay_over(marked, predicted)
    assert (both.classes.tolist(), both.instances.tolist()) == ([[2, 2]], [[0, 3]])


def test_an_annotators_habits_move_clicks_and_outlines() -> None:
    label = make_label(np.kron([[1, 2], [3, 3]], np.ones((40, 40), int)), {1: 10, 2: 30, 3: 20})
    habits = Annotator(points=PointHabits(shift=5), polygons=PolygonHabits(boundary_shift=3))
    for kind in ("points", "coarse"):
        perfect = mark(label, CATEGORIES, kind, Annotator(), 0)
        hurried = mark(label, CATEGORIES, kind, habits, 0)
        assert perfect.marks != hurried.marks
        assert {m.segment_id for m in perfect.marks or ()} == {1, 2, 3}
    with pytest.raises(ValueError, match="no kind of marks 'boxes'"):
        mark(label, CATEGORIES, "boxes", Annotator(), 0)


@pytest.mark.parametrize("kind", MARKED_KINDS)
def test_label_sets_of_marks_are_right_where_they_know_and_have_no_boxes(
    kind: str, tmp_path: Path
) -> None:
    """From the dataset over the command to examples: what students see are label maps."""
    world = make_world(tmp_path)
    out = tmp_path / "out"
    table = run_well(world, kind, out)
    everything = next(row for row in table["kinds"][kind]["rows"] if row["kind"] == "all")
    # Discs and bands may leave a thin segment by a pixel; outlines never do.
    assert everything["precision"] > (0.999 if kind == "coarse" else 0.8)
    least, most = {"points": (0, 0.1), "scribbles": (0.02, 0.6), "coarse": (0.3, 1)}[kind]
    assert least < everything["coverage"] < most
    dataset = open_source(Source(format_name="scenes", root=world, split="train"))
    label_set = read_label_set(out)
    assert label_set.images_by_kind == {kind: 4}
    (examples,) = read_examples(label_set, dataset, ImageSettings())
    for image, example in zip(dataset.images, examples, strict=True):
        bought = buy(dataset, image, kind, None)
        assert isinstance(bought, WeakLabel)
        made = label_from_marks(bought, image.size_wh, dataset.categories)
        whole = label_from_maps(1, made.classes, made.instances, dataset.categories)
        assert (example.classes == class_map(whole, dataset.categories)).all()
        assert (example.instances > 0).any() == (instance_map(whole, dataset.categories) > 0).any()
        assert not example.has_boxes
