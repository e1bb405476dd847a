import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import studies.cli
from annotools.errors import StoppedError
from studies.engines import local
from studies.folder import start_study
from studies.running.runner import StudyRun
from studies.study import load_study
from tests.studies.in_process import run_here
from tests.studies.study_builders import make_result

RECIPE = """
name = "tiny"
mixes = { "full" = { "full" = 1 }, "boxes+tags" = { "boxes+tags" = 1 } }
budgets_hours = [3]
seeds = [0]
[dataset]
format = "scenes"
root = "world.toml"
[recipe]
views = { crop_size_wh = [64, 64] }
descent = { batch_size = 1 }
classifier = { steps = 1, learning_rate = 1e-3 }
semantic = { steps = 2, learning_rate = 1e-3 }
detector = { steps = 2, learning_rate = 1e-3 }
instance = { steps = 1, learning_rate = 1e-4 }
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "world.toml").write_text("width = 64\nheight = 64\nnum_train = 3\nnum_val = 2\n")
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(studies.cli.app, [str(a) for a in arguments])


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> object:
    """Return the exit status of the command."""
    monkeypatch.setattr(sys, "argv", ["annotools", *(str(a) for a in arguments)])
    with pytest.raises(SystemExit) as stopped:
        studies.cli.main()
    return stopped.value.code


OF_ENGINES = "--cpus, --gpus and --memory are of --engine ray and of Slurm"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "cloud"], "--engine 'cloud': use local, ray, submitit"),
        (["--cpus", "2"], OF_ENGINES),
        (["--gpus", "0"], OF_ENGINES),
        (["--memory", "4", "--engine", "local"], OF_ENGINES),
        (["--print-sbatch", "--memory=-3"], "--memory -3: give GiB above 0"),
        (["--print-sbatch", "--memory", "nan"], "--memory nan: give GiB above 0"),
        (["--engine", "ray", "--slurm", "partition=gpu"], "--slurm is of --engine submitit"),
        (["--engine", "submitit", "--slurm", "partition"], "partition"),
    ],
)
def test_options_of_engines_that_do_not_go_together_are_usage_errors(
    recipe: Path,
    tmp_path: Path,
    options: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    done = invoke("study", "run", recipe, "--out", tmp_path / "run", *options)
    assert (done.exit_code, message in done.output) == (2, True), done.output
    assert not (tmp_path / "run").exists()


def test_a_dry_run_writes_nothing_and_a_script_runs_what_is_missing(
    recipe: Path, tmp_path: Path
) -> None:
    out, table = tmp_path / "run", tmp_path / "table.json"
    asked = ["study", "run", recipe, "--out", out, "--workers", 1]
    done = invoke(*asked, "--dry-run", "--json", table)
    assert done.exit_code == 0, done.output
    assert not out.exists()
    assert "2 trials: 0 finished, 0 failed, 2 left." in done.stdout
    assert "of computing (from a few timed labels, steps and predictions" in done.stdout
    content = json.loads(table.read_text())
    assert [trial["name"] for trial in content["trials"]] == [
        "full_3h_seed0",
        "boxes+tags_3h_seed0",
    ]
    assert content["left"]["from_rows"] is False
    needs = ("--cpus", 4, "--gpus", 1, "--memory", 7.5)
    script = invoke(*asked, "--print-sbatch", *needs, "--slurm", "partition=gpu")
    assert script.exit_code == 0, script.output
    assert script.stdout.startswith("#!/bin/bash\n")
    asked_for = ("array=0-1%1", "cpus-per-task=4", "gpus-per-node=1", "mem=7680M", "partition=gpu")
    assert all(f"#SBATCH --{option}\n" in script.stdout for option in asked_for)
    assert (out / ".state/slurm").is_dir()
    one = ["study", "trial", out / "study.json", "--out", out, "--trial"]
    for name in ("full_3h_seed0", "boxes+tags_3h_seed0"):
        done = invoke(*one, name)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith(f"{name}: PQ ")
    done = invoke(*asked, "--print-sbatch")
    assert done.stdout == ""
    # Boxes cannot use the budget, which another line tells.
    assert done.stderr.splitlines()[-1] == f"note: {out}: all trials are finished"
    done = invoke(*asked, "--dry-run")
    assert "2 trials: 2 finished, 0 failed, 0 left." in done.stdout
    assert "computing" not in done.stdout


def test_a_dry_run_that_is_stopped_promises_nothing(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise StoppedError("stopped at step 2 of 4 of semantic: what is done is kept")

    monkeypatch.setattr("studies.running.timing.time_parts", stop)
    done = invoke("study", "run", recipe, "--out", tmp_path / "run", "--dry-run")
    assert str(done.exception) == "stopped while steps were timed: nothing was written"


def without_floats(path: Path) -> dict[str, Any]:
    """What of a row does not depend on time or on the number of threads."""
    row = json.loads(path.read_text())
    kept = {key: value for key, value in row.items() if not isinstance(value, float)}
    del kept["sha256"]  # It covers all of them.
    return kept


@pytest.mark.usefixtures("on_the_cpu")
def test_study_runs_resumes_and_repeats(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, table = tmp_path / "run", tmp_path / "table.json"
    done = invoke("study", "run", recipe, "--out", out, "--workers", 1, "--json", table)
    assert done.exit_code == 0, done.output
    assert "semantic" in done.stdout
    assert str(out / "quality_vs_cost.png") in done.stdout
    assert str(out / "report.md") in done.stdout
    assert str(out / "report.html") in done.stdout
    content = json.loads(table.read_text())
    # One step a stage teaches nothing, and that comes before the table.
    assert content["learnt_nothing"] is True
    assert " ".join(done.stdout.split()).startswith(content["answer"])
    assert {row["beats_trivial"] for row in content["rows"]} == {False}
    assert [row["mix"] for row in content["rows"]] == ["full", "boxes+tags"]
    redone, kept = sorted((out / "trials").glob("*/result.json"))
    row, time_kept = without_floats(redone), kept.stat().st_mtime_ns
    redone.unlink()
    # The first was in a process of its own, and this one need not be.
    monkeypatch.setattr(local, "run_isolated", run_here)
    again = invoke("study", "run", out / "study.json", "--out", out, "--workers", 1)
    assert again.exit_code == 0, again.output
    assert without_floats(redone) == row
    assert kept.stat().st_mtime_ns == time_kept
    report = (out / "report.md").read_text()
    page = (out / "report.html").read_text()
    # The pictures that each trial kept are in it.
    assert page.count("<img ") == 2 * 4
    for name in ("report.md", "report.html"):
        (out / name).unlink()
    assert invoke("study", "report", out).exit_code == 0
    assert (out / "report.md").read_text() == report
    assert (out / "report.html").read_text() == page


@pytest.mark.usefixtures("on_the_cpu")
def test_a_failed_trial_is_told_at_the_end_and_the_rest_is_reported(
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(local, "run_isolated", run_here)
    out, table = tmp_path / "run", tmp_path / "table.json"
    # A file where a folder has to be: the trial cannot write there, and nobody foresees that.
    (out / "trials/full_3h_seed0").mkdir(parents=True)
    (out / "trials/full_3h_seed0/labels").write_text("")
    start_study_in_place(recipe, out)
    asked = ("study", "run", recipe, "--out", out, "--workers", 1)
    for _ in range(2):
        assert run_main(monkeypatch, *asked, "--json", table) == 1
        written = capsys.readouterr()
        last = written.err.splitlines()[-1]
        assert last.startswith("error: 1 of 2 trials failed: full_3h_seed0: ")
        assert last.endswith("; repeat the command with --retry-failed")
        assert "Traceback" not in written.err
        content = json.loads(table.read_text())
        assert list(content["failed"]) == ["full_3h_seed0"]
        assert content["left"] == 0
    assert "1 failed, 0 are left" in (out / "report.md").read_text()
    (out / "trials/full_3h_seed0/labels").unlink()
    assert run_main(monkeypatch, *asked, "--json", table, "--retry-failed") == 0
    assert json.loads(table.read_text())["failed"] == {}


@pytest.mark.usefixtures("on_the_cpu")
def test_where_every_trial_failed_the_json_says_so(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "run_isolated", run_here)
    out, table = tmp_path / "run", tmp_path / "table.json"
    names = ("boxes+tags_3h_seed0", "full_3h_seed0")
    for name in names:
        (out / "trials" / name).mkdir(parents=True)
        (out / "trials" / name / "labels").write_text("")
    start_study_in_place(recipe, out)
    asked = ("study", "run", recipe, "--out", out, "--workers", 1, "--json", table)
    assert run_main(monkeypatch, *asked) == 1
    content = json.loads(table.read_text())
    assert sorted(content["failed"]) == sorted(names)
    assert (content["answer"], content["rows"], content["left"]) == (None, [], 0)


def start_study_in_place(recipe: Path, out: Path) -> None:
    """Start the study in a folder that has files already."""
    start_study(load_study(recipe), out.with_name("other"))
    (out.with_name("other") / ".state").rename(out / ".state")


class Runs:
    """Stands for `run_study`: keeps what it was asked, finishes at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Path, int | None]] = []

    def __call__(self, study: Any, folder: Path, workers: int | None, **_: object) -> StudyRun:
        self.asked.append((study, folder, workers))
        return StudyRun(results=[make_result(mix, 2, 0, 0.5) for mix in study.mixes])


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    runs = Runs()
    monkeypatch.setattr("studies.running.runner.run_study", runs)
    # What these tests run need not be a dataset that could be trained on.
    monkeypatch.setattr("studies.validate.check_study", lambda study, where: None)
    return runs


