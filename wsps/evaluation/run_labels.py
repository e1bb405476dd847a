"""Labels as run lengths: a few per cent of the map's memory, and all that scores come from."""

from dataclasses import dataclass

from annotools.label_maps import Runs, find_runs
from annotools.records import FullLabel, Segment


@dataclass(frozen=True, kw_only=True)
class RunLabel:
    """The panoptic label of an image without its map: every segment in `segments` is in `runs`."""

    image_id: int | str
    runs: Runs
    segments: tuple[Segment, ...]


AnyLabel = FullLabel | RunLabel
"""What can be scored: `to_runs` of a label that is compared more than once saves time."""


def to_runs(label: AnyLabel) -> RunLabel:
    """Return the label with its map as runs; one that has runs comes back as it is."""
    if isinstance(label, RunLabel):
        return label
    return RunLabel(
        image_id=label.image_id, runs=find_runs(label.segment_map), segments=label.segments
    )
