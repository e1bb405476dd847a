"""Example photos with the truth and what each mix's model made of them, side by side."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from annotools.commands.tables import join_words
from studies.examples import EXAMPLES_FOLDER, Example, read_examples
from studies.page.findings import Findings
from studies.page.html import Html, join, paragraph, section, tag
from studies.page.plot_svg import colour_class
from studies.results import TRIALS_FOLDER, trial_name

MOST_BYTES = 800_000
"""Of all pictures together, as they are written; further photos are left out."""

_MOST_NAMES = 8
"""In the text of a picture; a screen reader would read them all."""


def read_pictures(folder: Path, found: Findings) -> dict[str, tuple[Example, ...]]:
    """Return the examples of each mix's first seed at the largest budget that all mixes have.

    Args:
        folder: of the study.
        found: its findings.

    Returns:
        By mix; empty where the trials of no budget have them.
    """
    for hours in reversed(found.budgets):
        examples: dict[str, tuple[Example, ...]] = {}
        for mix in found.mixes:
            own = [row for row in found.rows if (row.mix, row.budget_hours) == (mix, hours)]
            seeds = sorted(row.seed for row in own)
            kept = read_examples(_folder(folder, mix, hours, seeds[0])) if seeds else ()
            if kept:
                examples[mix] = kept
        if len(examples) == len(found.mixes):
            return examples
    return {}


def draw_pictures(examples: Mapping[str, tuple[Example, ...]], found: Findings) -> Html:
    """Return a row for each photo that all mixes have: photo, truth and predictions.

    Nothing is returned without examples.
    """
    rows: list[Html] = []
    shown: list[Example] = []
    size = 0
    for place, first in enumerate(next(iter(examples.values()), ())):
        own = {
            mix: kept[place]
            for mix, kept in examples.items()
            if place < len(kept) and kept[place].file_name == first.file_name
        }
        row = _draw_row(first, own, found)
        if len(own) < len(examples) or size + len(row) > MOST_BYTES:
            break
        rows.append(row)
        shown += own.values()
        size += len(row)
    if not rows:
        return Html()
    return section(
        "examples",
        "Truth and prediction, side by side",
        paragraph(
            "The first scored images with things. Each colour is a class; white lines are borders "
            "of segments, and dark parts have no label. The models had the largest budget of "
            "which pictures were kept, and its first seed."
        ),
        _draw_key(shown),
        *rows,
    )


def _folder(folder: Path, mix: str, hours: float, seed: int) -> Path:
    return folder / TRIALS_FOLDER / trial_name(mix, hours, seed) / EXAMPLES_FOLDER


def _draw_row(first: Example, own: Mapping[str, Example], found: Findings) -> Html:
    photo = _draw_picture(first.photo, "photo", f"Photo {first.file_name}")
    truth = _draw_picture(first.truth, "truth", f"Truth: {_list(first.true_names)}")
    predicted = [
        _draw_picture(
            example.prediction,
            mix,
            f"Prediction of {mix}: {_list(example.predicted_names)}",
            f"{colour_class(found.mixes.index(mix))} ink",
        )
        for mix, example in own.items()
    ]
    return tag("div", photo, truth, *predicted, class_="pictures")


def _draw_picture(content: bytes, caption: str, alt: str, class_: str | None = None) -> Html:
    source = f"data:image/jpeg;base64,{b64encode(content).decode()}"
    image = tag("img", src=source, alt=alt)
    return tag("figure", image, tag("figcaption", caption, class_=class_))


def _draw_key(examples: list[Example]) -> Html:
    """Return the colour of each class in the pictures."""
    colours = {name: colour for one in examples for name, colour in one.colours.items()}
    return tag(
        "ul",
        join(
            tag("li", tag("i", style=f"background:{colour}"), name)
            for name, colour in colours.items()
        ),
        class_="key",
        role="list",
    )


def _list(names: tuple[str, ...]) -> str:
    if not names:
        return "nothing"
    more = len(names) - _MOST_NAMES
    return join_words([*names[:_MOST_NAMES], *([f"{more} more"] if more > 0 else [])])
