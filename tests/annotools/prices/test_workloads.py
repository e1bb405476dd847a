from dataclasses import replace

import pytest

from annotools.allocation.buy_images import price_images
from annotools.errors import RecipeError
from annotools.prices.actions import price_seconds
from annotools.prices.image_content import mean_content, measure_images, read_statistics
from annotools.prices.times import read_times
from annotools.prices.workloads import list_workloads
from tests.builders import make_categories, make_dataset, make_label


def test_workloads_are_the_sum_over_images() -> None:
    labels = {
        "1.png": make_label([[1, 2], [1, 3]], {1: 10, 2: 30, 3: 30}, image_id=1),
        "2.png": make_label([[1, 2]], {1: 10, 2: 20}, image_id=2),
    }
    dataset, times = make_dataset(labels, make_categories()), read_times("li2018")
    kinds = ("full", "boxes", "tags", "boxes+tags", "coarse")
    contents = measure_images(dataset, dataset.images, None)
    prices = price_images(contents, kinds, times)
    workloads = list_workloads(mean_content(contents.values()), 2, kinds, times)
    totals = {p.name: price_seconds(p.actions or {}, times) for p in workloads}
    assert totals == {kind: sum(prices[i][kind] for i in prices) for kind in kinds} | {
        # Three classes, or two of stuff, in each of two crops.
        "tags, all questions": 6,
        "boxes+tags, all questions": 14 + 4,
    }


@pytest.mark.parametrize(
    ("kind", "actions"),
    [
        ("full", {"full_image": 3, "coarse_image": 4}),
        ("full by vertex", {"vertex": 30, "coarse_image": 4}),
        ("boxes", {"box": 7}),
        ("coarse", {"coarse_image": 7}),
    ],
)
def test_further_images_are_coarse_where_full_labels_are_asked(kind: str, actions: dict) -> None:
    content = replace(read_statistics("cityscapes-train").content, things=1.0, vertices=10.0)
    paper = read_times("li2018")
    times = replace(paper, actions={**paper.actions, "vertex": paper.actions["box"]})
    (workload,) = list_workloads(content, 3, [kind], times, num_coarse_images=4)
    assert workload.actions == actions
    assert workload.num_images == 7


def test_no_price_without_a_time_or_a_count() -> None:
    content = read_statistics("cityscapes-train").content
    workloads = list_workloads(content, 1, ("scribbles", "tags", "boxes"), read_times("li2018"))
    assert [p.name for p in workloads] == ["scribbles", "tags", "boxes"]
    assert [p.actions for p in workloads] == [None, None, {"box": 17.9}]
    present = ("thing_classes_present", "stuff_classes_present")
    assert [p.missing_times for p in workloads] == [("scribble",), (), ()]
    assert [p.missing_counts for p in workloads] == [present, ("thing_tags",), ()]
    (full,) = list_workloads(content, 1, ["full"], read_times("sam-assisted"))
    assert full.actions is None


@pytest.mark.parametrize("things", [2.8, 0.0])
def test_coarse_labels_without_stuff_need_a_time_of_an_outline(things: float) -> None:
    content, paper = replace(read_statistics("voc").content, things=things), read_times("li2018")
    coarse, full = list_workloads(content, 5, ["coarse", "full"], paper)
    assert (coarse.actions, coarse.missing_times) == (None, ("coarse_instance",))
    assert full.actions == {"mask": 5 * things}
    (further,) = list_workloads(content, 5, ["full"], paper, num_coarse_images=10)
    assert (further.actions, further.missing_times) == (None, ("coarse_instance",))
    own = replace(paper, actions={**paper.actions, "coarse_instance": paper.actions["mask"]})
    (coarse,) = list_workloads(content, 5, ["coarse"], own)
    assert coarse.actions == {"coarse_instance": 5 * things}


def test_tags_come_once_where_absent_classes_are_asked_anyway() -> None:
    content = read_statistics("voc").content
    workloads = list_workloads(content, 1, ["tags", "boxes+tags"], read_times("bearman2016"))
    assert [p.actions for p in workloads] == [
        {"tag": 1.5, "tag_question": 18.5},
        {"box": 2.8, "tag_question": 18.5},
    ]


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(RecipeError, match="'masks'"):
        list_workloads(read_statistics("voc").content, 1, ["masks"], read_times("li2018"))
