"""Which classes a mean runs over, and what it says where a class has no score."""

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet


def classes_to_average(
    categories: CategorySet, *, include_background: bool
) -> tuple[list[int], list[int], list[int]]:
    """Return the class indices that count in the mean over all, over things and over stuff.

    Args:
        categories: the dataset's.
        include_background: false leaves the background category of a set that has one out.
    """
    background = None if include_background else categories.background_index
    things = list(categories.thing_indices)
    stuff = [i for i in categories.stuff_indices if i != background]
    return sorted(things + stuff), things, stuff


def mean_of_defined(values: NDArray[np.float64]) -> float:
    """Return the mean of the values that are not NaN; NaN when there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quotient, element by element; NaN where the denominator is 0."""
    quotient = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def are_rates(values: NDArray[np.float64] | float) -> bool:
    """Return whether each value lies in [0, 1] or is NaN."""
    array = np.asarray(values)
    return bool(np.all(np.isnan(array) | ((array >= 0) & (array <= 1))))
