import copy
import itertools
import json
import pickle
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as Picture
from pycocotools import mask as coco_mask

from annotools.checks.dataset_checks import check_dataset
from annotools.checks.problems import Problem
from annotools.errors import DatasetError
from annotools.formats import coco_instances, coco_masks
from annotools.label_maps import build_label, measure_segments
from annotools.records import VOID, Drop, Image
from tests.real_data import real_data

PERSON, DOG = 1, 18
WIDTH, HEIGHT = 6, 4
SQUARE = [1, 1, 3, 1, 3, 3, 1, 3]  # pixels of columns 1 and 2, rows 1 and 2
COLUMN_5 = [5, 0, 6, 0, 6, 4, 5, 4]


def image_entry(image_id=1, file_name="a.png", width=WIDTH, height=HEIGHT):
    return {"id": image_id, "file_name": file_name, "width": width, "height": height}


def annotation(segmentation, image_id=1, category_id=PERSON, iscrowd=0):
    return {
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": segmentation,
        "iscrowd": iscrowd,
    }


def run_lengths(rows):
    """Uncompressed, from nested lists of 0 and 1."""
    flat = np.array(rows).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    return {"size": list(np.shape(rows)), "counts": counts if flat[0] == 0 else [0, *counts]}


def write_dataset(root, annotations=(), images=None, categories=None, split="val", **others):
    names = {DOG: "dog", PERSON: "person"}
    content = {
        "images": [image_entry()] if images is None else images,
        "categories": [{"id": i, "name": name} for i, name in names.items()]
        if categories is None
        else categories,
        "annotations": annotations if isinstance(annotations, str) else list(annotations),
        **others,
    }
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    path = root / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def read_only_label(root, *segmentations, **settings):
    entries = [x if "image_id" in x else annotation(x) for x in segmentations]
    write_dataset(root, entries, **settings)
    dataset = coco_instances.read(root, "val")
    return dataset.read_label(dataset.images[0])


def write_photo(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels[:, :, ::-1])


def test_categories_are_background_and_then_the_file_s_by_id(tmp_path):
    write_dataset(tmp_path)
    categories = coco_instances.read(tmp_path, "val").categories

    assert [(c.category_id, c.name, c.is_thing, c.colour) for c in categories.categories] == [
        (0, "background", False, (0, 0, 0)),
        (PERSON, "person", True, (128, 0, 0)),
        (DOG, "dog", True, (0, 128, 0)),
    ]
    assert categories.background_id == 0
    assert categories.background_index == 0


def test_background_takes_the_smallest_free_id(tmp_path):
    taken = [{"id": i, "name": f"c{i}"} for i in (3, -1, 1, 0)]
    write_dataset(tmp_path, categories=taken)
    categories = coco_instances.read(tmp_path, "val").categories

    assert categories.background_id == 2
    assert [c.category_id for c in categories.categories] == [2, -1, 0, 1, 3]


def test_images_come_by_id_and_keep_their_names(tmp_path):
    for name in ("sub dir/ü 9.png", "2.jpg"):
        write_photo(tmp_path / "val" / name, np.zeros((1, 1, 3), dtype=np.uint8))
    images = [image_entry(9, "sub dir/ü 9.png"), image_entry(2, "2.jpg", 30, 20)]
    write_dataset(tmp_path, images=images)
    dataset = coco_instances.read(tmp_path, "val")

    assert (dataset.name, dataset.split) == ("coco-instances", "val")
    assert dataset.images == (
        Image(image_id=2, file_name="2.jpg", width=30, height=20, path=tmp_path / "val" / "2.jpg"),
        Image(
            image_id=9,
            file_name="sub dir/ü 9.png",
            width=WIDTH,
            height=HEIGHT,
            path=tmp_path / "val" / "sub dir" / "ü 9.png",
        ),
    )


def test_an_image_without_annotations_is_background(tmp_path):
    label = read_only_label(tmp_path)

    assert label.segment_map.dtype == np.int32
    assert label == build_like(label, [[1] * WIDTH] * HEIGHT, {1: 0})


def build_like(label, rows, category_of, groups=()):
    """The expected label, holding the map itself so that labels compare by their segments."""
    np.testing.assert_array_equal(label.segment_map, rows)
    expected = build_label(1, np.array(rows, dtype=np.int32), category_of, groups)
    return replace(
        expected,
        drops=label.drops,
        own_boxes=label.own_boxes,
        unseen=label.unseen,
    )


def test_polygon_parts_and_both_run_lengths_of_one_image(tmp_path):
    dog = run_lengths([[0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0], [0] * 6])
    top = np.array([[1, 1, 1, 0, 0, 0], [0] * 6, [0] * 6, [0] * 6], dtype=np.uint8)
    crowd = coco_mask.encode(np.asfortranarray(top))
    label = read_only_label(
        tmp_path,
        [SQUARE, COLUMN_5],
        annotation(dog, category_id=DOG),
        annotation({"size": [4, 6], "counts": crowd["counts"].decode()}, iscrowd=1),
    )

    rows = [
        [3, 3, 3, 4, 4, 1],
        [4, 1, 1, 2, 4, 1],
        [4, 1, 1, 2, 4, 1],
        [4, 4, 4, 4, 4, 1],
    ]
    assert label == build_like(label, rows, {1: PERSON, 2: DOG, 3: PERSON, 4: 0}, groups=[3])


