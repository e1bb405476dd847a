from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studies.answers import answer, caveats
from studies.convergence import unconverged
from studies.report import readable_table, write_report
from studies.summary import summary_table
from tests.studies.study_builders import make_failure, make_result, make_study


def trials(mix: str, budget_hours: float, *qualities: float | None) -> list:
    return [make_result(mix, budget_hours, seed, pq) for seed, pq in enumerate(qualities)]


def test_summary_has_mean_and_range_over_seeds() -> None:
    results = trials("full", 6, 0.2, 0.4) + trials("full", 2, 0.1) + trials("boxes", 2, 0.3, 0.3)
    results[0] = make_result("full", 6, 0, 0.2, images={"full": 4}, spent_hours=5)
    table = summary_table(results)
    assert list(zip(table["mix"], table["budget_hours"], table["num_seeds"], strict=True)) == [
        ("full", 2, 1),
        ("full", 6, 2),
        ("boxes", 2, 2),
    ]
    of_six = table.iloc[1]
    scores = [of_six[f"pq_{name}"] for name in ("mean", "min", "max")]
    np.testing.assert_allclose(scores, [0.3, 0.2, 0.4])
    assert of_six["pq_things_mean"] == pytest.approx(0.15)
    assert of_six["spent_hours"] == 5.5
    assert of_six["images_full"] == 3.5


def test_undefined_is_a_dash_and_never_zero() -> None:
    results = [make_result("full", 2, 0, 0.2, pq_stuff=None), make_result("a", 2, 0, 0.0)]
    assert np.isnan(summary_table(results)["pq_stuff_mean"].iloc[0])
    assert readable_table(results)["PQ\nstuff"].tolist() == ["–", "0.0"]


def test_readable_scores_are_percent_with_their_range() -> None:
    table = readable_table(trials("full", 2.5, 0.2, 0.4) + trials("boxes", 2.5, 0.1234))
    assert table["PQ"].tolist() == ["30.0 (20.0–40.0)", "12.3"]
    assert table["budget\n(h)"].tolist() == ["2.5", "2.5"]
    assert table["images\nfull"].tolist() == ["3", "3"]


def test_a_table_of_two_label_kinds_has_120_columns_at_most() -> None:
    images = {"boxes+tags": 1234.5, "full": 100}
    changes = {"images": images, "miou_semantic": 0.4, "trivial_pq": 0.1, "trivial_miou": 0.1}
    results = [
        make_result("half and half", 18, seed, pq, **changes)
        for seed, pq in enumerate((0.401, 0.449))
    ]
    columns = readable_table(results).astype(str).items()
    widths = [max(map(len, [*str(name).split("\n"), *cells])) for name, cells in columns]
    assert sum(widths) + 2 * (len(widths) + 1) <= 120


def test_answer_names_leader_lead_and_that_ranges_are_apart() -> None:
    results = trials("full", 6, 0.40, 0.44) + trials("boxes", 6, 0.30, 0.32) + trials("c", 6, 0.1)
    assert answer(results) == (
        'At 6 h, "full" has the highest mean PQ, 42.0 %, 11.0 points above "boxes" '
        "(the seeds' ranges do not overlap)."
    )


def test_answer_says_when_ranges_overlap() -> None:
    results = trials("full", 6, 0.40, 0.44) + trials("boxes", 6, 0.30, 0.40)
    assert answer(results).endswith("(the seeds' ranges overlap, so this is not settled).")


def test_answer_says_that_one_seed_cannot_tell() -> None:
    results = trials("full", 6, 0.40) + trials("boxes", 6, 0.30, 0.32)
    assert answer(results).endswith("(one seed cannot tell whether that would happen again).")


