"""Random damages to what an unfinished run left, and whether the repeated command notices.

Each scenario runs a command until it is stopped, keeps the folder, and knows the result of a run
that nobody stopped. `Stopped.damage` damages one file of a kind, repeats the command, and compares
the results byte for byte:

    stopped = Stopped(scenario=SCENARIOS["convert"], folder=some_new_folder)
    done, wrong = stopped.damage("PNGs", random.Random(0))
"""

import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from annotools.conversion import convert as converting
from annotools.conversion import shards
from annotools.conversion.wanted import Wanted
from annotools.files import files_under
from annotools.formats.source import Source
from annotools.prices.times import read_times
from studies import trials
from studies.engines import local
from studies.running.runner import run_study
from tests.studies.in_process import run_here
from tests.studies.study_builders import STAGE, make_study
from wsps import inference
from wsps.inference import predict_images
from wsps.pseudo_labels import label_images, rounds
from wsps.pseudo_labels.request import LabelRequest
from wsps.recipe import Recipe
from wsps.recipe_files import read_recipe
from wsps.training import loop
from wsps.training.train import train

Change = Callable[[bytes, random.Random], bytes]


def flip_bit(content: bytes, rng: random.Random) -> bytes:
    """One bit is another."""
    place = rng.randrange(len(content))
    flipped = content[place] ^ 1 << rng.randrange(8)
    return content[:place] + bytes([flipped]) + content[place + 1 :]


def replace_bytes(content: bytes, rng: random.Random) -> bytes:
    """Up to 16 bytes in a row are others."""
    place = rng.randrange(len(content))
    count = min(rng.randint(1, 16), len(content) - place)
    return content[:place] + rng.randbytes(count) + content[place + count :]


def blank(content: bytes, rng: random.Random) -> bytes:
    """A block is zero, as a disk leaves it."""
    place = rng.randrange(len(content))
    count = min(rng.choice((16, 512, 4096)), len(content) - place)
    return content[:place] + bytes(count) + content[place + count :]


def cut(content: bytes, rng: random.Random) -> bytes:
    """The end is missing."""
    return content[: rng.randrange(1, max(2, len(content)))]


def insert(content: bytes, rng: random.Random) -> bytes:
    """Some bytes are too many, at the end in a third of the cases."""
    place = len(content) if rng.random() < 1 / 3 else rng.randrange(len(content))
    return content[:place] + rng.randbytes(rng.randint(1, 16)) + content[place:]


def empty(_content: bytes, _rng: random.Random) -> bytes:
    """No byte is left."""
    return b""


CHANGES: Mapping[str, Change] = {
    "bit flip": flip_bit,
    "bytes": replace_bytes,
    "zeros": blank,
    "cut": cut,
    "inserted": insert,
    "emptied": empty,
}
SWAPPED = "swapped"
"""The content is that of another file of its kind."""


