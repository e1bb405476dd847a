"""Trials run as tasks of Ray: on the cluster that RAY_ADDRESS names, or on this machine.

Ray is loaded when trials run on it. Tasks get paths and nothing else; whatever a worker or the
driver was at when it was lost, the next run goes on with what is in the folder.
"""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from annotools.errors import AnnotationError, RecipeError, as_line
from annotools.parallel import STOP_SECONDS
from annotools.stderr import catch_stderr
from studies.engines.needs import Needs, check_engine
from studies.engines.worker import own_versions, run_there
from studies.trials import Trial

CONNECT_SECONDS = 10.0


def run_on_ray(
    trials: Sequence[Trial], workers: int | None, needs: Needs
) -> Iterator[tuple[Trial, str | None]]:
    """Run stored trials; yield each when its task has ended, as `run_locally` does.

    Args:
        trials: each with its file, in a folder that all machines share.
        workers: trials at the same time; None for as many as the cluster has room for.
        needs: of a trial; without them one processor, or where there are GPUs one of these and two
            processors.

    Raises:
        RecipeError: when Ray is not installed or cannot be reached, a worker cannot see the folder
            or has other programs, or no machine has what a trial needs.
    """
    if not trials:
        return
    check_engine("ray")
    import ray

    _connect(ray)
    running: dict[Any, Trial] = {}
    try:
        options = _options(ray, needs)
        task = ray.remote(**options)(run_there)
        waiting, most = list(trials), workers or len(trials)
        while waiting or running:
            while waiting and len(running) < most:
                trial = waiting.pop(0)
                path = str(trial.stored_path.resolve())
                running[task.remote(path, own_versions(), int(options["num_cpus"]))] = trial
            (ended, *_), _ = ray.wait(list(running), num_returns=1)
            yield running.pop(ended), _why_lost(ray, ended)
    finally:
        # Asked to stop, a trial keeps the steps that it has made.
        for reference in running:
            ray.cancel(reference)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=STOP_SECONDS)
        ray.shutdown()


def _connect(ray: Any) -> None:
    """Connect to the cluster of RAY_ADDRESS, or start one of this machine alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Processors of a task without a GPU may use what other tasks use: Ray need not hide any.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address = os.environ.get("RAY_ADDRESS")
    common = {"log_to_driver": False, "logging_level": logging.ERROR}
    printed = bytearray()
    try:
        if address:
            _check_reachable(address)
            # Ray's code in C prints each of its tries.
            with catch_stderr() as printed:
                ray.init(address=address, **common)
        else:
            # Nothing may fork while stderr is caught, and this starts processes.
            ray.init(address="local", include_dashboard=False, **common)
    # What is wrong with an address or a version is any of these.
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, AnnotationError):
            raise
        place = f"RAY_ADDRESS={address}" if address else "Ray on this machine"
        last = (printed.decode(errors="replace").splitlines() or [""])[-1]
        reason = " ".join(filter(None, (as_line(error), last[last.find(": ") + 2 :])))
        raise RecipeError(f"{place}: {reason}: start the cluster, or correct it") from error


def _check_reachable(address: str) -> None:
    """Make sure that somebody answers at an address, where Ray would try for minutes.

    Raises:
        RecipeError: when nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RecipeError(
            f"RAY_ADDRESS={address}: nobody answers there ({as_line(error)}): start the cluster, "
            "or correct it"
        ) from error


def _options(ray: Any, needs: Needs) -> dict[str, Any]:
    """Return the options of a task.

    Raises:
        RecipeError: when no machine has what a task needs, which Ray would wait for without end.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = needs.gpus
    if gpus is None:
        gpus = int(any(machine.get("GPU", 0) >= 1 for machine in machines))
    cpus = needs.cpus or (2 if gpus else 1)
    # A worker ends with its task, and with it whatever holds memory of the GPU.
    options = {"num_cpus": cpus, "num_gpus": gpus, "max_calls": 1, "max_retries": 0}
    asked: dict[str, float] = {"CPU": cpus, "GPU": gpus}
    if needs.memory_gib is not None:
        options["memory"] = int(needs.memory_gib * 2**30)
        asked["memory"] = options["memory"]
    if not any(all(m.get(name, 0) >= n for name, n in asked.items()) for m in machines):
        raise RecipeError(
            f"no machine of the Ray cluster has {cpus} CPUs, {gpus} GPUs and the memory of a "
            "trial: lower --cpus, --gpus or --memory"
        )
    return options


def _why_lost(ray: Any, ended: Any) -> str | None:
    """Return why the worker of a task was lost, None where the trial's folder tells all.

    Raises:
        RecipeError: when the worker cannot run any trial.
    """
    errors = ray.exceptions
    try:
        wrong = ray.get(ended)
    except errors.TaskCancelledError:
        return None
    except errors.OutOfMemoryError:
        return "its Ray worker was killed for lack of memory: ask for more with --memory"
    except errors.RayTaskError as error:
        cause = error.cause if isinstance(error.cause, Exception) else error
        # A function that cannot be loaded is told with the whole traceback.
        if "failed to import" in str(cause) or isinstance(cause, ImportError):
            raise RecipeError(
                "annotools cannot be loaded on a Ray worker: install it there with the extra "
                "train, as it is here"
            ) from error
        return f"its Ray task failed ({as_line(cause).splitlines()[-1]})"
    except errors.RayError as error:
        return f"its Ray worker was lost ({type(error).__name__})"
    if wrong is not None:
        raise RecipeError(wrong)
    return None
