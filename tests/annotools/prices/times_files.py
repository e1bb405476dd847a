"""A file of annotation times with one action."""

from pathlib import Path

from annotools.prices.times import ActionTime

BOX = ActionTime(
    seconds=7.0,
    low=6.0,
    high=35.0,
    unit="instance",
    source="a paper",
    measured=True,
    quality_control=False,
)
LINES = {
    "seconds": "7",
    "low": "6.0",
    "high": "35",
    "unit": '"instance"',
    "source": '"a paper"',
    "measured": "true",
    "quality_control": "false",
}


def write_times(folder: Path, head='name = "mine"\nnote = ""', action="box", **changes) -> Path:
    lines = {**LINES, **changes}
    body = "\n".join(f"{key} = {value}" for key, value in lines.items() if value)
    path = folder / "my times.toml"
    path.write_text(f"{head}\n[actions.{action}]\n{body}\n", encoding="utf-8")
    return path
