"""The quality of pseudo-labels is printed as tables, and in a line for each round."""

from pathlib import Path
from typing import TYPE_CHECKING

from annotools.commands.tables import console, count_of, percent, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from wsps.pseudo_labels.quality import KindQuality, QualityRow, TagPrecision
    from wsps.pseudo_labels.rounds import LabelledSplit


def print_labels(result: "LabelledSplit", out: Path) -> None:
    """Print what a run came to, and where its manifest is."""
    screen = console()
    for found in result.rounds[-1] if result.rounds else ():
        screen.print(_quality_table(found, result.tags))
    for line in (*_round_lines(result.rounds or ()), *_notes(result), str(out / "manifest.json")):
        screen.print(line, soft_wrap=True)


def _quality_table(found: "KindQuality", tags: "Mapping[str, TagPrecision]") -> "Table":
    from annotools.records import TAGGED_KINDS

    shown = tags if found.kind in TAGGED_KINDS else {}
    origin = "by the network alone" if found.kind == "none" else f"from {found.kind}"
    headings = ("class", "kind", "precision", "recall", "coverage", "pixels")
    made = table(
        (*headings, *(f"AP of tags, {split}" for split in shown)),
        left=2,
        title=f"{found.images:,} images labelled {origin}, in percent",
    )
    # Three rows of groups follow the classes; the first is over all and shows the tags' mean.
    num_classes = len(found.rows) - 3
    for number, row in enumerate(found.rows):
        rates = [percent(rate) for rate in (row.precision, row.recall, row.coverage)]
        ap = [
            percent(tag.ap[number] if number < num_classes else tag.mean)
            if number <= num_classes
            else ""
            for tag in shown.values()
        ]
        cells = (row.name, row.kind, *rates, f"{row.pixels:,}", *ap)
        made.add_row(*cells, end_section=number == num_classes - 1)
    return made


def _round_lines(rounds: "Sequence[Sequence[KindQuality]]") -> list[str]:
    """Return a line for each round and kind: what became of the labels, over all pixels."""
    lines = []
    for number, kinds in enumerate(rounds[1:], start=1):
        before = {found.kind: _overall(found) for found in rounds[number - 1]}
        for found in kinds:
            parts = []
            for name in ("precision", "recall", "coverage"):
                rate = percent(getattr(_overall(found), name))
                # Images without a label get their first one in round 1: nothing comes before it.
                if found.kind in before:
                    rate = f"{percent(getattr(before[found.kind], name))} -> {rate}"
                parts.append(f"{name} {rate} %")
            lines.append(f"round {number}, {found.kind}: {', '.join(parts)}")
    return lines


def _overall(found: "KindQuality") -> "QualityRow":
    return next(row for row in found.rows if row.kind == "all")


def _notes(result: "LabelledSplit") -> list[str]:
    counts = dict(result.images)
    total = counts.pop("in")
    parts = [f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count]
    notes = [f"{count_of(total, 'image')}: {', '.join(parts)}."]
    if result.num_resumed:
        # An image has a label in each round, so that the number may be above that of images.
        what = " labels of all rounds" if result.rounds and len(result.rounds) > 1 else ""
        notes.append(f"{result.num_resumed:,}{what} were done by an earlier run.")
    for split, tags in result.tags.items():
        notes.append(
            f"AP of tags: how well the classifier ranks the {tags.num_crops:,} crops of {split}, "
            f"{percent(tags.mean)} % on average over classes."
        )
    return notes
