from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from studies import plots
from tests.studies.study_builders import make_result


def draw(results: list, path: Path, monkeypatch: pytest.MonkeyPatch) -> Figure:
    """Draw, and return the figure that was saved."""
    saved = []
    savefig = Figure.savefig

    def keep(self: Figure, *arguments: object, **settings: object) -> None:
        saved.append(self)
        savefig(self, *arguments, **settings)

    monkeypatch.setattr(Figure, "savefig", keep)
    plots.draw_quality_vs_cost(results, path)
    return saved[0]


def grid() -> list:
    return [
        make_result(mix, budget, seed, quality + 0.01 * seed)
        for mix, quality in (("full", 0.2), ("boxes", 0.1))
        for budget in (2.0, 18.0, 6.0)
        for seed in (0, 2)
    ]


def test_lines_are_means_over_seeds_by_rising_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = draw(grid(), tmp_path / "q.png", monkeypatch)
    panel = figure.axes[0]
    lines = {line.get_label(): line for line in panel.lines if line.get_label()[0] != "_"}
    assert list(lines) == ["full", "boxes"]
    np.testing.assert_allclose(lines["full"].get_xdata(), [2, 6, 18])
    np.testing.assert_allclose(lines["full"].get_ydata(), [21, 21, 21])
    assert lines["full"].get_marker() != lines["boxes"].get_marker()
    assert lines["full"].get_linestyle() != lines["boxes"].get_linestyle()


def test_bands_reach_from_the_lowest_to_the_highest_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = draw(grid(), tmp_path / "q.png", monkeypatch).axes[0]
    outline = panel.collections[0].get_paths()[0].vertices
    assert outline[:, 1].min() == pytest.approx(20)
    assert outline[:, 1].max() == pytest.approx(22)


def test_ticks_are_the_budgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = draw(grid(), tmp_path / "q.png", monkeypatch).axes[0]
    assert [text.get_text() for text in panel.get_xticklabels()] == ["2", "6", "18"]
    assert panel.get_xscale() == "log"


def test_panel_that_is_undefined_everywhere_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(draw(grid(), tmp_path / "q.png", monkeypatch).axes) == 3
    results = [make_result("full", 2.0, seed, 0.2, pq_stuff=None) for seed in (0, 1)]
    titles = [axes.get_title() for axes in draw(results, tmp_path / "q.png", monkeypatch).axes]
    assert titles == ["PQ, all classes", "PQ, things"]


def test_one_undefined_trial_among_all_can_be_drawn(tmp_path: Path) -> None:
    plots.draw_quality_vs_cost([make_result("full", 2.0, 0, None)], tmp_path / "q.png")
    assert (tmp_path / "q.png").stat().st_size > 0


def test_picture_is_1600_pixels_wide(tmp_path: Path) -> None:
    plots.draw_quality_vs_cost(grid(), tmp_path / "q.png")
    picture = cv2.imread(str(tmp_path / "q.png"))
    assert picture is not None
    assert picture.shape[1] == 1600
    assert [path.name for path in tmp_path.iterdir()] == ["q.png"]


def test_the_trivial_level_is_drawn_where_nothing_was_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [make_result("full", 2.0, seed, 0.105, trivial_pq=0.1 + seed / 50) for seed in (0, 1)]
    figure = draw(results, tmp_path / "q.png", monkeypatch)
    assert figure.get_suptitle().startswith("Nothing was learnt")
    level = figure.axes[0].lines[-1]
    assert level.get_label() == "one class everywhere: 11.0 %"
    np.testing.assert_allclose(level.get_ydata(), [11, 11])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "full",
        "one class everywhere: 11.0 %",
    ]
    better = [make_result("full", 2.0, 0, 0.2, trivial_pq=0.1)]
    assert draw(better, tmp_path / "q.png", monkeypatch).get_suptitle() == ""
