"""A workload is the work that one kind of label takes on all images of a dataset."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from annotools.errors import RecipeError
from annotools.prices.actions import (
    ABSENT_TAGS,
    PRICE_KINDS,
    actions_for,
    paid_actions,
    unknown_counts,
)
from annotools.prices.image_content import ImageContent
from annotools.prices.times import AnnotationTimes, missing_actions


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The work of giving every image of a dataset one kind of label.

    `all_questions` is true where the tags of absent classes are paid too. `actions` counts what
    all annotators together do, by action, in the order of the price list. It is None where the
    times lack an action or a count is not known, so that there is no price: `missing_times` are
    these actions, `missing_counts` these fields of `ImageContent`.
    """

    kind: str
    all_questions: bool
    num_images: int
    actions: Mapping[str, float] | None
    missing_times: tuple[str, ...] = ()
    missing_counts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The kind and how its questions are paid."""
        return f"{self.kind}, all questions" if self.all_questions else self.kind


def list_workloads(
    content: ImageContent,
    num_images: int,
    kinds: Iterable[str],
    times: AnnotationTimes,
    num_coarse_images: int = 0,
) -> tuple[Workload, ...]:
    """Return the workload of each kind; kinds with tags come twice.

    The second time they ask about every class of every crop. They come once where they have no
    price, and where the times ask about absent classes in any case.

    Args:
        content: the mean image.
        num_images: how many of them are labelled.
        kinds: some of `PRICE_KINDS`.
        times: what asks about absent classes, and which actions have a time.
        num_coarse_images: further images like these. They get every kind too, except that full
            labels, by vertex or not, are coarse ones there.

    Raises:
        RecipeError: for an unknown kind.
    """
    workloads = []
    for kind in kinds:
        if kind not in PRICE_KINDS:
            raise RecipeError(f"unknown label kind {kind!r}: use {', '.join(PRICE_KINDS)}")
        num_images_of = {kind: num_images}
        if num_coarse_images:
            # Further images get every other kind just as the first ones do.
            further = "coarse" if kind in ("full", "full by vertex") else kind
            num_images_of[further] = num_images_of.get(further, 0) + num_coarse_images
        as_asked = _workload(content, num_images_of, times, all_questions=False)
        workloads.append(as_asked)
        has_questions = ABSENT_TAGS in actions_for(content, kind)
        if has_questions and as_asked.actions is not None and not times.asks_absent_classes:
            workloads.append(_workload(content, num_images_of, times, all_questions=True))
    return tuple(workloads)


def _workload(
    content: ImageContent,
    num_images_of: Mapping[str, int],
    times: AnnotationTimes,
    *,
    all_questions: bool,
) -> Workload:
    """Add up the work of so many images of each kind, under the name of the first kind."""
    total: dict[str, float] = {}
    # Keys of a dictionary keep their order, and a count that both kinds lack is named once.
    missing_counts: dict[str, None] = {}
    for kind, count in num_images_of.items():
        mean = paid_actions(actions_for(content, kind), times, all_questions=all_questions)
        for action, done in mean.items():
            total[action] = total.get(action, 0) + count * done
        unknown = unknown_counts(content, kind, times, all_questions=all_questions)
        missing_counts |= dict.fromkeys(unknown)
    missing_times = missing_actions(times, total)
    return Workload(
        kind=next(iter(num_images_of)),
        all_questions=all_questions,
        num_images=sum(num_images_of.values()),
        actions=None if missing_times or missing_counts else total,
        missing_times=missing_times,
        missing_counts=tuple(missing_counts),
    )
