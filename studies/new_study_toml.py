"""Write a new study as a TOML file whose comments say what each line means, and what it costs."""

import json
import math
import shlex
import textwrap
from pathlib import Path

from annotools.commands.tables import count_of, join_words
from annotools.prices.actions import actions_for
from annotools.prices.times import explain_images, read_times
from annotools.terminal import one_line
from studies.new_splits import BOUGHT_PART
from studies.new_study import SEEDS, KindPrice, NewStudy
from studies.splits import LEFT_SHARE
from wsps.recipe import BackboneSettings
from wsps.recipe_files import default_recipe

WIDTH = 100

SMALL_SIDE, SMALL_CROP = 512, 192
"""Longest side of the photos that the small network sees, and of a training crop, in pixels."""

MOST_DETECTIONS = 100, 200
"""The things that a model finds in a photo by default, and the most that a study asks for: each of
them takes memory for all pixels."""

MANY_CLASSES = 20
"""With more than these a study says how to keep few."""


def study_toml(new: NewStudy, name: str, path: Path, backbone: BackboneSettings | None) -> str:
    """Return the text of a study's file.

    Args:
        new: what was chosen.
        name: of the study.
        path: of the file, which the first line shows.
        backbone: the network to start from, one without weights for that of the recipe `small`;
            None for the one that the default recipe of the dataset's format has.
    """
    parts = [_opening(new, name, path), _settings(new, name), _mixes(new), _dataset(new)]
    return "\n".join([*parts, _recipe(new, backbone)])


def run_command(path: Path, name: str) -> str:
    """Return the command that runs a study, as a shell takes it."""
    return shlex.join(["annotools", "study", "run", str(path), "--out", f"runs/{name}"])


def _opening(new: NewStudy, name: str, path: Path) -> str:
    content, kinds = new.content, [price.kind for price in new.prices]
    trials = len(kinds) * len(new.budgets_hours) * len(SEEDS)
    counted = f"{content.things:.1f} things" if content.num_thing_classes else "no things"
    if content.has_stuff:
        counted += f" and {content.stuff_classes_present:.1f} kinds of stuff"
    budgets = count_of(len(new.budgets_hours), "budget")
    compared = join_words([_quoted(kind) for kind in kinds])
    text = (
        f"Which labels give the best model of {new.dataset.root.name} for the same hours of "
        f"annotation? {compared} are compared at {budgets} with {len(SEEDS)} "
        f"seeds: {trials} trainings. `annotools study new` wrote this file; change what you like. "
        "Labels can be bought for "
        f"{count_of(new.num_images, 'image')}, mostly of {new.size_wh[0]} x {new.size_wh[1]} "
        f"pixels, with {counted} an image (mean of {new.num_measured:,})."
    )
    return "\n".join([f"# {run_command(path, name)}", "#", *_comment(text), ""])


def _settings(new: NewStudy, name: str) -> str:
    lines = [f"name = {_quoted(name)}", ""]
    lines += _comment(
        "Hours of annotation, the same for every mix. A larger budget keeps what a smaller one "
        "bought. Images are those that the hours buy on average."
    )
    lines.append("budgets_hours = [")
    for hours in new.budgets_hours:
        # Hours that buy so many images exactly must not lose one to rounding.
        bought = [
            f"{price.kind} {min(new.num_images, int(hours / price.hours + 1e-9)):,}"
            for price in new.prices
        ]
        lines.append(f"    {hours:g}, # images: {', '.join(bought)}")
    lines += ["]", ""]
    lines += _comment(
        "Each seed buys other images and trains anew. How far seeds differ tells how sure an "
        "answer is; with one there is none."
    )
    lines += [f"seeds = {list(SEEDS)}", ""]
    times = read_times(new.times)
    used = {a for price in new.prices for a in actions_for(new.content, price.kind)}
    known = [f"{a} {times.actions[a].seconds:g} s" for a in times.actions if a in used]
    lines += _comment(
        f"What an action of an annotator takes: {', '.join(known)}. Times of your own are a file "
        'that begins with inherit = "li2018" and names what it changes.'
    )
    for sentence in explain_images(times, used):
        lines += _comment(sentence)
    lines += [f"times = {_quoted(new.times)}", ""]
    return "\n".join(lines)


def _mixes(new: NewStudy) -> str:
    full, cheap = new.prices[:2]
    lines = _comment("A mix gives label kinds shares of the hours.")
    lines.append("[mixes]")
    for price in new.prices:
        lines += [f"# {_cost(price, new)}", _mix(price.kind, {price.kind: 1})]
    lines += _comment("Half of the hours for each of two kinds is a mix as well:")
    lines.append(f"# {_mix('half', {cheap.kind: 1, full.kind: 1})}")
    for kind, reason in new.left_out.items():
        lines += [*_comment(f"Left out ({reason}):"), f"# {_mix(kind, {kind: 1})}"]
    return "\n".join([*lines, ""])


def _cost(price: KindPrice, new: NewStudy) -> str:
    every = f"all {new.num_images:,} take" if new.num_images > 1 else "there is one, and it takes"
    text = f"{_duration(price.hours)} an image; {every} {price.all_hours:.3g} h"
    if price.all_hours < (1 - LEFT_SHARE) * new.budgets_hours[-1]:
        text += ", so that a larger budget leaves hours over"
    return f"{text}."


