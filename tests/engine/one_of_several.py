"""One process of several, for test_processes: decode on a mesh over all of them, write its own samples.

Usage: one_of_several.py OUT PROCESS OF PORT [SECONDS_PER_SAMPLE]
"""

import json
import pathlib
import sys
import time

from tests.fake_devices import pretend


def main(out: pathlib.Path, process: int, of: int, port: int, pause: float) -> None:
    pretend(devices=8 // of)
    import jax

    if of > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=of, process_id=process)
    from kinetics_jax import models
    from kinetics_jax.engine import Engine
    from kinetics_jax.policies import BlockTopK
    from kinetics_jax.records import SamplingParams
    from kinetics_jax.shapes import presets

    assert len(jax.devices()) == 8
    mesh = jax.make_mesh((2, 4), ("data", "model"))
    model = models.Qwen3.init(presets["tiny-dense"], jax.random.key(0), mesh=mesh, dtype="float32")
    engine = Engine(model, policy=BlockTopK(8, 2), slots=2, max_context=64, chunk_steps=4, prefill_chunk=16)
    done = {
        (s["task"], s["problem_id"], s["trial"])
        for file in out.glob("*.jsonl")
        for s in map(json.loads, file.read_text().splitlines())
    }
    prompts = [[1 + n, *range(5 + 3 * n)] for n in range(4)]
    with open(out / f"{process}.jsonl", "a") as file:
        for sample in engine.generate(
            prompts, n=3, max_tokens=20, sampling=SamplingParams(seed=3), done=done
        ):
            print(sample.to_json(), file=file, flush=True)
            time.sleep(pause)


if __name__ == "__main__":
    folder, process, of, port, *rest = sys.argv[1:]
    main(pathlib.Path(folder), int(process), int(of), int(port), float(rest[0]) if rest else 0.0)
