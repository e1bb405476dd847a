"""Name what a file is that is no COCO file, and the well-kept tool that converts it."""

from pathlib import Path
from typing import Any

from annotools.errors import DatasetError

CONVERTERS = (
    "convert it to coco-instances with datumaro (pip install datumaro), FiftyOne or, from labelme, "
    "labelme2coco"
)
"""What to do with another format."""


def refuse_other_format(path: Path, content: Any) -> None:
    """Make sure that the content of a JSON file is not another tool's own format.

    Raises:
        DatasetError: when it is one that is known.
    """
    name = _name_format(content)
    if name is not None:
        raise DatasetError(f"{path}: is {name}, not a COCO file: export COCO, or {CONVERTERS}")


def _name_format(content: Any) -> str | None:
    """Return what wrote a content, None where that is not known."""
    if isinstance(content, list):
        first = content[0] if content else None
        is_task = isinstance(first, dict) and "data" in first and "annotations" in first
        return "Label Studio's own JSON" if is_task else None
    if not isinstance(content, dict) or "images" in content:
        return None
    if "shapes" in content and "imagePath" in content:
        return "labelme's JSON of one image"
    if "_via_img_metadata" in content or _has_regions(content):
        return "VGG Image Annotator's own JSON"
    if "classes" in content and "annotations" not in content:
        return "Supervisely's meta.json"
    if "objects" in content and "size" in content:
        return "Supervisely's JSON of one image"
    return None


def _has_regions(content: dict[str, Any]) -> bool:
    return len(content) > 0 and all(
        isinstance(entry, dict) and "regions" in entry for entry in content.values()
    )
