"""A study as data: a dataset, mixes of label kinds, budgets, seeds and a training recipe."""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from annotools.errors import RecipeError
from annotools.settings import as_table, read_settings, set_by_path
from annotools.times import read_times
from wsps.recipe import TRAINABLE_KINDS, Recipe


@dataclass(frozen=True, kw_only=True)
class DatasetSettings:
    """Where the images are. A relative `root` starts at the folder of the study's file."""

    format: str
    root: Path
    train_split: str = "train"
    val_split: str = "val"
    max_train_images: int | None = None
    """Only the first so many images can be bought; all when absent."""
    max_val_images: int | None = None
    """Only the first so many images are scored; all when absent."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is asked: every mix at every budget with every seed is one trial."""

    name: str
    dataset: DatasetSettings
    mixes: Mapping[str, Mapping[str, float]]
    """By name of the mix, each label kind's share of the hours."""
    budgets_hours: tuple[float, ...]
    """The same for every mix."""
    seeds: tuple[int, ...] = (0, 1)
    times: str = "li2018"
    """Annotation times: a preset's name or the path of a TOML file."""
    ap_thresholds: str = "voc"
    """IoU thresholds of AP_vol: `voc` (0.1 to 0.9) or `cityscapes` (0.5 to 0.95)."""
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if not self.mixes or not self.budgets_hours or not self.seeds:
            raise RecipeError(f"study {self.name!r}: give at least one mix, budget and seed")
        if min(self.budgets_hours) <= 0:
            raise RecipeError(f"study {self.name!r}: budgets_hours must be positive")
        for name, mix in self.mixes.items():
            for kind in mix:
                if kind not in TRAINABLE_KINDS:
                    known = ", ".join(TRAINABLE_KINDS)
                    raise RecipeError(f"mixes.{name}: unknown label kind {kind!r}; use {known}")
        if self.ap_thresholds not in ("voc", "cityscapes"):
            raise RecipeError(f"ap_thresholds = {self.ap_thresholds!r}: use voc or cityscapes")

    def digest(self, mix: str) -> str:
        """Name all that a trial's result depends on beside its budget and seed."""
        table = as_table(self)
        settings = {key: table[key] for key in ("dataset", "ap_thresholds", "recipe")}
        # The order of kinds breaks ties of an allocation; a user's times may change in their file.
        settings["mix"] = list(self.mixes[mix].items())
        settings["times"] = as_table(read_times(self.times))
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def load_study(path: Path, changes: Sequence[str] = ()) -> Study:
    """Return the study of a TOML file.

    Args:
        path: of the file.
        changes: settings to replace, each as `recipe.semantic.steps=100`. A `dataset.root` given
            here starts at the working directory.

    Raises:
        RecipeError: when the file is missing or not TOML, or a setting is unknown or impossible.
    """
    if not path.is_file():
        raise RecipeError(f"{path}: no such file; a study is a TOML file")
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid TOML ({error})") from error
    base = path.parent
    for change in changes:
        if change.startswith("dataset.root"):
            base = Path.cwd()
        table = set_by_path(table, change)
    study = read_settings(Study, table, where=str(path))
    root = (base / study.dataset.root).resolve()
    return replace(study, dataset=replace(study.dataset, root=root))
