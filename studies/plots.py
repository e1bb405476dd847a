"""Draw the picture of a study: quality against hours, with a line for each mix."""

import io
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from annotools.files import write_whole
from studies.results import TrialResult, to_frame
from studies.summary import deciding_budget, has_learnt_nothing, summary_table

PANELS = (("pq", "PQ, all classes"), ("pq_things", "PQ, things"), ("pq_stuff", "PQ, stuff"))

# Marker and dashes tell the mixes apart in grey print; the colours are Okabe and Ito's.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_DASHES = ("-", "--", "-.", ":")


def draw_quality_vs_cost(results: Sequence[TrialResult], *paths: Path) -> None:
    """Draw PQ in percent against budget in hours, on a logarithmic axis, into PNG or SVG files.

    A panel each for all classes, things and stuff; one that is undefined in all trials is left
    out. Lines are means over seeds, bands reach from the lowest to the highest seed, points are
    single trials. Where nothing was learnt the title says so, and a line shows the PQ of one class
    everywhere. Each file appears whole or not at all.
    """
    frame, table = to_frame(list(results)), summary_table(results)
    # A figure needs an axis, so that one panel stays even where nothing is defined.
    defined = [panel for panel in PANELS if frame[panel[0]].notna().any()] or [PANELS[0]]
    figure = Figure(figsize=(10, 4.4), dpi=160, layout="constrained")
    # Not through pyplot, which keeps every figure open and may look for a display.
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(defined), squeeze=False)[0]
    for axes, (score, title) in zip(panels, defined, strict=True):
        _draw_panel(axes, frame, score)
        axes.set_title(title, fontsize=11)
    if has_learnt_nothing(table):
        figure.suptitle("Nothing was learnt: no mix is better than one class everywhere")
        _draw_trivial_level(panels[0], table)
    panels[0].set_ylabel("panoptic quality (%)")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(4, len(panels[0].get_legend_handles_labels()[0])),
        title=_caption(frame),
        title_fontsize=9,
        frameon=False,
    )
    # Without date and with fixed names of its parts, an SVG file is the same each time.
    with rc_context({"svg.hashsalt": "quality_vs_cost"}):
        for path in paths:
            buffer, is_svg = io.BytesIO(), path.suffix == ".svg"
            figure.savefig(
                buffer, format=path.suffix[1:], metadata={"Date": None} if is_svg else {}
            )
            write_whole(path, buffer.getvalue())


def _draw_panel(axes: Axes, frame: pd.DataFrame, score: str) -> None:
    # The lists have different lengths: where a colour comes again, its marker is another one.
    styles = zip(cycle(_COLOURS), cycle(_MARKERS), cycle(_DASHES), strict=False)
    for mix, (colour, marker, dashes) in zip(frame["mix"].unique(), styles, strict=False):
        rows = frame[frame["mix"] == mix].astype({score: float})
        hours, percent = rows["budget_hours"], 100 * rows[score]
        of_budget = percent.groupby(hours).agg(["mean", "min", "max"]).sort_index()
        x = of_budget.index.to_numpy(dtype=float)
        low, high = of_budget["min"].to_numpy(), of_budget["max"].to_numpy()
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(hours, percent, marker, color=colour, markersize=4, alpha=0.5)
        axes.plot(
            x,
            of_budget["mean"].to_numpy(),
            color=colour,
            linestyle=dashes,
            marker=marker,
            markersize=7,
            markerfacecolor="white",
            label=str(mix),
        )
    _label_budgets(axes, sorted(frame["budget_hours"].unique()))
    low, high = axes.get_ylim()
    # Where nothing was learnt the margin around 0 would be all that is seen.
    axes.set_ylim(max(0.0, low), max(1.0, high))
    axes.grid(visible=True, alpha=0.3)


def _draw_trivial_level(axes: Axes, table: pd.DataFrame) -> None:
    of_budget = table[table["budget_hours"] == deciding_budget(table)]
    level = 100 * of_budget["trivial_pq_mean"].mean()
    if not pd.isna(level):
        label = f"one class everywhere: {level:.1f} %"
        axes.axhline(level, color="0.3", linestyle=":", linewidth=2, label=label)


def _label_budgets(axes: Axes, budgets: Sequence[float]) -> None:
    axes.set_xscale("log")
    # A single budget would leave a logarithmic axis without width.
    axes.set_xlim(budgets[0] / 1.2, budgets[-1] * 1.2)
    axes.xaxis.set_major_locator(FixedLocator(list(budgets)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{hours:g}" for hours in budgets])
    axes.set_xlabel("annotation budget (hours)")


def _caption(frame: pd.DataFrame) -> str:
    num_seeds = frame["seed"].nunique()
    if num_seeds == 1:
        return "one seed: each point is a single trial"
    return (
        f"line: mean over {num_seeds} seeds; band: from the lowest to the highest seed; "
        "small points: single trials"
    )
