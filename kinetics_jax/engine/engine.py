"""``Engine``: many long samples of many prompts, sparse, sharded, each independent of its neighbours."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kinetics_jax.attention import PagedPlan
from kinetics_jax.checks import check_flag, check_number, check_whole, shown
from kinetics_jax.engine import capacity
from kinetics_jax.engine.device import Device, default_cache_dtype, head_dim_stored
from kinetics_jax.engine.generation import Run, RunOptions
from kinetics_jax.engine.identity import engine_identity, provenance_of
from kinetics_jax.engine.progress import Progress
from kinetics_jax.engine.requests import Decoding, Prompt, Request, RequestReader, default_stop_ids
from kinetics_jax.engine.sample_log import Finished
from kinetics_jax.errors import InputError
from kinetics_jax.models import Tokenizer, Transformer
from kinetics_jax.models.memory import memory_in_one_line
from kinetics_jax.policies import Dense, Policy
from kinetics_jax.records import RepetitionRule, SamplingParams, ThinkingBudget
from kinetics_jax.records.provenance import experiment
from kinetics_jax.records.sample import SampleKey
from kinetics_jax.shapes import ModelConfig
from kinetics_jax.shapes.mesh import check_mesh
from pallas_kernels import self_test

DEFAULT_PAGE = 64
"""Tokens in a page where the policy does not say."""
MOST_STOP_IDS = 8
_LESS_MEMORY = "give the engine fewer slots, a shorter max_context or more devices"


class Engine:
    """Decodes samples with one model under one attention policy.

    A sample is a function of the model, the policy, its prompt, its trial number, its options and the
    engine's compiled shapes: not of the order of requests, of its slot, of what runs beside it, or of
    restarts. (docs/engine.md says what that means to the last bit.)
    """

    def __init__(
        self,
        model: Transformer,
        *,
        policy: Policy | None = None,
        tokenizer: Tokenizer | None = None,
        mesh: jax.sharding.Mesh | None = None,
        slots: int | None = None,
        max_context: int | None = None,
        page_size: int | None = None,
        exact_masks: bool = False,
        share_prompts: bool = True,
        repetition: RepetitionRule | None = None,
        chunk_steps: int = 64,
        prefill_chunk: int = 512,
        prompt_rows: int = 2,
        cache_dtype: jax.typing.DTypeLike | None = None,
        memory_fraction: float = 0.9,
        implementation: str | None = None,
        observe: Callable[[Progress], None] | None = None,
    ) -> None:
        """Checks everything; compiles and allocates nothing before the first ``generate``.

        Args:
          model: from ``kinetics_jax.models``, on its mesh.
          policy: what a decode step reads; dense unless given. Block policies and windows run on whole
            pages, which ``engine.policy`` spells out (``aligned=True``) and samples record.
          tokenizer: turns text prompts into ids and ids into text.
          mesh: lay the model on this mesh first; None: where it lies.
          slots: samples that run at once *in each share of the mesh axes that sequences are split over*;
            None: as many as the free memory holds.
          max_context: longest prompt and generation together, in tokens; None: the model's.
          page_size: tokens in a page; None: the policy's blocks, else 64.
          exact_masks: run the reference implementation's exact index sets (sinks of single tokens, blocks
            that start after them) by masking every score. It measures; it saves no bytes.
          share_prompts: whether samples of a prompt share its full pages. Changes memory, not samples.
          repetition: when a sample is taken to be caught in a loop and stopped; None: never.
          chunk_steps: decode steps between two visits of the host.
          prefill_chunk: prompt tokens read at a time.
          prompt_rows: prompts of a share of the mesh that may be read ahead or wait for slots.
          cache_dtype: of keys and values; None: the model's (float32 on a CPU).
          memory_fraction: of the free memory that the cache may take where ``slots`` is None.
          implementation: back end of ``pallas_kernels``; None picks by the platform.
          observe: called with the ``Progress`` after each chunk.

        Raises ``InputError`` for options that cannot be.
        """
        slots = None if slots is None else check_whole("slots", slots, 1)
        max_context = None if max_context is None else check_whole("max_context", max_context, 1)
        page_size = None if page_size is None else check_whole("page_size", page_size, 1)
        chunk_steps = check_whole("chunk_steps", chunk_steps, 1)
        prefill_chunk = check_whole("prefill_chunk", prefill_chunk, 1)
        prompt_rows = check_whole("prompt_rows", prompt_rows, 1)
        exact_masks = check_flag("exact_masks", exact_masks)
        share_prompts = check_flag("share_prompts", share_prompts)
        memory_fraction = check_number("memory_fraction", memory_fraction)
        if not 0 < memory_fraction <= 1:
            raise InputError(f"memory_fraction={memory_fraction!r} must be in (0, 1]")
        _check_kinds(policy, tokenizer, repetition)
        if model.dtype == jnp.float16:
            raise InputError("a float16 model cannot be decoded; load it in bfloat16 or float32")
        if not model.config.name:
            raise InputError("the model's config has no name, and samples are kept under it: name it")
        self.config = model.config
        _check_split(self.config, mesh or model.layout.mesh)
        self.model = model if mesh is None else model.on(mesh)
        self.tokenizer = tokenizer
        self.stop_ids = default_stop_ids(self.config, tokenizer)
        """Where samples end unless ``generate`` is told."""
        asked = policy or Dense()
        self.page_size = page_size or asked.natural_page or DEFAULT_PAGE
        self.policy = asked if exact_masks else asked.on_pages(self.page_size)
        """The policy as it runs; samples carry it."""
        self.max_context = min(max_context or self.config.max_context, self.config.max_context)
        if max_context is not None and max_context > self.config.max_context:
            raise InputError(
                f"max_context={max_context} is more than the {self.config.max_context} of {self.config.name}"
            )
        self._slots, self._rows = slots, prompt_rows
        self._share, self.repetition = share_prompts, repetition
        self._steps, self._prefill = chunk_steps, prefill_chunk
        self._implementation, self._fraction = implementation, memory_fraction
        self._observe = observe
        self._platform = _platform(self.model)
        self._dtype = cache_dtype or default_cache_dtype(self.model, self._platform)
        self._plan(slots or 1)  # refuses a policy that is not for this model
        self._device: Device | None = None
        self._busy = False

    # What callers use.

    def generate(
        self,
        problems: Iterable[Prompt] | Prompt,
        n: int | Sequence[int] = 1,
        *,
        sampling: SamplingParams | None = None,
        max_tokens: int | None = None,
        stop_ids: Sequence[int] | int | None = None,
        stop_strings: Sequence[str] | str = (),
        thinking_budget: ThinkingBudget | None = None,
        logprobs: bool = False,
        thinking: bool | None = None,
        system: str = "",
        done: Iterable[SampleKey] = (),
        stream: bool = False,
    ) -> Iterator[Any]:
        """Finished ``Sample``s of every problem, in the order in which they finish.

        A sample's slot is not used again before the caller asks for the next sample: who writes each one
        down before going on loses none. Closing the iterator drops what is running.

        Args:
          problems: texts (one user turn each), lists of messages (``role``, ``content``), token ids, or
            ``spec.Problem``s; or a single one.
          n: samples per problem, or the trial numbers wanted.
          sampling: temperature, filters and seed; the paper's unless given.
          max_tokens: most tokens to generate; None: what the context leaves.
          stop_ids: tokens that end a sample, or the one that does; None: the model's end-of-text tokens
            and the tokenizer's.
          stop_strings: texts that end a sample, or the one that does.
          thinking_budget: how long the model may or must think (s1's budget forcing).
          logprobs: whether samples carry log-probabilities.
          thinking: whether the model shall reason before it answers, as its chat template words it; None:
            what the template does by itself. False is refused where the template knows no such switch.
          system: system turn put before every prompt that is text or messages; empty: none.
          done: keys of samples not to make again. ``SampleLog.done`` also knows what made them, and
            refuses to go on with another model, tokenizer, policy, sampling or prompt.
          stream: yield ``Piece``s of a single sample as they come, its ``Sample`` last.

        Raises ``InputError`` for anything that cannot be run, before anything is compiled, and
        ``LogError`` (one of them) for a log of another experiment.
        """
        decoding = Decoding(
            sampling=SamplingParams() if sampling is None else sampling,
            max_tokens=max_tokens,
            stop_ids=stop_ids,  # type: ignore[arg-type]  # it settles them
            stop_strings=stop_strings,  # type: ignore[arg-type]
            thinking_budget=thinking_budget,
            logprobs=logprobs,
        )
        stream = check_flag("stream", stream)
        reader = RequestReader(
            self.config,
            self.tokenizer,
            self.max_context,
            stop_ids=self.stop_ids,
            thinking=None if thinking is None else check_flag("thinking", thinking),
            system=system,
        )
        requests = reader.read(problems, n, decoding, done)
        if len(requests[0].stop_ids if requests else ()) > MOST_STOP_IDS:
            raise InputError(f"at most {MOST_STOP_IDS} stop_ids, got {len(requests[0].stop_ids)}")
        if stream and (len(requests) != 1 or len(requests[0].trials) != 1):
            raise InputError("stream=True takes one problem and n=1")
        if isinstance(done, Finished) and done:
            self._check_finished(done, requests)
        return self._run(requests, stream)

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What this engine's samples are known by: digests of weights and tokenizer, dtypes, shape.

        The first look reads all weights once. All processes of a run must look.
        """
        return engine_identity(self.model, self.tokenizer, self.repetition, self._dtype)

    @property
    def compilations(self) -> int:
        """Programs compiled so far: constant once every prompt length has been seen."""
        return self._device.compilations if self._device else 0

    # How it is done.

    def _check_finished(self, done: Finished, requests: list[Request]) -> None:
        """Raise ``LogError`` where the log's samples are not of these requests' experiment."""
        for request in requests:
            made, sampling = provenance_of(self.identity, request), request.decoding.sampling
            here = experiment(
                made,
                model=self.config.name,
                policy=self.policy,
                seed=sampling.seed,
                temperature=sampling.temperature,
            )
            prompt = {
                "prompt": made["prompt"],
                "prompt_tokens": len(request.tokens),
                "max_tokens": request.max_tokens,
            }
            done.check(here, (request.problem.task, request.problem.problem_id), prompt)

    def _plan(self, slots: int, pool_pages: int = 1) -> PagedPlan:
        lanes = self.model.layout.batch_axes
        return PagedPlan.of(
            self.config,
            self.policy,
            page_size=self.page_size,
            pool_pages=pool_pages,
            rows=slots + self._rows,
            implementation=self._implementation,
            sharding=self.model.cache_sharding(self.model.layout.ways(lanes)),
        )

    def _make_device(self) -> Device:
        pages = -(-self.max_context // self.page_size)
        head_dim = head_dim_stored(self.config.head_dim, self._platform)
        slots = self._slots
        if slots is None:
            each = capacity.sequence_bytes(self._plan(1), self.config, pages, self._dtype, head_dim)
            free = capacity.least_free_bytes(_devices(self.model))
            slots = capacity.slots_that_fit(each, free, self._rows, self._fraction)
        plan = self._plan(slots, pool_pages=1 + (slots + self._rows) * pages)
        if self._platform != "cpu":  # a driver and a compiler may agree on nothing but zeros
            self_test(_devices(self.model)[0], implementation=self._implementation)
        return Device(
            self.model,
            plan,
            slots=slots,
            prompt_rows=self._rows,
            pages_per_sequence=pages,
            stop_ids=MOST_STOP_IDS,
            rule=self.repetition,
            cache_dtype=self._dtype,
            head_dim=head_dim,
            prefill_chunk=self._prefill,
        )

    def _run_options(self) -> RunOptions:
        return RunOptions(
            policy=self.policy,
            identity=self.identity,
            tokenizer=self.tokenizer,
            repetition=self.repetition,
            page_size=self.page_size,
            prompt_rows=self._rows,
            steps=self._steps,
            share_prompts=self._share,
            observe=self._observe,
        )

    def _run(self, requests: list[Request], stream: bool) -> Iterator[Any]:
        if self._busy:
            raise InputError("this engine is generating already; close that iterator first")
        try:
            self._busy = True
            with memory_in_one_line(f"samples of up to {self.max_context} tokens", _LESS_MEMORY):
                self._device = self._device or self._make_device()
                yield from Run(self.model, self._run_options(), self._device, requests, stream).samples()
        finally:
            self._busy = False


def _devices(model: Transformer) -> list[jax.Device]:
    """The devices of this process that hold the model."""
    mesh = model.layout.mesh
    if mesh is not None:
        return list(mesh.local_devices)
    return list(model.embed.weight[...].devices())


def _check_split(config: ModelConfig, mesh: jax.sharding.Mesh | None) -> None:
    """Refuse a mesh on which every device would hold, and compute, the whole of what it should split."""
    if mesh is not None:
        ways = dict(mesh.shape)
        expert = ways.get("expert", 1) if config.moe else 1  # else it splits sequences alone
        check_mesh(config, model=ways.get("model", 1), expert=expert)


def _check_kinds(policy: object, tokenizer: object, repetition: object) -> None:
    if policy is not None and not isinstance(policy, Policy):
        hint = ", such as parse_policy reads" if isinstance(policy, str) else ""
        raise InputError(f"policy={shown(policy)} must be a policy of kinetics_jax.spec{hint}")
    if tokenizer is not None and not all(
        callable(getattr(tokenizer, name, None)) for name in ("encode", "decode", "chat")
    ):
        raise InputError(
            f"tokenizer={shown(tokenizer)} must have encode, decode and chat; models.load_tokenizer opens one"
        )
    if repetition is not None and not isinstance(repetition, RepetitionRule):
        raise InputError(f"repetition={shown(repetition)} must be a RepetitionRule, or None")


def _platform(model: Transformer) -> str:
    return _devices(model)[0].platform
