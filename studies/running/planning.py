"""Plan the trials of a study: what each of them buys, before anything runs."""

from collections.abc import Collection, Sequence
from pathlib import Path

from annotools.allocation.buy_images import Contents, bought_actions, buy_images
from annotools.allocation.plan_file import Allocation, PlanSettings, read_allocation
from annotools.errors import RecipeError
from annotools.formats.source import open_source
from annotools.prices.image_content import measure_images
from annotools.records import TAGGED_KINDS, Dataset, Image
from studies.results import trial_name
from studies.splits import check_splits
from studies.study import Study, take_allocation
from studies.trials import Trial
from wsps.pseudo_labels.methods import find_method
from wsps.students import find_student


def plan_trials(
    study: Study, folder: Path, names: Collection[str] | None = None
) -> tuple[Trial, ...]:
    """Return the trials of a study with what each of them buys, by mix, budget and seed.

    Args:
        study: what is asked.
        folder: of the study.
        names: of the trials that are wanted, None for all.

    Raises:
        RecipeError: when there is no such student or method of boxes, a budget buys no image, or
            the list of images or the allocation does not fit the dataset.
        DatasetError: when the dataset cannot be read, or splits are empty or share an image.
        TimesError: when the times cannot be read, or lack an action.
    """
    settings = study.dataset
    find_student(study.student)
    find_method(study.recipe.boxes.method)
    check_splits(settings)
    train = open_source(settings.train_source)
    images = train.images[: settings.max_train_images]
    points = [point for point in study.points if names is None or trial_name(*point) in names]
    if study.allocation is not None:
        return _allocated_trials(study, folder, study.allocation, train, images, points)
    plans = [
        PlanSettings(
            format=settings.format,
            root=settings.root,
            split=settings.train_split,
            mix=study.mixes[name],
            budget_hours=hours,
            share_by=study.share_by,
            order=study.order,
            seed=seed,
            times=study.times,
            crop_size_wh=study.recipe.tags.crop_size_wh,
            categories=settings.categories,
        )
        for name, hours, seed in points
    ]
    allocations, contents = buy_images(train, images, plans)
    return tuple(
        _plan_trial(study, folder, name, seed, bought, contents)
        for (name, _, seed), bought in zip(points, allocations, strict=True)
    )


def _allocated_trials(
    study: Study,
    folder: Path,
    path: Path,
    train: Dataset,
    images: Sequence[Image],
    points: Sequence[tuple[str, float, int]],
) -> tuple[Trial, ...]:
    """Return the trials of an allocation's file, one for each seed."""
    stored = read_allocation(path)
    # A stored study keeps the mix and the budget that it ran with; the file may have changed since.
    if study != take_allocation(study):
        raise RecipeError(
            f"{path}: has another mix or budget than when the study was read: start from the "
            "study's TOML file, with another --out"
        )
    stored.check_categories(study.dataset.categories)
    stored.check_images(image.image_id for image in images)
    crop_size_wh = study.recipe.tags.crop_size_wh
    with_tags = not set(TAGGED_KINDS).isdisjoint(stored.bought_kinds)
    stored.check_crops(crop_size_wh)
    bought = [image for image in images if image.image_id in stored.kind_of]
    contents = measure_images(train, bought, crop_size_wh, with_tags=with_tags)
    return tuple(_plan_trial(study, folder, mix, seed, stored, contents) for mix, _, seed in points)


def _plan_trial(
    study: Study, folder: Path, mix: str, seed: int, bought: Allocation, contents: Contents
) -> Trial:
    budget_hours = bought.settings.budget_hours
    if not bought.labelled:
        buy = "buys" if budget_hours == 1 else "buy"
        first = ""
        if bought.next_purchase is not None:
            kind, seconds = bought.next_purchase
            first = f", whose first takes {seconds / 3600:.2g} h ({kind})"
        raise RecipeError(
            f"study {study.name!r}: budgets_hours: {budget_hours:g} h {buy} no image under mix "
            f"{mix!r} with seed {seed}{first}: raise the budget or leave the mix out"
        )
    return Trial(
        study=study,
        mix=mix,
        budget_hours=budget_hours,
        seed=seed,
        kind_of=bought.kind_of,
        spent_hours=bought.spent_hours,
        actions=bought_actions(bought.kind_of, contents),
        study_folder=folder,
    )
