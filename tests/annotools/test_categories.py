import numpy as np
import pytest

from annotools.categories import MAX_CLASSES, Category, CategorySet, distinct_colour
from annotools.errors import AnnotationError, DatasetError
from tests.builders import make_categories


def some_categories(count):
    return tuple(
        Category(category_id=i, name=f"c{i}", is_thing=True, colour=(0, 0, 0)) for i in range(count)
    )


def test_ids_and_class_indices_are_different_numbers():
    categories = make_categories(things=("car", "bus"), stuff=("road",))

    assert len(categories) == 3
    assert categories.class_index_of == {10: 0, 20: 1, 30: 2}
    assert categories.by_id(20).name == "car"
    assert categories.thing_indices == (1, 2)
    assert categories.stuff_indices == (0,)


def test_background_has_an_index_only_where_there_is_one():
    assert make_categories(background=True).background_index == 0
    assert make_categories(background=False).background_index is None


def test_palette_has_one_row_a_class():
    palette = make_categories(things=("car",), stuff=("road",)).palette

    assert palette.dtype == np.uint8
    assert palette.tolist() == [[128, 0, 0], [0, 128, 0]]


def test_unknown_id_names_the_known_ones():
    with pytest.raises(DatasetError, match="unknown category id 7: this dataset has 10, 20, 30"):
        make_categories().by_id(7)


@pytest.mark.parametrize("count", [0, MAX_CLASSES + 1])
def test_number_of_categories_is_limited(count):
    with pytest.raises(DatasetError, match=f"{count} categories: give 1 to 255"):
        CategorySet(categories=some_categories(count))


def test_as_many_categories_as_fit_one_byte_are_accepted():
    assert len(CategorySet(categories=some_categories(MAX_CLASSES))) == 255


def test_an_id_given_twice_is_refused():
    with pytest.raises(AnnotationError, match="same id"):
        CategorySet(categories=some_categories(1) * 2)


def test_background_must_be_in_the_set():
    with pytest.raises(DatasetError, match="background category 5 is not in the set"):
        CategorySet(categories=some_categories(2), background_id=5)


def test_colours_are_those_of_the_voc_development_kit():
    first = [(128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)]
    assert [distinct_colour(i) for i in range(5)] == first
    assert distinct_colour(19) == (0, 64, 128)  # tv/monitor, the last of the 20


def test_colours_of_a_whole_set_differ_from_each_other_and_from_black():
    assert len({(0, 0, 0)} | {distinct_colour(i) for i in range(MAX_CLASSES)}) == 256
