import math
from dataclasses import replace
from pathlib import Path

import pytest

from annotools.errors import DatasetError, RecipeError
from annotools.prices.image_content import (
    STATISTICS_FOLDER,
    ImageContent,
    mean_content,
    measure_images,
    read_statistics,
)
from annotools.records import Box, Dataset, Image, TaggedCrop, WeakLabel
from tests.builders import make_categories, make_dataset, make_label, make_weak_dataset, measure

LABELS = {
    "1.png": make_label([[1, 2], [1, 3]], {1: 10, 2: 30, 3: 30}, image_id=1),
    "2.png": make_label([[1, 2]], {1: 10, 2: 20}, image_id=2),
}

LINES = {
    "name": '"mine"',
    "source": '"us"',
    "num_images": "3",
    "num_thing_classes": "2",
    "num_stuff_classes": "4",
    "crops": "6",
    "things_per_image": "2.5",
}


def write_statistics(folder: Path, **changes: str) -> Path:
    lines = {**LINES, **changes}
    path = folder / "mine.toml"
    path.write_text("\n".join(f"{key} = {value}" for key, value in lines.items() if value))
    return path


def test_content_of_a_label():
    label = make_label([[1, 1, 2, 3]], {1: 20, 2: 30, 3: 30}, groups=[3])
    content = measure(label, make_categories(things=("car", "dog")), (2, 1))

    assert content == ImageContent(
        has_stuff=True,
        num_thing_classes=2,
        num_stuff_classes=2,
        things=2,
        groups=1,
        thing_classes_present=1,
        stuff_classes_present=1,
        crops=2,
        thing_tags=1,
        stuff_tags=1,
    )


def test_background_is_no_class_and_tags_may_be_left_out():
    label = make_label([[1, 2]], {1: 10, 2: 20})
    categories = make_categories(stuff=("background",), background=True)
    content = measure(label, categories, None, with_tags=False)

    assert not content.has_stuff
    assert (content.num_stuff_classes, content.stuff_classes_present) == (0, 0)
    assert (content.num_thing_classes, content.thing_classes_present) == (1, 1)
    assert math.isnan(content.crops + content.thing_tags + content.stuff_tags)


def test_mean_of_images():
    first = read_statistics("voc").content
    second = replace(first, things=0.2, thing_tags=0.5)

    assert mean_content([first, second]) == replace(first, things=1.5, thing_tags=1.0)
    with pytest.raises(DatasetError, match="no image to price"):
        mean_content([])


def test_mean_vertices_are_those_of_the_images_where_they_are_known():
    label, categories = make_label([[1]], {1: 20}), make_categories()
    contents = [
        measure(label, categories, None, vertices=vertices) for vertices in (None, 0, 9, None)
    ]

    assert [content.vertices_known for content in contents] == [0, 1, 1, 0]
    assert math.isnan(contents[0].vertices)
    mean = mean_content(contents)
    assert (mean.vertices, mean.vertices_known) == (4.5, 0.5)
    nobody = mean_content([contents[0]])
    assert math.isnan(nobody.vertices)
    assert nobody.vertices_known == 0


def test_statistics_of_the_paper():
    train, both = read_statistics("cityscapes-train"), read_statistics("cityscapes-trainval")
    content = train.content

    assert (train.num_images, both.num_images) == (2975, 3475)
    assert both.content.things == content.things == 17.9
    assert content.stuff_tags == 57
    assert content.crops * content.num_stuff_classes == 165
    # The paper does not count the things that are present.
    assert math.isnan(content.thing_tags)
    assert math.isnan(content.stuff_classes_present)


def test_statistics_where_all_stuff_is_background():
    content = read_statistics("voc").content

    assert not content.has_stuff
    assert (content.stuff_tags, content.stuff_classes_present) == (0, 0)
    assert (content.thing_tags, content.thing_classes_present) == (1.5, 1.5)
    assert content.things == 2.8


def test_every_shipped_file_can_be_read():
    names = {path.stem for path in STATISTICS_FOLDER.glob("*.toml")}

    assert names == {"cityscapes-train", "cityscapes-trainval", "voc"}


