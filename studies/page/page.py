"""The page of a study, for whoever pays: one HTML file that can be sent and needs no network."""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from annotools.files import write_whole
from annotools.prices.times import AnnotationTimes, read_times
from studies.descriptions import describe_training, describe_versions
from studies.failures import TrialFailure
from studies.folder import PAGE_FILE, REPORT_FILE, TABLE_FILE
from studies.page.findings import Findings, find
from studies.page.frame import Frame, make_frames
from studies.page.html import Html, join, paragraph, section, tag
from studies.page.pictures import draw_pictures, read_pictures
from studies.page.plot_svg import draw_plot
from studies.page.tables import (
    draw_classes,
    draw_equal_quality,
    draw_front,
    draw_hold_out,
    draw_numbers,
    draw_prices,
    draw_settings,
    draw_test,
)
from studies.page.verdict import draw_opening, draw_panel, make_data, mark_code
from studies.results import TrialResult, to_frame
from studies.study import Study

MOST_BYTES = 1_500_000
"""Of the whole page."""

_MOST_TABLE = 200_000
"""Bytes of a table of rows that is put into the page as a link."""


def write_page(
    study: Study,
    results: Sequence[TrialResult],
    folder: Path,
    failures: Sequence[TrialFailure] = (),
) -> None:
    """Write report.html into the folder of a study.

    Args:
        study: what was asked.
        results: its rows, at least one, in the study's order.
        folder: of the study.
        failures: its failed trials.

    Raises:
        TimesError: when the study's annotation times cannot be read.
    """
    page = make_page(study, results, read_times(study.times), folder, failures)
    write_whole(folder / PAGE_FILE, page.encode())


def make_page(
    study: Study,
    results: Sequence[TrialResult],
    times: AnnotationTimes,
    folder: Path,
    failures: Sequence[TrialFailure] = (),
) -> Html:
    """Return the page.

    Args:
        study: what was asked.
        results: its rows, at least one, in the study's order.
        times: that priced the labels.
        folder: of the study, where trials keep their example pictures.
        failures: its failed trials.
    """
    found = find(results, study.times)
    frames = make_frames(found)
    main = tag(
        "main",
        draw_opening(study, found, failures),
        _draw_trade_off(found, frames),
        draw_front(found),
        draw_equal_quality(found),
        draw_classes(found),
        draw_pictures(read_pictures(folder, found), found),
        draw_prices(study, times, found),
        draw_test(results),
        draw_hold_out(found),
        draw_numbers(found),
        draw_settings(study),
        id="main",
    )
    script = _read("page.js") if found.steps else ""
    data = make_data(found, frames) if found.steps else Html()
    body = tag("body", main, _draw_footer(results), data, tag("script", Html(script)))
    return join(
        [
            Html("<!doctype html>\n"),
            tag("html", _draw_head(study, script), body, lang="en"),
            Html("\n"),
        ]
    )


def _draw_head(study: Study, script: str) -> Html:
    # Nothing can be fetched, and no script runs but the page's own.
    own = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{own}'"
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", f"{study.name}: which labels to buy"),
        # An empty icon keeps a browser from asking a server for one.
        tag("link", rel="icon", href="data:,"),
        tag("style", Html(_read("page.css"))),
    )


def _draw_trade_off(found: Findings, frames: Sequence[Frame]) -> Html:
    description = _describe_plot(found)
    plots = [draw_plot(found, frame, description) for frame in frames]
    words = ["Dots: single seeds.", "Marks: means, filled where on the Pareto front."]
    if len(found.lines) < len(found.mixes):
        words.insert(0, "Thin lines join means and predict nothing.")
    if found.lines:
        words.insert(0, "Lines: mean scores, with 90 % intervals as bands.")
        if found.is_priced:
            words.insert(1, "Bars: your hours, counting how long annotators may take.")
    if found.reach > found.budgets[-1]:
        words.append("Dotted: predicted, beyond the largest budget.")
    tip = tag("div", id="tip", hidden=True, aria_hidden="true") if found.steps else Html()
    return section(
        "trade-off",
        "What more hours are worth",
        tag("figure", *plots, tip, tag("figcaption", " ".join(words)), class_="plots"),
        tag("div", draw_panel(found, frames), class_="panel"),
    )


def _describe_plot(found: Findings) -> str:
    """Say in words what the picture shows, for those who do not see it."""
    sentences = []
    for mix in found.mixes:
        own = found.table[(found.table["mix"] == mix) & found.table["pq_mean"].notna()]
        if len(own):
            ends = own.iloc[[0, -1]]
            (first, start), (last, end) = zip(
                ends["budget_hours"], 100 * ends["pq_mean"], strict=True
            )
            sentences.append(
                f"{mix} goes from {start:.1f} % at {first:g} h to {end:.1f} % at {last:g} h."
            )
    sentences.append("All numbers are in tables below.")
    return " ".join(sentences)


def _draw_footer(results: Sequence[TrialResult]) -> Html:
    table = to_frame(list(results)).to_csv(index=False).encode()
    own = [tag("a", TABLE_FILE, href=TABLE_FILE), tag("a", REPORT_FILE, href=REPORT_FILE)]
    links = join(["Beside this page: ", join(own, ", "), ". "])
    if len(table) <= _MOST_TABLE:
        data = f"data:text/csv;charset=utf-8;base64,{b64encode(table).decode()}"
        save = tag("a", "Save all rows as CSV", href=data, download=TABLE_FILE)
        links = join([save, ". ", links])
    return tag(
        "footer",
        paragraph(links),
        paragraph(mark_code(describe_training(results))),
        paragraph(describe_versions(results)),
    )


def _read(name: str) -> str:
    return resources.files("studies.page").joinpath(name).read_text(encoding="utf-8")
