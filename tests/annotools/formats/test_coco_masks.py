"""Masks of COCO lists: polygons and run lengths, beside pycocotools' own decoding."""

import copy
import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask

from annotools.errors import DatasetError
from annotools.formats import coco_instances, coco_masks
from annotools.records import Drop
from tests.coco_files import (
    COLUMN_5,
    DOG,
    GOOD,
    HEIGHT,
    PERSON,
    SQUARE,
    WIDTH,
    annotation,
    build_like,
    image_entry,
    read_only_label,
    run_lengths,
    write_dataset,
    write_turned,
)
from tests.real_data import real_data


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
    with pytest.raises(DatasetError, match=r"annotations\[0\]: .*, or leave such objects out"):
        strict.read_label(strict.images[0])

    loose = coco_instances.read(tmp_path, "val", allow_missing=True)
    label = loose.read_label(loose.images[0])
    assert [s.segment_id for s in label.segments] == [2, 3]
    assert label.drops == (Drop(place=f"{path}: annotations[0]", reason=reason),)


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
