from dataclasses import replace
from pathlib import Path

import pytest

from annotools.errors import TimesError
from annotools.prices.times import ActionTime, read_times
from tests.annotools.prices.times_files import BOX, LINES, write_times


def write_heir(folder: Path, text: str, name="heir.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_an_heir_changes_a_line(tmp_path):
    times = read_times(write_heir(tmp_path, 'inherit = "li2018"\n[actions.box]\nseconds = 12'))
    paper = read_times("li2018")

    assert times.name == "heir"
    assert times.note == "As li2018, but for box."
    box = times.actions["box"]
    # 12 s are 12 / 7 of 7 s, and so are the ends of the range: 6 s and 35 s.
    assert (box.seconds, box.measured) == (12, False)
    assert (box.low, box.high) == (pytest.approx(72 / 7), pytest.approx(60))
    assert box.source.startswith("heir.toml, in place of 7 s, its range scaled alike: Papadopoulos")
    assert {**times.actions, "box": paper.actions["box"]} == dict(paper.actions)


def test_an_heir_keeps_the_source_of_what_it_does_not_change(tmp_path):
    path = write_heir(tmp_path, 'inherit = "li2018"\n[actions.box]\nseconds = 7\nhigh = 40')
    old = read_times("li2018").actions["box"]

    assert read_times(path).actions["box"] == replace(old, high=40.0)


def test_one_line_is_enough_whatever_the_time(tmp_path):
    head = 'inherit = "li2018"\n[actions.full_image]\nseconds = '
    times = read_times(write_heir(tmp_path, f"{head}600")).actions["full_image"]
    # 600 s are a ninth of 90 min.
    assert (times.seconds, times.low, times.high) == (600, pytest.approx(400), pytest.approx(800))
    low = read_times(write_heir(tmp_path, f"{head}600\nlow = 500")).actions["full_image"]
    assert (low.low, low.high) == (500, pytest.approx(800))
    free = read_times(write_heir(tmp_path, f"{head}0")).actions["full_image"]
    assert (free.seconds, free.low, free.high) == (0, 0, 0)
    text = 'inherit = "heir.toml"\n[actions.full_image]\nseconds = 5'
    paid = read_times(write_heir(tmp_path, text, "paid.toml")).actions["full_image"]
    assert (paid.seconds, paid.low, paid.high) == (5, 5, 5)


def test_an_end_of_the_range_that_is_the_time_stays_the_time(tmp_path):
    for seconds in (0.1, 3, 1e-3, 1e9):
        text = f'inherit = "li2018"\n[actions.mask]\nseconds = {seconds}'
        mask = read_times(write_heir(tmp_path, text)).actions["mask"]
        # Of 79.2 s, the range ends there and begins at a third.
        assert (mask.high, mask.low) == (seconds, pytest.approx(seconds / 3))


def test_a_source_tells_of_a_range_only_where_it_was_scaled(tmp_path):
    for given, told in (
        ("low = 500\nhigh = 900", "heir.toml, in place of 5400 s: Cordts"),
        ("high = 900", "heir.toml, in place of 5400 s, its range scaled alike: Cordts"),
    ):
        text = f'inherit = "li2018"\n[actions.full_image]\nseconds = 600\n{given}'
        source = read_times(write_heir(tmp_path, text)).actions["full_image"].source
        assert source.startswith(told)


@pytest.mark.parametrize("head", ['inherit = "li2018"', 'name = "own"\nnote = ""'])
def test_a_new_action_needs_its_seconds_alone(tmp_path, head):
    text = f"{head}\n[actions.coarse_instance]\nseconds = 15\n[actions.vertex]\nseconds = 1\n"
    times = read_times(write_heir(tmp_path, f"{text}high = 2\nquality_control = true"))

    assert times.actions["coarse_instance"] == ActionTime(
        seconds=15.0,
        low=15.0,
        high=15.0,
        unit="instance",
        source="heir.toml",
        measured=False,
        quality_control=False,
    )
    vertex = times.actions["vertex"]
    assert (vertex.low, vertex.high, vertex.quality_control) == (1, 2, True)


def test_an_heir_may_say_everything_and_add_actions(tmp_path):
    base = write_times(tmp_path)
    lines = "\n".join(f"{key} = {value}" for key, value in LINES.items())
    path = write_heir(
        tmp_path,
        f'inherit = "{base.name}"\nname = "x"\nnote = "y"\nasks_absent_classes = true\n'
        f"[actions.tag_question]\n{lines}\n"
        '[actions.box]\nseconds = 8\nsource = "ours"\nmeasured = true',
    )
    times = read_times(path)

    assert (times.name, times.note, times.asks_absent_classes) == ("x", "y", True)
    assert times.actions["tag_question"] == BOX
    # Of 7 s from 6 s to 35 s, a seventh more.
    scaled = {"low": pytest.approx(48 / 7), "high": pytest.approx(40)}
    assert vars(times.actions["box"]) == {**vars(BOX), "seconds": 8, "source": "ours", **scaled}


def test_an_heir_inherits_that_absent_classes_are_asked(tmp_path):
    times = read_times(write_heir(tmp_path, 'inherit = "bearman2016"'))

    assert times.asks_absent_classes
    assert times.note == "As bearman2016, but for its name."
    assert times.actions == read_times("bearman2016").actions


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'inherit = "li2018"\n[actions.box]\nseconds = 42\nhigh = 35',
            r"actions\.box: high = 35\.0 is below",
        ),
        (
            'inherit = "li2018"\n[actions.box]\nseconds = 3\nlow = 6',
            r"actions\.box: low = 6\.0 is above",
        ),
        (
            'inherit = "li2018"\n[actions.box]\nseconds = "3"',
            r"actions\.box\.seconds: expected float, found '3'",
        ),
        (
            'inherit = "li2018"\n[actions.scribble]\nlow = 3',
            r"setting actions\.scribble\.seconds is missing",
        ),
        (
            'inherit = "li2018"\n[actions.scrible]\nseconds = 3',
            r"unknown action 'scrible' in actions: use box, tag",
        ),
        ('inherit = "li2018"\n[actions.box]\nsecond = 3', r"unknown setting actions\.box\.second"),
        ('inherit = "lee"', "no preset of annotation times 'lee'"),
        ("inherit = 3", "inherit = 3: give text"),
        ('inherit = "heir.toml"', "inherit leads back to this file"),
        (
            'inherit = "li2018"\nasks_absent_classes = 1',
            "asks_absent_classes: expected bool, found 1",
        ),
        (
            'name = "x"\nnote = ""\nasks_absent_classes = true\n[actions]',
            r"heir\.toml: asks_absent_classes = True: add a table \[actions\.tag_question\]",
        ),
    ],
)
def test_mistakes_of_heirs(tmp_path, text, message):
    with pytest.raises(TimesError, match=message):
        read_times(write_heir(tmp_path, text))


def test_circles_of_heirs_are_refused(tmp_path):
    write_heir(tmp_path, 'inherit = "b.toml"', "a.toml")
    write_heir(tmp_path, 'inherit = "a.toml"', "b.toml")

    with pytest.raises(TimesError, match=r"a\.toml: inherit leads back to this file: break"):
        read_times(tmp_path / "a.toml")
