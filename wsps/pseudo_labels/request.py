"""The pseudo-labels of a split in words: what was asked for, what it came to, as JSON."""

import math
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from annotools.allocation.plan_file import Allocation
from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.formats.panoptic_folder import describe_classes, describe_labels
from annotools.formats.source import Source
from annotools.records import Dataset
from annotools.settings import as_table
from wsps.pseudo_labels.label_images import ImageTask
from wsps.pseudo_labels.output_folder import WRITTEN_BY
from wsps.pseudo_labels.quality import QualityRow, TagPrecision
from wsps.recipe import Recipe

QUALITY_FILE = "quality.json"

_PACKAGES = ("annotools", "higra", "numpy", "opencv-python-headless", "torch")


@dataclass(frozen=True, kw_only=True)
class LabelRequest:
    """What to label, and how.

    Of `source` everything but `categories` is used. `labels` is a weak kind for every image, or
    an allocation. `recipe` has the settings, the size of the tagged crops and the number of rounds
    among them; `seed` is that of all training, and the tags of `held_out_split` measure the
    classifier, None for none. In `box_labels` labels from boxes are kept for others to use, None
    for nowhere.
    """

    source: Source
    labels: str | Allocation
    recipe: Recipe = field(default_factory=Recipe)
    seed: int = 0
    held_out_split: str | None = None
    box_labels: Path | None = None


@dataclass(frozen=True, kw_only=True)
class KindQuality:
    """The labels of the images of one kind but `full`, so many: what `quality_rows` gives."""

    kind: str
    images: int
    rows: tuple[QualityRow, ...]


@dataclass(frozen=True, kw_only=True)
class LabelledSplit:
    """What a run came to.

    `images` are counted by what became of them; `in` is the sum of all others. `num_resumed`
    labels, of all rounds, were done by an earlier run. `rounds` has the quality of the first labels
    and of those of each round after. `tags` is by split: the labelled one, and the held-out one
    if it was asked for; empty without tags.
    """

    images: Mapping[str, int]
    num_resumed: int
    rounds: tuple[tuple[KindQuality, ...], ...]
    tags: Mapping[str, TagPrecision]

    def __post_init__(self) -> None:
        counted = dict(self.images)
        assert counted.pop("in") == sum(counted.values()), self.images

    @property
    def kinds(self) -> tuple[KindQuality, ...]:
        """The quality of the last labels."""
        return self.rounds[-1]


def count_images(
    request: LabelRequest, dataset: Dataset, tasks: Sequence[ImageTask]
) -> dict[str, int]:
    """Return how many images there are, labelled, passed through, and left out for what reason."""
    possible = dataset.images[: request.source.max_images]
    num_full = sum(task.kind == "full" for task in tasks)
    counts = {
        "in": len(dataset.images) + len(dataset.drops),
        "labelled": len(tasks) - num_full,
        "passed_through": num_full,
        "dropped": len(dataset.drops),
        "beyond_max_images": len(dataset.images) - len(possible),
    }
    if isinstance(request.labels, str):
        return counts
    kind_of = request.labels.kind_of
    absent = sum(image.image_id not in kind_of for image in possible)
    unlabelled = len(possible) - absent - len(tasks)
    return {**counts, "not in the allocation": absent, "without a label": unlabelled}


def describe(
    request: LabelRequest, dataset: Dataset, tasks: Sequence[ImageTask], round_number: int
) -> dict[str, Any]:
    """Return the manifest of the pseudo-labels of a round, from 0."""
    source, labels = request.source, request.labels
    kinds = Counter(task.kind for task in tasks)
    return {
        "written_by": WRITTEN_BY,
        "source": {
            "format": source.format_name,
            "root": str(source.root),
            "split": source.split,
            "allow_missing": source.allow_missing,
        },
        "labels_from": labels if isinstance(labels, str) else as_table(labels.settings),
        "recipe": as_table(request.recipe),
        "seed": request.seed,
        "round": round_number,
        "versions": {"python": platform.python_version()} | {n: version(n) for n in _PACKAGES},
        "images": count_images(request, dataset, tasks),
        "kinds": dict(sorted(kinds.items())),
        "ignore": IGNORE_INDEX,
        "classes": describe_classes(dataset.categories),
        "notes": list(dataset.notes),
        "labels": describe_labels(
            [task.image.image_id for task in tasks],
            [task.name for task in tasks],
            [task.kind for task in tasks],
        ),
    }


def quality_as_json(result: LabelledSplit, categories: CategorySet) -> dict[str, Any]:
    """Return how good the labels are: rates in [0, 1], null where undefined."""
    names = [category.name for category in categories.categories]
    return {
        "kinds": _kinds_as_json(result.kinds),
        "rounds": [
            {"round": number, "kinds": _kinds_as_json(kinds)}
            for number, kinds in enumerate(result.rounds)
        ],
        "tags": {
            split: {
                "crops": tags.num_crops,
                "map": _defined(tags.mean),
                "ap": dict(zip(names, map(_defined, tags.ap.tolist()), strict=True)),
            }
            for split, tags in result.tags.items()
        },
    }


def _kinds_as_json(kinds: Sequence[KindQuality]) -> dict[str, Any]:
    return {found.kind: {"images": found.images, "rows": as_table(found.rows)} for found in kinds}


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
