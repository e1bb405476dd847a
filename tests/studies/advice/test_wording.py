from dataclasses import replace

import numpy as np
import pytest

from benchmarks.worlds import BOXES, WORLDS, draw_rows
from studies.advice.advise import advise, advise_each
from studies.advice.records import Advice, MixAdvice
from studies.advice.verdict import BUY, CANNOT_TELL, TIE
from studies.advice.wording import grounds, headline, join_words, notes, ranked, verdict_sentence


def mix(score: float | None) -> MixAdvice:
    low, high = (None, None) if score is None else (score - 0.01, score + 0.01)
    return MixAdvice(score=score, low=low, high=high, p_best=None, regret=None, gain_per_hour=None)


def advice(verdict: str, name: str | None = None, **scores: float | None) -> Advice:
    return Advice(
        verdict=verdict,
        mix=name,
        sure=0.9,
        hours=18,
        metric="pq",
        delta=0.015,
        mixes={name: mix(score) for name, score in scores.items()},
        crossings=(),
        next_run=None,
        reasons=(),
        have={},
        flips=(),
        combination=None,
    )


def test_a_headline_has_no_number_but_the_hours() -> None:
    assert headline(advice(BUY, "b", a=0.4, b=0.5)) == 'With 18 hours of annotation, buy "b".'
    assert headline(advice(TIE, a=0.4, b=0.5)) == (
        'With 18 hours of annotation, "b" and "a" are worth the same: buy what is easier to get.'
    )
    unsure = advice(CANNOT_TELL, a=0.4, b=0.5)
    assert headline(unsure) == (
        'This study cannot tell what to buy with 18 hours of annotation: "b" leads, but that is '
        "not settled."
    )
    unknown = advice(CANNOT_TELL, a=None, b=None)
    assert headline(replace(unknown, hours=1)) == (
        "This study cannot tell what to buy with 1 hour of annotation."
    )


def test_grounds_begin_with_what_to_buy() -> None:
    assert grounds(advice(BUY, "a", a=0.4, b=0.5, c=None)) == (
        'Predicted, with 90 % intervals: "a" PQ 40.0 % (39.0–41.0), "b" 50.0 % (49.0–51.0). With '
        "at least 90 % certainty it is the best of the mixes studied."
    )
    assert grounds(advice(TIE, a=0.4, b=0.4)).endswith(
        "they are within 1.5 points of PQ, so that other grounds decide."
    )
    assert grounds(advice(CANNOT_TELL, a=0.4)) == (
        'Predicted, with 90 % intervals: "a" PQ 40.0 % (39.0–41.0).'
    )
    assert grounds(advice(CANNOT_TELL, a=None)) == ""


def test_the_terminal_has_verdict_and_certainty_in_two_sentences() -> None:
    assert verdict_sentence(advice(TIE, a=0.4, b=0.5)) == (
        'With 18 h, "b" and "a" tie: with at least 90 % certainty they are within 1.5 points of '
        "PQ, so that other grounds decide."
    )
    assert verdict_sentence(advice(CANNOT_TELL, a=None, b=0.5)) == (
        "This study cannot tell what to buy with 18 h."
    )
    assert ranked(advice(CANNOT_TELL, a=None, b=0.4, c=0.5)) == ["c", "b"]


def test_words_are_joined() -> None:
    assert join_words(["a"]) == "a"
    assert join_words(["a", "b", "c"]) == "a, b and c"


@pytest.fixture(scope="module")
def rows() -> list:
    rng = np.random.default_rng(3)
    return draw_rows(WORLDS["crossing"](rng), rng)


def test_many_hours_have_the_advice_of_each(rows: list) -> None:
    hours = (1.0, 3.5, 60.0, 100.0)
    assert advise_each(rows, hours) == tuple(advise(rows, own) for own in hours)
    (without,) = advise_each(rows, hours[:1], is_whole=False)
    assert without == replace(advise(rows, hours[0]), flips=(), combination=None)
    assert advise_each(rows[:1], hours[:1]) == (advise(rows[:1], hours[0]),)


def test_a_crossing_behind_the_leader_is_no_reason(rows: list) -> None:
    behind = advise(rows, 16)
    crossed = [(c.before, c.after) for c in behind.crossings if c.low <= 16 <= c.high]
    assert crossed == [(BOXES, "half")]
    assert behind.mix == "full"
    assert not any("half" in reason for reason in behind.reasons)
    near = advise(rows, 4)
    assert near.reasons[0].startswith(f'near these hours the better mix changes: "{BOXES}" below')
    assert any("is better below" in line for line in notes(behind))
