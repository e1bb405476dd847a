import numpy as np
import pytest

from wsps.evaluation.class_means import append_means

GROUPS = ([0, 1, 2], [0, 1], [2])
NAN = np.nan


def test_means_are_over_the_classes_that_have_a_rate():
    np.testing.assert_array_equal(
        append_means(np.array([[1, NAN, 0], [0.5, 0.25, NAN]]), GROUPS),
        [[1, NAN, 0, 0.5, 1, 0], [0.5, 0.25, NAN, 0.375, 0.375, NAN]],
    )
    np.testing.assert_array_equal(append_means(np.full(3, NAN), GROUPS), np.full(6, NAN))


def test_classes_that_are_undefined_throughout_do_not_change_a_digit():
    generator = np.random.default_rng(0)
    for _ in range(50):
        rates = generator.random(30)
        padded = np.full(61, NAN)
        padded[1::2] = rates
        found = append_means(padded, (list(range(61)), [], []))[61:]
        np.testing.assert_array_equal(found, [rates.mean(), NAN, NAN])


@pytest.mark.parametrize("rate", [-0.01, 1.01, float("inf")])
def test_a_rate_outside_of_its_range_is_a_mistake_of_ours(rate):
    with pytest.raises(AssertionError):
        append_means(np.array([[0.5, 0.5, rate]]), GROUPS)
