"""A model that cannot learn one scene by heart cannot learn: all networks and commands' paths."""

from pathlib import Path

import pytest

from annotools.formats.panoptic_folder import write_label, write_label_set
from annotools.formats.source import Source, open_source
from wsps.evaluation.image_scores import score_overlaps
from wsps.evaluation.overlaps import measure_overlaps
from wsps.evaluation.rates import measure
from wsps.recipe_files import read_recipe
from wsps.students import predict
from wsps.training.finished_runs import load_model
from wsps.training.train import train

FIXED_VIEW = ("views.crop_size_wh=[96, 64]", "views.scale_range=[1.0, 1.0]")
"""The whole scene as it is; it is mirrored at random all the same."""


@pytest.mark.slow
@pytest.mark.parametrize("student", ["li2018", "mask-rcnn"])
def test_one_scene_is_learnt_by_heart(tmp_path: Path, student: str) -> None:
    world = tmp_path / "world.toml"
    world.write_text("width = 96\nheight = 64\nnum_train = 1\nnum_val = 0\n")
    photos = Source(format_name="scenes", root=world, split="train")
    dataset = open_source(photos)
    (image,) = dataset.images
    truth = dataset.read_label(image)
    # Nine segments; of the things a car hides a part of one of the two buses.
    assert len(truth.segments) == 9
    labels, categories = tmp_path / "labels", dataset.categories
    write_label_set(labels, categories, [(image, write_label(labels, "a", image, truth))])
    # With fewer steps it hangs on how a processor rounds whether a thing is found twice.
    steps = ("semantic.steps=200", "detector.steps=400", "instance.steps=60")
    descent = ("descent.batch_size=1", "descent.precision=float32")
    recipe = read_recipe("small", (*FIXED_VIEW, *steps, *descent))
    train([labels], photos, recipe, 0, tmp_path / "run", student=student)
    found = predict(load_model(tmp_path / "run"), dataset.read_photo(image), image.image_id)
    overlaps = measure_overlaps(truth, found.label, categories)
    scores = score_overlaps(overlaps, found.label, found.scores, len(categories))
    measured = measure([scores], categories, ("pq",), (0.5,), all_groups=True)
    counts = {name: int(values[-3]) for name, values in measured.counts.items()}
    pq_all, pq_things, pq_stuff = measured.rates["pq"][-3:]
    assert pq_all >= 0.9, (counts, measured.rates["pq"])
    # Each segment is found, and nothing else.
    assert sorted(counts.values()) == [0, 0, 9]
    assert min(pq_things, pq_stuff) >= 0.85
