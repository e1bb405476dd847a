"""One function says what is bought for an image, whoever asks and wherever its labels come from."""

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.records import (
    MARKED_KINDS,
    NO_LABEL,
    Dataset,
    FullLabel,
    Image,
    TaggedCrop,
    WeakLabel,
)
from annotools.weak_labels.annotators import Annotator, annotate_weak
from annotools.weak_labels.marks import mark
from annotools.weak_labels.outlines import annotate_full
from annotools.weak_labels.weaken import asked_categories, crop_grid, weaken


def buy(
    dataset: Dataset,
    image: Image,
    kind: str,
    crop_size_wh: tuple[int, int] | None,
    annotator: Annotator | None = None,
    seed: int = 0,
) -> FullLabel | WeakLabel:
    """Return what an annotator gives for one image, with the mistakes of the annotator's habits.

    A full label gives any kind. Boxes and tags that annotators drew give themselves and no other
    kind.

    Args:
        dataset: of the image.
        image: to label.
        kind: one of `LABEL_KINDS`, or `NO_LABEL`, which gives a weak label that says nothing.
        crop_size_wh: width and height in pixels of the tagged crops; None for the whole image.
        annotator: whose habits; None for one without mistakes.
        seed: the mistakes are drawn from it.

    Raises:
        DatasetError: when the label cannot be read, or the dataset does not have the kind.
    """
    habits = annotator or Annotator()
    if kind == NO_LABEL:
        return WeakLabel(image_id=image.image_id)
    if kind == "full":
        return annotate_full(dataset.read_label(image), dataset.categories, habits, seed)
    if kind in MARKED_KINDS:
        return mark(dataset.read_label(image), dataset.categories, kind, habits, seed)
    source = read_source(dataset, image)
    weak = take_kind(source, dataset.categories, kind, crop_size_wh, image.size_wh)
    return annotate_weak(weak, dataset.categories, habits, image.size_wh, seed)


def read_source(dataset: Dataset, image: Image) -> FullLabel | WeakLabel:
    """Return the label from which all that can be bought for an image follows.

    Raises:
        DatasetError: when it cannot be read.
    """
    return dataset.read_label(image) if dataset.read_weak is None else dataset.read_weak(image)


def take_kind(
    source: FullLabel | WeakLabel,
    categories: CategorySet,
    kind: str,
    crop_size_wh: tuple[int, int] | None,
    size_wh: tuple[int, int],
) -> WeakLabel:
    """Return a weak label of one kind, without mistakes.

    A full label is weakened. Of a weak label it is the part that the kind has: next to boxes, tags
    are about stuff alone, as `weaken` has it; boxes without tags say which things are in a crop,
    those whose box reaches into it.

    Args:
        source: what there is, as `read_source` gives it.
        categories: the dataset's.
        kind: one of `WEAK_KINDS`.
        crop_size_wh: width and height in pixels of the tagged crops, None for the whole image;
            tags that were given keep their own crops.
        size_wh: width and height of the image in pixels.

    Raises:
        DatasetError: when boxes are asked of tags.
    """
    if isinstance(source, FullLabel):
        return weaken(source, categories, kind, crop_size_wh)
    wants_boxes, wants_tags = kind != "tags", kind != "boxes"
    if wants_boxes and not source.has_boxes:
        raise DatasetError(f"image {source.image_id}: has tags and no boxes: ask for tags")
    asked = asked_categories(categories, stuff_only=wants_boxes) if wants_tags else ()
    if source.tagged_category_ids:
        asked = tuple(i for i in source.tagged_category_ids if i in asked)
        crops = source.crops
    else:
        # Boxes were drawn on things alone, so nobody knows what stuff a crop has.
        asked = tuple(i for i in asked if categories.by_id(i).is_thing)
        crops = _crops_of_boxes(source, size_wh, crop_size_wh) if asked else ()
    tagged = tuple(
        TaggedCrop(
            box_xyxy=crop.box_xyxy,
            category_ids=tuple(i for i in crop.category_ids if i in asked),
        )
        for crop in crops
    )
    return WeakLabel(
        image_id=source.image_id,
        boxes=source.boxes if wants_boxes else (),
        crops=tagged if asked else (),
        tagged_category_ids=asked,
        has_boxes=wants_boxes,
        drops=source.drops,
    )


def _crops_of_boxes(
    given: WeakLabel, size_wh: tuple[int, int], crop_size_wh: tuple[int, int] | None
) -> tuple[TaggedCrop, ...]:
    crops = []
    for place in crop_grid(*size_wh, *(crop_size_wh or size_wh)):
        present = {
            box.category_id
            for box in given.boxes
            if max(box.box_xyxy[0], place[0]) < min(box.box_xyxy[2], place[2])
            and max(box.box_xyxy[1], place[1]) < min(box.box_xyxy[3], place[3])
        }
        crops.append(TaggedCrop(box_xyxy=place, category_ids=tuple(sorted(present))))
    return tuple(crops)
