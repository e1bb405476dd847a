"""Tables, lines and bars are drawn on a screen that shows texts as they are, and harmless."""

from typing import IO, Any

from rich.console import Console
from rich.text import Text

from annotools.terminal import encodable, printable


class Screen(Console):
    """A console on which texts, cells and titles are never read as markup."""

    def __init__(self, file: IO[str] | None = None, width: int | None = None) -> None:
        super().__init__(file=file, width=width, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as it is shown: all texts pass here before their width is taken."""
        return super().render_str(encodable(printable(text), self.encoding), **options)
