"""A study is data: a dataset, mixes of label kinds, budgets, seeds and a training recipe."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from annotools.allocation.allocate import MIX_KINDS
from annotools.allocation.image_orders import ORDERS
from annotools.allocation.plan_file import read_allocation
from annotools.errors import RecipeError
from annotools.files import digest
from annotools.formats.source import Source
from annotools.prices.times import MAX_HOURS, read_times
from annotools.read_files import MAX_OWN_BYTES, parse_own_json, read_short, read_text
from annotools.records import NO_LABEL
from annotools.settings import (
    as_table,
    is_own_file,
    read_settings,
    read_toml,
    set_by_path,
    without_nulls,
)
from annotools.weak_labels.annotators import read_annotator
from wsps.evaluation.average_precision import THRESHOLDS
from wsps.recipe import DEFAULT_STUDENT, Recipe
from wsps.recipe_files import complete_recipe, place_weights, recipe_of_study

MAX_SEED = 10**12
"""Rows have their seed, and every generator of random numbers takes it."""

DIGEST_VERSION = 4
"""Raised whenever the same study would give other rows: older ones are not taken for them."""


@dataclass(frozen=True, kw_only=True)
class DatasetSettings:
    """Where the images are. A relative `root` starts at the folder of the study's file."""

    format: str
    root: Path
    train_split: str = "train"
    val_split: str = "val"
    test_split: str | None = None
    """Scored as well, for the report alone: nothing is chosen by it; none when absent."""
    max_train_images: int | None = None
    """How many images, the first ones, can be bought; all when absent."""
    max_val_images: int | None = None
    """How many images, the first ones, are scored; all when absent."""
    max_test_images: int | None = None
    """How many images of the test split, the first ones, are scored; all when absent."""
    categories: str | None = None
    """The few that are studied, `person,dog`, all else being background, or `voc` for Pascal VOC's;
    all when absent."""
    allow_missing: bool = False
    """Leave out images of which a file is missing, and objects that are impossible."""

    def __post_init__(self) -> None:
        if self.test_split is None and self.max_test_images is not None:
            raise RecipeError(
                "max_test_images is given and no test_split: name it, or give neither"
            )

    @property
    def train_source(self) -> Source:
        """Where the images that can be bought come from."""
        return self._source(self.train_split, self.max_train_images)

    @property
    def val_source(self) -> Source:
        """Where the images that are scored come from."""
        return self._source(self.val_split, self.max_val_images)

    @property
    def test_source(self) -> Source | None:
        """Where the images come from that no choice sees, None without any."""
        if self.test_split is None:
            return None
        return self._source(self.test_split, self.max_test_images)

    def _source(self, split: str, max_images: int | None) -> Source:
        return Source(
            format_name=self.format,
            root=self.root,
            split=split,
            categories=self.categories,
            max_images=max_images,
            allow_missing=self.allow_missing,
        )


def dataset_table(settings: DatasetSettings) -> dict[str, Any]:
    """Return the settings as JSON can hold them, without those that came later and are not used.

    So studies that were run before these settings were there are the same as ever.
    """
    table: dict[str, Any] = as_table(settings)
    if settings.test_split is None:
        del table["test_split"], table["max_test_images"]
    if not settings.allow_missing:
        del table["allow_missing"]
    return table


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is asked: every mix at every budget with every seed is one trial."""

    name: str
    dataset: DatasetSettings
    mixes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By name of the mix, each label kind's share; `none` for images used without a label."""
    budgets_hours: tuple[float, ...] = ()
    """The same for every mix."""
    share_by: str = "hours"
    """What the shares are shares of: `hours` or `images`."""
    order: str = "random"
    """Which images are bought first: `random`, `cheapest`, `most-categories`, or the path of a
    text file that lists image ids."""
    allocation: Path | None = None
    """A file of `annotools plan`; its one allocation then takes the place of mixes, budgets,
    order and prices, named after the file."""
    annotator: Path | None = None
    """A file of habits; the mistakes, drawn anew with each seed, are in the training labels alone.
    Without it there are none."""
    seeds: tuple[int, ...] = (0, 1)
    times: str = "li2018"
    """Annotation times: a preset's name or the path of a TOML file."""
    ap_thresholds: str = "voc"
    """IoU thresholds of AP_vol: `voc` (0.1 to 0.9) or `cityscapes` (0.5 to 0.95)."""
    keep_links: bool = False
    """Whether each trial keeps its labels, networks and predictions, not its row alone."""
    student: str = DEFAULT_STUDENT
    """The segmenter that is trained: a key of `wsps.students.STUDENTS`."""
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        bought = self.allocation is not None or (self.mixes and self.budgets_hours)
        if not bought or not self.seeds:
            raise RecipeError(f"study {self.name!r}: give at least one mix, budget and seed")
        # A comparison with what is not a number is false.
        if not all(0 < hours <= MAX_HOURS for hours in self.budgets_hours):
            raise RecipeError(
                f"budgets_hours: give hours above 0 and up to {MAX_HOURS:g}, such as [0.5, 2, 8]"
            )
        for name, mix in self.mixes.items():
            for kind, share in mix.items():
                if not 0 < share < math.inf:
                    raise RecipeError(f"mixes.{name}.{kind} = {share:g}: give a share above 0")
                if kind not in MIX_KINDS:
                    known = ", ".join(MIX_KINDS)
                    raise RecipeError(f"mixes.{name}: unknown label kind {kind!r}; use {known}")
            if NO_LABEL in mix and self.recipe.refinement.rounds == 0:
                raise RecipeError(
                    f"mixes.{name}: images without a label are used in rounds of self-training "
                    "alone: set recipe.refinement.rounds"
                )
        if self.ap_thresholds not in THRESHOLDS:
            known = " or ".join(THRESHOLDS)
            raise RecipeError(f"ap_thresholds = {self.ap_thresholds!r}: use {known}")
        self._check_names()

    def _check_names(self) -> None:
        """Make sure that no two trials have the same folder."""
        for mix in self.mixes:
            if not mix or mix.startswith(".") or set(mix) & set("/\\\0"):
                raise RecipeError(f"mix {mix!r}: its name must do as a file's name; rename it")
        # Results are filed under their budget, which is written to six digits there.
        for name, written in (
            ("budgets_hours", [f"{hours:g}" for hours in self.budgets_hours]),
            ("seeds", [str(seed) for seed in self.seeds]),
        ):
            if len(set(written)) < len(written):
                raise RecipeError(f"{name} has one value twice: {', '.join(written)}")
        if not 0 <= min(self.seeds) <= max(self.seeds) <= MAX_SEED:
            raise RecipeError(f"seeds must not be negative, nor above {MAX_SEED:,}: give others")

    @property
    def points(self) -> list[tuple[str, float, int]]:
        """Mix, budget and seed of each trial, in this order."""
        return [
            (mix, hours, seed)
            for mix in self.mixes
            for hours in sorted(self.budgets_hours)
            for seed in self.seeds
        ]

    def digest(self, mix: str) -> str:
        """Return a key of all that a trial's result depends on, without its budget and seed."""
        table = as_table(self)
        used = ("ap_thresholds", "student", "recipe", "share_by")
        settings = {k: table[k] for k in used} | {"dataset": dataset_table(self.dataset)}
        # The order of kinds breaks ties of an allocation. Files may change under their names. A
        # dataset is too large to be read here, but for a world of scenes.
        root = self.dataset.root
        world = read_text(root) if self.dataset.format == "scenes" and root.is_file() else None
        stored = None if self.allocation is None else read_allocation(self.allocation)
        return digest(
            DIGEST_VERSION,
            settings,
            # Only this mix, so that adding another one leaves the rows of this one valid.
            list(self.mixes[mix].items()),
            read_times(self.times),
            self.order if self.order in ORDERS else read_text(Path(self.order)),
            world,
            None if stored is None else [list(stored.kind_of.items()), stored.spent_hours],
            None if self.annotator is None else read_annotator(self.annotator),
        )[:12]


