"""The axes of the plot: what they span, where things are on them, and where there is room."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log, log10

import numpy as np

from studies.page.findings import Findings, Step

LETTER = 8.2
"""Pixels of a letter's width, nearly."""

_MOST_BEYOND = 0.3
"""How far the axis goes on for bands beyond the study, in spans of all else."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The place of the axes in a picture, in pixels, and what they span: hours, and scores."""

    name: str
    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    hours: tuple[float, float]
    scores: tuple[float, float]

    def x(self, hours: float) -> float:
        """Return the place of some hours on the logarithmic axis."""
        low, high = self.hours
        share = log(hours / low) / log(high / low)
        return self.left + share * (self.width - self.left - self.right)

    def y(self, score: float) -> float:
        """Return the place of a score."""
        low, high = self.scores
        share = (score - low) / (high - low)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)


def make_frames(found: Findings) -> tuple[Frame, Frame]:
    """Return the frames of a wide picture and of one for phones."""
    first, last = found.budgets[0], max(found.reach, found.budgets[-1])
    # A single budget stands in the middle.
    hours = (first / 1.12, last * 1.03) if first < last else (first / 2, last * 2)
    scores = _span_scores(found)
    longest = max(len(mix) for mix in found.mixes)

    def frame(name: str, width: int, height: int, most: int) -> Frame:
        right = min(round(longest * LETTER) + 22, most)
        return Frame(
            name=name, width=width, height=height, left=34, right=right, top=34, bottom=46,
            hours=hours, scores=scores,
        )  # fmt: skip

    return frame("wide", 920, 470, 230), frame("narrow", 358, 380, 108)


def place_bars(found: Findings, frame: Frame, step: Step) -> list[list[float] | None]:
    """Return where the interval of each mix is drawn at a step: low, mean and high.

    None where nothing is predicted; there are none where lines and bands say the same.
    """
    bars: list[list[float] | None] = []
    for mix in found.mixes if found.is_priced else ():
        own = step.advice.mixes[mix]
        if own.low is None or own.score is None or own.high is None:
            bars.append(None)
            continue
        # What is outside of the axes ends there.
        low, high = frame.scores
        scores = [min(max(score, low), high) for score in (own.low, own.score, own.high)]
        bars.append([round(frame.y(score), 1) for score in scores])
    return bars


def shorten(name: str, pixels: float) -> str:
    """Return a name that fits into some pixels."""
    most = max(4, int(pixels / LETTER))
    return name if len(name) <= most else f"{name[: most - 1]}…"


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return places between low and high that are `gap` apart, in the same order.

    They are moved down where they are too near, and up again from the end.
    """
    order = [int(i) for i in np.argsort(places, kind="stable")]
    moved: list[float] = []
    for i in order:
        own = min(max(places[i], low), high)
        moved.append(max(own, moved[-1] + gap) if moved else own)
    end = high
    for place in range(len(moved) - 1, -1, -1):
        moved[place] = min(moved[place], end)
        end = moved[place] - gap
    return [y for _, y in sorted(zip(order, moved, strict=True))]


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from low to high, at most so many steps."""
    step = 10.0 ** floor(log10((high - low) / most))
    while (high - low) / step > most:
        # 1, 2, 5, 10, 20, ...
        step *= 2.5 if f"{step:e}"[0] == "2" else 2
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [step * number for number in range(first, last + 1)]


def hour_ticks(found: Findings, frame: Frame) -> list[float]:
    """Return the budgets and where the slider ends, as far as there is room for them."""
    budgets = found.budgets
    wanted = [budgets[-1], budgets[0], found.reach, *reversed(budgets), 2 * budgets[-1]]
    taken: list[float] = []
    for hours in wanted:
        fits = all(abs(frame.x(hours) - frame.x(other)) > 34 for other in taken)
        if fits and frame.hours[0] <= hours <= frame.hours[1]:
            taken.append(hours)
    return taken


def trivial_levels(found: Findings) -> list[float]:
    """Return the PQ of one class everywhere at the largest budget, of each mix that has it."""
    at_hours = found.table[found.table["budget_hours"] == found.hours]
    return [float(level) for level in at_hours["trivial_pq_mean"].dropna()]


def _span_scores(found: Findings) -> tuple[float, float]:
    seen = [row.pq for row in found.rows if row.pq is not None]
    beyond: list[float] = []
    for line in found.lines.values():
        measured = line.hours <= line.last
        seen += [*line.low[measured], *line.high[measured], *line.mean]
        beyond += [*line.low[~measured], *line.high[~measured]]
    for step in found.steps if found.is_priced else ():
        for mix in step.advice.mixes.values():
            beyond += [score for score in (mix.low, mix.high) if score is not None]
    # Wide bands beyond the study must not press together what was measured.
    span = max(seen, default=0) - min(seen, default=0)
    limits = min(seen, default=0) - _MOST_BEYOND * span, max(seen, default=0) + _MOST_BEYOND * span
    seen += [min(max(score, limits[0]), limits[1]) for score in beyond]
    if found.learnt_nothing:
        seen += [0.0, *trivial_levels(found)]
    low, high = (min(seen), max(seen)) if seen else (0.0, 1.0)
    margin = max(0.01, 0.06 * (high - low))
    return max(0.0, low - margin), min(1.0, high + margin)
