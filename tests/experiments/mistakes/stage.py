"""Where mistakes are made: a folder with everything that a command line of the tables may name."""

import gzip
import hashlib
import json
import os
import pathlib
import shutil

HEADER = "model,dataset,problem_id,trial,gen_tokens,correct"
ROW = "qwen3-0.6b,m,1,0,5,1"
CONFIG = "from ml_collections import ConfigDict\ndef get_config():\n    return ConfigDict({})\n"
FILES = {
    "file.txt": "not a folder",
    "mine/notes.txt": "my notes",
    "half/law.json": '{"format": "kinetics-jax law", "files": ["a.csv"]}',
    "half/a.csv": "1",
    "half/more.csv": "2",
    "empty.csv": "",
    "header.csv": HEADER + "\n",
    "column.csv": "model,dataset,problem_id,trial,gen_tokens\nqwen3-0.6b,m,1,0,5\n",
    "negative.csv": f"{HEADER}\nqwen3-0.6b,m,1,0,-5,1\n",
    "verdict.csv": f"{HEADER}\nqwen3-0.6b,m,1,0,5,perhaps\n",
    "nan.csv": f"{HEADER}\nqwen3-0.6b,m,1,0,nan,1\n",
    "torn.csv": f"{HEADER}\n{ROW}\nqwen3-0.6b,m,1,1",
    "twice.csv": f"{HEADER}\n{ROW}\n{ROW}\n",
    "unknown.csv": f"{HEADER}\nllama-9,m,1,0,5,1\n",
    "half.jsonl": '{"run": "r", "model": "qwen3-0.6b"',
    "list.jsonl": "[1, 2]\n",
    "text.txt": "Once upon a time there was a cache. " * 20,
    "chip.toml": "[mine\n",
    "two.toml": "[a]\nhbm_gb = 1\n[b]\nhbm_gb = 1\n",
    "lacks.toml": "[mine]\nhbm_gb = 80\n",
    "words.toml": '[mine]\nhbm_gb = "many"\nhbm_gbps = 1\ntflops = { bfloat16 = 1 }\n',
    "syntax.py": "def get_config(:\n",
    "raises.py": "def get_config():\n    raise RuntimeError('no\\nluck')\n",
    "without.py": "x = 1\n",
    "nothing.py": "def get_config():\n    return None\n",
    "number.py": "def get_config():\n    return 5\n",
    "unknown.py": CONFIG.replace("{}", "{'no_such': 1}"),
    "kind.py": CONFIG.replace("{}", "{'bootstrap': 'many', 'trials': 'four'}"),
    "imports.py": "import no_such_package\n" + CONFIG,
    "blank.jsonl": "\n\n",
    "prompts.jsonl": '{"prompt": "hi"}\n',
    "no_prompt.jsonl": '{"text": "hi"}\n',
    "number.jsonl": '{"prompt": 5}\n',
    "same.jsonl": '{"prompt": "a", "problem_id": 1}\n{"prompt": "b", "problem_id": 1}\n',
    "surrogate.jsonl": '{"prompt": "\\ud83d"}\n',
    "no_config/model.safetensors": "x",
    "no_weights/config.json": "{}",
    "not_json/config.json": "{",
    "junk.gguf": "GGUX",
    "junk_tokenizer.json": "{}",
    "gsm8k.jsonl": '{"question": "1?", "answer": "1"}\n',
    "no_answer.jsonl": '{"question": "1?"}\n',
    "measured/manifest.json": "not json",
    "tables/table.md": "mine",
    "samples_of_old/manifest.json": "{}",
}


def build(folder: pathlib.Path, model: pathlib.Path, traces: pathlib.Path) -> None:
    """Fill ``folder``."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "empty").mkdir()
    (folder / "binary.csv").write_bytes(bytes(range(256)) * 20)
    (folder / "latin.csv").write_bytes(HEADER.encode() + b"\nqwen3-0.6b,m\xe9,1,0,5,1\n")
    (folder / "latin.jsonl").write_bytes(b'{"prompt": "caf\xe9"}\n')
    whole = gzip.compress((HEADER + "\n" + ROW + "\n").encode())
    (folder / "cut.csv.gz").write_bytes(whole[:-9])
    (folder / "loop").symlink_to("loop")
    (folder / "nowhere").symlink_to("gone/away")
    (folder / "alias").symlink_to("model")
    shutil.copytree(model, folder / "model")
    shutil.copy(traces, folder / "traces.jsonl")
    _other_model(folder / "other", model)
    no_tokenizer = shutil.ignore_patterns("tokenizer*")
    shutil.copytree(model, folder / "mute", ignore=no_tokenizer)
    shutil.copytree(model, folder / "wrong_family")
    config = json.loads((model / "config.json").read_text())
    wrong = config | {"architectures": ["BertModel"], "model_type": "bert"}
    (folder / "wrong_family" / "config.json").write_text(json.dumps(wrong))


def _other_model(folder: pathlib.Path, model: pathlib.Path) -> None:
    """The same weights as another program writes them."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(model, folder)
    tensors = load_file(model / "model.safetensors")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def fingerprint(folder: pathlib.Path) -> dict[str, str]:
    """Every name under ``folder`` and what is in it."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = pathlib.Path(root, name)
            if path.is_symlink():
                found[str(path)] = os.readlink(path)
            else:
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return found
