import csv
import itertools
import json
import pickle
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageDraw

from annotools.category_tables.cityscapes import CITYSCAPES_CATEGORIES, LABEL_NAMES
from annotools.errors import DatasetError
from annotools.formats import cityscapes, read_dataset
from annotools.records import Drop, Segment
from tests.real_data import DATA, real_data

ROAD, SKY, CAR, PERSON = 7, 23, 26, 24
EGO_VEHICLE, PARKING = 1, 9
THINGS = [c for c in CITYSCAPES_CATEGORIES.categories if c.is_thing]
AACHEN = "aachen/aachen_000000_000019"


def write_png(path, rows, dtype=np.uint16):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.array(rows, dtype=dtype))


def write_label(root, rows, key=AACHEN, ending="instanceIds", folder="gtFine", split="train"):
    path = root / folder / split / f"{key}_{folder}_{ending}.png"
    write_png(path, rows, np.uint8 if ending == "labelIds" else np.uint16)
    return path


def write_polygons(root, objects, size=(6, 4), key=AACHEN):
    path = root / "gtFine" / "train" / f"{key}_gtFine_polygons.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"imgWidth": size[0], "imgHeight": size[1], "objects": objects}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_photo(root, key=AACHEN, shape=(2, 3, 3), split="train"):
    path = root / "leftImg8bit" / split / f"{key}_leftImg8bit.png"
    write_png(path, np.full(shape, 9), np.uint8)
    return path


def read_only_label(root, split="train"):
    dataset = cityscapes.read(root, split)
    (image,) = dataset.images
    return dataset.read_label(image)


def polygon(label, x0, y0, x1, y1, **others):
    """A rectangle with pixels x0..x1 and y0..y1, all included, as PIL draws it."""
    return {"label": label, "polygon": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]], **others}


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


def test_images_come_with_their_photos(tmp_path):
    key = "bad-honnef/bad-honnef_000001_000002"
    for name in (key, AACHEN):
        write_label(tmp_path, [[ROAD] * 3] * 2, key=name)
        write_photo(tmp_path, key=name)
    (tmp_path / "gtFine" / "train" / "aachen" / "._aachen_000000_000019_gtFine_color.png").touch()
    dataset = pickle.loads(pickle.dumps(read_dataset("cityscapes", tmp_path, "train")))

    assert [i.image_id for i in dataset.images] == [
        "aachen_000000_000019",
        "bad-honnef_000001_000002",
    ]
    image = dataset.images[1]
    assert (image.file_name, image.width, image.height) == (f"{key}_leftImg8bit.png", 3, 2)
    assert dataset.read_photo(image).tolist() == [[[9, 9, 9]] * 3] * 2
    assert [path.name for path in image.label_paths] == [
        "bad-honnef_000001_000002_gtFine_instanceIds.png"
    ]
    assert dataset.drops == ()


def test_labels_alone_are_enough(tmp_path):
    write_label(tmp_path, [[ROAD]])

    assert cityscapes.read(tmp_path, "train").images[0].path is None
    assert cityscapes.read(tmp_path / "gtFine", "train").images[0].path is None


def test_root_may_be_the_folder_of_either_kind(tmp_path, monkeypatch):
    write_label(tmp_path, [[ROAD]])
    write_label(tmp_path, [[SKY]], folder="gtCoarse")
    write_label(tmp_path, [[SKY]], folder="gtCoarse", split="train_extra")

    def read_class(root, split):
        dataset = cityscapes.read(root, split)
        return dataset.read_label(dataset.images[0]).segments[0].category_id

    assert read_class(tmp_path, "train") == ROAD
    assert read_class(tmp_path, "train_extra") == SKY
    assert read_class(tmp_path / "gtCoarse", "train") == SKY
    monkeypatch.chdir(tmp_path / "gtCoarse")
    assert read_class(Path(), "train") == SKY
    assert cityscapes.read(tmp_path, "train_extra").notes[0] == "labels come from gtCoarse"


def test_a_split_that_is_not_there_lists_those_that_are(tmp_path):
    write_label(tmp_path, [[ROAD]], split="val")

    with pytest.raises(DatasetError, match=r"no split 'train' .*; it has gtFine/val$"):
        cityscapes.read(tmp_path, "train")
    with pytest.raises(DatasetError, match="it has none"):
        cityscapes.read(tmp_path / "elsewhere", "train")


