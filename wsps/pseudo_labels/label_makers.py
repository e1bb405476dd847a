"""Where the label of an image comes from: boxes and tags at first, the network in each round.

Paper: Li, Arnab, Torr 2018, sec. 3.2-3.4.
"""

import json
from dataclasses import asdict, dataclass

from annotools.records import Dataset, Image, WeakLabel
from wsps.pseudo_labels.boxes import METHOD_VERSION, label_from_boxes
from wsps.pseudo_labels.image_labels import label_image
from wsps.pseudo_labels.label_store import BoxLabelStore
from wsps.pseudo_labels.quality import CropScores
from wsps.pseudo_labels.records import PseudoLabel
from wsps.pseudo_labels.stored_classifier import StoredClassifier
from wsps.pseudo_labels.stored_network import StoredNetwork
from wsps.recipe import RefinementSettings


@dataclass(frozen=True, kw_only=True)
class FirstLabels:
    """Makes the labels of the first training.

    `classifier` is None without tags, `box_labels` where labels from boxes are not kept.
    """

    box_method: str
    refinement: RefinementSettings
    classifier: StoredClassifier | None
    box_labels: BoxLabelStore | None

    def key(self, weak: WeakLabel) -> str:
        """Name what the label depends on beside the photo and the settings of the run."""
        used = self.classifier if weak.crops else None
        return _describe(weak) + ("" if used is None else used.key)

    def label(self, dataset: Dataset, image: Image, weak: WeakLabel) -> PseudoLabel:
        """Return the label of an image that has boxes or tags.

        Raises:
            DatasetError: when the photo cannot be read.
        """
        categories, from_boxes, from_tags = dataset.categories, None, None
        if weak.has_boxes and self.box_labels is not None:
            from_boxes = self.box_labels.label(dataset, image, weak.boxes)
        elif weak.has_boxes:
            photo = dataset.read_photo(image)
            from_boxes = label_from_boxes(photo, weak.boxes, categories, self.box_method)
        if self.classifier is not None and weak.crops:
            from_tags = self.classifier.label(dataset.read_photo(image), weak, categories)
        return label_image(from_boxes, from_tags, weak, categories, self.refinement)

    def score_tags(self, dataset: Dataset, image: Image, weak: WeakLabel) -> CropScores | None:
        """Return how the classifier scores the crops of an image, None where it has no tags.

        Raises:
            DatasetError: when the photo cannot be read.
        """
        if self.classifier is None or not weak.crops:
            return None
        return self.classifier.score(dataset.read_photo(image), weak, dataset.categories)


@dataclass(frozen=True, kw_only=True)
class NextLabels:
    """Makes the labels of a round, from 1, with the network that the labels before it trained."""

    round_number: int
    network: StoredNetwork
    box_labels: BoxLabelStore

    def key(self, weak: WeakLabel) -> str:
        """Name what the label depends on beside the photo and the settings of the run."""
        return _describe(weak) + self.network.key

    def label(self, dataset: Dataset, image: Image, weak: WeakLabel) -> PseudoLabel:
        """Return the label of an image for which anything or nothing was bought.

        Raises:
            DatasetError: when the photo cannot be read.
        """
        boxes = weak.boxes if weak.has_boxes else None
        return self.network.label(
            dataset.read_photo(image),
            None if boxes is None else self.box_labels.label(dataset, image, boxes),
            weak,
            dataset.categories,
            self.round_number,
        )


def _describe(weak: WeakLabel) -> str:
    return json.dumps([METHOD_VERSION, asdict(weak)])
