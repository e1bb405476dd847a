"""A report tells people what a study found: a table, one honest sentence, and a page with both."""

import platform
import shlex
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from annotools.commands.tables import NOTHING, percent
from annotools.files import write_whole
from annotools.prices.times import AnnotationTimes, read_times
from studies.folder import PICTURE_FILE, REPORT_FILE, STUDY_FILE, TABLE_FILE
from studies.plots import draw_quality_vs_cost
from studies.results import TrialResult, to_frame
from studies.study import Study

SCORES = {
    "pq": "PQ",
    "pq_things": "PQ things",
    "pq_stuff": "PQ stuff",
    "ap_vol": "AP_vol",
    "miou": "mIoU",
    "miou_semantic": "mIoU semantic",
}
"""The scores that are shown, with their headings; the last is of the semantic network alone."""


def summary_table(results: Sequence[TrialResult]) -> pd.DataFrame:
    """Return one row for each mix and budget: the mean, lowest and highest score of its seeds.

    Columns: `mix`, `budget_hours`, `num_seeds`, `spent_hours` and `images_KIND` (means), and for
    each of `SCORES` in [0, 1] `SCORE_mean`, `SCORE_min` and `SCORE_max`; NaN where undefined.
    Mixes come in the order of the results, budgets rising.
    """
    frame = to_frame(list(results)).astype(dict.fromkeys(SCORES, float))
    # A category sorts by the order in which mixes come.
    frame["mix"] = pd.Categorical(frame["mix"], frame["mix"].unique())
    columns = {"num_seeds": ("seed", "size"), "spent_hours": ("spent_hours", "mean")}
    columns |= {f"{s}_{name}": (s, name) for s in SCORES for name in ("mean", "min", "max")}
    columns |= {c: (c, "mean") for c in frame.columns if c.startswith("images_")}
    table = frame.groupby(["mix", "budget_hours"], observed=True).agg(**columns).reset_index()
    return table.astype({"mix": object})


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
    readable["spent (h)"] = [f"{hours:.2f}" for hours in table["spent_hours"]]
    for column in table.columns[table.columns.str.startswith("images_")]:
        heading = f"images {column.removeprefix('images_')}"
        readable[heading] = [f"{images:.1f}".removesuffix(".0") for images in table[column]]
    # The numbers differ only while trials are missing.
    if table["num_seeds"].nunique() > 1:
        readable["seeds"] = [str(number) for number in table["num_seeds"]]
    return readable.rename(columns=lambda heading: heading.replace(" ", "\n"))


def answer(results: Sequence[TrialResult]) -> str:
    """Return one sentence: which mix leads at the largest budget, by how much, and how sure.

    The smallest budget is named as well when another mix leads there. Budgets at which fewer than
    two mixes have a defined PQ are passed over.
    """
    table = summary_table(results)
    table = table[table["pq_mean"].notna()]
    mixes_at = table.groupby("budget_hours").size()
    budgets = sorted(float(hours) for hours in mixes_at[mixes_at > 1].index)
    if not budgets:
        return "There is nothing to compare: no budget has a defined PQ for two mixes."
    sentence = _describe_lead(table, budgets[-1])
    if _ranking(table, budgets[0])["mix"].iloc[0] != _ranking(table, budgets[-1])["mix"].iloc[0]:
        sentence += f"; but {_describe_lead(table, budgets[0])}"
    return f"{sentence[0].upper()}{sentence[1:]}."


def write_report(study: Study, results: Sequence[TrialResult], folder: Path) -> None:
    """Write report.md, quality_vs_cost.png and results.csv into a folder.

    Raises:
        TimesError: when the study's annotation times cannot be read.
    """
    # Times are read before anything is written: where they cannot be, the old report stays whole.
    times, readable = read_times(study.times), readable_table(results)
    draw_quality_vs_cost(results, folder / PICTURE_FILE)
    write_whole(folder / TABLE_FILE, to_frame(list(results)).to_csv(index=False).encode())
    parts = [
        f"# {study.name}",
        _question(study),
        f"**{answer(results)}**",
        _progress(study, results),
        f"![Panoptic quality against annotation hours]({PICTURE_FILE})",
        _markdown(readable.columns.tolist(), readable.to_numpy().tolist()),
        "Scores are in percent: the mean over seeds (PQ: lowest–highest seed). "
        f"{NOTHING} is a score that is undefined. Hours and images are means over seeds. mIoU is "
        "of the panoptic output, mIoU semantic of the semantic network alone (paper, sec. 4.2).",
        _unspent(results),
        f"## How it was priced\n\n{_describe_times(study, times)}",
        f"## How to run it again\n\n{_describe_rerun(folder)}",
        f"## Versions\n\n{_describe_versions(results)}",
    ]
    write_whole(folder / REPORT_FILE, ("\n\n".join(filter(None, parts)) + "\n").encode())


def _with_range(mean: float, low: float, high: float) -> str:
    """Return a score in percent, with its range over seeds where that is one."""
    return f"{percent(mean)} ({percent(low)}–{percent(high)})" if low < high else percent(mean)


def _ranking(table: pd.DataFrame, budget_hours: float) -> pd.DataFrame:
    rows = table[table["budget_hours"] == budget_hours]
    # Stable, so that mixes with equal means keep the order of the study.
    return rows.sort_values("pq_mean", ascending=False, kind="stable")


def _describe_lead(table: pd.DataFrame, budget_hours: float) -> str:
    ranking = _ranking(table, budget_hours)
    best, second = ranking.iloc[0], ranking.iloc[1]
    points = 100 * (best["pq_mean"] - second["pq_mean"])
    if min(best["num_seeds"], second["num_seeds"]) == 1:
        certainty = "one seed cannot tell whether that would happen again"
    elif best["pq_min"] <= second["pq_max"]:
        certainty = "the seeds' ranges overlap, so this is not settled"
    else:
        certainty = "the seeds' ranges do not overlap"
    leading = f"{percent(best['pq_mean'])} %"
    # A difference that is printed as 0.0 is a tie to the reader.
    if f"{points:.1f}" == "0.0":
        return f'at {budget_hours:g} h, "{best["mix"]}" and "{second["mix"]}" tie at {leading} PQ'
    return (
        f'at {budget_hours:g} h, "{best["mix"]}" has the highest mean PQ, {leading}, '
        f'{points:.1f} points above "{second["mix"]}" ({certainty})'
    )


def _question(study: Study) -> str:
    lines = []
    for name, mix in study.mixes.items():
        total = sum(mix.values())
        shares = ", ".join(f"{kind} {share / total:.0%}" for kind, share in mix.items())
        lines.append(f"- {name}: {shares} of the {study.share_by}")
    return (
        f"Which labels give the best panoptic model of `{study.dataset.format}` "
        f"`{study.dataset.root.name}` for the same hours of annotation?\n\n" + "\n".join(lines)
    )


def _progress(study: Study, results: Sequence[TrialResult]) -> str:
    total = len(study.mixes) * len(study.budgets_hours) * len(study.seeds)
    if len(results) == total:
        return ""
    return f"Only {len(results)} of {total} trials are finished: what follows may change."


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
