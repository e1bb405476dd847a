import cv2
import numpy as np
import pytest

from annotools.drawing.labels import (
    GAP,
    LAYERS,
    contact_sheet,
    draw_label,
    encode_jpeg,
    encode_png,
    enlarge,
    enlarge_label,
    readable_factor,
)
from annotools.drawing.lettering import Name, write_block, write_names
from annotools.errors import DatasetError
from annotools.weak_labels.points import points_of
from annotools.weak_labels.weaken import weaken
from tests.builders import make_categories, make_label


def test_segments_are_tinted_halfway_to_their_colour() -> None:
    categories = make_categories()
    rows = np.full((40, 80), 1)
    rows[:, 40:] = 2
    label = make_label(rows.tolist(), {1: 10, 2: 20})
    picture = draw_label(np.full((40, 80, 3), 100, dtype=np.uint8), label, categories)
    for x, category_id in ((5, 10), (75, 20)):
        colour = categories.by_id(category_id).colour
        assert picture[38, x].tolist() == [(100 + c) // 2 for c in colour]
    assert (picture[:, 39] == 255).all(axis=1).sum() > 20  # The outline, but for names on it.


@pytest.mark.parametrize("layer", ["boxes", "tags"])
def test_boxes_alone_are_drawn_as_those_of_masks(layer: str) -> None:
    categories = make_categories(stuff=("ground",), background=True)
    rows = np.full((60, 90), 1)
    rows[5:20, 60:80] = 3
    rows[10:50, 20:70] = 2
    rows[45:60, 0:25] = 4
    label = make_label(rows.tolist(), {1: 10, 2: 20, 3: 20, 4: 20}, groups=[3])
    photo = np.zeros((60, 90, 3), dtype=np.uint8)
    boxes = weaken(label, categories, "boxes", None)
    for factor in (1, 3):
        expected, drawn = (
            draw_label(photo, shown, categories, [layer], crop_size_wh=(50, 60), factor=factor)
            for shown in (label, boxes)
        )
        assert expected.any()
        assert (drawn == expected).all()


def test_void_is_darkened_and_has_no_name() -> None:
    label = make_label(np.zeros((20, 30), dtype=int).tolist(), {})
    picture = draw_label(np.full((20, 30, 3), 101, dtype=np.uint8), label, make_categories())
    assert picture.dtype == np.uint8
    assert (picture == 50).all()


def test_box_of_a_thing_is_drawn_in_its_colour_on_its_own_pixels() -> None:
    categories = make_categories()
    rows = np.full((60, 90), 1)
    rows[10:50, 20:70] = 2
    label = make_label(rows.tolist(), {1: 10, 2: 30})
    picture = draw_label(np.zeros((60, 90, 3), dtype=np.uint8), label, categories)
    car = list(categories.by_id(30).colour)
    assert picture[49, 20].tolist() == car
    assert picture[49, 69].tolist() == car
    assert picture[50, 70].tolist() != car


def test_drawing_leaves_the_photo_alone() -> None:
    photo = np.full((20, 30, 3), 7, dtype=np.uint8)
    draw_label(photo, make_label(np.ones((20, 30), dtype=int).tolist(), {1: 10}), make_categories())
    assert (photo == 7).all()


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 100, dtype=np.uint8)


def test_only_the_layers_asked_for_are_drawn() -> None:
    label = make_label(np.ones((30, 40), dtype=int).tolist(), {1: 10})
    assert (draw_label(grey(30, 40), label, make_categories(), layers=()) == 100).all()
    boxes = draw_label(grey(30, 40), label, make_categories(), layers=("boxes",))
    assert (boxes == 100).all()  # There is no thing.


def test_a_point_is_drawn_in_its_colour_where_it_was_clicked() -> None:
    categories = make_categories()
    label = make_label(np.ones((40, 60), dtype=int).tolist(), {1: 10})
    drawn = draw_label(grey(40, 60), label, categories, layers=("points",), seed=3, factor=4)
    point = points_of(label, categories, 3)[0]
    assert drawn.shape == (160, 240, 3)
    assert drawn[4 * point.y + 2, 4 * point.x + 2].tolist() == list(categories.by_id(10).colour)


def test_scribbles_and_outlines_stay_near_their_segment() -> None:
    categories = make_categories()
    rows = np.zeros((60, 200), dtype=int)
    rows[:, :60] = 1
    label = make_label(rows.tolist(), {1: 20})
    for layer in ("scribbles", "coarse"):
        drawn = draw_label(grey(60, 200), label, categories, layers=(layer,))
        assert (drawn[:, :60] != 100).any()
        assert (drawn[:, 100:] == 100).all()


