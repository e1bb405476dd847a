import os

import pytest
import torch

from annotools import seals


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
