import re
from importlib import resources

import pytest

from studies.page.plot_svg import NUM_COLOURS

STYLE = resources.files("studies.page").joinpath("page.css").read_text(encoding="utf-8")


def palettes() -> list[dict[str, str]]:
    """The colours of light, dark and print."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, flags=re.DOTALL)
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]+)", block)) for block in blocks]


def luminance(colour: str) -> float:
    """Source: WCAG 2.2, relative luminance."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    shares = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_by_hand() -> None:
    assert contrast("#000", "#fff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("place", range(3), ids=["light", "dark", "print"])
def test_text_and_mixes_can_be_read_on_every_ground(place: int) -> None:
    colours = palettes()[place]
    inks = ["ink", "soft", *(f"c{number}" for number in range(NUM_COLOURS))]
    for ground in ("paper", "wash"):
        for ink in inks:
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def test_each_mix_has_a_colour_of_its_own() -> None:
    for colours in palettes():
        assert len({colours[f"c{number}"] for number in range(NUM_COLOURS)}) == NUM_COLOURS
    for number in range(NUM_COLOURS):
        assert f".c{number} {{ --own: var(--c{number}); }}" in STYLE
