"""Label a round's images where the network runs on a GPU: in this process, several at once.

While the GPU looks at one batch, threads read the next photos and label those before.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from annotools.formats.source import open_source
from annotools.parallel import map_ahead
from wsps.pseudo_labels.label_images import ImageLabeller, LabelledImage, ReadImage
from wsps.pseudo_labels.request import LabelTask
from wsps.recipe import ImageSettings

MAX_PIXELS = 2**20
"""Most pixels of a batch: the CRF's lattice has some 500 bytes for each."""

MAX_VALUES = 2**24
"""Most pixels times classes of a batch, of which a GPU holds up to ten copies in single precision:
with the lattice two GiB at most, so that several trials find room."""


def label_in_batches(
    labeller: ImageLabeller, tasks: Sequence[LabelTask], threads: int
) -> Iterator[LabelledImage]:
    """Yield what the labeller gives of each image, images of one size one after the other.

    Args:
        labeller: of the round.
        tasks: all images.
        threads: that read, and as many that write.

    Raises:
        DatasetError: when photo or label cannot be read.
        OSError: when a file cannot be written.
    """
    num_classes = len(open_source(labeller.request.source).categories)
    by_size = sorted(tasks, key=lambda task: task.image.size_wh)
    read = map_ahead(labeller.read, by_size, threads)
    looked = (
        pair
        for batch in form_batches(labeller, read, num_classes)
        for pair in zip(batch, labeller.look(batch), strict=True)
    )
    yield from map_ahead(lambda pair: labeller.label(*pair), looked, threads)


def form_batches(
    labeller: ImageLabeller, images: Iterator[ReadImage], num_classes: int
) -> Iterator[list[ReadImage]]:
    """Yield batches of neighbours that the network can look at together, in order.

    They have photos of one size and crops of one size, and no more pixels than `MAX_PIXELS` and
    `MAX_VALUES` allow, but for a photo that has more alone. Images that need no network come alone.
    """
    batch: list[ReadImage] = []
    for image in images:
        if not labeller.needs_network(image):
            yield [image]
            continue
        most = _most_photos(image, labeller.request.recipe.images, num_classes)
        if batch and (len(batch) >= most or _sizes(image) != _sizes(batch[0])):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


def _most_photos(image: ReadImage, settings: ImageSettings, num_classes: int) -> int:
    from wsps.data import scale_of

    assert image.photo is not None
    height, width = image.photo.shape[:2]
    pixels = scale_of((height, width), settings) ** 2 * height * width
    return max(1, int(min(MAX_PIXELS, MAX_VALUES / num_classes) / pixels))


def _sizes(image: ReadImage) -> tuple[Any, ...]:
    """Return the sizes of photo and crops, which are alike in a batch."""
    assert image.photo is not None
    crops = getattr(image.bought, "crops", ())
    x0, y0, x1, y1 = crops[0].box_xyxy if crops else (0, 0, 0, 0)
    return image.photo.shape, x1 - x0, y1 - y0
