"""A report tells people what a study found: a table, and a page with it and the answer."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from annotools.commands.tables import NOTHING, percent
from annotools.files import write_whole
from annotools.prices.times import AnnotationTimes, read_times
from studies.advice.cells import read_scores, rows_of_main_student
from studies.advice.checks import describe_checks
from studies.advice.curves import fit_curves
from studies.answers import answer, caveats
from studies.descriptions import (
    describe_training,
    describe_versions,
    explain_times,
    explain_trivial,
    mix_shares,
    progress,
    question,
    unspent,
)
from studies.failures import TrialFailure
from studies.folder import DRAWING_FILE, PICTURE_FILE, REPORT_FILE, STUDY_FILE, TABLE_FILE
from studies.on_test import HEADINGS, score_rows
from studies.plots import draw_quality_vs_cost
from studies.results import TrialResult, to_frame
from studies.study import Study
from studies.summary import SCORES, has_learnt_nothing, never_learnt, summary_table


def readable_table(results: Sequence[TrialResult]) -> pd.DataFrame:
    """Return the summary as text: means in percent, PQ as `mean (min–max)`, a dash if undefined.

    Headings have their words below each other, so that the table fits a terminal.
    """
    table = summary_table(results)
    readable = pd.DataFrame({"mix": table["mix"]})
    readable["budget (h)"] = [f"{hours:g}" for hours in table["budget_hours"]]
    for score, heading in SCORES.items():
        columns = [f"{score}_mean", f"{score}_min", f"{score}_max"]
        readable[heading] = [
            _with_range(*rates) if score == "pq" else percent(rates[0])
            for rates in table[columns].itertuples(index=False, name=None)
        ]
    trivial = table[["trivial_pq_mean", "trivial_miou_mean"]]
    if trivial.notna().any(axis=None):
        readable["trivial PQ/mIoU"] = [
            f"{percent(pq)}/{percent(miou)}"
            for pq, miou in trivial.itertuples(index=False, name=None)
        ]
    readable["spent (h)"] = [f"{hours:.2f}" for hours in table["spent_hours"]]
    for column in table.columns[table.columns.str.startswith("images_")]:
        heading = f"images {column.removeprefix('images_')}"
        readable[heading] = [f"{images:.1f}".removesuffix(".0") for images in table[column]]
    # The numbers differ only while trials are missing.
    if table["num_seeds"].nunique() > 1:
        readable["seeds"] = [str(number) for number in table["num_seeds"]]
    return readable.rename(columns=lambda heading: heading.replace(" ", "\n"))


def write_report(
    study: Study,
    results: Sequence[TrialResult],
    folder: Path,
    failures: Sequence[TrialFailure] = (),
) -> None:
    """Write report.md, quality_vs_cost.png, quality_vs_cost.svg and results.csv into a folder.

    Args:
        study: what was asked.
        results: its finished trials, at least one.
        folder: of the study.
        failures: its failed trials.

    Raises:
        TimesError: when the study's annotation times cannot be read.
    """
    # Times are read before anything is written: where they cannot be, the old report stays whole.
    times, readable = read_times(study.times), readable_table(results)
    # Who has learnt nothing reads that before anything else.
    lines = "\n".join(f"- {line}" for line in mix_shares(study))
    opening = [f"{question(study)}\n\n{lines}", f"**{answer(results)}**"]
    if has_learnt_nothing(summary_table(results)):
        opening.reverse()
    draw_quality_vs_cost(results, folder / PICTURE_FILE, folder / DRAWING_FILE)
    write_whole(folder / TABLE_FILE, to_frame(list(results)).to_csv(index=False).encode())
    parts = [
        f"# {study.name}",
        *opening,
        *caveats(results),
        progress(study, results, failures),
        f"![Panoptic quality against annotation hours]({PICTURE_FILE})",
        _markdown(readable.columns.tolist(), readable.to_numpy().tolist()),
        "Scores are in percent: the mean over seeds (PQ: lowest–highest seed). "
        f"{NOTHING} is a score that is undefined. Hours and images are means over seeds. mIoU is "
        "of the panoptic output, mIoU semantic of the semantic network alone (paper, sec. 4.2).",
        explain_trivial(results),
        unspent(results),
        _test_split(results),
        _list_failures(failures),
        _describe_checks(results),
        f"## How it was trained\n\n{describe_training(results)}",
        f"## How it was priced\n\n{_describe_times(study, times)}",
        f"## How to run it again\n\n{_describe_rerun(folder)}",
        f"## Versions\n\n{describe_versions(results)}",
    ]
    write_whole(folder / REPORT_FILE, ("\n\n".join(filter(None, parts)) + "\n").encode())


def _with_range(mean: float, low: float, high: float) -> str:
    """Return a score in percent, with its range over seeds where that is one."""
    return f"{percent(mean)} ({percent(low)}–{percent(high)})" if low < high else percent(mean)


def _list_failures(failures: Sequence[TrialFailure]) -> str:
    if not failures:
        return ""
    table = _markdown(("trial", "error"), [[failure.name, failure.error] for failure in failures])
    return f"## Trials that failed\n\n{table}\n\n`--retry-failed` runs them again."


def _test_split(results: Sequence[TrialResult]) -> str:
    rows = score_rows(results)
    title = "## On the test split, which no choice has seen"
    what = (
        "Means over seeds, in percent. Whoever chose by the scores on val finds the chosen mix a "
        "little too good there, and not here."
    )
    return f"{title}\n\n{what}\n\n{_markdown(HEADINGS, rows)}" if rows else ""


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in line) + " |"
        for line in lines
    )


def _describe_checks(results: Sequence[TrialResult]) -> str:
    """Return what the curves of PQ come to when they are held against the study's own rows."""
    if all(result.pq is None for result in results):
        return ""
    rows = rows_of_main_student(results, "pq")
    scores = read_scores(rows, "pq", never_learnt(summary_table(rows)))
    curves = fit_curves(scores)
    told = () if curves is None else describe_checks(scores, curves)
    if not told:
        return ""
    lines = "\n".join(f"- {text}" for text in told)
    return (
        "## Would the curves have been right?\n\nPQ, with 90 % intervals. One case is no proof.\n\n"
        f"{lines}"
    )


def _describe_times(study: Study, times: AnnotationTimes) -> str:
    rows = [
        [name, f"{action.seconds:g}", f"{action.low:g}–{action.high:g}", action.unit, action.source]
        for name, action in times.actions.items()
    ]
    table = _markdown(("action", "seconds", "plausible", "for one", "source"), rows)
    return f"{explain_times(study, times)}\n\n{table}"


def _describe_rerun(folder: Path) -> str:
    stored, same = shlex.quote(str(folder / STUDY_FILE)), shlex.quote(str(folder))
    return (
        f"`{STUDY_FILE}` beside this page holds every setting. What is missing is run by\n\n"
        f"```\nannotools study run {stored} --out {same}\n```\n\n"
        "and everything from the beginning with another `--out`."
    )
