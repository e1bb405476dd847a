import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from annotools import parallel
from annotools.errors import DatasetError, WorkerError
from annotools.parallel import (
    Lost,
    available_processors,
    map_ahead,
    run_isolated,
    run_parallel,
    take_share,
)


def square(number: int) -> int:
    return number * number


def fail_on_three(number: int) -> int:
    if number == 3:
        raise DatasetError("image 3 is unreadable")
    return number


def where_and_how(_: int) -> tuple[int, str, str, str]:
    names = ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
    first, second = (os.environ[name] for name in names)
    return os.getpid(), first, second, str(available_processors())


def die_on_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 4:
        raise SystemExit(7)
    return number


def place(_: int) -> tuple[int, str, str]:
    return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"], os.environ["OMP_NUM_THREADS"]


def go_on_when_terminated(_: int) -> None:
    noticed = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: noticed.set())
    os.write(1, b"asleep\n")
    while not noticed.is_set():
        time.sleep(0.01)


def sleep_long(_: int) -> None:
    os.write(1, b"asleep\n")
    time.sleep(60)


def test_with_one_worker_results_come_lazily_in_order_from_this_process():
    seen = []

    def note(number: int) -> int:
        seen.append(number)
        return number

    results = run_parallel(note, [3, 1, 2], workers=1)
    assert next(results) == 3
    assert seen == [3]
    assert list(results) == [1, 2]


@pytest.fixture
def any_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may allow libraries few threads."""
    for name in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("any_threads")
def test_several_workers_give_every_result_once_and_keep_to_their_share_of_threads():
    assert sorted(run_parallel(square, range(20), workers=2)) == [i * i for i in range(20)]
    share = str(max(1, available_processors() // 2))
    for process, *threads in run_parallel(where_and_how, range(4), workers=2):
        assert process != os.getpid()
        assert threads == [share, share, share]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_of_the_function_is_raised_here(workers: int):
    with pytest.raises(DatasetError, match="image 3 is unreadable"):
        list(run_parallel(fail_on_three, range(6), workers))


def test_nothing_to_do_is_no_error():
    assert list(run_parallel(square, [], workers=4)) == []
    assert list(run_isolated(square, [], workers=4)) == []


def test_a_worker_that_is_killed_is_told_in_one_line():
    with pytest.raises(WorkerError, match="for lack of memory: repeat the command with fewer"):
        list(run_parallel(die_on_three, range(4), workers=2))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_process_that_ends_costs_its_item_alone(workers: int):
    found = dict(run_isolated(die_on_three, range(7), workers))
    killed, ended = Lost(exit_code=-signal.SIGKILL), Lost(exit_code=7)
    assert found == {0: 0, 1: 1, 2: 2, 3: killed, 4: ended, 5: 5, 6: 6}


@pytest.mark.usefixtures("any_threads")
def test_isolated_workers_stay_and_have_environments_in_turn():
    found = dict(run_isolated(place, range(6), 2, [{"CUDA_VISIBLE_DEVICES": n} for n in "ab"]))
    share = str(max(1, available_processors() // 2))
    assert len({process for process, _, _ in found.values()}) <= 2
    assert {(gpu, threads) for _, gpu, threads in found.values()} <= {("a", share), ("b", share)}


@pytest.mark.usefixtures("any_threads")
def test_libraries_keep_to_what_the_user_allows(monkeypatch: pytest.MonkeyPatch):
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
    monkeypatch.setattr(parallel, "_share", [])
    for allowed, expected in (
        ({}, ["8", "8", "8", "8"]),
        ({"MKL_NUM_THREADS": "2", "OPENCV_FOR_THREADS_NUM": "99"}, ["8", "2", "8", "8"]),
        ({"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "6"}, ["4", "4", "4", "4"]),
        ({"OMP_NUM_THREADS": "0"}, ["8", "8", "8", "8"]),
    ):
        for name in names:
            monkeypatch.setenv(name, allowed.get(name, ""))
        take_share(8)
        assert [os.environ[name] for name in names] == expected
    assert available_processors() == 8


def test_an_exception_in_an_isolated_worker_is_raised_here():
    with pytest.raises(DatasetError, match="image 3 is unreadable"):
        list(run_isolated(fail_on_three, range(6), workers=2))


INTERRUPTED = """
import signal
# A job in the background of a script is born deaf to interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
from annotools.parallel import run_isolated, run_parallel
from tests.annotools.test_parallel import go_on_when_terminated, sleep_long
if __name__ == "__main__":
    list(RUN)
"""


@pytest.mark.parametrize(
    "run",
    [
        "run_parallel(sleep_long, [1, 2, 3], workers=2)",
        "run_isolated(sleep_long, [1, 2, 3], workers=2)",
        # What is done about the signal is done, and nothing more begins.
        "run_isolated(go_on_when_terminated, [1, 2, 3], workers=2)",
    ],
)
def test_an_interrupt_of_this_process_alone_ends_its_workers_at_once(run: str):
    command = [sys.executable, "-c", INTERRUPTED.replace("RUN", run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        assert started.stdout is not None
        try:
            assert started.stdout.readline().startswith(b"asleep")
            started.send_signal(signal.SIGINT)
            # A worker that lived on would keep the pipe open.
            _, printed = started.communicate(timeout=30)
        finally:
            started.kill()
    assert started.returncode != 0
    assert b"KeyboardInterrupt" in printed


def test_threads_work_ahead_and_results_keep_their_order() -> None:
    taken, begun = [], threading.Semaphore(0)

    def items() -> Iterator[int]:
        for number in range(6):
            taken.append(number)
            yield number

    def work(number: int) -> int:
        begun.release()
        time.sleep(0.02 * (number == 0))
        return number * number

    results = map_ahead(work, items(), threads=2)
    assert next(results) == 0
    # Two are on the way beside the one that was asked for.
    assert taken == [0, 1, 2]
    assert all(begun.acquire(timeout=5) for _ in range(3))
    assert list(results) == [1, 4, 9, 16, 25]


def test_an_exception_in_a_thread_is_raised_and_what_has_not_begun_is_left() -> None:
    seen = []

    def work(number: int) -> int:
        seen.append(number)
        if number == 1:
            raise OSError(28, "No space left on device")
        return number

    results = map_ahead(work, range(100), threads=1)
    assert next(results) == 0
    with pytest.raises(OSError, match="No space left"):
        list(results)
    assert len(seen) <= 4
