"""An allocation says which image gets which label at which price. It is kept as a JSON file."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotools.errors import AnnotationError, DatasetError, RecipeError
from annotools.files import write_whole
from annotools.prices.times import MAX_HOURS, MAX_SECONDS
from annotools.read_files import parse_own_json, read_long, shown
from annotools.records import NO_LABEL, TAGGED_KINDS
from annotools.settings import as_table, read_settings

WRITTEN_BY = "annotools plan"


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """Everything that an allocation follows from: the images, the budget and how to spend it.

    `mix` gives label kinds their shares, of the hours or of the images as `share_by` says.
    `order` is a text as `queue_images` takes it, `seed` that of all chance. `times` is a preset's
    name or the path of a file, `crop_size_wh` the pixels of the tagged crops (None for the whole
    image). `categories` are those that are labelled, as `recategorise` takes them (None for all).
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
    categories: str | None = None


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """The label kind and the price of each image bought; images left out have no label.

    `kind_of` and `seconds_of` are by image id, in order of purchase. Images of the kind `NO_LABEL`
    are used without a label, and cost nothing. `ran_out` is true where there was no further image
    to buy, however much is left; else `next_purchase` is the kind and the price in seconds of the
    first purchase that was too dear. A file does not tell either. `path` is the file that an
    allocation was read from.
    """

    settings: PlanSettings
    kind_of: Mapping[int | str, str]
    seconds_of: Mapping[int | str, float]
    ran_out: bool = False
    next_purchase: tuple[str, float] | None = None
    path: Path | None = None

    @property
    def spent_seconds(self) -> float:
        """The price of all labels together."""
        return sum(self.seconds_of.values())

    @property
    def spent_hours(self) -> float:
        """The price of all labels together."""
        return self.spent_seconds / 3600

    @property
    def left_seconds(self) -> float:
        """The part of the budget that was not spent."""
        # Rounding may let purchases exceed the budget by less than a billionth of it.
        return max(0.0, self.settings.budget_hours * 3600 - self.spent_seconds)

    @property
    def spent_by_kind(self) -> dict[str, float]:
        """The seconds of each kind of the mix, 0 where none was bought."""
        spent = dict.fromkeys(self.settings.mix, 0.0)
        for image_id, kind in self.kind_of.items():
            spent[kind] += self.seconds_of[image_id]
        return spent

    @property
    def labelled(self) -> tuple[int | str, ...]:
        """Ids of the images that got a label."""
        return tuple(i for i, kind in self.kind_of.items() if kind != NO_LABEL)

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

    def check_categories(self, categories: str | None) -> None:
        """Make sure that what is labelled is what was priced.

        Raises:
            RecipeError: when the categories are others.
        """
        planned = self.settings.categories
        if planned != categories:
            wanted, other = (c or "all" for c in (planned, categories))
            raise RecipeError(
                f"{self.path}: its prices are for the categories {wanted}, not for {other}: use "
                "the former, or plan again"
            )

    def check_crops(self, crop_size_wh: tuple[int, int] | None) -> None:
        """Make sure that the tags to be made, where any were bought, are those that were priced.

        Raises:
            RecipeError: when their crops are others.
        """
        planned = self.settings.crop_size_wh
        has_tags = not set(TAGGED_KINDS).isdisjoint(self.bought_kinds)
        if has_tags and planned != crop_size_wh:
            raise RecipeError(
                f"{self.path}: its prices are for {_describe_crops(planned)}, not for "
                f"{_describe_crops(crop_size_wh)}: use the former, or plan again"
            )


def write_allocation(path: Path, allocation: Allocation) -> None:
    """Write an allocation with the price of each image.

    Raises:
        OSError: when the file cannot be written.
    """
    images = [
        {"id": i, "kind": kind, "seconds": allocation.seconds_of[i]}
        for i, kind in allocation.kind_of.items()
    ]
    content = {
        "written_by": WRITTEN_BY,
        "settings": as_table(allocation.settings),
        # This and the next are for people: whoever reads the file works both out again.
        "spent_hours": allocation.spent_hours,
        "left_hours": allocation.left_seconds / 3600,
    }
    # One line an image: a file of many images stays readable, and differences are seen.
    lines = ",\n".join(json.dumps(image) for image in images)
    head = json.dumps(content, indent=1).removesuffix("\n}")
    write_whole(path, f'{head},\n "images": [\n{lines}\n]}}\n'.encode())


def read_allocation(path: Path) -> Allocation:
    """Read what `write_allocation` wrote.

    Raises:
        RecipeError: when the file cannot be read or is not an allocation; when an image is listed
            twice, or has a kind that is not in the mix.
    """
    try:
        content = parse_own_json(read_long(path))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}): check the path") from error
    except DatasetError as error:
        raise RecipeError(str(error)) from error
    except ValueError as error:
        raise RecipeError(f"{path}: not valid JSON ({error}): {_REMEDY}") from error
    if not isinstance(content, dict) or content.get("written_by") != WRITTEN_BY:
        raise RecipeError(f"{path}: not an allocation: {_REMEDY}")
    try:
        settings = read_settings(PlanSettings, _settings_of(content), where=str(path))
        if not 0 <= settings.budget_hours <= MAX_HOURS:
            raise RecipeError(f"budget_hours = {settings.budget_hours:g}: give 0 to {MAX_HOURS:g}")
        kind_of: dict[int | str, str] = {}
        seconds_of: dict[int | str, float] = {}
        listed = content.get("images")
        if not isinstance(listed, list):
            raise RecipeError("images is missing or not a list")
        for entry in listed:
            image_id, kind, seconds = _read_image(entry, settings.mix)
            if image_id in kind_of:
                raise RecipeError(f"image {image_id} is listed twice")
            kind_of[image_id], seconds_of[image_id] = kind, seconds
    except AnnotationError as error:
        # Only some of these errors begin with the path, and the message should have it once.
        message = str(error).removeprefix(f"{path}: ")
        raise RecipeError(f"{path}: {message}: {_REMEDY}") from error
    return Allocation(path=path, settings=settings, kind_of=kind_of, seconds_of=seconds_of)


def _settings_of(content: Mapping[str, Any]) -> Mapping[str, Any]:
    settings = content.get("settings")
    if not isinstance(settings, Mapping):
        raise RecipeError("settings is missing or not a table")
    return settings


_REMEDY = "make the file again with `annotools plan --out`"


def _read_image(entry: Any, mix: Mapping[str, float]) -> tuple[int | str, str, float]:
    known = entry if isinstance(entry, dict) else {}
    image_id, kind, seconds = (known.get(key) for key in ("id", "kind", "seconds"))
    # Of not-a-number the comparison is false.
    is_price = isinstance(seconds, int | float) and 0 <= seconds <= MAX_SECONDS
    if seconds is None or not is_price or not isinstance(image_id, int | str):
        raise RecipeError(f"images has {shown(entry)} instead of id, kind and seconds")
    if not isinstance(kind, str) or kind not in mix:
        raise RecipeError(
            f"image {shown(image_id)} has the kind {shown(kind)}, which is not in the mix"
        )
    return image_id, kind, float(seconds)


def _describe_crops(crop_size_wh: tuple[int, int] | None) -> str:
    return "whole images" if crop_size_wh is None else "crops of {}x{}".format(*crop_size_wh)
