from pathlib import Path

import pytest


@pytest.fixture
def world(tmp_path: Path) -> Path:
    path = tmp_path / "world.toml"
    path.write_text("width = 64\nheight = 64\nnum_train = 3\nnum_val = 1\n")
    return path
