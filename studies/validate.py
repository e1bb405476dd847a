"""Say what is wrong with a study before anything runs: in a line, with the setting and a remedy."""

from collections.abc import Sequence
from pathlib import Path

from annotools.allocation.image_orders import ORDERS
from annotools.commands.options import tell
from annotools.errors import RecipeError, TimesError, name_place
from annotools.formats.source import open_source
from annotools.prices.actions import presets_for, unpriced_actions
from annotools.prices.image_content import empty_content
from annotools.prices.times import (
    AnnotationTimes,
    missing_time,
    read_times,
)
from annotools.records import NO_LABEL
from annotools.weak_labels.annotators import read_annotator
from studies.splits import LEFT_SHARE, check_splits, used_images
from studies.study import Study
from studies.trials import Trial
from wsps.networks.model import check_segmenter
from wsps.students import find_student


def check_study(study: Study, where: Path) -> None:
    """Make sure that all that a study names is there, can be read and fits, without planning it.

    Args:
        study: what to run.
        where: its file, which messages begin with.

    Raises:
        RecipeError: for an annotator or weights that cannot be read, an unknown student, or one
            split that is used twice.
        TimesError: for times that cannot be read, or that lack an action of a label kind.
        DatasetError: for a split that cannot be read, is empty or shares an image with another.
    """
    with name_place(str(where)):
        find_student(study.student)
        if study.annotator is not None:
            with name_place("annotator"):
                read_annotator(study.annotator)
        with name_place("times"):
            times = read_times(study.times)
        with name_place("recipe"):
            check_segmenter(study.recipe)
        open_source.cache_clear()  # The files may have changed since they were read last.
        check_splits(study.dataset)
        # An allocation has its own prices.
        if study.allocation is None:
            _check_prices(study, times)


def check_budgets(study: Study, trials: Sequence[Trial]) -> None:
    """Make sure that each budget can be used by a mix, and tell on stderr by which it cannot.

    A mix cannot use a budget where all images are bought and more than `LEFT_SHARE` of it is left.
    A trial that buys nothing but images with nothing to label is told, too.

    Raises:
        RecipeError: for a budget that no mix can use.
    """
    # A list of images, and an allocation, are a choice of their own.
    if study.allocation is not None or study.order not in ORDERS:
        return
    num_images = len(used_images(study.dataset.train_source))
    every = "the one image takes" if num_images == 1 else f"all {num_images:,} images take"
    for hours in sorted(study.budgets_hours):
        own = [trial for trial in trials if trial.budget_hours == hours]
        left = {t.mix: t.spent_hours for t in own if _leaves_hours(study, t, num_images)}
        more = f"{hours:g} h {'is' if hours == 1 else 'are'} more than"
        if own and left.keys() == {trial.mix for trial in own}:
            dearest = max(left, key=lambda mix: left[mix])
            raise RecipeError(
                f"study {study.name!r}: budgets_hours: {more} any mix can use: {every} at most "
                f"{left[dearest]:.3g} h ({dearest}): lower it"
            )
        tell(
            f'budgets_hours: {more} "{mix}" can use: {every} {spent:.3g} h, and the rest is not '
            "spent"
            for mix, spent in left.items()
        )
        tell(
            f'budgets_hours: with {hours:g} h and seed {trial.seed} "{trial.mix}" buys images that '
            "hold nothing to label, and spends nothing"
            for trial in own
            if trial.spent_hours == 0 and set(trial.kind_of.values()) - {NO_LABEL}
        )


def _leaves_hours(study: Study, trial: Trial, num_images: int) -> bool:
    """Return whether a trial has bought all images and leaves hours all the same."""
    bought = list(trial.kind_of.values())
    if study.share_by == "hours":
        # Images without a label are then those that nothing else bought.
        bought = [kind for kind in bought if kind != NO_LABEL]
    is_left = trial.spent_hours < (1 - LEFT_SHARE) * trial.budget_hours
    return is_left and len(bought) == num_images


def _check_prices(study: Study, times: AnnotationTimes) -> None:
    content = empty_content(open_source(study.dataset.train_source).categories)
    kinds = {kind: name for name, mix in study.mixes.items() for kind in mix if kind != NO_LABEL}
    for kind, mix in kinds.items():
        missing = unpriced_actions(content, kind, times)
        if missing:
            able = " or ".join(map(repr, presets_for(content, kinds)))
            raise TimesError(
                f"mixes.{mix}: {kind} has no price: {missing_time(times, missing[0])}"
                + (f", or take times = {able}" if able else "")
            )
