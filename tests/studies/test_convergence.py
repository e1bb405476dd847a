from studies.convergence import unconverged
from tests.studies.study_builders import make_result


def test_points_that_still_gained_are_named_with_their_seeds() -> None:
    results = [
        make_result("boxes", 2, 0, 0.1, converged=True),
        make_result("boxes", 18, 0, 0.1, converged=False),
        make_result("boxes", 18, 1, 0.1, converged=False),
        make_result("full", 0.5, 0, 0.1, converged=False),
        make_result("tags", 2, 0, 0.1),
    ]
    assert unconverged(results).startswith(
        "3 of 4 trials ended with a loss that was not flat: "
        '"boxes" at 18 h (2 seeds), "full" at 0.5 h. '
    )


def test_nothing_is_said_where_all_had_converged_or_nobody_knows() -> None:
    assert unconverged([]) == ""
    assert unconverged([make_result("a", 2, 0, 0.1)]) == ""
    assert unconverged([make_result("a", 2, 0, 0.1, converged=True)]) == ""
