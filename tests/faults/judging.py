"""What is wrong with how a run ended: with what it said, and with what it left."""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from annotools.files import files_under, leftover_of
from tests.faults.in_process import MOST_BYTES, Outcome

ANSWERS = ("answer.json", "answer.csv", "sheet.png")
"""Names under which commands here write what `--json`, `--csv` and `--out` of a picture ask for."""

FILLS_FOLDER = ("convert", "pseudo-label", "train", "predict")
"""Commands whose `--out` is a folder that ends with a manifest."""


def find_faults(
    command: str,
    outcome: Outcome,
    folder: Path,
    before: Mapping[str, bytes],
    rewritten: Sequence[str] = (),
) -> list[str]:
    """Return what is wrong, in a line each.

    Args:
        command: its first word.
        outcome: how it ended.
        folder: in which it ran, with `out` for its `--out`.
        before: the files of the folder before it ran, by name.
        rewritten: patterns of other files that it may write.
    """
    return [
        *_faults_of_words(command, outcome),
        *_faults_of_resources(outcome),
        *_faults_of_files(command, outcome, folder, before, rewritten),
    ]


def read_tree(folder: Path) -> dict[str, bytes]:
    """Return the content of each file, by its name in the folder."""
    names = (name for name in files_under(folder) if (folder / name).is_file())
    return {name: (folder / name).read_bytes() for name in names}


def _faults_of_words(command: str, outcome: Outcome) -> list[str]:
    if outcome.traceback:
        lines = outcome.traceback.strip().splitlines()
        places = [line.strip() for line in lines if line.strip().startswith("File ")]
        return [f"traceback: {lines[-1][:200]} ({places[-1] if places else 'nowhere'})"]
    faults = []
    if outcome.status not in (0, 1, 2):
        faults.append(f"status {outcome.status}")
    lines = [line for line in outcome.err.splitlines() if not line.startswith("note: ")]
    # `check` tells what it found on stdout, as its answer.
    asked = (0, 1) if command == "check" else (1,)
    if outcome.status == 0 and lines:
        faults.append(f"a line beside notes: {lines[0][:200]!r}")
    if outcome.status == 1 and (
        len(lines) not in asked or not all(line.startswith("error: ") for line in lines)
    ):
        faults.append(f"{len(lines)} lines on stderr: {[line[:200] for line in lines[:3]]}")
    if outcome.status == 2 and "Traceback" in outcome.err:
        faults.append("traceback with status 2")
    for stream, text in (("stdout", outcome.out), ("stderr", outcome.err)):
        wild = {c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c != "\n"}
        if wild:
            faults.append(f"control characters on {stream}: {sorted(wild)}")
    return faults


def _faults_of_resources(outcome: Outcome) -> list[str]:
    if outcome.grown_bytes > MOST_BYTES:
        return [f"memory: {outcome.grown_bytes / 2**20:,.0f} MiB more than before"]
    return []


def _faults_of_files(
    command: str,
    outcome: Outcome,
    folder: Path,
    before: Mapping[str, bytes],
    rewritten: Sequence[str],
) -> list[str]:
    after = read_tree(folder)
    names = {
        name
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name) and not name.startswith("out/")
    }
    free = {name for name in names if any(fnmatch(name, pattern) for pattern in rewritten)}
    faults = [f"changed {name!r}" for name in sorted(names - free - set(ANSWERS))]
    has_answer = outcome.status == 0 or (command == "check" and outcome.status == 1)
    for name in sorted(names & set(ANSWERS)):
        if not has_answer:
            faults.append(f"wrote {name} with status {outcome.status}")
        elif name.endswith(".json"):
            faults += _faults_of_json(after[name])
    made = {name.removeprefix("out/"): after[name] for name in after if name.startswith("out/")}
    leftovers = [name for name in after if leftover_of(name) and name not in before]
    faults += [f"half-written {name!r}" for name in leftovers]
    if command in FILLS_FOLDER:
        faults += _faults_of_folder(outcome, made)
    elif made:
        faults.append(f"wrote into out: {sorted(made)[:3]}")
    return faults


def _faults_of_folder(outcome: Outcome, made: Mapping[str, bytes]) -> list[str]:
    """Return what is wrong with a folder that is finished, or known as not finished."""
    is_finished = "manifest.json" in made
    if outcome.status == 0:
        if not is_finished:
            return ["status 0 without a manifest"]
        return [f for name in made if name.endswith(".json") for f in _faults_of_json(made[name])]
    if is_finished:
        return [f"a manifest with status {outcome.status}"]
    if made and ".state/setup.json" not in made:
        return [f"files that no run will know: {sorted(made)[:3]}"]
    known = set(json.loads(made[".state/setup.json"])["files"]) if made else set()
    unknown = [name for name in made if not name.startswith(".state/") and name not in known]
    return [f"a file that no run will know: {name!r}" for name in unknown]


def _faults_of_json(content: bytes) -> list[str]:
    def refuse(text: str) -> None:
        raise ValueError(f"{text} is no JSON")

    try:
        json.loads(content, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        return [f"wrote no JSON: {error}"]
    return []
