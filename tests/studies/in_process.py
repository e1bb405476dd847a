"""What stands for `run_isolated` in tests that have no use for other processes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from annotools.parallel import Lost


def run_here(
    function: Callable[[Any], Any], items: Sequence[Any], *_: object
) -> Iterator[tuple[Any, Any]]:
    """Work in this process, and tell of one that would end."""
    for item in items:
        try:
            yield item, function(item)
        except SystemExit as end:
            yield item, Lost(exit_code=int(end.code or 0))
