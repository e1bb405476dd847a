import pytest

from annotools.checks.problems import error_at, group_alike, warning_at


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("area 7 is not that of its mask: give 30.5", "area 1e+06 is not that of its mask: give 3"),
        ("bbox [1, -2, 3, 4] is not tight", "bbox [1.5, 2, 3, 4] is not tight"),
        ("name 'car' is that of a/b.json: x[0] too", 'name "c\'r" is that of c.json: x[1] too'),
        ("file_name 'a b.png' is that of x.json: too", "file_name 'it' is that of y.json: too"),
        ("split train has a.png: keep it", "split train has b/c.jpeg: keep it"),
        ("the photo's size is 'a' and 7", "the photo's size is 'b' and 8"),
    ],
)
def test_numbers_quoted_text_and_paths_make_no_other_problem(first: str, second: str) -> None:
    (alike,) = group_alike([warning_at("a", first), warning_at("b", second)])
    assert [problem.place for problem in alike] == ["a", "b"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("category caravan is not evaluated", "category trailer is not evaluated"),
        ("bbox [1, 1] has no area", "bbox [1, 1] is not tight"),
        ("the photo's size, the mask's area", "the photo's name, the mask's area"),
    ],
)
def test_other_words_are_other_problems(first: str, second: str) -> None:
    assert len(group_alike([warning_at("a", first), warning_at("a", second)])) == 2


def test_errors_come_first_and_a_severity_is_never_mixed() -> None:
    listed = [warning_at("a", "x 1"), error_at("b", "y 1"), error_at("c", "x 2")]
    listed += [warning_at("d", "x 3"), error_at("e", "y 2")]
    assert [[p.place for p in alike] for alike in group_alike(listed)] == [
        ["b", "e"],
        ["c"],
        ["a", "d"],
    ]
