"""Ask a model something: ``python -m experiments.decode --model=PATH --prompt="…"``.

One sample is printed as it is drawn. Several (``--n``), or prompts from a file, are printed as they finish, and
written to ``--out`` as JSON lines; samples that are in that file already are not made again.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import jax
from absl import flags

from kinetics_jax import models
from kinetics_jax.engine import Engine, Piece, Progress
from kinetics_jax.spec import InputError, KineticsError, SamplingParams, parse_policy

_MODEL = flags.DEFINE_string("model", None, "Checkpoint: folder, GGUF file or hub name.")
_PROMPT = flags.DEFINE_string("prompt", None, "The user's turn; - reads standard input.")
_PROMPTS = flags.DEFINE_string(
    "prompts", None, "File of JSON lines, each with 'prompt' and perhaps 'problem_id'."
)
_POLICY = flags.DEFINE_string("policy", "dense", "Attention policy, such as block_topk(16, 64).")
_N = flags.DEFINE_integer("n", 1, "Samples per prompt.")
_MAX_TOKENS = flags.DEFINE_integer("max_tokens", 1024, "Most tokens to generate.")
_TEMPERATURE = flags.DEFINE_float("temperature", 0.6, "0 takes the most likely token.")
_TOP_P = flags.DEFINE_float("top_p", 0.95, "Nucleus; 1 is off.")
_TOP_K = flags.DEFINE_integer("top_k", 20, "Most likely tokens to choose from; 0 is off.")
_MIN_P = flags.DEFINE_float("min_p", 0.0, "Least probability relative to the likeliest; 0 is off.")
_SEED = flags.DEFINE_integer("seed", 0, "Names the random streams.")
_STOP = flags.DEFINE_multi_string("stop", [], "Text that ends a sample; may be repeated.")
_THINKING = flags.DEFINE_bool("thinking", True, "What the chat template is told.")
_CONTEXT = flags.DEFINE_integer("max_context", 4096, "Longest prompt and generation together.")
_SLOTS = flags.DEFINE_integer(
    "slots", None, "Samples at once per share of the mesh; default: what fits."
)
_DTYPE = flags.DEFINE_string("dtype", None, "Weights; default bfloat16, float32 on a CPU.")
_QUANTIZE = flags.DEFINE_enum("quantize", None, ["int8"], "Quantise matmul weights.")
_MESH = flags.DEFINE_string("mesh", "", "Such as data=2,model=4; default: one device.")
_OUT = flags.DEFINE_string("out", None, "File of samples to append to (JSON lines).")
_METRICS = flags.DEFINE_string("metrics", None, "File of progress snapshots (JSON lines).")
_PROFILE = flags.DEFINE_string("profile", None, "Folder for a jax.profiler trace of the run.")


def main(argv: list[str]) -> None:
    """Load, decode, print."""
    try:
        if len(argv) > 1:
            raise InputError(f"unexpected argument {argv[1]!r}; options start with --")
        with contextlib.ExitStack() as stack:
            _run(stack)
    except KineticsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _run(stack: contextlib.ExitStack) -> None:
    if not _MODEL.value:
        raise InputError("--model names the checkpoint to load")
    problems = _problems()
    sampling = SamplingParams(
        temperature=_TEMPERATURE.value, top_p=_TOP_P.value, top_k=_TOP_K.value,
        min_p=_MIN_P.value, seed=_SEED.value,
    )  # fmt: skip
    policy = parse_policy(_POLICY.value)
    on_cpu = jax.default_backend() == "cpu"
    model = models.load(
        _MODEL.value, mesh=_mesh(), dtype=_DTYPE.value or ("float32" if on_cpu else "bfloat16"),
        quantize=_QUANTIZE.value, unroll=on_cpu,
    )  # fmt: skip
    metrics = None
    if _METRICS.value:
        metrics = stack.enter_context(open(_METRICS.value, "a", encoding="utf-8"))

    def observe(progress: Progress) -> None:
        if metrics:
            print(progress.to_json(), file=metrics, flush=True)
        if not single and sys.stderr.isatty():
            print(f"\r{progress.line()}\033[K", end="", file=sys.stderr, flush=True)

    engine = Engine(
        model, policy=policy, tokenizer=models.load_tokenizer(_MODEL.value),
        max_context=min(_CONTEXT.value, model.config.max_context), observe=observe,
        slots=_SLOTS.value or (1 if len(problems) * _N.value == 1 else None),
    )  # fmt: skip
    single = len(problems) == 1 and _N.value == 1 and not _OUT.value
    log = stack.enter_context(SampleLog(_OUT.value)) if _OUT.value else None
    if _PROFILE.value:
        stack.enter_context(jax.profiler.trace(_PROFILE.value))
    samples: Iterator[Any] = engine.generate(
        problems, n=_N.value, sampling=sampling, max_tokens=_MAX_TOKENS.value,
        stop_strings=_STOP.value, thinking=_THINKING.value, stream=single,
        done=log.done if log else (),
    )  # fmt: skip
    for sample in samples:
        if isinstance(sample, Piece):
            print(sample.text, end="", flush=True)
            continue
        if log:
            log.append(sample)
        if single:
            print(f"\n[{sample.generated_tokens} tokens, {sample.finish_reason}]", file=sys.stderr)
        else:
            print(
                f"\n## {sample.problem_id}, trial {sample.trial} ({sample.finish_reason})\n{sample.text}"
            )
