from studies.advice.pareto import FrontPoint, pareto_front
from tests.studies.study_builders import make_result


def test_the_front_by_hand() -> None:
    # Means: a 0.30, 0.40 and 0.40; b 0.35 and 0.30; c has no PQ.
    results = [make_result("a", 2, seed, pq) for seed, pq in enumerate((0.25, 0.35))]
    results += [make_result("a", 6, 0, 0.4), make_result("a", 18, 0, 0.4)]
    results += [make_result("b", 2, 0, 0.35), make_result("b", 6, 0, 0.3)]
    results += [make_result("c", 1, 0, None)]
    assert pareto_front(results) == (
        FrontPoint(mix="b", hours=2, score=0.35),
        FrontPoint(mix="a", hours=6, score=0.4),
    )


def test_of_equal_points_the_first_mix_is_on_the_front() -> None:
    results = [make_result(mix, 2, 0, 0.3) for mix in ("b", "a")]
    assert pareto_front(results) == (FrontPoint(mix="b", hours=2, score=0.3),)
