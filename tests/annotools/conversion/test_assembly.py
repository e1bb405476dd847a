import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotools.conversion import assembly
from annotools.label_maps import build_label
from annotools.weak_labels.weaken import weaken
from tests.annotools.conversion.conversion_runs import STREET, Memory, run


@pytest.mark.parametrize(
    ("lose", "message"),
    [
        (lambda weak: {"boxes": weak.boxes[:-1]}, "boxes: 4 objects in, 1 written and 2 dropped"),
        (lambda weak: {"crops": ()}, "tags: 4 objects in, 0 written and 0 dropped"),
    ],
)
def test_a_lost_object_is_noticed_before_any_file_is_final(
    in_memory: Memory, tmp_path: Path, monkeypatch, lose, message: str
):
    def lossy(*arguments: Any):
        weak = weaken(*arguments)
        return type(weak)(**(vars(weak) | lose(weak)))

    monkeypatch.setattr("annotools.weak_labels.buy.weaken", lossy)
    with pytest.raises(AssertionError, match=message):
        run(in_memory([("a.png", STREET)]), tmp_path / "out", "boxes", "tags")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".state"}


def test_a_lost_line_is_noticed(in_memory: Memory, tmp_path: Path, monkeypatch):
    lines = assembly._read_lines
    monkeypatch.setattr(
        assembly, "_read_lines", lambda path: list(lines(path))[:1] + list(lines(path))[2:]
    )
    with pytest.raises(AssertionError, match="boxes: 2 entries made, 1 written"):
        run(in_memory([("a.png", STREET)]), tmp_path / "out", "boxes")


def test_memory_does_not_grow_with_the_number_of_images(
    in_memory: Memory, tmp_path: Path, monkeypatch
):
    ids = np.arange(1, 21, dtype=np.int32).reshape(4, 5)
    label = build_label(0, ids, dict.fromkeys(range(1, 21), 30))
    peak = 0
    assemble = assembly.assemble

    def measured(*arguments: Any):
        nonlocal peak
        tracemalloc.start()
        try:
            return assemble(*arguments)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()

    monkeypatch.setattr("annotools.conversion.convert.assemble", measured)
    run(in_memory([(f"{n}.png", label) for n in range(2000)]), tmp_path / "out", "boxes")
    assert (tmp_path / "out" / "boxes.json").stat().st_size > 3_000_000
    assert peak < 500_000
