"""What engines start on another machine: a trial, by the path of its file.

Nothing heavy is loaded before it is known that the machine has the same programs and the folder.
"""

import platform
import socket
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from annotools.errors import StoppedError, UnfinishedError
from studies.folder import STUDY_FILE


def own_versions() -> dict[str, str]:
    """Return the versions that must be the same wherever a study runs."""
    return {"annotools": version("annotools"), "Python": platform.python_version()}


def run_there(path: str, versions: Mapping[str, str], processors: int) -> str | None:
    """Run a stored trial on the machine of this process.

    Args:
        path: of the trial's file.
        versions: of whoever asks.
        processors: that the trial is given.

    Returns:
        What is wrong with this machine; None where the trial's folder tells what became of it.
    """
    host, own = socket.gethostname(), own_versions()
    for name, asked in versions.items():
        if own[name] != asked:
            return f"the worker {host} has {name} {own[name]}, not {asked}: install the same there"
    folder = Path(path).parents[2]
    if not (folder / STUDY_FILE).is_file():
        return (
            f"{folder}: cannot be seen from the worker {host}: give --out a folder that all "
            "machines share under this name"
        )
    from annotools.parallel import take_share
    from studies.running.trial_process import run_stored

    take_share(processors)
    with suppress(StoppedError, UnfinishedError):
        run_stored(Path(path))
    return None
