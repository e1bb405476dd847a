"""An allocation as a JSON file: what was asked, and the kind and price of each image bought."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotools.allocation.allocate import Allocation
from annotools.errors import AnnotationError, RecipeError
from annotools.files import write_whole
from annotools.records import NO_LABEL
from annotools.settings import as_table, read_settings

WRITTEN_BY = "annotools plan"


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """What an allocation follows from: a dataset, and the arguments of `allocate`.

    `order` is a text as `queue_images` takes it, `times` a preset's name or the path of a file,
    `crop_size_wh` the pixels of the tagged crops (None for the whole image).
    """

    format: str
    root: Path
    split: str
    mix: Mapping[str, float]
    budget_hours: float
    share_by: str = "hours"
    order: str = "random"
    seed: int = 0
    times: str = "li2018"
    crop_size_wh: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class StoredAllocation:
    """The content of an allocation's file.

    `path` is the file, `kind_of` and `seconds_of` are by image id, in order of purchase.
    """

    path: Path
    settings: PlanSettings
    kind_of: Mapping[int | str, str]
    seconds_of: Mapping[int | str, float]

    @property
    def spent_hours(self) -> float:
        """The price of all labels together."""
        return sum(self.seconds_of.values()) / 3600

    @property
    def bought_kinds(self) -> tuple[str, ...]:
        """The label kinds of its images, in the order of the mix."""
        found = set(self.kind_of.values())
        return tuple(kind for kind in self.settings.mix if kind in found and kind != NO_LABEL)

    def check_images(self, image_ids: Iterable[int | str]) -> None:
        """Make sure that a dataset has the images.

        Raises:
            RecipeError: when it does not.
        """
        known = set(image_ids)
        absent = [str(image_id) for image_id in self.kind_of if image_id not in known]
        if absent:
            named = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
            raise RecipeError(
                f"{self.path}: {len(absent)} images are not in the dataset ({named}): "
                f"it was made for {self.settings.root}, split {self.settings.split}"
            )

    def check_crops(self, crop_size_wh: tuple[int, int] | None) -> None:
        """Make sure that the tags to be made are those that were priced.

        Raises:
            RecipeError: when their crops are others.
        """
        planned = self.settings.crop_size_wh
        if planned != crop_size_wh:
            raise RecipeError(
                f"{self.path}: its prices are for {_describe_crops(planned)}, not for "
                f"{_describe_crops(crop_size_wh)}: use the former, or plan again"
            )


def write_allocation(
    path: Path,
    settings: PlanSettings,
    bought: Allocation,
    prices: Mapping[int | str, Mapping[str, float]],
) -> None:
    """Write an allocation with the price of each image.

    Raises:
        OSError: when the file cannot be written.
    """
    images = [
        {"id": i, "kind": kind, "seconds": 0.0 if kind == NO_LABEL else prices[i][kind]}
        for i, kind in bought.kind_of.items()
    ]
    content = {
        "written_by": WRITTEN_BY,
        "settings": as_table(settings),
        "spent_hours": bought.spent_seconds / 3600,
        "left_hours": bought.left_seconds / 3600,
    }
    lines = ",\n".join(json.dumps(image) for image in images)
    head = json.dumps(content, indent=1).removesuffix("\n}")
    write_whole(path, f'{head},\n "images": [\n{lines}\n]}}\n'.encode())


def read_allocation(path: Path) -> StoredAllocation:
    """Read what `write_allocation` wrote.

    Raises:
        RecipeError: when the file cannot be read or is not an allocation; when an image is listed
            twice, or has a kind that is not in the mix.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}): check the path") from error
    except ValueError as error:
        raise RecipeError(f"{path}: not valid JSON ({error}): {_REMEDY}") from error
    if not isinstance(content, dict) or content.get("written_by") != WRITTEN_BY:
        raise RecipeError(f"{path}: not an allocation: {_REMEDY}")
    try:
        settings = read_settings(PlanSettings, content.get("settings", {}), where=str(path))
        kind_of: dict[int | str, str] = {}
        seconds_of: dict[int | str, float] = {}
        for entry in content.get("images", []):
            image_id, kind, seconds = _read_image(entry, settings.mix)
            if image_id in kind_of:
                raise RecipeError(f"image {image_id} is listed twice")
            kind_of[image_id], seconds_of[image_id] = kind, seconds
    except AnnotationError as error:
        message = str(error).removeprefix(f"{path}: ")
        raise RecipeError(f"{path}: {message}: {_REMEDY}") from error
    return StoredAllocation(path=path, settings=settings, kind_of=kind_of, seconds_of=seconds_of)


_REMEDY = "make the file again with `annotools plan --out`"


def _read_image(entry: Any, mix: Mapping[str, float]) -> tuple[int | str, str, float]:
    try:
        image_id, kind, seconds = entry["id"], entry["kind"], float(entry["seconds"])
    except (TypeError, KeyError, ValueError) as error:
        raise RecipeError(f"images has {entry!r} instead of id, kind and seconds") from error
    if not isinstance(image_id, int | str) or kind not in mix:
        raise RecipeError(f"image {image_id!r} has the kind {kind!r}, which is not in the mix")
    return image_id, kind, seconds


def _describe_crops(crop_size_wh: tuple[int, int] | None) -> str:
    return "whole images" if crop_size_wh is None else "crops of {}x{}".format(*crop_size_wh)
