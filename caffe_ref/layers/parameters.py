"""Layer parameters as JSON in param_str: checked, never evaluated."""

import json


def read(layer, required, optional):
    """The layer's param_str as a dict.

    required: {name: type}; optional: {name: default}, a given value must have the default's type (None takes any).
    Raises ValueError that names the layer, what was expected and what was found.
    """
    where = type(layer).__name__ + " param_str"
    try:
        given = json.loads(layer.param_str)
    except ValueError:
        raise ValueError(f"{where}: expected JSON, got {layer.param_str!r}") from None
    if not isinstance(given, dict):
        raise ValueError(f"{where}: expected a JSON object, got {layer.param_str!r}")
    missing = sorted(set(required) - set(given))
    unexpected = sorted(set(given) - set(required) - set(optional))
    if missing or unexpected:
        raise ValueError(f"{where}: missing {missing}, unexpected {unexpected}")
    kinds = {**required, **{k: type(v) for k, v in optional.items() if v is not None}}
    for name, kind in kinds.items():
        value = given.get(name)
        if name in given and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                continue
            raise ValueError(f"{where}: {name}: expected {kind.__name__}, got {value!r}")
        if name in given and kind is int and name != "seed" and value < 0:
            raise ValueError(f"{where}: {name}: expected a number of 0 or more, got {value}")
    return {**optional, **given}
