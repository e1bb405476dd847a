import pickle
from pathlib import Path

from annotools.allocation.plan_file import Allocation, PlanSettings
from annotools.conversion.shards import SHARD_IMAGES, Shard, make_shards
from annotools.conversion.wanted import Wanted, make_tasks
from annotools.records import Image


def make_images(count: int) -> list[Image]:
    return [Image(image_id=n, file_name=f"{n:06d}.png", width=4, height=2) for n in range(count)]


def shards_of(images: list[Image], wanted: Wanted) -> tuple[Shard, ...]:
    return make_shards(make_tasks(images, wanted, Path("out")))


def allocate(count: int) -> Wanted:
    kind_of: dict[int | str, str] = {n: ("boxes", "full")[n % 2] for n in range(count)}
    settings = PlanSettings(
        format="voc", root=Path("in"), split="train", mix={"full": 1.0}, budget_hours=5
    )
    seconds_of = dict.fromkeys(kind_of, 7.0)
    stored = Allocation(
        path=Path("plan.json"), settings=settings, kind_of=kind_of, seconds_of=seconds_of
    )
    return Wanted(kinds=("boxes", "full"), seed=4, allocation=stored)


def test_shards_hold_all_images_in_their_order() -> None:
    wanted = Wanted(kinds=("points",))
    assert shards_of([], wanted) == ()
    for count, sizes in ((1, [1]), (SHARD_IMAGES, [16]), (2 * SHARD_IMAGES + 1, [16, 16, 1])):
        images = make_images(count)
        shards = shards_of(images, wanted)
        assert [len(shard.tasks) for shard in shards] == sizes
        assert [shard.number for shard in shards] == list(range(len(sizes)))
        pairs = [(task.image, task.wanted) for shard in shards for task in shard.tasks]
        assert pairs == [(image, wanted) for image in images]


def test_each_image_of_an_allocation_has_its_own_kind() -> None:
    (shard,) = shards_of(make_images(4), allocate(4))
    kinds = [task.wanted.kinds for task in shard.tasks]
    assert kinds == [("boxes",), ("full",), ("boxes",), ("full",)]
    assert {task.wanted.seed for task in shard.tasks} == {4}


def test_what_a_worker_is_sent_does_not_grow_with_the_dataset() -> None:
    few, many = (shards_of(make_images(n), allocate(n))[0] for n in (SHARD_IMAGES, 5000))
    assert len(pickle.dumps(many)) == len(pickle.dumps(few)) < 10_000
