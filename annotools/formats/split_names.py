"""Tools call the parts of a dataset by several names."""

DEFAULT_SPLIT = "train"
"""The split that is meant where nobody names one, and where a dataset has no parts."""

_SAME = (("train", "training"), ("val", "valid", "validation"), ("test", "testing"))


def names_of(split: str) -> tuple[str, ...]:
    """Return what folders and lists of a split may be called, its own name first."""
    others = next((names for names in _SAME if split.lower() in names), ())
    # CVAT has names with a capital letter.
    return tuple(dict.fromkeys((split, *others, *(name.capitalize() for name in others))))
