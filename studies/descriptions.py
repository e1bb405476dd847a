"""Sentences on a study's question, training and versions, for report and page.

Names of files, formats and weights are in backticks.
"""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from annotools.prices.times import AnnotationTimes
from studies.failures import TrialFailure
from studies.results import TrialResult
from studies.splits import LEFT_SHARE
from studies.study import Study
from studies.summary import summary_table


def question(study: Study) -> str:
    """Return what the study asks."""
    chosen = study.dataset.categories
    alone = "" if chosen is None else f", {chosen} alone,"
    return (
        f"Which labels give the best panoptic model of `{study.dataset.format}` "
        f"`{study.dataset.root.name}`{alone} for the same hours of annotation?"
    )


def mix_shares(study: Study) -> list[str]:
    """Return what each mix is made of: half: full 50%, boxes 50% of the hours."""
    lines = []
    for name, mix in study.mixes.items():
        total = sum(mix.values())
        shares = ", ".join(f"{kind} {share / total:.0%}" for kind, share in mix.items())
        lines.append(f"{name}: {shares} of the {study.share_by}")
    return lines


def progress(study: Study, results: Sequence[TrialResult], failures: Sequence[TrialFailure]) -> str:
    """Say how many trials are missing, and how many of these failed; empty where none is."""
    total, done, failed = len(study.points), len(results), len(failures)
    if done == total:
        return ""
    return (
        f"Only {done} of {total} trials are finished: what follows may change. "
        f"{failed} failed, {total - done - failed} are left."
    )


def explain_trivial(results: Sequence[TrialResult]) -> str:
    """Say what the trivial prediction is; empty where no row has its score."""
    if all(result.trivial_pq is None and result.trivial_miou is None for result in results):
        return ""
    return (
        "Trivial is the class that is most frequent in the scored images, everywhere in each of "
        "them: a model whose mean PQ is not a point above it, or whose mean mIoU is below it, has "
        "learnt nothing."
    )


def unspent(results: Sequence[TrialResult]) -> str:
    """Name the budgets that were not used up: images ran out, or the next one was too dear."""
    table = summary_table(results)
    left = table[table["spent_hours"] < (1 - LEFT_SHARE) * table["budget_hours"]]
    if left.empty:
        return ""
    cases = ", ".join(
        f"{row.mix} {row.spent_hours:.2f} of {row.budget_hours:g} h" for row in left.itertuples()
    )
    return f"Of these budgets more than a tenth was left over: {cases}."


def describe_training(results: Sequence[TrialResult]) -> str:
    """Say which students were trained, from which weights, for how long."""
    students = ", ".join(sorted({f"`{result.student}`" for result in results}))
    weights = ", ".join(sorted({f"`{result.weights}`" for result in results}))
    sentences = [f"Student: {students}. Its backbone started from these weights: {weights}."]
    steps: dict[str, list[int]] = {}
    for result in results:
        for stage, number in result.steps.items():
            steps.setdefault(stage, []).append(number)
    if steps:
        of_stages = ", ".join(f"{stage} {_span(numbers)}" for stage, numbers in steps.items())
        sentences.append(f"Steps: {of_stages}.")
    return " ".join(sentences)


def describe_versions(results: Sequence[TrialResult]) -> str:
    """Say which versions trained the rows and write the report."""
    trained_with = ", ".join(sorted({result.code_version for result in results}))
    packages = ", ".join(map(_describe_package, ("torch", "torchvision", "numpy")))
    return f"annotools {trained_with}; Python {platform.python_version()}, {packages}."


def explain_times(study: Study, times: AnnotationTimes) -> str:
    """Say which times priced the labels, and what tags are given on."""
    crop = study.recipe.tags.crop_size_wh
    tagged = "whole images" if crop is None else f"crops of {crop[0]} x {crop[1]} pixels"
    return f"Times `{times.name}`: {times.note} Tags are given on {tagged}."


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _describe_package(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        # Finished trials can be reported where nothing is trained.
        return f"no {name}"
