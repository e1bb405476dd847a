import pytest
import torch

from studies.running.gpu_share import GIB, memory_need, trials_on_gpu
from wsps.recipe import BackboneSettings, DescentSettings, Recipe, ViewSettings

SQUARE = ViewSettings(crop_size_wh=(521, 521))


def recipe(name: str, batch_size: int) -> Recipe:
    descent = DescentSettings(batch_size=batch_size)
    return Recipe(views=SQUARE, backbone=BackboneSettings(name=name), descent=descent)


def test_the_need_grows_with_the_pixels_of_a_batch():
    assert memory_need(recipe("small", 1)) == 5.5 * GIB
    assert memory_need(recipe("resnet101", 2)) == 21.5 * GIB
    assert 2.5 * GIB < memory_need(Recipe()) < 2.6 * GIB


@pytest.mark.parametrize(
    ("free_gib", "trials", "processors", "expected"),
    [
        (70, 12, 16, 6),  # 11.5 GiB each
        (70, 3, 16, 3),
        (70, 12, 8, 4),
        (70, 12, 1, 1),
        (5, 12, 16, 1),
    ],
)
def test_trials_are_as_many_as_memory_processors_and_the_study_allow(
    monkeypatch: pytest.MonkeyPatch, free_gib: int, trials: int, processors: int, expected: int
):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free_gib * GIB, 80 * GIB))
    assert trials_on_gpu(recipe("resnet50", 1), trials, processors) == expected
