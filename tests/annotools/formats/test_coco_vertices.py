"""Vertices of the polygons of COCO lists."""

import itertools
import json
import pickle

import pytest

from annotools.errors import DatasetError
from annotools.formats import coco_instances
from tests.coco_files import COLUMN_5, HEIGHT, SQUARE, WIDTH, annotation, run_lengths, write_dataset
from tests.real_data import real_data


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
