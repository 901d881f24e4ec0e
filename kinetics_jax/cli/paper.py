"""The paper claim by claim: ``kinetics paper``. What arXiv:2506.05333 says, and what comes out here.

Offline, in seconds, from shapes, prices and points of the published figures that the package holds.
"""

from kinetics_jax import storage
from kinetics_jax.commands.flags import Flags
from kinetics_jax.commands.main import Command
from kinetics_jax.published import as_json, as_markdown, as_text, docs_page, findings

flags = Flags()
_JSON = flags.DEFINE_string("json", "", "File to write all rows to as JSON.")
_MARKDOWN = flags.DEFINE_bool(
    "markdown", False, "Print a Markdown table, with tolerances and what rows rest on."
)
_DOCS = flags.DEFINE_string("docs", "", "File to write as the page docs/paper_claims.md.")


def main(_: list[str]) -> None:
    """Compute every row, print them, and write the files that were asked for."""
    named = {"--json": _JSON.value, "--docs": _DOCS.value}
    files = {flag: storage.output_file(path, flag) for flag, path in named.items() if path}
    found = findings()
    print(as_markdown(found) if _MARKDOWN.value else as_text(found))
    texts = {"--json": as_json, "--docs": docs_page}
    for flag, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(texts[flag](found), encoding="utf-8")


command = Command(about=__doc__, flags=flags, main=main)