def test_each_crop_is_marked_where_it_begins_and_lists_its_categories() -> None:
    categories = make_categories()
    rows = np.full((200, 300), 1)
    rows[:, 200:] = 2
    label = make_label(rows.tolist(), {1: 10, 2: 20})
    drawn = draw_label(grey(200, 300), label, categories, layers=("tags",), crop_size_wh=(150, 200))
    assert (drawn[100, 150] == 255).all()
    road, sky = (list(categories.by_id(i).colour) for i in (10, 20))
    for half, expected in ((drawn[:, 8:140], [road]), (drawn[:, 160:], [road, sky])):
        colours = half.reshape(-1, 3).tolist()
        assert [colour for colour in (road, sky) if colour in colours] == expected


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_can_draw_groups_void_and_the_smallest_image(layer: str) -> None:
    for rows in ([[1]], [[0]], [[1, 2], [0, 2]]):
        label = make_label(rows, {1: 10, 2: 30}, groups=[2])
        drawn = draw_label(
            np.zeros((*label.segment_map.shape, 3), dtype=np.uint8),
            label,
            make_categories(),
            layers=(layer,),
            factor=3,
        )
        assert drawn.shape == (3 * len(rows), 3 * len(rows[0]), 3)
    # Nothing in so few pixels is far enough from its border for an outline.
    assert drawn.any() == (layer != "coarse")


def test_names_lie_inside_the_picture_and_beside_each_other() -> None:
    picture = np.zeros((80, 120, 3), dtype=np.uint8)
    red = Name(text="car", colour=(200, 0, 0), left=500, top=-9)
    write_names(picture, [red])
    found = np.argwhere((picture == (200, 0, 0)).all(axis=2))
    # The border of a name is in the colour of its letters.
    assert found[:, 0].min() == 1
    assert found[:, 1].max() == 118
    alone = len(found)
    write_names(picture, [red, Name(text="road", colour=(0, 0, 200), left=500, top=-9)])
    assert (picture == (200, 0, 0)).all(axis=2).sum() == alone
    assert (picture == (0, 0, 200)).all(axis=2).any()


def test_a_name_without_room_is_left_out() -> None:
    names = [Name(text="car", colour=(200, i, 0), left=0, top=0) for i in range(40)]
    picture = np.zeros((20, 40, 3), dtype=np.uint8)
    write_names(picture, names)
    drawn = set(map(tuple, picture.reshape(-1, 3).tolist()))
    assert [name.colour for name in names if name.colour in drawn] == [(200, 0, 0)]


def test_a_block_of_names_becomes_smaller_to_fit_its_area() -> None:
    picture = np.zeros((200, 300, 3), dtype=np.uint8)
    names = [Name(text="vegetation", colour=(200, 0, 0), left=0, top=0)] * 12
    write_block(picture, names, (100, 50, 200, 130))
    rows, columns = np.nonzero(picture.any(axis=2))
    assert (rows.min(), columns.min()) == (50, 100)
    assert rows.max() < 130
    assert columns.max() < 200


def test_enlarging_repeats_pixels_and_keeps_groups() -> None:
    label = make_label([[1, 2], [0, 2]], {1: 10, 2: 30}, groups=[2])
    photo = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large_photo, large = enlarge(photo, 3), enlarge_label(label, 3)
    assert large_photo.shape == (6, 6, 3)
    assert large_photo[5, 0].tolist() == photo[1, 0].tolist()
    assert large.segment_map[2, 2] == 1
    assert large.segment_map[3, 0] == 0
    assert [(s.area, s.is_group) for s in large.segments] == [(9, False), (18, True)]


@pytest.mark.parametrize(
    ("size_wh", "factor"),
    [
        *(((96, 64), 7), ((640, 480), 1), ((641, 9000), 1)),
        # Strips: twice as high is above the limit, and one pixel wide would be 640 times.
        *(((100, 2048), 2), ((100, 2049), 1), ((3, 5000), 1), ((1, 1), 640)),
    ],
)
def test_photos_are_enlarged_until_names_can_be_read_or_a_side_is_long(
    size_wh: tuple[int, int], factor: int
) -> None:
    assert readable_factor(*size_wh) == factor


def test_a_picture_that_no_jpeg_can_hold_is_refused() -> None:
    with pytest.raises(DatasetError, match="1 x 70000 pixels is too large"):
        encode_jpeg(np.zeros((70000, 1, 3), dtype=np.uint8))


def test_contact_sheet_places_pictures_in_rows() -> None:
    pictures = [np.full((4, 6, 3), value, dtype=np.uint8) for value in (1, 2, 3)]
    sheet = contact_sheet(pictures, columns=2)
    assert sheet.shape == (8 + GAP, 12 + GAP, 3)
    assert (sheet[:4, :6] == 1).all()
    assert (sheet[:4, 6 + GAP :] == 2).all()
    assert (sheet[4 + GAP :, :6] == 3).all()
    assert (sheet[4 + GAP :, 6:] == 255).all()


def test_contact_sheet_cells_are_as_large_as_the_largest_picture() -> None:
    small, large = np.zeros((2, 3, 3), dtype=np.uint8), np.zeros((5, 4, 3), dtype=np.uint8)
    assert contact_sheet([small, large], columns=5).shape == (5, 8 + GAP, 3)


def test_contact_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], columns=2)


def test_png_keeps_red_red() -> None:
    picture = np.zeros((2, 2, 3), dtype=np.uint8)
    picture[..., 0] = 255
    decoded = cv2.imdecode(np.frombuffer(encode_png(picture), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert decoded is not None
    assert decoded.tolist() == picture.tolist()
