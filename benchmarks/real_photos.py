"""Studies of real photos on a frozen backbone: above the trivial prediction, and more with hours.

    python benchmarks/real_photos.py --weights thin_resnet50.pt --coco COCO --cityscapes CITYSCAPES

Photos that train and photos that are scored are other ones, of other cities where there are cities.
Every row of a trial is printed, then for each mix what each budget gains over each smaller
one, paired by seed, and over the trivial prediction.
"""

import json
import tempfile
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from convert import describe_machine
from instance import describe_difference

from annotools.formats.source import Source, open_source
from studies.results import TrialResult
from studies.running.runner import run_study
from studies.study import load_study

THIN = {"name": "thin-resnet50", "output_stride": 16, "frozen": True}

COCO_CATEGORIES = 5
"""Those with most pixels: most of the others have a handful of objects in two hundred photos."""


def main(
    weights: Annotated[Path, typer.Option(help="Of thin-resnet50.")],
    coco: Annotated[Path | None, typer.Option(help="Has annotations/ and train2017/.")] = None,
    cityscapes: Annotated[Path | None, typer.Option(help="Has leftImg8bit/ and gtFine/.")] = None,
    seeds: int = 3,
    workers: Annotated[int, typer.Option(help="Trials at the same time.")] = 2,
    out: Annotated[Path | None, typer.Option(help="Where studies are kept.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="STUDY", help="A study to run; repeat it.")
    ] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="Of the studies.")] = None,
) -> None:
    """Run the studies that are asked for, and print their tables."""
    typer.echo(describe_machine())
    folder = out or Path(tempfile.mkdtemp())
    for name, root, split in (
        # Two to four photos, some thirty, and most.
        ("coco-full", coco, partial(split_coco, kind="full", hours=[0.5, 2, 10])),
        # Boxes are cheap: in half an hour most photos have theirs.
        ("coco-boxes", coco, partial(split_coco, kind="boxes", hours=[0.1, 0.5])),
        ("cityscapes", cityscapes, split_cityscapes),
    ):
        if root is None or (only and name not in only):
            continue
        place = folder / name
        settings = split(root.resolve(), place / "photos")
        recipe = {"inherit": "frozen", "backbone": THIN | {"weights": str(weights.resolve())}}
        recipe |= settings.pop("recipe")
        settings |= {"name": name, "seeds": list(range(seeds)), "recipe": recipe}
        write_toml(place / "study.toml", settings)
        run = run_study(load_study(place / "study.toml", changes or ()), place / "study", workers)
        report(run.results)


def split_coco(root: Path, out: Path, kind: str, hours: list[float]) -> dict[str, Any]:
    """Write a split of COCO's photos, every sixth for scores; return the study's settings."""
    listed = json.loads((root / "annotations/instances_train2017.json").read_bytes())
    images = sorted(listed["images"], key=lambda image: image["id"])
    for split in ("train", "val"):
        part = [im for n, im in enumerate(images) if (n % 6 == 5) == (split == "val")]
        ids = {image["id"] for image in part}
        objects = [one for one in listed["annotations"] if one["image_id"] in ids]
        (out / "annotations").mkdir(parents=True, exist_ok=True)
        path = out / f"annotations/instances_{split}.json"
        path.write_text(json.dumps(listed | {"images": part, "annotations": objects}))
        link(out / split, root / "train2017")
    area: dict[int, float] = {}
    for one in listed["annotations"]:
        area[one["category_id"]] = area.get(one["category_id"], 0.0) + one["area"]
    most = sorted(area, key=lambda category: -area[category])[:COCO_CATEGORIES]
    names = [entry["name"] for entry in listed["categories"] if entry["id"] in most]
    return {
        "dataset": {
            "format": "coco-instances",
            "root": str(out),
            "categories": ",".join(names),
        },
        "mixes": {kind: {kind: 1}},
        "budgets_hours": hours,
        "recipe": {},
    }


def split_cityscapes(root: Path, out: Path) -> dict[str, Any]:
    """Link the cities, the last two for scores; return the study's settings."""
    cities = sorted(path.name for path in (root / "leftImg8bit/train").iterdir())
    for number, city in enumerate(cities):
        split = "val" if number >= len(cities) - 2 else "train"
        for kind in ("leftImg8bit", "gtFine"):
            (out / kind / split).mkdir(parents=True, exist_ok=True)
            link(out / kind / split / city, root / kind / "train" / city)
    images = len(open_source(Source(format_name="cityscapes", root=out, split="train")).images)
    return {
        "dataset": {"format": "cityscapes", "root": str(out)},
        "mixes": {"full": {"full": 1}},
        # A full label takes an hour and a half.
        "budgets_hours": [4.5, 1.5 * images],
        "recipe": {"images": {"max_side": 1024}, "tags": {"crop_size_wh": [500, 400]}},
    }


def link(path: Path, target: Path) -> None:
    """Make a link, unless it is there."""
    if not path.exists():
        path.symlink_to(target)


def write_toml(path: Path, table: dict[str, Any]) -> None:
    """Write a table; JSON's values are TOML's too, but for tables."""
    path.write_text("".join(f"{key} = {as_toml(value)}\n" for key, value in table.items()))


def as_toml(value: Any) -> str:
    """Return a value in one line."""
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(k)} = {as_toml(v)}" for k, v in value.items())
        return f"{{ {inner} }}"
    return json.dumps(value)


def report(results: Sequence[TrialResult]) -> None:
    """Print the rows of the trials, and paired differences."""
    typer.echo(
        "| study | mix | hours | seed | images | PQ | trivial | mIoU | trivial | steps | s |"
    )
    typer.echo("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in results:
        scores = [row.pq, row.trivial_pq, row.miou, row.trivial_miou]
        cells = [row.study, row.mix, f"{row.budget_hours:g}", row.seed, sum(row.images.values())]
        steps = " ".join(map(str, row.steps.values())) + (
            " (cut off)" if row.converged is False else ""
        )
        cells += [*(percent(score) for score in scores), steps, f"{row.seconds:.0f}"]
        typer.echo("| " + " | ".join(map(str, cells)) + " |")
    mixes = list(dict.fromkeys(row.mix for row in results))
    for mix in mixes:
        hours = sorted({row.budget_hours for row in results if row.mix == mix})
        by_hours = {h: [r for r in results if (r.mix, r.budget_hours) == (mix, h)] for h in hours}
        for score in ("pq", "miou"):
            values = {h: [getattr(row, score) for row in by_hours[h]] for h in hours}
            for few, many in combinations(hours, 2):
                gain = interval(values[many], values[few])
                typer.echo(f"{mix}: {score} of {many:g} h less that of {few:g} h: {gain}")
            for hour in hours:
                trivial = [getattr(row, f"trivial_{score}") for row in by_hours[hour]]
                gain = interval(values[hour], trivial)
                typer.echo(f"{mix}: {score} of {hour:g} h less trivial: {gain}")


def percent(score: float | None) -> str:
    """Return a score in percent."""
    return "-" if score is None else f"{100 * score:.1f}"


def interval(first: Sequence[float | None], second: Sequence[float | None]) -> str:
    """Return the mean of paired differences in points, with its interval."""
    pairs = zip(first, second, strict=True)
    points = [100 * (a - b) for a, b in pairs if a is not None and b is not None]
    return describe_difference(np.array(points)) if points else "undefined"


if __name__ == "__main__":
    typer.run(main)
