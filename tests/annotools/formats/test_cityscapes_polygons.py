import pickle

import pytest

from annotools.errors import DatasetError
from annotools.formats import cityscapes
from annotools.records import Drop
from tests.annotools.formats.cityscapes_files import (
    CAR,
    ROAD,
    SKY,
    polygon,
    read_only_label,
    write_label,
    write_polygons,
)


def test_polygons_are_drawn_in_the_order_of_the_file(tmp_path):
    path = write_polygons(
        tmp_path,
        [
            polygon("road", 0, 0, 5, 3),
            polygon("car", 0, 0, 1, 1),
            polygon("car", 5, 0, 5, 0),  # covered by the caravan
            polygon("cargroup", 4, 3, 5, 3),
            polygon("caravan", 5, 0, 5, 1),
            polygon("car", 1, 1, 2, 1),
            polygon("license plate", 2, 1, 2, 1),
            polygon("person", 0, 3, 0, 3, deleted=1),
            polygon("polegroup", 0, 3, 0, 3),
            polygon("skygroup", 3, 0, 3, 0),
        ],
    )
    label = read_only_label(tmp_path)

    assert label.segment_map.tolist() == [
        [26000, 26000, ROAD, SKY, ROAD, 0],
        [26000, 26002, 26002, ROAD, ROAD, 0],
        [ROAD] * 6,
        [0, ROAD, ROAD, ROAD, CAR, CAR],
    ]
    assert [s.segment_id for s in label.segments if s.is_group] == [CAR]
    assert [(d.place, d.reason) for d in label.drops] == [
        (f"{path}: objects[4]", "category caravan is not one of the 19 evaluated"),
    ]
    assert label.unseen == {
        26001: Drop(place=f"{path}: objects[2]", reason="other objects cover it")
    }
    # Boxes are those of the polygons: the first car goes on under the third one.
    boxes = {n: box.box_xyxy for n, box in label.objects.items() if n >= 26000 or n == CAR}
    assert boxes == {
        26000: (0, 0, 2, 2),
        26001: (5, 0, 6, 1),
        26002: (1, 1, 3, 2),
        CAR: (4, 3, 6, 4),
    }


def test_boxes_of_an_instance_map_are_those_of_its_polygons(tmp_path):
    write_label(tmp_path, [[26000, 26000, 26001, 26001, 0, 0]] + [[ROAD] * 6] * 3)
    write_polygons(
        tmp_path,
        [
            polygon("car", 0, 0, 3, 0),
            polygon("car", 2, 0, 3, 0),
            polygon("person", 5, 3, 8, 7),  # reaches out of the image
            polygon("road", 0, 0, 5, 3),
        ],
    )
    label = read_only_label(tmp_path)

    assert {n: box.box_xyxy for n, box in label.objects.items() if n != ROAD} == {
        26000: (0, 0, 4, 1),
        26001: (2, 0, 4, 1),
        24000: (5, 3, 6, 4),
    }
    assert [drop.reason for drop in label.unseen.values()] == ["other objects cover it"]
    assert label.doubts == ()


def test_polygons_of_another_map_are_doubted_and_not_used(tmp_path):
    write_label(tmp_path, [[26000, 26000, ROAD, ROAD, ROAD, ROAD]] + [[ROAD] * 6] * 3)
    path = write_polygons(tmp_path, [polygon("car", 4, 2, 5, 3), polygon("person", 0, 0, 1, 1)])
    label = read_only_label(tmp_path)

    assert label.own_boxes == {}
    assert [(d.place, d.reason) for d in label.doubts] == [
        (f"{path}: objects[0]", "does not fit the pixels of its instance: not used")
    ]