def _dataset(new: NewStudy) -> str:
    settings = new.dataset
    lines = [
        "[dataset]",
        f"format = {_quoted(settings.format)}",
        f"root = {_quoted(str(settings.root))}",
    ]
    if settings.train_split.endswith(BOUGHT_PART):
        lines.append("# One split has labels that serve: its last fifth is scored, not bought.")
    lines += [
        "# Labels are bought here ...",
        f"train_split = {_quoted(settings.train_split)}",
        "# ... and models scored here, by which mixes are compared.",
        f"val_split = {_quoted(settings.val_split)}",
    ]
    if settings.test_split is not None:
        lines.append("# Scored as well, for the report alone: no choice sees these scores.")
        lines.append(f"test_split = {_quoted(settings.test_split)}")
    limits = {
        "max_train_images": "More than these no budget buys.",
        "max_val_images": "The first so many tell scores well enough.",
        "max_test_images": "The first so many tell scores well enough.",
    }
    for key, reason in limits.items():
        if getattr(settings, key) is not None:
            lines += [f"# {reason}", f"{key} = {getattr(settings, key)}"]
    if settings.allow_missing:
        lines.append("# Images of which a file is missing are left out, and impossible objects.")
        lines.append("allow_missing = true")
    if settings.categories is not None:
        lines += ["# All else is background.", f"categories = {_quoted(settings.categories)}"]
    elif new.num_classes > MANY_CLASSES:
        lines += _comment(
            f"{new.num_classes} categories are many to learn from few labels. Keep those that "
            "matter to you, all else being background, which also changes prices:"
        )
        plain = [name for name in new.thing_names if "," not in name]
        lines.append(f"# categories = {_quoted(','.join(plain[:3]))}")
    return "\n".join([*lines, ""])


def _recipe(new: NewStudy, backbone: BackboneSettings | None) -> str:
    lines = ["[recipe]"]
    longer = max(new.size_wh)
    inherited = default_recipe(new.dataset.format) if backbone is None else "frozen"
    if inherited == "small" or (backbone is not None and backbone.weights is None):
        lines += _comment(
            "A small network that starts from nothing, which may do for few categories with looks "
            'of their own. Photos need "frozen", which knows photos and downloads its weights.'
        )
        lines.append('inherit = "small"')
        lines += _comment(
            'With backbone = { norm = "group" } it learns more of photos that look unlike each '
            "other, and less of those that look alike. Where some photos have much less light, "
            "set images.stretch; where things have ten pixels in small photos, images.min_side."
        )
        scale = min(1.0, SMALL_SIDE / longer)
        if scale < 1:
            lines.append("# Pixels of the longer side of photos as networks see them.")
            lines.append(f"images = {{ max_side = {SMALL_SIDE} }}")
        crop = [_crop_side(round(side * scale)) for side in new.size_wh]
        lines.append("# Pixels of the crops that networks learn from.")
        lines.append(f"views = {{ crop_size_wh = {crop} }}")
    else:
        lines += _comment(
            "A network that knows photos and stays as it is; what learns is put on it. Its weights "
            "must have seen no masks or boxes, which would leak the answer. Where they cannot be "
            'downloaded, --weights of "study new" takes a file, or none for a small network.'
        )
        lines.append('inherit = "frozen"')
    if backbone is not None and backbone.weights is not None:
        named = f"name = {_quoted(backbone.name)}, weights = {_quoted(backbone.weights)}"
        lines.append(f"backbone = {{ {named} }}")
    if new.most_things > MOST_DETECTIONS[0]:
        most = min(MOST_DETECTIONS[1], 50 * math.ceil(new.most_things / 50))
        fullest = f"The fullest of {count_of(new.num_measured, 'photo')} has {new.most_things:,}"
        few = ", and more detections take much memory" if most < new.most_things else ""
        lines += _comment(f"Things that a model may find in a photo. {fullest}{few}.")
        lines.append(f"instance = {{ max_detections = {most} }}")
    if new.crop_size_wh is not None:
        lines.append("# Tags are given for each of a grid of crops: pixels of one.")
        lines.append(f"tags = {{ crop_size_wh = {list(new.crop_size_wh)} }}")
    lines += _comment(
        "After the first training the model labels once more what cheap labels left open, and is "
        "trained again. 0 takes half of the time."
    )
    lines.append("refinement = { rounds = 1 }")
    return "\n".join([*lines, ""])


def _crop_side(side: int) -> int:
    """Return the side of a crop of a photo's side, in pixels: a multiple of 16."""
    return max(16, min(SMALL_CROP, side // 16 * 16))


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.3g} h"
    return f"{60 * hours:.3g} min" if hours >= 1 / 60 else f"{3600 * hours:.3g} s"


def _mix(name: str, shares: dict[str, int]) -> str:
    inside = ", ".join(f"{_quoted(kind)} = {share}" for kind, share in shares.items())
    return f"{_quoted(name)} = {{ {inside} }}"


def _quoted(text: str) -> str:
    # A JSON string is a TOML string, but for the one control character that JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        one_line(text), WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )
