"""These commands work on datasets: they price, draw, check and convert labels."""

from annotools.commands import check, convert, draw, inspect, plan, price
from annotools.commands.places import Commands

app = Commands()
for command in (convert, inspect, check, draw, price, plan):
    app.add_typer(command.app)
