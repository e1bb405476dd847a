"""Rates of classes are averaged over classes here; a class without a rate does not count.

A rate is NaN where nothing defines it: a class that never occurs scores neither 0 nor 1.
"""

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet

Groups = tuple[list[int], list[int], list[int]]
"""The class indices that count in the mean over all classes, over things and over stuff."""


def classes_to_average(categories: CategorySet, *, include_background: bool) -> Groups:
    """Return which classes count in each of the three means.

    Args:
        categories: whose classes are averaged.
        include_background: false leaves out the background category of a set that has one.
    """
    background = None if include_background else categories.background_index
    things = list(categories.thing_indices)
    stuff = [i for i in categories.stuff_indices if i != background]
    return sorted(things + stuff), things, stuff


def append_means(rates: NDArray[np.float64], groups: Groups) -> NDArray[np.float64]:
    """Append the three means over classes to the rates of the classes.

    Args:
        rates: (..., K) in [0, 1], NaN where undefined.
        groups: the classes in each mean.

    Returns:
        (..., K + 3); a mean is NaN where none of its classes has a rate.
    """
    assert are_rates(rates), rates
    means = [_mean_of_defined_classes(rates[..., group]) for group in groups]
    return np.concatenate([rates, np.stack(means, axis=-1)], axis=-1)


def mean_of_defined(values: NDArray[np.float64]) -> float:
    """Return the mean of the values that are not NaN; NaN when there is none."""
    return float(_mean_of_defined_classes(values))


def ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quotient, element by element; NaN where the denominator is 0."""
    quotient = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def are_rates(values: NDArray[np.float64] | float) -> bool:
    """Return whether each value lies in [0, 1] or is NaN."""
    array = np.asarray(values)
    return bool(np.all(np.isnan(array) | ((array >= 0) & (array <= 1))))


def _mean_of_defined_classes(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means (...) of the rates (..., K) that are not NaN."""
    defined = ~np.isnan(rates)
    # Classes that are undefined throughout go first: numpy adds eight numbers at a time, so zeros
    # in their place could change the last digit of a mean.
    kept = defined.any(axis=tuple(range(defined.ndim - 1)))
    rates, defined = rates[..., kept], defined[..., kept]
    return ratio(np.where(defined, rates, 0.0).sum(axis=-1), defined.sum(axis=-1, dtype=np.float64))
