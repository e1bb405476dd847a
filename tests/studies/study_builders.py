"""Studies and results in one line, for tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annotools.settings import read_settings
from studies.failures import TrialFailure
from studies.results import TrialResult
from studies.study import Study

STAGE = {"steps": 1, "learning_rate": 1e-3, "schedule": "cosine"}


def make_result(
    mix: str, budget_hours: float, seed: int, pq: float | None, **changes: Any
) -> TrialResult:
    """A result whose PQ of things is half, of stuff twice the PQ."""
    values: dict[str, Any] = dict.fromkeys(TrialResult.__annotations__)
    values |= {"study": "small", "mix": mix, "budget_hours": budget_hours, "seed": seed, "pq": pq}
    if pq is not None:
        values |= {"pq_things": pq / 2, "pq_stuff": min(1.0, 2 * pq), "ap_vol": pq, "miou": pq}
    values |= {"spent_hours": budget_hours, "images": {"full": 3}, "seconds": 1.0}
    values |= {"digest": "d", "code_version": "1.2.3"}
    values |= {"student": "li2018", "weights": "none", "steps": {}}
    values |= {"class_pq": {}, "actions": {}, "test": {}}
    return TrialResult(**(values | changes))


def make_failure(mix: str, budget_hours: float, seed: int, error: str) -> TrialFailure:
    """A failure of the study that `make_study` makes, with other settings."""
    return TrialFailure(
        study="small",
        mix=mix,
        budget_hours=budget_hours,
        seed=seed,
        error=error,
        digest="d",
        weights="none",
        code_version="1.2.3",
    )


def make_study(
    folder: Path, mixes: Mapping[str, Mapping[str, float]] | None = None, **changes: Any
) -> Study:
    """A study of four 64 x 64 scenes that trains one step a stage and round."""
    world = folder / "world.toml"
    if not world.exists():
        world.write_text("width = 64\nheight = 64\nnum_train = 4\nnum_val = 2\n")
    table: dict[str, Any] = {
        "name": "small",
        "dataset": {"format": "scenes", "root": str(world)},
        "mixes": mixes or {"full": {"full": 1}, "boxes+tags": {"boxes+tags": 1}},
        "budgets_hours": [3],
        "seeds": [0],
        "recipe": {
            "views": {"crop_size_wh": [64, 64]},
            "descent": {"batch_size": 1},
            "classifier": STAGE,
            "semantic": STAGE,
            "detector": STAGE,
            "instance": STAGE,
            "refinement": {"rounds": 1, "crf": {"iterations": 1}},
        },
    }
    return read_settings(Study, table | changes, where="test")
