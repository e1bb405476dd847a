import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotools.conversion import assembly, shards
from annotools.conversion.wanted import ImageTask
from annotools.errors import DatasetError
from annotools.formats.source import Source
from tests.annotools.conversion.conversion_runs import STREET, Memory, contents, run, write_world


def test_a_conversion_never_removes_what_it_reads(in_memory: Memory, tmp_path: Path):
    root = tmp_path / "bought"
    run(in_memory([("a.png", STREET)]), root, "full")
    before = contents(root)
    again = Source(format_name="coco-panoptic", root=root, split="train")
    for out in (root, root / "panoptic", tmp_path):
        with pytest.raises(DatasetError, match="give --out another folder"):
            run(again, out, "full", "boxes", overwrite=True)
    assert contents(root) == before
    run(again, root / "boxes", "boxes", overwrite=True)
    assert contents(root).items() > before.items()


def test_a_bad_label_stops_and_what_was_done_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source = write_world(tmp_path, count=40)
    out = tmp_path / "out"
    run(source, tmp_path / "whole", "full", "boxes", "tags")
    make = shards.convert_image

    def fail(task: ImageTask, *rest: Any):
        if task.image.image_id == 35:
            raise DatasetError("35.png: damaged")
        return make(task, *rest)

    monkeypatch.setattr(shards, "convert_image", fail)
    with pytest.raises(DatasetError, match=r"35\.png: damaged"):
        run(source, out, "full", "boxes", "tags")
    assert {path.name for path in out.iterdir()} == {".state", "panoptic"}

    made = []
    monkeypatch.setattr(
        shards, "convert_image", lambda *a: made.append(a[0].image.image_id) or make(*a)
    )
    (out / "panoptic" / "train_000003.png").unlink()
    result = run(source, out, "full", "boxes", "tags")
    # The first shard lacks a file, the third was not finished.
    assert made == [*range(16), *range(32, 40)]
    assert result.num_resumed == 16
    assert contents(out) == contents(tmp_path / "whole")


def test_a_changed_source_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = write_world(tmp_path, count=20)
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(assembly, "reconcile", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(source, out, "boxes")
    source.root.write_text(source.root.read_text() + "# changed\n")
    assert run(source, out, "boxes").num_resumed == 0


def test_other_options_do_not_resume(in_memory: Memory, tmp_path: Path, monkeypatch):
    source = in_memory([("a.png", STREET)])
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(assembly, "reconcile", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(source, out, "points", seed=1)
    with pytest.raises(DatasetError, match="different seed"):
        run(source, out, "points", seed=2)
    with pytest.raises(DatasetError, match="different list of images"):
        run(in_memory([("b.png", STREET)]), out, "points", seed=1)
    run(source, out, "points", seed=2, overwrite=True)
    with pytest.raises(DatasetError, match="out: holds a conversion with other options: give"):
        run(source, out, "points", seed=1)
    run(source, out, "tags", overwrite=True)
    assert set(contents(out)) == {"tags.json", "manifest.json"}


def test_a_finished_conversion_says_so_and_tells_the_same(
    in_memory: Memory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = in_memory([("a.png", STREET), ("b.png", STREET)])
    out = tmp_path / "out"
    first = run(source, out, "boxes", "points", "full")
    before = contents(out)
    (out / ".state").mkdir()
    (out / ".state/setup.json").write_text("left by a run that was killed at its very end")
    again = run(source, out, "boxes", "points", "full")
    assert again == replace(first, num_resumed=2)
    assert capsys.readouterr().err == (f"note: {out}: is finished\n")
    assert contents(out) == before
    assert not (out / ".state").exists()
    # Somebody may have corrected a file: it is not made again unasked.
    (out / "points.json").write_text("corrected")
    (out / "boxes.json").unlink()
    with pytest.raises(DatasetError, match=r"boxes\.json: is missing, or not as .*, and 1 more: "):
        run(source, out, "boxes", "points", "full")
    assert (out / "points.json").read_text() == "corrected"
    run(source, out, "boxes", "points", "full", overwrite=True)
    assert contents(out) == before


def test_another_source_under_the_same_name_is_not_finished(tmp_path: Path):
    source = write_world(tmp_path, 1)
    out = tmp_path / "out"
    run(source, out, "boxes")
    content, stat = source.root.read_bytes(), source.root.stat()
    source.root.write_bytes(content[:-1] + b" ")
    os.utime(source.root, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(DatasetError, match=r"out: was made before .*world\.toml changed: give"):
        run(source, out, "boxes")


def test_the_way_to_the_source_may_be_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = write_world(tmp_path, 2)
    out = tmp_path / "out"
    first = run(source, out, "boxes")
    monkeypatch.chdir(tmp_path)
    again = run(replace(source, root=Path(source.root.name)), out, "boxes")
    assert again == replace(first, num_resumed=2)
