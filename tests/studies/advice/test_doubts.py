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


def test_uneven_scatter_asks_for_more_certainty() -> None:
    alike = advise(rows_of({"boxes": 0.01, "full": 0.01}), 4.0)
    uneven = advise(rows_of({"boxes": 0.05, "full": 0.01}), 4.0)
    assert (alike.sure, uneven.sure) == (SURE, SURE_IN_DOUBT)
    assert any("scatter more" in reason for reason in uneven.reasons)
