import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotools.formats.source import Source, open_source
from studies.examples import LIST_FILE, NUM_EXAMPLES, PICTURES, keep_examples, read_examples
from tests.wsps.panoptic_files import write_panoptic
from wsps.evaluation.overlaps import to_runs


def scenes(folder: Path, **changes: object) -> Source:
    world = folder / "world.toml"
    table = {"width": 64, "height": 48, "num_train": 1, "num_val": 4} | changes
    world.write_text("".join(f"{key} = {value}\n" for key, value in table.items()))
    return Source(format_name="scenes", root=world, split="val")


def truth_of(source: Source) -> list:
    dataset = open_source(source)
    return [dataset.read_label(image) for image in dataset.images]


def predict_the_truth(source: Source, folder: Path) -> Path:
    dataset = open_source(source)
    path = write_panoptic(folder / "panoptic.json", truth_of(source), dataset.categories)
    images = [
        {"id": i.image_id, "file_name": i.file_name, "width": i.width, "height": i.height}
        for i in dataset.images
    ]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"images": images}))
    return folder


def pixels(content: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    return picture


def test_the_first_images_with_things_are_drawn_small(tmp_path: Path) -> None:
    source = scenes(tmp_path)
    predictions = predict_the_truth(source, tmp_path / "predictions")
    labels = truth_of(source)
    stuff_alone = replace(labels[0], segments=labels[0].segments[:1])
    truth = [to_runs(label) for label in (stuff_alone, *labels[1:])]
    # The first segment of a scene is its sky.
    keep_examples(source, truth, predictions, tmp_path / "kept")
    found = read_examples(tmp_path / "kept")
    names = [image.file_name for image in open_source(source).images]
    assert [one.file_name for one in found] == names[1:4]
    first = found[0]
    # A small photo is enlarged by whole pixels: 6 x 64 is the most below 400.
    assert pixels(first.photo).shape == (6 * 48, 6 * 64, 3)
    np.testing.assert_array_equal(pixels(first.truth), pixels(first.prediction))
    assert np.abs(pixels(first.truth).astype(int) - pixels(first.photo)).mean() > 10
    assert first.true_names == first.predicted_names
    assert set(first.colours) == set(first.true_names)
    assert all(len(colour) == 7 for colour in first.colours.values())


def test_a_large_photo_and_its_label_shrink_alike(tmp_path: Path) -> None:
    source = scenes(tmp_path, width=1001, height=300, num_val=1)
    predictions = predict_the_truth(source, tmp_path / "predictions")
    keep_examples(source, [to_runs(one) for one in truth_of(source)], predictions, tmp_path / "k")
    (found,) = read_examples(tmp_path / "k")
    assert pixels(found.truth).shape == pixels(found.photo).shape == (120, 400, 3)
    assert sum(len(getattr(found, name)) for name in PICTURES) < 100_000


def test_where_there_are_no_things_the_first_images_are_drawn(tmp_path: Path) -> None:
    source = scenes(tmp_path)
    predictions = predict_the_truth(source, tmp_path / "predictions")
    truth = [replace(to_runs(one), segments=to_runs(one).segments[:1]) for one in truth_of(source)]
    keep_examples(source, truth, predictions, tmp_path / "kept")
    names = [image.file_name for image in open_source(source).images]
    assert [one.file_name for one in read_examples(tmp_path / "kept")] == names[:NUM_EXAMPLES]


@pytest.mark.parametrize("content", [None, "{", "[1]", '[{"file_name": "a"}]'])
def test_what_cannot_be_read_is_no_example(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / LIST_FILE).write_text(content)
    assert read_examples(tmp_path) == ()
