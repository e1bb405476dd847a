import pytest

from studies.advice.advise import advise
from studies.advice.cells import read_scores, summarise
from studies.advice.doubts import uneven_scatter
from studies.advice.verdict import SURE, SURE_IN_DOUBT
from studies.results import TrialResult
from tests.studies.study_builders import make_result

# Of each budget a row, of each seed a column; no seed is better than another in the mean.
OFF = [(1, -1, 0), (-1, 1, 0), (0, 1, -1), (0, -1, 1)]


def rows_of(scatter: dict[str, float]) -> list[TrialResult]:
    return [
        make_result(mix, 2.0**budget, seed, 0.5 + 0.05 * budget + by * off)
        for mix, by in scatter.items()
        for budget, offs in enumerate(OFF)
        for seed, off in enumerate(offs)
    ]


def told_of(scatter: dict[str, float]) -> tuple[str, ...]:
    return uneven_scatter(summarise(read_scores(rows_of(scatter), "pq")))


def test_a_mix_that_scatters_more_is_named() -> None:
    # 8 repeats each less the 2 effects of seeds: 7 degrees. Squares: 8 * 0.05^2 and 8 * 0.01^2.
    (told,) = told_of({"boxes": 0.05, "full": 0.01})
    assert told.startswith(
        'scores of "boxes" scatter more than those of the others (by 5.3 and 1.1'
    )


def test_what_chance_explains_is_not_told() -> None:
    assert told_of({"boxes": 0.01, "full": 0.01}) == ()
    assert told_of({"boxes": 0.02, "full": 0.01}) == ()
    assert told_of({"boxes": 0.0, "full": 0.0}) == ()
    assert told_of({"boxes": 0.05}) == ()


def test_one_seed_has_no_scatter() -> None:
    rows = [row for row in rows_of({"boxes": 0.05, "full": 0.01}) if row.seed == 0]
    assert uneven_scatter(summarise(read_scores(rows, "pq"))) == ()


def test_a_mix_with_seeds_of_its_own_has_nothing_to_test() -> None:
    # Its one budget tells of its three seeds, and nothing more; of 8 repeats 6 are free.
    apart = [make_result("full", 1.0, seed, 0.5 + 0.1 * seed) for seed in (3, 4, 5)]
    cells = summarise(read_scores([*rows_of({"boxes": 0.01}), *apart], "pq"))
    assert cells.mixes["full"].degrees == pytest.approx(0)
    assert cells.mixes["boxes"].degrees == pytest.approx(cells.degrees) == 6
    assert uneven_scatter(cells) == ()


def test_degrees_of_mixes_add_up_where_trials_are_missing() -> None:
    cells = summarise(read_scores(rows_of({"boxes": 0.01, "full": 0.02})[:-2], "pq"))
    # 22 trials, 8 points, 2 effects of seeds.
    assert cells.degrees == 12
    assert sum(mix.degrees for mix in cells.mixes.values()) == pytest.approx(12)


def test_uneven_scatter_asks_for_more_certainty() -> None:
    alike = advise(rows_of({"boxes": 0.01, "full": 0.01}), 4.0)
    uneven = advise(rows_of({"boxes": 0.05, "full": 0.01}), 4.0)
    assert (alike.sure, uneven.sure) == (SURE, SURE_IN_DOUBT)
    assert any("scatter more" in reason for reason in uneven.reasons)