def test_more_than_a_thousand_cars_stay_cars(tmp_path):
    cars = [polygon("car", n % 40, n // 40, n % 40, n // 40) for n in range(1200)]
    write_polygons(tmp_path, cars, size=(40, 30))
    label = read_only_label(tmp_path)

    assert len(label.segments) == 1200
    assert {(s.category_id, s.area, s.is_group) for s in label.segments} == {(CAR, 1, False)}


def with_polygon(points):
    return [{"label": "car", "polygon": points}]


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (None, "objects is missing or not a list"),
        ([3], r"objects\[0\]: is not an object"),
        ([{}], "label is missing"),
        ([polygon("tree", 0, 0, 1, 1)], "label 'tree' is none of Cityscapes"),
        ([{"label": "car"}], "polygon is missing"),
        (with_polygon([[1, 1]]), "not a list of points"),
        (with_polygon([[1, 1], [2, 2], 3]), "the point 3, not x and y"),
        (with_polygon([[1, 1], [2, 2], [1, 1, 1]]), "not x and y"),
        (with_polygon([[1, 1], [2, 2], [1, "1"]]), "coordinate '1'"),
        (with_polygon([[1, 1], [2, 2], [1, True]]), "coordinate True"),
        (with_polygon([[1, 1], [2, 2], [1, float("nan")]]), "coordinate nan"),
        (with_polygon([[1, 1], [2, 2], [1e12, 1]]), "not one near the image"),
    ],
)
def test_impossible_polygons(tmp_path, objects, message):
    path = write_polygons(tmp_path, objects)

    with pytest.raises(DatasetError, match=message) as caught:
        read_only_label(tmp_path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(0, 4), (10**6, 10**6), (6.0, 4)])
def test_impossible_sizes_of_polygon_files(tmp_path, size):
    write_polygons(tmp_path, [], size=size)

    with pytest.raises(DatasetError, match=r"polygons\.json: (size|imgWidth)"):
        cityscapes.read(tmp_path, "train")


def test_polygon_files_that_change_or_are_no_objects(tmp_path):
    path = write_polygons(tmp_path, [])
    dataset = cityscapes.read(tmp_path, "train")
    write_polygons(tmp_path, [], size=(5, 5))
    with pytest.raises(DatasetError, match="is not of the size 6 x 4"):
        dataset.read_label(dataset.images[0])
    path.write_text("[]")
    with pytest.raises(DatasetError, match=r"polygons\.json: is not an object"):
        cityscapes.read(tmp_path, "train")


def count_vertices(root):
    dataset = pickle.loads(pickle.dumps(cityscapes.read(root, "train")))
    return [dataset.count_vertices(image) for image in dataset.images]


def test_vertices_of_evaluated_labels_are_counted(tmp_path):
    triangle = [[0, 0], [3, 0], [3, 3]]
    objects = [
        polygon("out of roi", 0, 0, 5, 3),
        polygon("road", 0, 0, 5, 3),  # 4 corners, although sky covers it
        {"label": "sky", "polygon": [*triangle, [0, 3], [0, 3], [0, 0]]},  # 4, two given again
        {"label": "cargroup", "polygon": triangle},  # 3
        polygon("caravan", 0, 0, 1, 1),
        polygon("polegroup", 0, 0, 1, 1),
        polygon("license plate", 0, 0, 1, 1),
        polygon("person", 0, 0, 1, 1, deleted=1),
    ]
    write_polygons(tmp_path, objects)
    assert count_vertices(tmp_path) == [11]

    # It is the same file beside either of the label maps, and nobody counts where there is none.
    write_label(tmp_path, [[ROAD] * 6] * 4)
    assert count_vertices(tmp_path) == [11]
    write_label(tmp_path, [[ROAD] * 6] * 4, key="bonn/bonn_000000_000019")
    assert count_vertices(tmp_path) == [11, None]


def test_vertices_beside_label_ids_and_of_nothing(tmp_path):
    write_label(tmp_path, [[ROAD] * 6] * 4, ending="labelIds")
    write_polygons(tmp_path, [polygon("ego vehicle", 0, 0, 1, 1)])

    assert count_vertices(tmp_path) == [0]


def test_damaged_polygons_are_named(tmp_path):
    write_label(tmp_path, [[ROAD] * 6] * 4)
    path = write_polygons(tmp_path, [polygon("bred", 0, 0, 1, 1)])

    for use in (read_only_label, count_vertices):
        with pytest.raises(DatasetError, match="'bred' is none of Cityscapes") as caught:
            use(tmp_path)
        assert path.name in str(caught.value)
    write_polygons(tmp_path, [], size=(3, 3))
    for use in (read_only_label, count_vertices):
        with pytest.raises(DatasetError, match="is not of the size 6 x 4"):
            use(tmp_path)
