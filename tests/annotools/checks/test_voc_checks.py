from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io
from typer.testing import CliRunner

from annotools.category_tables.voc import VOC_CATEGORIES
from annotools.checks.dataset_checks import check_dataset
from annotools.cli import app
from annotools.records import BoxXYXY
from tests.real_data import real_data

WIDTH, HEIGHT = 120, 80
PERSON, DOG = 15, 12
PERSON_BOX, DOG_BOX = (10, 10, 40, 60), (60, 20, 110, 70)
BOTH = ((PERSON, PERSON_BOX), (DOG, DOG_BOX))

Things = Sequence[tuple[int, BoxXYXY]]


def write_maps(year: Path, things: Things, void_border: int = 0) -> None:
    maps = np.zeros((2, HEIGHT, WIDTH), dtype=np.uint8)
    for number, (class_id, (x0, y0, x1, y1)) in enumerate(things, start=1):
        maps[:, y0:y1, x0:x1] = 255
        inside = np.s_[y0 + void_border : y1 - void_border, x0 + void_border : x1 - void_border]
        maps[0][inside], maps[1][inside] = class_id, number
    for folder, pixels in zip(("SegmentationClass", "SegmentationObject"), maps, strict=True):
        (year / folder).mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(year / folder / "a.png"), pixels)
    lists = year / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "val.txt").write_text("a\n")


def write_xml(year: Path, things: Things, difficult: int = 0, size: str = "") -> None:
    objects = [
        f"<object><name>{VOC_CATEGORIES.by_id(class_id).name}</name>"
        f"<difficult>{difficult}</difficult><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for class_id, (x0, y0, x1, y1) in things
    ]
    (year / "Annotations").mkdir(exist_ok=True)
    path = year / "Annotations" / "a.xml"
    path.write_text(f"<annotation>{size}{''.join(objects)}</annotation>")


def find(year: Path) -> list[str]:
    """Severity, place and message of each problem, without the folder."""
    problems = check_dataset("voc", year, ["val"]).problems
    return [f"{p.severity} {p.place}: {p.message}".replace(f"{year}/", "") for p in problems]


def find_between(year: Path, masks: Things, boxes: Things) -> list[str]:
    write_maps(year, masks)
    write_xml(year, boxes)
    return find(year)


def test_boxes_in_any_order_pair_up_with_masks_inside_their_void_border(tmp_path: Path) -> None:
    people = [(PERSON, (x, 10, x + 30, 70)) for x in (5, 30, 60)]
    things = [*people, (DOG, (95, 20, 115, 60))]
    write_maps(tmp_path, things, void_border=5)
    write_xml(tmp_path, things[::-1])
    assert find(tmp_path) == []


def test_names_may_have_folders(tmp_path: Path) -> None:
    write_maps(tmp_path, [(PERSON, PERSON_BOX)])
    write_xml(tmp_path, [(DOG, PERSON_BOX)])
    for folder in ("SegmentationClass", "SegmentationObject", "Annotations"):
        (tmp_path / folder / "sub").mkdir()
        for path in (tmp_path / folder).glob("a.*"):
            path.rename(tmp_path / folder / "sub" / path.name)
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("sub/a\n")
    assert any(line.startswith("error Annotations/sub/a.xml") for line in find(tmp_path))


@pytest.mark.parametrize("side", range(4))
def test_a_side_that_is_far_off_is_a_warning(tmp_path: Path, side: int) -> None:
    def moved(pixels: int) -> tuple[int, tuple[int, ...]]:
        inwards = pixels if side < 2 else -pixels
        return DOG, tuple(x + inwards * (n == side) for n, x in enumerate(DOG_BOX))

    assert find_between(tmp_path, BOTH, (BOTH[0], moved(15))) == []
    (problem,) = find_between(tmp_path, BOTH, (BOTH[0], moved(16)))
    assert problem.startswith("warning Annotations/a.xml: object 2: box ")
    assert "is 16 pixels off that of segment 2, 61, 21, 110, 70, more than 15" in problem


def test_an_object_of_another_class_than_its_segment(tmp_path: Path) -> None:
    assert find_between(tmp_path, BOTH, ((DOG, PERSON_BOX), BOTH[1])) == [
        "error Annotations/a.xml: object 1: is dog, but segment 1 in its box is person: "
        "correct the wrong one"
    ]


