"""HTML that cannot be broken by what is put into it: every plain text is escaped, only Markup is not."""

import html
from collections.abc import Iterable, Sequence

from kinetics_jax.report.words import printable

_VOID = frozenset({"img", "meta", "br", "hr"})


class Markup(str):
    """Text that is HTML already. Only ``el`` and ``join`` make it from what they escaped."""

    __slots__ = ()


Content = object
"""Markup, or anything else: shown as escaped text."""


def escaped(content: Content) -> Markup:
    """Markup as it is; anything else as text, safe in elements and in quoted attributes."""
    if isinstance(content, Markup):
        return content
    return Markup(html.escape(printable(content), quote=True))


def el(tag: str, *contents: Content, **attributes: Content) -> Markup:
    """One element. ``class_`` and the like lose the underscore; an attribute of None is left out."""
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Markup(f"<{tag}{given}>")
    return Markup(f"<{tag}{given}>{join(contents)}</{tag}>")


def join(contents: Iterable[Content]) -> Markup:
    """Contents one after the other."""
    return Markup("".join(escaped(content) for content in contents))


def bullets(items: Iterable[Content], **attributes: Content) -> Markup:
    """A list, or nothing where there are no items."""
    rows = [el("li", item) for item in items]
    return el("ul", *rows, **attributes) if rows else Markup()


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[Content]],
    numeric: Iterable[int] = (),
    caption: str | None = None,
) -> Markup:
    """A table, or nothing where there are no rows.

    Args:
        head: column titles; a unit goes in the title.
        rows: as many contents as the head has.
        numeric: indices of columns that are set right-aligned.
        caption: shown above.
    """
    right = frozenset(numeric)

    def cells(tag: str, row: Sequence[Content]) -> Markup:
        kinds = ("n" if i in right else None for i in range(len(head)))
        pairs = zip(row, kinds, strict=True)
        return el("tr", *(el(tag, content, class_=kind) for content, kind in pairs))

    body = [cells("td", row) for row in rows]
    if not body:
        return Markup()
    title = el("caption", caption) if caption else ""
    whole = el("table", title, el("thead", cells("th", head)), el("tbody", *body))
    return el("div", whole, class_="scroll")
