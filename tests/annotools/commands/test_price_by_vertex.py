import json
from pathlib import Path

import pytest

from tests.annotools.commands.price_runs import (
    TRAIN,
    VERTEX,
    dashes_of,
    price_rows,
    run_price,
    write_coco,
)


@pytest.fixture
def vertex_times(tmp_path: Path) -> str:
    path = tmp_path / "vertex.toml"
    path.write_text(VERTEX)
    return str(path)


def test_full_labels_by_vertex_with_a_time_of_your_own(tmp_path: Path, vertex_times: str) -> None:
    dataset, out = write_coco(tmp_path), tmp_path / "prices.json"
    printed = run_price(*dataset, "--times", vertex_times, "--break-even", "--json", str(out))
    table = json.loads(out.read_text())
    # 8 and 4 corners at 2 s; a mask in each image at 79.2 s.
    row = next(row for row in table["kinds"] if row["kind"] == "full by vertex")
    assert (row["actions"], row["seconds_per_image"]) == ({"vertex": 12}, 12)
    assert row["ratio_to_full"] == pytest.approx(12 / 79.2)
    assert row["hours_interval"]["low"] == pytest.approx(12 / 3600, rel=0.05)
    assert row["hours_interval"]["high"] == pytest.approx(48 / 3600, rel=0.05)
    assert (table["vertices_per_image"], table["images_with_vertices"]) == (6, 2)
    assert "Polygons have 6.0 vertices an image." in printed
    assert " vertex: 2 s (1 to 4) for one corner, measured, without" in printed
    (even,) = (
        row["seconds"]
        for row in table["break_even"]
        if (row["first"], row["second"], row["action"]) == ("full", "full by vertex", "vertex")
    )
    assert even == pytest.approx(79.2 / 6)
    kinds = ("--kinds", "full by vertex", "--kinds", "full")
    saving = run_price(*dataset, "--times", vertex_times, *kinds)
    assert "full by vertex: full labels cost 6.6 times as much" in saving
    assert "1 to 4  13.20x to 3.300x" in saving


def test_without_a_time_of_a_vertex_only_their_number_is_said(tmp_path: Path) -> None:
    dataset = write_coco(tmp_path)
    printed = run_price(*dataset)
    assert "full by vertex" not in printed
    assert "Polygons have 6.0 vertices an image. No preset has a time of a vertex" in printed
    asked = run_price(*dataset, "--kinds", "full by vertex")
    assert dashes_of("full by vertex", asked) == ["–"] * 5
    assert "vertices" not in run_price(*TRAIN)


def test_a_crowd_leaves_its_image_out_of_the_mean(tmp_path: Path, vertex_times: str) -> None:
    dataset, out = write_coco(tmp_path, crowd=True), tmp_path / "prices.json"
    printed = run_price(*dataset, "--times", vertex_times, "--json", str(out))
    table = json.loads(out.read_text())
    assert (table["vertices_per_image"], table["images_with_vertices"]) == (8, 1)
    assert "Polygons have 8.0 vertices an image, the mean of the 1 of 2 images where" in printed
    row = next(row for row in table["kinds"] if row["kind"] == "full by vertex")
    assert (row["actions"], row["seconds_per_image"]) == ({"vertex": 16}, 16)


def test_vertices_that_nobody_knows_are_a_dash_with_the_reason(
    world: Path, tmp_path: Path, vertex_times: str
) -> None:
    for source in ((str(world), "--format", "scenes"), TRAIN):
        printed = run_price(*source, "--times", vertex_times)
        assert dashes_of("full by vertex", printed) == ["–"] * 5
        assert "full by vertex: the vertices are not known." in printed
    own = tmp_path / "own.toml"
    own.write_text(
        'name = "own"\nsource = "us"\nnum_images = 3600\nnum_thing_classes = 1\n'
        "num_stuff_classes = 1\ncrops = 1\nthings_per_image = 2\nvertices_per_image = 50\n"
    )
    rows = price_rows(tmp_path, "--statistics", str(own), "--times", vertex_times)
    assert rows["full by vertex"]["hours"] == 100