def test_answer_mentions_another_leader_at_the_smallest_budget() -> None:
    results = trials("full", 6, 0.5, 0.5) + trials("boxes", 6, 0.3, 0.3)
    results += trials("full", 3, 0.1, 0.1) + trials("boxes", 3, 0.3, 0.3)
    results += trials("full", 2, 0.1, 0.1) + trials("boxes", 2, 0.2, 0.2)
    assert answer(results) == (
        'At 6 h, "full" has the highest mean PQ, 50.0 %, 20.0 points above "boxes" '
        "(the seeds' ranges do not overlap); but "
        'at 2 h, "boxes" has the highest mean PQ, 20.0 %, 10.0 points above "full" '
        "(the seeds' ranges do not overlap)."
    )


def test_answer_calls_equal_scores_a_tie() -> None:
    results = trials("full", 6, 0.3, 0.3) + trials("boxes", 6, 0.3, 0.3)
    assert answer(results) == 'At 6 h, "full" and "boxes" tie at 30.0 % PQ.'


@pytest.mark.parametrize(
    "results",
    [
        trials("full", 6, 0.4, 0.5),
        trials("full", 6, None) + trials("boxes", 6, 0.3),
        trials("full", 6, 0.4) + trials("boxes", 2, 0.3),
    ],
)
def test_answer_to_nothing_comparable(results: list) -> None:
    assert answer(results).startswith("There is nothing to compare")


def test_answer_passes_over_budgets_that_one_mix_alone_has_finished() -> None:
    results = trials("full", 18, 0.9, 0.9) + trials("full", 6, 0.2, 0.2)
    assert answer(results + trials("boxes", 6, 0.3, 0.3)).startswith('At 6 h, "boxes"')


def test_report_has_all_that_a_reader_asks(tmp_path: Path) -> None:
    study = make_study(tmp_path, mixes={"full": {"full": 1}, "a|b": {"full": 1, "boxes": 3}})
    results = trials("full", 3, 0.4) + trials("a|b", 3, 0.3)
    results[1] = make_result("a|b", 3, 0, 0.3, spent_hours=1.5, miou_semantic=0.25)
    folder = tmp_path / "my run"
    write_report(study, results, folder)
    text = (folder / "report.md").read_text()
    assert f"**{answer(results)}**" in text
    assert "- a|b: full 25%, boxes 75% of the hours" in text
    assert "](quality_vs_cost.png)" in text
    assert r"| a\|b | 3 | 30.0 | 15.0 | 60.0 | 30.0 | 30.0 | 25.0 | 1.50 | 3 |" in text
    assert "| mIoU | mIoU semantic |" in text
    assert "more than a tenth was left over: a|b 1.50 of 3 h." in text
    assert "Times `li2018`" in text
    assert "| box | 7 | 6–35 | instance | Papadopoulos" in text
    assert f"annotools study run '{folder}/study.json' --out '{folder}'" in text
    assert "annotools 1.2.3;" in text
    assert "Only" not in text
    assert pd.read_csv(folder / "results.csv")["pq"].tolist() == [0.4, 0.3]
    assert (folder / "quality_vs_cost.png").read_bytes().startswith(b"\x89PNG")


def test_shares_are_of_what_the_study_says(tmp_path: Path) -> None:
    study = make_study(tmp_path, mixes={"half": {"full": 1, "none": 1}}, share_by="images")
    write_report(study, trials("half", 3, 0.4), tmp_path)
    assert "- half: full 50%, none 50% of the images" in (tmp_path / "report.md").read_text()