def take_allocation(study: Study) -> Study:
    """Return the study with mix and budget of its allocation's file, if it has one.

    Raises:
        RecipeError: when the file is not an allocation, or has a kind that cannot be trained on.
    """
    if study.allocation is None:
        return study
    settings = read_allocation(study.allocation).settings
    mixes = {study.allocation.stem: settings.mix}
    return replace(study, mixes=mixes, budgets_hours=(settings.budget_hours,))


def load_study(path: Path, changes: Sequence[str] = ()) -> Study:
    """Return the study of a TOML file, or of the JSON file in the folder of a study.

    Relative paths of dataset, order, allocation, annotator, times and the recipe's weights start at
    the file's folder, or at the working directory where they are given as a change. The recipe may
    inherit from another one, and does from `default_recipe` where it names none.

    Args:
        path: of the file.
        changes: settings to replace, each as `recipe.semantic.steps=100`.

    Raises:
        RecipeError: when the file is missing or not a study, or a setting is unknown or impossible.
    """
    is_stored = path.suffix == ".json"
    if path.is_dir():
        raise RecipeError(
            f"{path}: is a folder; a study is a TOML file, or study.json in its folder"
        )
    if not path.is_file():
        remedy = "give the folder of a study that has been run"
        raise RecipeError(
            f"{path}: no such file; {remedy if is_stored else 'a study is a TOML file'}"
        )
    table = _read_stored(path) if is_stored else read_toml(path)
    table = {**table, "recipe": place_weights(table.get("recipe", {}), path.parent)}
    for change in changes:
        table = set_by_path(table, change)
    # A stored study has all settings.
    own = table["recipe"] if is_stored else recipe_of_study(table)
    table["recipe"] = complete_recipe(own, path)
    study = read_settings(Study, table, where=str(path))

    def place(setting: str, given: Path) -> Path:
        is_changed = any(change.startswith(setting) for change in changes)
        return ((Path.cwd() if is_changed else path.parent) / given).resolve()

    order, allocation, annotator = study.order, study.allocation, study.annotator
    placed = replace(
        study,
        dataset=replace(study.dataset, root=place("dataset.root", study.dataset.root)),
        order=order if order in ORDERS else str(place("order", Path(order))),
        allocation=None if allocation is None else place("allocation", allocation),
        annotator=None if annotator is None else place("annotator", annotator),
        times=str(place("times", Path(study.times))) if is_own_file(study.times) else study.times,
    )
    # A stored study has its allocation's mix and budget: these are what its trials ran with.
    return placed if is_stored else take_allocation(placed)


def _read_stored(path: Path) -> dict[str, Any]:
    try:
        table = parse_own_json(read_short(path, MAX_OWN_BYTES))
    except ValueError as error:
        raise RecipeError(f"{path}: not a stored study ({error}); use another --out") from error
    if not isinstance(table, dict):
        raise RecipeError(f"{path}: not a stored study; use another --out")
    return dict(without_nulls(table))
