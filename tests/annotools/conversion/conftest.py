from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotools.categories import CategorySet
from annotools.formats import READERS
from annotools.formats.source import Source
from annotools.records import Dataset, Drop, FullLabel, Image
from tests.annotools.conversion.conversion_runs import CATEGORIES, Memory


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Memory:
    def make(
        labels: Sequence[tuple[str, FullLabel]],
        categories: CategorySet = CATEGORIES,
        gaps: tuple[Drop, ...] = (),
        **changes: Any,
    ) -> Source:
        images = []
        for number, (name, label) in enumerate(labels):
            height, width = label.segment_map.shape
            images.append(Image(image_id=number, file_name=name, width=width, height=height))
        dataset = Dataset(
            name="memory",
            split="train",
            categories=categories,
            images=tuple(images),
            read_label=lambda image: labels[int(image.image_id)][1],
            read_photo=lambda image: np.zeros((image.height, image.width, 3), dtype=np.uint8),
            drops=(Drop(place="c.png", reason="the photo is missing"),),
            gaps=gaps,
            notes=("a note",),
        )
        monkeypatch.setitem(READERS, "memory", lambda root, split, allow_missing: dataset)
        return Source(format_name="memory", root=tmp_path / "in", split="train", **changes)

    return make