def test_overlaps_go_to_the_smaller_mask_then_to_the_earlier_and_never_to_a_crowd(tmp_path):
    def row(*columns):
        return run_lengths([[int(x in columns) for x in range(8)]])

    label = read_only_label(
        tmp_path,
        row(0, 1, 2, 3, 4, 5, 6),  # 1: the largest
        row(1, 2),  # 2
        row(2, 3),  # 3: as small as 2, later
        annotation(row(4), iscrowd=1),  # 4: the smallest, yet a crowd under 1
        annotation(row(6, 7), iscrowd=1),  # 5
        row(2),  # 6
        row(6),  # 7
        row(6),  # 8: wholly covered by 7
        images=[image_entry(width=8, height=1)],
    )

    expected = [[1, 2, 6, 3, 1, 1, 7, 5]]
    category_of = dict.fromkeys([1, 2, 3, 5, 6, 7], PERSON)
    assert label == build_like(label, expected, category_of, groups=[5])
    place = f"{tmp_path / 'annotations' / 'instances_val.json'}: annotations"
    assert label.drops == ()
    assert label.unseen == {
        4: Drop(place=f"{place}[3]", reason="other objects cover it"),
        8: Drop(place=f"{place}[7]", reason="other objects cover it"),
    }
    # Every object has the box of its whole mask, also those without a visible pixel.
    sides = {number: box.box_xyxy[::2] for number, box in label.objects.items()}
    assert sides == {
        **{1: (0, 7), 2: (1, 3), 3: (2, 4), 4: (4, 5), 5: (6, 8), 6: (2, 3), 7: (6, 7), 8: (6, 7)}
    }
    assert [number for number, box in label.objects.items() if box.is_group] == [4, 5]


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        (run_lengths([[0] * WIDTH] * HEIGHT), "its mask has no pixel: draw it again or drop it"),
        ([[1, 1, 2, 2]], "a polygon is not a list of x, y for 3 points or more: repair it"),
    ],
)
def test_an_impossible_mask_is_refused_or_left_out(tmp_path, segmentation, reason):
    path = write_dataset(tmp_path, [annotation(segmentation), annotation([SQUARE])])
    strict = coco_instances.read(tmp_path, "val")
    with pytest.raises(DatasetError, match=r"annotations\[0\]: .*, or allow missing ones"):
        strict.read_label(strict.images[0])

    loose = coco_instances.read(tmp_path, "val", allow_missing=True)
    label = loose.read_label(loose.images[0])
    assert [s.segment_id for s in label.segments] == [2, 3]
    assert label.drops == (Drop(place=f"{path}: annotations[0]", reason=reason),)


def test_a_covered_image_has_no_background_segment(tmp_path):
    label = read_only_label(tmp_path, run_lengths([[1] * WIDTH] * HEIGHT))

    assert [s.segment_id for s in label.segments] == [1]


def find_pixels(segmentation, height, width):
    return coco_masks.pixels_of(coco_masks.find_column_runs(segmentation, height, width))


masks = arrays.arrays(
    np.uint8,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=40),
    elements=st.integers(0, 1),
    fill=st.integers(0, 1),
)


@given(masks)
def test_run_lengths_decode_as_pycocotools_does(mask):
    compressed = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    expected = np.flatnonzero(mask.ravel(order="F"))

    for counts in (compressed, run_lengths(mask)["counts"]):
        pixels = find_pixels({"size": list(mask.shape), "counts": counts}, *mask.shape)
        np.testing.assert_array_equal(pixels, expected)


# pycocotools' decode, which only this test calls, is behind NumPy 2's protocol.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@given(st.lists(st.lists(st.floats(-9, 30), min_size=6, max_size=6), min_size=1, max_size=3))
def test_polygons_decode_as_pycocotools_does(polygons):
    rle = coco_mask.merge(coco_mask.frPyObjects(polygons, 15, 16))
    expected = np.flatnonzero(coco_mask.decode(rle).ravel(order="F"))

    np.testing.assert_array_equal(find_pixels(polygons, 15, 16), expected)


def test_a_dataset_travels_to_another_process(tmp_path):
    write_dataset(tmp_path, [annotation([SQUARE])])
    write_photo(tmp_path / "val" / "a.png", np.full((HEIGHT, WIDTH, 3), 7, dtype=np.uint8))
    dataset = coco_instances.read(tmp_path, "val")
    copy = pickle.loads(pickle.dumps(dataset))

    assert copy.images == dataset.images
    label = copy.read_label(copy.images[0])
    assert measure_segments(label.segment_map) == {1: (4, (1, 1, 3, 3)), 2: (20, (0, 0, 6, 4))}
    assert copy.read_photo(copy.images[0]).max() == 7


def test_photos_are_rgb(tmp_path):
    write_dataset(tmp_path)
    pixels = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
    write_photo(tmp_path / "val" / "a.png", pixels)
    dataset = coco_instances.read(tmp_path, "val")
    photo = dataset.read_photo(dataset.images[0])

    assert photo.dtype == np.uint8
    np.testing.assert_array_equal(photo, pixels)


def test_the_size_of_a_photo_is_checked_against_the_file(tmp_path):
    write_dataset(tmp_path)
    write_photo(tmp_path / "val" / "a.png", np.zeros((WIDTH, HEIGHT, 3), dtype=np.uint8))
    dataset = coco_instances.read(tmp_path, "val")

    with pytest.raises(DatasetError, match=r"a\.png: is 4 x 6 pixels, .* says 6 x 4"):
        dataset.read_photo(dataset.images[0])


def test_without_a_photo_folder_labels_can_be_read(tmp_path):
    write_dataset(tmp_path, [annotation([SQUARE])])

    for allow_missing in (False, True):
        dataset = coco_instances.read(tmp_path, "val", allow_missing)
        assert [image.path for image in dataset.images] == [None]
        assert dataset.drops == ()
        assert len(dataset.read_label(dataset.images[0]).segments) == 2


