"""How far a run is, for progress bars and metrics files."""

import dataclasses
import json


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


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