def damage_one(paths: list[Path], rng: random.Random) -> str:
    """Damage one of the files; return what was done to which."""
    while True:
        path = rng.choice(paths)
        before = path.read_bytes()
        name = rng.choice([*CHANGES, SWAPPED])
        if name == SWAPPED:
            after = rng.choice(paths).read_bytes()
        else:
            after = CHANGES[name](before, rng) if before else b""
        # Not all that is drawn changes something: zeros over zeros, or a file with itself.
        if after != before:
            path.write_bytes(after)
            return f"{name}: {path.name}"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A command that is stopped and repeated.

    `prepare` makes its input in a folder, and `run` is given that and the folder to write to.
    `stop` is where it is stopped: module, function, and before which call. `kinds` are globs of
    what it leaves then, by name. `patches` hold all the time, `ignored` is no part of the result,
    and `tries` are those that a short test makes of each kind.
    """

    prepare: Callable[[Path], None]
    run: Callable[[Path, Path], object]
    stop: tuple[Any, str, int]
    kinds: Mapping[str, str]
    patches: tuple[tuple[Any, str, Any], ...] = ()
    ignored: tuple[str, ...] = ()
    tries: int = 1


@dataclass(kw_only=True)
class Stopped:
    """A scenario whose command was stopped in a folder, with the result of one that was not."""

    scenario: Scenario
    folder: Path
    whole: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scenario, inputs = self.scenario, self.folder / "in"
        inputs.mkdir(parents=True)
        with self._patched():
            scenario.prepare(inputs)
            scenario.run(inputs, self.out)
            self.whole = self._result()
            shutil.rmtree(self.out)
            with stopped_at(*scenario.stop):
                scenario.run(inputs, self.out)
            shutil.copytree(self.out, self.left)

    @property
    def out(self) -> Path:
        """Where the command writes."""
        return self.folder / "out"

    @property
    def left(self) -> Path:
        """What the stopped command left."""
        return self.folder / "left"

    def files_of(self, kind: str) -> list[str]:
        """Return the files of a kind that the stopped command left."""
        found = self.left.glob(self.scenario.kinds[kind])
        return sorted(p.relative_to(self.left).as_posix() for p in found if p.is_file())

    def damage(self, kind: str, rng: random.Random) -> tuple[str, str | None]:
        """Damage a file of a kind and repeat the command.

        Returns:
            What was done to which file, and what is wrong with the result, None where it is equal.
        """
        shutil.rmtree(self.out)
        shutil.copytree(self.left, self.out)
        done = damage_one([self.out / name for name in self.files_of(kind)], rng)
        try:
            with self._patched():
                self.scenario.run(self.folder / "in", self.out)
        except Exception as error:
            return done, f"{type(error).__name__}: {error}"
        found = self._result()
        names = {*found, *self.whole}
        differing = sorted(n for n in names if found.get(n) != self.whole.get(n))
        return done, f"differs in {', '.join(differing)}" if differing else None

    def _result(self) -> dict[str, Any]:
        """Return what counts of a folder, by name; of rows all but the seconds."""
        found: dict[str, Any] = {}
        for name in files_under(self.out):
            path = self.out / name
            if any(part.startswith(".") for part in path.relative_to(self.out).parts):
                continue
            if name.startswith(self.scenario.ignored):
                continue
            found[name] = path.read_bytes()
            if path.name == "result.json":
                row = json.loads(found[name])
                found[name] = {k: v for k, v in row.items() if k not in ("seconds", "sha256")}
        return found

    @contextmanager
    def _patched(self) -> Iterator[None]:
        with ExitStack() as stack:
            for module, name, value in self.scenario.patches:
                stack.enter_context(mock.patch.object(module, name, value))
            yield


@contextmanager
def stopped_at(module: Any, name: str, number: int) -> Iterator[None]:
    """Interrupt the block before the so many-th call of a function, counted from 1."""
    function = getattr(module, name)
    calls = []

    def stop(*arguments: Any, **named: Any) -> Any:
        calls.append(name)
        if len(calls) == number:
            raise KeyboardInterrupt
        return function(*arguments, **named)

    try:
        with mock.patch.object(module, name, stop):
            yield
    except KeyboardInterrupt:
        return
    raise AssertionError(f"{name} was called {len(calls)} times")


def make_world(folder: Path) -> None:
    """Six scenes to learn from, and three others."""
    text = "width = 64\nheight = 64\nnum_train = 6\nnum_val = 3\n"
    (folder / "world.toml").write_text(text)


def make_recipe(rounds_: int) -> Recipe:
    """A recipe that trains two steps a stage on a frozen backbone."""
    return read_recipe(
        "small",
        [
            *("descent.batch_size=2", "views.crop_size_wh=[32, 32]", "views.per_photo=1"),
            *(f"{stage}.steps=2" for stage in ("classifier", "semantic", "detector", "instance")),
            *(f"{stage}.schedule=constant" for stage in ("semantic", "detector")),
            *("backbone.frozen=true", f"refinement.rounds={rounds_}"),
            *("refinement.crf.iterations=1", "tags.crop_size_wh=[32, 32]"),
        ],
    )


def source(inputs: Path, split: str = "train") -> Source:
    return Source(format_name="scenes", root=inputs / "world.toml", split=split)


def convert(inputs: Path, out: Path) -> None:
    wanted = Wanted(kinds=("full", "boxes+tags", "points"), crop_size_wh=(32, 32))
    converting.convert(source(inputs), wanted, read_times("li2018"), out)


def pseudo_label(inputs: Path, out: Path) -> None:
    request = LabelRequest(
        source=source(inputs),
        labels=dict.fromkeys(range(4), "boxes+tags") | {4: "full", 5: "none"},
        recipe=make_recipe(1),
        truth=source(inputs),
        with_maps=True,
    )
    rounds.pseudo_label(request, out)


def prepare_train(inputs: Path) -> None:
    make_world(inputs)
    labels = dict.fromkeys(range(6), "full")
    request = LabelRequest(source=source(inputs), labels=labels, recipe=make_recipe(0))
    rounds.pseudo_label(request, inputs / "labels")


def run_train(inputs: Path, out: Path) -> None:
    train([inputs / "labels"], source(inputs), make_recipe(0), 0, out)


def prepare_predict(inputs: Path) -> None:
    prepare_train(inputs)
    run_train(inputs, inputs / "run")


def predict(inputs: Path, out: Path) -> None:
    predict_images(inputs / "run", source(inputs, "val"), out, overlays=True)


def study(inputs: Path, out: Path) -> None:
    mixes = {"boxes": {"boxes": 1}}
    asked = make_study(inputs, mixes, seeds=[0, 1], budgets_hours=[0.03])
    flat = {"refinement": replace(asked.recipe.refinement, rounds=0)}
    recipe = replace(asked.recipe, **flat)
    assert recipe.semantic.steps == STAGE["steps"]
    run_study(replace(asked, recipe=recipe), out)


SCENARIOS: Mapping[str, Scenario] = {
    "convert": Scenario(
        prepare=make_world,
        run=convert,
        stop=(converting, "assemble", 1),
        patches=((shards, "SHARD_IMAGES", 2),),
        tries=5,
        kinds={
            "lines": ".state/shards/*",
            "PNGs": "panoptic/*.png",
            "marks": ".state/done/**/*.json",
            "setup": ".state/setup*",
        },
    ),
    "pseudo-label": Scenario(
        prepare=make_world,
        run=pseudo_label,
        # Five labels before the first training, six after it.
        stop=(label_images, "write_label", 9),
        kinds={
            "classifier and network": "**/*.pt",
            "labels from boxes": ".state/box_labels/*",
            "features": ".state/features/*",
            "PNGs": "**/panoptic/*.png",
            "maps": "**/[is][ne][sm]*/*.png",
            "marks": ".state/done/**/*.json",
            "setup": ".state/setup*",
        },
    ),
    "train": Scenario(
        prepare=prepare_train,
        run=run_train,
        stop=(loop, "descend_once", 6),
        patches=((loop, "SAVE_SECONDS", 0.0),),
        kinds={
            "networks and checkpoint": "*.pt",
            "courses": "*.csv",
            "features": ".state/features/*",
            "marks": ".state/done/**/*.json",
            "setup": ".state/setup*",
        },
    ),
    "predict": Scenario(
        prepare=prepare_predict,
        run=predict,
        stop=(inference, "write_label", 3),
        kinds={
            "PNGs": "panoptic/*.png",
            "semantic maps": "semantic/*.png",
            "overlays": "overlays/*.jpg",
            "marks": ".state/done/**/*.json",
            "setup": ".state/setup*",
        },
    ),
    "study": Scenario(
        prepare=make_world,
        run=study,
        # The second trial has labels and networks by then.
        stop=(trials, "predict_images", 2),
        patches=((local, "run_isolated", run_here),),
        # A label from boxes is looked at when a trial asks for it.
        ignored=("study.json", "box_labels"),
        kinds={
            "rows": "trials/*/result.json",
            "labels from boxes": "box_labels/*",
            "trial's labels": "trials/*/labels/**/*.*",
            "trial's networks": "trials/*/run/**/*.*",
            "planned trial": "trials/*/trial.json",
            "study": "study.json",
            "setup": ".state/setup*",
        },
    ),
}


def each_kind() -> list[tuple[str, str]]:
    """Return each scenario with each kind of what it leaves."""
    return [(name, kind) for name, one in SCENARIOS.items() for kind in one.kinds]
