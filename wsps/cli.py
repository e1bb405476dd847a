"""These commands work with the segmenter."""

import typer

from wsps.commands import evaluate, predict, pseudo_label, train

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)
for command in (pseudo_label, train, predict, evaluate):
    app.add_typer(command.app)
