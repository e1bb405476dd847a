"""Work is spread over processes here and nowhere else."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar

from annotools.errors import WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")

STOP_SECONDS = 60.0
"""How long a worker that is asked to stop may take, to bring what it has to disk."""

_share: list[int] = []
"""In a worker its share of the processors, else nothing."""


@dataclass(frozen=True, kw_only=True)
class Lost:
    """How a process ended that was at an item: its exit status, or minus the signal's number."""

    exit_code: int


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

    Raises:
        WorkerError: when a worker is killed.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    threads = share_of(workers)
    _start_tracker()
    with ProcessPoolExecutor(
        max_workers=max(1, min(workers, len(items))),
        # A forked worker would have its numerical libraries loaded, too late to set their threads.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare_worker,
        initargs=(threads,),
    ) as pool:
        try:
            # The first worker may be at work before the last item is on its way.
            with _interrupts_held():
                futures = [pool.submit(function, item) for item in items]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise WorkerError(
                "a worker process was killed, most often for lack of memory: repeat the command "
                "with fewer --workers; what is done is kept"
            ) from error
        except KeyboardInterrupt:
            # An interrupt need not have reached the workers, and their items may take minutes.
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        finally:
            # This is reached also when the caller takes no more results, by closing the generator.
            pool.shutdown(wait=True, cancel_futures=True)


def run_isolated(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    environments: Sequence[Mapping[str, str]] = ({},),
) -> Generator[tuple[Item, Result | Lost], None, None]:
    """Yield each item with the function's result, or with how its process ended, as they finish.

    It is for few and long items, none of which may harm another. Worker processes take one item
    after the other, each with its share of the processors, as in `run_parallel`. One that is
    killed, or ends itself, costs the item that it was at, and another takes its place. When this
    process is interrupted, or the caller takes no more results, workers get SIGTERM and
    `STOP_SECONDS`; a second interrupt ends them at once.

    Args:
        function: of one item; an exception of it is raised here, and stops all.
        items: each is taken when a worker is free for it.
        workers: processes at work at the same time.
        environments: variables that workers are given in turn, before they load anything.
    """
    waiting, free, crew = iter(items), list(range(workers)), _Crew[Item]()
    threads = share_of(workers)
    _start_tracker()
    try:
        while True:
            while free and (item := next(waiting, None)) is not None:
                number = free.pop(0)
                environment = environments[number % len(environments)]
                crew.start(_Worker(number, item), function, threads, environment)
            if not crew.at_work:
                return
            for connection in wait(list(crew.at_work)):
                assert isinstance(connection, Connection)
                worker = crew.at_work[connection]
                done, outcome = worker.item, _receive(connection, worker)
                following = None if isinstance(outcome, Lost) else next(waiting, None)
                if following is None:
                    crew.dismiss(connection)
                    free.append(worker.number)
                else:
                    worker.item = following
                    connection.send((function, following))
                yield done, outcome
    finally:
        crew.stop()


@dataclass
class _Worker(Generic[Item]):
    """The place of a worker among all, the item that it is at, and its process."""

    number: int
    item: Item
    process: SpawnProcess | None = None


class _Crew(Generic[Item]):
    """Worker processes that are at work, by the connection to each, and those that are not."""

    def __init__(self) -> None:
        self.at_work: dict[Connection, _Worker[Item]] = {}
        self._started: list[SpawnProcess] = []

    def start(
        self,
        worker: _Worker[Item],
        function: Callable[[Item], Any],
        threads: int,
        environment: Mapping[str, str],
    ) -> None:
        """Start a worker's process and give it its item."""
        # A forked worker would have its numerical libraries loaded, too late to set their threads.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        worker.process = context.Process(target=_serve, args=(theirs, threads, dict(environment)))
        with _interrupts_held():
            worker.process.start()
        theirs.close()
        self._started.append(worker.process)
        self.at_work[ours] = worker
        # The function is unpickled, and loads what it needs, when the environment is set.
        ours.send((function, worker.item))

    def dismiss(self, connection: Connection) -> None:
        """Let a worker go that has nothing more to do."""
        del self.at_work[connection]
        connection.close()

    def stop(self) -> None:
        """Stop those that are at work, and wait until all have ended."""
        for connection, worker in list(self.at_work.items()):
            assert worker.process is not None
            worker.process.terminate()
            # One that ends its item on that has to see that there is no other.
            self.dismiss(connection)
        deadline = time.monotonic() + STOP_SECONDS
        try:
            for process in self._started:
                process.join(max(0.0, deadline - time.monotonic()))
        finally:
            for process in self._started:
                process.kill()
                process.join()
            self._started.clear()


def _receive(connection: Connection, worker: _Worker[Any]) -> Any:
    """Return what a worker's function returned, or how its process ended; raise what it raised."""
    try:
        error, result = connection.recv()
    # A process that is killed while it writes leaves half a message.
    except (EOFError, OSError):
        assert worker.process is not None
        worker.process.join()
        return Lost(exit_code=worker.process.exitcode or 0)
    if error is not None:
        raise error
    return result


def _serve(connection: Connection, threads: int, environment: Mapping[str, str]) -> None:
    """Work as a worker of `run_isolated` until there is nothing more to do."""
    os.environ.update(environment)
    _prepare_worker(threads)
    # The parent closes the connection when it has nothing more, or is gone.
    with contextlib.suppress(EOFError, OSError):
        while True:
            function, item = connection.recv()
            raised, result = None, None
            try:
                result = function(item)
            except Exception as error:
                raised = error
            connection.send((raised, result))


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


def take_share(processors: int) -> None:
    """Keep this process, and its numerical libraries, which load later, to some processors.

    Where the user's own variables allow libraries fewer, they keep to these.
    """
    _share[:] = [processors]
    # What OpenMP is allowed holds for all: MKL with more threads would have torch use as many.
    most = _allowed("OMP_NUM_THREADS", processors)
    for variable in (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "OPENCV_FOR_THREADS_NUM",
    ):
        os.environ[variable] = str(_allowed(variable, most))


def _allowed(variable: str, most: int) -> int:
    """Return the threads that a variable of the user allows, `most` where it allows more."""
    own = os.environ.get(variable, "")
    return min(most, int(own)) if own.isdecimal() and int(own) else most


def share_of(workers: int) -> int:
    """Return how many processors each of so many workers has for itself."""
    return max(1, available_processors() // workers)


def _start_tracker() -> None:
    """Start Python's own process that removes what ours leave behind, so that it says nothing.

    Else it would start with the first worker, and let the interrupts through that are held back
    then. When this process is killed it would warn of what it removes.
    """
    sys.warnoptions.append("ignore:resource_tracker")
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove("ignore:resource_tracker")


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold back interrupts of this process, and those of processes that the block starts for good.

    A terminal's interrupt reaches all its processes, and one that is still loading would print
    where it was. Workers end with their parent.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare_worker(threads: int) -> None:
    """Tie a worker to its parent, and its numerical libraries, which load later, to its share."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    take_share(threads)


def _end_with_parent() -> None:
    """End this process at once when its parent is gone: a killed parent cannot say stop."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    # `sys.exit` in a thread ends this thread alone.
    os._exit(1)