@pytest.mark.parametrize(
    ("text", "expected"), [("3", (0, 1, 2)), ("0,4", (0, 4)), ("7,", (7,)), ("1", (0,))]
)
def test_seeds_are_a_number_or_a_list(
    recipe: Path, tmp_path: Path, runs: Runs, text: str, expected: tuple[int, ...]
) -> None:
    out = tmp_path / "run"
    assert invoke("study", "run", recipe, "--out", out, "--seeds", text).exit_code == 0
    assert [(s.seeds, folder, w) for s, folder, w in runs.asked] == [(expected, out, None)]


@pytest.mark.parametrize(
    "text", ["0", "x", "", "1,x", "-1", "1.5", "9" * 400, "0," + "9" * 30, "9" * 5000, "1000000"]
)
def test_impossible_seeds_are_a_usage_error(
    recipe: Path, tmp_path: Path, runs: Runs, text: str
) -> None:
    done = invoke("study", "run", recipe, "--out", tmp_path / "run", f"--seeds={text}")
    assert done.exit_code == 2
    assert "--seeds" in done.output
    assert "No such option" not in done.output
    assert runs.asked == []


OWN = ("study.json", "report.md", "report.html", "results.csv", "quality_vs_cost.png")


@pytest.mark.parametrize(
    "name",
    [
        *("tiny.toml", "world.toml", "t.toml", "o.txt", "h.toml"),
        *("run", "run/new.json", *(f"run/{own}" for own in OWN)),
        *("run/trials", "run/trials/new.json", "run/box_labels/x.png", "run/.state/setup.json"),
    ],
)
def test_a_table_that_would_replace_what_is_kept_is_refused(
    recipe: Path, tmp_path: Path, runs: Runs, name: str
) -> None:
    # What the study reads lies beside it, what it wrote before in its folder.
    recipe.write_text('times = "t.toml"\norder = "o.txt"\nannotator = "h.toml"\n' + RECIPE)
    for read in ("t.toml", "o.txt", "h.toml", *(f"run/{own}" for own in OWN)):
        (tmp_path / read).parent.mkdir(exist_ok=True)
        (tmp_path / read).write_text("")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    table = tmp_path / "run" / ".." / name
    done = invoke("study", "run", recipe, "--out", tmp_path / "run", "--json", table)
    assert done.exit_code == 2
    assert "--json" in done.output
    assert runs.asked == []
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_a_table_that_is_a_file_of_the_dataset_is_refused(
    recipe: Path, tmp_path: Path, runs: Runs
) -> None:
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "car"}]}
    (tmp_path / "coco/annotations").mkdir(parents=True)
    for split in ("train", "val"):
        labels = tmp_path / f"coco/annotations/instances_{split}.json"
        labels.write_text(json.dumps(content))
    changes = ["--set", "dataset.format=coco-instances", "--set", f"dataset.root={tmp_path}/coco"]
    arguments = ["study", "run", recipe, "--out", tmp_path / "run", *changes]
    assert invoke(*arguments, "--json", labels).exit_code == 2
    assert json.loads(labels.read_text()) == content
    assert runs.asked == []
    assert invoke(*arguments, "--json", tmp_path / "table.json").exit_code == 0


