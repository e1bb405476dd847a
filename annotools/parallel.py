"""Work is spread over processes here and nowhere else."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_share: list[int] = []
"""In a worker its share of the processors, else nothing."""


def run_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[Result]:
    """Yield the function's result of each item, in the order in which they finish.

    With one worker everything runs in this process. With more, each worker process computes with
    its share of the processors, however few items there are, so that results do not depend on
    how much was left to do; function and items must be picklable. An exception of the function is
    raised here and cancels what has not begun. Workers end when this process does, and at once when
    it is interrupted: all files are written whole.

    Args:
        function: of one item.
        items: all of them.
        workers: processes at work at the same time.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    threads = max(1, available_processors() // workers)
    with ProcessPoolExecutor(
        max_workers=max(1, min(workers, len(items))),
        # A forked worker would have its numerical libraries loaded, too late to set their threads.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare_worker,
        initargs=(threads,),
    ) as pool:
        try:
            # The first worker may be at work before the last item is on its way.
            futures = [pool.submit(function, item) for item in items]
            for future in as_completed(futures):
                yield future.result()
        except KeyboardInterrupt:
            # An interrupt need not have reached the workers, and their items may take minutes.
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        finally:
            # This is reached also when the caller takes no more results, by closing the generator.
            pool.shutdown(wait=True, cancel_futures=True)


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Generator[Result, None, None]:
    """Yield the function's result of each item, in order, from threads that work ahead.

    Items are taken by the caller's thread, and so many as there are threads before their results
    are asked for: put in front of a slow step it reads ahead, put behind one it writes behind. It
    is for functions that wait for a disk or for code that lets go of Python's lock. An exception of
    the function is raised here and cancels what has not begun; what has begun ends first.

    Args:
        function: of one item.
        items: any number of them.
        threads: at work at the same time.
    """
    with ThreadPoolExecutor(max_workers=threads) as pool:
        begun: deque[Future[Result]] = deque()
        try:
            for item in items:
                begun.append(pool.submit(function, item))
                if len(begun) > threads:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()


def available_processors() -> int:
    """Return how many processors this process may use: in a worker, its share."""
    if _share:
        return _share[0]
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prepare_worker(threads: int) -> None:
    """Tie a worker to its parent, and its numerical libraries, which load later, to its share."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _share.append(threads)
    for variable in (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "OPENCV_FOR_THREADS_NUM",
    ):
        os.environ[variable] = str(threads)


def _end_with_parent() -> None:
    """End this process at once when its parent is gone: a killed parent cannot say stop."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    # `sys.exit` in a thread ends this thread alone.
    os._exit(1)
