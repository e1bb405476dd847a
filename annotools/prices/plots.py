"""A price list is drawn as two panels: hours by label kind, and how sure the saving is."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from annotools.files import write_whole
from annotools.prices.intervals import Draws, Price, quantiles
from annotools.prices.price_list import write_number

_BAR, _LINE = "#56B4E9", "#D55E00"


def draw_prices(prices: Sequence[Price], saving: tuple[Price, Draws] | None, path: Path) -> None:
    """Write a PNG file with the hours of each price as bars, and the distribution of one saving.

    Bars are hours at the times as they are. They begin at 0, so that their lengths compare as the
    hours do, and the hours stand next to them as in the table. Lines reach over the middle 90 % of
    draws. The file appears whole or not at all.

    Args:
        prices: what to compare, one or more.
        saving: a price and the drawn ratios (D,) of full labels to it; None leaves it out.
        path: the file to write.
    """
    num_panels = 1 if saving is None else 2
    # The figure is made without pyplot, which would keep it alive until it is closed.
    figure = Figure(figsize=(5.5 * num_panels, 1.6 + 0.42 * max(len(prices), 5)), dpi=160)
    figure.set_layout_engine("constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, num_panels, squeeze=False)[0]
    _draw_hours(panels[0], prices)
    if saving is not None:
        _draw_saving(panels[1], *saving)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_whole(path, buffer.getvalue())


def _draw_hours(axes: Axes, prices: Sequence[Price]) -> None:
    hours = np.array([row.hours for row in prices])
    ends = np.array([(row.hours_interval.low, row.hours_interval.high) for row in prices])
    names = [row.name for row in prices]
    axes.barh(names, hours, color=_BAR)
    axes.hlines(names, *ends.reshape(-1, 2).T, color="black", linewidth=1.2)
    for name, value, (_, high) in zip(names, hours, ends, strict=True):
        axes.annotate(
            write_number(value), (max(value, high), name), (4, 0), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
    # On the right there is room for the hours.
    # Where nothing costs anything, 1e-9 keeps the axis from having no width.
    axes.set_xlim(0, 1.25 * max([1e-9, *hours, *ends.ravel()]))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    # Bars are stacked from the bottom, and the price list has its first kind on top.
    axes.invert_yaxis()
    axes.set_xlabel("annotator hours; lines: 5 to 95 % over the ranges of the times")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_saving(axes: Axes, price: Price, ratios: Draws) -> None:
    middle = quantiles(ratios)
    # The rarest draws lie far to the right and would press all others into a few bars.
    axes.hist(ratios, bins=60, range=(0, float(np.quantile(ratios, 0.995))), color=_BAR)
    axes.axvspan(middle.low, middle.high, color="black", alpha=0.08)
    axes.axvline(middle.median, color="black", label=f"median {middle.median:.3g}")
    if price.full_is_times is not None:
        label = f"at the times as they are {price.full_is_times:.4g}"
        axes.axvline(price.full_is_times, color=_LINE, linestyle="--", label=label)
    axes.set_title(
        f"{price.name}: 5 to 95 % are {middle.low:.3g} to {middle.high:.3g}", fontsize=10
    )
    axes.set_xlabel("full labels cost so many times as much")
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.14), ncols=2)
