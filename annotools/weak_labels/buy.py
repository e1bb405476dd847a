"""What is bought for an image: one function says it, whoever asks and wherever labels come from."""

from annotools.errors import DatasetError
from annotools.records import NO_LABEL, Dataset, FullLabel, Image, TaggedCrop, WeakLabel
from annotools.weak_labels.annotators import Annotator, annotate_weak
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

    A full label gives any kind. Boxes and tags that annotators drew give themselves.

    Args:
        dataset: of the image.
        image: to label.
        kind: `full`, one of `WEAK_KINDS`, or `NO_LABEL`, which gives a weak label that says
            nothing.
        crop_size_wh: width and height in pixels of the tagged crops; None for the whole image.
        annotator: whose habits; None for one without mistakes.
        seed: of the mistakes.

    Raises:
        DatasetError: when the label cannot be read, or the dataset does not have the kind.
    """
    habits = annotator or Annotator()
    if kind == NO_LABEL:
        return WeakLabel(image_id=image.image_id)
    if kind == "full":
        return annotate_full(dataset.read_label(image), dataset.categories, habits, seed)
    if dataset.read_weak is None:
        weak = weaken(dataset.read_label(image), dataset.categories, kind, crop_size_wh)
    else:
        weak = take_given(dataset, image, kind, crop_size_wh)
    return annotate_weak(weak, dataset.categories, habits, (image.width, image.height), seed)


def take_given(
    dataset: Dataset, image: Image, kind: str, crop_size_wh: tuple[int, int] | None
) -> WeakLabel:
    """Return the part that a kind has of the weak label that a dataset without masks gives.

    Beside boxes, tags count for stuff alone, as `weaken` has it. Boxes without tags say which
    things are in a crop: those whose box reaches into it.

    Args:
        dataset: with `read_weak`.
        image: of the dataset.
        kind: one of `WEAK_KINDS`.
        crop_size_wh: of crops that are laid over boxes; tags that were given keep theirs.

    Raises:
        DatasetError: when the label cannot be read, or the dataset does not have the kind.
    """
    assert dataset.read_weak is not None
    given = dataset.read_weak(image)
    wants_boxes, wants_tags = kind != "tags", kind != "boxes"
    if wants_boxes and not given.has_boxes:
        raise DatasetError(f"{image.file_name}: has tags and no boxes: ask for tags")
    asked = asked_categories(dataset.categories, stuff_only=wants_boxes) if wants_tags else ()
    if given.tagged_category_ids:
        asked = tuple(i for i in given.tagged_category_ids if i in asked)
        crops = given.crops
    else:
        asked = tuple(i for i in asked if dataset.categories.by_id(i).is_thing)
        crops = _crops_of_boxes(given, image, crop_size_wh)
    tagged = tuple(
        TaggedCrop(
            box_xyxy=crop.box_xyxy,
            category_ids=tuple(i for i in crop.category_ids if i in asked),
        )
        for crop in crops
    )
    return WeakLabel(
        image_id=image.image_id,
        boxes=given.boxes if wants_boxes else (),
        crops=tagged if asked else (),
        tagged_category_ids=asked,
        has_boxes=wants_boxes,
    )


def _crops_of_boxes(
    given: WeakLabel, image: Image, crop_size_wh: tuple[int, int] | None
) -> tuple[TaggedCrop, ...]:
    width, height = image.width, image.height
    crops = []
    for place in crop_grid(width, height, *(crop_size_wh or (width, height))):
        present = {
            box.category_id
            for box in given.boxes
            if max(box.box_xyxy[0], place[0]) < min(box.box_xyxy[2], place[2])
            and max(box.box_xyxy[1], place[1]) < min(box.box_xyxy[3], place[3])
        }
        crops.append(TaggedCrop(box_xyxy=place, category_ids=tuple(sorted(present))))
    return tuple(crops)