def test_images_without_photo_are_left_out_only_when_that_is_allowed(tmp_path):
    images = [image_entry(1, "a.png"), image_entry(2, "b.png")]
    write_dataset(tmp_path, [annotation([SQUARE], image_id=i) for i in (1, 2)], images)
    write_photo(tmp_path / "val" / "b.png", np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))

    with pytest.raises(
        DatasetError, match=r"val/a\.png: the photo is missing \(1 of 2 are; .*/val has b\.png\): "
    ):
        coco_instances.read(tmp_path, "val")

    dataset = coco_instances.read(tmp_path, "val", allow_missing=True)
    assert [image.image_id for image in dataset.images] == [2]
    path = str(tmp_path / "val" / "a.png")
    assert dataset.drops == (Drop(place=path, reason="the photo is missing"),)


def test_annotations_without_mask_are_left_out_only_when_that_is_allowed(tmp_path):
    entries = [annotation([]), annotation([SQUARE]), without(annotation([]), "segmentation")]
    path = write_dataset(tmp_path, entries)
    dataset = coco_instances.read(tmp_path, "val", allow_missing=True)
    label = dataset.read_label(dataset.images[0])

    assert [(s.segment_id, s.area) for s in label.segments] == [(2, 4), (4, 20)]
    assert label.drops == tuple(
        Drop(
            place=f"{path}: annotations[{i}]",
            reason="it has no mask: draw it",
        )
        for i in (0, 2)
    )


def test_image_ids_may_be_text_and_come_after_numbers(tmp_path):
    images = [image_entry(i) for i in ("1", "10", 7, "", 3)]
    write_dataset(tmp_path, [annotation([SQUARE], image_id="1")], images)
    dataset = coco_instances.read(tmp_path, "val")

    assert [image.image_id for image in dataset.images] == [3, 7, "", "1", "10"]
    assert [len(dataset.read_label(image).segments) for image in dataset.images] == [1, 1, 1, 2, 1]


def test_a_missing_file_says_which_splits_there_are(tmp_path):
    write_dataset(tmp_path, split="train2017")

    with pytest.raises(DatasetError, match=r"instances_val\.json.*has instances_train2017\.json"):
        coco_instances.read(tmp_path, "val")
    with pytest.raises(DatasetError, match="nowhere: no such folder or file: check ROOT"):
        coco_instances.read(tmp_path / "nowhere", "val")


@pytest.mark.parametrize("content", [b"", b'{"images": [', b"\xff\xfe\xff"])
def test_a_file_that_is_not_json(tmp_path, content):
    write_dataset(tmp_path).write_bytes(content)

    with pytest.raises(DatasetError, match=r"instances_val\.json: not valid JSON"):
        coco_instances.read(tmp_path, "val")


def test_a_file_that_is_no_object(tmp_path):
    write_dataset(tmp_path).write_bytes(b"[]")

    with pytest.raises(DatasetError, match="categories is missing or not a list"):
        coco_instances.read(tmp_path, "val")


def without(entry, key):
    return {k: v for k, v in entry.items() if k != key}


GOOD = annotation([SQUARE])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": "a.png"}, "images is missing or not a list"),
        ({"images": [3]}, r"images\[0\]: is not an object"),
        ({"images": [without(image_entry(), "width")]}, r"images\[0\]: width is missing"),
        ({"images": [image_entry(1.5)]}, r"images\[0\]: id is missing or not a whole number"),
        ({"images": [image_entry(True)]}, r"images\[0\]: id is missing or not a whole number"),
        ({"images": [image_entry(file_name=3)]}, r"images\[0\]: file_name is missing or not text"),
        ({"images": [image_entry(), image_entry()]}, r"images\[1\]: id 1 is given twice"),
        ({"images": [image_entry(height=0)]}, r"images\[0\]: size 6 x 0"),
        ({"images": [image_entry(width=10**8)]}, r"images\[0\]: size 100000000 x 4"),
        ({"images": [image_entry(file_name="")]}, "file_name '' names no photo"),
        ({"images": [image_entry(file_name="..\\")]}, "names no photo"),
        ({"categories": [{"id": 1}]}, r"categories\[0\]: name is missing or not text"),
        (
            {"categories": [{"id": 1, "name": name} for name in "ab"]},
            r"categories\[1\]: id 1 is given twice",
        ),
        (
            {"categories": [{"id": i, "name": "a"} for i in range(255)]},
            "with the background, 256 categories: give 1 to 255",
        ),
        ({"annotations": "none"}, "annotations is missing or not a list"),
        ({"annotations": [GOOD, {}]}, r"annotations\[1\]: image_id is missing"),
        ({"annotations": [annotation([], image_id=4)]}, r"\[0\]: image_id 4 is not in images"),
        ({"annotations": [annotation([], category_id=4)]}, r"category_id 4 is not in categories"),
        ({"annotations": [without(GOOD, "segmentation"), GOOD]}, "segmentation is missing"),
        ({"annotations": [GOOD, annotation([])]}, r"annotations\[1\]: segmentation is missing"),
        ({"annotations": [annotation([], iscrowd=2)]}, "iscrowd = 2: give 0 or 1"),
        ({"annotations": [annotation([], iscrowd=[])]}, r"iscrowd = \[\]: give 0 or 1"),
    ],
)
def test_contradictions_are_found_when_reading(tmp_path, content, message):
    path = write_dataset(tmp_path, **content)

    with pytest.raises(DatasetError, match=message) as caught:
        coco_instances.read(tmp_path, "val")
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_crowd_may_be_left_out(tmp_path):
    label = read_only_label(tmp_path, without(GOOD, "iscrowd"))

    assert not label.segments[0].is_group


