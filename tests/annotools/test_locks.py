import subprocess
import sys
import threading
from pathlib import Path

from annotools.locks import hold, holder

HOLDER = """
import sys
from pathlib import Path
from annotools.locks import hold
with hold(Path(sys.argv[1])) as is_ours:
    print(is_ours, flush=True)
    sys.stdin.read()
"""


def test_one_process_holds_a_file_until_it_ends_or_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "deep/lock"
    assert holder(path) is None
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"True\n"
        assert str(holder(path)).startswith(f"process {other.pid} on ")
        with hold(path) as is_ours:
            assert not is_ours
        assert str(other.pid) in str(holder(path))
        other.kill()
    assert holder(path) is None
    with hold(path) as is_ours:
        assert is_ours
    with hold(path) as is_ours:
        assert is_ours


def test_who_looks_keeps_nobody_out(tmp_path: Path) -> None:
    path, is_over = tmp_path / "lock", threading.Event()
    path.touch()

    def look() -> None:
        while not is_over.is_set():
            holder(path)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(200):
            with hold(path) as is_ours:
                assert is_ours
    finally:
        is_over.set()
        looking.join()
