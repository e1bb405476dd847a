import itertools
import math
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from annotools.errors import RecipeError, StoppedError
from wsps.recipe import DescentSettings, StageSettings
from wsps.training import loop
from wsps.training.checkpoints import StoredNetwork
from wsps.training.course import Course, Watch
from wsps.training.loop import Running, descend

STAGE = StageSettings(steps=100, learning_rate=0.1)
PLAIN = DescentSettings(weight_decay=0.0)


@dataclass(frozen=True)
class Step:
    """A batch that is its number."""

    number: int
    names: tuple[str, ...]

    def on_device(self, device: torch.device) -> "Step":
        return self


class Steps:
    """Batches that are their numbers."""

    seed = 0
    stage = "toy"

    def __getitem__(self, step: int) -> Step:
        return Step(number=step, names=(f"image {step}",))

    def keep(self, threads: int) -> None:
        pass


class Weight(nn.Module):
    """One number."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(start))


class Line(nn.Linear):
    """Learns y = 2 x - 1 from points drawn at random, with a buffer that counts its steps.

    The points are a little off the line, so that the loss comes to rest at what cannot be learnt,
    on each machine: else it goes on through the last digits, which processors round otherwise.
    """

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.register_buffer("counted", torch.zeros(()))

    def loss(self, _: Step) -> Tensor:
        self.get_buffer("counted").add_(1)
        x = 2 * torch.rand(256, 1) - 1
        error: Tensor = self(x) - (2 * x - 1 + 0.05 * torch.randn(256, 1))
        return error.square().mean()


def run(
    optimizer: str,
    stage: StageSettings,
    stored: StoredNetwork | None = None,
    before_step: Callable[[int], None] | None = None,
) -> tuple[tuple[float, ...], dict[str, Tensor]]:
    torch.manual_seed(0)
    line = Line()
    descent = DescentSettings(optimizer=optimizer, weight_decay=0.0)

    def loss_of(step: Step) -> Tensor:
        if before_step is not None:
            before_step(step.number)
        return line.loss(step)

    course = descend(line, Steps(), loss_of, descent, stage, "toy", running=Running(stored=stored))
    return course.losses, line.state_dict()


def fall(stage: StageSettings, descent: DescentSettings = PLAIN) -> Course:
    """Descend a slope that is the same everywhere: Adam's steps are then the learning rates."""
    weight = Weight()
    return descend(weight, Steps(), lambda _: weight.value * 1.0, descent, stage, "toy")


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_toy_problem_is_solved_and_repeats_bit_by_bit(optimizer: str):
    losses, solution = run(optimizer, STAGE)
    assert len(losses) == STAGE.steps
    found = [solution["weight"].item(), solution["bias"].item()]
    assert found == pytest.approx([2.0, -1.0], abs=0.1)
    assert losses[-1] < 1e-2 < losses[0]
    again, same = run(optimizer, STAGE)
    assert again == losses
    assert all(torch.equal(same[name], values) for name, values in solution.items())


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("schedule", ["cosine", "converged"])
def test_a_stage_that_was_killed_at_any_step_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str, schedule: str
):
    stage = StageSettings(steps=60, learning_rate=0.05, schedule=schedule)
    losses, solution = run(optimizer, stage)
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    resumed = 0
    for last in (0, 1, 7, 19, 20, 21, 44, 59):
        stored = StoredNetwork(path=tmp_path / f"{last}.pt", key="key")
        seen: list[int] = []

        def kill(step: int, last: int = last) -> None:
            if step == last:
                raise Killed

        with pytest.raises(Killed):
            run(optimizer, stage, stored, kill)
        again, same = run(optimizer, stage, stored, seen.append)
        # What a step did before it was killed counts for nothing.
        assert seen == list(range(last, 60))
        assert again == losses
        assert all(torch.equal(same[name], values) for name, values in solution.items())
        resumed += 1
    assert resumed == 8


