"""``Engine``: many long samples of many prompts, sparse, sharded, each independent of its neighbours."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, overload

import jax

from kinetics_jax.checks import check_flag, check_whole, shown
from kinetics_jax.engine.collect import Piece
from kinetics_jax.engine.config import EngineConfig, with_fields
from kinetics_jax.engine.device import Device
from kinetics_jax.engine.early_stop import EarlyStop, Stop
from kinetics_jax.engine.generation import Run
from kinetics_jax.engine.identity import check_finished, engine_identity
from kinetics_jax.engine.progress import Progress
from kinetics_jax.engine.requests import Decoding, Prompt, Request, RequestReader, default_stop_ids
from kinetics_jax.engine.sample_log import Finished
from kinetics_jax.engine.setup import MOST_STOP_IDS, check_parts, make_device, settled
from kinetics_jax.errors import InputError
from kinetics_jax.models import Tokenizer, Transformer
from kinetics_jax.models.memory import memory_in_one_line
from kinetics_jax.policies import Dense, Policy
from kinetics_jax.records import Sample
from kinetics_jax.records.sample import SampleKey

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
        observe: Callable[[Progress], None] | None = None,
        config: EngineConfig | None = None,
        **fields: Any,
    ) -> None:
        """Checks everything; compiles and allocates nothing before the first ``generate``.

        Args:
          model: from ``kinetics_jax.models``, on its mesh.
          policy: what a decode step reads; dense unless given. Block policies and windows run on whole
            pages, which ``engine.policy`` spells out (``aligned=True``) and samples record.
          tokenizer: turns text prompts into ids and ids into text.
          mesh: lay the model on this mesh first; None: where it lies.
          observe: called with the ``Progress`` after each chunk.
          config: sizes and modes.
          **fields: those of ``EngineConfig``, in place of what ``config`` says.

        Raises ``InputError`` for options that cannot be.
        """
        asked = with_fields(EngineConfig, config, fields)
        policy = Dense() if policy is None else policy
        check_parts(model, policy, tokenizer, mesh)
        self.model = model if mesh is None else model.on(mesh)
        self.tokenizer = tokenizer
        self.config, self.policy = settled(asked, self.model, policy)
        """The settings and the policy as they run; samples carry the policy."""
        self.stop_ids = default_stop_ids(model.config, tokenizer)
        """Where samples end unless ``generate`` is told."""
        self._observe = observe
        self._device: Device | None = None
        self._busy = False

    @overload
    def generate(
        self,
        problems: Iterable[Prompt] | Prompt,
        n: int | Sequence[int] = 1,
        *,
        stream: Literal[False] = False,
        **options: Any,
    ) -> Iterator[Sample]: ...

    @overload
    def generate(
        self, problems: Iterable[Prompt] | Prompt, n: int | Sequence[int] = 1, *, stream: bool, **options: Any
    ) -> Iterator[Sample | Piece]: ...

    def generate(
        self,
        problems: Iterable[Prompt] | Prompt,
        n: int | Sequence[int] = 1,
        *,
        decoding: Decoding | None = None,
        thinking: bool | None = None,
        system: str = "",
        done: Iterable[SampleKey] = (),
        stream: bool = False,
        stop: Stop | None = None,
        at_once: int | None = None,
        **fields: Any,
    ) -> Iterator[Any]:
        """Finished ``Sample``s of every problem, in the order in which they finish.

        A sample's slot is not used again before the caller asks for the next sample: who writes each one
        down before going on loses none. Closing the iterator drops what is running.

        Args:
          problems: texts (one user turn each), lists of messages (``role``, ``content``), token ids, or
            ``records.Problem``s; or a single one.
          n: samples per problem, or the trial numbers wanted.
          decoding: how samples are drawn and ended.
          thinking: whether the model shall reason before it answers, as its chat template words it; None:
            what the template does by itself. False is refused where the template knows no such switch.
          system: system turn put before every prompt that is text or messages; empty: none.
          done: keys of samples not to make again. ``SampleLog.done`` also knows what made them, and
            refuses to go on with another model, tokenizer, policy, sampling or prompt.
          stream: yield ``Piece``s of a single sample as they come, its ``Sample`` last.
          stop: called before a prompt's first sample and after each one that was handed over, with the place
            of the prompt among ``problems`` and its samples finished in this call. Once it says True no
            further sample of that prompt begins and those that run are dropped; one that had finished by
            then is handed over. Samples that come are the same as without it.
          at_once: most samples of a prompt that run at the same time, so that ``stop`` sees one before many
            more have begun; None: as many as there are slots. Slots stay idle unless ``prompt_rows`` times
            ``at_once`` fill them.
          **fields: those of ``Decoding`` (``sampling``, ``max_tokens``, ``stop_ids``, ``stop_strings``,
            ``thinking_budget``, ``logprobs``), in place of what ``decoding`` says.

        Raises ``InputError`` for anything that cannot be run, before anything is compiled, and
        ``LogError`` (one of them) for a log of another experiment.
        """
        stream = check_flag("stream", stream)
        if stop is not None and (stream or not callable(stop)):
            raise InputError(f"stop={shown(stop)} must be a function, and not together with stream=True")
        if stop is not None and jax.process_count() > 1:
            raise InputError("stop needs every sample in one process; this run is spread over several")
        if at_once is not None:
            check_whole("at_once", at_once, 1)
        reader = RequestReader(
            self.model.config,
            self.tokenizer,
            self.max_context,
            stop_ids=self.stop_ids,
            thinking=None if thinking is None else check_flag("thinking", thinking),
            system=system,
        )
        requests = reader.read(problems, n, with_fields(Decoding, decoding, fields), done)
        if len(requests[0].stop_ids if requests else ()) > MOST_STOP_IDS:
            raise InputError(f"at most {MOST_STOP_IDS} stop_ids, got {len(requests[0].stop_ids)}")
        if stream and (len(requests) != 1 or len(requests[0].trials) != 1):
            raise InputError("stream=True takes one problem and n=1")
        if isinstance(done, Finished) and done:
            check_finished(done, self.identity, self.model.config.name, self.policy, requests)
        return self._run(requests, stream, EarlyStop(stop, at_once))

    @property
    def max_context(self) -> int:
        """Longest prompt and generation together, in tokens."""
        assert self.config.max_context, "settled"
        return self.config.max_context

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What this engine's samples are known by: digests of weights and tokenizer, dtypes, shape.

        The first look reads all weights once. All processes of a run must look.
        """
        return engine_identity(self.model, self.tokenizer, self.config)

    @property
    def compilations(self) -> int:
        """Programs compiled so far: constant once every prompt length has been seen."""
        return self._device.compilations if self._device else 0

    def _run(self, requests: list[Request], stream: bool, early: EarlyStop) -> Iterator[Any]:
        if self._busy:
            raise InputError("this engine is generating already; close that iterator first")
        try:
            self._busy = True
            with memory_in_one_line(f"samples of up to {self.max_context} tokens", _LESS_MEMORY):
                self._device = self._device or make_device(self.model, self.policy, self.config)
                run = Run(
                    self._device,
                    requests,
                    model=self.model,
                    policy=self.policy,
                    tokenizer=self.tokenizer,
                    config=self.config,
                    identity=self.identity,
                    observe=self._observe,
                    stream=stream,
                    early=early,
                )
                yield from run.samples()
        finally:
            self._busy = False
