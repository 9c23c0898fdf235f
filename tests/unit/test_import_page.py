"""The page about importing runs: each kept mapping is dry-run over its file, as the page shows it.

Rewritten with fresh output by `pytest tests/unit/test_import_page.py --write-pages`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mapping import SAMPLES
from tests.pages import Output, Script, differences, parts, rewritten

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "import.md"


def _run(script: Script) -> Output:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "120",
    }
    done = subprocess.run(
        ["bash", "-c", script.text],
        cwd=SAMPLES,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return Output(tuple(line.rstrip() for line in done.stdout.splitlines()), done.returncode)


def test_each_mapping_makes_what_the_page_shows(request: pytest.FixtureRequest) -> None:
    """Events, refused rows with their lines, and the tables, to the digit."""
    page = PAGE.read_text(encoding="utf-8")
    scripts = [one for one in parts(page) if isinstance(one, Script) and one.shown is not None]
    assert {script.text.split()[1] for script in scripts} == {
        path.name for path in SAMPLES.iterdir()
    }
    outputs = [(script, _run(script)) for script in scripts]
    if request.config.getoption("--write-pages"):
        PAGE.write_text(rewritten(page, outputs), encoding="utf-8")
        return
    for script, output in outputs:
        assert not differences(script, output, of_codes_alone=True)
        assert output.lines == script.shown