def test_a_stage_that_ends_when_flat_ends_at_the_same_step_with_the_same_bits_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stage = StageSettings(steps=2000, learning_rate=0.05, schedule="flat")
    losses, solution = run("adam", stage)
    # Looked at each 20 steps; the fall takes a quarter of the steps before it.
    fell_at = 4 * len(losses) // 5
    assert fell_at % 20 == 0
    assert len(losses) == fell_at * 5 // 4 < 2000
    for last in (fell_at - 1, fell_at, len(losses) - 1):
        stored = StoredNetwork(path=tmp_path / f"{last}.pt", key="key")
        seen: list[int] = []
        monkeypatch.setattr(loop, "SAVE_SECONDS", math.inf)

        def kill(step: int, last: int = last) -> None:
            if step == last:
                raise Killed
            if step == last - 1:
                monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)

        with pytest.raises(Killed):
            run("adam", stage, stored, kill)
        again, same = run("adam", stage, stored, seen.append)
        assert seen == list(range(last, len(losses)))
        assert again == losses
        assert all(torch.equal(same[name], values) for name, values in solution.items())
    # Killed after its last step, it makes no other.
    seen.clear()
    assert run("adam", stage, stored, seen.append)[0] == losses
    assert seen == []


def test_a_file_of_other_settings_or_with_damage_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stage = StageSettings(steps=5, learning_rate=0.1)
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    stored = StoredNetwork(path=tmp_path / "a.pt", key="key")
    run("adam", stage, stored)
    seen: list[int] = []
    run("adam", stage, StoredNetwork(path=stored.path, key="another"), seen.append)
    assert seen == [0, 1, 2, 3, 4]
    content = stored.path.read_bytes()
    stored.path.write_bytes(content[: len(content) // 2])
    seen.clear()
    run("adam", stage, StoredNetwork(path=stored.path, key="another"), seen.append)
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals):
    stage = StageSettings(steps=30, learning_rate=0.1)
    stored = StoredNetwork(path=tmp_path / "a.pt", key="key")
    handler = signal.getsignal(number)

    def interrupt(step: int) -> None:
        if step == 11:
            os.kill(os.getpid(), number)

    with pytest.raises(
        StoppedError, match=r"stopped at step 12 of 30 of toy: .* repeat the command"
    ):
        run("adam", stage, stored, interrupt)
    assert signal.getsignal(number) == handler
    seen: list[int] = []
    assert run("adam", stage, stored, seen.append)[0] == run("adam", stage)[0]
    assert seen == list(range(12, 30))


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    course = fall(STAGE)
    rates = [a - b for a, b in itertools.pairwise(course.losses)]
    assert rates == pytest.approx(course.rates[:-1], rel=1e-3, abs=1e-6)
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(STAGE.learning_rate, rel=1e-3)
    assert rates[0] < 0.2 * STAGE.learning_rate
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert peak < 0.2 * STAGE.steps
    assert rates[-1] < 0.01 * STAGE.learning_rate


def test_a_constant_rate_stays_and_a_converged_one_falls_to_a_tenth():
    constant = fall(StageSettings(steps=60, learning_rate=0.1, schedule="constant"))
    assert set(constant.rates) == {0.1}
    # The slope goes on for ever, so that its loss never converges.
    falling = fall(StageSettings(steps=100, learning_rate=0.1, schedule="converged"))
    assert falling.losses[1] == pytest.approx(-0.1)
    flat = Weight(1.0)
    stage = StageSettings(steps=100, learning_rate=0.1, schedule="converged")
    course = descend(flat, Steps(), lambda _: 0 * flat.value + 3.0, PLAIN, stage, "toy")
    # Windows of ten steps are looked at after 20, 40, ... steps.
    assert course.rates == pytest.approx([0.1] * 20 + [0.01] * 80)


def test_a_stage_says_whether_it_was_flat_before_its_steps_ran_out():
    weight = Weight(1.0)
    stage = StageSettings(steps=800, learning_rate=0.1, schedule="flat")
    # Three windows of 200 steps after the 20 of the warm-up: flat after 620, ended after 775.
    course = descend(weight, Steps(), lambda _: 0 * weight.value + 3.0, PLAIN, stage, "toy")
    assert course.converged is True
    assert len(course.losses) == len(course.rates) == 775
    assert course.rates[619] == 0.1
    assert course.rates[620:] == pytest.approx([0.1 * (155 - n) / 156 for n in range(155)])
    # The slope goes on for ever.
    course = fall(stage)
    assert course.converged is False
    assert len(course.losses) == len(course.rates) == 800
    assert course.rates[639] == 0.1
    assert course.rates[-1] < 0.002
    for schedule in ("cosine", "constant", "converged"):
        fixed = StageSettings(steps=2, learning_rate=0.1, schedule=schedule)
        assert fall(fixed).converged is None
    assert fall(StageSettings(steps=0, learning_rate=0.1, schedule="flat")).converged is None


def test_loading_processes_end_with_a_stage_that_is_flat_early():
    weight = Weight(1.0)
    stage = StageSettings(steps=100_000, learning_rate=0.1, schedule="flat")
    numbers: list[int] = []

    def loss_of(step: Step) -> Tensor:
        numbers.append(step.number)
        return 0 * weight.value + 3.0

    descend(weight, Steps(), loss_of, PLAIN, stage, "toy", running=Running(loaders=2))
    assert numbers == list(range(775))
    assert multiprocessing.active_children() == []


def test_no_steps_change_nothing_and_frozen_weights_stay():
    losses, start = run("adam", StageSettings(steps=0, learning_rate=0.1))
    assert losses == ()
    assert all(values.isfinite().all() for values in start.values())
    pair = nn.ModuleList([Weight(1.0), Weight(1.0)])
    frozen, free = (one.get_parameter("value") for one in pair)
    frozen.requires_grad_(False)
    stage = StageSettings(steps=3, learning_rate=0.1)
    descend(pair, Steps(), lambda _: (frozen * free).square(), DescentSettings(), stage, "toy")
    assert frozen.item() == 1.0
    assert free.item() < 1.0


def test_a_gradient_that_is_no_number_is_told_with_its_images():
    weight = Weight(1.0)

    def loss_of(step: Step) -> Tensor:
        # The gradient of the root is infinite at 0.
        return (weight.value * (step.number != 37)).square().sqrt()

    with pytest.raises(
        RecipeError, match="training of toy diverged at step 38, on image 37: lower"
    ):
        descend(weight, Steps(), loss_of, DescentSettings(), STAGE, "toy")


def test_a_group_of_parameters_has_its_own_rate_and_decay():
    pair = nn.ModuleList([Weight(1.0), Weight(1.0)])
    first, second = (one.get_parameter("value") for one in pair)
    groups = [{"params": [first]}, {"params": [second], "lr": 0.5, "weight_decay": 0.0}]
    descent = DescentSettings(optimizer="sgd", weight_decay=0.1)
    stage = StageSettings(steps=1, learning_rate=0.1)
    descend(pair, Steps(), lambda _: first + second, descent, stage, "toy", groups=groups)
    assert first.item() == pytest.approx(1 - 0.1 * (1 + 0.1))
    assert second.item() == pytest.approx(1 - 0.5)


def test_momentum_is_a_setting():
    places = [
        fall(
            StageSettings(steps=3, learning_rate=1.0, schedule="constant"),
            DescentSettings(optimizer="sgd", momentum=momentum, weight_decay=0.0),
        ).losses
        for momentum in (0.0, 0.5)
    ]
    # A gradient of 1: the velocity is 1, then 1 + 0.5.
    assert places == [(0.0, -1.0, -2.0), (0.0, -1.0, -2.5)]


def test_what_is_watched_is_noted_before_each_step_and_after_the_last():
    weight = Weight(0.0)
    stage = StageSettings(steps=2, learning_rate=1.0, schedule="constant")
    course = descend(
        weight,
        Steps(),
        lambda _: weight.value * 1.0,
        PLAIN,
        stage,
        "toy",
        watch=Watch(names=("value",), read=lambda: weight.value.detach().clone()[None]),
    )
    assert course.watched.flatten().tolist() == pytest.approx([0, -1, -2], abs=1e-5)
    assert math.isfinite(course.seconds)
    assert 0 <= course.waiting <= course.seconds