@pytest.mark.parametrize("as_type", [str, Path])
def test_own_file(tmp_path, as_type):
    statistics = read_statistics(as_type(write_statistics(tmp_path, stuff_tags_per_crop="1.5")))

    assert statistics.content.stuff_tags == 9
    assert statistics.num_images == 3
    assert math.isnan(statistics.content.vertices)
    other = read_statistics(as_type(write_statistics(tmp_path, vertices_per_image="80")))
    assert (other.content.vertices, other.content.vertices_known) == (80, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crops": ""}, "setting crops is missing"),
        ({"crop": "3"}, "unknown setting crop;"),
        ({"crops": "0"}, "crops = 0: give one or more"),
        ({"num_images": "0"}, "num_images = 0: give one or more"),
        ({"num_images": "1.5"}, "num_images: expected int"),
        ({"things_per_image": "-1"}, "things_per_image = -1.0: give zero or more"),
        ({"things_per_image": "nan"}, "things_per_image = nan: give zero"),
        ({"thing_tags_per_crop": "2.5"}, "thing_tags_per_crop = 2.5: there are only 2 such"),
        ({"stuff_classes_present": "5"}, "stuff_classes_present = 5.0: there are only 4 such"),
        ({"num_thing_classes": "0", "num_stuff_classes": "0"}, "are 0: give one or more"),
        ({"name": "3x"}, "not valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path, changes, message):
    with pytest.raises(RecipeError, match=message) as caught:
        read_statistics(write_statistics(tmp_path, **changes))
    assert "mine.toml" in str(caught.value)


def test_unknown_and_missing_statistics(tmp_path):
    with pytest.raises(RecipeError, match=r"'coco': there is cityscapes-train, .*, voc; a file"):
        read_statistics("coco")
    with pytest.raises(RecipeError, match=r"none\.toml: cannot be read"):
        read_statistics(tmp_path / "none.toml")


def test_content_of_a_dataset_is_the_mean_over_its_images() -> None:
    dataset = make_dataset(LABELS, make_categories())
    contents = measure_images(dataset, dataset.images, None)
    assert [content.things for content in contents.values()] == [2, 0]
    content = mean_content(contents.values())
    assert (content.things, content.thing_tags, content.stuff_tags) == (1, 0.5, 1.5)


def mean_of(dataset: Dataset, with_vertices: bool) -> ImageContent:
    contents = measure_images(dataset, dataset.images, None, with_vertices=with_vertices)
    return mean_content(contents.values())


def test_vertices_are_counted_only_for_those_who_ask() -> None:
    asked: list[int | str] = []

    def count(image: Image) -> int | None:
        asked.append(image.image_id)
        return 12 if image.image_id == 1 else None

    without = make_dataset(LABELS, make_categories())
    dataset = replace(without, count_vertices=count)
    assert mean_of(dataset, with_vertices=False).vertices_known == 0
    assert asked == []
    content = mean_of(dataset, with_vertices=True)
    assert (content.vertices, content.vertices_known, asked) == (12, 0.5, [1, 2])
    assert mean_of(without, with_vertices=True).vertices_known == 0


BOXES = (
    Box(category_id=20, box_xyxy=(0, 0, 3, 2)),
    Box(category_id=20, box_xyxy=(3, 1, 4, 2), is_group=True),
)


def content_given(label: WeakLabel, crop_size_wh=None, **categories) -> ImageContent:
    dataset = make_weak_dataset({"a.png": label}, make_categories(**categories), (4, 2))
    (content,) = measure_images(dataset, dataset.images, crop_size_wh, with_vertices=True).values()
    return content


def test_boxes_without_masks_say_what_there_is_of_things():
    label = WeakLabel(image_id=1, boxes=BOXES, has_boxes=True)
    things = {"things": ("car", "dog"), "stuff": ("background",), "background": True}

    # Two crops of 2 x 2; the first box reaches into both.
    assert content_given(label, (2, 2), **things) == ImageContent(
        has_stuff=False,
        num_thing_classes=2,
        num_stuff_classes=0,
        things=2,
        groups=1,
        thing_classes_present=1,
        stuff_classes_present=0,
        crops=2,
        thing_tags=2,
        stuff_tags=0,
    )


def test_nobody_knows_stuff_without_masks_or_tags():
    label = WeakLabel(image_id=1, boxes=BOXES[:1], has_boxes=True)
    content = content_given(label, things=("car",), stuff=("road",))

    assert (content.things, content.thing_classes_present) == (1, 1)
    assert math.isnan(content.stuff_classes_present)
    assert math.isnan(content.stuff_tags)
    assert content.vertices_known == 0


def test_tags_without_boxes_say_which_classes_there_are():
    crops = (
        TaggedCrop(box_xyxy=(0, 0, 2, 2), category_ids=(10, 20)),
        TaggedCrop(box_xyxy=(2, 0, 4, 2), category_ids=(10,)),
    )
    label = WeakLabel(image_id=1, crops=crops, tagged_category_ids=(10, 20))
    content = content_given(label, things=("car",), stuff=("road",))

    assert (content.crops, content.thing_tags, content.stuff_tags) == (2, 1, 2)
    assert (content.thing_classes_present, content.stuff_classes_present) == (1, 1)
    assert math.isnan(content.things)
    assert math.isnan(content.instances)