def test_report_of_unfinished_trials_says_so(tmp_path: Path) -> None:
    write_report(make_study(tmp_path), trials("full", 3, 0.4), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "Only 1 of 2 trials are finished: what follows may change. 0 failed, 1 are left." in text
    assert "that failed" not in text


def test_report_lists_trials_that_failed(tmp_path: Path) -> None:
    study = make_study(tmp_path, seeds=[0, 1, 2])
    failures = [make_failure("boxes+tags", 3, seed, "a | b is gone") for seed in (0, 2)]
    write_report(study, trials("full", 3, 0.4, 0.5), tmp_path, failures)
    text = (tmp_path / "report.md").read_text()
    assert "Only 2 of 6 trials are finished: what follows may change. 2 failed, 2 are left." in text
    assert "## Trials that failed\n\n| trial | error |" in text
    assert r"| boxes+tags_3h_seed2 | a \| b is gone |" in text


def against(mix: str, budget_hours: float, gain_pq: float, gain_miou: float, **changes) -> list:
    """Two seeds that are around so far above one class everywhere, in points."""
    return [
        make_result(
            mix,
            budget_hours,
            seed,
            0.10 + gain_pq / 100 + sign / 50,
            miou=0.20 + gain_miou / 100,
            **({"trivial_pq": 0.10, "trivial_miou": 0.20} | changes),
        )
        for seed, sign in enumerate((-1, 1))
    ]


def test_a_point_above_in_pq_and_not_below_in_miou_beats_one_class_everywhere() -> None:
    results = against("a", 2, 1, 0) + against("b", 2, 0.9, 9) + against("c", 2, 9, -0.1)
    results += against("d", 2, 9, 0, trivial_miou=None) + trials("old", 2, 0.0)
    results += against("e", 2, 0.9, 0, trivial_miou=None)
    table = summary_table(results)
    assert table["beats_trivial"].tolist() == [True, False, False, True, None, False]
    assert table["trivial_pq_mean"].tolist()[:4] == pytest.approx([0.1] * 4)


def test_clicks_that_miss_the_most_frequent_class_lower_no_bar() -> None:
    """Most clicks are on cars, so that the class of points everywhere is a poor prediction."""
    results = against("full", 2, 5, 5) + against("points", 2, 5, -5, trivial_miou=0.01)
    assert summary_table(results)["beats_trivial"].tolist() == [True, False]


def test_models_that_learnt_nothing_have_no_leader() -> None:
    results = against("full", 2, 5, 5) + against("boxes", 2, 5, 5)
    results += against("full", 6, 0.4, 9) + against("boxes", 6, 0.5, 0.5)
    assert answer(results) == (
        "These models have learnt nothing that can be told from one class everywhere, so that no "
        "label kind can be recommended: at 6 h no mix is a point above it in PQ without being "
        'below it in mIoU (the best, "boxes": PQ 10.5 %, mIoU 20.5 %; one class everywhere: 10.0 % '
        'and 20.0 %). Start from pretrained weights (recipe.inherit = "frozen"), train longer '
        "(recipe.semantic.steps, recipe.detector.steps; of few photos on a frozen backbone "
        "recipe.views.per_photo too), or study fewer categories (dataset.categories), with another "
        "--out."
    )
    assert caveats(results) == ()


def test_semantics_that_learnt_where_no_thing_is_found_say_what_to_do() -> None:
    told = answer(against("full", 6, 0, 0, miou_semantic=0.21))
    assert "Semantics alone have learnt (mIoU 21.0 %): what is missing are things" in told
    assert "train the detector longer, or lower recipe.instance.score_threshold" in told
    assert "Semantics" not in answer(against("full", 6, 0, 0, miou_semantic=0.209))
    assert "Semantics" not in answer(against("full", 6, 0, 0, miou_semantic=0.21, pq_things=None))


def test_mixes_that_taught_no_detector_are_named() -> None:
    points = against("points", 6, 5, 5, steps={"semantic": 9}, miou_semantic=0.4)
    full = against("full", 6, 9, 9, steps={"semantic": 9, "detector": 9})
    assert caveats(points + full) == (
        'No label says what boxes there are, so that no thing is found: "points".',
    )
    # Where there are no things there is nothing to find.
    assert caveats(against("points", 6, 5, 5, steps={"semantic": 9}, pq_things=None)) == ()


def test_where_nobody_was_taught_boxes_that_is_what_to_do_about_nothing_learnt() -> None:
    for semantic in (0.2, 0.4):
        points = against("points", 6, 0, 0, steps={"semantic": 9}, miou_semantic=semantic)
        assert "so that no thing is found: buy boxes or full labels too. " in answer(points)
        assert caveats(points) == ()
        both = points + against("full", 6, 0, 0, steps={"semantic": 9, "detector": 9})
        assert "buy boxes" not in answer(both)
        assert caveats(both) == (
            'No label says what boxes there are, so that no thing is found: "points".',
        )


def test_a_single_mix_can_have_learnt_nothing_too() -> None:
    assert answer(against("full", 6, 0, 0)).startswith("These models have learnt nothing")


def test_budgets_that_are_not_compared_do_not_decide() -> None:
    results = against("full", 6, 0, 0) + against("boxes", 6, 0, 0) + against("full", 18, 9, 9)
    assert answer(results).startswith("These models have learnt nothing")
    assert "at 6 h" in answer(results)


def test_mixes_that_learnt_nothing_are_named_after_the_answer() -> None:
    results = against("full", 2, 0, 0) + against("full", 6, 9, 9) + against("full", 18, 9, 9)
    results += against("boxes", 2, 3, -1) + against("boxes", 6, 0, 3) + against("boxes", 18, 8, 8)
    assert answer(results).startswith('At 18 h, "full" has the highest mean PQ')
    # Who leads at 2 h, where nobody has learnt anything, is chance.
    assert "2 h" not in answer(results)
    assert caveats(results) == (
        'No better than one class everywhere: "full" at 2 h; "boxes" at 2 h and 6 h.',
    )


def test_masks_that_are_worth_no_more_than_boxes_are_named() -> None:
    results = against("full", 2, 4, 4, filled_pq=0.14) + against("boxes", 2, 4, 4, filled_pq=0.13)
    results += against("none", 2, 0, 0, filled_pq=0.5)
    assert caveats(results) == (
        'No better than one class everywhere: "none" at 2 h.',
        'Masks are worth no more than the predicted boxes filled, by PQ: "full" at 2 h.',
    )


def test_masks_of_no_mix_that_are_worth_more_than_boxes_come_first() -> None:
    filled = {"filled_pq": 0.3}
    results = against("full", 2, 4, 4, **filled) + against("boxes", 2, 3, 4, **filled)
    first = (
        "At 2 h the masks of no mix are worth more than its predicted boxes filled: what differs"
    )
    assert answer(results).startswith(first)
    assert 'At 2 h, "full" has the highest mean PQ' in answer(results)
    # One mix whose masks are worth it is enough.
    results += against("more", 2, 30, 4, **filled)
    assert first not in answer(results)
    # Of rows that have both scores the masks are worth it.
    results = [*against("full", 2, 4, 4), make_result("full", 2, 3, 0.14, filled_pq=0.13)]
    assert first not in answer(results)
    # Rows of older versions do not tell.
    assert first not in answer(against("full", 2, 4, 4) + against("boxes", 2, 3, 4))


def test_trainings_that_still_gained_are_told() -> None:
    verdicts = (True, False, None, False)
    results = [make_result("a", 2, seed, 0.3, converged=v) for seed, v in enumerate(verdicts)]
    assert caveats(results) == (unconverged(results),)
    assert caveats(results)[0].startswith("2 of 3 trials ended with")


def test_rows_of_older_versions_say_nothing_of_chance() -> None:
    results = trials("full", 6, 0.0, 0.0) + trials("boxes", 6, 0.0, 0.0)
    assert answer(results) == 'At 6 h, "full" and "boxes" tie at 0.0 % PQ.'
    assert caveats(results) == ()
    assert not any("trivial" in heading for heading in readable_table(results).columns)


def test_report_of_models_that_learnt_nothing_says_so_first(tmp_path: Path) -> None:
    results = against("full", 3, 0, 0, filled_pq=0.2, weights="resnet50 X", steps={"semantic": 40})
    results += against("boxes+tags", 3, 0, 0, converged=False, steps={"semantic": 1500})
    write_report(make_study(tmp_path), results, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# small\n\n**These models have learnt nothing")
    assert "\n\n2 of 2 trials ended with" in text
    assert "| trivial PQ/mIoU |" in text
    assert "| 10.0/20.0 |" in text
    assert "Trivial is the class that is most frequent" in text
    assert "Student: `li2018`. Its backbone started from these weights: `none`, `resnet50" in text
    assert "Steps: semantic 40–1,500." in text