def test_classes_that_were_exchanged_are_two_errors(tmp_path: Path) -> None:
    exchanged = ((DOG, PERSON_BOX), (PERSON, DOG_BOX))
    problems = find_between(tmp_path, BOTH, exchanged)
    assert [problem.partition(":")[2][:20] for problem in problems] == [
        " object 1: is dog, b",
        " object 2: is person",
    ]


def test_an_object_without_a_segment_unless_it_is_difficult(tmp_path: Path) -> None:
    assert find_between(tmp_path, BOTH[:1], BOTH) == [
        "error Annotations/a.xml: object 2: dog in box 61, 21, 110, 70 has no segment in "
        "SegmentationObject/a.png: add it there or drop the object"
    ]
    write_xml(tmp_path, BOTH, difficult=1)
    assert find(tmp_path) == []


def test_a_segment_without_an_object(tmp_path: Path) -> None:
    expected = (
        "error SegmentationObject/a.png: segment {}: {} in box {} has no object in "
        "Annotations/a.xml: add it there or drop the segment"
    )
    person = expected.format(1, "person", "11, 11, 40, 60")
    dog = expected.format(2, "dog", "61, 21, 110, 70")
    assert find_between(tmp_path, BOTH, BOTH[1:]) == [person]
    assert find_between(tmp_path, BOTH, ()) == [person, dog]
    assert find_between(tmp_path, (), ()) == []


def test_a_box_given_twice_has_one_segment(tmp_path: Path) -> None:
    (problem,) = find_between(tmp_path, BOTH, (*BOTH, BOTH[0]))
    assert "person in box 11, 11, 40, 60 has no segment" in problem


def test_an_object_on_one_of_another_class_has_no_segment(tmp_path: Path) -> None:
    (problem,) = find_between(tmp_path, BOTH, (*BOTH, (DOG, PERSON_BOX)))
    assert "object 3: dog in box 11, 11, 40, 60 has no segment" in problem


def test_a_segment_within_that_of_another_class_has_no_object(tmp_path: Path) -> None:
    x0, y0, x1, y1 = PERSON_BOX
    inner = (DOG, (x0 + 2, y0 + 2, x1 - 2, y1 - 2))
    (problem,) = find_between(tmp_path, (*BOTH, inner), BOTH)
    assert "segment 3: dog in box 13, 13, 38, 58 has no object" in problem


def test_pixels_of_no_object_are_not_a_segment_of_their_own(tmp_path: Path) -> None:
    write_maps(tmp_path, BOTH)
    write_xml(tmp_path, BOTH[1:])
    path = tmp_path / "SegmentationObject" / "a.png"
    objects = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert objects is not None
    objects[objects == 1] = 0
    cv2.imwrite(str(path), objects)
    assert find(tmp_path) == []
    write_xml(tmp_path, BOTH)
    (problem,) = find(tmp_path)
    assert "object 1: person in box 11, 11, 40, 60 has no segment" in problem


def test_a_box_elsewhere_is_not_that_of_the_segment(tmp_path: Path) -> None:
    problems = find_between(tmp_path, BOTH[:1], ((PERSON, (80, 10, 110, 60)),))
    assert len(problems) == 2
    assert "has no segment" in problems[0]
    assert "has no object" in problems[1]


def test_a_box_that_leaves_the_image(tmp_path: Path) -> None:
    assert find_between(tmp_path, BOTH, (BOTH[0], (DOG, (60, 20, 121, 70)))) == [
        "warning Annotations/a.xml: object 2: its box reaches out of its image and is clipped to it"
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<annotation>", "not valid XML"),
        ("<annotation><object><name>tree</name></object></annotation>", "'tree' is no class"),
        ("", "not valid XML"),
    ],
)
def test_an_annotation_file_that_cannot_be_read(tmp_path: Path, content: str, message: str) -> None:
    write_maps(tmp_path, BOTH)
    write_xml(tmp_path, BOTH)
    (tmp_path / "Annotations" / "a.xml").write_text(content)
    (problem,) = find(tmp_path)
    assert problem.startswith("error Annotations/a.xml: ")
    assert message in problem


