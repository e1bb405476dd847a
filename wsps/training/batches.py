"""What a step of training learns from: its number says it all, and nothing before it counts.

Which examples a step has, and from where they are seen, is a function of seed, stage, step and
place in the batch. So results depend neither on the number of processes that load examples nor on
whether a run was stopped in between.
"""

import signal
import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from annotools.errors import AnnotationError, RecipeError
from annotools.random_streams import stream
from wsps.data import Batch, Kept, TrainingExample, collate
from wsps.features import name_pixels
from wsps.recipe import ViewSettings
from wsps.views import draw_view

Groups = Sequence[Sequence[TrainingExample]]
"""Examples by label kind. Each kind is drawn equally often, so that a few full labels are not lost
among many weak ones."""

PREFETCHED = 4
"""Batches that each loading process has ready."""


class Loadable(Protocol):
    """A batch of any sort, made in this process's memory; `names` are those of its images."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the images."""
        ...

    def on_device(self, device: torch.device) -> "Loadable":
        """Return the batch on a device, ready for networks."""
        ...


Item = TypeVar("Item", bound=Loadable)
Item_co = TypeVar("Item_co", bound=Loadable, covariant=True)


class Batches(Protocol[Item_co]):
    """The batch of each step of a stage, by the number of the step."""

    @property
    def seed(self) -> int:
        """Of order and augmentation."""
        ...

    @property
    def stage(self) -> str:
        """The name of the stage, which has random numbers of its own."""
        ...

    def __getitem__(self, step: int) -> Item_co: ...

    def keep(self, threads: int) -> None:
        """Read ahead what fits in memory."""
        ...


@dataclass(frozen=True, kw_only=True)
class ViewBatches:
    """Random views of examples; `groups` has at least one, and none is empty.

    Of the places of a batch, 0 to `batch_size - 1`, this process has `places`.
    """

    groups: Groups
    views: ViewSettings
    batch_size: int
    places: range
    seed: int
    stage: str

    def __getitem__(self, step: int) -> Batch:
        sizes = tuple(len(group) for group in self.groups)
        examples = []
        for place in self.places:
            number = step * self.batch_size + place
            group, index = draw(sizes, self.seed, self.stage, number)
            example = self.groups[group][index]
            rng = stream(self.seed, "augment", self.stage, step, place)
            if self.views.per_photo is not None:
                visit = number // len(sizes) // sizes[group]
                # Neither seed nor stage: trials and stages that have a photo share its views.
                rng = stream(0, "view", example.name, visit % self.views.per_photo)
            examples.append(draw_view(example, self.views, rng))
        batch = collate(examples)
        if self.views.per_photo is None:
            return batch
        return replace(batch, pixels=tuple(name_pixels(example.photo) for example in examples))

    def keep(self, threads: int) -> None:
        """Read ahead the examples that fit in memory."""
        for group in self.groups:
            if isinstance(group, Kept):
                group.keep(threads)


def draw(sizes: tuple[int, ...], seed: int, stage: str, number: int) -> tuple[int, int]:
    """Return the group and the index in it of a stage's draw with this number, from 0.

    Groups take turns; each goes through its examples in a random order, and then in another one.
    """
    turn, group = divmod(number, len(sizes))
    epoch, place = divmod(turn, sizes[group])
    return group, int(_order(sizes[group], seed, stage, group, epoch)[place])


def load_batches(
    batches: Batches[Item], steps: range, device: torch.device, loaders: int
) -> Generator[Item, None, None]:
    """Yield the batches of some steps, on a device; closed early, the loading processes end.

    Args:
        batches: of the stage.
        steps: in order.
        device: where to train.
        loaders: processes that make batches ahead of their use; 0 makes each when it is asked for.

    Raises:
        AnnotationError: when an example cannot be read.
        RecipeError: when a loading process died.
    """
    if loaders == 0:
        for step in steps:
            yield _moved(batches[step], device)
        return
    # Forked, loaders share what this process has read.
    batches.keep(loaders)
    with warnings.catch_warnings():
        # Python 3.12 warns of what else runs in this process, of which loaders use nothing: they
        # read and cut arrays. Torch warns of more loaders than processors.
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        loader = DataLoader(
            _Guarded(batches),
            batch_size=None,
            sampler=steps,
            num_workers=min(loaders, len(steps)),
            prefetch_factor=PREFETCHED,
            pin_memory=device.type == "cuda",
            multiprocessing_context="fork",
            worker_init_fn=_begin_loading,
        )
        running = iter(loader)
    try:
        for loaded in running:
            if isinstance(loaded, Exception):
                raise loaded
            yield _moved(loaded, device)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise RecipeError(
            "a process that loads batches died, most often for lack of memory: use fewer --loaders"
        ) from error


def _moved(batch: Item, device: torch.device) -> Item:
    # A batch of one sort stays one; a protocol cannot say so.
    return batch.on_device(device)  # type: ignore[return-value]


@lru_cache(maxsize=64)
def _order(count: int, seed: int, stage: str, group: int, epoch: int) -> NDArray[np.int64]:
    return stream(seed, "shuffle", stage, group, epoch).permutation(count)


class _Guarded(Dataset[object]):
    """Batches, or what went wrong: torch would wrap an error's message in a traceback."""

    def __init__(self, batches: Batches[Loadable]) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> object:
        try:
            return self._batches[step]
        except (AnnotationError, OSError) as error:
            return error


def _begin_loading(_: int) -> None:
    # Its pool of threads does not survive a fork.
    cv2.setNumThreads(0)
    # An interrupt is for the process that trains, whose handlers are not for this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
