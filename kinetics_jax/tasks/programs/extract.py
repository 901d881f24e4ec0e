"""The program in a model's answer."""


def last_program(text: str) -> str | None:
    """What stands between the last two lines with ``` (lighteval's rule); None where there are none."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if "```" in line]
    if len(fences) < 2:
        return None
    return "\n".join(lines[fences[-2] + 1 : fences[-1]])