def sized(counts, size=(HEIGHT, WIDTH)):
    return {"size": list(size), "counts": counts}


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ("SQUARE", "neither polygons nor run lengths"),
        ([[], [1, 1]], "3 points or more"),
        ([[1, 1, 2, 2]], "3 points or more"),
        ([SQUARE, [1, 1, 2, 2, 3, 3, 4]], "3 points or more"),
        ([[1, 1, 2, 2, "3", 1]], "coordinate '3'"),
        ([[1, 1, 2, 2, True, 1]], "coordinate True"),
        ([[1, 1, 2, 2, float("nan"), 1]], "coordinate nan"),
        ([[1, 1, 2, 2, 1e9, 1]], "not one near the image"),
        ([[1, 1, 2, -5, 1, 1]], "coordinate -5, not one near the image"),
        (sized([24], size=(WIDTH, HEIGHT)), r"size \[6, 4\] on an image .* \[4, 6\]"),
        ({"counts": [24]}, "run lengths of size None"),
        (sized([20]), "add up to 20 pixels, not 24"),
        (sized([20, 5]), "add up to 25 pixels, not 24"),
        (sized([30, -6]), "not counts of pixels"),
        (sized([24.0]), "not counts of pixels"),
        (sized(None), "not counts of pixels"),
        (sized(""), "add up to 0 pixels, not 24"),
        (sized("!"), "not counts of pixels"),
        (sized("h"), "not counts of pixels"),  # ends where more bits must follow
        (sized("h0O"), "not counts of pixels"),  # 24 and then -1
    ],
)
def test_impossible_masks_are_found_when_decoding(tmp_path, segmentation, message):
    path = write_dataset(tmp_path, [GOOD, annotation(segmentation)])
    dataset = coco_instances.read(tmp_path, "val")

    with pytest.raises(DatasetError, match=message) as caught:
        dataset.read_label(dataset.images[0])
    assert str(caught.value).startswith(f"{path}: annotations[1]: ")
    assert "\n" not in str(caught.value)


def test_no_polygon_is_no_mask():
    with pytest.raises(DatasetError, match="no polygon"):
        find_pixels([], 4, 6)


def test_real_nuclei_keep_every_annotation() -> None:
    dataset = coco_instances.read(real_data("nuclei"), "val")
    labels = [dataset.read_label(image) for image in dataset.images]
    assert len(dataset.images) == 103
    instances = sum(len(label.segments) for label in labels) - len(labels)
    assert 0.99 * 4289 <= instances <= 4289
    assert all((label.segment_map != VOID).all() for label in labels)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_real_masks_without_overlap_are_those_of_pycocotools():
    root = real_data("coco")
    dataset = coco_instances.read(root, "train2017")
    content = json.loads((root / "annotations" / "instances_train2017.json").read_text())
    compared = 0
    for image in dataset.images[:50]:
        label = dataset.read_label(image)
        segment_of = {s.segment_id: s for s in label.segments}
        entries = [a for a in content["annotations"] if a["image_id"] == image.image_id]
        masks = [decode_as_pycocotools(a["segmentation"], image) for a in entries]
        overlaps = np.sum(masks, axis=0) > 1
        for number, (entry, mask) in enumerate(zip(entries, masks, strict=True), start=1):
            if (mask & overlaps).any():
                continue
            segment = segment_of[number]
            rows, columns = np.nonzero(mask)
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            np.testing.assert_array_equal(label.segment_map == number, mask)
            assert (segment.area, segment.box_xyxy) == (mask.sum(), box)
            assert (segment.category_id, segment.is_group) == (
                entry["category_id"],
                entry["iscrowd"],
            )
            compared += 1
    assert compared > 100


def decode_as_pycocotools(segmentation, image):
    """As `COCO.annToMask` does."""
    rle = coco_mask.frPyObjects(segmentation, image.height, image.width)
    return coco_mask.decode(coco_mask.merge(rle) if isinstance(rle, list) else rle).astype(bool)


def count_vertices(root, *segmentations, allow_missing=True):
    entries = [x if "image_id" in x else annotation(x) for x in segmentations]
    write_dataset(root, entries)
    dataset = pickle.loads(pickle.dumps(coco_instances.read(root, "val", allow_missing)))
    return dataset.count_vertices(dataset.images[0])


def test_vertices_of_all_parts_are_counted(tmp_path):
    triangle = [0, 0, 1, 0, 1, 1]
    closed = [*triangle, 0, 0]

    assert count_vertices(tmp_path) == 0
    # The second column covers the first.
    assert count_vertices(tmp_path, [SQUARE, triangle], [COLUMN_5], [COLUMN_5], [closed]) == 18


@pytest.mark.parametrize(
    "other",
    [
        annotation(run_lengths([[0] * WIDTH] * (HEIGHT - 1) + [[1] * WIDTH]), iscrowd=1),
        run_lengths([[0] * WIDTH] * (HEIGHT - 1) + [[1] * WIDTH]),
        [],
    ],
)
def test_vertices_are_unknown_where_one_mask_is_no_polygon(tmp_path, other):
    assert count_vertices(tmp_path, [SQUARE], other) is None


def test_vertices_of_impossible_polygons(tmp_path):
    with pytest.raises(DatasetError, match=r"annotations\[1\]: a polygon is not a list of x, y"):
        count_vertices(tmp_path, [SQUARE], [[1, 2, 3]], allow_missing=False)
    assert count_vertices(tmp_path, [SQUARE], [[1, 2, 3]]) == 4


def test_real_vertices():
    dataset = coco_instances.read(real_data("coco"), "train2017")
    counts = {image.image_id: dataset.count_vertices(image) for image in dataset.images}
    path = real_data("coco") / "annotations" / "instances_train2017.json"
    annotations = json.loads(path.read_text())["annotations"]
    crowded = {a["image_id"] for a in annotations if a["iscrowd"]}
    rings = [
        list(zip(part[::2], part[1::2], strict=True))
        for a in annotations
        if a["image_id"] not in crowded
        for part in a["segmentation"]
    ]

    assert {i for i, count in counts.items() if count is None} == crowded
    assert len(crowded) == 16
    assert sum(count or 0 for count in counts.values()) == sum(
        len(list(itertools.groupby(ring))) - (ring[0] == ring[-1]) for ring in rings
    )


