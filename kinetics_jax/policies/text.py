"""Policies as text: dictionaries for sample records, and calls such as ``topk(k=512)`` for flags."""

import ast
import dataclasses
from collections.abc import Mapping
from typing import Any

from kinetics_jax.checks import shown
from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.policies.base import Dense, Policy
from kinetics_jax.policies.blocks import BlockTopK, Quest, StridedBlockTopK
from kinetics_jax.policies.per_layer import PerLayer
from kinetics_jax.policies.tokens import RandomSelect, SlidingWindow, TopK
from kinetics_jax.policies.unknown import UnknownPolicy

_LONGEST = 1 << 16
"""Characters of a policy: some hundreds of layers."""
_BY_NAME: dict[str, type[Policy]] = {
    cls.name: cls
    for cls in (Dense, TopK, BlockTopK, StridedBlockTopK, SlidingWindow, Quest, RandomSelect, PerLayer)
}


def policy_to_dict(policy: Policy) -> dict[str, Any]:
    """``{"name": …, field: value, …}``, ready for JSON."""
    if isinstance(policy, UnknownPolicy):
        return policy.fields
    fields = {f.name: getattr(policy, f.name) for f in dataclasses.fields(policy)}
    if isinstance(policy, PerLayer):
        fields["layers"] = [policy_to_dict(layer) for layer in policy.layers]
    return {"name": policy.name, **fields}


def policy_from_dict(fields: Mapping[str, Any]) -> Policy:
    """The policy that ``policy_to_dict`` wrote.

    Raises:
      UnknownNameError: no policy of that name.
      InputError: fields the policy lacks or does not know, or values it refuses.
    """
    arguments = {key: value for key, value in fields.items() if key != "name"}
    name = str(fields.get("name", ""))
    if name not in _BY_NAME:
        raise UnknownNameError("policy", name, _BY_NAME)
    known = [field.name for field in dataclasses.fields(_BY_NAME[name])]
    if name == PerLayer.name and isinstance(arguments.get("layers"), list | tuple):
        arguments["layers"] = tuple(
            policy_from_dict(layer) if isinstance(layer, Mapping) else layer for layer in arguments["layers"]
        )
    try:
        return _BY_NAME[name](**arguments)
    except TypeError:
        raise InputError(f"policy {name} takes ({', '.join(known)}), got ({', '.join(arguments)})") from None


def policy_from_stored(value: object) -> Policy:
    """The policy of a stored record: what ``policy_to_dict`` wrote, or a text as ``parse_policy`` reads.

    Reading needs no policy's class: a name, or a field of a name, that is not known here is kept as data
    (``UnknownPolicy``), and refused where it is run or priced.

    Raises:
      InputError: neither object nor text, without a name, or with values that a known policy refuses.
    """
    if isinstance(value, str):
        try:
            return parse_policy(value)
        except UnknownNameError:
            return UnknownPolicy.of({"name": value})
    name = value.get("name") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(name, str) or not name:
        raise InputError(f"policy={value!r} must be an object with a name, or a text such as dense")
    try:
        known = [field.name for field in dataclasses.fields(_BY_NAME[name])]
        if set(value) <= {"name", *known}:
            return policy_from_dict(value)
    except KeyError:  # an UnknownNameError, of a policy in a list, is one too
        pass
    return UnknownPolicy.of(value)


def parse_policy(text: str) -> Policy:
    """The policy that a flag names: ``dense``, ``topk(k=512)``, ``block_topk(16, 64, local=32)``.

    ``per_layer([dense, topk(k=512)])`` names one for each layer.

    Raises:
      InputError: text that is not of that form, or as ``policy_from_dict``.
    """
    try:
        if not isinstance(text, str) or len(text) > _LONGEST:
            raise ValueError
        return _policy_of(ast.parse(text.strip(), mode="eval").body)
    # MemoryError is what the parser says of too many brackets, TypeError ast of what cannot be a key.
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"policy {shown(text)} is not of the form name(field=value, …), such as topk(k=512)"
        ) from None


def _policy_of(node: ast.expr) -> Policy:
    if isinstance(node, ast.Name):
        return policy_from_dict({"name": node.id})
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError
    name, values = node.func.id, [_value_of(value) for value in node.args]
    named = {str(pair.arg): _value_of(pair.value) for pair in node.keywords}
    order = _argument_order(name)
    if len(values) > len(order):
        raise InputError(f"policy {name} takes at most {len(order)} values by position: {order}")
    return policy_from_dict({"name": name, **dict(zip(order, values, strict=False)), **named})


def _value_of(node: ast.expr) -> Any:
    """A literal, or a list of policies."""
    if isinstance(node, ast.List | ast.Tuple) and node.elts:
        return tuple(_policy_of(item) for item in node.elts)
    return ast.literal_eval(node)


def _argument_order(name: str) -> list[str]:
    if name not in _BY_NAME:
        raise UnknownNameError("policy", name, _BY_NAME)
    return [f.name for f in dataclasses.fields(_BY_NAME[name]) if not f.kw_only]