def test_a_table_of_an_earlier_run_is_replaced(recipe: Path, tmp_path: Path, runs: Runs) -> None:
    table = tmp_path / "table.json"
    for _ in range(2):
        done = invoke("study", "run", recipe, "--out", tmp_path / "run", "--json", table)
        assert done.exit_code == 0, done.output
        assert json.loads(table.read_text())["rows"]


@pytest.mark.parametrize("command", [["report"], ["break-even", "--action", "box"]])
def test_other_commands_of_a_study_keep_its_files_too(
    recipe: Path, tmp_path: Path, command: list[str]
) -> None:
    folder = tmp_path / "run"
    start_study(load_study(recipe), folder)
    stored = (folder / "study.json").read_bytes()
    done = invoke("study", *command, folder, "--json", folder / "study.json")
    assert done.exit_code == 2
    assert (folder / "study.json").read_bytes() == stored
    assert not (folder / "report.md").exists()


def test_demo_keeps_the_shipped_study(tmp_path: Path, runs: Runs) -> None:
    shipped = Path(studies.__path__[0]) / "recipes" / "demo.toml"
    before = shipped.read_bytes()
    assert invoke("demo", "--out", tmp_path / "run", "--json", shipped).exit_code == 2
    assert (runs.asked, shipped.read_bytes()) == ([], before)


