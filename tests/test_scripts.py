"""Every script starts: what it imports exists."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path.name for path in (ROOT / "scripts").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_tells_its_usage(script):
    line = [sys.executable, str(ROOT / "scripts" / script), "--help"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower() or "python" in done.stdout
