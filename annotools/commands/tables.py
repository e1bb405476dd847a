"""Commands print through one console, with one look of tables and one way to write numbers.

Rich is loaded when something is printed, so that `--help` answers at once.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from annotools.screen import Screen

PIPED_WIDTH = 260
"""Columns of a table that goes to a file or another program."""

COMPACT = (0, 1, 0, 0)
"""The padding of tables with long cells."""

NOTHING = "–"
"""Stands for a value that is not defined."""


def console() -> "Screen":
    """Return where output goes: standard output, as wide as the terminal or as `PIPED_WIDTH`.

    Texts and cells of tables are shown as they are: names of a dataset are never read as markup.
    """
    from annotools.screen import Screen

    return Screen(width=None if sys.stdout.isatty() else PIPED_WIDTH)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]] = (),
    *,
    left: int = 1,
    title: str | None = None,
    padding: int | tuple[int, int, int, int] = 1,
    show_header: bool = True,
) -> "Table":
    """Return a table, to be printed by `console`.

    Args:
        columns: the headings.
        rows: the cells of each row; more can be added with `add_row`.
        left: how many of the first columns hold text; the others hold numbers, set right.
        title: a line above.
        padding: blanks on both sides of a cell, or those above, right, below and left of it.
        show_header: whether the headings are shown.
    """
    from rich import box
    from rich.table import Table

    made = Table(
        title=title,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        padding=(0, padding) if isinstance(padding, int) else padding,
        show_header=show_header,
    )
    for number, heading in enumerate(columns):
        if number < left:
            made.add_column(heading)
        else:
            # Numbers are folded, because one that is cut off would read as another number.
            made.add_column(heading, justify="right", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def number(value: float | None, digits: int = 0) -> str:
    """Return a number with so many digits behind the point, `NOTHING` for None."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def count_of(count: int, noun: str) -> str:
    """Return a number of things: `1 image`, `2,000 images`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def join_words(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def percent(rate: float | None, digits: int = 1) -> str:
    """Return a rate in [0, 1] in percent, `NOTHING` where it is None or not a number."""
    return NOTHING if rate is None or rate != rate else f"{100 * rate:.{digits}f}"


def duration(seconds: float) -> str:
    """Return a time as people say it: `35 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"
