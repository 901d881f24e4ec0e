"""Programs judged by running them on tests: extraction, sandbox, comparison."""

from kinetics_jax.tasks.programs.grader import CodeGrader
from kinetics_jax.tasks.programs.sandbox import Limits, SandboxError
from kinetics_jax.tasks.programs.stored_tests import Case, StoredTests

__all__ = ["Case", "CodeGrader", "Limits", "SandboxError", "StoredTests"]
