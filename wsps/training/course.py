"""What was noted while a network was trained, and its file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from annotools.files import write_whole


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What is noted at each step beside the loss: `read` gives (W,) values, one for each name."""

    names: tuple[str, ...]
    read: Callable[[], Tensor]


@dataclass(frozen=True, kw_only=True)
class Course:
    """What was noted of a stage of N steps.

    `losses` and `rates` (learning rates) are of each step; `watched` (N + 1, W) are the values of
    `names` before each step and after the last, (0, 0) where nothing is watched. `converged` says
    whether the loss was flat before the steps ran out, None where their number is fixed. `seconds`
    were spent on the steps of this process, and `waiting` of them waiting for batches.
    """

    losses: tuple[float, ...]
    rates: tuple[float, ...]
    converged: bool | None = None
    names: tuple[str, ...]
    watched: Tensor
    seconds: float = 0.0
    waiting: float = 0.0


def write_course(path: Path, course: Course) -> None:
    """Write a CSV with a row for each step, and one for the values watched after the last.

    Args:
        path: of the file.
        course: of a stage.

    Raises:
        OSError: when it cannot be written.
    """
    steps = zip(course.rates, course.losses, strict=True)
    rows = [[f"{rate:.6g}", f"{loss:.6g}"] for rate, loss in steps]
    if course.names:
        watched = [[f"{value:.6g}" for value in row] for row in course.watched.tolist()]
        rows = [a + b for a, b in zip([*rows, ["", ""]], watched, strict=True)]
    lines = [["step", "learning_rate", "loss", *course.names]]
    lines += [[str(step), *row] for step, row in enumerate(rows)]
    write_whole(path, "".join(",".join(line) + "\n" for line in lines).encode())
