import json
import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from annotools.categories import CategorySet, distinct_colour
from annotools.errors import DatasetError
from annotools.formats import coco_instances, coco_panoptic, panoptic_png
from annotools.label_maps import build_label
from annotools.records import Drop, Image
from tests.builders import make_categories, make_label
from tests.real_data import real_data

ROAD, PERSON = 7, 1
WIDTH, HEIGHT = 3, 2
ROWS = [[1, 70_000, 70_000], [1, 0, 256]]
CATEGORIES = [
    {"id": ROAD, "name": "road", "isthing": 0, "color": [1, 2, 3]},
    {"id": PERSON, "name": "person", "isthing": 1},
]


def image_entry(image_id=1, file_name="a.jpg", width=WIDTH, height=HEIGHT):
    return {"id": image_id, "file_name": file_name, "width": width, "height": height}


def segment_entry(segment_id=1, category_id=ROAD, **others):
    return {"id": segment_id, "category_id": category_id, "area": 99, "bbox": [9] * 4, **others}


SEGMENTS = (segment_entry(1), segment_entry(70_000, PERSON), segment_entry(256, PERSON, iscrowd=1))


def annotation(segments=SEGMENTS, image_id=1, file_name="a.png"):
    return {"image_id": image_id, "file_name": file_name, "segments_info": list(segments)}


