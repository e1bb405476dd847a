"""Labels as run lengths, for those that are compared more than once.

The runs take a few per cent of the memory of the map and are all that scores are counted from.
"""

from dataclasses import dataclass

from annotools.label_maps import Runs, find_runs
from annotools.records import FullLabel, Segment


@dataclass(frozen=True, kw_only=True)
class RunLabel:
    """The panoptic label of an image without its map: every segment in `segments` is in `runs`."""

    image_id: int | str
    runs: Runs
    segments: tuple[Segment, ...]


def to_runs(label: FullLabel | RunLabel) -> RunLabel:
    """Return the label with its map as runs; one that has runs comes back as it is."""
    if isinstance(label, RunLabel):
        return label
    return RunLabel(
        image_id=label.image_id, runs=find_runs(label.segment_map), segments=label.segments
    )
