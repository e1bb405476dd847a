"""Draw quality against hours as SVG, for wide screens and for phones."""

import numpy as np

from studies.advice.pareto import FrontPoint
from studies.page.findings import Findings, Line
from studies.page.frame import (
    Frame,
    hour_ticks,
    nice_ticks,
    place_bars,
    shorten,
    spread,
    trivial_levels,
)
from studies.page.html import Html, join, tag

NUM_COLOURS = 7
"""The style sheet has so many; further mixes begin again with another marker."""

_MOST_DOTS = 800
"""With more trials the dots of single seeds are left out: the page would be too large."""

_BAR_GAP = 11.0
"""Pixels between the intervals beside the line that the slider moves."""

_MARKERS = ("circle", "square", "diamond", "triangle")


def draw_plot(found: Findings, frame: Frame, description: str) -> Html:
    """Return the picture, described in words to those who do not see it.

    Bands are 90 % intervals, dots single seeds; what is beyond the largest budget is dashed. A
    mean on the Pareto front is filled.
    """
    clip = f"area-{frame.name}"
    inner = {
        "x": float(frame.left),
        "y": float(frame.top),
        "width": float(frame.width - frame.left - frame.right),
        "height": float(frame.height - frame.top - frame.bottom),
    }
    marks = [_draw_mix(found, frame, place) for place in range(len(found.mixes))]
    return tag(
        "svg",
        tag("title", "Quality against hours of annotation", id=f"title-{frame.name}"),
        tag("desc", description, id=f"desc-{frame.name}"),
        tag("clipPath", tag("rect", **inner), id=clip),
        _draw_beyond(found, frame),
        _draw_axes(found, frame),
        _draw_flips(found, frame),
        _draw_trivial(found, frame),
        tag("g", *(band for band, _ in marks), clip_path=f"url(#{clip})"),
        *(lines for _, lines in marks),
        _draw_guide(found, frame),
        _draw_names(found, frame),
        class_=f"plot {frame.name}",
        viewBox=f"0 0 {frame.width} {frame.height}",
        role="img",
        aria_labelledby=f"title-{frame.name} desc-{frame.name}",
    )


def colour_class(place: int) -> str:
    """Return the class that gives the mix at a place its colour."""
    return f"c{place % NUM_COLOURS}"


