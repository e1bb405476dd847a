"""Trials run as jobs of Slurm: through submitit, or by a script that anybody can send off."""

import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotools.errors import RecipeError
from annotools.work_folder import STATE_FOLDER
from studies.engines.needs import Needs, check_engine
from studies.engines.worker import own_versions, run_there
from studies.folder import STUDY_FILE
from studies.trials import Trial

LOGS = f"{STATE_FOLDER}/slurm"
"""Where jobs write their logs, in the folder of the study."""

DAY_MINUTES = 24 * 60
"""How long a job may take where `--slurm time=...` says nothing else."""

LOOK_SECONDS = 2.0


def run_under_slurm(
    trials: Sequence[Trial], workers: int | None, needs: Needs, cluster: str = "slurm"
) -> Iterator[tuple[Trial, str | None]]:
    """Run stored trials as an array of jobs; yield each when its job has ended.

    Args:
        trials: each with its file, in a folder that all machines share.
        workers: jobs at the same time; None for as many as Slurm allows.
        needs: of a trial; without them two processors, and no GPU.
        cluster: `slurm`, or `local` for processes of this machine in place of jobs.

    Raises:
        RecipeError: when submitit or Slurm is missing, or Slurm refuses the jobs, or a worker
            cannot see the folder or has other programs.
    """
    if not trials:
        return
    check_engine("submitit")
    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise RecipeError(
            "--engine submitit: there is no Slurm here (no sbatch on the PATH): run it on a login "
            "node, or use --engine local"
        )
    running = _submit(trials, workers, needs, cluster)
    try:
        while running:
            ended = [job for job in running if job.done()]
            for job in ended:
                yield running.pop(job), _why_lost(job)
            if not ended:
                time.sleep(LOOK_SECONDS)
    finally:
        for job in running:
            job.cancel(check=False)


def _submit(
    trials: Sequence[Trial], workers: int | None, needs: Needs, cluster: str
) -> dict[Any, Trial]:
    """Send a job for each trial."""
    import submitit

    executor = submitit.AutoExecutor(trials[0].study_folder / LOGS, cluster=cluster)
    cpus = needs.cpus or 2
    parameters: dict[str, Any] = {
        "name": f"annotools-{trials[0].study.name}",
        "timeout_min": DAY_MINUTES,
        "cpus_per_task": cpus,
        "slurm_array_parallelism": workers or len(trials),
        "slurm_additional_parameters": dict(needs.slurm),
    }
    if needs.gpus:
        parameters["gpus_per_node"] = needs.gpus
    if needs.memory_gib is not None:
        parameters["mem_gb"] = needs.memory_gib
    executor.update_parameters(**parameters)
    try:
        with executor.batch():
            jobs = [
                executor.submit(run_there, str(trial.stored_path.resolve()), own_versions(), cpus)
                for trial in trials
            ]
    except submitit.core.utils.FailedJobError as error:
        reason = str(error).strip().splitlines()[-1]
        raise RecipeError(f"Slurm refuses the jobs ({reason}): correct --slurm") from error
    return dict(zip(jobs, trials, strict=True))


def _why_lost(job: Any) -> str | None:
    """Return why a job ended without a word, None where the trial's folder tells all.

    Raises:
        RecipeError: when its machine cannot run any trial.
    """
    error = job.exception()
    if error is not None:
        log = f"{LOGS}/{job.paths.stderr.name}"
        return f"its job {job.job_id} ended without a result (state {job.state}, log {log})"
    wrong = job.result()
    if wrong is not None:
        raise RecipeError(wrong)
    return None


def sbatch_script(trials: Sequence[Trial], folder: Path, workers: int | None, needs: Needs) -> str:
    """Return a script for `sbatch` that runs each trial as a task of an array.

    Args:
        trials: with their files in the folder.
        folder: of the study, which all machines see under this name.
        workers: tasks at the same time; None for as many as Slurm allows.
        needs: of a trial.
    """
    place = folder.resolve()
    limit = "" if workers is None else f"%{workers}"
    options = {
        "job-name": f"annotools-{trials[0].study.name}",
        "array": f"0-{len(trials) - 1}{limit}",
        "cpus-per-task": str(needs.cpus or 2),
        "output": f"{place / LOGS}/%A_%a.log",
    }
    if needs.gpus:
        options["gpus-per-node"] = str(needs.gpus)
    if needs.memory_gib is not None:
        options["mem"] = f"{needs.memory_gib * 1024:.0f}M"
    options |= needs.slurm
    # The command of this installation, whatever a job's PATH has.
    beside = Path(sys.executable).with_name("annotools")
    command = shlex.quote(str(beside)) if beside.is_file() else "annotools"
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH --{name}={_quoted(value)}" for name, value in options.items()),
        "trials=(",
        *(f"  {shlex.quote(trial.name)}" for trial in trials),
        ")",
        # Since 22.05 srun no longer asks for as many as the job has.
        "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",
        f"srun {command} study trial {shlex.quote(str(place / STUDY_FILE))} \\",
        f'  --trial "${{trials[$SLURM_ARRAY_TASK_ID]}}" --out {shlex.quote(str(place))}',
    ]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    """Return a value as a line of `#SBATCH` takes it."""
    return f'"{value}"' if " " in value else value
