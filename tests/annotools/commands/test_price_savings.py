from tests.annotools.commands.price_runs import TRAIN, run_price


def test_the_saving_is_explained_with_its_spread() -> None:
    printed = run_price(*TRAIN)
    assert "boxes+tags: full labels cost 29.62 times as much at the times as they are." in printed
    assert "share of spread" in printed
    certain = [f"--seconds={action}" for action in ("box=7", "tag=1", "full_image=5400")]
    assert "90 % lie between 29.6 and 29.6." in run_price(*TRAIN, *certain)


def test_break_evens_of_the_saving_or_of_all_pairs() -> None:
    few, many = run_price(*TRAIN), run_price(*TRAIN, "--break-even")
    assert "full = boxes+tags  " in few
    assert " 298.5 " in few
    assert "boxes = coarse" not in few
    assert "boxes = coarse" in many
    none = run_price("--statistics", "voc", "--times", "bearman2016", "--break-even")
    (line,) = [
        line
        for line in none.splitlines()
        if line.startswith(" tags = points ") and "point_further" in line
    ]
    assert line.split()[-2:] == ["0.9", "–"]


def test_full_labels_alone_have_no_saving() -> None:
    printed = run_price(*TRAIN, "--kinds", "full")
    assert "hangs on" not in printed
    assert "costs the same" not in printed
    assert "5,400.0" in printed


def test_the_saving_of_the_first_kind_where_none_has_boxes() -> None:
    printed = run_price(*TRAIN, "--kinds", "coarse")
    assert "coarse: full labels cost 12.86 times" in printed