def test_set_changes_the_study(recipe: Path, tmp_path: Path, runs: Runs) -> None:
    changes = ["--set", "recipe.descent.batch_size=3", "--set", "mixes.full={full=1}"]
    done = invoke("study", "run", recipe, "--out", tmp_path / "run", *changes, "--workers", 2)
    assert done.exit_code == 0
    study, _, workers = runs.asked[0]
    assert study.recipe.descent.batch_size == 3
    assert workers == 2


def test_demo_runs_the_shipped_study(
    tmp_path: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("demo").exit_code == 0
    assert invoke("demo", "--thorough").exit_code == 0
    assert invoke("demo", "--thorough", "--seeds", "1", "--out", "here").exit_code == 0
    (quick, quick_out, _), (long, long_out, _), (single, single_out, _) = runs.asked
    shipped = load_study(Path(studies.__path__[0]) / "recipes" / "demo.toml")
    assert quick == shipped
    assert (quick_out, long_out) == (Path("runs/demo"), Path("runs/demo-thorough"))
    assert single_out == Path("here")
    assert long.seeds == (0, 1, 2, 3)
    assert single.seeds == (0,)
    assert set(quick.budgets_hours) < set(long.budgets_hours)
    assert long.mixes == {**quick.mixes, "half and half": {"full": 1, "boxes+tags": 1}}
    assert len(long.budgets_hours) == 2 * len(quick.budgets_hours) - 1
    for stage in ("classifier", "semantic", "detector", "instance"):
        short, doubled = getattr(quick.recipe, stage), getattr(long.recipe, stage)
        assert doubled.steps == 2 * short.steps
        assert doubled.learning_rate == short.learning_rate


def test_wrong_input_is_one_line_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = tmp_path / "absent.toml"
    assert run_main(monkeypatch, "study", "run", absent, "--out", tmp_path / "r") == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err == f"error: {absent}: no such file; a study is a TOML file\n"


def test_output_that_cannot_be_written_is_named(
    recipe: Path,
    tmp_path: Path,
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    monkeypatch.setenv("COLUMNS", "400")
    assert run_main(monkeypatch, "study", "run", recipe, "--out", tmp_path / "taken") == 2
    assert f"--out {tmp_path}/taken: {tmp_path}/taken is a file" in capsys.readouterr().err
    assert runs.asked == []


def test_usage_errors_exit_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_main(monkeypatch, "study", "run") == 2
    assert run_main(monkeypatch, "no-such-command") == 2


def test_version_is_the_package_s(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from importlib.metadata import version

    assert run_main(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.strip() == version("annotools")


def test_help_loads_no_torch_and_lists_the_commands() -> None:
    code = (
        "import sys, studies.cli\n"
        "sys.argv = ['annotools', '--help']\n"
        "try:\n    studies.cli.main()\n"
        "except SystemExit:\n    print('heavy:', {'torch', 'numpy', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: set()" in done.stdout
    for command in ("price", "draw", "pseudo-label", "train", "predict", "study", "demo"):
        assert f" {command} " in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        *(["price"], ["draw"], ["pseudo-label"], ["train"], ["predict"]),
        *(["study", "run"], ["study", "trial"], ["study", "report"], ["demo"]),
    ],
)
def test_help_of_every_command_has_examples(command: list[str]) -> None:
    done = invoke(*command, "--help")
    assert "Examples" in done.stdout
    assert f"annotools {' '.join(command)}" in done.stdout.split("Examples")[1]


def test_an_interrupt_is_told_in_one_line(
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("studies.running.runner.run_study", interrupt)
    assert run_main(monkeypatch, "study", "run", recipe, "--out", tmp_path / "run") == 1
    assert capsys.readouterr().err == "error: stopped: repeat the command to go on\n"