def test_real_run_lengths_have_no_vertices():
    dataset = coco_instances.read(real_data("nuclei"), "val")

    assert dataset.count_vertices(dataset.images[0]) is None


def category(category_id, name, **others):
    return {"id": category_id, "name": name, **others}


def kinds(categories):
    return [(c.category_id, c.name, c.is_thing) for c in categories.categories]


@pytest.mark.parametrize("name", ["background", "Background", "_background_", "BG", "back ground"])
def test_a_category_by_the_name_of_background_is_it(tmp_path, name):
    listed = [category(0, name), category(1, "cat")]
    everywhere = annotation([[0, 0, 6, 0, 6, 4, 0, 4]], category_id=0)
    write_dataset(tmp_path, [everywhere, annotation([SQUARE])], categories=listed)
    dataset = coco_instances.read(tmp_path, "val")
    label = dataset.read_label(dataset.images[0])

    assert kinds(dataset.categories) == [(0, name, False), (1, "cat", True)]
    assert dataset.categories.background_id == 0
    assert [(s.segment_id, s.category_id, s.area) for s in label.segments] == [
        (1, 1, 4),
        (2, 0, 20),
    ]
    assert (len(label.objects), label.drops) == (2, ())
    path = "instances_val.json"
    assert f"{path}: 1 times an annotation of the background is taken as no object" in (
        dataset.remarks
    )


def test_isthing_0_is_stuff_and_what_nothing_covers_is_void(tmp_path):
    listed = [category(1, "cat", isthing=1), category(2, "sky", isthing=0), category(3, "dog")]
    first, second = [[0, 0, 2, 0, 2, 4, 0, 4]], [[4, 0, 6, 0, 6, 4, 4, 4]]
    write_dataset(
        tmp_path,
        [annotation(first, category_id=2), annotation(second, category_id=2), annotation([SQUARE])],
        categories=listed,
    )
    dataset = coco_instances.read(tmp_path, "val")
    label = dataset.read_label(dataset.images[0])

    assert kinds(dataset.categories) == [(1, "cat", True), (2, "sky", False), (3, "dog", True)]
    assert dataset.categories.background_id is None
    np.testing.assert_array_equal(label.segment_map, [
        [1, 1, 0, 0, 1, 1],
        [1, 3, 3, 0, 1, 1],
        [1, 3, 3, 0, 1, 1],
        [1, 1, 0, 0, 1, 1],
    ])  # fmt: skip
    # All of a stuff category is one segment; it and a thing that is whole have the boxes they show.
    assert [(s.segment_id, s.box_xyxy) for s in label.segments] == [
        (1, (0, 0, 6, 4)),
        (3, (1, 1, 3, 3)),
    ]
    assert label.own_boxes == {}


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        # As Roboflow writes them.
        (
            [
                category(0, "mine-1", supercategory="none"),
                category(1, "dog", supercategory="mine-1"),
            ],
            [1],
        ),
        ([category(0, "dog", supercategory="none"), category(1, "dog", supercategory="dog")], [1]),
        (
            [category(0, "mine", supercategory="mine"), category(1, "dog", supercategory="mine")],
            [1],
        ),
        ([category(0, "cat"), category(1, "dog")], [0, 1]),
        ([category(0, "cat", supercategory=None), category(1, "dog", supercategory=[])], [0, 1]),
        ([category(1, "dog", supercategory="dog")], [1]),
        (
            [
                category(0, "animal", supercategory="none"),
                category(1, "dog", supercategory="animal"),
                category(2, "car", supercategory="none"),
            ],
            [0, 1, 2],
        ),
    ],
)
def test_a_category_that_carries_the_project_s_name_alone_is_left_out(tmp_path, listed, left):
    write_dataset(tmp_path, [annotation([SQUARE], category_id=1)], categories=listed)
    dataset = coco_instances.read(tmp_path, "val")
    things = [i for i, _, is_thing in kinds(dataset.categories) if is_thing]
    assert things == left
    told = [remark for remark in dataset.remarks if "carries the name of the project" in remark]
    assert len(told) == len(listed) - len(left)


def test_a_project_s_category_with_an_annotation_stays(tmp_path):
    listed = [category(0, "pets", supercategory="none"), category(1, "dog", supercategory="pets")]
    entries = [annotation([SQUARE], category_id=i) for i in (0, 1)]
    write_dataset(tmp_path, entries, categories=listed)
    assert len(coco_instances.read(tmp_path, "val").categories) == 3


def write_turned(path, orientation, width=WIDTH, height=HEIGHT):
    """A photo that is stored so wide and so high, and that EXIF turns."""
    exif = Picture.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(np.zeros((height, width, 3), dtype=np.uint8)).save(path, exif=exif)


TALL = [1, 2, 3, 2, 3, 6, 1, 6]  # reaches two pixels below an image that is 4 high


