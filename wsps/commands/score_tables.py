"""An evaluation is printed as tables, and written to files."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from annotools.commands.tables import console, count_of, percent, table
from annotools.files import write_json, write_whole
from wsps.evaluation.average_precision import rate_name
from wsps.evaluation.coco_matching import AREAS, area_name
from wsps.scoring.evaluate import ScoringSettings
from wsps.scoring.report import Evaluation, ScoreRow, evaluation_as_csv, rows_as_json

MOST_THRESHOLDS = 4
"""This many columns of AP at single thresholds fit next to the other scores."""

HEADINGS = {
    "pq": "PQ",
    "sq": "SQ",
    "dq": "DQ",
    "ap_vol": "AP_vol",
    **{area_name(area): f"AP {area}" for area in AREAS if area != "all"},
    "iou": "IoU",
    "tp": "TP",
    "fp": "FP",
    "fn": "FN",
}


def print_evaluation(evaluation: Evaluation, settings: ScoringSettings) -> None:
    """Print a table of the scores, one of differences, and notes on how to read them."""
    output = console()
    headings = _headings(settings)
    title = f"{count_of(evaluation.num_images, 'image')}, in percent"
    output.print(_score_table(evaluation.rows, title, headings))
    if evaluation.differences:
        title = "Second prediction minus first, in points"
        output.print(_score_table(evaluation.differences, title, headings))
    for note in _notes(evaluation, settings):
        output.print(note, soft_wrap=True)


def write_evaluation(
    evaluation: Evaluation,
    settings: ScoringSettings,
    json_file: Path | None,
    csv_file: Path | None,
) -> None:
    """Write the scores to the files that are given.

    Raises:
        OSError: when one cannot be written.
    """
    if json_file is not None:
        content = {
            "images": evaluation.num_images,
            "metrics": evaluation.metrics,
            "crowds": "all" if settings.all_groups else "official",
            "scores_that_crowds_change": evaluation.crowd_effect.num_scores,
            "largest_change": evaluation.crowd_effect.most,
            "thresholds": settings.thresholds,
            "recalls": settings.recalls,
            "masks": settings.masks,
            "predicted_masks_without_pixel": evaluation.num_empty,
            "ap_of_things_alone": evaluation.has_things_alone,
            "rank": settings.ranking,
            "resamples": settings.num_resamples,
            "seed": settings.seed,
            "rows": rows_as_json(evaluation.rows),
            "second_rows": rows_as_json(evaluation.second_rows),
            "differences": rows_as_json(evaluation.differences),
        }
        write_json(json_file, content)
    if csv_file is not None:
        write_whole(csv_file, evaluation_as_csv(evaluation).encode(errors="backslashreplace"))


def _headings(settings: ScoringSettings) -> dict[str, str]:
    """Return the names of what is shown, with headings; long lists of thresholds are not."""
    single = settings.thresholds
    if len(single) > MOST_THRESHOLDS:
        # Of masks, COCO's own summary has these two.
        single = tuple(t for t in single if settings.masks and t in (0.5, 0.75))
    headings = {}
    for name, heading in HEADINGS.items():
        headings[name] = heading
        if name == "ap_vol":
            headings |= {rate_name(threshold): f"AP {threshold}" for threshold in single}
    return headings


def _score_table(rows: Sequence[ScoreRow], title: str, headings: dict[str, str]) -> Table:
    rates = [name for name in rows[0].rates if name in headings]
    shown = table(
        ["class", "kind", *(headings[name] for name in (*rates, *rows[0].counts))],
        left=2,
        title=title,
    )
    for number, row in enumerate(rows):
        cells = [_show_rate(row.rates[name], row.intervals.get(name)) for name in rates]
        counts = [f"{count:,}" for count in row.counts.values()]
        # The last rows are means, so that a row of a class always has one after it.
        before_means = row.kind != "mean" and rows[number + 1].kind == "mean"
        shown.add_row(row.name, row.kind, *cells, *counts, end_section=before_means)
    return shown


def _show_rate(rate: float | None, ends: tuple[float, float] | None) -> str:
    between = "" if ends is None else f" [{percent(ends[0])}, {percent(ends[1])}]"
    return percent(rate) + between


def _notes(evaluation: Evaluation, settings: ScoringSettings) -> list[str]:
    effect = evaluation.crowd_effect
    rule = "all crowds count" if settings.all_groups else "one crowd a category and image counts"
    both = ", of both predictions" if evaluation.differences else ""
    notes = []
    if "pq" in evaluation.metrics:
        notes.append(
            f"Crowds: {rule}. The two rules differ in {count_of(effect.num_scores, 'score')} (PQ, "
            f"SQ, DQ of classes and means{both}), by at most {100 * effect.most:.2f} points."
        )
    if settings.num_resamples:
        resamples = count_of(settings.num_resamples, "resample")
        notes.append(f"Intervals: 95% over {resamples} of the images.")
    # With no metric named AP is left out without an error, so the reader is told here.
    if not settings.metrics and "ap" not in evaluation.metrics:
        notes.append(
            "No AP: not every predicted thing has a score (stuff needs none); --rank oracle does "
            "without."
        )
    if "ap" in evaluation.metrics and evaluation.has_things_alone:
        notes.append("AP is of things alone: not every predicted segment of stuff has a score.")
    if any(evaluation.num_empty):
        num_empty = _of_each(evaluation.num_empty)
        notes.append(f"Predicted masks without a pixel, each a false positive: {num_empty}.")
    if any(evaluation.num_unasked):
        num_unasked = _of_each(evaluation.num_unasked)
        notes.append(f"Predicted images that are not in the truth: {num_unasked}.")
    return notes


def _of_each(counts: Sequence[int]) -> str:
    """Return a count; with that of a second prediction, both and whose they are."""
    if len(counts) == 1:
        return f"{counts[0]:,}"
    return " and ".join(
        f"{count:,} of the {name} prediction"
        for count, name in zip(counts, ("first", "second"), strict=True)
    )
