"""No output of any command replaces what is read, or lies where the command reads or writes."""

import inspect
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from typer.models import ArgumentInfo, OptionInfo
from typer.testing import CliRunner

from annotools.commands.options import JsonFile, Root
from annotools.commands.places import Commands, Reads, Writes, markers_of
from studies.cli import app


def all_commands(group: typer.Typer, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the words of each command and its function."""
    for info in group.registered_commands:
        # One that was added to another Typer would begin without a look at its outputs.
        assert isinstance(group, Commands)
        assert info.callback is not None
        yield before + (info.name or info.callback.__name__.replace("_", "-")), info.callback
    for added in group.registered_groups:
        assert added.typer_instance is not None
        words = f"{before}{added.name} " if isinstance(added.name, str) else before
        yield from all_commands(added.typer_instance, words)


COMMANDS = dict(all_commands(app))
WITH_TABLE = [
    words for words, found in COMMANDS.items() if "json_file" in markers_of(found, Writes)
]


def test_all_commands_are_found() -> None:
    some = {"convert", "train", "demo", "study run", "study break-even", "pseudo-label"}
    assert some <= set(COMMANDS)
    assert len(WITH_TABLE) >= 14


@pytest.mark.parametrize("words", COMMANDS)
def test_each_path_is_marked_as_read_or_written(words: str) -> None:
    function = COMMANDS[words]
    marked = {*markers_of(function, Reads), *markers_of(function, Writes)}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        kind, *parts = get_args(parameter.annotation)
        said = [str(p.metavar) for p in parts if isinstance(p, ArgumentInfo | OptionInfo)]
        is_path = "Path" in str(kind) or any(word in said[0] for word in ("FILE", "DIR", "KEY="))
        # What `predict` lets one change of a run names no file.
        if (words, name) != ("predict", "changes"):
            assert name in marked or not is_path, name


@pytest.mark.parametrize("words", WITH_TABLE)
def test_a_table_over_what_a_command_names_is_refused(words: str, tmp_path: Path) -> None:
    function = COMMANDS[words]
    values = values_for(function, tmp_path)
    reads, writes = markers_of(function, Reads), markers_of(function, Writes)
    for name in reads:
        (tmp_path / name).write_text(name)
    for name in reads:
        os.link(tmp_path / name, tmp_path / f"hard {name}")
        (tmp_path / f"soft {name}").symlink_to(tmp_path / name)
        for table in (name, f"x/../{name}", f"hard {name}", f"soft {name}"):
            with pytest.raises(typer.BadParameter, match="is a file that is read too"):
                function(**values | {"json_file": tmp_path / table})
    for name, marker in writes.items():
        if not marker.folder and name != "json_file":
            with pytest.raises(typer.BadParameter, match="is the file of --"):
                function(**values | {"json_file": values[name]})
        if marker.folder:
            with pytest.raises(typer.BadParameter, match=r"--json .* lies in --"):
                function(**values | {"json_file": tmp_path / name / "new.json"})
    assert all((tmp_path / name).read_text() == name for name in reads)


@pytest.mark.parametrize("words", WITH_TABLE)
def test_a_table_in_a_folder_that_must_stay_is_refused(words: str, tmp_path: Path) -> None:
    function = COMMANDS[words]
    values = values_for(function, tmp_path)
    for name, read in markers_of(function, Reads).items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "old.json").write_text("")
        tables = {"old.json": read.kept or read.closed, "new.json": read.closed}
        for table in [table for table, is_refused in tables.items() if is_refused]:
            with pytest.raises(typer.BadParameter, match=r"--json .*, which is read"):
                function(**values | {"json_file": tmp_path / name / table})


@pytest.mark.parametrize("words", COMMANDS)
def test_a_folder_that_holds_what_is_read_is_not_filled(words: str, tmp_path: Path) -> None:
    function = COMMANDS[words]
    reads = markers_of(function, Reads)
    for name in reads:
        (tmp_path / "held" / name).mkdir(parents=True)
    writes = markers_of(function, Writes)
    values = values_for(function, tmp_path / "held") | dict.fromkeys(writes)
    for name, marker in writes.items():
        if marker.folder and not marker.shared and reads:
            with pytest.raises(typer.BadParameter, match="is or contains"):
                function(**values | {name: tmp_path / "held"})


@pytest.mark.parametrize("name", ["folder", "file/x.json", "a" * 300, "fifo"])
def test_a_table_that_cannot_be_written_is_told_before_the_work(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "fifo")
    for words in WITH_TABLE:
        with pytest.raises(typer.BadParameter, match="--json"):
            COMMANDS[words](
                **values_for(COMMANDS[words], tmp_path / "no") | {"json_file": tmp_path / name}
            )
    assert (tmp_path / "file").read_text() == ""


def test_what_is_known_when_it_is_opened_is_kept_too(tmp_path: Path) -> None:
    labels = tmp_path / "annotations/instances_val.json"
    labels.parent.mkdir()
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "car"}]}
    labels.write_text(json.dumps(content))
    (tmp_path / "elsewhere.json").symlink_to(labels)
    given = [str(tmp_path), "--format", "coco-instances", "--split", "val", "--json"]
    for table in (labels, tmp_path / "elsewhere.json"):
        done = CliRunner().invoke(app, ["inspect", *given, str(table)])
        assert (done.exit_code, json.loads(labels.read_text())) == (2, content), done.output
    assert CliRunner().invoke(app, ["inspect", *given, str(tmp_path / "new.json")]).exit_code == 0


def values_for(function: Callable[..., Any], folder: Path) -> dict[str, Any]:
    """Return a place for each parameter that names one, by the parameter's name."""
    values: dict[str, Any] = {"budgets": [1.0], "thorough": False}
    for name in (*markers_of(function, Reads), *markers_of(function, Writes)):
        suffix = ".png" if name == "picture" else ""
        kind = str(get_args(inspect.signature(function, eval_str=True).parameters[name].annotation))
        path = folder / f"{name}{suffix}"
        value = path if "Path" in kind else str(path)
        values[name] = [value] if kind.startswith("(list") else value
    return values


@pytest.mark.parametrize(
    ("given", "name", "status"),
    [
        # Another split's labels, which are not read, and a table of the user's own beside them.
        ("data", "data/annotations/instances_other.json", 2),
        ("data", "data/table.json", 0),
        # A folder that a command has finished is closed, whichever of its files is given.
        ("set", "set/manifest.json", 2),
        ("set", "set/new.json", 2),
        ("set/panoptic.json", "set/boxes.json", 2),
    ],
)
def test_files_that_a_command_does_not_open_are_kept_too(
    tmp_path: Path, given: str, name: str, status: int
) -> None:
    for place in ("data/annotations/instances_other.json", "data/table.json", "set/boxes.json"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("kept")
    for place in ("set/manifest.json", "set/panoptic.json"):
        (tmp_path / place).write_text("kept")
    commands = Commands()

    @commands.command()
    def look(root: Root, json_file: JsonFile = None) -> None:
        assert json_file is not None
        json_file.write_text("replaced")

    done = CliRunner().invoke(commands, [str(tmp_path / given), "--json", str(tmp_path / name)])
    assert done.exit_code == status, done.output
    if status:
        assert all(path.read_text() == "kept" for path in tmp_path.glob("**/*.json"))
