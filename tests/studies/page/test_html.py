from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from studies.page.html import Html, details, items, join, paragraph, section, table, tag


class Reader(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.attributes, self.tags = "", [], []

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_elements_by_hand() -> None:
    assert tag("p", "a < b", Html("<i>c</i>"), class_="x", hidden=True, title=None) == (
        '<p class="x" hidden>a &lt; b<i>c</i></p>'
    )
    assert tag("br") == "<br>"
    assert tag("circle", cx=1.0, r=2.26, stroke_width="2") == (
        '<circle cx="1" r="2.3" stroke-width="2"/>'
    )
    assert tag("circle", tag("title", "a")) == "<circle><title>a</title></circle>"
    assert join(["a&", tag("b", "c")], ", ") == "a&amp;, <b>c</b>"


def test_a_number_and_its_unit_stay_in_one_line() -> None:
    assert tag("p", "4.2 % of 1 hour, 3 horses") == "<p>4.2\u00a0% of 1\u00a0hour, 3 horses</p>"
    assert tag("p", title="4 %") == '<p title="4 %"></p>'


def test_what_is_empty_is_left_out() -> None:
    assert paragraph("") == items([]) == ""
    assert details("more", paragraph("x")) == "<details><summary>more</summary><p>x</p></details>"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\0", exclude_categories=["C"])))
def test_no_text_is_read_as_markup(text: str) -> None:
    reader = Reader()
    reader.feed(tag("p", text, title=text))
    reader.close()
    assert reader.tags == ["p"]
    assert reader.text.replace("\u00a0", " ") == text.replace("\u00a0", " ")
    assert reader.attributes == [("title", text)]


def test_tables_have_captions_and_headings() -> None:
    made = table("Prices", ["a", "b"], [["x", "1"], ["<y>", "2"]], numbers=1)
    assert "<caption>Prices</caption>" in made
    assert '<th scope="col" class="number">b</th>' in made
    assert '<th scope="row">&lt;y&gt;</th><td class="number">2</td>' in made
    assert made.startswith('<div class="scroll" role="region" aria-label="Prices" tabindex="0">')


def test_a_section_is_named_by_its_heading() -> None:
    assert section("a", "Head", "text") == (
        '<section id="a" aria-labelledby="a-heading"><h2 id="a-heading">Head</h2>text</section>'
    )