def write_json(path, annotations=None, images=None, categories=CATEGORIES, **others):
    content = {
        "images": [image_entry()] if images is None else images,
        "annotations": [annotation()] if annotations is None else annotations,
        "categories": categories,
        **others,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_png(path, rows=ROWS):
    """The format's arithmetic as its definition says it, and not by the code under test."""
    ids = np.array(rows)
    bgr = np.stack([ids // 256**2, ids // 256 % 256, ids % 256], axis=2).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), bgr)
    return path


def write_dataset(root, rows=ROWS, **content):
    write_png(root / "annotations" / "panoptic_val" / "a.png", rows)
    return write_json(root / "annotations" / "panoptic_val.json", **content)


def read_only_label(root):
    dataset = coco_panoptic.read(root, "val")
    return dataset.read_label(dataset.images[0])


def test_a_label_is_measured_and_its_ids_stay(tmp_path):
    write_dataset(tmp_path)
    label = read_only_label(tmp_path)

    assert label.segment_map.dtype == np.int32
    np.testing.assert_array_equal(label.segment_map, ROWS)
    found = [(s.segment_id, s.category_id, s.area, s.box_xyxy, s.is_group) for s in label.segments]
    assert found == [
        (1, ROAD, 2, (0, 0, 1, 2), False),
        (256, PERSON, 1, (2, 1, 3, 2), True),
        (70_000, PERSON, 2, (1, 0, 3, 1), False),
    ]
    assert (label.image_id, label.drops) == (1, ())


def test_categories_keep_the_order_of_the_file(tmp_path):
    write_dataset(tmp_path)
    categories = coco_panoptic.read(tmp_path, "val").categories

    assert [(c.category_id, c.name, c.is_thing, c.colour) for c in categories.categories] == [
        (ROAD, "road", False, (1, 2, 3)),
        (PERSON, "person", True, distinct_colour(1)),
    ]
    assert categories.background_id is None


def test_images_know_their_files_and_come_by_id(tmp_path):
    images = [image_entry("b", "sub dir/ü.jpg"), image_entry(12), image_entry(2)]
    names = {"b": "sub dir/ü.png", 12: "12.png", 2: "a.png"}
    path = write_dataset(
        tmp_path, images=images, annotations=[annotation((), i, n) for i, n in names.items()]
    )
    label_folder = tmp_path / "annotations" / "panoptic_val"
    for name in names.values():
        write_png(label_folder / name)
    for name in ("sub dir/ü.jpg", *(image["file_name"] for image in images[1:])):
        write_png(tmp_path / "val" / name)
    dataset = coco_panoptic.read(tmp_path, "val")

    assert (dataset.name, dataset.split) == ("coco-panoptic", "val")
    assert dataset.source_files == (path,)
    assert [image.image_id for image in dataset.images] == [2, 12, "b"]
    assert dataset.images[2] == Image(
        image_id="b",
        file_name="sub dir/ü.jpg",
        width=WIDTH,
        height=HEIGHT,
        path=tmp_path / "val" / "sub dir" / "ü.jpg",
        label_paths=(label_folder / "sub dir" / "ü.png",),
    )


def test_without_a_photo_folder_images_have_no_path(tmp_path):
    write_dataset(tmp_path)

    for allow_missing in (False, True):
        dataset = coco_panoptic.read(tmp_path, "val", allow_missing)
        assert [image.path for image in dataset.images] == [None]


def test_crowds_of_stuff_are_no_groups(tmp_path):
    write_dataset(tmp_path, [[1] * 3] * 2, annotations=[annotation([segment_entry(1, iscrowd=1)])])

    assert not read_only_label(tmp_path).segments[0].is_group


def test_segments_of_the_json_without_a_pixel_are_dropped_unless_background(tmp_path):
    background = {"id": 0, "name": "void", "isthing": 0, "is_background": True}
    entries = [*SEGMENTS, segment_entry(5, PERSON), segment_entry(6, 0)]
    path = write_dataset(
        tmp_path, annotations=[annotation(entries)], categories=[background, *CATEGORIES]
    )
    label = read_only_label(tmp_path)

    assert [s.segment_id for s in label.segments] == [1, 256, 70_000]
    assert label.drops == (
        Drop(place=f"{path}: annotations[0]: segment 5", reason="the PNG has no pixel of it"),
    )


def test_segments_of_the_png_alone_are_an_error(tmp_path):
    write_dataset(tmp_path, annotations=[annotation(SEGMENTS[:2])])

    with pytest.raises(DatasetError, match=r"a\.png: segment id 256 of image 1 is not in segments"):
        read_only_label(tmp_path)


def test_a_missing_png_annotation_or_photo_drops_the_image_only_when_allowed(tmp_path):
    images = [image_entry(i, f"{i}.png") for i in range(1, 5)]
    path = write_dataset(
        tmp_path,
        images=images,
        annotations=[annotation(image_id=i, file_name=f"{i}.png") for i in (1, 2, 4)],
    )
    for number in (1, 4):
        write_png(path.parent / "panoptic_val" / f"{number}.png")
    write_png(tmp_path / "val" / "4.png")

    missing = path.parent / "panoptic_val" / "2.png"
    with pytest.raises(DatasetError, match=r"2\.png: the PNG is missing .*without label: 2\)"):
        coco_panoptic.read(tmp_path, "val")
    dataset = coco_panoptic.read(tmp_path, "val", allow_missing=True)
    assert [image.image_id for image in dataset.images] == [4]
    assert dataset.drops == (
        Drop(place=str(missing), reason="the PNG is missing"),
        Drop(place=f"{path}: image 3", reason="the annotation is missing"),
        Drop(place=str(tmp_path / "val" / "1.png"), reason="the photo is missing"),
    )
    assert dataset.read_photo(dataset.images[0]).shape == (HEIGHT, WIDTH, 3)


def test_a_missing_photo_is_refused_where_there_is_a_folder_of_photos(tmp_path):
    write_dataset(tmp_path)
    assert coco_panoptic.read(tmp_path, "val").images[0].path is None

    (tmp_path / "val").mkdir()
    with pytest.raises(
        DatasetError, match=r"val/a\.jpg: the photo is missing .* has nothing.* or leave"
    ):
        coco_panoptic.read(tmp_path, "val")


def test_a_missing_json_says_which_splits_there_are(tmp_path):
    write_dataset(tmp_path)

    with pytest.raises(DatasetError, match=r"panoptic_test\.json: .*has panoptic_val\.json"):
        coco_panoptic.read(tmp_path, "test")


def png_bytes(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a PNG or JPEG"),
        (png_bytes(np.zeros((HEIGHT, WIDTH), dtype=np.uint8)), "is not RGB with 8 bits"),
        (png_bytes(np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint16)), "is not RGB with 8 bits"),
        (
            png_bytes(np.zeros((WIDTH, HEIGHT, 3), dtype=np.uint8)),
            "is 2 x 3 pixels, the JSON says 3 x 2 for image 1",
        ),
    ],
)
def test_impossible_pngs_are_named(tmp_path, content, message):
    write_dataset(tmp_path)
    (tmp_path / "annotations" / "panoptic_val" / "a.png").write_bytes(content)

    with pytest.raises(DatasetError, match=rf"a\.png: {message}"):
        read_only_label(tmp_path)


def with_segments(*segments):
    return {"annotations": [annotation(segments)]}


def with_category(**values):
    return {"categories": [{**CATEGORIES[0], **values}, CATEGORIES[1]]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": [image_entry(), image_entry()]}, r"images\[1\]: id 1 is given twice"),
        ({"images": [image_entry(file_name="../")]}, "'../' names no photo"),
        ({"images": [image_entry(None)]}, r"images\[0\]: id is missing"),
        ({"annotations": None, "images": []}, r"annotations\[0\]: image_id 1 is not in images"),
        ({"annotations": {}}, "annotations is missing or not a list"),
        ({"annotations": [annotation(image_id="x")]}, "image_id 'x' is not in images"),
        ({"annotations": [annotation()] * 2}, r"annotations\[1\]: image_id 1 is given twice"),
        ({"annotations": [annotation(file_name="/etc/a.png")]}, r"'/etc/a\.png' leaves"),
        ({"annotations": [annotation(file_name="..\\a.png")]}, "leaves the"),
        ({"annotations": [{"image_id": 1, "file_name": "a.png"}]}, "segments_info is missing"),
        (with_segments(3), r"annotations\[0\]: segments_info\[0\]: is not an object"),
        (with_segments({"id": 1}), r"segments_info\[0\]: category_id is missing"),
        (with_segments(segment_entry("one")), "id is missing or not a whole number"),
        (with_segments(segment_entry(0)), r"id 0: give 1 to 16777215"),
        (with_segments(segment_entry(2**24)), "id 16777216: give 1 to"),
        (with_segments(*[segment_entry(1)] * 2), r"segments_info\[1\]: id 1 is given twice"),
        (with_segments(segment_entry(1, 9)), "category_id 9 is not in categories"),
        (with_segments(segment_entry(1, iscrowd=[])), r"iscrowd = \[\]: give 0 or 1"),
        (with_category(isthing=2), r"categories\[0\]: isthing = 2: give 0 or 1"),
        (with_category(isthing=None), "isthing = None: give 0 or 1"),
        (with_category(color=[1, 2]), r"color = \[1, 2\]: give red"),
        (with_category(color=[1, 2, 256]), "color = .*256"),
        (with_category(color="red"), "color = 'red'"),
        (with_category(id=PERSON), "categories: two categories have the same id"),
        (with_category(is_background=True, isthing=1), "one category that is no thing"),
        (
            {"categories": [{**CATEGORIES[0], "id": i, "is_background": True} for i in (1, 2)]},
            r"categories\[1\]: is_background is for one category",
        ),
        ({"categories": []}, "categories: 0 categories"),
    ],
)
def test_contradictions_are_found_when_reading(tmp_path, content, message):
    path = write_dataset(tmp_path, **content)

    with pytest.raises(DatasetError, match=message) as caught:
        coco_panoptic.read(tmp_path, "val")
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def write_label(root, label, categories):
    """One image as the pieces for writing give it."""
    height, width = label.segment_map.shape
    image = Image(image_id=label.image_id, file_name="a.jpg", width=width, height=height)
    write_json(
        root / "panoptic.json",
        images=[image_entry(label.image_id, width=width, height=height)],
        annotations=[coco_panoptic.panoptic_entry(label, image, "sub dir/a.png")],
        categories=coco_panoptic.category_entries(categories),
    )
    path = root / "panoptic" / "sub dir" / "a.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(panoptic_png.encode_segment_map(label.segment_map))


