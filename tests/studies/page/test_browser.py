"""The page in a real browser; skipped where Debian's chromium is not installed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.studies.page.page_builders import CROSSING, page_of, priced, rows_of

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

# The page runs in a frame of this one, which moves its slider as somebody who drags it would.
WRAPPER = r"""<!doctype html><meta charset="utf-8"><title>wrapper</title>
<iframe src="report.html" style="width:390px;height:900px;border:0"></iframe>
<pre></pre>
<script>
addEventListener("load", () => {
  const view = document.querySelector("iframe").contentWindow;
  const page = view.document;
  const text = (query) => page.querySelector(query).textContent.replaceAll("\u00a0", " ");
  const slider = page.getElementById("hours");
  const look = () => ({
    hours: text("#hours-shown"),
    said: slider.getAttribute("aria-valuetext"),
    verdict: text("#verdict"),
    card: text(".cards [data-mix='1']"),
    guide: page.querySelector(".plot.narrow .guide").getAttribute("transform"),
    reach: [...page.querySelectorAll(".plot.narrow .reach")].map((bar) => [
      bar.getAttribute("display"), Number(bar.querySelector("line").getAttribute("y1")),
    ]),
    bar: page.querySelector(".cards [data-mix='1'] .span").style.left,
  });
  const found = {shown: page.getElementById("slider").hidden === false, before: look()};
  slider.value = 0;
  slider.dispatchEvent(new view.Event("input", {bubbles: true}));
  found.after = look();
  const plot = page.querySelector(".plot.narrow"), box = plot.getBoundingClientRect();
  const at = {clientX: box.right - 110, clientY: box.top + 80, bubbles: true};
  plot.dispatchEvent(new view.PointerEvent("pointermove", at));
  found.tip = text("#tip");
  plot.dispatchEvent(new view.PointerEvent("pointerleave", at));
  found.tipHidden = page.getElementById("tip").hidden;
  plot.dispatchEvent(new view.MouseEvent("click", at));
  found.clicked = look();
  view.dispatchEvent(new view.Event("beforeprint"));
  found.open = [...page.querySelectorAll("details")].every((part) => part.open);
  found.over = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  found.wideHidden = view.getComputedStyle(page.querySelector(".plot.wide")).display;
  document.querySelector("pre").textContent = JSON.stringify(found);
});
</script>
"""

WITHOUT_SCRIPT = """<!doctype html><meta charset="utf-8"><title>wrapper</title>
<iframe src="report.html" sandbox="allow-same-origin"></iframe><pre></pre>
<script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument;
  const slider = page.getElementById("slider"), verdict = page.getElementById("verdict");
  document.querySelector("pre").textContent = `${slider.offsetHeight} ${verdict.textContent}`;
});
</script>
"""


def browse(folder: Path, page: Path) -> tuple[str, str]:
    """Return what the page is after its scripts, and what the browser wrote to the console."""
    assert CHROMIUM is not None
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
        *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
        *("--disable-sync", f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr"),
        # Files of one folder may look at each other, which the wrapper does.
        *("--allow-file-access-from-files", "--dump-dom", page.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def test_the_slider_changes_verdict_scores_and_purchase(tmp_path: Path) -> None:
    # Bars are moved too; boxes have none beyond their last budget, where they have fallen.
    rows = rows_of({"boxes": (0.45, 0.54, 0.52), "full": CROSSING["full"]})
    page = page_of(priced(rows), tmp_path)
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(WRAPPER)
    shown, console = browse(tmp_path, wrapper)
    assert console == ""
    content = re.search("<pre>(.*?)</pre>", shown)
    assert content is not None
    found = json.loads(content[1])
    assert found["shown"] is True
    before, after, clicked = found["before"], found["after"], found["clicked"]
    assert before["verdict"] == "With 16 hours of annotation, buy “full”."
    assert after["verdict"] == "With 1 hour of annotation, buy “boxes”."
    assert (before["said"], after["said"]) == (before["hours"], after["hours"])
    assert (before["hours"], after["hours"]) == ("16 hours", "1 hour")
    for part in ("card", "guide", "bar"):
        assert before[part] != after[part]
    assert [shown for shown, _ in before["reach"]] == [None, None]
    places = [[place for _, place in at["reach"]] for at in (before, after)]
    assert all(old != new for old, new in zip(*places, strict=True))
    assert [shown for shown, _ in clicked["reach"]] == ["none", None]
    assert found["tip"].startswith(clicked["hours"])
    assert "full" in found["tip"]
    assert clicked["hours"] not in ("1 hour", "16 hours")
    assert found["tipHidden"] is True
    assert found["open"] is True
    # On a phone nothing is wider than the screen, and the plot is the narrow one.
    assert found["over"] == 0
    assert found["wideHidden"] == "none"


def test_without_a_script_the_largest_budget_is_told(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(page_of(rows_of(CROSSING), tmp_path), encoding="utf-8")
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(WITHOUT_SCRIPT)
    shown, _ = browse(tmp_path, wrapper)
    # The slider takes no room, and the verdict is that of the largest budget.
    assert "<pre>0 With 16 hours of annotation, buy “full”.</pre>" in shown.replace("&nbsp;", " ")
