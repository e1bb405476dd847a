"""Every network is trained with this one loop of gradient descent."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from annotools.errors import RecipeError, StoppedError
from annotools.progress import track
from annotools.random_streams import stream_seed
from wsps.device import autocast
from wsps.memory import name_memory_remedy
from wsps.processes import (
    agree,
    average_gradients,
    count_processes,
    mean_over_processes,
)
from wsps.recipe import DescentSettings, StageSettings
from wsps.training.batches import Batches, Item, load_batches
from wsps.training.board import Board
from wsps.training.checkpoints import StoredNetwork
from wsps.training.course import Course, Watch
from wsps.training.schedules import converges_at, count_steps, rate

ParameterGroup = dict[str, Any]
"""What torch calls so: `params`, and where they differ from the stage's, `lr` and
`weight_decay`."""

GRADIENT_NORM_LIMIT = 10.0
"""A longer gradient is cut to this, so that one odd batch undoes nothing; the paper has no such
limit."""

CHECK_STEPS = 20
"""Steps after which losses are looked at: a GPU need not wait for the processor in between."""

SAVE_SECONDS = 60.0
"""After so long an unfinished stage is written to its file."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """How a stage runs, which changes no result.

    `stored` is the file that keeps the stage while it is not finished, `loaders` are processes that
    make batches, and `board` shows the training; None for none. In the folder `features` is kept
    what a frozen backbone sees; None sees it again at each step.
    """

    stored: StoredNetwork | None = None
    loaders: int = 0
    board: Board | None = None
    features: Path | None = None


def descend(
    network: nn.Module,
    batches: Batches[Item],
    loss_of: Callable[[Item], Tensor],
    descent: DescentSettings,
    stage: StageSettings,
    name: str,
    *,
    groups: Sequence[ParameterGroup] | None = None,
    watch: Watch | None = None,
    running: Running | None = None,
) -> Course:
    """Minimise a loss for a stage's steps; go on where the stage's file says that it was.

    Args:
        network: has all that is trained, and all that training changes, on its device.
        batches: to learn from, one a step.
        loss_of: the loss of a batch.
        descent: optimizer, weight decay and precision.
        stage: steps, peak learning rate and schedule.
        name: of the stage, for the progress bar and messages.
        groups: parameters with learning rates and weight decays of their own; None for all of the
            network's with the stage's.
        watch: what to note at each step.
        running: what changes no result.

    Raises:
        RecipeError: when loss or gradient is no longer finite; the images of the step are named.
        StoppedError: after SIGINT or SIGTERM, when what is done is in the file.
        OSError: when the file cannot be written; the last one that could is still there.
    """
    running = running or Running()
    device = next(network.parameters()).device
    optimizer = build_optimizer(groups or [{"params": trainable(network)}], descent, stage)
    base_rates = [group["lr"] for group in optimizer.param_groups]
    notes = _begin(network, optimizer, running.stored)
    left = range(len(notes.losses), stage.steps)
    remedy = _smaller(descent.batch_size)
    began = saved_at = time.perf_counter()
    with (
        _noticed_interrupts() as is_interrupted,
        _fast_convolutions(),
        # A stage may end before its last step, and its loaders with it.
        closing(load_batches(batches, left, device, running.loaders)) as loaded,
    ):
        # The bar counts the steps that are left, at most.
        for step in track(_steps(stage, notes), f"training: {name}", total=len(left)):
            asked = time.perf_counter()
            batch = next(loaded)
            notes.waiting += time.perf_counter() - asked
            share = rate(stage.schedule, step, stage.steps, notes.converged_at)
            for group, base in zip(optimizer.param_groups, base_rates, strict=True):
                group["lr"] = share * base
            # What networks draw at random, such as a detector's proposals, hangs on the step alone.
            torch.manual_seed(stream_seed(batches.seed, "step", batches.stage, step))
            if watch is not None:
                notes.watched.append(watch.read())
            with name_memory_remedy(remedy):
                with autocast(device, descent.precision):
                    loss = loss_of(batch)
                notes.pending.append(descend_once(optimizer, loss))
            is_at_check = (step + 1) % CHECK_STEPS == 0 or step + 1 == _count(stage, notes)
            is_due, is_stopped = time.perf_counter() - saved_at > SAVE_SECONDS, is_interrupted()
            # Processes that train together decide together, and seldom.
            if count_processes() > 1:
                is_due, is_stopped = agree([is_due, is_stopped]) if is_at_check else (False, False)
            if is_at_check or is_due or is_stopped:
                _look(notes, batches, name)
            # At these steps alone, whenever the stage is saved: a run that goes on is no other.
            if is_at_check:
                _note_convergence(notes, stage)
                _show(running.board, batches.stage, stage, watch, notes)
            if is_due or is_stopped:
                _save(network, optimizer, running.stored, notes)
                saved_at = time.perf_counter()
            if is_stopped:
                raise StoppedError(
                    f"stopped at step {step + 1} of {stage.steps} of {name}: what is done is kept; "
                    "repeat the command to go on"
                )
    if watch is not None:
        notes.watched.append(watch.read())
    return Course(
        losses=tuple(notes.losses),
        rates=tuple(_rates(stage, notes, range(len(notes.losses)))),
        # A loss of 0 had nothing to learn from.
        converged=notes.converged_at is not None
        if _may_end_early(stage) and any(notes.losses)
        else None,
        names=() if watch is None else watch.names,
        watched=torch.stack(notes.watched).cpu() if notes.watched else torch.zeros(0, 0),
        seconds=time.perf_counter() - began,
        waiting=notes.waiting,
    )


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that are trained: not those of a frozen backbone."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def build_optimizer(
    groups: Sequence[ParameterGroup], descent: DescentSettings, stage: StageSettings
) -> torch.optim.Optimizer:
    """Return the optimizer of the settings, at the stage's peak learning rate."""
    rate, decay = stage.learning_rate, descent.weight_decay
    if descent.optimizer == "adam":
        return torch.optim.AdamW(groups, lr=rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        groups, lr=rate, momentum=descent.momentum, weight_decay=decay, fused=True
    )


