"""One seed gives named random generators that do not depend on each other.

A stream is keyed by names, not by the order of draws: adding a draw to one stage, or dropping an
image, leaves every other stream as it was.
"""

import zlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of one named purpose, for example `stream(0, "weaken", image_id)`.

    The same seed and names give the same numbers on every machine and in every process.
    """
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=_key(names)))


def stream_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for a library that keeps generators of its own."""
    return int(stream(seed, *names).integers(2**63 - 1))


def _key(names: tuple[str | int, ...]) -> tuple[int, ...]:
    # `hash` of a text differs from process to process. The type counts, so that image 1 and image
    # "1" do not share a stream.
    texts = (f"{type(name).__name__}:{name}" for name in names)
    return tuple(zlib.crc32(text.encode(errors="surrogatepass")) for text in texts)
