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
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\((?!http|#)([^)#\s]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_cited_facts_of_the_paper_have_their_section():
    headings = set(re.findall(r"^## (.+)$", (ROOT / "docs" / "paper_facts.md").read_text(), re.M))
    sources = [path for top in ("kinetics_jax", "configs", "tests") for path in (ROOT / top).rglob("*.py")]
    cited = {
        name for path in sources for name in re.findall(r"paper_facts\.md, \"([^\"\\(]+)\"", path.read_text())
    }
    assert len(cited) > 8
    assert cited <= headings


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        name = str(page.relative_to(ROOT / "docs"))
        assert name == "README.md" or f"({name})" in index, name


def test_ci_cuts_its_commands_out_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    names = re.findall(r"^  readme (\w+)$", script, re.M)
    assert names == re.findall(r"^<!-- ci: (\w+) -->\n```bash$", README, re.M) == ["main", "tests"]


def test_ci_leaves_a_developers_environment_alone(tmp_path):
    """README's own commands, word for word, but that their environment is CI's."""
    script = (ROOT / ".ci" / "run").read_text()
    quiet = script.replace("bash -euo pipefail -c", "echo").replace("rm -rf", "echo would remove")
    (tmp_path / ".ci").mkdir()
    (tmp_path / "README.md").write_text(README)
    (tmp_path / ".ci" / "run").write_text(quiet)
    command = ["bash", ".ci/run", "main", "tests"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    for block in re.findall(r"^<!-- ci: \w+ -->\n```bash\n(.*?)```", README, re.S | re.M):
        assert block.replace(".venv", ".ci/venvs/main") in told
    assert re.findall(r"would remove (.*)", told) == [".ci/venvs/main"]


def test_the_workflow_runs_every_step_of_ci():
    (default,) = re.findall(r"set -- ([\w ]+)$", (ROOT / ".ci" / "run").read_text(), re.M)
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert " ".join(re.findall(r"run: \.ci/run ([\w ]+)$", workflow, re.M)) == default


def test_a_step_of_ci_that_is_not_there_is_refused():
    done = subprocess.run(["bash", ".ci/run", "lnit"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "no step 'lnit'; the head of .ci/run lists them\n")