def test_written_entries():
    label = make_label(ROWS, {1: ROAD, 70_000: PERSON, 256: PERSON}, groups=[256], image_id="x y")
    image = Image(image_id="x y", file_name="a.jpg", width=WIDTH, height=HEIGHT)

    def info(segment_id, category_id, area, bbox, iscrowd):
        return {
            "id": segment_id,
            "category_id": category_id,
            "area": area,
            "bbox": bbox,
            "iscrowd": iscrowd,
        }

    assert coco_panoptic.panoptic_entry(label, image, "p.png") == {
        "image_id": "x y",
        "file_name": "p.png",
        "segments_info": [
            info(1, ROAD, 2, [0, 0, 1, 2], 0),
            info(256, PERSON, 1, [2, 1, 1, 1], 1),
            info(70_000, PERSON, 2, [1, 0, 2, 1], 0),
        ],
    }
    categories = make_categories(things=["car"], stuff=["all"], background=True)
    assert coco_panoptic.category_entries(categories) == [
        {"id": 10, "name": "all", "isthing": 0, "color": [128, 0, 0], "is_background": True},
        {"id": 20, "name": "car", "isthing": 1, "color": [0, 128, 0]},
    ]


def test_written_pixels_are_red_then_green_then_blue():
    png = panoptic_png.encode_segment_map(np.array([[1 + 2 * 256 + 3 * 256**2]], dtype=np.int32))

    pixels = cv2.imdecode(np.frombuffer(png, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels.tolist() == [[[3, 2, 1]]]  # blue, green, red


def test_ids_of_more_than_three_bytes_are_numbered_anew(tmp_path):
    most = np.iinfo(np.int32).max
    label = make_label([[0, 2**24, 5], [most, 2**24, 9]], {5: 10, 9: 20, 2**24: 30, most: 30})
    write_label(tmp_path, label, make_categories())
    found = read_only_label(tmp_path)

    np.testing.assert_array_equal(found.segment_map, [[0, 3, 1], [4, 3, 2]])
    assert [s.category_id for s in found.segments] == [10, 20, 30, 30]
    assert [s.area for s in found.segments] == [1, 1, 2, 1]


STUFF, CAR, BIKE = 10, 20, 30
segment_maps = st.lists(st.integers(1, 2**24 - 1), min_size=1, max_size=6).flatmap(
    lambda ids: arrays.arrays(
        np.int32,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=20),
        elements=st.sampled_from([0, *ids]),
        fill=st.sampled_from([0, *ids]),
    )
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("written")


@settings(deadline=None)
@given(segment_maps, st.randoms(use_true_random=False), st.booleans(), st.sampled_from([3, "x"]))
def test_what_is_written_reads_the_same(folder, segment_map, random, background, image_id):
    category_of = {int(i): random.choice([STUFF, CAR, BIKE]) for i in np.unique(segment_map)}
    groups = [i for i, c in category_of.items() if c != STUFF and random.random() < 0.5]
    label = build_label(image_id, segment_map, category_of, groups)
    categories: CategorySet = make_categories(["car", "bike"], ["all"], background)
    write_label(folder, label, categories)
    dataset = coco_panoptic.read(folder, "any")
    found = dataset.read_label(dataset.images[0])

    assert dataset.categories == categories
    assert found.image_id == label.image_id
    assert found.segments == label.segments
    np.testing.assert_array_equal(found.segment_map, segment_map)


def test_a_dataset_travels_to_another_process(tmp_path):
    write_dataset(tmp_path)
    dataset = coco_panoptic.read(tmp_path, "val")
    copy = pickle.loads(pickle.dumps(dataset))

    assert copy.images == dataset.images
    assert len(copy.read_label(copy.images[0]).segments) == 3


def test_real_areas_and_boxes_are_those_of_the_file():
    root = real_data("coco-panoptic")
    dataset = coco_panoptic.read(root, "val2017")
    content = json.loads((root / "annotations" / "panoptic_val2017.json").read_text())
    said = {entry["image_id"]: entry["segments_info"] for entry in content["annotations"]}

    assert (len(dataset.images), len(dataset.categories)) == (2, 133)
    assert sum(c.is_thing for c in dataset.categories.categories) == 80
    for image in dataset.images:
        label = dataset.read_label(image)
        entry = coco_panoptic.panoptic_entry(label, image, "a.png")
        by_id = {info["id"]: info for info in said[image.image_id]}
        assert {info["id"]: info for info in entry["segments_info"]} == by_id
        assert label.drops == ()
        assert dataset.read_photo(image).shape == (image.height, image.width, 3)


def test_forms_of_segments_are_forgiven(tmp_path):
    entries = [
        segment_entry("1", 7.0, iscrowd=None),
        segment_entry(70_000.0, "1", iscrowd=0.0),
        segment_entry(256, PERSON, iscrowd="1"),
    ]
    write_dataset(tmp_path, annotations=[annotation(entries, image_id="1")])
    dataset = coco_panoptic.read(tmp_path, "val")
    label = dataset.read_label(dataset.images[0])
    found = [(s.segment_id, s.category_id, s.is_group) for s in label.segments]
    assert found == [(1, ROAD, False), (256, PERSON, True), (70_000, PERSON, False)]
    assert len(dataset.remarks) == 9  # one of them of the photos
    assert "panoptic_val.json: 1 times iscrowd is null and taken as 0" in dataset.remarks


def test_names_of_pngs_may_have_backslashes(tmp_path):
    path = write_json(
        tmp_path / "annotations" / "panoptic_val.json",
        annotations=[annotation(file_name="sub\\a.png")],
    )
    write_png(path.with_suffix("") / "sub" / "a.png")
    assert len(read_only_label(tmp_path).segments) == 3


def test_the_other_kind_of_coco_file_is_named(tmp_path):
    path = write_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"panoptic_val\.json: is a panoptic file: read it as"):
        coco_instances.read(path, "val")
    entry = {"image_id": 1, "file_name": "a.png", "category_id": 1, "segmentation": []}
    write_dataset(tmp_path, annotations=[entry])
    with pytest.raises(DatasetError, match="or read it as coco-instances"):
        coco_panoptic.read(path, "val")


@pytest.mark.parametrize(
    ("colour", "rgb"),
    [("#1c1f9b", (28, 31, 155)), ("#FFFFFF", (255, 255, 255)), (None, (128, 0, 0))],
)
def test_colours_may_be_text(tmp_path, colour, rgb):
    write_dataset(tmp_path, categories=[{**CATEGORIES[0], "color": colour}, CATEGORIES[1]])
    assert coco_panoptic.read(tmp_path, "val").categories.categories[0].colour == rgb
