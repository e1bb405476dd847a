"""Tools call the parts of a dataset by several names."""

DEFAULT_SPLIT = "train"
"""The split that is meant where nobody names one, and where a dataset has no parts."""

_OTHER_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation")}


def names_of(split: str) -> tuple[str, ...]:
    """Return what folders and lists of a split may be called, its own name first."""
    return _OTHER_NAMES.get(split, (split,))
