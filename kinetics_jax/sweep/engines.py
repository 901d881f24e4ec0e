"""Engines of a sweep: one a (model, policy, context), weights loaded once a model, only where work is."""

from collections.abc import Callable

from kinetics_jax.engine import Engine, Progress
from kinetics_jax.engine.requests import prompt_tokens
from kinetics_jax.errors import InputError
from kinetics_jax.models import Tokenizer, Transformer
from kinetics_jax.policies import Policy
from kinetics_jax.records import Problem
from kinetics_jax.sweep.engine_contexts import rounded_up
from kinetics_jax.sweep.experiment import Experiment, ModelChoice
from kinetics_jax.sweep.model_sources import open_model, open_tokenizer, shape


class Engines:
    """Opens models and engines as they are needed, and lets go of the last model for the next one."""

    def __init__(self, experiment: Experiment, observe: Callable[[Progress], None]) -> None:
        """``observe`` is called after each decode chunk; what it raises ends the run."""
        self._experiment, self._observe = experiment, observe
        self._model: tuple[str, Transformer] | None = None
        self._tokenizers: dict[str, Tokenizer | None] = {}

    def tokenizer(self, choice: ModelChoice) -> Tokenizer | None:
        """The model's tokenizer; opened once."""
        if choice.name not in self._tokenizers:
            self._tokenizers[choice.name] = open_tokenizer(choice, self._experiment.date)
        return self._tokenizers[choice.name]

    def engine(self, choice: ModelChoice, policy: Policy, max_context: int) -> Engine:
        """An engine for one model and policy; it allocates when it is first used."""
        options = self._experiment.engine
        if self._model is None or self._model[0] != choice.name:
            self._model = None  # let go of the old weights before the new ones come
            self._model = (choice.name, open_model(choice, options))
        model = self._model[1]
        if max_context > model.config.max_context:
            raise InputError(
                f"{choice.name}: prompt and max_tokens need a context of {max_context}, and the model's "
                f"is {model.config.max_context}; lower max_tokens"
            )
        return Engine(
            model,
            policy=policy,
            tokenizer=self.tokenizer(choice),
            slots=choice.slice.slots,
            max_context=max_context,
            page_size=options.page_size,
            exact_masks=options.exact_masks,
            repetition=self._experiment.repetition,
            chunk_steps=options.chunk_steps,
            prefill_chunk=options.prefill_chunk,
            prompt_rows=options.prompt_rows,
            observe=self._observe,
        )

    def max_context(self, choice: ModelChoice, problems: list[Problem], caps: list[int]) -> int:
        """What the experiment says, else what the longest of these prompts and its cap need."""
        if self._experiment.engine.max_context is not None:
            return self._experiment.engine.max_context
        longest = max(
            self._prompt_tokens(choice, problem) + cap for problem, cap in zip(problems, caps, strict=True)
        )
        return rounded_up(longest, shape(choice))

    def _prompt_tokens(self, choice: ModelChoice, problem: Problem) -> int:
        system = self._experiment.system_prompt
        if isinstance(problem.prompt, tuple) and not problem.has_turns and not system:
            return len(problem.prompt)
        turns = problem.turns(system)
        tokenizer = self.tokenizer(choice)
        if tokenizer is None:
            raise InputError(f"{choice.name} has no tokenizer, and {problem.task}'s prompts are text")
        return len(prompt_tokens(tokenizer, turns, self._experiment.thinking))
