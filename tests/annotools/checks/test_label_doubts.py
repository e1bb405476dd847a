from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from annotools.checks.dataset_checks import check_dataset
from tests.annotools.checks.checked_datasets import HEIGHT, WIDTH, find, write_panoptic
from tests.real_data import real_data


def write_cityscapes(root: Path, *maps: Any) -> list[Path]:
    """One label map of each nested list, `_labelIds` of Aachen."""
    folder = root / "gtFine" / "val" / "aachen"
    folder.mkdir(parents=True)
    paths = [folder / f"aachen_{n:06d}_000019_gtFine_labelIds.png" for n in range(len(maps))]
    for path, rows in zip(paths, maps, strict=True):
        cv2.imwrite(str(path), np.array(rows, dtype=np.uint8))
    return paths


def test_train_ids_under_the_name_of_label_ids_are_doubted(tmp_path: Path) -> None:
    # Road 0, car 13, sky 10: as label ids these are unlabeled, fence and rail track.
    (path,) = write_cityscapes(tmp_path, [[10, 10, 10, 13], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert find("cityscapes", tmp_path) == [
        f"warning {path.name}: no label id above 18, as in maps of train ids: give labelIds or "
        "instanceIds",
        f"warning {path.name}: more than half of its pixels are void: 92%, and 92% of split val: "
        "make sure that these are its labels",
    ]


def test_an_image_is_void_for_the_most_part_from_half_on(tmp_path: Path) -> None:
    # Of 4 pixels 4, 2 and 3 are void: 75 % in all.
    maps = [[0, 0, 0, 0]], [[7, 0, 0, 23]], [[0, 0, 0, 23]]
    first, _, third = write_cityscapes(tmp_path, *maps)
    void = "warning {}: more than half of its pixels are void: {}, and 75% of split val: make sure"
    lines = find("cityscapes", tmp_path)
    assert len(lines) == 2
    assert lines[0].startswith(void.format(first.name, "100%"))
    assert lines[1].startswith(void.format(third.name, "75%"))


def test_panoptic_images_without_segments_are_void(tmp_path: Path) -> None:
    write_panoptic(tmp_path, segments_info=[])
    cv2.imwrite(
        str(tmp_path / "annotations" / "panoptic_val" / "a.png"),
        np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8),
    )
    assert find("coco-panoptic", tmp_path) == [
        "warning panoptic_val.json: no image has an annotation: export the labels again",
        "warning a.png: more than half of its pixels are void: 100%, and 100% of split val: make "
        "sure that these are its labels",
    ]


def test_real_street_scenes_are_not_doubted() -> None:
    root = real_data("cityscapes")
    problems = check_dataset("cityscapes", root, ["train"]).problems
    assert Counter((p.severity, p.message.rpartition(": ")[2]) for p in problems) == {
        ("warning", "category caravan is not one of the 19 evaluated"): 1,
        ("warning", "other objects cover it"): 3,
    }
