"""The front door is the one command, to which each package adds its own."""

import os
from importlib.util import find_spec
from typing import Annotated

import typer

import annotools.cli
import wsps.cli
from studies.commands import break_even, demo, new_study, recommend, study, trial

TRAIN_PACKAGES = ("higra", "pydensecrf", "torch", "torchvision")
"""What the extra `train` of pyproject.toml installs, by the names that are imported."""

INTERRUPTED = 130
"""The status with which Typer ends a command that the user interrupts, as shells know it."""

app = typer.Typer(
    name="annotools",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
study.app.add_typer(new_study.app)
study.app.add_typer(trial.app)
study.app.add_typer(break_even.app)
study.app.add_typer(recommend.app)
app.add_typer(annotools.cli.app)
app.add_typer(wsps.cli.app)
app.add_typer(study.app, name="study", help="Write a study, run it, or ask what it found.")
app.add_typer(demo.app)


def main() -> None:
    """Run the command; what the user's input is wrong about becomes one line on stderr."""
    from annotools.errors import AnnotationError, as_line
    from annotools.terminal import prepare_streams

    prepare_streams()
    # Pictures go to files; a backend that is asked for is not loaded, and may not be there.
    os.environ.pop("MPLBACKEND", None)
    try:
        app()
    except (AnnotationError, OSError) as error:
        _fail(as_line(error))
    except UnicodeEncodeError as error:
        # Of a dataset's JSON or of a file's name: half of a pair, which no text file can hold.
        _fail(f"{error.object[:100]!r}: is no text that can be written: correct the name")
    except ModuleNotFoundError as error:
        # Anything else that is missing is a fault of ours, or of the installation.
        if error.name not in TRAIN_PACKAGES:
            raise
        missing = ", ".join(name for name in TRAIN_PACKAGES if find_spec(name) is None)
        _fail(
            f"this command needs packages that are not installed ({missing}): "
            "pip install 'annotools[train]'"
        )
    except SystemExit as end:
        # Typer says nothing then.
        if end.code != INTERRUPTED:
            raise
        _fail("stopped: repeat the command to go on")


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("annotools"))
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Decide how to spend annotation hours: cheaper labels, their price, the quality they buy."""


def _fail(message: str) -> None:
    from annotools.terminal import say

    say(f"error: {message}", to_stderr=True)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
