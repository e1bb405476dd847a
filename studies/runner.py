"""Run the trials of a study: what is done is kept, the rest runs."""

import shutil
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

from annotools.allocation.buy_images import buy_images
from annotools.allocation.plan_file import Allocation, PlanSettings, read_allocation
from annotools.errors import RecipeError
from annotools.formats.source import open_source
from annotools.parallel import available_processors, run_parallel
from annotools.progress import track
from annotools.records import TAGGED_KINDS, Image
from studies.folder import FEATURES_FOLDER, start_study
from studies.gpu_share import trials_on_gpu
from studies.results import TrialResult, read_result
from studies.splits import check_splits
from studies.study import Study, take_allocation
from studies.trials import Trial, remove_links, run_trial
from studies.validate import check_budgets
from wsps.device import has_gpu
from wsps.networks.backbone import check_backbone
from wsps.networks.weights import describe_weights
from wsps.pseudo_labels.label_images import ImageLabeller
from wsps.pseudo_labels.request import LabelTask, is_boxed, make_tasks
from wsps.pseudo_labels.rounds import keep_box_labels
from wsps.students import find_student


def run_study(study: Study, folder: Path, workers: int | None) -> list[TrialResult]:
    """Run the trials of a study that its folder does not have yet; return all results.

    Results come by mix, budget and seed, as `plan_trials` gives them.

    Args:
        study: what to run. Mixes, budgets and seeds may have been added since the last run.
        folder: of the study; made where it does not exist.
        workers: trials at the same time; None for one per processor, or with a GPU as many as
            `trials_on_gpu` finds room for.

    Raises:
        RecipeError: when the folder has a result of other settings, a budget buys no image, or the
            backbone's weights cannot be had; nothing has run then.
        DatasetError: when the folder belongs to another study, or the dataset cannot be read.
    """
    # A download that fails is told before the first image is read, and not by every trial.
    check_backbone(study.recipe.backbone)
    open_source.cache_clear()  # The files may have changed since the last run.
    trials = plan_trials(study, folder)
    check_budgets(study, trials)
    start_study(study, folder)
    # Every stored row is compared before anything runs, so that a refusal costs no training.
    missing = [trial for trial in trials if not _is_finished(trial)]
    try:
        _label_boxes(missing)
        running = run_parallel(run_trial, missing, workers or _default_workers(study, missing))
        for _ in track(running, "trials", total=len(missing)):
            pass
    except BrokenProcessPool as error:
        raise RecipeError(
            f"{folder}: a worker process died, most often for lack of memory; run again with "
            "fewer --workers, finished trials are kept"
        ) from error
    # Large, and of no use once every trial has its row.
    shutil.rmtree(folder / FEATURES_FOLDER, ignore_errors=True)
    # Rows of earlier runs and of this one are read alike, in the order of the plan.
    return [read_result(trial.result_path) for trial in trials]


def plan_trials(study: Study, folder: Path) -> tuple[Trial, ...]:
    """Return the trials of a study with what each of them buys, by mix, budget and seed.

    Raises:
        RecipeError: when there is no such student, a budget buys no image, or the list of images or
            the allocation does not fit the dataset.
        DatasetError: when the dataset cannot be read, or splits are empty or share an image.
        TimesError: when the times cannot be read, or lack an action.
    """
    settings = study.dataset
    find_student(study.student)
    check_splits(settings)
    train = open_source(settings.train_source)
    images = train.images[: settings.max_train_images]
    if study.allocation is not None:
        return _allocated_trials(study, folder, study.allocation, images)
    points = [
        (name, hours, seed)
        for name in study.mixes
        for hours in sorted(study.budgets_hours)
        for seed in study.seeds
    ]
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
    allocations, _ = buy_images(train, images, plans)
    return tuple(
        _plan_trial(study, folder, name, seed, bought)
        for (name, _, seed), bought in zip(points, allocations, strict=True)
    )


def _allocated_trials(
    study: Study, folder: Path, path: Path, images: Sequence[Image]
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
    if not set(TAGGED_KINDS).isdisjoint(stored.bought_kinds):
        stored.check_crops(study.recipe.tags.crop_size_wh)
    return tuple(_plan_trial(study, folder, path.stem, seed, stored) for seed in study.seeds)


def _plan_trial(study: Study, folder: Path, mix: str, seed: int, bought: Allocation) -> Trial:
    budget_hours = bought.settings.budget_hours
    if not bought.labelled:
        buy = "buys" if budget_hours == 1 else "buy"
        raise RecipeError(
            f"study {study.name!r}: budgets_hours: {budget_hours:g} h {buy} no image under mix "
            f"{mix!r} with seed {seed}: raise the budget or leave the mix out"
        )
    return Trial(
        study=study,
        mix=mix,
        budget_hours=budget_hours,
        seed=seed,
        kind_of=bought.kind_of,
        spent_hours=bought.spent_hours,
        study_folder=folder,
    )


def _is_finished(trial: Trial) -> bool:
    """Return whether the trial's result is there, made with the same settings."""
    if not trial.result_path.is_file():
        return False
    row, study = read_result(trial.result_path), trial.study
    # A file of weights may have been replaced under its name.
    made_with = (row.digest, row.weights)
    if made_with != (study.digest(trial.mix), describe_weights(study.recipe.backbone)):
        raise RecipeError(
            f"{trial.result_path}: made with other settings; delete it or use another --out"
        )
    remove_links(trial)  # A run may have been stopped just before it did.
    return True


def _label_boxes(trials: Sequence[Trial]) -> None:
    """Make the labels from boxes that trials share, each once, on all processors.

    Trials that run at the same time would each make those of an image that several have bought.
    """
    asked: dict[tuple[int | str, int], tuple[ImageLabeller, LabelTask]] = {}
    for trial in trials:
        request = trial.request
        labeller = ImageLabeller(request=replace(request, labels=""), out=trial.folder)
        # Without an annotator's mistakes boxes are the same for every seed.
        seed = 0 if request.annotator is None else request.seed
        for task in make_tasks(request, open_source(request.source), trial.folder):
            if is_boxed(task):
                asked.setdefault((task.image.image_id, seed), (labeller, task))
    keep_box_labels(list(asked.values()), available_processors())


def _default_workers(study: Study, trials: Sequence[Trial]) -> int:
    if has_gpu():
        return trials_on_gpu(study.recipe, len(trials), available_processors())
    return available_processors()