@dataclass
class _Notes:
    """What the steps so far left.

    `pending` (loss, norm) pairs have not been looked at, and `shown` losses are on the board.
    """

    losses: list[float] = field(default_factory=list)
    watched: list[Tensor] = field(default_factory=list)
    converged_at: int | None = None
    pending: list[Tensor] = field(default_factory=list)
    shown: int = 0
    waiting: float = 0.0


def _begin(
    network: nn.Module, optimizer: torch.optim.Optimizer, stored: StoredNetwork | None
) -> _Notes:
    """Take over what the stage's file has, if it has something, and return its notes."""
    found = None if stored is None else stored.read_progress()
    if found is None or found["progress"] is None:
        return _Notes()
    network.load_state_dict(found["state"])
    progress = found["progress"]
    optimizer.load_state_dict(progress["optimizer"])
    device = next(network.parameters()).device
    watched = list(progress["watched"].to(device))
    return _Notes(losses=progress["losses"], watched=watched, converged_at=progress["converged_at"])


def _smaller(batch_size: int) -> str:
    """Return what to do where a step needs more memory than there is."""
    if batch_size > 1:
        return f"set descent.batch_size = {batch_size // 2}, or reduce views.crop_size_wh"
    return "reduce views.crop_size_wh by a quarter, or images.max_side"


def descend_once(optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """Take a step down a loss; return (2,) the loss and the norm of its gradient."""
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    average_gradients(trained)
    norm = nn.utils.clip_grad_norm_(trained, GRADIENT_NORM_LIMIT)
    optimizer.step()
    return torch.stack([loss.detach().float(), norm.float()])


def _save(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    stored: StoredNetwork | None,
    notes: _Notes,
) -> None:
    if stored is None:
        return
    progress = {
        "optimizer": optimizer.state_dict(),
        "losses": notes.losses,
        # One tensor: a file of many small ones would take minutes to write.
        "watched": torch.stack(notes.watched).cpu() if notes.watched else torch.zeros(0, 0),
        "converged_at": notes.converged_at,
    }
    stored.write_progress(network.state_dict(), progress)


def _steps(stage: StageSettings, notes: _Notes) -> Iterator[int]:
    """Yield the steps that are left, until those made say that the stage ends."""
    step = len(notes.losses)
    while step < _count(stage, notes):
        yield step
        step += 1


def _count(stage: StageSettings, notes: _Notes) -> int:
    return count_steps(stage.schedule, stage.steps, notes.converged_at)


def _rates(stage: StageSettings, notes: _Notes, steps: range) -> list[float]:
    return [
        stage.learning_rate * rate(stage.schedule, step, stage.steps, notes.converged_at)
        for step in steps
    ]


def _may_end_early(stage: StageSettings) -> bool:
    # A stage without a step has no loss to judge.
    return stage.schedule == "flat" and stage.steps > 0


def _note_convergence(notes: _Notes, stage: StageSettings) -> None:
    if notes.converged_at is None:
        notes.converged_at = converges_at(stage.schedule, stage.steps, notes.losses)


def _show(
    board: Board | None, name: str, stage: StageSettings, watch: Watch | None, notes: _Notes
) -> None:
    """Write what is new of losses, rates, watched values and the seconds spent waiting."""
    if board is None:
        return
    first, steps = notes.shown, range(notes.shown, len(notes.losses))
    values = {
        "loss": notes.losses[first:],
        "learning rate": _rates(stage, notes, steps),
    }
    if watch is not None:
        columns = torch.stack(notes.watched[first:]).T.tolist()
        values |= dict(zip(watch.names, columns, strict=True))
    board.add_steps(name, first, values)
    board.add_steps(name, steps.stop - 1, {"seconds of waiting": [notes.waiting]})
    notes.shown = len(notes.losses)


def _look(notes: _Notes, batches: Batches[Item], name: str) -> None:
    """Move what is pending to the losses.

    Raises:
        RecipeError: when one is not finite: such weights would be stored and predict nothing.
    """
    found = mean_over_processes(torch.stack(notes.pending)).tolist()
    for loss, norm in found:
        if not (math.isfinite(loss) and math.isfinite(norm)):
            step = len(notes.losses)
            images = ", ".join(batches[step].names)
            raise RecipeError(
                f"training of {name} diverged at step {step + 1}, on {images}: lower its "
                "learning_rate, or look at what is odd about the images"
            )
        notes.losses.append(loss)
    notes.pending.clear()


@contextmanager
def _noticed_interrupts() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether the process was asked to stop while the block ran.

    The second time it stops at once. Signals reach the main thread alone.
    """
    noticed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noticed.is_set
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def notice(*_: object) -> None:
        noticed.set()
        restore()

    for number in signals:
        signal.signal(number, notice)
    try:
        yield noticed.is_set
    finally:
        restore()


@contextmanager
def _fast_convolutions() -> Iterator[None]:
    """Let a GPU try which algorithm is fastest: all batches of a stage have one size."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
