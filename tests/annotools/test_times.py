import math
from dataclasses import replace
from pathlib import Path

import pytest

from annotools.errors import TimesError
from annotools.times import ACTIONS, ActionTime, AnnotationTimes, read_times

BOX = ActionTime(
    seconds=7.0,
    low=6.0,
    high=35.0,
    unit="instance",
    source="a paper",
    measured=True,
    quality_control=False,
)
LINES = {
    "seconds": "7",
    "low": "6.0",
    "high": "35",
    "unit": '"instance"',
    "source": '"a paper"',
    "measured": "true",
    "quality_control": "false",
}


def write_times(folder: Path, head='name = "mine"\nnote = ""', action="box", **changes) -> Path:
    lines = {**LINES, **changes}
    body = "\n".join(f"{key} = {value}" for key, value in lines.items() if value)
    path = folder / "my times.toml"
    path.write_text(f"{head}\n[actions.{action}]\n{body}\n", encoding="utf-8")
    return path


def test_preset_of_the_paper():
    times = read_times("li2018")

    assert times.name == "li2018"
    assert set(times.actions) == set(ACTIONS)
    assert {name: action.seconds for name, action in times.actions.items()} == {
        "box": 7,
        "tag": 1,
        "mask": 79.2,
        "full_image": 5400,
    }
    assert [name for name, action in times.actions.items() if action.quality_control] == [
        "full_image"
    ]
    assert all(action.source for action in times.actions.values())


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

    with pytest.raises(TimesError, match=r"bad\.toml: not TOML"):
        read_times(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seconds": "true"}, r"actions\.box: seconds = True: give a number"),
        ({"seconds": '"7"'}, r"actions\.box: seconds = '7': give a number"),
        ({"seconds": "-1", "low": "-2"}, r"actions\.box: seconds = -1\.0: give a time of zero"),
        ({"low": "-0.1"}, r"actions\.box: low = -0\.1: give a time of zero or more"),
        ({"high": "inf"}, r"actions\.box: high = inf: give a time"),
        ({"seconds": "nan"}, r"actions\.box: seconds = nan: give a time"),
        ({"low": "7.5"}, r"actions\.box: low = 7\.5 is above seconds = 7\.0"),
        ({"high": "6.5"}, r"actions\.box: high = 6\.5 is below seconds = 7\.0"),
        ({"unit": "3"}, r"actions\.box: unit = 3: give text"),
        ({"measured": "1"}, r"actions\.box: measured = 1: give true or false"),
        ({"source": ""}, r"actions\.box: 'source' is missing"),
        ({"second": "7"}, r"actions\.box: unknown key 'second': use seconds, low"),
        ({"action": "bix"}, r"unknown action 'bix' in actions: use box, tag, mask, full_image"),
        ({"head": 'name = "mine"'}, r"my times\.toml: 'note' is missing"),
        ({"head": 'name = "x"\nnote = ""\nunits = "s"'}, r"my times\.toml: unknown key 'units'"),
        ({"head": 'name = 3\nnote = ""'}, r"my times\.toml: name = 3: give text"),
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

    with pytest.raises(TimesError, match="give a table"):
        read_times(path)


def test_a_time_without_spread_is_a_time():
    assert replace(BOX, seconds=0.0, low=0.0, high=0.0).high == 0
    with pytest.raises(TimesError, match="seconds = inf"):
        replace(BOX, seconds=math.inf, high=math.inf)
