"""Examples to train on that need no data set: scenes of the demo, and files of larger photos."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
from steps import View, make_example

from annotools.formats import read_dataset
from wsps.data import Examples, TrainingExample, keep_examples
from wsps.labelled_photos import make_example as label_example

PHOTO_SIZE_WH = (1024, 768)
PHOTOS = 64


def make_scenes(folder: Path, count: int = PHOTOS) -> Examples:
    """Return scenes as the demo has them, drawn when they are asked for the first time."""
    world = folder / "world.toml"
    world.write_text(f"num_train = {count}\nnum_val = 1\n", encoding="utf-8")
    dataset = read_dataset("scenes", world, "train")

    def draw(number: int) -> TrainingExample:
        image = dataset.images[number]
        label = dataset.read_label(image)
        return label_example(
            dataset.read_photo(image), label, list(label.objects.values()), dataset.categories
        )

    return keep_examples([partial(draw, number) for number in range(count)])


def write_photos(folder: Path, count: int = PHOTOS) -> None:
    """Write photos as JPEG, and their classes and instances as PNG."""
    for number in range(count):
        example = make_example(View(size_wh=PHOTO_SIZE_WH, batch_size=1, things=30), number)
        photo = cv2.cvtColor(example.photo, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{number}.jpg"), photo)
        cv2.imwrite(str(folder / f"{number}_classes.png"), example.classes)
        instances = example.instances.astype(np.uint16)
        cv2.imwrite(str(folder / f"{number}_instances.png"), instances)


def read_examples(folder: Path, keep: bool, count: int = PHOTOS) -> Examples:
    """Return the examples of files that `write_photos` wrote.

    Args:
        folder: of the files.
        keep: whether decoded ones are kept, as training does while memory allows.
        count: how many.
    """
    makers = [partial(_decode, folder, number) for number in range(count)]
    return keep_examples(makers) if keep else Examples(makers, lambda _: 1, keep_bytes=0)


def _decode(folder: Path, number: int) -> TrainingExample:
    classes, instances = (
        cv2.imread(str(folder / f"{number}_{name}.png"), cv2.IMREAD_UNCHANGED)
        for name in ("classes", "instances")
    )
    photo = cv2.imread(str(folder / f"{number}.jpg"), cv2.IMREAD_COLOR_RGB)
    return TrainingExample(
        name=str(number),
        photo=np.asarray(photo, dtype=np.uint8),
        photo_side=max(PHOTO_SIZE_WH),
        classes=np.asarray(classes, dtype=np.uint8),
        instances=np.asarray(instances, dtype=np.int32),
        boxes_xyxy=np.zeros((0, 4), dtype=np.float32),
        box_classes=np.zeros(0, dtype=np.int64),
    )
