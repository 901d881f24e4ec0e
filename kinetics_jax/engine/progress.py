"""How far a run is, for progress bars and metrics files."""

import dataclasses
import json
import time
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """A snapshot between two decode chunks."""

    samples_done: int
    samples_total: int
    tokens: int
    """Tokens generated so far in this run, those of unfinished samples included."""
    seconds: float
    """Since the run began."""
    decode_seconds: float
    """Of those, in decode chunks on the device."""
    caller_seconds: float
    """Of those, in the caller's hands between two samples."""
    tokens_per_second: float
    """Over the run so far, compilation included."""
    running: int
    """Samples in slots."""
    mean_context: float
    """Mean tokens in the cache of a running sample."""
    pages_in_use: int
    pages_total: int
    seconds_left: float | None
    """Estimated from the samples done so far; None before the first."""

    @property
    def host_seconds(self) -> float:
        """What is left: admitting, handing over, and reading prompts as far as the host waits for it."""
        return self.seconds - self.decode_seconds - self.caller_seconds

    def to_json(self) -> str:
        """One line of JSON without the newline."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    def line(self) -> str:
        """A line for a person."""
        left = "" if self.seconds_left is None else f", {_clock(self.seconds_left)} left"
        return (
            f"{self.samples_done}/{self.samples_total} samples, {self.tokens:,} tokens, "
            f"{self.tokens_per_second:,.0f} tokens/s, {self.running} running at context "
            f"{self.mean_context:,.0f}, pages {self.pages_in_use:,}/{self.pages_total:,}{left}"
        )


@dataclasses.dataclass
class Meter:
    """What a run counts while it goes on; seconds are since it was made."""

    samples_total: int
    samples_done: int = 0
    decode_seconds: float = 0.0
    caller_seconds: float = 0.0
    begun: float = dataclasses.field(default_factory=time.perf_counter)

    def progress(
        self, *, tokens: int, contexts: Sequence[int], pages_in_use: int, pages_total: int
    ) -> Progress:
        """The run so far, with ``contexts`` tokens in the cache of each running sample."""
        seconds, done = time.perf_counter() - self.begun, self.samples_done
        return Progress(
            samples_done=done,
            samples_total=self.samples_total,
            tokens=tokens,
            seconds=seconds,
            decode_seconds=self.decode_seconds,
            caller_seconds=self.caller_seconds,
            tokens_per_second=tokens / max(seconds, 1e-9),
            running=len(contexts),
            mean_context=sum(contexts) / len(contexts) if contexts else 0.0,
            pages_in_use=pages_in_use,
            pages_total=pages_total,
            seconds_left=(self.samples_total - done) * seconds / done if done else None,
        )


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
