"""Arguments and options say by their type what they read and what they write.

`Commands` looks at these types before a command begins, so that no output replaces what is read or
written beside it. No command has to remember it: a path without such a type fails the tests.
"""

import functools
import inspect
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

import typer
from typer.models import ArgumentInfo, OptionInfo

Function = TypeVar("Function", bound=Callable[..., Any])

Places = Callable[[Any, Mapping[str, Any]], Iterable[Path]]
"""Files or folders that a value stands for, given the values of all arguments by their names."""


@dataclass(frozen=True, kw_only=True)
class Reads:
    """Marks what names a file or folder that is read; also a text that may be the path of one.

    Files may be written into a folder that is read, but for some kinds: in one that is `kept` no
    file is replaced, in one whose `inner` files are kept none in its folders, and nothing at all is
    written into one that is `closed`. What is kept is closed where a command of ours finished its
    folder. The files of a dataset are known when it is opened, and looked at then.
    """

    kept: bool = False
    inner: bool = False
    closed: bool = False


READS = Reads()


@dataclass(frozen=True, kw_only=True)
class Writes:
    """Marks what names a file that is written, or a `folder` that is filled.

    A file with a suffix is a picture. A folder that is `shared` may hold what is read, as that of a
    study holds the study. Where a value stands for other places than its own, `places` names them.
    """

    folder: bool = False
    shared: bool = False
    suffix: str | None = None
    places: Places | None = None


Marker = TypeVar("Marker", Reads, Writes)


@dataclass(frozen=True, kw_only=True)
class _Named(Generic[Marker]):
    """A place that an argument or option names."""

    option: str
    path: Path
    marker: Marker

    def __str__(self) -> str:
        return f"{self.option} {self.path}"


_outputs: ContextVar[tuple[_Named[Writes], ...]] = ContextVar("outputs", default=())
"""What the command writes that is running."""


class Commands(typer.Typer):
    """A Typer of our look, whose commands begin when their outputs are known to harm nothing."""

    def __init__(self) -> None:
        super().__init__(rich_markup_mode="rich", no_args_is_help=True)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        """Add a function as a command, as `typer.Typer.command` does."""
        add = super().command(name, **options)

        def decorate(function: Function) -> Function:
            add(_guard(function))
            return function

        return decorate


def markers_of(function: Callable[..., Any], kind: type[Marker]) -> dict[str, Marker]:
    """Return what is marked so of the parameters of a command, by their names."""
    found = {}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        for part in get_args(parameter.annotation)[1:]:
            if isinstance(part, kind):
                found[name] = part
    return found


def keep(paths: Iterable[Path | str | None], name: str, marker: Reads = READS) -> None:
    """Make sure that the running command replaces none of the files that it found to read.

    Args:
        paths: of files, or of folders where the marker says so; texts that are no path and None
            are passed over.
        name: of what they are, for the message.
        marker: how they are read.

    Raises:
        typer.BadParameter: when an output is one of them.
    """
    # A file that is not there yet replaces nothing: of large datasets nothing is looked at then.
    files = [
        o for o in _outputs.get() if not o.marker.folder and (marker.closed or _exists(o.path))
    ]
    if files:
        for path in paths:
            for output in files:
                if path is not None:
                    _check_read(output, Path(path), name, marker)


