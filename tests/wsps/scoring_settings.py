"""Settings of an evaluation in a word, for tests."""

from typing import Any

from wsps.evaluation.average_precision import THRESHOLDS
from wsps.scoring.evaluate import ScoringSettings


def make_settings(**changes: Any) -> ScoringSettings:
    """What `annotools evaluate` has without options, with some changed."""
    settings: dict[str, Any] = {
        "metrics": (),
        "ranking": "detection",
        "thresholds": THRESHOLDS["cityscapes"],
        "recalls": "all",
        "masks": None,
        "all_groups": True,
        "num_resamples": 0,
        "seed": 0,
        "workers": 1,
    }
    return ScoringSettings(**(settings | changes))
