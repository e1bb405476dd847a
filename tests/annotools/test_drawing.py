import cv2
import numpy as np
import pytest

from annotools.drawing import GAP, contact_sheet, draw_label, encode_png, enlarge
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


def test_enlarging_repeats_pixels_and_keeps_groups() -> None:
    label = make_label([[1, 2], [0, 2]], {1: 10, 2: 30}, groups=[2])
    photo = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large_photo, large = enlarge(photo, label, 3)
    assert large_photo.shape == (6, 6, 3)
    assert large_photo[5, 0].tolist() == photo[1, 0].tolist()
    assert large.segment_map[2, 2] == 1
    assert large.segment_map[3, 0] == 0
    assert [(s.area, s.is_group) for s in large.segments] == [(9, False), (18, True)]


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