def _guard(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command that looks at its outputs before it begins."""

    @functools.wraps(function)
    def guarded(**values: Any) -> Any:
        outputs = tuple(_named_places(function, values, Writes))
        _check_outputs(outputs, tuple(_named_places(function, values, Reads)))
        token = _outputs.set(outputs)
        try:
            return function(**values)
        finally:
            _outputs.reset(token)

    return guarded


def _named_places(
    function: Callable[..., Any], values: Mapping[str, Any], kind: type[Marker]
) -> Iterator[_Named[Marker]]:
    """Yield the places that the values of a command's parameters name."""
    parameters = inspect.signature(function, eval_str=True).parameters
    for name, marker in markers_of(function, kind).items():
        option = _option_name(name, parameters[name].annotation)
        if isinstance(marker, Writes) and marker.places is not None:
            paths = list(marker.places(values[name], values))
        else:
            value = values[name]
            given = value if isinstance(value, list | tuple) else [value]
            paths = [path for item in given if item is not None for path in _paths_of(item)]
        for path in paths:
            yield _Named(option=option, path=path, marker=marker)


def _option_name(name: str, annotation: Any) -> str:
    """Return how people know a parameter: `--json`, or `ROOT` of an argument."""
    for info in get_args(annotation)[1:]:
        if isinstance(info, ArgumentInfo):
            return info.metavar or name.upper()
        if isinstance(info, OptionInfo):
            # Behind a type, the first name of an option takes the place of its default.
            names = (info.default, *(info.param_decls or ()))
            given = [text for text in names if isinstance(text, str) and text.startswith("--")]
            return given[0] if given else "--" + name.replace("_", "-")
    return name


def _paths_of(value: Path | str) -> list[Path]:
    """Return what a value may be the path of; of a setting, KEY=VALUE, also its value."""
    if isinstance(value, Path):
        return [value]
    _, equals, setting = value.partition("=")
    return [Path(text) for text in (value, setting if equals else "") if text]


def _check_outputs(outputs: Iterable[_Named[Writes]], inputs: Iterable[_Named[Reads]]) -> None:
    """Make sure that outputs can be written, apart from each other and from what is read.

    Raises:
        typer.BadParameter: when one cannot.
    """
    before: list[_Named[Writes]] = []
    for output in outputs:
        for place in inputs:
            _check_read(output, place.path, "a file that is read too", place.marker)
        for other in before:
            _check_apart(output, other)
        if output.marker.folder:
            _check_folder(output)
        else:
            _check_file(output, output.marker.suffix)
        before.append(output)


def _check_read(output: _Named[Writes], path: Path, name: str, marker: Reads) -> None:
    """Make sure that an output does not replace a file, or lie in a folder where it must not."""
    if not _exists(path):
        return
    if output.marker.folder:
        if not output.marker.shared and _lies_in(path, output.path):
            _refuse(output, f"is or contains {path}, which is read")
    elif _is_same(output.path, path):
        _refuse(output, f"is {name}")
    closed = _closed_folder(path, marker)
    if closed is not None and _lies_in(output.path, closed):
        _refuse_inside(output, f"{closed}, which is read")
    # Of inner files, the folder lies inside too.
    place = output.path.parent if marker.inner else output.path
    is_kept = marker.kept or (marker.inner and not _is_same(place, path))
    if is_kept and not output.marker.folder and _exists(output.path) and _lies_in(place, path):
        _refuse(output, f"is a file in {path}, which is read")


def _closed_folder(path: Path, marker: Reads) -> Path | None:
    """Return the folder, of what is read, into which nothing is written, if there is one."""
    from annotools.work_folder import MANIFEST_FILE

    if marker.closed:
        return path if path.is_dir() else None
    folder = path if path.is_dir() else path.parent
    is_ours = (marker.kept or marker.inner) and _exists(folder / MANIFEST_FILE)
    return folder if is_ours else None


def _check_apart(output: _Named[Writes], other: _Named[Writes]) -> None:
    """Make sure that two outputs are not one, and that none lies in the folder of the other."""
    if _is_same(output.path, other.path):
        _refuse(output, f"is the file of {other.option} too")
    for inner, outer in ((output, other), (other, output)):
        if _lies_in(inner.path, outer.path):
            _refuse_inside(inner, outer)


def _check_folder(output: _Named[Writes]) -> None:
    for place in (output.path, *output.path.absolute().parents):
        if _exists(place) and not place.is_dir():
            raise typer.BadParameter(f"{output}: {place} is a file: name a folder")


def _check_file(output: _Named[Writes], suffix: str | None) -> None:
    path = output.path
    if suffix is not None and path.suffix.lower() != suffix:
        raise typer.BadParameter(f"{output}: pictures are PNG: give a name in {suffix}")
    try:
        if path.is_dir():
            raise typer.BadParameter(f"{output}: is a folder: name a file in it")
        # A device would be replaced by a file.
        if path.exists() and not path.is_file():
            raise typer.BadParameter(f"{output}: is no file: name another")
        # Missing folders are made when the file is written, so the nearest that exists decides.
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        # Permission bits do not tell of a read-only file system: only making a file does.
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise typer.BadParameter(
            f"{output}: cannot be written ({error.strerror}): name another file"
        ) from error


def _refuse(output: _Named[Writes], reason: str, remedy: str = "give it a name of its own") -> None:
    raise typer.BadParameter(f"{output}: {reason}: {remedy}")


def _refuse_inside(output: _Named[Writes], folder: object) -> None:
    _refuse(output, f"lies in {folder}", f"give {output.option} elsewhere")


def _exists(path: Path) -> bool:
    # `Path.exists` fails on names that are too long.
    return os.path.lexists(path)


def _is_same(first: Path, second: Path) -> bool:
    """Tell whether two paths are one place, in spite of links, `..`, hard links and case."""
    try:
        return first.samefile(second)
    except OSError:
        return _resolve(first) == _resolve(second)


def _lies_in(place: Path, folder: Path) -> bool:
    """Tell whether a place is a folder or lies in it, as it is written or resolved."""
    # A linked folder of photos shows only in the path as it is written.
    ways = {_resolve(place), Path(os.path.normpath(place.absolute()))}
    return any(_is_same(part, folder) for way in ways for part in (way, *way.parents))


def _resolve(path: Path) -> Path:
    # `Path.resolve` fails on links that lead to themselves.
    return Path(os.path.realpath(path))