def test_a_split_without_labels_is_an_error(tmp_path):
    (tmp_path / "gtFine" / "train" / "aachen").mkdir(parents=True)

    with pytest.raises(DatasetError, match="no labels"):
        cityscapes.read(tmp_path, "train")


def test_one_name_in_two_cities_is_an_error(tmp_path):
    for city in ("bonn", "aachen"):
        write_label(tmp_path, [[ROAD]], key=f"{city}/a_1_2")

    with pytest.raises(DatasetError, match="aachen/a_1_2 and bonn/a_1_2: rename one"):
        cityscapes.read(tmp_path, "train")


def test_missing_photos_and_labels_are_refused_or_listed(tmp_path):
    for key in ("bonn/b_0_1", AACHEN):
        write_label(tmp_path, [[ROAD]], key=key)
    for key in ("bonn/b_0_2", AACHEN):
        write_photo(tmp_path, key=key)

    with pytest.raises(DatasetError, match=r"b_0_1_gtFine_inst.*photo is missing.*1 more image"):
        cityscapes.read(tmp_path, "train")
    dataset = cityscapes.read(tmp_path, "train", allow_missing=True)
    assert [image.image_id for image in dataset.images] == ["aachen_000000_000019"]
    assert [drop.place.rpartition("/")[2] for drop in dataset.drops] == [
        "b_0_1_gtFine_instanceIds.png",
        "b_0_2_leftImg8bit.png",
    ]
    assert dataset.drops[1].reason == "the photo has no label"


def test_label_ids_alone_give_groups(tmp_path):
    write_label(tmp_path, [[ROAD, CAR, CAR, PERSON]], ending="labelIds")
    dataset = cityscapes.read(tmp_path, "train")
    label = dataset.read_label(dataset.images[0])

    assert [(s.segment_id, s.area, s.is_group) for s in label.segments] == [
        (ROAD, 1, False),
        (PERSON, 1, True),
        (CAR, 2, True),
    ]
    assert dataset.notes[-1] == "things are groups in 1 images that have labelIds.png alone"


def test_label_ids_among_instance_ids_are_incomplete(tmp_path):
    write_label(tmp_path, [[ROAD]])
    write_label(tmp_path, [[ROAD]], ending="labelIds")
    write_label(tmp_path, [[CAR]], key="bonn/b_0_1", ending="labelIds")

    with pytest.raises(DatasetError, match=r"b_0_1_gtFine_labelIds\.png: has no inst"):
        cityscapes.read(tmp_path, "train")
    dataset = cityscapes.read(tmp_path, "train", allow_missing=True)
    assert len(dataset.images) == 2
    assert dataset.drops == ()
    assert "groups in 1 images" in dataset.notes[-1]


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


