import pickle

import cv2
import numpy as np
import pytest
import scipy.io

from annotools.errors import DatasetError
from annotools.formats import sbd, voc

DOG, PERSON = 12, 15


def write_mat(path, name, **fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {name: fields}, do_compression=True)
    return path


def write_labels(folder, name, classes=((DOG, PERSON, 0),), objects=((1, 2, 0),), categories=None):
    write_mat(folder / "cls" / f"{name}.mat", "GTcls", Segmentation=np.array(classes, np.uint8))
    write_mat(
        folder / "inst" / f"{name}.mat",
        "GTinst",
        Segmentation=np.array(objects, np.uint8),
        Categories=np.array([[DOG], [PERSON]] if categories is None else categories, np.uint8),
    )


def write_list(path, *names):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(names))


def write_photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((1, 3, 3), 80, np.uint8))


def write_datasets(tmp_path, place="SBD/dataset"):
    """VOC with images v (train), w (train, in SBD too), x (val, in SBD too); SBD's own s and t."""
    year, folder = tmp_path / "VOCdevkit" / "VOC2012", tmp_path / place
    for split, names in {"train": "wv", "val": "x"}.items():
        write_list(year / "ImageSets" / "Segmentation" / f"{split}.txt", *names)
        for name in names:
            for kind in ("Class", "Object"):
                path = year / f"Segmentation{kind}" / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), np.array([[1, 255, 0]], np.uint8))
    write_list(folder / "train.txt", *"tx")
    write_list(folder / "val.txt", *"sw")
    for name in "stwx":
        write_labels(folder, name)
    return year, folder


@pytest.mark.parametrize(
    "place",
    ["SBD/dataset", "benchmark_RELEASE/dataset", "SBD", "VOCdevkit/SBD", "VOCdevkit/SBD/dataset"],
)
def test_trainaug_has_everything_but_val(tmp_path, place):
    year, folder = write_datasets(tmp_path, place)
    dataset = pickle.loads(pickle.dumps(voc.read(year, "trainaug")))

    assert [image.image_id for image in dataset.images] == ["s", "t", "v", "w"]
    assert [image.label_paths[0].suffix for image in dataset.images] == [
        ".mat",
        ".mat",
        ".png",
        ".png",
    ]
    assert [(i.width, i.height) for i in dataset.images] == [(3, 1)] * 4
    assert [dataset.read_label(i).segment_map.tolist() for i in dataset.images] == [
        [[1, 2, 3]],
        [[1, 2, 3]],
        [[1, 0, 2]],
        [[1, 0, 2]],
    ]
    categories = {
        s.segment_id: s.category_id for s in dataset.read_label(dataset.images[0]).segments
    }
    assert categories == {1: DOG, 2: PERSON, 3: 0}
    assert dataset.notes[-1] == "images with SBD's labels, in which nothing is void: 2"
    assert [path.parent for path in dataset.source_files[2:]] == [folder] * 2
    assert [i.image_id for i in voc.read(tmp_path / "VOCdevkit", "val").images] == ["x"]


def test_full_sizes_come_out(tmp_path):
    # As many as in the official lists; which names these share is made up.
    train, val = [f"t{n}" for n in range(1464)], [f"v{n}" for n in range(1449)]
    others = [f"s{n}" for n in range(10_582 - 1464)]
    both = train[:1_000] + val[: 11_355 - 1_000 - len(others)] + others
    lists, folder = tmp_path / "voc", tmp_path / "sbd"
    write_list(lists / "train.txt", *train)
    write_list(lists / "val.txt", *val)
    write_list(folder / "train.txt", *both[:8498])
    write_list(folder / "val.txt", *both[8498:])
    names, of_sbd = sbd.list_trainaug(folder, lists)

    assert len(names) == 10_582
    assert not set(names) & set(val)
    assert len(of_sbd) == 10_582 - 1464


def test_photos_come_from_either_folder(tmp_path):
    year, folder = write_datasets(tmp_path)
    for name in "vwt":
        write_photo(year / "JPEGImages" / f"{name}.jpg")

    with pytest.raises(DatasetError, match=r"JPEGImages/s\.jpg: the photo is missing"):
        voc.read(year, "trainaug")
    write_photo(folder / "img" / "s.jpg")
    dataset = voc.read(year, "trainaug")
    assert [image.path.parent.name for image in dataset.images] == ["img"] + ["JPEGImages"] * 3
    assert dataset.read_photo(dataset.images[0]).shape == (1, 3, 3)


