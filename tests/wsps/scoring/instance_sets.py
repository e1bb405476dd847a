"""Truths and results of masks as COCO has them, and what pycocotools says of them, for tests."""

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.wsps.scoring_settings import make_settings
from wsps.scoring.evaluate import report_scores
from wsps.scoring.instance_results import score_disjoint_instances, score_instances

HEIGHT, WIDTH = 100, 120
CAT, DOG = 3, 7
CATEGORIES = [{"id": DOG, "name": "dog"}, {"id": CAT, "name": "cat"}]

Entry = dict[str, Any]


def rectangle(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.bool_]:
    """A mask; one of no width or height has no pixel."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return mask


def compress(mask: NDArray[np.bool_]) -> Entry:
    """Run lengths as text."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def list_runs(mask: NDArray[np.bool_]) -> Entry:
    """Run lengths as numbers."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": [0, *counts] if flat[0] else counts}


def entry(image_id: int, category_id: int, segmentation: Any, **more: Any) -> Entry:
    """An annotation with `iscrowd`, or a result with `score`."""
    return {"image_id": image_id, "category_id": category_id, "segmentation": segmentation} | more


def truth_file(truths: list[Entry], num_images: int) -> Entry:
    """The content of an instances file with images 0, 1, ..."""
    images = [
        {"id": i, "file_name": f"{i}.jpg", "width": WIDTH, "height": HEIGHT}
        for i in range(num_images)
    ]
    return {"images": images, "annotations": truths, "categories": CATEGORIES}


def our_rates(
    folder: Path, truth: Entry, results: list[Entry], *, disjoint: bool = False, **settings: Any
) -> dict[str, dict[str, float | None]]:
    """The rates of `cat`, `dog` and the means, through files."""
    path = folder / "annotations" / "instances_val.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))
    chosen = make_settings(**({"recalls": "101"} | settings))
    if disjoint:
        side = score_disjoint_instances(path, folder / "results.json")
    else:
        side = score_instances(path, folder / "results.json", chosen.thresholds)
    return {row.name: dict(row.rates) for row in report_scores([side], chosen).rows}


def pycocotools_rates(
    truth: Entry, results: list[Entry], *, recalls: Any = None, **settings: Any
) -> dict[str, dict[str, float | None]]:
    """The same of COCOeval, ids of annotations from 1; at its 101 recalls if none are given."""
    thresholds = make_settings(**settings).thresholds
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            _index(truth, truth["annotations"]), _index(truth, results, crowds=False), "segm"
        )
        evaluation.params.iouThrs = np.array(thresholds)
        if recalls is not None:
            evaluation.params.recThrs = recalls
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., -1]  # (T, R, K, A), -1 where undefined
    precision = np.where(precision < 0, np.nan, precision).mean(axis=1)
    names = {c["id"]: c["name"] for c in truth["categories"]}
    areas = evaluation.params.areaRngLbl
    found = {}
    for place, category_id in enumerate(evaluation.params.catIds):
        of_class = precision[:, place]  # (T, A)
        rates = {f"ap_{t}": of_class[i, 0] for i, t in enumerate(thresholds)}
        rates |= {f"ap_{area}": of_class[:, i].mean() for i, area in enumerate(areas)}
        rates["ap_vol"] = rates.pop("ap_all")
        found[names[category_id]] = {
            k: None if np.isnan(rate) else float(rate) for k, rate in rates.items()
        }
    means = {
        key: [of_class[key] for of_class in found.values() if of_class[key] is not None]
        for key in rates
    }
    found["all"] = {k: float(np.mean(defined)) if defined else None for k, defined in means.items()}
    return found


def _index(truth: Entry, entries: list[Entry], *, crowds: bool = True) -> COCO:
    size_of = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    coco = COCO()
    annotations = []
    for number, given in enumerate(copy.deepcopy(entries), start=1):
        runs = _encode(given["segmentation"], *size_of[given["image_id"]])
        area = float(coco_mask.area(runs))
        crowd = {"iscrowd": given.get("iscrowd", 0) if crowds else 0}
        area = given.get("area", area) if crowds else area
        annotations.append({**given, "id": number, "area": area, "segmentation": runs} | crowd)
    coco.dataset = {**truth, "annotations": annotations}
    coco.createIndex()
    return coco


def _encode(segmentation: Any, height: int, width: int) -> Entry:
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, height, width)
    return {**segmentation, "counts": segmentation["counts"].encode()}
