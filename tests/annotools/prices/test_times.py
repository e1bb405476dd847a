import math
from dataclasses import replace
from pathlib import Path

import pytest

from annotools.errors import TimesError
from annotools.prices.times import (
    ACTIONS,
    PRESETS_FOLDER,
    ActionTime,
    AnnotationTimes,
    explain_images,
    fix_time,
    missing_actions,
    missing_time,
    mixed_quality_control,
    read_times,
    why_missing,
)

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


def test_times_of_a_whole_image_say_of_which_images_until_they_are_replaced(tmp_path):
    paper = read_times("li2018")
    streets = {a: t.images for a, t in paper.actions.items() if t.images is not None}
    assert streets == dict.fromkeys(("full_image", "coarse_image"), "Cityscapes street images")

    path = tmp_path / "mine.toml"
    path.write_text('inherit = "li2018"\n[actions.full_image]\nseconds = 6000\n')
    inherited = read_times(path).actions
    assert inherited["full_image"].images is None
    assert inherited["coarse_image"].images == "Cityscapes street images"
    assert fix_time(paper, "coarse_image", 60).actions["coarse_image"].images is None


def test_a_coarse_image_does_not_stand_in_for_a_coarse_instance():
    paper = read_times("li2018")
    why = (
        "the 420 s of coarse_image are for one image with things and stuff (Cityscapes street "
        "images), and this dataset has no labelled stuff"
    )

    assert why_missing(paper, ["coarse_instance"]) == (
        f"times li2018 have no coarse_instance: {why}; add a table [actions.coarse_instance] of "
        "your own"
    )
    assert why_missing(paper, ["scribble"]) == "times li2018 have no scribble"
    other = why_missing(read_times("bearman2016"), ["coarse_instance", "vertex"])
    assert other == "times bearman2016 have no coarse_instance, vertex"
    assert f"; {why}: add a table [actions.coarse_instance]" in str(
        missing_time(paper, "coarse_instance")
    )
    own = str(missing_time(fix_time(paper, "coarse_image", 60), "coarse_instance"))
    assert "; the 60 s of coarse_image are for one image with things and stuff, and this" in own


def test_a_coarse_street_goes_with_a_full_street_alone():
    paper = read_times("li2018")
    own = fix_time(paper, "full_image", 300)
    both = ["full_image", "coarse_image", "scribble", "box"]
    why = "coarse_image is of Cityscapes street images, and full_image is not"

    assert missing_actions(paper, both) == ("scribble",)
    assert missing_actions(own, both) == ("coarse_image", "scribble")
    assert missing_actions(fix_time(own, "coarse_image", 60), both) == ("scribble",)
    # Things without stuff are paid by the mask: it says nothing of whole images.
    assert missing_actions(fix_time(paper, "mask", 10), both) == ("scribble",)
    alone = replace(paper, actions={"coarse_image": paper.actions["coarse_image"]})
    assert missing_actions(alone, ["coarse_image"]) == ()
    assert why_missing(own, ["coarse_image"]) == f"{why}: give your own"
    assert why_missing(own, ["coarse_image", "scribble"]) == (
        f"times li2018 have no scribble; {why}: give your own"
    )
    assert str(missing_time(own, "coarse_image")) == (
        f"annotation times 'li2018': {why}: add a table [actions.coarse_image]"
    )


def test_images_of_times_that_are_used_are_explained():
    paper = read_times("li2018")

    assert list(explain_images(paper, {"box", "mask"})) == []
    (both,) = explain_images(paper, {"coarse_image", "full_image"})
    assert both.startswith("The seconds of full_image and coarse_image are those of Cityscapes")
    (one,) = explain_images(fix_time(paper, "full_image", 9), {"coarse_image", "full_image"})
    assert one.startswith("The seconds of coarse_image are those of Cityscapes street images: ")


def test_times_from_memory_say_so():
    remembered = [
        (name, action)
        for name in PRESETS
        for action, time in read_times(name).actions.items()
        if "remembered, not confirmed" in time.source
    ]

    points = ("point_first", "point_further", "scribble")
    assert remembered == [("bearman2016", action) for action in points]


def test_mixing_quality_control_is_seen_from_the_flags():
    paper = read_times("li2018")

    assert mixed_quality_control(paper, ["full_image", "tag", "box"]) == (
        ("box", "tag"),
        ("full_image",),
    )
    assert mixed_quality_control(paper, ["box", "mask"]) is None
    assert mixed_quality_control(paper, ["full_image", "coarse_image"]) is None
    assert mixed_quality_control(read_times("like-for-like"), ACTIONS) is None


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
