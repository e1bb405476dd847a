"""The kinds of files that people hand to the command."""

from tests.faults import inputs, other_inputs
from tests.faults.tries import Kind

ANSWER = "--json answer.json"


def _dataset(place: str) -> tuple[str, ...]:
    """Return commands that read a dataset whole."""
    kinds = "--to full --to boxes+tags --to points --crops 12x16"
    return (
        f"inspect {place} {ANSWER}",
        f"check {place} {ANSWER}",
        f"convert {place} {kinds} --out out {ANSWER}",
    )


_VOC = _dataset("VOCdevkit/VOC2012 --format voc")
_SBD = _dataset("VOCdevkit/VOC2012 --format voc --split trainaug")
_CITY = "data --format cityscapes"
_SCENES = "world.toml --format scenes --max-images 1"
_GIVEN = f"pseudo-label --photos photos --recipe recipe.toml --out out {ANSWER} --boxes boxes.json"
_TRAIN = "train --labels nowhere --photos photos --out out"
"""It reads all settings, and then finds no labels."""

LABELS = "files: labels, lists and PNGs of datasets"
PHOTOS = "files: photos"
SETTINGS = "files: TOML, and --set"
PLANS = "files: plans, rows, weak labels"
RESULTS = "files: results to score"
NETWORKS = "files: weights, models, detections"

