"""The labels of a split, round after round: each trains the network that makes the next.

Paper: Li, Arnab, Torr 2018, sec. 3.4.
"""

from collections.abc import Sequence
from pathlib import Path

from annotools.files import write_json
from annotools.formats.panoptic_folder import MANIFEST_FILE
from annotools.parallel import run_parallel
from annotools.progress import track
from annotools.records import Dataset
from wsps.pseudo_labels.label_images import ImageLabeller, ImageOutcome, ImageTask
from wsps.pseudo_labels.label_makers import FirstLabels, NextLabels
from wsps.pseudo_labels.label_store import BoxLabelStore
from wsps.pseudo_labels.output_folder import STATE_FOLDER, RoundFolder, round_folders
from wsps.pseudo_labels.request import LabelRequest, describe
from wsps.pseudo_labels.stored_classifier import StoredClassifier
from wsps.pseudo_labels.stored_network import LabelledImage, StoredNetwork, store_network
from wsps.pseudo_labels.tasks import labelled_at_first


def label_rounds(
    request: LabelRequest,
    dataset: Dataset,
    tasks: Sequence[ImageTask],
    out: Path,
    classifier: StoredClassifier | None,
    workers: int,
) -> list[list[ImageOutcome]]:
    """Write the labels of every round, and the manifest of every round but the last.

    Args:
        request: what to label, and in how many rounds.
        dataset: of the images.
        tasks: the images that have a label in the end.
        out: the folder that is filled.
        classifier: of tags, None without any.
        workers: processes that label at the same time.

    Returns:
        What the first labels came to, then those of each round, in the order of the tasks.

    Raises:
        DatasetError: when a photo or a label cannot be read.
        RecipeError: when training diverges.
        OSError: when a file cannot be written.
    """
    recipe, box_labels = request.recipe, _box_labels(request, out)
    folder, *others = round_folders(out, recipe.refinement.rounds)
    first = FirstLabels(
        box_method=recipe.box_method,
        refinement=recipe.refinement,
        classifier=classifier,
        box_labels=box_labels,
    )
    made = [_label(request, folder, labelled_at_first(tasks), first, workers)]
    network = None
    for following in others:
        assert box_labels is not None
        so_far = [outcome.task for outcome in made[-1]]
        manifest = describe(request, dataset, so_far, folder.number)
        write_json(folder.path / MANIFEST_FILE, manifest)
        network = _train(request, dataset, folder, made[-1], network)
        maker = NextLabels(round_number=following.number, network=network, box_labels=box_labels)
        made.append(_label(request, following, tasks, maker, workers))
        folder = following
    return made


def _box_labels(request: LabelRequest, out: Path) -> BoxLabelStore | None:
    """Return where labels from boxes are kept: with rounds always, because all of them ask."""
    source, folder = request.source, request.box_labels
    if folder is None and request.recipe.refinement.rounds > 0:
        folder = out / STATE_FOLDER / "box_labels"
    if folder is None:
        return None
    place = (source.format_name, source.root.resolve(), source.split)
    return BoxLabelStore(folder=folder, source=place, method=request.recipe.box_method)


def _label(
    request: LabelRequest,
    folder: RoundFolder,
    tasks: Sequence[ImageTask],
    maker: FirstLabels | NextLabels,
    workers: int,
) -> list[ImageOutcome]:
    labeller = ImageLabeller(
        source=request.source,
        folder=folder,
        crop_size_wh=request.recipe.tags.crop_size_wh,
        maker=maker,
    )
    num_rounds = request.recipe.refinement.rounds
    doing = f"labelling, round {folder.number} of {num_rounds}" if num_rounds else "labelling"
    found = track(run_parallel(labeller, tasks, workers), doing, total=len(tasks))
    outcome_of = {outcome.task.name: outcome for outcome in found}
    return [outcome_of[task.name] for task in tasks]


def _train(
    request: LabelRequest,
    dataset: Dataset,
    folder: RoundFolder,
    outcomes: Sequence[ImageOutcome],
    before: StoredNetwork | None,
) -> StoredNetwork:
    """Return the network that the labels of a round train, by label kind as in a study."""
    groups = [
        [
            LabelledImage(
                image=outcome.task.image,
                folder=folder.path,
                name=outcome.task.name,
                key=outcome.key,
            )
            for outcome in outcomes
            if outcome.task.kind == kind
        ]
        for kind in sorted({outcome.task.kind for outcome in outcomes})
    ]
    return store_network(
        folder.out / STATE_FOLDER / f"network-{folder.number}.pt",
        groups,
        before,
        dataset,
        request.recipe,
        request.seed,
        folder.number,
    )
