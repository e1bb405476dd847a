"""Make HTML from plain functions: whatever is not HTML yet is escaped."""

import re
from collections.abc import Iterable, Sequence
from html import escape


class Html(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


Value = str | float | bool | None
"""Of an attribute: None and False leave it out, True writes its name alone."""

_EMPTY = ("br", "circle", "img", "input", "line", "link", "meta", "path", "polygon", "rect")


def tag(name: str, *content: str, **attributes: Value) -> Html:
    """Return an element.

    Args:
        name: of the element.
        content: what is not `Html` is escaped.
        attributes: `class_` is written `class`, `data_x` is written `data-x`.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _EMPTY and not content:
        return Html(f"<{name}{written}>" if name in _VOID else f"<{name}{written}/>")
    return Html(f"<{name}{written}>{join(content)}</{name}>")


def join(parts: Iterable[str], separator: str = "") -> Html:
    """Return parts one after the other; what is not `Html` is escaped.

    A number and its unit stay in one line.
    """
    return Html(separator.join(p if isinstance(p, Html) else _write(p) for p in parts))


def table(
    caption: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: int = 0,
    class_: str | None = None,
) -> Html:
    """Return a table that can scroll by itself where a screen is narrow.

    The first cell of each row is its heading.

    Args:
        caption: above the table.
        headings: of the columns.
        rows: the cells of each.
        numbers: how many of the last columns are set right.
        class_: of the table.
    """
    first_number = len(headings) - numbers

    def cells(row: Sequence[str]) -> Html:
        return join(
            tag(
                "th" if place == 0 else "td",
                cell,
                scope="row" if place == 0 else None,
                class_="number" if place >= first_number else None,
            )
            for place, cell in enumerate(row)
        )

    heads = join(
        tag("th", heading, scope="col", class_="number" if place >= first_number else None)
        for place, heading in enumerate(headings)
    )
    made = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", heads)),
        tag("tbody", join(tag("tr", cells(row)) for row in rows)),
        class_=class_,
    )
    # It can be reached by keyboard, because what scrolls must scroll without a pointer too.
    return tag("div", made, class_="scroll", role="region", aria_label=caption, tabindex="0")


def section(id_: str, heading: str, *content: str) -> Html:
    """Return a part of the page under a heading, which names it to screen readers."""
    head = tag("h2", heading, id=f"{id_}-heading")
    return tag("section", head, *content, id=id_, aria_labelledby=f"{id_}-heading")


def paragraph(*content: str, class_: str | None = None) -> Html:
    """Return a paragraph; an empty one is left out."""
    return tag("p", *content, class_=class_) if any(content) else Html()


def items(texts: Iterable[str], class_: str | None = None) -> Html:
    """Return a list of points; an empty one is left out."""
    found = [tag("li", text) for text in texts]
    return tag("ul", *found, class_=class_) if found else Html()


def details(summary: str, *content: str) -> Html:
    """Return a part that is folded until somebody opens it; it is open in print."""
    return tag("details", tag("summary", summary), *content)


_VOID = ("br", "img", "input", "link", "meta")
"""Elements of HTML without an end; those of SVG are closed in themselves."""


_UNIT = re.compile(r"(?<=\d) (?=%|(?:h|hours?|min|s)\b)")
_FIXED_SPACE = "\u00a0"


def _write(text: str) -> str:
    return escape(_UNIT.sub(_FIXED_SPACE, text))


def _attribute(key: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    # A tenth of a pixel is more than is seen.
    text = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
    return f' {name}="{escape(text)}"'
