"""A finished trial is a row: a JSON file for each, and a table of all."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from annotools.errors import RecipeError, as_line
from annotools.read_files import MAX_OWN_BYTES, parse_own_json, read_short
from annotools.seals import SEAL, is_sealed, write_sealed_json
from annotools.settings import read_settings

Record = TypeVar("Record")

_RATES = frozenset(
    (
        *(f"{rate}{part}" for rate in ("pq", "sq", "dq") for part in ("", "_things", "_stuff")),
        *("ap_vol", "miou", "miou_semantic", "trivial_pq", "trivial_miou", "filled_pq"),
        *("class_pq", "test"),
    )
)
"""Fields of a row that are scores, or have scores by name."""

_LARGEST = 1e12
"""No count, time or seed of a row is larger."""

TRIALS_FOLDER = "trials"
"""In a study's folder; it has a folder of each trial."""

RESULT_FILE = "result.json"
"""In a trial's folder: its row."""


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What one trial spent and reached. Scores are in [0, 1], None where undefined."""

    study: str
    mix: str
    budget_hours: float
    spent_hours: float
    images: Mapping[str, int]
    """Images bought, by label kind."""
    seed: int
    pq: float | None = None
    sq: float | None = None
    dq: float | None = None
    pq_things: float | None = None
    sq_things: float | None = None
    dq_things: float | None = None
    pq_stuff: float | None = None
    sq_stuff: float | None = None
    dq_stuff: float | None = None
    ap_vol: float | None = None
    miou: float | None = None
    """Of the semantic map that the panoptic output implies."""
    miou_semantic: float | None = None
    """Of the semantic network's own output."""
    seconds: float
    """Wall-clock time of the process that finished the trial, which may have gone on with one that
    was stopped; of the one that was trained, where another bought the same."""
    digest: str
    """Names dataset, recipe and prices."""
    code_version: str
    student: str = "li2018"
    """The segmenter that was trained."""
    weights: str = "none"
    """What its backbone started from: the name of weights, or of a file with its digest."""
    steps: Mapping[str, int] = field(default_factory=dict)
    """Of training, by stage."""
    converged: bool | None = None
    """Whether the loss of every stage was flat before its steps ran out; None where the recipe, or
    the number of views, fixes theirs, or an older version wrote the row."""
    trivial_pq: float | None = None
    """PQ of a prediction that is the most frequent class of the scored images everywhere."""
    trivial_miou: float | None = None
    """Its mIoU."""
    filled_pq: float | None = None
    """PQ of the trial's own boxes of things filled with their class, over the most frequent
    stuff."""
    class_pq: Mapping[str, float | None] = field(default_factory=dict)
    """PQ of each class by its name; empty where an older version wrote the row."""
    actions: Mapping[str, float] = field(default_factory=dict)
    """How often annotators did each action, questions asked in vain included; empty in rows of
    older versions."""
    times: str | None = None
    """The times that priced them: a preset's name, or the path of a file."""
    test: Mapping[str, float | None] = field(default_factory=dict)
    """Scores on the test split by the names of those above, for reports alone: whatever compares
    or chooses reads those above. Empty without such a split, and in rows of older versions."""


def trial_name(mix: str, budget_hours: float, seed: int) -> str:
    """Return the name of a trial, and of its folder: `boxes_2h_seed0`."""
    return f"{mix}_{budget_hours:g}h_seed{seed}"


def write_result(result: TrialResult, path: Path) -> None:
    """Write a result, sealed, so that the file is there whole or not at all."""
    write_sealed_json(path, asdict(result))


def read_result(path: Path) -> TrialResult:
    """Read a result.

    Raises:
        RecipeError: when the file is not a trial's result, or a value is impossible.
    """
    return read_record(TrialResult, path, "a trial's result", _check_values)


def read_whole_result(path: Path) -> TrialResult | None:
    """Return the result of a file; None without one, and for a damaged one."""
    if not path.is_file():
        return None
    try:
        return read_result(path)
    except RecipeError:
        return None


