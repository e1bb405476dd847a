from dataclasses import replace
from pathlib import Path

from annotools.settings import as_table
from studies.advice.advise import advise, hours_to_reach
from studies.answers import answer, caveats, named_mixes
from studies.on_test import HEADINGS, score_rows
from studies.report import write_report
from studies.results import TrialResult, read_result, to_frame, write_result
from studies.summary import summary_table
from tests.studies.study_builders import make_result, make_study

BUDGETS = (1.0, 3.0, 9.0)


def rows(sign: float) -> list[TrialResult]:
    """Full labels lead by 20 points on val, and by `sign` times 40 on test."""
    return [
        make_result(
            mix,
            hours,
            seed,
            0.3 + 0.02 * place + 0.001 * seed + lead,
            test={"pq": 0.5 + 2 * sign * lead, "miou": None},
        )
        for mix, lead in (("boxes", 0.0), ("full", 0.2))
        for place, hours in enumerate(BUDGETS)
        for seed in (0, 1)
    ]


def test_no_choice_sees_the_test_scores() -> None:
    """Whatever the scores on test are, every verdict stays as it is."""
    without = [replace(row, test={}) for row in rows(1)]
    for results in (rows(1), rows(-1)):
        for hours in (2.0, 9.0, 20.0):
            assert as_table(advise(results, hours)) == as_table(advise(without, hours))
        assert advise(results, 9.0).mix == "full"
        assert hours_to_reach(results, 0.5) == hours_to_reach(without, 0.5)
        assert answer(results) == answer(without)
        assert caveats(results) == caveats(without)
        assert named_mixes(results) == named_mixes(without) == {9.0: "full"}
        assert summary_table(results).equals(summary_table(without))


def test_the_report_shows_the_test_scores_of_the_mix_that_the_answer_names_first() -> None:
    assert [dict(zip(HEADINGS, row, strict=True)) for row in score_rows(rows(-1))] == [
        {
            "budget (h)": "9",
            "mix": mix,
            "chosen on val": chosen,
            "PQ on val": on_val,
            "PQ on test": on_test,
            **dict.fromkeys(HEADINGS[5:], "–"),
        }
        for mix, chosen, on_val, on_test in (
            ("full", "yes", "54.0", "10.0"),
            ("boxes", "", "34.0", "50.0"),
        )
    ]


def test_the_smaller_budget_at_which_another_mix_leads_is_shown_too() -> None:
    results = [*rows(1), make_result("tags", 1.0, 0, 0.9, test={"pq": 0.7})]
    shown = [(row[0], row[1], row[2]) for row in score_rows(results)]
    assert shown == [
        *(("9", "full", "yes"), ("9", "boxes", "")),
        *(("1", "tags", "yes"), ("1", "boxes", ""), ("1", "full", "")),
    ]


def test_a_report_has_the_section_where_there_are_test_scores(tmp_path: Path) -> None:
    study = make_study(tmp_path, budgets_hours=list(BUDGETS), seeds=[0, 1])
    title = "## On the test split, which no choice has seen"
    write_report(study, rows(1), tmp_path)
    assert (tmp_path / "report.md").read_text().count(title) == 1
    write_report(study, [replace(row, test={}) for row in rows(1)], tmp_path)
    assert title not in (tmp_path / "report.md").read_text()


def test_rows_keep_the_test_scores_and_older_rows_have_none(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    row = rows(1)[0]
    write_result(row, path)
    assert read_result(path) == row
    assert to_frame([row])["test_pq"].tolist() == [0.5]
    text = path.read_text()
    start = text.index(',\n "test"')
    path.write_text(text[:start] + "\n}\n")
    assert read_result(path) == replace(row, test={})
