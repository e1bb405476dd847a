import math
from dataclasses import replace
from pathlib import Path

import pytest

from annotools.errors import TimesError
from annotools.prices.times import (
    ACTIONS,
    ActionTime,
    AnnotationTimes,
    fix_time,
    mixed_quality_control,
    read_times,
)
from tests.annotools.prices.times_files import BOX, write_times


@pytest.mark.parametrize("as_type", [str, Path])
def test_own_file(tmp_path, as_type):
    times = read_times(as_type(write_times(tmp_path)))

    assert times == AnnotationTimes(name="mine", note="", actions={"box": BOX})
    assert type(times.actions["box"].seconds) is float


def test_unknown_preset_lists_the_known_ones():
    with pytest.raises(TimesError, match=r"'lee2018': there is .*li2018.*ends in \.toml"):
        read_times("lee2018")


def test_missing_file(tmp_path):
    with pytest.raises(TimesError, match=r"none\.toml: cannot be read \(No such file"):
        read_times(tmp_path / "none.toml")


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe"])
def test_file_that_is_not_toml(tmp_path, content):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)

    with pytest.raises(TimesError, match=r"bad\.toml: not valid TOML"):
        read_times(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seconds": "true"}, r"actions\.box\.seconds: expected float, found True"),
        ({"seconds": '"7"'}, r"actions\.box\.seconds: expected float, found '7'"),
        ({"seconds": "-1", "low": "-2"}, r"actions\.box: seconds = -1\.0: give a time of zero"),
        ({"low": "-0.1"}, r"actions\.box: low = -0\.1: give a time of zero or more"),
        ({"high": "inf"}, r"actions\.box: high = inf: give a time"),
        ({"seconds": "nan"}, r"actions\.box: seconds = nan: give a time"),
        ({"low": "0"}, r"actions\.box: low = 0: give the shortest plausible time, or 0 for all"),
        ({"low": "7.5"}, r"actions\.box: low = 7\.5 is above seconds = 7\.0"),
        ({"high": "6.5"}, r"actions\.box: high = 6\.5 is below seconds = 7\.0"),
        ({"unit": "3"}, r"actions\.box\.unit: expected str, found 3"),
        ({"measured": "1"}, r"actions\.box\.measured: expected bool, found 1"),
        ({"seconds": ""}, r"setting actions\.box\.seconds is missing"),
        ({"second": "7"}, r"unknown setting actions\.box\.second; known are seconds, low"),
        ({"action": "bix"}, r"unknown action 'bix' in actions: use box, tag, tag_question"),
        ({"head": 'name = "mine"'}, r"my times\.toml: setting note is missing"),
        ({"head": 'name = "x"\nnote = ""\nunits = "s"'}, r"my times\.toml: unknown setting units"),
        ({"head": 'name = 3\nnote = ""'}, r"my times\.toml: name: expected str, found 3"),
    ],
)
def test_mistakes_are_named_with_file_and_key(tmp_path, changes, message):
    path = write_times(tmp_path, **changes)

    with pytest.raises(TimesError, match=message) as caught:
        read_times(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("actions", ["actions = 3", "actions = {box = 7}"])
def test_actions_must_be_tables(tmp_path, actions):
    path = tmp_path / "flat.toml"
    path.write_text(f'name = "x"\nnote = ""\n{actions}\n', encoding="utf-8")

    with pytest.raises(TimesError, match="expected a table"):
        read_times(path)


def test_a_time_without_spread_is_a_time():
    assert replace(BOX, seconds=0.0, low=0.0, high=0.0).high == 0
    with pytest.raises(TimesError, match="seconds = inf"):
        replace(BOX, seconds=math.inf, high=math.inf)


def test_mixing_quality_control_is_seen_from_the_flags():
    paper = read_times("li2018")

    assert mixed_quality_control(paper, ["full_image", "tag", "box"]) == (
        ("box", "tag"),
        ("full_image",),
    )
    assert mixed_quality_control(paper, ["box", "mask"]) is None
    assert mixed_quality_control(paper, ["full_image", "coarse_image"]) is None
    assert mixed_quality_control(read_times("like-for-like"), ACTIONS) is None


def test_a_time_of_your_own_is_certain():
    paper = read_times("li2018")
    times = fix_time(paper, "box", 42.0)

    assert (times.actions["box"].low, times.actions["box"].high) == (42, 42)
    assert times.actions["box"].source == "your own"
    assert times.actions["tag"] == paper.actions["tag"]
    with pytest.raises(TimesError, match=r"no action 'click': use box, tag"):
        fix_time(paper, "click", 42.0)
    with pytest.raises(TimesError, match=r"^box: seconds = -1\.0: give a time of zero"):
        fix_time(paper, "box", -1.0)


def test_a_time_of_your_own_may_be_of_an_action_that_the_table_lacks():
    times = fix_time(read_times("li2018"), "coarse_instance", 15.0)

    assert times.actions["coarse_instance"] == ActionTime(
        seconds=15.0,
        low=15.0,
        high=15.0,
        unit="instance",
        source="your own",
        measured=False,
        quality_control=False,
    )
