"""What a study's page says of trainings that ended before their loss was flat."""

from collections import Counter
from collections.abc import Sequence

from studies.results import TrialResult


def unconverged(results: Sequence[TrialResult]) -> str:
    """Return a sentence on the trials in which the loss of a stage was not flat at its last step.

    Args:
        results: of a study. Those of recipes that fix the number of steps are passed over.

    Returns:
        The sentence; empty where there is nothing to say.
    """
    judged = [result for result in results if result.converged is not None]
    cut_off = [result for result in judged if not result.converged]
    if not cut_off:
        return ""
    counts = Counter((result.mix, result.budget_hours) for result in cut_off)
    points = ", ".join(
        f'"{mix}" at {hours:g} h' + (f" ({count} seeds)" if count > 1 else "")
        for (mix, hours), count in counts.items()
    )
    trials = "trial" if len(judged) == 1 else "trials"
    return (
        f"{len(cut_off)} of {len(judged)} {trials} ended with a loss that was not flat: "
        f"{points}. More training might lift these points, and so change the comparison: raise "
        "the `steps` of the recipe's stages."
    )