@pytest.mark.parametrize(
    ("entry", "orientation", "given_wh", "expected_wh"),
    [
        (annotation([TALL]), 6, (6, 4), (4, 6)),
        (annotation([TALL]), 8, (6, 4), (4, 6)),
        (annotation([TALL]), 6, (4, 6), (4, 6)),
        (annotation([TALL]), 6, (None, None), (4, 6)),
        # It is drawn on what is stored, beside the size of the upright photo.
        (annotation([[4.5, 1, 6, 1, 6, 3]]), 6, (4, 6), (6, 4)),
        (annotation([[4.5, 1, 6, 1, 6, 3]]), 6, (None, None), (6, 4)),
        (annotation(run_lengths([[0] * 4] * 5 + [[1] * 4])), 6, (6, 4), (4, 6)),
        ({**annotation([]), "bbox": [1, 2, 2, 3.5]}, 6, (6, 4), (4, 6)),
        # Objects fit both, or neither, or nothing turns the photo.
        (annotation([SQUARE]), 6, (6, 4), (6, 4)),
        (annotation([[1, 2, 7.5, 2, 3, 5.5]]), 6, (6, 4), (6, 4)),
        (annotation([TALL]), 1, (6, 4), (6, 4)),
        (annotation([TALL]), 3, (6, 4), (6, 4)),
        # Points may reach out by a pixel.
        (annotation([[1, 2, 3, 2, 3, 5]]), 6, (6, 4), (6, 4)),
    ],
)  # fmt: skip
def test_sizes_and_points_decide_how_labels_were_drawn(
    tmp_path, entry, orientation, given_wh, expected_wh
):
    write_turned(tmp_path / "val" / "a.png", orientation)
    width, height = given_wh
    write_dataset(tmp_path, [entry], images=[image_entry(width=width, height=height)])
    dataset = coco_instances.read(tmp_path, "val")
    assert dataset.images[0].size_wh == expected_wh
    told = [remark for remark in dataset.remarks if "width and height are swapped" in remark]
    # Where the list has no size, that of the upright photo is taken first.
    first_wh = (4, 6) if width is None else given_wh
    assert bool(told) == (first_wh != expected_wh)


def test_what_one_image_proves_of_sizes_holds_for_the_list(tmp_path):
    for name, orientation in (("a", 6), ("b", 8), ("c", 6), ("d", 1)):
        write_turned(tmp_path / "val" / f"{name}.png", orientation)
    images = [image_entry(i, f"{name}.png") for i, name in enumerate("abcd", start=1)]
    wide = [4.5, 1, 6, 1, 6, 3]  # fits the stored photo alone
    entries = [annotation([TALL]), annotation([SQUARE], 2), annotation([wide], 3)]
    write_dataset(tmp_path, [*entries, annotation([SQUARE], 4)], images=images)
    dataset = coco_instances.read(tmp_path, "val")

    # One proves it, one fits both, one speaks against it, and nothing turns the last.
    assert [image.size_wh for image in dataset.images] == [(4, 6), (4, 6), (6, 4), (6, 4)]


def test_annotations_of_nothing_are_refused_or_counted(tmp_path):
    entries = [annotation([SQUARE]), annotation([SQUARE], 7), annotation([SQUARE], category_id=5)]
    path = write_dataset(tmp_path, [*entries, annotation([SQUARE], 8)])
    with pytest.raises(DatasetError, match=r"annotations\[1\]: image_id 7 .* or allow missing"):
        coco_instances.read(tmp_path, "val")
    dataset = coco_instances.read(tmp_path, "val", allow_missing=True)
    label = dataset.read_label(dataset.images[0])

    reason = "category_id 5 is not in categories: drop it"
    assert label.drops == (Drop(place=f"{path}: annotations[2]", reason=reason),)
    (told,) = (remark for remark in dataset.remarks if "no listed image" in remark)
    assert "2 times an annotation" in told
    assert "the first is annotations[1]" in told


def test_a_colour_that_is_none_is_replaced_and_an_empty_name_refused(tmp_path):
    listed = [category(1, "a", color="#fff"), category(2, "b", color=[1, 2, 3])]
    write_dataset(tmp_path, [annotation([SQUARE])], categories=listed)
    dataset = coco_instances.read(tmp_path, "val")
    assert [c.colour for c in dataset.categories.categories] == [(0, 0, 0), (128, 0, 0), (1, 2, 3)]
    assert any("1 times color is no red, green and blue" in r for r in dataset.remarks)
    write_dataset(tmp_path, [], categories=[category(1, " ")])
    with pytest.raises(DatasetError, match=r"categories\[0\]: name is empty"):
        coco_instances.read(tmp_path, "val")


def test_a_box_that_reaches_out_is_clipped_and_doubted(tmp_path):
    entries = [{**annotation([]), "bbox": box} for box in ([-2, 1, 4, 2], [1, 1, 2, 2])]
    path = write_dataset(tmp_path, entries)
    dataset = coco_instances.read(tmp_path, "val")
    weak = dataset.read_weak(dataset.images[0])
    assert [box.box_xyxy for box in weak.boxes] == [(0, 1, 2, 3), (1, 1, 3, 3)]
    reason = "its box reaches out of its image and is clipped to it"
    assert weak.doubts == (Drop(place=f"{path}: annotations[0]", reason=reason),)


def test_fractions_in_place_of_pixels_are_refused(tmp_path):
    write_dataset(tmp_path, [annotation([[0.1, 0.1, 0.9, 0.1, 0.5, 1]])])
    with pytest.raises(DatasetError, match="no coordinate is above 1: these are fractions"):
        coco_instances.read(tmp_path, "val")
    write_dataset(tmp_path, [{**annotation([]), "bbox": [0.1, 0.2, 0.5, 0.5]}])
    with pytest.raises(DatasetError, match="fractions of the image"):
        coco_instances.read(tmp_path, "val")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ([{"data": {"image": "a.jpg"}, "annotations": []}], "Label Studio's own JSON"),
        ({"shapes": [], "imagePath": "a.jpg"}, "labelme's JSON"),
        ({"a.jpg123": {"filename": "a.jpg", "regions": []}}, "VGG Image Annotator's own"),
        ({"classes": [], "projectType": "images"}, "Supervisely's meta.json"),
    ],
)
def test_other_tools_own_files_are_named_with_a_converter(tmp_path, content, name):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=f"{name}.*: export COCO, or convert it") as caught:
        coco_instances.read(path, "train")
    assert str(path) in str(caught.value)
    problem = check_dataset("coco-instances", path, ["train"]).problems[0]
    assert (problem.severity, name in problem.message) == ("error", True)


