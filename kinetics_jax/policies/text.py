"""Policies as text: dictionaries for sample records, and calls such as ``topk(k=512)`` for flags."""

import ast
import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

from kinetics_jax import references
from kinetics_jax.checks import shown
from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.policies.base import LATER, Policy, fields_that_say, registry
from kinetics_jax.policies.per_layer import PerLayer
from kinetics_jax.policies.unknown import CLASS, UnknownPolicy

ENTRY_POINTS = "kinetics_jax.policies"
"""Group in which an installed package offers policies, each under its ``name``."""
_LONGEST = 1 << 16
"""Characters of a policy: some hundreds of layers."""


def find_policy(name: str) -> type[Policy]:
    """The class of that name, or that reference (``my_file.py:MyPolicy``), imported if need be.

    Raises:
      UnknownNameError: no policy of that name.
      InputError: a reference to what is not there, or is no policy.
    """
    if references.is_reference(name):
        found = references.load(name, "policy")
    else:
        found = registry.get(name) or references.entry_point(ENTRY_POINTS, name)
    if found is None:
        raise UnknownNameError("policy", name, registry)
    if not (isinstance(found, type) and issubclass(found, Policy) and registry.get(found.name) is found):
        raise InputError(f"policy {name} is no policy: make it a dataclass of Policy with a name of its own")
    return found


def policy_to_dict(policy: Policy) -> dict[str, Any]:
    """``{"name": …, field: value, …}``, ready for JSON: equal for equal policies, wherever they come from.

    ``min_context`` is there where it is set: without it the form is the one from before there was any.
    """
    if isinstance(policy, UnknownPolicy):
        return policy.fields
    fields = {f.name: getattr(policy, f.name) for f in fields_that_say(policy)}
    if isinstance(policy, PerLayer):
        fields["layers"] = [policy_to_dict(layer) for layer in policy.layers]
    return {"name": policy.name, **fields}


def policy_to_stored(policy: Policy) -> dict[str, Any]:
    """``policy_to_dict`` with, for a class that is not this library's, its reference as ``class``."""
    if isinstance(policy, UnknownPolicy):
        return policy.written
    fields = policy_to_dict(policy)
    if isinstance(policy, PerLayer):
        fields["layers"] = [policy_to_stored(layer) for layer in policy.layers]
    place = references.reference_of(type(policy))
    return fields | {CLASS: place} if place else fields


def policy_from_dict(fields: Mapping[str, Any]) -> Policy:
    """The policy that ``policy_to_dict`` or ``policy_to_stored`` wrote.

    Nothing is imported from where ``class`` says: a record is data.

    Raises:
      UnknownNameError: no policy of that name.
      InputError: fields the policy lacks or does not know, or values it refuses.
    """
    return _made(find_policy(str(fields.get("name", ""))), fields)


def _made(cls: type[Policy], fields: Mapping[str, Any]) -> Policy:
    arguments = {key: value for key, value in fields.items() if key not in ("name", CLASS)}
    if issubclass(cls, PerLayer) and isinstance(arguments.get("layers"), list | tuple):
        arguments["layers"] = tuple(
            policy_from_dict(layer) if isinstance(layer, Mapping) else layer for layer in arguments["layers"]
        )
    known = [field.name for field in sorted(dataclasses.fields(cls), key=lambda f: f.metadata == LATER)]
    if set(arguments) - set(known) or any(name not in arguments for name in _required(cls)):
        raise InputError(f"policy {cls.name} takes ({', '.join(known)}), got ({', '.join(arguments)})")
    return cls(**arguments)


def _required(cls: type[Policy]) -> list[str]:
    missing = dataclasses.MISSING
    return [
        field.name
        for field in dataclasses.fields(cls)
        if field.default is missing and field.default_factory is missing
    ]


