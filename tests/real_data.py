"""Where tests find real photos and labels; they skip, saying so, where there are none."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("ANNOTOOLS_DATA", Path(__file__).parents[2] / "shared" / "data"))


def real_data(*parts: str) -> Path:
    """Return a folder of the real data, or skip the test."""
    folder = DATA.joinpath(*parts)
    if not folder.exists():
        pytest.skip(f"no real data at {folder}: set ANNOTOOLS_DATA")
    return folder
