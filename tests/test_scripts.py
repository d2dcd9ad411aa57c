"""Every script starts: what it imports exists."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path.name for path in (ROOT / "scripts").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_tells_its_usage(warm, tmp_path, script):
    done = warm.run([ROOT / "scripts" / script, "--help"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower() or "python" in done.stdout