def policy_from_stored(value: object) -> Policy:
    """The policy of a stored record: what ``policy_to_stored`` wrote, or a text as ``parse_policy`` reads.

    Reading needs no policy's class: a name, or a field of a name, that is not known here is kept as data
    (``UnknownPolicy``), and refused where it is run or priced.

    Raises:
      InputError: neither object nor text, without a name, or with values that a known policy refuses.
    """
    if isinstance(value, str):
        return _stored_text(value)
    name = value.get("name") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(name, str) or not name:
        raise InputError(f"policy={value!r} must be an object with a name, or a text such as dense")
    try:
        known = [field.name for field in dataclasses.fields(find_policy(name))]
        if set(value) <= {"name", CLASS, *known}:
            return policy_from_dict(value)
    except UnknownNameError:  # maybe of a policy in a list
        pass
    return UnknownPolicy.of(value)


def _stored_text(text: str) -> Policy:
    place, node = _syntax(text)
    try:
        if not place:  # which a log may name, and reading it imports nothing
            return _policy_of(node)
    except UnknownNameError:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            with contextlib.suppress(ValueError):  # values that are no literals stay text
                fields = {str(pair.arg): ast.literal_eval(pair.value) for pair in node.keywords}
                return UnknownPolicy.of({"name": node.func.id, **fields})
    return UnknownPolicy.of({"name": text})


def parse_policy(text: str) -> Policy:
    """The policy that a flag names: ``dense``, ``topk(k=512)``, ``block_topk(16, 64, local=32)``.

    ``my_file.py:MyPolicy(stride=3)`` and ``package.module:MyPolicy(3)`` are policies of one's own;
    ``per_layer([dense, topk(k=512)])`` names one for each layer.

    Raises:
      InputError: text that is not of that form, or as ``find_policy`` and ``policy_from_dict``.
    """
    place, node = _syntax(text)
    return _policy_of(node, place)


def _syntax(text: str) -> tuple[str, ast.Call]:
    """(file or module of a reference, else empty; the call). Raises ``InputError`` for all else."""
    try:
        if not isinstance(text, str) or len(text) > _LONGEST:
            raise ValueError
        place, _, call = text.partition(":") if references.is_reference(text) else ("", "", text)
        return place.strip(), _call(ast.parse(call.strip(), mode="eval").body)
    # MemoryError is what the parser says of too many brackets, TypeError ast of what cannot be a key.
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise InputError(
            f"policy {shown(text)} is not of the form name(field=value, …), such as topk(k=512), or "
            "my_file.py:MyPolicy(field=value, …)"
        ) from None


def _call(node: ast.expr) -> ast.Call:
    """``node`` as a call whose arguments are literals, or lists of calls; ``ValueError`` for all else."""
    if isinstance(node, ast.Name):
        node = ast.Call(node, [], [])
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError
    for holder in (node.args, *([pair.value] for pair in node.keywords)):
        for value in holder:
            if isinstance(value, ast.List | ast.Tuple) and value.elts:
                value.elts = [e if isinstance(e, ast.Dict) else _call(e) for e in value.elts]
            else:
                ast.literal_eval(value)
    return node


def _policy_of(call: ast.Call, place: str = "") -> Policy:
    assert isinstance(call.func, ast.Name)
    cls = find_policy(f"{place}:{call.func.id}" if place else call.func.id)
    values = [_value_of(value) for value in call.args]
    named = {str(pair.arg): _value_of(pair.value) for pair in call.keywords}
    order = [f.name for f in dataclasses.fields(cls) if not f.kw_only]
    if len(values) > len(order):
        raise InputError(f"policy {cls.name} takes at most {len(order)} values by position: {order}")
    return _made(cls, {**dict(zip(order, values, strict=False)), **named})


def _value_of(node: ast.expr) -> Any:
    """A literal, or a list of policies."""
    if isinstance(node, ast.List | ast.Tuple) and node.elts:
        return tuple(_policy_of(e) if isinstance(e, ast.Call) else ast.literal_eval(e) for e in node.elts)
    return ast.literal_eval(node)
