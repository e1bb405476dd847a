"""Show a training while it runs: losses, rates, weights, waiting and pictures, in TensorBoard."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from annotools.errors import RecipeError


class Board:
    """Writes to a folder that `tensorboard --logdir` shows.

    Args:
        folder: made where it does not exist.

    Raises:
        RecipeError: when TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise RecipeError(
                "--tensorboard needs TensorBoard: pip install 'annotools[parallel]'"
            ) from error
        self._writer: Any = SummaryWriter(str(folder))

    def add_steps(self, stage: str, first: int, values: Mapping[str, Sequence[float]]) -> None:
        """Write values of some steps of a stage, by name.

        Args:
            stage: its name.
            first: the step of the first value.
            values: of each step.
        """
        for name, course in values.items():
            for step, value in enumerate(course, start=first):
                self._writer.add_scalar(f"{stage}/{name}", value, step)
        self._writer.flush()

    def add_picture(self, stage: str, name: str, step: int, picture: NDArray[Any]) -> None:
        """Write an (H, W, 3) RGB picture of 0 to 255."""
        self._writer.add_image(f"{stage}/{name}", picture, step, dataformats="HWC")
        self._writer.flush()
