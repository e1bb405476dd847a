import pytest

from annotools.prices.times import ACTIONS, PRESETS_FOLDER, read_times

PRESETS = sorted(path.stem for path in PRESETS_FOLDER.glob("*.toml"))


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        (
            "li2018",
            {
                "box": 7,
                "tag": 1,
                "tag_question": 1,
                "mask": 79.2,
                "full_image": 90 * 60,
                "coarse_image": 7 * 60,
            },
        ),
        (
            "bearman2016",
            {
                "box": 7,
                "tag": 1,
                "tag_question": 1,
                "point_first": 2.4,
                "point_further": 0.9,
                "scribble": 10.9,
                "mask": 79,
            },
        ),
        (
            "like-for-like",
            {
                "box": 35,
                "tag": 1.35,
                "tag_question": 1.35,
                "mask": 106.6,
                "full_image": 90 * 60,
                "coarse_image": 7 * 60,
            },
        ),
        ("sam-assisted", {"box": 7, "tag": 1, "tag_question": 1, "mask": 14}),
    ],
)
def test_presets(name, seconds):
    times = read_times(name)

    assert times.name == name
    assert {action: time.seconds for action, time in times.actions.items()} == seconds
    assert times.asks_absent_classes == (name == "bearman2016")
    assert all(time.source for time in times.actions.values())


def test_all_presets_are_tested_and_together_have_every_action():
    assert PRESETS == ["bearman2016", "li2018", "like-for-like", "sam-assisted"]
    # No times of a vertex and of a coarse outline are published.
    found = {action for name in PRESETS for action in read_times(name).actions}
    assert found == {*ACTIONS} - {"vertex", "coarse_instance"}


def test_times_from_memory_say_so():
    remembered = [
        (name, action)
        for name in PRESETS
        for action, time in read_times(name).actions.items()
        if "remembered, not confirmed" in time.source
    ]

    points = ("point_first", "point_further", "scribble")
    assert remembered == [("bearman2016", action) for action in points]


def test_quality_control_factor_of_derived_times():
    times = read_times("like-for-like").actions
    paper = read_times("li2018").actions

    assert times["tag"].seconds == pytest.approx(paper["tag"].seconds * 35 / 26, abs=0.005)
    assert times["mask"].seconds == pytest.approx(paper["mask"].seconds * 35 / 26, abs=0.05)
    assert [name for name, time in times.items() if not time.measured] == [
        "tag",
        "tag_question",
        "mask",
        "coarse_image",
    ]


def test_no_end_of_a_range_with_quality_control_is_a_time_without():
    times = read_times("like-for-like").actions

    assert (times["box"].low, times["box"].seconds, times["box"].high) == (35, 35, 42)
    assert times["mask"].low == times["mask"].seconds
    assert not any("without" in time.source for time in times.values())
