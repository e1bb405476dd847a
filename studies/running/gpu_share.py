"""Decide how many trials share one GPU."""

import math

from wsps.recipe import Recipe

GIB = 2**30

FIXED_GIB = 1.5
"""What a process needs whatever it trains: CUDA's context and libraries, half a GiB, and batches of
labels or a whole photo in prediction."""

VIEW_GIB = {"small": 4.0}
"""What training needs for each 521 x 521 pixels of a batch, by backbone: the features of all layers
that the gradient goes through."""

RESNET_GIB = 10.0
"""The same of a residual network at an output stride of 8, in single precision."""


def trials_on_gpu(recipe: Recipe, trials: int, processors: int) -> int:
    """Return how many trials run at the same time on the GPU, at least one.

    As many as its free memory holds, each with two processors, which read and label beside it. A
    trial is taken to need `FIXED_GIB`, and for each 521 x 521 pixels of a training batch what its
    backbone needs. These are estimates by the size of the features, on the high side: too few
    trials at once cost time, one too many ends a study.

    Args:
        recipe: of the trials.
        trials: how many there are.
        processors: that all of them share.
    """
    import torch

    free, _ = torch.cuda.mem_get_info()
    room = math.floor(free / memory_need(recipe))
    return max(1, min(room, processors // 2, trials))


def memory_need(recipe: Recipe) -> float:
    """Return the bytes of GPU memory that a trial is taken to need."""
    width, height = recipe.views.crop_size_wh
    views = recipe.descent.batch_size * width * height / 521**2
    return GIB * (FIXED_GIB + VIEW_GIB.get(recipe.backbone.name, RESNET_GIB) * views)
