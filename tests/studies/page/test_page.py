import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from annotools.drawing.labels import encode_jpeg
from annotools.files import write_json, write_whole
from studies.examples import EXAMPLES_FOLDER, LIST_FILE, PICTURES
from studies.page.page import MOST_BYTES, write_page
from studies.results import TRIALS_FOLDER, TrialResult, to_frame, trial_name
from tests.studies.page.page_builders import CROSSING, page_of, priced, rows_of
from tests.studies.study_builders import make_result, make_study

NEVER_CLOSED = ("meta", "link", "input", "img", "br")


class Reader(HTMLParser):
    """Collects elements with their attributes, the text of each kind, and what is left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text_of: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in NEVER_CLOSED:
            self.open.append(tag)
            self.text_of.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.text_of[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def texts(self, tag: str) -> list[str]:
        return [" ".join(text.split()) for text in self.text_of.get(tag, [])]


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("crossing")
    rows = rows_of(CROSSING, class_pq={"car": 0.4, "sky": 0.9})
    rows += [make_result("full", 16, 3, 0.6, class_pq={"car": 0.8, "sky": None})]
    return page_of(rows, folder)


def steps_of(page: str) -> list:
    found = re.search(r'<script type="application/json" id="steps">(.*?)</script>', page)
    assert found is not None
    return list(json.loads(found[1])["steps"])


def test_the_verdict_comes_first(crossing: str) -> None:
    read = Reader(crossing)
    assert read.open == []
    assert read.texts("h1") == ["With 16 hours of annotation, buy “full”."]
    body = crossing.index("<body>")
    assert crossing.index("<h1>", body) < crossing.index("<h2", body)
    assert read.texts("p")[1].startswith("Predicted, with 90 % intervals: “full” PQ 60.")
    assert read.texts("p")[2].startswith("“boxes” is better below ")
    assert read.texts("h2") == [
        "Before you rely on this",
        "What more hours are worth",
        "The best purchase of every size",
        "Hours for equal quality",
        "Class by class",
        "What a label costs",
        "Would the curves have been right?",
        "All numbers",
        "All settings",
    ]


def test_the_slider_has_verdict_scores_and_purchases_at_forty_hours(crossing: str) -> None:
    steps = steps_of(crossing)
    assert len(steps) == 40
    assert (steps[0]["hours"], steps[-1]["hours"]) == ("1 hour", "64 hours")
    assert {"1 hour", "4 hours", "16 hours"} < {step["hours"] for step in steps}
    assert "buy <span" in steps[0]["verdict"]
    assert "“boxes”" in steps[0]["verdict"]
    # Each row bought three images.
    texts = [mix["buys"] for mix in steps[0]["mixes"]]
    assert texts == ["buys about 3 images with full labels"] * 2
    assert steps[0]["mixes"][0]["score"] == "45.4 %"
    places = [step["x"][0] for step in steps]
    assert places == sorted(places)
    # Without a script it is hidden, and the page says what the largest budget buys.
    (slider,) = [a for a in Reader(crossing).all("div") if a.get("id") == "slider"]
    assert "hidden" in slider
    assert "With 16\u00a0hours" in re.sub("<.*?>", "", crossing.partition('id="verdict"')[2])


def test_times_with_ranges_widen_what_is_predicted(tmp_path: Path, crossing: str) -> None:
    page = page_of(priced(rows_of(CROSSING)), tmp_path)
    exact, wide = steps_of(crossing)[19], steps_of(page)[19]
    assert exact["hours"] == wide["hours"]
    assert exact["bars"] == [[], []]
    # Between 60 and 120 minutes an image, around 90: the interval is wider than the band.
    for i, (low, mean, high) in enumerate(wide["bars"][0]):
        assert high < mean < low
        left, _, right = exact["mixes"][i]["bar"]
        assert wide["mixes"][i]["bar"][2] - wide["mixes"][i]["bar"][0] > right - left
    read = Reader(page)
    assert "Bars: your hours" in read.texts("figcaption")[0]
    assert read.texts("p")[2].startswith("At the times of this study “boxes” is better below")
    groups = [a for a in read.all("g") if "reach" in (a.get("class") or "")]
    assert len(groups) == 2 * 2


def test_what_is_not_predicted_has_no_bar(tmp_path: Path) -> None:
    # Boxes fall, so that nothing is said of them beyond 16 h.
    rows = rows_of({"boxes": (0.3, 0.5, 0.4), "full": CROSSING["full"]})
    page = page_of(priced(rows), tmp_path)
    last = steps_of(page)[-1]
    assert last["bars"][0][0] is None
    assert (last["mixes"][0]["score"], last["mixes"][0]["bar"]) == ("–", None)
    assert "is not predicted at 64" in last["note"]
    assert [bar is None for bar in steps_of(page)[-1]["bars"][1]] == [True, False]


def test_nothing_is_fetched(crossing: str) -> None:
    read = Reader(crossing)
    for _, attributes in read.elements:
        for key in ("src", "href", "srcset", "xlink:href", "action", "poster", "data"):
            value = attributes.get(key) or ""
            assert value.partition(":")[0] in ("data", "results.csv", "report.md", "")
    assert not re.search(r"url\((?!#)|@import", crossing)
    (policy,) = [m for m in read.all("meta") if m.get("http-equiv")]
    assert policy["content"] is not None
    assert policy["content"].startswith("default-src 'none'; img-src data:;")
    assert read.all("meta")[0] == {"charset": "utf-8"}
    assert read.all("html") == [{"lang": "en"}]


def test_it_can_be_read_without_eyes_and_without_a_pointer(crossing: str) -> None:
    read = Reader(crossing)
    assert len(read.all("main")) == len(read.all("footer")) == len(read.all("h1")) == 1
    assert len(read.all("table")) == len(read.all("caption")) > 4
    ids = [a["id"] for _, a in read.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for kind, attributes in read.elements:
        for named_by in (attributes.get("aria-labelledby") or "").split():
            assert named_by in ids
        if kind in ("svg", "section"):
            assert "aria-labelledby" in attributes
    assert [a.get("aria-live") for a in read.all("p") if a.get("id") == "verdict"] == ["polite"]
    (slider,) = read.all("input")
    assert slider["aria-valuetext"] == "16 hours"
    assert any(a.get("for") == slider["id"] for a in read.all("label"))
    assert "boxes goes from 45.5 % at 1 h to 52.5 % at 16 h." in read.texts("desc")[0]


def test_tables_by_hand(crossing: str) -> None:
    read = Reader(crossing)
    rows = read.texts("tr")
    front = rows[rows.index("hoursmixPQ, %points gained") + 1 :][:3]
    assert [re.sub(r"[\d.+]+$", "", row) for row in front] == ["1boxes", "4boxes", "16full"]
    # Means of the class: 0.4 of three seeds and 0.8 of one.
    assert "car40.050.010.0" in rows
    assert "sky90.090.00.0" in rows
    assert any(row.startswith("box76–35instancePapadopoulos") for row in rows)
    assert "budgets_hours1.0, 4.0, 16.0" in rows
    assert "seeds0, 1, 2, 3" in rows


def test_the_test_split_has_a_table_where_there_is_one(tmp_path: Path, crossing: str) -> None:
    title = "On the test split, which no choice has seen"
    assert title not in Reader(crossing).texts("h2")
    read = Reader(page_of(rows_of(CROSSING, test={"pq": 0.25, "miou": None}), tmp_path))
    assert title in read.texts("h2")
    (row,) = [text for text in read.texts("tr") if text.startswith("16fullyes")]
    assert row == "16fullyes60.525.0" + 5 * "–"


def test_all_rows_can_be_saved(crossing: str) -> None:
    (link,) = [a for a in Reader(crossing).all("a") if "download" in a]
    assert link["download"] == "results.csv"
    assert link["href"] is not None
    head, _, content = link["href"].partition(",")
    assert head == "data:text/csv;charset=utf-8;base64"
    frame = pd.read_csv(io.BytesIO(base64.b64decode(content)))
    rows = rows_of(CROSSING)
    assert frame["pq"].tolist()[: len(rows)] == to_frame(rows)["pq"].tolist()
    assert "class_pq_car" in frame.columns


def test_no_name_is_read_as_markup(tmp_path: Path) -> None:
    name = '<b>"a" & </script><script>alert(1)</script>'.replace("/", "∕")
    rows = rows_of({name: CROSSING["full"], "b": CROSSING["boxes"]}, class_pq={"<i>": 0.5})
    page = page_of(rows, tmp_path, name="<u>study</u>")
    read = Reader(page)
    assert not read.all("u")
    assert len(read.all("script")) == 2
    assert "<u>study" in read.texts("title")[0]
    assert any("<i>" in row for row in read.texts("tr"))
    assert name in read.texts("h1")[0]


def test_too_few_seeds_leave_the_measured_points(tmp_path: Path) -> None:
    rows = rows_of(CROSSING, seeds=[0])
    page = page_of(rows, tmp_path)
    read = Reader(page)
    assert read.texts("h1") == ["This study cannot tell what to buy with 16 hours of annotation."]
    assert "Nothing is predicted here: no mix has two seeds" in page
    # Why is said once, in the opening.
    why = "No mix has two seeds at one budget, so that chance cannot be told from truth."
    assert read.texts("p")[2] == why
    assert why not in read.texts("li")
    assert not read.all("input")
    assert read.texts("script") == [""]
    assert "Hours for equal quality" not in read.texts("h2")
    lines = [(a.get("class") or "").split()[1] for a in read.all("path")]
    assert lines == ["join"] * 4
    assert sum("dot" in (a.get("class") or "") for a in read.all("circle")) == 2 * len(rows)


def test_too_few_budgets_leave_the_slider_at_the_budgets(tmp_path: Path) -> None:
    rows = rows_of({"boxes": (0.45, 0.5), "full": (0.3, 0.6)})
    page = page_of(rows, tmp_path)
    assert [step["hours"] for step in steps_of(page)] == ["1 hour", "4 hours"]
    assert "only the measured points are shown: a curve takes 3 budgets and 2 seeds" in page
    # Full labels overtake boxes somewhere between: where, no curve says.
    read = Reader(page)
    assert "is better below" not in page
    assert not [a for a in read.all("rect") if a.get("class") == "flip"]


def test_models_that_learnt_nothing_say_so_first(tmp_path: Path) -> None:
    rows = rows_of({"a": (0.1, 0.1, 0.1), "b": (0.1, 0.1, 0.1)}, trivial_pq=0.2, trivial_miou=0.2)
    page = page_of(rows, tmp_path)
    read = Reader(page)
    assert read.texts("h1")[0].startswith("These models have learnt nothing")
    assert "at 16 h no mix is a point above it" in read.texts("p")[1]
    assert "one class everywhere" in read.texts("text")
    # Nothing tempts to buy by chance.
    assert not read.all("input")
    assert not {"The best purchase of every size", "Hours for equal quality"} & set(
        read.texts("h2")
    )
    assert "beyond the study" not in read.texts("text")


def test_a_mix_that_learnt_nothing_is_told_once(tmp_path: Path) -> None:
    curves = {"a": (0.1, 0.1, 0.1), "b": (0.3, 0.4, 0.45), "c": (0.3, 0.5, 0.6)}
    read = Reader(page_of(rows_of(curves, trivial_pq=0.2, trivial_miou=0.2), tmp_path))
    told = [text for text in read.texts("li") if text.startswith("“a” is not predicted")]
    assert len(told) == 1
    assert not [text for text in read.texts("p") if "only the measured points" in text]


def test_models_that_learnt_nothing_may_have_been_cut_off(tmp_path: Path) -> None:
    trivial = {"trivial_pq": 0.2, "trivial_miou": 0.2}
    rows = [make_result("a", 2, seed, 0.1, converged=False, **trivial) for seed in (0, 1)]
    assert "2 of 2 trials ended with a loss that was not flat" in page_of(rows, tmp_path)


@pytest.mark.parametrize("pq", [None, 0.0, 1.0])
def test_extreme_scores_have_a_page(tmp_path: Path, pq: float | None) -> None:
    single = [make_result("a", 2, 0, pq)]
    assert len(Reader(page_of(single, tmp_path)).texts("h1")) == 1
    many = [make_result(mix, 2, seed, pq) for mix in "ab" for seed in (0, 1)]
    read = Reader(page_of(many, tmp_path))
    assert ("tie" in read.texts("p")[1] or "worth the same" in read.texts("h1")[0]) == (
        pq is not None
    )


def test_missing_trials_and_unspent_hours_are_told(tmp_path: Path) -> None:
    rows = rows_of(CROSSING)
    rows[0] = make_result("boxes", 1, 0, 0.45, spent_hours=0.1)
    page = page_of(rows, tmp_path, seeds=[0, 1, 2, 3])
    points = Reader(page).texts("li")
    assert points[2].startswith("Only 18 of 24 trials are finished")
    assert any(point.startswith("Of these budgets more than a tenth") for point in points)


def examples_of(folder: Path, row: TrialResult) -> Path:
    name = trial_name(row.mix, row.budget_hours, row.seed)
    return folder / TRIALS_FOLDER / name / EXAMPLES_FOLDER


def keep_noise(folder: Path, rows: list, side: int) -> None:
    """Pictures as large as they can be: no JPEG makes noise small."""
    rng = np.random.default_rng(0)
    noise = encode_jpeg(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
    for row in rows:
        own = examples_of(folder, row)
        entries = [
            {"file_name": f"{place}.jpg", "true_names": ["car"], "predicted_names": []}
            | {"colours": {"car": "#00008e"}}
            for place in range(3)
        ]
        for place in range(3):
            for name in PICTURES:
                write_whole(own / f"{place}_{name}.jpg", noise)
        write_json(own / LIST_FILE, entries)


def test_pictures_are_side_by_side(tmp_path: Path) -> None:
    rows = rows_of(CROSSING)
    keep_noise(tmp_path, rows, 16)
    read = Reader(page_of(rows, tmp_path))
    alts = [a["alt"] for a in read.all("img")]
    assert alts[:4] == [
        "Photo 0.jpg",
        "Truth: car",
        "Prediction of boxes: nothing",
        "Prediction of full: nothing",
    ]
    assert len(alts) == 12
    # Where one mix has none at any budget, nothing could be compared.
    for row in rows:
        if row.mix == "full":
            folder = examples_of(tmp_path, row)
            (folder / LIST_FILE).unlink()
    assert not Reader(page_of(rows, tmp_path)).all("img")


def test_a_large_study_has_a_page_that_can_be_sent(tmp_path: Path) -> None:
    mixes = {f"mix number {place}": (0.3, 0.4, 0.5) for place in range(9)}
    classes = {f"class {place}": 0.5 for place in range(150)}
    rows = rows_of(mixes, seeds=range(12), class_pq=classes)
    keep_noise(tmp_path, [row for row in rows if row.seed == 0], 200)
    write_page(study_of(rows, tmp_path), rows, tmp_path)
    page = tmp_path / "report.html"
    assert page.stat().st_size <= MOST_BYTES == 1_500_000
    read = Reader(page.read_text(encoding="utf-8"))
    assert 0 < len(read.all("img")) < 3 * 11
    assert "Save all rows as CSV" not in read.texts("a")


def study_of(rows: list, folder: Path) -> object:
    mixes = {row.mix: {"full": 1} for row in rows}
    return make_study(folder, mixes, budgets_hours=[1, 4, 16], seeds=list(range(12)))
