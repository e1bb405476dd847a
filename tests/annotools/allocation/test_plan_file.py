import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotools.allocation.allocate import allocate
from annotools.allocation.plan_file import (
    Allocation,
    PlanSettings,
    read_allocation,
    write_allocation,
)
from annotools.errors import RecipeError

PRICES: dict[int | str, dict[str, float]] = {1: {"boxes": 900.0}, "é": {"boxes": 900.0}}


def store(path: Path, **changes: Any) -> Allocation:
    values: dict[str, Any] = {
        "format": "voc",
        "root": Path("in"),
        "split": "train",
        "mix": {"boxes": 1.0, "none": 1.0},
        "budget_hours": 0.25,
        "crop_size_wh": (5, 4),
    }
    settings = PlanSettings(**(values | changes))
    bought = allocate(settings, PRICES)
    write_allocation(path, bought)
    return Allocation(
        path=path,
        settings=settings,
        kind_of=bought.kind_of,
        seconds_of={i: 900.0 if kind == "boxes" else 0.0 for i, kind in bought.kind_of.items()},
    )


@pytest.mark.parametrize("budget_hours", [0, 0.25, 3])
def test_what_was_written_is_read(tmp_path: Path, budget_hours: float) -> None:
    path = tmp_path / "new" / "plan.json"
    stored = store(path, budget_hours=float(budget_hours))
    again = read_allocation(path)
    assert again == stored
    assert list(again.kind_of) == list(stored.kind_of)
    content = json.loads(path.read_text())
    assert content["spent_hours"] == again.spent_hours == min(budget_hours, 0.5)
    assert content["left_hours"] == max(0, budget_hours - 0.5)


def test_an_empty_allocation_can_be_written(tmp_path: Path) -> None:
    store(tmp_path / "plan.json", mix={"boxes": 1.0}, budget_hours=0.1)
    assert read_allocation(tmp_path / "plan.json").kind_of == {}


def test_kinds_bought_come_in_the_order_of_the_mix(tmp_path: Path) -> None:
    assert store(tmp_path / "plan.json").bought_kinds == ("boxes",)
    stored = replace(store(tmp_path / "plan.json"), kind_of={1: "none", 2: "boxes", 3: "boxes"})
    assert stored.bought_kinds == ("boxes",)
    assert replace(stored, kind_of={}).bought_kinds == ()


def test_crops_matter_where_tags_were_bought(tmp_path: Path) -> None:
    stored = store(tmp_path / "plan.json")
    stored.check_crops((9, 8))
    tagged = replace(
        stored,
        settings=replace(stored.settings, mix={"tags": 1.0}),
        kind_of={1: "tags"},
    )
    tagged.check_crops((5, 4))
    with pytest.raises(RecipeError, match="its prices are for crops of 5x4, not for crops of 9x8"):
        tagged.check_crops((9, 8))


def test_images_that_a_dataset_lacks_are_named(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    stored = store(path)
    stored.check_images([3, "é", 1])
    message = r"plan\.json: 1 images are not in the dataset \(é\): it was made for in, split train"
    with pytest.raises(RecipeError, match=message):
        stored.check_images([1, "1"])
    many = replace(stored, kind_of=dict.fromkeys(range(7), "boxes"))
    with pytest.raises(RecipeError, match=r"7 images .* \(0, 1, 2, 3, 4, \.\.\.\)"):
        many.check_images([])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(written_by="me"), "not an allocation: make the file again"),
        (lambda c: c["settings"].pop("mix"), "setting mix is missing: make the file again"),
        (lambda c: c["images"].append({"id": 1}), "instead of id, kind and seconds"),
        (lambda c: c["images"].append(c["images"][0]), "is listed twice"),
        (lambda c: c["images"][0].update(kind="tags"), "the kind 'tags', which is not in the mix"),
        (lambda c: c["images"][0].update(id=1.5), "instead of id, kind and seconds"),
        (lambda c: c["images"][0].update(seconds="x"), "instead of id, kind and seconds"),
        (lambda c: c["images"][0].update(seconds=-1), "instead of id, kind and seconds"),
        (
            lambda c: c["images"][0].update(seconds=float("nan")),
            "seconds has nan, which is no number",
        ),
        (
            lambda c: c["images"][0].update(seconds=float("inf")),
            "seconds has inf, which is no number",
        ),
        (lambda c: c["images"][0].update(seconds=1e13), "instead of id, kind and seconds"),
        (lambda c: c["settings"].update(budget_hours=1e9), "budget_hours = 1e.09: give 0 to 1e.08"),
        (lambda c: c["images"][0].update(seconds=10**400), "a whole number of more than 63 bits"),
        (lambda c: c["images"][0].update(kind=[]), r"the kind \[\], which is not in the mix"),
        (lambda c: c["images"][0].update(id=[1]), "instead of id, kind and seconds"),
        (lambda c: c.update(images=5), "images is missing or not a list: make the file again"),
        (lambda c: c.update(images=None), "images is missing or not a list"),
        (lambda c: c.update(images=[[]]), r"images has \[\] instead of id"),
        (lambda c: c.update(settings=[]), "settings is missing or not a table"),
        (lambda c: c["settings"].update(budget_hours=10**400), "a whole number of more than 63"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "plan.json"
    store(path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(RecipeError, match=message) as caught:
        read_allocation(path)
    assert str(caught.value).count("plan.json") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("{", "not valid JSON"),
        ("[]", "not an allocation"),
        ("[" * 100_000, "not valid JSON .it is nested more than 100 levels deep"),
        ('{"a":' * 50_000, "not valid JSON .it is nested more than 100 levels deep"),
    ],
)
def test_files_that_are_no_allocation_are_refused(
    tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "plan.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecipeError, match=rf"plan\.json: {message}"):
        read_allocation(path)