_KINDS = (
    Kind(
        name="coco-instances",
        group=LABELS,
        make=inputs.coco_instances,
        damaged=("*.json",),
        commands=(
            *_dataset("data --format coco-instances"),
            f"price data --format coco-instances {ANSWER}",
        ),
    ),
    Kind(
        name="coco-panoptic-json",
        group=LABELS,
        make=inputs.coco_panoptic,
        damaged=("*.json",),
        commands=_dataset("data --format coco-panoptic"),
    ),
    Kind(
        name="coco-panoptic-png",
        group=LABELS,
        make=inputs.coco_panoptic,
        damaged=("*.png",),
        commands=_dataset("data --format coco-panoptic"),
    ),
    Kind(
        name="voc-xml",
        group=LABELS,
        make=inputs.voc,
        damaged=("*.xml",),
        commands=_VOC,
    ),
    Kind(
        name="voc-lists",
        group=LABELS,
        make=inputs.voc,
        damaged=("*.txt",),
        commands=(*_VOC, *_SBD),
    ),
    Kind(
        name="voc-png",
        group=LABELS,
        make=inputs.voc,
        damaged=("*/Segmentation*/*.png",),
        commands=_VOC,
    ),
    Kind(
        name="sbd-mat",
        group=LABELS,
        make=inputs.voc,
        damaged=("*.mat",),
        commands=_SBD,
    ),
    Kind(
        name="cityscapes-polygons",
        group=LABELS,
        make=inputs.cityscapes,
        damaged=("*.json",),
        commands=_dataset(_CITY),
    ),
    Kind(
        name="cityscapes-png",
        group=LABELS,
        make=inputs.cityscapes,
        damaged=("data/gtFine/*.png",),
        commands=_dataset(_CITY),
    ),
    Kind(
        name="yolo-boxes",
        group=LABELS,
        make=inputs.yolo,
        damaged=("*.txt", "*.yaml"),
        commands=(
            f"inspect data --format yolo {ANSWER}",
            f"check data --format yolo {ANSWER}",
            f"convert data --format yolo --to boxes --out out {ANSWER}",
        ),
    ),
    Kind(
        name="yolo-polygons",
        group=LABELS,
        make=inputs.yolo_polygons,
        damaged=("*.txt", "*.yaml"),
        commands=_dataset("data --format yolo"),
    ),
    Kind(
        name="photo-png",
        group=PHOTOS,
        make=inputs.cityscapes,
        damaged=("data/leftImg8bit/*.png",),
        commands=(f"draw {_CITY} --out sheet.png", f"check {_CITY} --decode {ANSWER}"),
    ),
    Kind(
        name="photo-jpeg",
        group=PHOTOS,
        make=inputs.voc,
        damaged=("VOCdevkit/*.jpg",),
        commands=(
            "draw VOCdevkit/VOC2012 --format voc --out sheet.png",
            f"check VOCdevkit/VOC2012 --format voc --decode {ANSWER}",
        ),
    ),
    Kind(
        name="scenes",
        group=SETTINGS,
        make=inputs.scenes,
        damaged=("*.toml",),
        commands=(
            f"price {_SCENES} {ANSWER}",
            f"convert {_SCENES} --to full --to boxes --out out {ANSWER}",
        ),
    ),
    Kind(
        name="times",
        group=SETTINGS,
        make=other_inputs.times,
        damaged=("times.toml",),
        commands=(
            f"price data --format coco-instances --times times.toml {ANSWER}",
            f"price --statistics voc --times times.toml --break-even {ANSWER}",
        ),
    ),
    Kind(
        name="statistics",
        group=SETTINGS,
        make=other_inputs.statistics,
        damaged=("statistics.toml",),
        commands=(f"price --statistics statistics.toml {ANSWER}",),
    ),
    Kind(
        name="annotator",
        group=SETTINGS,
        make=other_inputs.annotator,
        damaged=("annotator.toml",),
        commands=(
            "convert data --format coco-panoptic --to full --to boxes+tags --to points "
            f"--annotator annotator.toml --out out {ANSWER}",
        ),
    ),
    Kind(
        name="recipe",
        group=SETTINGS,
        make=other_inputs.recipe,
        damaged=("recipe.toml",),
        commands=(f"{_TRAIN} --recipe recipe.toml",),
        status=1,
    ),
    Kind(
        name="set",
        group=SETTINGS,
        make=other_inputs.recipe,
        damaged=(),
        commands=(_TRAIN,),
        arguments=other_inputs.hostile_setting,
        status=1,
    ),
    Kind(
        name="study",
        group=SETTINGS,
        make=other_inputs.study,
        damaged=("study.toml",),
        commands=(f"study run study.toml --dry-run --out out {ANSWER}",),
        within=other_inputs.quick,
    ),
    Kind(
        name="plan",
        group=PLANS,
        make=other_inputs.plan,
        damaged=("plan.json",),
        commands=(f"convert data --format coco-panoptic --labels plan.json --out out {ANSWER}",),
    ),
    Kind(
        name="rows",
        group=PLANS,
        make=other_inputs.rows,
        damaged=("run/trials/*.json",),
        commands=(
            f"study report run {ANSWER}",
            f"study recommend run --hours 3 {ANSWER}",
            f"study break-even run --action box {ANSWER}",
        ),
        rewritten=("run/*.*",),
        within=other_inputs.quick,
    ),
    Kind(
        name="study-json",
        group=PLANS,
        make=other_inputs.rows,
        damaged=("run/study.json",),
        commands=(
            f"study report run {ANSWER}",
            f"study run run/study.json --dry-run --out new {ANSWER}",
        ),
        rewritten=("run/*.*",),
        within=other_inputs.quick,
    ),
    Kind(
        name="given-boxes",
        group=PLANS,
        make=other_inputs.given_labels,
        damaged=("boxes.json",),
        commands=(_GIVEN,),
    ),
    Kind(
        name="given-tags",
        group=PLANS,
        make=other_inputs.given_labels,
        damaged=("tags.json",),
        commands=(f"{_GIVEN} --tags tags.json",),
    ),
    Kind(
        name="panoptic-results",
        group=RESULTS,
        make=other_inputs.panoptic_results,
        damaged=("prediction*", "truth*"),
        commands=(f"evaluate --prediction prediction.json --truth truth.json {ANSWER}",),
    ),
    Kind(
        name="coco-results",
        group=RESULTS,
        make=other_inputs.coco_results,
        damaged=("results.json", "truth.json"),
        commands=tuple(
            "evaluate --prediction results.json --truth truth.json --format coco-instances "
            f"--masks {masks} --csv answer.csv {ANSWER}"
            for masks in ("whole", "disjoint")
        ),
    ),
    Kind(
        name="cityscapes-results",
        group=RESULTS,
        make=other_inputs.cityscapes_results,
        damaged=("maps/*", "masks/*"),
        commands=tuple(
            f"evaluate --prediction {folder} --truth {_CITY} --split train --metrics {metric} "
            f"{ANSWER}"
            for folder, metric in (("maps", "miou"), ("masks", "ap"))
        ),
    ),
    Kind(
        name="weights",
        group=NETWORKS,
        make=other_inputs.weights,
        damaged=("weights.pt",),
        commands=(f"{_TRAIN} --set backbone.weights=weights.pt",),
        status=1,
    ),
    Kind(
        name="model",
        group=NETWORKS,
        make=other_inputs.model,
        damaged=("run/*",),
        commands=(f"predict run photos --out out {ANSWER}",),
    ),
    Kind(
        name="detections",
        group=NETWORKS,
        make=other_inputs.detections,
        damaged=("detections.json",),
        commands=(f"predict run photos --detections detections.json --out out {ANSWER}",),
    ),
)

KINDS = {kind.name: kind for kind in _KINDS}
