"""Trials run in processes of this machine."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from annotools.errors import AnnotationError, StoppedError, UnfinishedError
from annotools.formats.source import open_source
from annotools.parallel import Lost, available_processors, run_isolated
from studies.engines.needs import Needs
from studies.running.gpu_share import trials_on_gpu
from studies.running.trial_process import run_stored
from studies.trials import Trial
from wsps.device import has_gpu
from wsps.pseudo_labels.label_images import ImageLabeller
from wsps.pseudo_labels.request import LabelTask, is_boxed, make_tasks
from wsps.pseudo_labels.rounds import keep_box_labels

UNFORESEEN = 70
"""With this a process ends that has noted its trial's failure and should not be used again."""

WISHED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals by which somebody stops a process: its trial goes on when the study is run again."""


def run_locally(
    trials: Sequence[Trial], workers: int | None, _needs: Needs
) -> Iterator[tuple[Trial, str | None]]:
    """Run stored trials; yield each when its process has done with it.

    Args:
        trials: each with its file.
        workers: trials at the same time; None for one per processor, or with GPUs as many as
            `trials_on_gpu` finds room for.

    Returns:
        Trials, and why the process of each was lost; None where it left all in the trial's folder,
        or was asked to stop. What they share is there before the first one.
    """
    _label_boxes(trials)
    return _run_all(trials, workers) if trials else iter(())


def count_workers(trials: Sequence[Trial]) -> int:
    """Return how many trials run at the same time where nobody says how many."""
    processors = available_processors()
    if not has_gpu():
        return processors
    num_gpus, recipe = len(_gpus()), trials[0].study.recipe
    of_one = trials_on_gpu(recipe, -(-len(trials) // num_gpus), processors // num_gpus)
    return num_gpus * of_one


def _run_all(trials: Sequence[Trial], workers: int | None) -> Iterator[tuple[Trial, str | None]]:
    trial_of = {trial.stored_path: trial for trial in trials}
    environments = _gpus() if has_gpu() else [{}]
    workers = workers or count_workers(trials)
    # Paths alone: a trial of a large dataset has a label kind for each of its images.
    for path, outcome in run_isolated(_run_stored, list(trial_of), workers, environments):
        yield trial_of[path], _why_lost(outcome) if isinstance(outcome, Lost) else None


def _run_stored(path: Path) -> None:
    """Run the trial of a file, in a worker."""
    with suppress(StoppedError, UnfinishedError):
        if not run_stored(path):
            raise SystemExit(UNFORESEEN)


def _why_lost(lost: Lost) -> str | None:
    """Return why a process ended, None where it was asked to or has noted it."""
    if lost.exit_code == UNFORESEEN or -lost.exit_code in WISHED:
        return None
    if -lost.exit_code == signal.SIGKILL:
        return "its process was killed, most often for lack of memory: run it with fewer --workers"
    if lost.exit_code < 0:
        return f"its process crashed ({signal.Signals(-lost.exit_code).name})"
    return f"its process ended with status {lost.exit_code}"


def _gpus() -> list[Mapping[str, str]]:
    """Return what shows a process one GPU, for each GPU that this one sees."""
    import torch

    variable = "CUDA_VISIBLE_DEVICES"
    numbers = [str(number) for number in range(torch.cuda.device_count())]
    names = os.environ[variable].split(",") if os.environ.get(variable) else numbers
    return [{variable: name} for name in names[: len(numbers)]]


def _label_boxes(trials: Sequence[Trial]) -> None:
    """Make the labels from boxes that trials share, each once, on all processors.

    Trials that run at the same time would each make those of an image that several have bought.
    """
    asked: dict[tuple[int | str, int], tuple[ImageLabeller, LabelTask]] = {}
    # What is wrong with an image is told by the trials that have bought it, and by them alone.
    with suppress(AnnotationError, OSError):
        for trial in trials:
            request = trial.request
            labeller = ImageLabeller(request=replace(request, labels=""), out=trial.folder)
            # Without an annotator's mistakes boxes are the same for every seed.
            seed = 0 if request.annotator is None else request.seed
            for task in make_tasks(request, open_source(request.source), trial.folder):
                if is_boxed(task):
                    asked.setdefault((task.image.image_id, seed), (labeller, task))
        keep_box_labels(list(asked.values()), available_processors())
