import multiprocessing

from annotools.random_streams import stream, stream_seed


def draws(*key):
    return stream(*key).integers(1_000_000, size=8).tolist()


def test_same_seed_and_names_give_the_same_numbers():
    assert draws(3, "weaken", 17) == draws(3, "weaken", 17)


def test_numbers_are_those_of_any_other_process():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(stream_seed, (3, "weaken", 17)) == stream_seed(3, "weaken", 17)


def test_each_part_of_the_key_makes_another_stream():
    keys = [
        (0, "weaken"),
        (1, "weaken"),
        (0, "shuffle"),
        (0,),
        (0, "weaken", 1),
        (0, "weaken", 2),
        (0, "weaken", "1"),
        (0, 1, "weaken"),
    ]
    assert len({tuple(draws(*key)) for key in keys}) == len(keys)


def test_draws_from_one_stream_leave_another_as_it_was():
    expected = draws(0, "b")
    first, second = stream(0, "a"), stream(0, "b")
    first.random(1000)

    assert second.integers(1_000_000, size=8).tolist() == expected


def test_seeds_for_others_are_repeatable_and_fit_63_bits():
    seeds = [stream_seed(0, "init", i) for i in range(50)]

    assert seeds == [stream_seed(0, "init", i) for i in range(50)]
    assert len(set(seeds)) == 50
    assert 0 <= min(seeds) <= max(seeds) < 2**63
