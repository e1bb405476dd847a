from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from annotools.errors import RecipeError
from annotools.formats import read_dataset
from annotools.formats.scenes import world_dataset
from annotools.scenes.world import SceneWorld
from tests.real_data import real_data
from wsps.crf.dense_crf import MIN_PROBABILITY, sharpen
from wsps.data import prepare_photo
from wsps.recipe import CRF_ENGINES, CrfSettings, ImageSettings

DEEPLAB = CrfSettings()
BOTH = pytest.mark.parametrize("engine", CRF_ENGINES)


def two_colours(generator: np.random.Generator) -> NDArray[np.uint8]:
    """A photo of 12 x 16, dark on the left half and bright on the right, a little noisy."""
    columns = np.where(np.arange(16) < 8, 60, 180)
    noise = generator.integers(-3, 4, (12, 16, 3))
    return (columns[None, :, None] + noise).astype(np.uint8)


def two_classes(left: NDArray[np.floating]) -> NDArray[np.float32]:
    """Probabilities (2, H, W) from those of the first class."""
    return np.stack([left, 1 - left]).astype(np.float32)


def exact_mean_field(
    photo: NDArray[np.uint8], probabilities: NDArray[np.float32], crf: CrfSettings
) -> NDArray[np.float64]:
    """The same model without the lattice: all pairs of pixels, a pixel with itself included."""
    num_classes, height, width = probabilities.shape
    rows, columns = np.mgrid[:height, :width]
    places = np.stack([columns, rows], axis=-1).reshape(-1, 2)
    colours = photo.reshape(-1, 3) / crf.bilateral_sigma_rgb
    kernels = [
        (crf.gaussian_weight, kernel_of(places / crf.gaussian_sigma_xy)),
        (crf.bilateral_weight, kernel_of(np.hstack([places / crf.bilateral_sigma_xy, colours]))),
    ]
    evidence = np.log(np.maximum(probabilities, MIN_PROBABILITY)).reshape(num_classes, -1)
    marginals = softmax(evidence)
    for _ in range(crf.iterations):
        marginals = softmax(evidence + sum(w * marginals @ kernel for w, kernel in kernels))
    return marginals.reshape(probabilities.shape)


def kernel_of(features: NDArray[np.floating]) -> NDArray[np.float64]:
    squared = ((features[:, None] - features[None]) ** 2).sum(axis=-1)
    kernel = np.exp(-squared / 2)
    scale = 1 / np.sqrt(kernel.sum(axis=1))
    return scale[:, None] * kernel * scale[None, :]


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(values - values.max(axis=0))
    return powers / powers.sum(axis=0)


@BOTH
def test_a_border_moves_to_the_edge_of_colours(engine: str):
    generator = np.random.default_rng(0)
    left = np.where(np.arange(16) < 10, 0.7, 0.3)[None, :] + generator.normal(0, 0.1, (12, 16))
    probabilities = two_classes(left.clip(0.01, 0.99))
    is_right = np.broadcast_to(np.arange(16) >= 8, (12, 16))
    assert (probabilities.argmax(axis=0) != is_right).mean() > 0.1
    sharp = sharpen(two_colours(generator), probabilities, CrfSettings(engine=engine))
    np.testing.assert_array_equal(sharp.argmax(axis=0), is_right)
    assert sharp.max(axis=0).min() > 0.9
    assert probabilities.max(axis=0).mean() < 0.75


@BOTH
def test_one_colour_and_the_same_evidence_everywhere_keep_the_best_class(engine: str):
    probabilities = np.empty((3, 6, 9), dtype=np.float32)
    probabilities[:] = np.array([0.3, 0.5, 0.2])[:, None, None]
    sharp = sharpen(np.full((6, 9, 3), 90, np.uint8), probabilities, CrfSettings(engine=engine))
    assert (sharp.argmax(axis=0) == 1).all()
    assert (sharp[1] > 0.5).all()


@BOTH
def test_a_speck_in_one_colour_is_wiped_out_and_one_of_its_own_colour_stays(engine: str):
    left = np.full((9, 9), 0.9)
    left[4, 4] = 0.2
    photo = np.full((9, 9, 3), 90, np.uint8)
    assert sharpen(photo, two_classes(left), CrfSettings(engine=engine))[0, 4, 4] > 0.9
    photo[4, 4] = 200
    without_places = CrfSettings(engine=engine, gaussian_weight=0.0)
    assert sharpen(photo, two_classes(left), without_places)[0, 4, 4] < 0.2


@BOTH
@pytest.mark.parametrize(
    ("crf", "tolerance"),
    [
        (CrfSettings(gaussian_weight=1.0, bilateral_weight=0.0, iterations=1), 0.02),
        (CrfSettings(gaussian_weight=0.0, bilateral_weight=1.0, iterations=1), 0.025),
        # A wide kernel is what the lattice does well, so that five iterations stay close.
        (
            CrfSettings(
                gaussian_weight=0.0,
                bilateral_weight=1.0,
                bilateral_sigma_xy=5.0,
                bilateral_sigma_rgb=60.0,
                iterations=5,
            ),
            0.01,
        ),
        # At DeepLab's weights each further iteration would multiply the lattice's error.
        (CrfSettings(iterations=1), 0.08),
    ],
)
def test_it_is_the_exact_mean_field_up_to_the_lattice(
    crf: CrfSettings, tolerance: float, engine: str
):
    crf = replace(crf, engine=engine)
    generator = np.random.default_rng(1)
    photo = two_colours(generator)
    probabilities = generator.dirichlet(np.ones(3), (12, 16)).transpose(2, 0, 1).astype(np.float32)
    sharp = sharpen(photo, probabilities, crf)
    exact = exact_mean_field(photo, probabilities, crf)
    error = np.abs(sharp - exact)
    assert error.max() < tolerance
    assert 2 * error.mean() < np.abs(exact - probabilities).mean()


