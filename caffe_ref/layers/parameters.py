"""Layer parameters as JSON in param_str; they are checked, never evaluated."""

import json


def read(layer, required, optional):
    """Parse a layer's param_str.

    Args:
        layer: The layer.
        required: {name: type}.
        optional: {name: default}. A value must have the type of its default; with the default None it may have any.

    Returns:
        {name: value}, with defaults filled in.

    Raises:
        ValueError: If the parameters do not fit. The message names the layer, the expected and the actual value.
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
    types = {**required, **{k: type(v) for k, v in optional.items() if v is not None}}
    for name, expected in types.items():
        value = given.get(name)
        if name in given and (not isinstance(value, expected) or (expected is int and isinstance(value, bool))):
            if expected is float and isinstance(value, int) and not isinstance(value, bool):
                continue
            raise ValueError(f"{where}: {name}: expected {expected.__name__}, got {value!r}")
        if name in given and expected is int and name != "seed" and value < 0:
            raise ValueError(f"{where}: {name}: expected a number of 0 or more, got {value}")
    return {**optional, **given}
