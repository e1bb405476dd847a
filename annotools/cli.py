"""These commands work on datasets: they price, draw, check and convert labels."""

import typer

from annotools.commands import check, convert, draw, inspect, plan, price

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)
for command in (convert, inspect, check, draw, price, plan):
    app.add_typer(command.app)
