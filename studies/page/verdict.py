"""The first part of the page: what to buy, and the slider that says it for other hours."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from annotools.commands.tables import NOTHING, join_words, percent
from studies.advice.curves import LEAST_BUDGETS, LEAST_SEEDS
from studies.advice.reasons import describe_unrepeated
from studies.advice.verdict import CANNOT_TELL
from studies.advice.wording import (
    describe_combination,
    describe_crossing,
    describe_flip,
    describe_kind,
    describe_run,
    grounds,
    headline,
    is_likely_better,
)
from studies.answers import answer, boxes_alone, caveats
from studies.descriptions import mix_shares, progress, question, unspent
from studies.failures import TrialFailure
from studies.page.findings import Findings, Step
from studies.page.frame import Frame, place_bars
from studies.page.html import Html, items, join, paragraph, tag
from studies.page.plot_svg import colour_class
from studies.study import Study


def draw_opening(study: Study, found: Findings, failures: Sequence[TrialFailure] = ()) -> Html:
    """Return the headline, what it rests on, and what was asked."""
    first, then = _headline(found)
    return tag(
        "header",
        paragraph("Budget study: ", tag("b", study.name), class_="kicker"),
        tag("h1", mark_mixes(first, found)),
        *(paragraph(mark_mixes(sentence, found), class_="deck") for sentence in then if sentence),
        paragraph(mark_code(question(study))),
        items(mix_shares(study), class_="shares"),
        _draw_doubts(study, found, failures),
    )


def draw_panel(found: Findings, frames: Sequence[Frame]) -> Html:
    """Return slider, verdict and a card for each mix; of measured points alone, a sentence."""
    if not found.steps:
        why = (
            "the models have learnt nothing"
            if found.learnt_nothing
            else describe_unrepeated(found.unlearnt)
        )
        return paragraph(
            f"Nothing is predicted here: {why}. The picture and the tables show what was measured.",
            class_="notice",
        )
    step = found.steps[found.start]
    last = len(found.steps) - 1
    ends = [f"{found.steps[place].advice.hours:.3g} h" for place in (0, last)]
    slider = tag(
        "div",
        tag(
            "label",
            "Annotation hours you have: ",
            tag("output", _hours(step), id="hours-shown", for_="hours", aria_live="off"),
            for_="hours",
        ),
        tag(
            "input", type="range", id="hours", min="0", max=str(last), step="1",
            value=str(found.start), aria_valuetext=_hours(step),
        ),
        tag("div", *(tag("span", end) for end in ends), class_="ends", aria_hidden="true"),
        id="slider",
        hidden=True,
        style=_align(found, frames),
    )  # fmt: skip
    described = _describe_step(found, step, frames)
    cards = [_draw_card(found, place, described) for place in range(len(found.mixes))]
    return join(
        [
            slider,
            tag("p", described["verdict"], id="verdict", aria_live="polite"),
            tag("p", described["note"], id="note", class_="small"),
            tag("ul", *cards, class_="cards", role="list"),
            _tell_limits(found),
        ]
    )


def make_data(found: Findings, frames: Sequence[Frame]) -> Html:
    """Return what the script looks up: texts and places for each step of the slider."""
    steps = [_describe_step(found, step, frames) for step in found.steps]
    names = [shorten_for_tip(mix) for mix in found.mixes]
    content = {"steps": steps, "start": found.start, "mixes": names}
    # No text can end the element.
    written = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return tag("script", Html(written), type="application/json", id="steps")


def shorten_for_tip(mix: str) -> str:
    """Return a name for the small table that follows the pointer."""
    return mix if len(mix) <= 24 else f"{mix[:23]}…"


def mark_mixes(text: str, found: Findings) -> Html:
    """Return a text as HTML, in which a mix in quotation marks has its colour.

    What is between backticks is code.
    """
    places = {mix: place for place, mix in enumerate(found.mixes)}
    # Long names first, because a name may be the beginning of another.
    names = "|".join(re.escape(mix) for mix in sorted(places, key=len, reverse=True))
    parts = re.split(f'"({names})"', text)
    return join(
        tag("span", f"“{part}”", class_=f"{colour_class(places[part])} ink")
        if place % 2
        else mark_code(part)
        for place, part in enumerate(parts)
    )


def mark_code(text: str) -> Html:
    """Return a text as HTML, in which what is between backticks is code."""
    parts = text.split("`")
    # An option is never broken at its hyphens.
    return join(
        tag("code", part, class_="option" if part.startswith("--") else None) if place % 2 else part
        for place, part in enumerate(parts)
    )


def describe_images(images: Mapping[str, float]) -> str:
    """Return about how many images are bought: about 120 images with boxes and 8 with masks."""
    bought = {kind: count for kind, count in images.items() if count > 0}
    if not bought:
        return "no image"
    parts = []
    for place, (kind, count) in enumerate(bought.items()):
        noun = "" if place else " image" if _round(count) == "1" else " images"
        parts.append(f"{_round(count)}{noun} with {describe_kind(kind)}")
    return f"about {join_words(parts)}"


def _headline(found: Findings) -> tuple[str, list[str]]:
    """Return the sentence that comes first, and those after it."""
    if found.learnt_nothing:
        first = "These models have learnt nothing, so that no label kind can be recommended."
        return first, [answer(found.rows)]
    if found.advice is None:
        return answer(found.rows), []
    if found.curves is None:
        return headline(found.advice), [answer(found.rows), *_why_unsure(found)]
    flips = "; ".join(describe_crossing(flip) for flip in found.flips)
    if flips:
        flips = f"{'At the times of this study ' if found.is_priced else ''}{flips}."
    then = [boxes_alone(found.rows), grounds(found.advice), *_why_unsure(found), flips]
    return headline(found.advice), then


def _why_unsure(found: Findings) -> list[str]:
    """Return the first reason at the hours why the study cannot tell, where it cannot."""
    if found.advice is None or found.advice.verdict != CANNOT_TELL:
        return []
    reasons = [reason for reason in found.advice.reasons if reason not in found.doubts]
    return [_as_sentence(reason) for reason in reasons[:1]]


def _draw_doubts(study: Study, found: Findings, failures: Sequence[TrialFailure]) -> Html:
    """Return what weakens the verdict, and the run that would help."""
    advice = found.advice
    texts = [progress(study, found.rows, failures), unspent(found.rows)]
    texts += caveats(found.rows) if advice is None or found.learnt_nothing else advice.reasons
    if advice is not None:
        texts += map(describe_flip, advice.flips)
        texts += [describe_combination(advice)] if is_likely_better(advice) else []
    if advice is not None and advice.next_run is not None:
        texts.append(f"Run next: {describe_run(advice.next_run)}")
    # What the opening has said is not said again.
    told = _why_unsure(found)
    sentences = [s for text in texts if text and (s := _as_sentence(text)) not in told]
    if not sentences:
        return Html()
    title = tag("h2", "Before you rely on this", id="doubts-heading")
    points = items(mark_mixes(sentence, found) for sentence in sentences)
    return tag("section", title, points, class_="doubts", aria_labelledby="doubts-heading")


def _align(found: Findings, frames: Sequence[Frame]) -> str:
    """Return the margins, in percent, with which the slider goes as far as the lines do."""
    ends = found.steps[0].advice.hours, found.reach
    places = [(100 * f.x(ends[0]) / f.width, 100 - 100 * f.x(ends[1]) / f.width) for f in frames]
    return ";".join(
        f"--{frame.name}-left:{left:.2f}%;--{frame.name}-right:{right:.2f}%"
        for frame, (left, right) in zip(frames, places, strict=True)
    )


def _tell_limits(found: Findings) -> Html:
    """Say what was too little to predict from."""
    # Of what has learnt nothing, the reasons say why it has no line.
    points = [mix for mix in found.mixes if mix not in (*found.lines, *found.unlearnt)]
    if not points:
        return Html()
    named = join_words([f'"{mix}"' for mix in points])
    return paragraph(
        mark_mixes(
            f"Of {named} only the measured points are shown: a curve takes {LEAST_BUDGETS} budgets "
            f"and {LEAST_SEEDS} seeds.",
            found,
        ),
        class_="notice",
    )


def _describe_step(found: Findings, step: Step, frames: Sequence[Frame]) -> dict[str, Any]:
    advice = step.advice
    reasons = [_as_sentence(reason) for reason in advice.reasons if reason not in found.doubts]
    return {
        "hours": _hours(step),
        "verdict": mark_mixes(headline(advice), found),
        "note": mark_mixes(" ".join(reasons), found),
        "x": [round(frame.x(advice.hours), 1) for frame in frames],
        "bars": [place_bars(found, frame, step) for frame in frames],
        "mixes": [_describe_mix(step, mix, frames[0]) for mix in found.mixes],
    }


def _describe_mix(step: Step, mix: str, frame: Frame) -> dict[str, Any]:
    """Return what a card says of a mix; places are shares of the width in percent."""
    predicted = step.advice.mixes[mix]
    low, high = frame.scores
    texts: dict[str, Any] = {
        "buys": f"buys {describe_images(step.images[mix])}",
        "score": NOTHING,
        "range": "not predicted",
        "best": "",
        "bar": None,
    }
    if predicted.score is None or predicted.low is None or predicted.high is None:
        return texts
    places = (predicted.low, predicted.score, predicted.high)
    shares = [100 * min(max((place - low) / (high - low), 0), 1) for place in places]
    return texts | {
        "score": f"{percent(predicted.score)} %",
        "range": f"{percent(predicted.low)}–{percent(predicted.high)}",
        "best": f"{_probability(predicted.p_best)} likely to be the best"
        if predicted.p_best is not None
        else "",
        "bar": [round(share, 1) for share in shares],
    }


def _draw_card(found: Findings, place: int, described: Mapping[str, Any]) -> Html:
    texts = described["mixes"][place]
    bar = texts["bar"]
    left, middle, right = bar or (0, 0, 0)
    shape = tag(
        "div",
        tag("i", class_="span", style=f"left:{left}%;width:{right - left:.1f}%"),
        tag("i", class_="point", style=f"left:{middle}%"),
        class_="bar",
        aria_hidden="true",
        hidden=bar is None,
    )
    return tag(
        "li",
        tag("h3", found.mixes[place], class_="ink"),
        tag(
            "p",
            "PQ ",
            tag("b", texts["score"], data_text="score"),
            " ",
            tag("span", texts["range"], data_text="range"),
            class_="score",
        ),
        shape,
        tag("p", texts["best"], data_text="best"),
        tag("p", texts["buys"], data_text="buys"),
        class_=colour_class(place),
        data_mix=str(place),
    )


def _hours(step: Step) -> str:
    return f"{step.advice.hours:.3g} hour" + ("" if step.advice.hours == 1 else "s")


def _probability(rate: float | None) -> str:
    # Four thousand draws do not make anything certain.
    if rate is not None and not 0.01 <= rate <= 0.99:
        return "less than 1 %" if rate < 0.5 else "more than 99 %"
    return f"{percent(rate, 0)} %"


def _as_sentence(text: str) -> str:
    """Return a clause as a sentence."""
    return f"{text[0].upper()}{text[1:].removesuffix('.')}."


def _round(count: float) -> str:
    """Return a count with two digits, which is as exact as such a forecast is."""
    if count < 0.5:
        return "less than 1"
    return f"{count:.0f}" if count < 100 else f"{float(f'{count:.2g}'):,.0f}"
