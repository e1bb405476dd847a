"""The tables of the page: what was measured, what it costs, and all settings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from annotools.commands.tables import NOTHING, join_words, percent
from annotools.prices.times import AnnotationTimes
from annotools.settings import as_table
from studies.advice.checks import describe_checks
from studies.advice.crossings import HoursNeeded, hours_for_target
from studies.advice.purchases import minutes_per_image
from studies.advice.wording import describe_kind
from studies.descriptions import explain_times, explain_trivial
from studies.on_test import HEADINGS, score_rows
from studies.page.findings import Findings
from studies.page.html import Html, details, items, join, paragraph, section, table, tag
from studies.page.plot_svg import colour_class
from studies.page.verdict import mark_code, mark_mixes
from studies.report import readable_table
from studies.results import TrialResult
from studies.study import Study

_MOST_TARGETS = 12
"""With more, quality is asked of the smallest and the largest budget alone."""

_MOST_CLASSES = 20
"""With more, the table of classes is folded."""


def draw_front(found: Findings) -> Html:
    """Return the purchases that no other beats for the same hours or fewer."""
    if len(found.mixes) < 2 or not found.front:
        return Html()
    rows, before = [], None
    for point in found.front:
        gain = "" if before is None else f"+{100 * (point.score - before):.1f}"
        rows.append([f"{point.hours:g}", name_mix(found, point.mix), percent(point.score), gain])
        before = point.score
    return section(
        "front",
        "The best purchase of every size",
        paragraph(
            "On the Pareto front is what no other purchase studied beats for the same hours or "
            "fewer, by mean score. Its points are filled in the picture."
        ),
        table("Pareto front", ["hours", "mix", "PQ, %", "points gained"], rows, numbers=2),
    )


def draw_equal_quality(found: Findings) -> Html:
    """Return the hours that each mix takes to the scores of the others."""
    curves = found.curves
    if curves is None or len(found.lines) < 2 or found.learnt_nothing:
        return Html()
    drawn = [mix for mix in found.mixes if mix in found.lines]
    cells = found.table[found.table["pq_mean"].notna()]
    if len(cells) > _MOST_TARGETS:
        ends = cells["budget_hours"].isin([found.budgets[0], found.budgets[-1]])
        cells = cells[ends]
    chosen = cells[["mix", "budget_hours", "pq_mean"]].sort_values("pq_mean", kind="stable")
    rows = []
    for mix, hours, score in chosen.itertuples(index=False, name=None):
        reached = join([name_mix(found, mix), f" with {hours:g} h"])
        others = [
            f"{hours:g}"
            if other == mix
            else _needed(hours_for_target(curves, other, score), found, other)
            for other in drawn
        ]
        rows.append([f"{percent(score)} %", reached, *others])
    names = [join([name_mix(found, mix), ", hours"]) for mix in drawn]
    return section(
        "equal",
        "Hours for equal quality",
        paragraph(
            "What one mix was measured to reach, and how many hours the others take to get as far, "
            f"with 90 % intervals. {NOTHING}: this study cannot say, or not within the hours that "
            "it can say something of."
        ),
        table(
            "Hours to reach a score",
            ["PQ", "reached by", *names],
            rows,
            numbers=len(drawn),
        ),
    )


def draw_classes(found: Findings) -> Html:
    """Return the PQ of each class at the largest budget, where the rows have it."""
    rows = [row for row in found.rows if row.budget_hours == found.hours and row.class_pq]
    names = list(dict.fromkeys(name for row in rows for name in row.class_pq))
    mixes = [mix for mix in found.mixes if any(row.mix == mix for row in rows)]
    scores = {
        (name, mix): _mean([row.class_pq.get(name) for row in rows if row.mix == mix])
        for name in names
        for mix in mixes
    }
    spans = {name: _spread([scores[name, mix] for mix in mixes]) for name in names}
    shown = [n for n in names if any(scores[n, mix] is not None for mix in mixes)]
    if not shown:
        return Html()
    shown.sort(key=lambda name: -spans[name])
    cells = []
    for name in shown:
        best = max((scores[name, mix] or 0.0) for mix in mixes)
        own = [
            tag("b", percent(scores[name, mix]))
            if spans[name] and scores[name, mix] == best
            else percent(scores[name, mix])
            for mix in mixes
        ]
        cells.append([name, *own, *([f"{100 * spans[name]:.1f}"] if len(mixes) > 1 else [])])
    heads = ["class", *(name_mix(found, mix) for mix in mixes)]
    heads += ["apart, points"] if len(mixes) > 1 else []
    made = table(
        f"PQ of each class at {found.hours:g} h, in percent", heads, cells, numbers=len(heads) - 1
    )
    folded = details(f"All {len(shown)} classes", made) if len(shown) > _MOST_CLASSES else made
    return section(
        "classes",
        "Class by class",
        paragraph(
            f"Mean over the seeds at {found.hours:g} h; classes in which the mixes are farthest "
            "apart come first. A class is rarer than all classes together, so that its score "
            "scatters more."
        ),
        folded,
    )


def draw_prices(study: Study, times: AnnotationTimes, found: Findings) -> Html:
    """Return the seconds of each action, their range and their source."""
    rows = [
        [
            name.replace("_", " "),
            f"{action.seconds:g}",
            f"{action.low:g}–{action.high:g}" if action.low < action.high else NOTHING,
            action.unit,
            action.source,
        ]
        for name, action in times.actions.items()
    ]
    minutes = minutes_per_image(found.rows)
    paid = [f"an image with {describe_kind(k)} took {_minutes(m)}" for k, m in minutes.items()]
    return section(
        "prices",
        "What a label costs",
        paragraph(mark_code(explain_times(study, times))),
        paragraph(f"In this study {join_words(paid)}, on average.") if paid else Html(),
        table(
            "Annotation times",
            ["action", "seconds", "plausible range", "for one", "source"],
            rows,
            class_="prices",
        ),
    )


def draw_hold_out(found: Findings) -> Html:
    """Return how well the largest budget was predicted from the smaller ones."""
    if found.scores is None or found.curves is None:
        return Html()
    told = describe_checks(found.scores, found.curves)
    if not told:
        return Html()
    return section(
        "check",
        "Would the curves have been right?",
        paragraph(
            "The largest budget is left out and predicted from the smaller ones, and seeds are "
            "drawn again; intervals are of 90 %. This is one case, not a proof."
        ),
        items(mark_mixes(text, found) for text in told),
    )


def draw_test(results: Sequence[TrialResult]) -> Html:
    """Return the scores on the test split, where the study has one."""
    rows = score_rows(results)
    if not rows:
        return Html()
    return section(
        "test",
        "On the test split, which no choice has seen",
        paragraph(
            "Whoever chose by the scores on val finds the chosen mix a little too good there, and "
            "not here."
        ),
        table("Means over seeds, in percent", HEADINGS, rows, numbers=len(HEADINGS) - 3),
    )


def draw_numbers(found: Findings) -> Html:
    """Return the table of all mixes and budgets."""
    readable = readable_table(found.rows)
    heads = [heading.replace("\n", " ") for heading in readable.columns]
    cells = [list(map(str, row)) for row in readable.itertuples(index=False, name=None)]
    seeds = len({row.seed for row in found.rows})
    made = table("Scores in percent, means over the seeds", heads, cells, numbers=len(heads) - 1)
    return section(
        "numbers",
        "All numbers",
        paragraph(
            "Panoptic quality (PQ) is 100 % where every object and every surface is found with its "
            "exact outline. AP_vol is average precision over thresholds of overlap, mIoU the mean "
            "overlap of classes. "
            + (f"PQ has its lowest and highest of {seeds} seeds in brackets." if seeds > 1 else "")
        ),
        made,
        paragraph(explain_trivial(found.rows), class_="small"),
    )


def draw_settings(study: Study) -> Html:
    """Return every setting of the study."""
    rows = [[name, _show(value)] for name, value in _flatten(as_table(study))]
    made = table("Settings", ["setting", "value"], rows, class_="settings")
    return section("settings", "All settings", details(f"{len(rows)} settings", made))


def name_mix(found: Findings, mix: str) -> Html:
    """Return a mix's name in its colour."""
    return tag("span", mix, class_=f"{colour_class(found.mixes.index(mix))} ink")


def _needed(needed: HoursNeeded | None, found: Findings, mix: str) -> str:
    if needed is None:
        return NOTHING
    # With the smallest budget the score was reached, and perhaps with less.
    if needed.high <= found.lines[mix].hours[0]:
        return f"{needed.high:.2g} or fewer"
    return f"{needed.hours:.2g} ({needed.low:.2g}–{needed.high:.2g})"


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _spread(values: Sequence[float | None]) -> float:
    defined = [value for value in values if value is not None]
    return max(defined) - min(defined) if defined else 0.0


def _minutes(minutes: float) -> str:
    return f"{60 * minutes:.0f} s" if minutes < 2 else f"{minutes:.1f} min"


def _flatten(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """Return the values of nested tables by their path."""
    if not isinstance(value, Mapping) or not value:
        return [(name, value)]
    return [
        pair
        for key, own in value.items()
        for pair in _flatten(own, f"{name}.{key}" if name else str(key))
    ]


def _show(value: Any) -> str:
    if value is None or value == {} or value == []:
        return NOTHING
    if isinstance(value, list | tuple):
        return ", ".join(map(_show, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