def test_real_segments_are_those_of_the_official_converter(tmp_path):
    root = real_data("cityscapes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic

        convert2panoptic(str(root / "gtFine"), str(tmp_path), setNames=["train"])
    official = json.loads((tmp_path / "cityscapes_panoptic_train.json").read_text())
    dataset = cityscapes.read(root, "train")

    assert len(dataset.images) == len(official["annotations"]) == 22
    num_instances = 0
    for image, annotation in zip(dataset.images, official["annotations"], strict=True):
        label = dataset.read_label(image)
        found = {
            (s.segment_id, s.category_id, s.area, *s.box_xyxy, int(s.is_group))
            for s in label.segments
        }
        assert image.image_id == annotation["image_id"]
        assert found == {
            (s["id"], s["category_id"], s["area"], x, y, x + width, y + height, s["iscrowd"])
            for s in annotation["segments_info"]
            for x, y, width, height in [s["bbox"]]
        }
        num_instances += sum(s.segment_id >= 1000 for s in label.segments) + len(label.drops)
    assert num_instances == 310


def test_real_polygons_are_drawn_as_the_official_tool_does(tmp_path):
    root = real_data("cityscapes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cityscapesscripts.helpers.annotation import Annotation
        from cityscapesscripts.preparation.json2instanceImg import createInstanceImage

    for path in sorted((root / "gtFine" / "train" / "jena").glob("*_polygons.json")):
        (tmp_path / "gtFine" / "train" / "jena").mkdir(parents=True, exist_ok=True)
        copy = tmp_path / "gtFine" / "train" / "jena" / path.name
        copy.write_bytes(path.read_bytes())
        annotation = Annotation()
        annotation.fromJsonFile(str(path))
        official = np.array(createInstanceImage(annotation, "ids"))
        drawn = read_only_label(tmp_path).segment_map
        shipped_path = path.with_name(path.name.replace("polygons.json", "instanceIds.png"))
        shipped = cv2.imread(str(shipped_path), cv2.IMREAD_UNCHANGED)

        np.testing.assert_array_equal(drawn[drawn > 0], official[drawn > 0])
        assert set(np.unique(official[drawn == 0]) // 1000) == {0}
        # Pillow has changed which pixels of an outline it fills since the maps were published.
        assert (drawn[drawn > 0] == shipped[drawn > 0]).mean() > 0.995
        copy.unlink()


def instance_boxes(label):
    return [s.box_xyxy for s in label.segments if s.segment_id >= 1000]


def test_real_boxes_are_those_of_the_paper_s_code():
    dataset = cityscapes.read(real_data("cityscapes"), "train")
    path = DATA.parent / "reference" / "li2018" / "boxes.csv"
    if not path.exists():
        pytest.skip(f"no reference at {path}: set ANNOTOOLS_DATA")
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["is_stuff"] == "0"]
    expected = [
        (int(row["xmin"]), int(row["ymin"]), int(row["xmax"]) + 1, int(row["ymax"]) + 1)
        for row in rows
    ]
    (image,) = (i for i in dataset.images if i.image_id == "aachen_000000_000019")
    polygons = Path(str(image.label_paths[0]).replace("instanceIds.png", "polygons.json"))
    drawn = dataset.read_label(replace(image, label_paths=(polygons,)))

    assert len(expected) == 13
    assert {row["is_group"] for row in rows} == {"0"}
    assert instance_boxes(drawn) == expected
    # The boxes are those of the polygons; the published map draws most of them a pixel smaller.
    shipped = instance_boxes(dataset.read_label(image))
    assert np.abs(np.subtract(shipped, expected)).max() == 1


def test_real_test_labels_are_void():
    dataset = cityscapes.read(real_data("cityscapes"), "test")

    assert len(dataset.images) >= 1
    assert all(dataset.read_label(image).segments == () for image in dataset.images)


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


def test_real_boxes_are_those_of_the_polygons_as_drawn():
    """Each polygon is drawn by itself, as the official tools draw it, and measured."""
    dataset = cityscapes.read(real_data("cityscapes"), "train")
    compared = 0
    for image in dataset.images:
        if image.label_paths[-1].suffix != ".json":
            continue
        boxes = dataset.read_label(image).objects
        content = json.loads(image.label_paths[-1].read_text())
        count = Counter()
        for thing in content["objects"]:
            category = next((c for c in THINGS if c.name == thing["label"]), None)
            if category is None or thing.get("deleted"):
                continue
            canvas = Picture.new("1", image.size_wh)
            ImageDraw.Draw(canvas).polygon([tuple(point) for point in thing["polygon"]], fill=1)
            number = category.category_id * 1000 + count[category.name]
            count[category.name] += 1
            assert boxes[number].box_xyxy == canvas.getbbox()
            compared += 1
    assert compared > 200


def test_real_vertices():
    dataset = cityscapes.read(real_data("cityscapes"), "train")
    names = {category.name for category in dataset.categories.categories}
    # A polegroup is a label of its own, and no pole.
    evaluated = (names | {f"{name}group" for name in names}) - {"polegroup"}
    counts = {}
    for image in dataset.images:
        path = image.label_paths[0]
        path = path.with_name(path.name.replace("instanceIds.png", "polygons.json"))
        counts[image.image_id] = None
        if path.exists():
            objects = json.loads(path.read_text())["objects"]
            rings = [o["polygon"] for o in objects if o["label"] in evaluated]
            counts[image.image_id] = sum(
                len(list(itertools.groupby(ring))) - (ring[0] == ring[-1]) for ring in rings
            )

    assert {i.image_id: dataset.count_vertices(i) for i in dataset.images} == counts
    known = [count for count in counts.values() if count is not None]
    assert (len(known), sum(known)) == (15, 25944)
