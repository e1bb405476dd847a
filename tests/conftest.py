import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch

from annotools import seals

MEMORY = Path("/dev/shm")
"""Where Linux keeps files in memory."""

MEMORY_NEEDED = 1 << 30
"""In bytes: ten times what the tests hold there at once."""


def pytest_configure() -> None:
    """Let tests write into memory where there is room: on a disk a folder takes 3 ms to go."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_NEEDED:
        # Commands that tests start have the folder from the environment.
        tempfile.tempdir = os.environ["TMPDIR"] = str(MEMORY)


@pytest.fixture
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the GPU from a test that compares two trainings digit by digit.

    A GPU adds in any order, and Adam turns a gradient that is zero but for rounding into a whole
    step, so that there no training repeats another exactly.
    """
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # For workers, which are other processes.


@pytest.fixture(autouse=True)
def on_a_fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait for the disk, on which nothing has to outlast a power cut."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(autouse=True)
def nothing_damaged_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test be told of the files that another one damaged in the same process."""
    monkeypatch.setattr(seals, "_damaged", set())
