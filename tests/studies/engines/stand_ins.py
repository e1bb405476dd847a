"""What stands for `run_there` on workers, which load it by its name, and loads no networks."""

import json
import os
import signal
from pathlib import Path


def run_by_seed(path: str, versions: dict[str, str], processors: int) -> str | None:
    """Leave a row for seed 0, be killed for 1, raise for 2, and have a wrong machine for 9."""
    content = json.loads(Path(path).read_text())
    seed = content["seed"]
    if seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 2:
        raise OSError(28, "No space left on device", "a.json")
    if seed == 9:
        return "the worker x has Python 3.12, not 3.11"
    text = json.dumps({"processors": processors, "versions": versions})
    Path(path).with_name("done.json").write_text(text)
    return None
