from pathlib import Path

import numpy as np
import pytest

from annotools.formats.source import Source, open_source
from annotools.records import Box, Image
from tests.wsps.pseudo_label_runs import make_world
from wsps.pseudo_labels.label_store import BoxLabelStore
from wsps.pseudo_labels.refine import PseudoLabel


@pytest.fixture
def store(tmp_path: Path) -> BoxLabelStore:
    source = Source(format_name="scenes", root=make_world(tmp_path), split="train")
    return BoxLabelStore(folder=tmp_path / "box_labels", source=source, method="box")


def label(store: BoxLabelStore, number: int = 0) -> PseudoLabel:
    dataset = open_source(store.source)
    image: Image = dataset.images[number]
    thing = next(c for c in dataset.categories.categories if c.is_thing)
    box = Box(category_id=thing.category_id, box_xyxy=(5, 5, 20, 30))
    return store.label(dataset.read_photo(image), image, [box], dataset.categories)


def test_a_full_disk_names_the_file_and_leaves_nothing(
    store: BoxLabelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError, match="No space left") as caught:
        label(store)
    assert Path(caught.value.filename).parent == store.folder
    assert not Path(caught.value.filename).name.startswith(".")
    assert list(store.folder.iterdir()) == []


def test_what_is_damaged_or_another_image_s_is_made_again(store: BoxLabelStore) -> None:
    made = label(store)
    (path,) = store.folder.iterdir()
    label(store, 1)
    (other,) = set(store.folder.iterdir()) - {path}
    whole = path.read_bytes()
    for content in (b"", whole[:-1], whole[:60] + b"\0" + whole[61:], other.read_bytes()):
        assert content != whole
        path.write_bytes(content)
        again = label(store)
        np.testing.assert_array_equal(again.instances, made.instances)
        np.testing.assert_array_equal(again.classes, made.classes)
        assert path.read_bytes() == whole
