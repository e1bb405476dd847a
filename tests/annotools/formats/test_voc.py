import pickle
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from PIL import Image as Picture

from annotools.category_tables.voc import VOC_CATEGORIES
from annotools.errors import DatasetError
from annotools.formats import read_dataset, voc
from annotools.formats.voc_boxes import BELOW_ONE, OUTSIDE, read_xml, take_objects
from annotools.records import Drop, Segment
from annotools.weak_labels.weaken import weaken
from tests.real_data import real_data

AEROPLANE, BICYCLE, PERSON = 1, 2, 15


def write_map(path, rows):
    """A palette PNG, as the development kit has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Picture.fromarray(np.array(rows, dtype=np.uint8)).convert("P")
    picture.putpalette([i % 251 for i in range(768)])
    picture.save(path)


def write_image(year, name, classes=((0, 1),), objects=((0, 1),), photo=True):
    if classes is not None:
        write_map(year / "SegmentationClass" / f"{name}.png", classes)
    if objects is not None:
        write_map(year / "SegmentationObject" / f"{name}.png", objects)
    if photo:
        path = year / "JPEGImages" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((*np.shape(classes or [[0, 1]]), 3), 80, np.uint8))


def write_list(year, split, *names):
    path = year / "ImageSets" / "Segmentation" / f"{split}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\r\n" for name in names))
    return path


def read_only_label(root, classes, objects):
    write_image(root, "a", classes, objects)
    write_list(root, "train", "a")
    dataset = voc.read(root, "train")
    return dataset.read_label(dataset.images[0])


def test_categories_are_the_kit_s():
    assert len(VOC_CATEGORIES) == 21
    assert VOC_CATEGORIES.background_index == 0
    assert VOC_CATEGORIES.thing_indices == tuple(range(1, 21))
    rows = [(c.category_id, c.name, c.colour) for c in VOC_CATEGORIES.categories]
    assert rows[1] == (1, "aeroplane", (128, 0, 0))
    assert rows[15] == (15, "person", (192, 128, 128))
    assert rows[20] == (20, "tvmonitor", (0, 64, 128))


def test_objects_become_segments_and_the_background_follows(tmp_path):
    label = read_only_label(
        tmp_path,
        [[1, 1, 255, 0], [15, 255, 255, 0], [15, 15, 1, 255]],
        [[1, 1, 255, 0], [3, 255, 255, 0], [3, 3, 1, 255]],
    )

    assert label.image_id == "a"
    assert label.segment_map.dtype == np.int32
    assert label.segment_map.tolist() == [[1, 1, 0, 4], [3, 0, 0, 4], [3, 3, 1, 0]]
    assert label.segments == (
        Segment(segment_id=1, category_id=AEROPLANE, area=3, box_xyxy=(0, 0, 3, 3)),
        Segment(segment_id=3, category_id=PERSON, area=3, box_xyxy=(0, 1, 2, 3)),
        Segment(segment_id=4, category_id=0, area=2, box_xyxy=(3, 0, 4, 2)),
    )


def test_void_of_the_class_map_under_an_object_is_the_object_s(tmp_path):
    label = read_only_label(tmp_path, [[2, 255, 0]], [[1, 1, 0]])

    assert label.segment_map.tolist() == [[1, 1, 2]]


def test_void_of_the_object_map_on_background_is_background(tmp_path):
    """Some tools write 255 off the objects; where the class map is void too, void it is."""
    label = read_only_label(tmp_path, [[2, 0, 0, 255, 15]], [[1, 255, 0, 255, 255]])

    assert label.segment_map.tolist() == [[1, 2, 2, 0, 0]]


def test_thing_pixels_of_no_object_are_groups(tmp_path):
    label = read_only_label(tmp_path, [[2, 15, 1, 0, 15]], [[1, 0, 0, 0, 0]])

    assert label.segment_map.tolist() == [[1, 3, 2, 4, 3]]
    assert [(s.category_id, s.is_group) for s in label.segments] == [
        (BICYCLE, False),
        (AEROPLANE, True),
        (PERSON, True),
        (0, False),
    ]


def test_an_object_takes_the_class_of_most_of_its_pixels(tmp_path):
    classes = [[15] * 19 + [2], [15] * 20]
    label = read_only_label(tmp_path, classes, np.ones((2, 20)))

    assert [(s.category_id, s.area) for s in label.segments] == [(PERSON, 40)]


@pytest.mark.parametrize(
    ("classes", "objects", "message"),
    [
        ([[15, 15, 2]], [[1, 1, 1]], r"Object/a\.png: object 1 has classes \[2, 15\]"),
        ([[0, 15]], [[7, 1]], r"Object/a\.png: object 7 has classes \[0\]"),
        ([[255, 15]], [[7, 1]], r"Object/a\.png: object 7 has classes \[255\]"),
        ([[21, 15]], [[0, 1]], r"Class/a\.png: value 21 is no class"),
        ([[15, 15]], [[1, 1, 1]], r"Object/a\.png: holds uint8 of shape \(1, 3\), not 1 rows of 2"),
    ],
)
def test_maps_that_contradict_each_other(tmp_path, classes, objects, message):
    with pytest.raises(DatasetError, match=message):
        read_only_label(tmp_path, classes, objects)


def test_maps_of_16_bits_are_refused(tmp_path):
    write_image(tmp_path, "a", [[0, 1]], [[0, 1]])
    write_list(tmp_path, "train", "a")
    path = tmp_path / "SegmentationObject" / "a.png"
    assert cv2.imwrite(str(path), np.array([[0, 1]], dtype=np.uint16))
    dataset = voc.read(tmp_path, "train")

    with pytest.raises(DatasetError, match="holds uint16"):
        dataset.read_label(dataset.images[0])


def test_images_come_as_listed(tmp_path):
    for name in ("2007_000032", "000001"):
        write_image(tmp_path, name)
    path = write_list(tmp_path, "val", "2007_000032", "", " 000001 ")
    dataset = pickle.loads(pickle.dumps(read_dataset("voc", tmp_path, "val")))

    assert [i.image_id for i in dataset.images] == ["2007_000032", "000001"]
    image = dataset.images[1]
    assert (image.file_name, image.width, image.height) == ("000001.jpg", 2, 1)
    assert dataset.read_photo(image).shape == (1, 2, 3)
    assert [path.parent.name for path in image.label_paths] == [
        "SegmentationClass",
        "SegmentationObject",
    ]
    assert dataset.source_files == (path,)
    assert dataset.drops == ()


@pytest.mark.parametrize("photo", [True, False])
def test_names_may_have_folders_and_signs(tmp_path, photo):
    names = ["x/y 1", "a, b+c@d (2)", "straße.v2"]
    for name in names:
        write_image(tmp_path, name, photo=photo)
    write_list(tmp_path, "train", *names)
    dataset = voc.read(tmp_path, "train")

    assert [image.image_id for image in dataset.images] == names
    assert [image.file_name for image in dataset.images] == [f"{name}.jpg" for name in names]
    assert [image.path is not None for image in dataset.images] == [photo] * 3
    assert all(len(dataset.read_label(image).segments) == 2 for image in dataset.images)


def test_a_photo_missing_from_a_subfolder_is_noticed(tmp_path):
    write_image(tmp_path, "x/a", photo=False)
    write_list(tmp_path, "train", "x/a")
    (tmp_path / "JPEGImages").mkdir()

    with pytest.raises(DatasetError, match=r"JPEGImages/x/a\.jpg: the photo is missing"):
        voc.read(tmp_path, "train")


def test_what_a_mac_leaves_beside_maps_is_no_image(tmp_path):
    write_image(tmp_path, "a")
    for name in ("SegmentationClass/._a.png", "SegmentationObject/._a.png", "JPEGImages/._a.jpg"):
        (tmp_path / name).write_bytes(b"no picture")
    dataset = voc.read(tmp_path, "train")
    assert [image.image_id for image in dataset.images] == ["a"]
    assert dataset.drops == ()


def test_labels_alone_are_enough(tmp_path):
    write_image(tmp_path, "a", photo=False)
    write_list(tmp_path, "train", "a")

    assert voc.read(tmp_path, "train").images[0].path is None


def test_a_devkit_must_hold_one_year(tmp_path):
    with pytest.raises(DatasetError, match="no such folder: give VOCdevkit/VOC2012"):
        voc.read(tmp_path, "train")
    for year in ("VOC2012", "VOC2007"):
        write_image(tmp_path / year, "a")
        if year == "VOC2007":
            assert len(voc.read(tmp_path, "train").images) == 1
        write_list(tmp_path / year, "train", "a")
    with pytest.raises(DatasetError, match=r"several years: .*VOC2007 or VOC2012"):
        voc.read(tmp_path, "train")


def test_a_split_that_is_not_there_lists_those_that_are(tmp_path):
    write_list(tmp_path, "train", "a")

    with pytest.raises(DatasetError, match=r"val\.txt: no such file.* has train\.txt"):
        voc.read(tmp_path, "val")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "../b"], r"line 2: '\.\./b' is no image name"),
        (["/etc/passwd"], "is no image name: give a name without suffix, relative to"),
        (["C:a"], "is no image name"),
        (["a/../../b"], "is no image name"),
        (["a\0b"], "is no image name"),
        (["./a"], "is no image name"),
        (["."], "is no image name"),
        (["a/"], "is no image name"),
        (["a", "b", "a"], "line 3: a comes twice"),
        ([""], "lists no image"),
    ],
)
def test_impossible_lists(tmp_path, names, message):
    write_list(tmp_path, "train", *names)

    with pytest.raises(DatasetError, match=message):
        voc.read(tmp_path, "train")


def test_missing_files_are_refused_or_listed(tmp_path):
    write_image(tmp_path, "a")
    write_image(tmp_path, "b", classes=None)
    write_image(tmp_path, "c", photo=False)
    write_image(tmp_path, "d", classes=[[15, 0]], objects=None)
    write_list(tmp_path, "train", "a", "b", "c", "d")

    with pytest.raises(DatasetError, match=r"Class/b\.png: the class map is missing .and 2 more"):
        voc.read(tmp_path, "train")
    dataset = voc.read(tmp_path, "train", allow_missing=True)
    assert [image.image_id for image in dataset.images] == ["a", "d"]
    assert [(d.place.rpartition("/")[2], d.reason) for d in dataset.drops] == [
        ("b.png", "the class map is missing"),
        ("c.jpg", "the photo is missing"),
    ]
    assert [(gap.place, gap.reason) for gap in dataset.gaps] == [
        (str(tmp_path / "SegmentationObject" / "d.png"), "the object map is missing")
    ]
    assert dataset.notes[-1] == "images without an object map, whose things are groups: 1"
    label = dataset.read_label(dataset.images[1])
    assert [(s.category_id, s.is_group) for s in label.segments] == [(PERSON, True), (0, False)]


def write_objects(year, name, *objects):
    """Objects are a name, four corners as in the file, and whether they are difficult."""
    path = year / "Annotations" / f"{name}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = (
        f"<object><name>{thing}</name><difficult>{difficult}</difficult><bndbox>"
        + "".join(
            f"<{key}>{corner}</{key}>"
            for key, corner in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        )
        + "</bndbox></object>"
        for thing, corners, difficult in objects
    )
    path.write_text(f"<annotation>{''.join(texts)}</annotation>")
    return path


def test_objects_have_the_boxes_that_were_drawn(tmp_path):
    """In any order; one is difficult and has no mask, one mask has no box, a group has its own."""
    path = write_objects(
        tmp_path,
        "a",
        ("person", (5, 1, 8, 2), 0),
        ("bicycle", (9, 1, 9, 1), 1),
        ("person", (0, 1, 4, 3), 0),
    )
    classes = [[15, 15, 0, 0, 15, 15, 0, 0, 0], [15, 0, 0, 0, 15, 0, 1, 0, 2]]
    objects = [[1, 1, 0, 0, 2, 2, 0, 0, 0], [1, 0, 0, 0, 2, 0, 3, 0, 0]]
    label = read_only_label(tmp_path, classes, objects)

    boxes = {n: (b.category_id, b.box_xyxy, b.is_group) for n, b in label.objects.items()}
    assert boxes == {
        1: (PERSON, (0, 0, 4, 2), False),
        2: (PERSON, (4, 0, 8, 2), False),
        3: (AEROPLANE, (6, 1, 7, 2), False),
        4: (BICYCLE, (8, 1, 9, 2), True),
        5: (0, (1, 0, 9, 2), False),
        7: (BICYCLE, (8, 0, 9, 1), False),
    }
    assert label.unseen == {7: Drop(place=f"{path}: object 2", reason="it has a box and no mask")}
    assert label.doubts == (
        Drop(place=f"{path}: object 3", reason=BELOW_ONE),
        Drop(place=f"{path}: object 3", reason=OUTSIDE),
    )
    segment = next(segment for segment in label.segments if segment.segment_id == 1)
    assert segment.box_xyxy == (0, 0, 2, 2)


def test_impossible_drawn_boxes_are_drops_where_that_is_allowed(tmp_path):
    path = write_objects(tmp_path, "a", ("person", (2, 1, 1, 1), 0), ("tree", (1, 1, 1, 1), 0))
    with pytest.raises(DatasetError, match=r"a.xml: object 1: box 2, 1, 1, 1 ends before"):
        read_only_label(tmp_path, [[15, 0]], [[1, 0]])
    dataset = voc.read(tmp_path, "train", allow_missing=True)
    label = dataset.read_label(dataset.images[0])
    assert [drop.place for drop in label.drops] == [f"{path}: object 1", f"{path}: object 2"]
    assert label.objects[1].box_xyxy == (0, 0, 1, 1)


def test_folders_of_maps_without_any_have_boxes_alone(tmp_path):
    write_objects(tmp_path, "a", ("person", (1, 1, 2, 2), 0))
    write_image(tmp_path, "a", classes=None, objects=None)
    (tmp_path / "SegmentationClass").mkdir()
    dataset = voc.read(tmp_path, "train")
    assert dataset.read_weak is not None


def test_real_boxes_are_those_of_the_annotation_files():
    year = real_data("voc", "VOCdevkit", "VOC2007")
    dataset = voc.read(year, "train")
    for image in dataset.images:
        tree = ElementTree.parse(year / "Annotations" / f"{image.image_id}.xml")
        corners = [
            [int(float(t.findtext(k, ""))) for k in ("xmin", "ymin", "xmax", "ymax")]
            for t in tree.iterfind("object/bndbox")
        ]
        weak = weaken(dataset.read_label(image), dataset.categories, "boxes", None)
        drawn = sorted((x0 - 1, y0 - 1, x1, y1) for x0, y0, x1, y1 in corners)
        assert sorted(box.box_xyxy for box in weak.boxes) == drawn


def overlap(first, second):
    """Intersection over union of two boxes."""
    width, height = (
        max(0, min(first[axis + 2], second[axis + 2]) - max(first[axis], second[axis]))
        for axis in (0, 1)
    )
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (first, second)]
    return width * height / (sum(areas) - width * height)


def test_real_masks_pair_up_with_the_boxes():
    year = real_data("voc", "VOCdevkit", "VOC2007")
    dataset = voc.read(year, "train")
    overlaps = []
    for image in dataset.images:
        label = dataset.read_label(image)
        xml = read_xml(year / "Annotations" / f"{image.image_id}.xml")
        objects = take_objects(xml, image.size_wh, VOC_CATEGORIES, allow_missing=False).objects
        instances = [s for s in label.segments if s.category_id != 0]
        table = [[overlap(s.box_xyxy, o.box_xyxy) for o in objects] for s in instances]
        assert [s.segment_id for s in instances] == list(range(1, len(objects) + 1))
        assert [s.category_id for s in instances] == [o.category_id for o in objects]
        assert np.argmax(table, axis=1).tolist() == list(range(len(objects)))
        overlaps += np.diagonal(table).tolist()

    assert (len(dataset.images), len(overlaps)) == (20, 60)
    # The void border, five pixels wide, lies inside the boxes: a small object is mostly border.
    assert np.median(overlaps) > 0.9
    assert min(overlaps) > 0.38


def test_real_incomplete_year():
    devkit = real_data("voc", "VOCdevkit")
    with pytest.raises(DatasetError, match=r"several years: .*VOC2007 or VOC2012"):
        voc.read(devkit, "train")
    with pytest.raises(DatasetError, match=r"SegmentationObject/.*object map is missing .and 55"):
        voc.read(devkit / "VOC2012", "train")
    dataset = voc.read(devkit / "VOC2012", "train", allow_missing=True)
    assert len(dataset.images) == 76
    assert dataset.drops == ()
    assert dataset.notes[-1] == "images without an object map, whose things are groups: 56"
    complete = voc.read(devkit / "VOC2007", "train")
    by_id = {image.image_id: image for image in dataset.images}
    for image in complete.images:
        again = dataset.read_label(by_id[f"2007_{image.image_id}"])
        assert again.segments == complete.read_label(image).segments