def draw_marker(place: int, x: float, y: float, size: float, class_: str, title: str) -> Html:
    """Return the mark of the mix at a place, of half a width in pixels, with a tooltip."""
    note = [tag("title", title)]
    shape = _MARKERS[(place + place // NUM_COLOURS) % len(_MARKERS)]
    if shape == "circle":
        return tag("circle", *note, cx=x, cy=y, r=size, class_=class_)
    corners = {
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
        "triangle": ((0, -1.25), (1.15, 0.85), (-1.15, 0.85)),
    }[shape]
    points = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in corners)
    return tag("polygon", *note, points=points, class_=class_)


def _draw_beyond(found: Findings, frame: Frame) -> Html:
    """Shade what is beyond the largest budget."""
    last = found.budgets[-1]
    if found.reach <= last:
        return Html()
    left, right = frame.x(last), float(frame.width - frame.right)
    shade = tag(
        "rect",
        x=left,
        y=float(frame.top),
        width=right - left,
        height=float(frame.height - frame.top - frame.bottom),
        class_="beyond",
    )
    words = "beyond the study" if frame.name == "wide" else "predicted"
    label = tag(
        "text", words, x=(left + right) / 2, y=frame.top + 15.0, class_="note", text_anchor="middle"
    )
    return join([shade, label])


def _draw_axes(found: Findings, frame: Frame) -> Html:
    parts: list[str] = []
    left, right = float(frame.left), float(frame.width - frame.right)
    for score in nice_ticks(100 * frame.scores[0], 100 * frame.scores[1]):
        y = frame.y(score / 100)
        parts.append(tag("line", x1=left, x2=right, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", f"{score:g}", x=left - 7, y=y + 4, text_anchor="end"))
    foot = float(frame.height - frame.bottom)
    parts.append(tag("line", x1=left, x2=right, y1=foot, y2=foot, class_="axis"))
    for hours in hour_ticks(found, frame):
        x, is_studied = frame.x(hours), hours in found.budgets
        parts.append(tag("line", x1=x, x2=x, y1=foot, y2=foot + 5, class_="axis"))
        class_ = None if is_studied else "muted"
        parts.append(
            tag("text", f"{hours:g}", x=x, y=foot + 19, text_anchor="middle", class_=class_)
        )
    title = "Panoptic quality (PQ), %"
    parts.append(tag("text", title, x=0.0, y=14.0, class_="title"))
    parts.append(
        tag("text", "hours of annotation", x=(left + right) / 2, y=foot + 39, text_anchor="middle")
    )
    return tag("g", *parts, class_="axes", aria_hidden="true")


def _draw_flips(found: Findings, frame: Frame) -> Html:
    parts = []
    for flip in found.flips:
        ends = max(flip.low, frame.hours[0]), min(flip.high, frame.hours[1])
        left, right = frame.x(ends[0]), frame.x(ends[1])
        foot = frame.height - frame.bottom
        shape = {"x": left, "y": float(frame.top), "width": right - left}
        title = f'"{flip.before}" is better before, "{flip.after}" after'
        parts.append(
            tag("rect", tag("title", title), **shape, height=float(foot - frame.top), class_="flip")
        )
        words = f"leader changes, {flip.low:.2g}–{flip.high:.2g} h"
        # Inside the axes, whatever the width of the band.
        half = len(words) * 3.1
        middle = min(max((left + right) / 2, frame.left + half), frame.width - frame.right - half)
        parts.append(
            tag("text", words, x=middle, y=foot - 8.0, class_="note", text_anchor="middle")
        )
    return join(parts)


def _draw_trivial(found: Findings, frame: Frame) -> Html:
    levels = trivial_levels(found) if found.learnt_nothing else []
    if not levels:
        return Html()
    y = frame.y(float(np.mean(levels)))
    right = float(frame.width - frame.right)
    line = tag("line", x1=float(frame.left), x2=right, y1=y, y2=y, class_="trivial")
    words = "one class everywhere"
    return join([line, tag("text", words, x=right, y=y + 14, class_="note", text_anchor="end")])


def _draw_mix(found: Findings, frame: Frame, place: int) -> tuple[Html, Html]:
    """Return a mix's band, and its line and marks."""
    mix, colour = found.mixes[place], colour_class(place)
    line = found.lines.get(mix)
    band, lines = Html(), []
    if line is not None:
        parts = _split(line)
        bands = [
            tag("polygon", points=_outline(frame, part), class_=f"{colour} band {name}")
            for name, part in parts.items()
        ]
        band = join(bands)
        lines = [
            tag("path", d=_path(frame, part), class_=f"{colour} line {name}", fill="none")
            for name, part in parts.items()
        ]
    else:
        lines = [_join_means(found, frame, place)]
    return band, tag(
        "g", *lines, *_draw_dots(found, frame, place), *_draw_means(found, frame, place)
    )


def _join_means(found: Findings, frame: Frame, place: int) -> Html:
    """Join the means of a mix that has no curve."""
    of_mix = found.table[found.table["mix"] == found.mixes[place]]
    means = of_mix[["budget_hours", "pq_mean"]].dropna().itertuples(index=False, name=None)
    points = "L".join(_point(frame, hours, score) for hours, score in means)
    return tag("path", d=f"M{points}", class_=f"{colour_class(place)} join") if points else Html()


def _draw_dots(found: Findings, frame: Frame, place: int) -> list[Html]:
    mix, colour = found.mixes[place], colour_class(place)
    rows = [row for row in found.rows if row.mix == mix] if len(found.rows) <= _MOST_DOTS else []
    return [
        tag(
            "circle",
            tag("title", f"{mix}, {row.budget_hours:g} h, seed {row.seed}: {100 * row.pq:.1f} %"),
            cx=frame.x(row.budget_hours),
            cy=frame.y(row.pq),
            r=3.0,
            class_=f"{colour} dot",
        )
        for row in rows
        if row.pq is not None
    ]


def _draw_means(found: Findings, frame: Frame, place: int) -> list[Html]:
    mix, colour = found.mixes[place], colour_class(place)
    of_mix = found.table[(found.table["mix"] == mix) & found.table["pq_mean"].notna()]
    parts = []
    for hours, score in of_mix[["budget_hours", "pq_mean"]].itertuples(index=False, name=None):
        on_front = FrontPoint(mix=mix, hours=hours, score=score) in found.front
        title = f"{mix}, {hours:g} h: mean {100 * score:.1f} %"
        title += ", on the Pareto front" if on_front else ""
        class_ = f"{colour} mean{' front' if on_front else ''}"
        parts.append(draw_marker(place, frame.x(hours), frame.y(score), 5.2, class_, title))
    return parts


def _split(line: Line) -> dict[str, Line]:
    """Return the part that was measured, and the part beyond it where there is one."""
    measured, beyond = line.hours <= line.last, line.hours >= line.last
    parts = {"measured": measured} | ({"extrapolated": beyond} if beyond.sum() > 1 else {})
    return {
        name: Line(
            hours=line.hours[own],
            mean=line.mean[own],
            low=line.low[own],
            high=line.high[own],
            last=line.last,
        )
        for name, own in parts.items()
    }


def _outline(frame: Frame, line: Line) -> str:
    there = [_point(frame, *point) for point in zip(line.hours, line.low, strict=True)]
    back = [_point(frame, *point) for point in zip(line.hours, line.high, strict=True)]
    return " ".join([*there, *reversed(back)])


def _path(frame: Frame, line: Line) -> str:
    points = [_point(frame, *point) for point in zip(line.hours, line.mean, strict=True)]
    return "M" + "L".join(points)


def _point(frame: Frame, hours: float, score: float) -> str:
    return f"{frame.x(hours):.1f},{frame.y(score):.1f}"


def _draw_guide(found: Findings, frame: Frame) -> Html:
    """Draw the line that the slider moves; without one it is not seen."""
    if not found.steps:
        return Html()
    step = found.steps[found.start]
    x = frame.x(step.advice.hours)
    line = tag("line", x1=0.0, x2=0.0, y1=frame.top - 4.0, y2=float(frame.height - frame.bottom))
    bars = [
        _draw_bar(place, len(found.mixes), ends)
        for place, ends in enumerate(place_bars(found, frame, step))
    ]
    return tag(
        "g", line, *bars, class_="guide", transform=f"translate({x:.1f} 0)", aria_hidden="true"
    )


def _draw_bar(place: int, count: int, ends: list[float] | None) -> Html:
    """Return the interval of a mix beside the line that the slider moves."""
    low, mean, high = ends or (0.0, 0.0, 0.0)
    x = _BAR_GAP * (place - (count - 1) / 2)
    span = tag("line", x1=x, x2=x, y1=low, y2=high)
    middle = tag("circle", cx=x, cy=mean, r=4.0)
    class_ = f"{colour_class(place)} reach"
    return tag("g", span, middle, class_=class_, display="none" if ends is None else None)


def _draw_names(found: Findings, frame: Frame) -> Html:
    """Write each mix at the end of its line, or beside its last mean."""
    ends = []
    for place, mix in enumerate(found.mixes):
        line, last = found.lines.get(mix), found.table[found.table["mix"] == mix]
        last = last[last["pq_mean"].notna()]
        if line is not None:
            ends.append((place, float(line.hours[-1]), float(line.mean[-1])))
        elif len(last):
            end = last.iloc[-1]
            ends.append((place, float(end["budget_hours"]), float(end["pq_mean"])))
    low, high = frame.top + 4.0, frame.height - frame.bottom - 2.0
    ys = spread([frame.y(score) for _, _, score in ends], 16.0, low, high)
    names = []
    for (place, hours, _), y in zip(ends, ys, strict=True):
        x, mix = frame.x(hours) + 10, found.mixes[place]
        shown = shorten(mix, frame.width - x)
        note = [tag("title", mix)] if shown != mix else []
        class_ = f"{colour_class(place)} name"
        names.append(tag("text", shown, *note, x=x, y=y + 4.5, class_=class_))
    return tag("g", *names)
