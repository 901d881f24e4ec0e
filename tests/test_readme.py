"""The README's code runs, its links point somewhere, and CI runs the commands it shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
RECORD = (
    '{{"run":"r","model":"qwen3-8b","task":"t","problem_id":"{p}","trial":{t},"prompt_tokens":9,'
    '"generated_tokens":50,"correct":true}}\n'
)


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.S))
def test_every_python_block_runs(code, tmp_path):
    if "kinetics_jax.models" in code:
        pytest.skip("needs a checkpoint; tests/models runs it on a made one")
    rows = "".join(RECORD.format(p=p, t=t) for p in range(3) for t in range(2))
    (tmp_path / "samples.jsonl").write_text(rows)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_relative_links_exist():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\((?!http|#)([^)#\s]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_ci_cuts_its_commands_out_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    for name in re.findall(r"^step (\w+)$", script, re.M):
        assert f"<!-- ci: {name} -->\n```bash\n" in README
