"""The README's code runs, its links point somewhere, and CI runs the commands it shows."""

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
LIBRARY = (ROOT / "docs" / "library.md").read_text()
RECORD = (
    '{{"run":"r","model":"qwen3-8b","task":"t","problem_id":"{p}","trial":{t},"prompt_tokens":9,'
    '"generated_tokens":50,"correct":true}}\n'
)


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README + LIBRARY, re.S))
def test_every_python_block_runs(code, tmp_path):
    if "models.load(" in code:
        pytest.skip("needs a checkpoint; tests/models/test_example.py runs the same lines on a made one")
    rows = "".join(RECORD.format(p=p, t=t) for p in range(3) for t in range(2))
    (tmp_path / "samples.jsonl").write_text(rows)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_models_example_is_the_one_that_is_tested():
    docstring = ast.get_docstring(ast.parse((ROOT / "kinetics_jax/models/__init__.py").read_text()))
    lines = textwrap.dedent(docstring.split("::", 1)[1]).strip().splitlines()
    for line in lines:
        assert line in LIBRARY, line


def test_relative_links_exist():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\((?!http|#)([^)#\s]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_ci_cuts_its_commands_out_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    for name in re.findall(r"^step (\w+)$", script, re.M):
        assert f"<!-- ci: {name} -->\n```bash\n" in README