@BOTH
def test_no_iterations_leave_the_probabilities(engine: str):
    probabilities = two_classes(np.array([[0.25, 1.0]]))
    sharp = sharpen(
        np.zeros((1, 2, 3), np.uint8), probabilities, CrfSettings(engine=engine, iterations=0)
    )
    np.testing.assert_allclose(sharp, probabilities, atol=1.1 * MIN_PROBABILITY)


@BOTH
@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_any_size_gives_probabilities(engine: str, size: tuple[int, int, int], seed: int):
    generator = np.random.default_rng(seed)
    best = generator.integers(0, size[0], size[1:])
    probabilities = (best == np.arange(size[0])[:, None, None]).astype(np.float32)
    photo = generator.integers(0, 256, (*size[1:], 3), dtype=np.uint8)
    before = photo.copy(), probabilities.copy()
    sharp = sharpen(photo, probabilities, CrfSettings(engine=engine))
    assert sharp.shape == size
    assert sharp.dtype == np.float32
    assert (sharp >= 0).all()
    np.testing.assert_allclose(sharp.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(photo, before[0])
    np.testing.assert_array_equal(probabilities, before[1])


@BOTH
def test_arrays_need_not_be_contiguous(engine: str):
    generator = np.random.default_rng(2)
    photo = two_colours(generator)
    probabilities = generator.dirichlet(np.ones(3), (12, 16)).astype(np.float32)
    settings = CrfSettings(engine=engine)
    mirrored = sharpen(photo[:, ::-1], probabilities.transpose(2, 0, 1)[:, :, ::-1], settings)
    copied = sharpen(
        photo[:, ::-1].copy(), probabilities.transpose(2, 0, 1)[:, :, ::-1].copy(), settings
    )
    np.testing.assert_array_equal(mirrored, copied)


def rough_probabilities(size_hw: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Of 21 classes in smooth patches, as a network with a coarse output gives them."""
    height, width = size_hw
    generator = np.random.default_rng(seed)
    coarse = generator.normal(size=(21, -(-height // 40), -(-width // 40))).astype(np.float32)
    logits = [cv2.resize(3 * one, (width, height), interpolation=cv2.INTER_CUBIC) for one in coarse]
    return softmax(np.stack(logits)).astype(np.float32)


def agreement(photo: NDArray[np.uint8], seed: int) -> float:
    """Share of the pixels to which both engines give one class."""
    probabilities = rough_probabilities(photo.shape[:2], seed)
    found = [
        sharpen(photo, probabilities, replace(DEEPLAB, engine=engine)).argmax(axis=0)
        for engine in CRF_ENGINES
    ]
    # Neither of them may agree with the other by changing nothing.
    assert (found[0] != probabilities.argmax(axis=0)).mean() > 0.02
    return float((found[0] == found[1]).mean())


def test_both_engines_give_the_same_classes_on_scenes():
    dataset = world_dataset(SceneWorld(num_train=2), "train")
    photos = [dataset.read_photo(image) for image in dataset.images]
    assert min(agreement(photo, seed) for seed, photo in enumerate(photos)) >= 0.999


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Several would wait for each other where other processes have the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("format_name", "folder", "split"),
    [("voc", ("voc", "VOCdevkit", "VOC2007"), "train"), ("coco-instances", ("coco",), "train2017")],
)
def test_both_engines_give_the_same_classes_on_real_photos(
    format_name: str, folder: tuple[str, ...], split: str
):
    dataset = read_dataset(format_name, real_data(*folder), split)
    shares = []
    for seed, image in enumerate(dataset.images[:10]):
        photo = prepare_photo(dataset.read_photo(image), ImageSettings(max_side=240))
        shares.append(agreement(photo, seed))
    assert min(shares) >= 0.99
    assert np.mean(shares) >= 0.999


@BOTH
def test_a_reach_that_is_too_small_for_the_photo_is_refused(engine: str):
    probabilities = np.full((2, 1, 9000), 0.5, dtype=np.float32)
    settings = CrfSettings(
        engine=engine, bilateral_sigma_xy=0.1, bilateral_sigma_rgb=0.1, gaussian_sigma_xy=9.0
    )
    photo = np.random.default_rng(0).integers(0, 256, (1, 9000, 3), dtype=np.uint8)
    photo[0, :2] = [[0, 255, 0], [255, 0, 255]]
    with pytest.raises(RecipeError, match=r"^refinement\.crf: bilateral_sigma_xy.* too small for"):
        sharpen(photo, probabilities, settings)