def test_upright_points_beside_the_stored_size_are_whole(tmp_path):
    write_turned(tmp_path / "val" / "a.jpg", 6, width=20, height=10)
    points = [2, 3, 8, 3, 8, 15, 2, 15]
    images = [image_entry(1, "a.jpg", 20, 10)]
    path = write_dataset(tmp_path, [annotation([points])], images=images)
    dataset = coco_instances.read(tmp_path, "val")
    image = dataset.images[0]

    assert dataset.read_label(image).objects[1].box_xyxy == (2, 3, 8, 15)
    assert dataset.read_photo(image).shape == (20, 10, 3)
    report = check_dataset("coco-instances", tmp_path, ["val"])
    reach = Problem(
        severity="warning",
        place=f"{path}: annotations[0]",
        message="points reach x = 8, y = 15 in an image of 20 x 10: the photo's EXIF turn "
        "explains it, and 10 x 20 are taken",
    )
    assert reach in report.problems
    assert any("width and height are swapped" in note for note in report.notes)


@pytest.mark.parametrize("damage", [b"", b"no photo"])
def test_a_damaged_photo_does_not_keep_labels_from_being_read(tmp_path, damage):
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "a.png").write_bytes(damage)
    write_dataset(tmp_path, [annotation([[1, 2, 3, 2, 3, 7, 1, 7]])])
    dataset = coco_instances.read(tmp_path, "val")
    assert dataset.images[0].size_wh == (WIDTH, HEIGHT)


@pytest.mark.parametrize("keys", [("width",), ("height",), ("width", "height")])
def test_a_size_that_is_missing_is_that_of_the_photo(tmp_path, keys):
    entry = {k: v for k, v in image_entry(width=99, height=99).items() if k not in keys}
    path = write_dataset(tmp_path, [annotation([SQUARE])], images=[entry])
    with pytest.raises(DatasetError, match=rf"images\[0\]: {keys[0]} is missing"):
        coco_instances.read(tmp_path, "val")

    write_photo(tmp_path / "val" / "a.png", np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))
    dataset = coco_instances.read(tmp_path, "val")
    assert dataset.images[0].size_wh == (WIDTH, HEIGHT)
    assert set(dataset.remarks) == {
        f"{path.name}: 1 times width or height is missing and taken from the photo",
        f"{path.name}: 1 times id is missing",
        f"{path.name}: 1 times area is missing",
    }
    problems = check_dataset("coco-instances", tmp_path, ["val"]).problems
    assert not any(problem.severity == "error" for problem in problems)


@pytest.mark.parametrize("mask", [5, "x", {}, {"size": "x"}, [[None, 1, 2, 3, 4, 9]], [None]])
def test_any_mask_at_all_is_an_error_of_one_line(tmp_path, mask):
    write_turned(tmp_path / "val" / "a.png", 6)
    write_dataset(tmp_path, [annotation(mask)])
    dataset = coco_instances.read(tmp_path, "val")
    with pytest.raises(DatasetError, match=r"annotations\[0\]: ") as caught:
        dataset.read_label(dataset.images[0])
    assert "\n" not in str(caught.value)

    loose = coco_instances.read(tmp_path, "val", allow_missing=True)
    assert len(loose.read_label(loose.images[0]).drops) == 1


def test_all_images_and_annotations_may_be_absent(tmp_path):
    path = write_dataset(tmp_path, images=[])
    dataset = coco_instances.read(tmp_path, "val")
    assert (dataset.images, dataset.drops) == ((), ())
    assert f"{path}: annotations is empty: no image has an object" in dataset.remarks


def test_ids_beyond_what_floats_hold_stay_apart(tmp_path):
    ids = [2**53, 2**53 + 1]
    images = [image_entry(str(i), f"{i}.png") for i in ids]
    write_dataset(tmp_path, [annotation([SQUARE], image_id=ids[1])], images=images)
    dataset = coco_instances.read(tmp_path, "val")
    labels = [dataset.read_label(image) for image in dataset.images]
    assert [(label.image_id, len(label.segments)) for label in labels] == [
        (str(ids[0]), 1),
        (str(ids[1]), 2),
    ]


def test_an_object_without_a_mask_beside_others_keeps_its_box_where_that_is_allowed(tmp_path):
    # As Label Studio writes rectangles beside polygons.
    rectangle = {**annotation([]), "bbox": [4, 0, 2, 3]}
    path = write_dataset(tmp_path, [annotation([SQUARE]), rectangle])
    with pytest.raises(DatasetError, match=r"annotations\[1\]: segmentation is missing"):
        coco_instances.read(tmp_path, "val")

    dataset = coco_instances.read(tmp_path, "val", allow_missing=True)
    label = dataset.read_label(dataset.images[0])
    assert label.objects[2].box_xyxy == (4, 0, 6, 3)
    place = f"{path}: annotations[1]"
    assert label.unseen == {2: Drop(place=place, reason="it has a box and no mask")}
    assert label.drops == ()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_boxes_of_all_real_objects_are_those_of_pycocotools():
    root = real_data("coco")
    dataset = coco_instances.read(root, "train2017")
    content = json.loads((root / "annotations" / "instances_train2017.json").read_text())
    listed = {image.image_id: [] for image in dataset.images}
    for entry in content["annotations"]:
        listed[entry["image_id"]].append(entry)
    compared = 0
    for image in dataset.images:
        objects = dataset.read_label(image).objects
        for number, entry in enumerate(listed[image.image_id], start=1):
            rle = coco_mask.frPyObjects(entry["segmentation"], image.height, image.width)
            rle = coco_mask.merge(rle) if isinstance(rle, list) else rle
            x, y, width, height = coco_mask.toBbox(rle).tolist()
            assert objects[number].box_xyxy == (x, y, x + width, y + height)
            assert objects[number].category_id == entry["category_id"]
            assert objects[number].is_group == bool(entry["iscrowd"])
            compared += 1
        # What is left is the background, if any of it shows.
        assert len(objects) - len(listed[image.image_id]) in (0, 1)
    # The 2016 objects and 19 crowds.
    assert (len(dataset.images), compared) == (215, 2035)


