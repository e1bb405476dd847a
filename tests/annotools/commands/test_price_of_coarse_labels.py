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


def test_a_coarse_street_image_prices_no_outlines_of_things(tmp_path: Path) -> None:
    dataset, own = write_coco(tmp_path), tmp_path / "own.toml"
    kinds = ("--kinds", "full", "--kinds", "coarse")
    printed = run_price(*dataset, *kinds)
    assert dashes_of("coarse", printed) == ["–"] * 5
    assert (
        "– coarse: no price, because times li2018 have no coarse_instance: the 420 s of "
        "coarse_image are for one image with things and stuff (Cityscapes street images), and this "
        "dataset has no labelled stuff; add a table [actions.coarse_instance] of your own.\n"
    ) in printed
    assert "The seconds of" not in printed
    own.write_text(VERTEX.replace("vertex", "coarse_instance"))
    rows = price_rows(tmp_path, *dataset, *kinds, "--times", str(own))
    # Two images with an object each, 2 s for its outline and 79.2 s for its mask.
    assert (rows["coarse"]["actions"], rows["coarse"]["hours"]) == (
        {"coarse_instance": 2},
        4 / 3600,
    )
    assert rows["coarse"]["ratio_to_full"] == pytest.approx(2 / 79.2)


def test_times_of_street_images_are_called_that(world: Path) -> None:
    printed = run_price(str(world), "--format", "scenes", "--kinds", "full", "--kinds", "coarse")
    assert "The seconds of full_image and coarse_image are those of Cityscapes street" in printed
    own = run_price(*TRAIN, "--kinds", "full", "--seconds", "full_image=600")
    assert "Cityscapes street images" not in own


def test_a_coarse_street_does_not_go_with_your_own_full_image(tmp_path: Path) -> None:
    kinds = ("--kinds", "full", "--kinds", "coarse")
    printed = run_price(*TRAIN, *kinds, "--seconds", "full_image=300")
    assert dashes_of("coarse", printed) == ["–"] * 5
    assert (
        "– coarse: no price, because coarse_image is of Cityscapes street images, and full_image "
        "is not: give your own.\n"
    ) in printed
    own = tmp_path / "own.toml"
    own.write_text('inherit = "li2018"\n[actions.full_image]\nseconds = 300\n')
    rows = price_rows(tmp_path, *TRAIN, *kinds, "--times", str(own))
    assert (rows["full"]["seconds_per_image"], rows["coarse"]["hours"]) == (300, None)
    own.write_text(f"{own.read_text()}[actions.coarse_image]\nseconds = 60\n")
    rows = price_rows(tmp_path, *TRAIN, *kinds, "--times", str(own))
    assert rows["coarse"]["ratio_to_full"] == 0.2


def test_a_coarse_label_that_is_dearer_than_a_full_one_says_so() -> None:
    kinds = ("--kinds", "full", "--kinds", "coarse")
    said = "coarse: dearer than full labels, 140 % of them"
    own = ("--seconds", "full_image=300", "--seconds")
    assert said in run_price(*TRAIN, *kinds, *own, "coarse_image=420")
    assert "dearer" not in run_price(*TRAIN, *kinds, *own, "coarse_image=300")