def test_missing_files_are_refused_or_listed(tmp_path):
    year, folder = write_datasets(tmp_path)
    (folder / "cls" / "s.mat").unlink()
    (folder / "inst" / "t.mat").unlink()

    with pytest.raises(DatasetError, match=r"cls/s\.mat: the class map is missing .and 1 more"):
        voc.read(year, "trainaug")
    dataset = voc.read(year, "trainaug", allow_missing=True)
    assert [image.image_id for image in dataset.images] == ["t", "v", "w"]
    assert [gap.place for gap in dataset.gaps] == [str(folder / "inst" / "t.mat")]
    label = dataset.read_label(dataset.images[0])
    assert [(s.category_id, s.is_group) for s in label.segments] == [
        (DOG, True),
        (PERSON, True),
        (0, False),
    ]


@pytest.mark.parametrize("path", ["train.txt", "val.txt"])
def test_a_missing_list_is_named(tmp_path, path):
    year, folder = write_datasets(tmp_path)
    (folder / path).unlink()
    with pytest.raises(DatasetError, match=path):
        voc.read(year, "trainaug")


def test_without_voc_s_val_nothing_is_read(tmp_path):
    year, _ = write_datasets(tmp_path)
    (year / "ImageSets" / "Segmentation" / "val.txt").unlink()
    with pytest.raises(DatasetError, match=r"Segmentation/val\.txt: no such file"):
        voc.read(year, "trainaug")


def test_trainaug_without_sbd_says_where_to_put_it(tmp_path):
    write_datasets(tmp_path, place="elsewhere")
    with pytest.raises(DatasetError, match=r"VOCdevkit: no SBD/dataset/cls .* beside it"):
        voc.read(tmp_path / "VOCdevkit" / "VOC2012", "trainaug")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"categories": [[PERSON], [PERSON]]}, "object 1 has class 15, in the class map 12"),
        ({"categories": [[DOG]]}, "2 objects and 1 Categories"),
        ({"objects": [[1, 2]]}, r"inst/t\.mat: holds uint8 of shape \(1, 2\)"),
        ({"classes": [[DOG, 21, 0]]}, r"cls/t\.mat: value 21 is no class"),
    ],
)
def test_maps_that_contradict_each_other(tmp_path, labels, message):
    year, folder = write_datasets(tmp_path)
    write_labels(folder, "t", **labels)
    dataset = voc.read(year, "trainaug")

    with pytest.raises(DatasetError, match=message):
        dataset.read_label(dataset.images[1])


def test_files_of_another_kind(tmp_path):
    path = tmp_path / "a.mat"
    pixels = np.zeros((2, 3), np.uint8)
    for fields, message in [
        ({"Other": pixels}, "Segmentation is missing"),
        ({"Segmentation": pixels.astype(float)}, r"Segmentation is float64 of shape \(2, 3\)"),
        ({"Segmentation": pixels[..., None] * np.ones(2, np.uint8)}, r"shape \(2, 3, 2\)"),
    ]:
        write_mat(path, "GTcls", **fields)
        with pytest.raises(DatasetError, match=message):
            sbd.read_class_map(path)
    scipy.io.savemat(path, {"GTcls": pixels})
    with pytest.raises(DatasetError, match="Segmentation is missing"):
        sbd.read_class_map(path)
    with pytest.raises(DatasetError, match="GTinst is missing"):
        sbd.read_objects(path)


def test_damaged_files_are_named_at_every_length(tmp_path):
    path = tmp_path / "cls" / "a.mat"
    write_labels(tmp_path, "a", classes=np.arange(600).reshape(20, 30) % 21)
    whole = path.read_bytes()

    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DatasetError, match=r"cls/a\.mat: ") as caught:
            sbd.read_class_map(path)
        assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        sbd.read_class_map(path)


def test_a_file_that_is_too_long_is_refused(tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(bytes(2**22 + 1))
    with pytest.raises(DatasetError, match="is longer than"):
        sbd.read_class_map(path)


def test_what_unpacks_to_far_more_is_refused_at_once(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(
        path, {"GTcls": {"Segmentation": np.zeros(2**26, np.uint8)}}, do_compression=True
    )
    assert path.stat().st_size < 2**22
    with pytest.raises(DatasetError, match=r"a\.mat: unpacks to more than 67108864 bytes"):
        sbd.read_class_map(path)


@pytest.mark.parametrize("classes", [[[np.nan]], [[np.inf]], [[1j]]])
def test_categories_that_are_no_numbers_are_refused(tmp_path, classes):
    path = tmp_path / "a.mat"
    pixels = np.ones((2, 3), np.uint8)
    write_mat(path, "GTinst", Segmentation=pixels, Categories=np.array(classes))
    with pytest.raises(DatasetError, match=r"a\.mat: Categories of GTinst are not numbers"):
        sbd.read_objects(path)
