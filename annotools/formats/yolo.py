"""Read YOLO folders: one text file an image, a line an object, as a box or as a polygon.

A line is `CLASS X Y WIDTH HEIGHT`, in a dataset with keypoints with these behind it, or `CLASS X1
Y1 X2 Y2 X3 Y3 ...`, in fractions of the upright photo, whose size has to be known: there must be
photos. A turned box is a polygon with four corners. A photo without a file of labels has no object.
`yolo_layout` says where all these files are.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from annotools.errors import DatasetError
from annotools.formats.coco_instances import read_instance_categories
from annotools.formats.forms import as_whole
from annotools.formats.instances import Instance, Instances, give_labels
from annotools.formats.json_values import drop_impossible, refuse_gaps
from annotools.formats.photos import read_photo, read_photo_head
from annotools.formats.without_masks import no_label
from annotools.formats.yolo_layout import (
    MAX_LABEL_BYTES,
    YoloLayout,
    find_layout,
    find_without_photo,
    pair_labels,
)
from annotools.read_files import read_lines
from annotools.records import Dataset, Drop, Image


def read(
    root: Path, split: str, allow_missing: bool = False, photos: Path | None = None
) -> Dataset:
    """Return the dataset of a split; all files of labels are read at once, photos when asked for.

    Category ids are YOLO's class numbers; a background is added behind them. Where every line is a
    box, the dataset has boxes and no masks. Labels are as `give_labels` makes them.

    Args:
        root: the dataset's folder, or its `data.yaml`.
        split: names an entry of `data.yaml`, or the folder of photos.
        allow_missing: leave out label files without a photo, photos that a list names and that are
            missing, and impossible lines, and list them as drops; take the box alone of an object
            without a polygon beside others that have one.
        photos: the folder of the photos, if it is not where it is looked for.

    Raises:
        DatasetError: when classes, photos or all labels are missing, two photos have the same
            labels, and, unless allowed, for a label file without a photo or an impossible line.
    """
    layout = find_layout(root, split, photos)
    label_of = pair_labels(layout)
    drops = [Drop(place=str(path), reason="the photo is missing") for path in layout.missing]
    drops += find_without_photo(layout, label_of)
    refuse_gaps(drops, allow_missing)
    images = tuple(
        _describe(name, path, label_of.get(name)) for name, path in layout.photos.items()
    )
    categories = read_instance_categories(
        layout.path,
        {"categories": [{"id": i, "name": name} for i, name in sorted(layout.names.items())]},
        Counter(),
    )
    drops_of: dict[int | str, list[Drop]] = {image.image_id: [] for image in images}
    listed = {
        image.image_id: tuple(
            _read_lines(image, layout, drops_of[image.image_id], allow_missing=allow_missing)
        )
        for image in images
    }
    of_image = {
        image_id: [x for x in instances if x.category_id != categories.background_id]
        for image_id, instances in listed.items()
    }
    counts = {
        "photos have no file of labels: no object": sum(not i.label_paths for i in images),
        "lines are of the background: no object": sum(map(len, listed.values()))
        - sum(map(len, of_image.values())),
        "polygons, all with four corners as turned boxes have: masks": _count_with_corners(
            of_image, 4
        ),
        "lines of 7 numbers, read as triangles; tracks with a confidence and an id have 7 too": (
            _count_with_corners(of_image, 3)
        ),
    }
    folders = dict.fromkeys(path.parent for path in layout.photos.values())
    dataset = Dataset(
        name="yolo",
        split=split,
        categories=categories,
        images=images,
        read_label=no_label,
        read_photo=read_photo,
        remarks=(
            f"classes are those of {layout.path}, photos are in {next(iter(folders))}",
            *(f"{count:,} {what}" for what, count in counts.items() if count),
        ),
        drops=tuple(drops),
        source_files=(layout.path,),
    )
    instances = Instances(
        categories=categories,
        of_image=of_image,
        allow_missing=allow_missing,
        drops_of=drops_of,
    )
    return give_labels(dataset, instances)


def _count_with_corners(of_image: Mapping[int | str, Sequence[Instance]], corners: int) -> int:
    """Return how many polygons there are if all have so many corners, else 0."""
    polygons = [p for found in of_image.values() for x in found for p in x.segmentation]
    return len(polygons) if all(len(polygon) == 2 * corners for polygon in polygons) else 0


def _describe(name: str, path: Path, label_path: Path | None) -> Image:
    width, height = read_photo_head(path).upright_wh
    return Image(
        image_id=name,
        file_name=f"{name}{path.suffix}",
        width=width,
        height=height,
        path=path,
        label_paths=() if label_path is None else (label_path,),
        has_photo_size=True,
    )


def _read_lines(
    image: Image, layout: YoloLayout, drops: list[Drop], *, allow_missing: bool
) -> Iterator[Instance]:
    for path in image.label_paths:
        for number, line in enumerate(read_lines(path, MAX_LABEL_BYTES), start=1):
            place = f"{path}: line {number}"
            try:
                if line.strip():
                    yield _read_line(place, line, image, layout)
            except DatasetError as error:
                drops.append(drop_impossible(place, error, allow_missing=allow_missing))


def _read_line(place: str, line: str, image: Image, layout: YoloLayout) -> Instance:
    try:
        number, *fractions = map(float, line.split())
    except ValueError as error:
        raise DatasetError(f"{line[:60]!r} is no line of numbers: correct it") from error
    category_id = as_whole(number)
    if category_id is None or category_id not in layout.names:
        raise DatasetError(f"class {number:g} has no name in {layout.path}: add it")
    if layout.has_keypoints:
        fractions = fractions[:4]
    # Not-a-number fails the comparison. What reaches out a little is clipped.
    if not all(-1 <= fraction <= 2 for fraction in fractions):
        raise DatasetError(
            "has a number that is no fraction of the photo: if these are pixels, divide "
            "them by its width and height"
        )
    sizes = (image.width, image.height)
    polygons, bbox = [], None
    if len(fractions) == 4:
        x, y, width, height = (f * sizes[n % 2] for n, f in enumerate(fractions))
        bbox = [x - width / 2, y - height / 2, width, height]
    elif len(fractions) >= 6 and len(fractions) % 2 == 0:
        polygons = [[f * sizes[n % 2] for n, f in enumerate(fractions)]]
    else:
        hint = "; the sixth of a prediction is how sure it is" if len(fractions) == 5 else ""
        raise DatasetError(
            f"{1 + len(fractions)} numbers are neither a box (5) nor a polygon (7, 9, "
            f"...){hint}: correct it"
        )
    return Instance(
        place=place, category_id=category_id, segmentation=polygons, bbox=bbox, is_crowd=False
    )
