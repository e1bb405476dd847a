"""A report tells people what a study found: a table, and a page with it and the answer."""

import platform
import shlex
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from annotools.commands.tables import NOTHING, percent
from annotools.files import write_whole
from annotools.prices.times import AnnotationTimes, read_times
from studies.answers import answer, caveats
from studies.folder import PICTURE_FILE, REPORT_FILE, STUDY_FILE, TABLE_FILE
from studies.on_test import HEADINGS, score_rows
from studies.plots import draw_quality_vs_cost
from studies.results import TrialResult, to_frame
from studies.study import Study
from studies.summary import SCORES, has_learnt_nothing, summary_table


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


def write_report(study: Study, results: Sequence[TrialResult], folder: Path) -> None:
    """Write report.md, quality_vs_cost.png and results.csv into a folder.

    Raises:
        TimesError: when the study's annotation times cannot be read.
    """
    # Times are read before anything is written: where they cannot be, the old report stays whole.
    times, readable = read_times(study.times), readable_table(results)
    # Who has learnt nothing reads that before anything else.
    opening = [_question(study), f"**{answer(results)}**"]
    if has_learnt_nothing(summary_table(results)):
        opening.reverse()
    draw_quality_vs_cost(results, folder / PICTURE_FILE)
    write_whole(folder / TABLE_FILE, to_frame(list(results)).to_csv(index=False).encode())
    parts = [
        f"# {study.name}",
        *opening,
        *caveats(results),
        _progress(study, results),
        f"![Panoptic quality against annotation hours]({PICTURE_FILE})",
        _markdown(readable.columns.tolist(), readable.to_numpy().tolist()),
        "Scores are in percent: the mean over seeds (PQ: lowest–highest seed). "
        f"{NOTHING} is a score that is undefined. Hours and images are means over seeds. mIoU is "
        "of the panoptic output, mIoU semantic of the semantic network alone (paper, sec. 4.2).",
        _explain_trivial(results),
        _unspent(results),
        _test_split(results),
        f"## How it was trained\n\n{_describe_training(results)}",
        f"## How it was priced\n\n{_describe_times(study, times)}",
        f"## How to run it again\n\n{_describe_rerun(folder)}",
        f"## Versions\n\n{_describe_versions(results)}",
    ]
    write_whole(folder / REPORT_FILE, ("\n\n".join(filter(None, parts)) + "\n").encode())


def _with_range(mean: float, low: float, high: float) -> str:
    """Return a score in percent, with its range over seeds where that is one."""
    return f"{percent(mean)} ({percent(low)}–{percent(high)})" if low < high else percent(mean)


def _question(study: Study) -> str:
    lines = []
    for name, mix in study.mixes.items():
        total = sum(mix.values())
        shares = ", ".join(f"{kind} {share / total:.0%}" for kind, share in mix.items())
        lines.append(f"- {name}: {shares} of the {study.share_by}")
    chosen = study.dataset.categories
    alone = "" if chosen is None else f", {chosen} alone,"
    return (
        f"Which labels give the best panoptic model of `{study.dataset.format}` "
        f"`{study.dataset.root.name}`{alone} for the same hours of annotation?\n\n"
        + "\n".join(lines)
    )


def _progress(study: Study, results: Sequence[TrialResult]) -> str:
    total = len(study.mixes) * len(study.budgets_hours) * len(study.seeds)
    if len(results) == total:
        return ""
    return f"Only {len(results)} of {total} trials are finished: what follows may change."


def _explain_trivial(results: Sequence[TrialResult]) -> str:
    if all(result.trivial_pq is None and result.trivial_miou is None for result in results):
        return ""
    return (
        "Trivial is the class that is most frequent in a trial's own training labels, everywhere "
        "in every image: a model whose mean PQ and mIoU are not a point above it has learnt "
        "nothing."
    )


def _test_split(results: Sequence[TrialResult]) -> str:
    rows = score_rows(results)
    title = "## On the test split, which no choice has seen"
    what = (
        "Means over seeds, in percent. Whoever chose by the scores on val finds the chosen mix a "
        "little too good there, and not here."
    )
    return f"{title}\n\n{what}\n\n{_markdown(HEADINGS, rows)}" if rows else ""


def _unspent(results: Sequence[TrialResult]) -> str:
    """Name the budgets that were not used up: images ran out, or the next one was too dear."""
    table = summary_table(results)
    left = table[table["spent_hours"] < 0.9 * table["budget_hours"]]
    if left.empty:
        return ""
    cases = ", ".join(
        f"{row.mix} {row.spent_hours:.2f} of {row.budget_hours:g} h" for row in left.itertuples()
    )
    return f"Of these budgets more than a tenth was left over: {cases}."


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in line) + " |"
        for line in lines
    )


def _describe_times(study: Study, times: AnnotationTimes) -> str:
    rows = [
        [name, f"{action.seconds:g}", f"{action.low:g}–{action.high:g}", action.unit, action.source]
        for name, action in times.actions.items()
    ]
    table = _markdown(("action", "seconds", "plausible", "for one", "source"), rows)
    crop = study.recipe.tags.crop_size_wh
    tagged = "whole images" if crop is None else f"crops of {crop[0]} x {crop[1]} pixels"
    return f"Times `{times.name}`: {times.note} Tags are given on {tagged}.\n\n{table}"


def _describe_rerun(folder: Path) -> str:
    stored, same = shlex.quote(str(folder / STUDY_FILE)), shlex.quote(str(folder))
    return (
        f"`{STUDY_FILE}` beside this page holds every setting. What is missing is run by\n\n"
        f"```\nannotools study run {stored} --out {same}\n```\n\n"
        "and everything from the beginning with another `--out`."
    )


def _describe_training(results: Sequence[TrialResult]) -> str:
    students = ", ".join(sorted({f"`{result.student}`" for result in results}))
    weights = ", ".join(sorted({f"`{result.weights}`" for result in results}))
    sentences = [f"Student: {students}. Its backbone started from these weights: {weights}."]
    steps: dict[str, list[int]] = {}
    for result in results:
        for stage, number in result.steps.items():
            steps.setdefault(stage, []).append(number)
    if steps:
        of_stages = ", ".join(f"{stage} {_span(numbers)}" for stage, numbers in steps.items())
        sentences.append(f"Steps: {of_stages}.")
    return " ".join(sentences)


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _describe_versions(results: Sequence[TrialResult]) -> str:
    trained_with = ", ".join(sorted({result.code_version for result in results}))
    packages = ", ".join(map(_describe_package, ("torch", "torchvision", "numpy")))
    return f"annotools {trained_with}; Python {platform.python_version()}, {packages}."


def _describe_package(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        # Finished trials can be reported where nothing is trained.
        return f"no {name}"
