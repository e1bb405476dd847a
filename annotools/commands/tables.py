"""How commands print: one console, one look of tables, one way to write a rate.

Rich is loaded when something is printed, so that `--help` answers at once.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPED_WIDTH = 260
"""Columns of a table that goes to a file or another program."""

NOTHING = "–"
"""Stands for a value that is not defined."""


def console() -> "Console":
    """Return where tables go: standard output, as wide as the terminal or as `PIPED_WIDTH`."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)


def table(
    columns: Sequence[str], *, left: int = 1, title: str | None = None, padding: int = 1
) -> "Table":
    """Return an empty table; texts are shown as they are, never read as markup.

    Args:
        columns: the headings.
        left: how many of the first columns hold text; the others hold numbers, set right.
        title: a line above.
        padding: blanks on each side of a cell.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    made = Table(
        title=None if title is None else escape(title),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        padding=(0, padding),
    )
    for number, heading in enumerate(columns):
        if number < left:
            made.add_column(escape(heading))
        else:
            made.add_column(escape(heading), justify="right", overflow="fold")
    return made


def percent(rate: float | None) -> str:
    """Return a rate in [0, 1] in percent, `NOTHING` where it is None or not a number."""
    return NOTHING if rate is None or rate != rate else f"{100 * rate:.1f}"
