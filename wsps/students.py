"""A student is a segmenter that a study trains. To add one, write a module, name it in `STUDENTS`.

Its stages make a run of label sets, and its `predict_batch` makes segments of photos. Students see
label maps and boxes, and never which kind of label these were.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from annotools.errors import RecipeError
from annotools.records import Photo
from wsps import mask_rcnn, prediction
from wsps.detections import Detections
from wsps.networks.model import PanopticModel, build_model
from wsps.prediction import Prediction
from wsps.recipe import InstanceSettings
from wsps.training.stages import DETECTOR, INSTANCE, SEMANTIC, Stage


@dataclass(frozen=True, kw_only=True)
class Student:
    """How a segmenter is built, trained and asked.

    `build` is called as `wsps.networks.model.build_model` and `predict_batch` as that of
    `wsps.prediction`; `stages` are in order, by the name of their checkpoint. One that does not
    `takes_given` detections finds its own in any case.
    """

    build: Callable[..., PanopticModel]
    stages: Mapping[str, Stage]
    predict_batch: Callable[
        [PanopticModel, Sequence[Photo], Sequence[int | str], Sequence[Detections] | None],
        list[Prediction],
    ]
    takes_given: bool


STUDENTS: dict[str, Student] = {
    "li2018": Student(
        build=build_model,
        stages={"semantic": SEMANTIC, "detector": DETECTOR, "instance": INSTANCE},
        predict_batch=prediction.predict_batch,
        takes_given=True,
    ),
    mask_rcnn.NAME: Student(
        build=mask_rcnn.build_model,
        stages={"semantic": SEMANTIC, "detector": DETECTOR},
        predict_batch=mask_rcnn.predict_batch,
        takes_given=False,
    ),
}


def find_student(name: str, where: str = "student") -> Student:
    """Return a student.

    Raises:
        RecipeError: when there is none of this name; `where` is the place that asks for it.
    """
    if name not in STUDENTS:
        raise RecipeError(f"{where}: unknown student {name!r}: use {' or '.join(STUDENTS)}")
    return STUDENTS[name]


def check_given(name: str, instance: InstanceSettings) -> None:
    """Make sure that a student with these settings takes detections of a file.

    Raises:
        RecipeError: when it does not.
    """
    if not STUDENTS[name].takes_given:
        raise RecipeError(
            f"--detections: the student {name!r} needs masks with its detections and makes both "
            "itself: leave the option out"
        )
    if instance.mask_weight > 0:
        raise RecipeError(
            "--detections: instance.mask_weight is above 0, and detections of a file have no "
            "masks: leave the option out, or take a model trained with instance.mask_weight = 0"
        )


def predict(
    model: PanopticModel, photo: Photo, image_id: int | str, given: Detections | None = None
) -> Prediction:
    """Predict the panoptic segmentation of one photo.

    Args:
        model: trained.
        photo: (H, W, 3) RGB of any size.
        image_id: that the prediction shall carry.
        given: detections in the photo, as `predict_batch` takes them.

    Raises:
        RecipeError: where memory is not enough; it says what to lower.
    """
    (found,) = predict_batch(model, [photo], [image_id], None if given is None else [given])
    return found


def predict_batch(
    model: PanopticModel,
    photos: Sequence[Photo],
    image_ids: Sequence[int | str],
    given: Sequence[Detections] | None = None,
) -> list[Prediction]:
    """Predict the panoptic segmentation of photos of one size with the model's student.

    Args:
        model: trained.
        photos: (H, W, 3) RGB, at least one.
        image_ids: that the predictions shall carry.
        given: detections in each photo, above the score threshold, on the CPU, for a student that
            takes them; None lets the model's detector find them, which it then has.

    Raises:
        RecipeError: where memory is not enough; it says what to lower.
    """
    return STUDENTS[model.student].predict_batch(model, photos, image_ids, given)