HOSTILE_COUNTS = {
    "letters that only go on": ("o" * 1_000_000 + "1", "not counts of pixels"),
    "three thousand letters": ("o" * 3000 + "1", "not counts of pixels"),
    "no end": ("o" * 1_000_000, "not counts of pixels"),
    "letters of no code": ("\x7f\x20", "not counts of pixels"),
    "letters beyond a byte": ("\u4e00", "not counts of pixels"),
    "half a character": ("\ud800", "not counts of pixels"),
    "a run that does not fit": ("PPPPPP8", "a run is longer than all 24 pixels"),
    "many runs": ("1" * 1_000_000, "run lengths add up to|a run is longer"),
    "nothing": ("", "run lengths add up to 0 pixels, not 24"),
    "below zero": ("J", "not counts of pixels"),
    "a list with a number below zero": ([30, -6], "not counts of pixels"),
    "a list with a fraction": ([12.0, 12], "not counts of pixels"),
    "a list with not-a-number": ([float("nan"), 24], "not counts of pixels"),
    "a list with a flag": ([True, 23], "not counts of pixels"),
    "a list with a huge number": ([10**4000], "a run is longer than all 24 pixels"),
    "a list of huge numbers": ([10**400] * 1000, "a run is longer than all 24 pixels"),
    "no numbers": ({"a": 1}, "not counts of pixels"),
}


@pytest.mark.parametrize("name", HOSTILE_COUNTS)
def test_hostile_run_lengths_are_refused_at_once(name):
    counts, message = HOSTILE_COUNTS[name]
    start = time.process_time()
    with pytest.raises(DatasetError, match=message) as caught:
        coco_masks.find_column_runs({"size": [HEIGHT, WIDTH], "counts": counts}, HEIGHT, WIDTH)
    # Digit by digit the first took half a minute.
    assert time.process_time() - start < 2
    assert len(str(caught.value)) < 300


@given(masks, masks)
def test_common_pixels_are_those_of_both_masks(one, other):
    height, width = one.shape
    other = np.resize(other, one.shape)
    if not one.any() or not other.any():
        return
    runs = [coco_masks.find_column_runs(run_lengths(m), height, width) for m in (one, other)]
    assert coco_masks.count_common(*runs) == int((one & other).sum())


@given(masks)
def test_painted_are_the_pixels_of_the_mask_alone(mask):
    runs = coco_masks.find_column_runs(run_lengths(mask), *mask.shape)
    for wide in (1, 50):
        # Every run becomes longer, so that both ways of painting are taken.
        long = coco_masks.ColumnRuns(starts=runs.starts * wide, lengths=runs.lengths * wide)
        flat = np.zeros(mask.size * wide, dtype=np.int32)
        coco_masks.paint(flat, long, 7)
        np.testing.assert_array_equal(flat, 7 * mask.ravel(order="F").repeat(wide))


@given(st.lists(st.lists(st.lists(st.integers(-9, 30), min_size=6, max_size=8), max_size=2)))
def test_masks_read_together_are_those_read_alone(segmentations):
    def read_alone(segmentation):
        try:
            return coco_masks.find_column_runs(segmentation, 15, 16)
        except DatasetError as error:
            return error

    together = coco_masks.find_all_column_runs(segmentations, 15, 16)
    assert len(together) == len(segmentations)
    for found, expected in zip(together, map(read_alone, segmentations), strict=True):
        assert type(found) is type(expected)
        if isinstance(found, DatasetError):
            assert str(found) == str(expected)
        else:
            assert found.starts.tolist() == expected.starts.tolist()
            assert found.lengths.tolist() == expected.lengths.tolist()


@given(st.lists(arrays.arrays(np.uint8, (7, 9), elements=st.integers(0, 1)), max_size=4))
def test_boxes_found_together_are_those_of_the_pixels(listed):
    drawn = [mask for mask in listed if mask.any()]
    runs = [coco_masks.find_column_runs(run_lengths(mask), 7, 9) for mask in drawn]
    expected = []
    for mask in drawn:
        y, x = np.nonzero(mask)
        expected.append((x.min(), y.min(), x.max() + 1, y.max() + 1))
    assert coco_masks.tight_boxes(runs, 7) == expected


def test_masks_asked_for_again_are_decoded_again_for_another_image_alone():
    segmentations = [[[0, 0, 20, 0, 20, 20, 0, 20]], [[1, 1, 3, 1, 3, 3]]]
    found = coco_masks.find_all_column_runs(segmentations, 15, 16)
    assert coco_masks.find_all_column_runs(list(segmentations), 15, 16) is found
    assert [runs.area for runs in coco_masks.find_all_column_runs(segmentations, 18, 16)] != [
        runs.area for runs in found
    ]
    # Masks of the same numbers may be changed on their own, so that they are not the same.
    alike = copy.deepcopy(segmentations)
    assert coco_masks.find_all_column_runs(alike, 18, 16) is not found
    assert len(coco_masks.find_all_column_runs(segmentations[:1], 18, 16)) == 1