def read_record(
    record_type: type[Record],
    path: Path,
    what: str,
    check: Callable[[Record], None] = lambda _: None,
) -> Record:
    """Read what a trial left as JSON; a seal has to agree, and may be missing.

    Args:
        record_type: a dataclass.
        path: of the file.
        what: it should be, for the message.
        check: raises a RecipeError for a value that cannot be.

    Raises:
        RecipeError: when the file cannot be read, or is something else.
    """
    try:
        table = parse_own_json(read_short(path, MAX_OWN_BYTES))
        if not isinstance(table, dict):
            raise RecipeError("it has no names")
        # Rows that were written by hand, or elsewhere, have no seal.
        if SEAL in table and not is_sealed(table):
            raise RecipeError(f"it was damaged or changed since, its {SEAL} says")
        # Scores by name may be null; another field that is null has its default.
        given = {k: value for k, value in table.items() if value is not None and k != SEAL}
        record = read_settings(record_type, given, where=str(path))
        check(record)
    except ValueError as error:
        reason = as_line(error).removeprefix(f"{path}: ")
        raise RecipeError(
            f"{path}: not {what} ({reason}): correct it, or delete it and run the trial again"
        ) from error
    return record


def _check_values(row: TrialResult) -> None:
    """Make sure that the numbers of a row are possible.

    Raises:
        RecipeError: when one is not.
    """
    for name, value in asdict(row).items():
        for key, number in value.items() if isinstance(value, dict) else [("", value)]:
            if not isinstance(number, int | float) or isinstance(number, bool):
                continue
            most = 1.0 if name in _RATES else _LARGEST
            # Comparisons are false for what is not a number.
            if not 0 <= number <= most:
                place = f"{name}.{key}" if key else name
                raise RecipeError(f"{place} = {number:g} is not between 0 and {most:g}")
    if row.budget_hours == 0:
        raise RecipeError("budget_hours = 0 buys nothing")


def row_paths(folder: Path) -> list[Path]:
    """Return the files of a study's folder that hold results."""
    # Rows that a cluster brought may lie there as files of their own.
    trials = folder / TRIALS_FOLDER
    return sorted([*trials.glob(f"*/{RESULT_FILE}"), *trials.glob("*.json")])


def read_results(folder: Path) -> list[TrialResult]:
    """Read all results of a study's folder, ordered by mix, budget and seed.

    Raises:
        RecipeError: when there is none, the folder is missing or a file, a file is not a result, or
            two rows of one trial differ.
    """
    if not folder.exists():
        raise RecipeError(f"{folder}: no such folder: give the folder of a study, its --out")
    if folder.is_file():
        raise RecipeError(f"{folder}: is a file: give the folder of a study, its --out")
    paths = row_paths(folder)
    if not paths:
        raise RecipeError(f"{folder}: no finished trial; run `annotools study run` first")
    # A row that is there twice, as a folder's and as a file's, would make advice too sure.
    found: dict[tuple[str, str, str, float, int], tuple[Path, TrialResult]] = {}
    for path in paths:
        row = read_result(path)
        key = row.study, row.student, row.mix, row.budget_hours, row.seed
        other, known = found.setdefault(key, (path, row))
        if known != row:
            raise RecipeError(
                f"{path}: is of the same trial as {other}, with another result: delete one of them"
            )
    results = [row for _, row in found.values()]
    return sorted(results, key=lambda r: (r.mix, r.budget_hours, r.seed))


def to_frame(results: list[TrialResult]) -> pd.DataFrame:
    """Return a row for each trial; what is given by name has a column for each of its names."""
    rows: list[dict[str, Any]] = []
    kinds = sorted({kind for result in results for kind in result.images})
    for result in results:
        row = asdict(result)
        images = row.pop("images")
        # A kind that was not bought counts as 0: a missing value would drop out of means.
        row |= {f"images_{kind}": images.get(kind, 0) for kind in kinds}
        for name in ("steps", "class_pq", "actions", "test"):
            row |= {f"{name}_{key}": value for key, value in row.pop(name).items()}
        rows.append(row)
    return pd.DataFrame(rows)