def test_images_without_both_files_are_not_held_against_each_other(tmp_path: Path) -> None:
    write_maps(tmp_path, BOTH)
    assert find(tmp_path) == []
    write_xml(tmp_path, ())
    (tmp_path / "SegmentationObject" / "a.png").unlink()
    (problem,) = find(tmp_path)
    assert "the object map is missing" in problem


def test_an_annotation_file_that_others_have_is_missed(tmp_path: Path) -> None:
    write_maps(tmp_path, BOTH)
    (tmp_path / "Annotations").mkdir()
    assert find(tmp_path) == [
        "warning Annotations/a.xml: the annotation file is missing: masks alone are read"
    ]


@pytest.mark.parametrize(
    ("size", "problem"),
    [
        ("<size><width>120</width><height> 80 </height></size>", None),
        ("<size><width>80</width><height>120</height></size>", "80 x 120, its image 120 x 80"),
        ("<size><width>120</width></size>", "120 x none, its image 120 x 80"),
    ],
)
def test_the_size_in_an_annotation_file(tmp_path: Path, size: str, problem: str | None) -> None:
    write_maps(tmp_path, BOTH)
    write_xml(tmp_path, BOTH, size=size)
    message = f"error Annotations/a.xml: size is {problem}: correct it"
    assert find(tmp_path) == ([] if problem is None else [message])


def test_a_damaged_map_of_sbd_is_the_one_that_is_named(tmp_path: Path) -> None:
    year, sbd = tmp_path / "VOCdevkit" / "VOC2012", tmp_path / "SBD" / "dataset"
    write_maps(year, BOTH)
    for folder, name in (("cls", "GTcls"), ("inst", "GTinst")):
        (sbd / folder).mkdir(parents=True)
        pixels = np.zeros((4, 5), dtype=np.uint8)
        scipy.io.savemat(sbd / folder / "s1.mat", {name: {"Segmentation": pixels}})
    for split, listed in {"train": "s1", "val": "a"}.items():
        (sbd / f"{split}.txt").write_text(listed)
    (year / "ImageSets" / "Segmentation" / "train.txt").write_text("a\n")
    (year / "ImageSets" / "Segmentation" / "val.txt").write_text("b\n")
    path = sbd / "inst" / "s1.mat"
    path.write_bytes(b"no matrix")
    (problem,) = check_dataset("voc", year, ["trainaug"]).problems
    assert (problem.place, problem.message[:17]) == (str(path), "not a MATLAB file")


def test_damaged_maps_are_listed_alone(tmp_path: Path) -> None:
    write_maps(tmp_path, BOTH)
    write_xml(tmp_path, ())
    (tmp_path / "SegmentationObject" / "a.png").write_bytes(b"no picture")
    (problem,) = find(tmp_path)
    assert "not a PNG" in problem


def test_the_command_exits_with_1_for_an_error_but_not_for_a_loose_box(tmp_path: Path) -> None:
    def check() -> Any:
        return CliRunner().invoke(
            app, ["check", str(tmp_path), "--format", "voc", "--split", "val"]
        )

    find_between(tmp_path, BOTH, (BOTH[0], (DOG, (80, 20, 110, 70))))
    done = check()
    assert (done.exit_code, "0 errors and 1 warning" in done.output) == (0, True)
    write_xml(tmp_path, BOTH[:1])
    done = check()
    assert (done.exit_code, "1 error and 0 warnings" in done.output) == (1, True)


def test_real_boxes_and_masks_disagree_on_five_of_sixty_objects() -> None:
    report = check_dataset("voc", real_data("voc", "VOCdevkit", "VOC2007"), ["train"])
    assert {problem.severity for problem in report.problems} == {"warning"}
    found = [(Path(p.place).name, p.message.partition(" is ")[2]) for p in report.problems]
    assert [(place, int(message.split()[0])) for place, message in found] == [
        ("000032.xml: object 1", 29),
        ("000129.xml: object 6", 134),
        ("000549.xml: object 1", 34),
        ("000822.xml: object 1", 20),
        ("000904.xml: object 3", 103),
    ]
