"""These commands work with the segmenter."""

from annotools.commands.places import Commands
from wsps.commands import evaluate, predict, pseudo_label, train

app = Commands()
for command in (pseudo_label, train, predict, evaluate):
    app.add_typer(command.app)
