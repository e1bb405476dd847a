"""What tests train on: examples and label sets of scenes, and a recipe of few steps."""

from collections.abc import Mapping
from pathlib import Path

from annotools.categories import CategorySet
from annotools.files import write_json
from annotools.formats.panoptic_folder import write_label, write_label_set
from annotools.formats.scenes import world_dataset
from annotools.formats.source import Source, open_source
from annotools.formats.weak_json import write_boxes
from annotools.records import Box, FullLabel
from annotools.scenes.world import SceneWorld
from annotools.weak_labels.weaken import weaken
from wsps.data import TrainingExample
from wsps.labelled_photos import make_example
from wsps.recipe import (
    DescentSettings,
    InstanceSettings,
    Recipe,
    SemanticSettings,
    StageSettings,
    ViewSettings,
)

RECIPE = Recipe(
    # The same on every processor, with units for bfloat16 or without.
    descent=DescentSettings(batch_size=2, precision="float32"),
    views=ViewSettings(crop_size_wh=(64, 64)),
    semantic=SemanticSettings(steps=20, learning_rate=5e-3),
    detector=StageSettings(steps=20, learning_rate=3e-3),
    instance=InstanceSettings(steps=3, learning_rate=1e-3),
)


def full_examples(count: int) -> list[TrainingExample]:
    """Scenes of 64 x 64 with their full labels."""
    dataset = world_dataset(SceneWorld(width=64, height=64, num_train=count), "train")
    labels = [dataset.read_label(image) for image in dataset.images]
    photos = [dataset.read_photo(image) for image in dataset.images]
    return [
        make_example(photo, label, boxes_of(label, dataset.categories), dataset.categories)
        for photo, label in zip(photos, labels, strict=True)
    ]


def write_labels(
    folder: Path, photos: Source, kinds: Mapping[int, str], round_number: int = 0
) -> Path:
    """A label set of these images; the annotators of tags were not asked for boxes."""
    dataset = open_source(photos)
    categories = dataset.categories
    images = [image for image in dataset.images if image.image_id in kinds]
    entries = [
        (image, write_label(folder, f"{image.image_id}", image, dataset.read_label(image)))
        for image in images
    ]
    write_label_set(folder, categories, entries)
    boxed = [
        (image, boxes_of(dataset.read_label(image), categories))
        for image in images
        if kinds[int(image.image_id)] != "tags"
    ]
    write_boxes(folder, dataset, boxed)
    listed = [{"image_id": i, "kind": kind} for i, kind in kinds.items()]
    write_json(folder / "manifest.json", {"labels": listed, "round": round_number})
    return folder


def boxes_of(label: FullLabel, categories: CategorySet) -> tuple[Box, ...]:
    """The boxes that a full label implies."""
    return weaken(label, categories, "boxes", None).boxes
