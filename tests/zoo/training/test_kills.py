"""Some of the kills of benchmarks/kills.py: the resumed training is the unbroken one."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "kills.py"


def test_five_killed_trainings_resume_as_if_nothing_had_been(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--kills=5", "--scenario=plain", "--dry", f"--keep={tmp_path}"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("5 of 5 equal the unbroken run\n"), done.stdout + done.stderr
    assert done.returncode == 0
