"""Python 2's `/`, which divides integers to an integer: replaced in the syntax tree, decided by type at run time."""

import ast

import numpy as np

DIVIDE, IN_PLACE = "__py2_divide__", "__py2_divide_in_place__"
_WHOLE = "biu"  # numpy's dtype kinds: bool, signed, unsigned


def _method(value, name):
    """Return a method of the value's class, as Python looks up operators, or None."""
    method = getattr(type(value), name, None)
    return None if method is None else method.__get__(value)


def _tried(pairs):
    """Return the first result that is not NotImplemented from (value, method name, other) triples."""
    for value, name, other in pairs:
        method = _method(value, name)
        if method is not None:
            result = method(other)
            if result is not NotImplemented:
                return result
    return NotImplemented


def _arrays(a, b):
    """Return whether one of the operands is numpy's."""
    return isinstance(a, (np.ndarray, np.generic)) or isinstance(b, (np.ndarray, np.generic))


def _ufunc(a, b):
    """Return numpy's function for a / b under Python 2."""
    kinds = np.asarray(a).dtype.kind + np.asarray(b).dtype.kind
    if "O" in kinds:
        return np.frompyfunc(divide, 2, 1)
    return np.floor_divide if set(kinds) <= set(_WHOLE) else np.true_divide


def divide(a, b):
    """Return a / b as Python 2 computes it."""
    if isinstance(a, int) and isinstance(b, int):  # includes bool and long
        return a // b
    if _arrays(a, b):
        return _ufunc(a, b)(a, b)
    result = _tried([(a, "__div__", b), (b, "__rdiv__", a)])
    return a / b if result is NotImplemented else result


def divide_in_place(a, b):
    """Return the new value of a after a /= b under Python 2; an array is changed in place."""
    if isinstance(a, np.ndarray):
        function = _ufunc(a, b)
        if isinstance(function, np.ufunc) and a.dtype.kind != "O":
            return function(a, b, out=a, casting="same_kind")
        a[...] = function(a, b)
        return a
    result = _tried([(a, "__idiv__", b)])
    if result is NotImplemented and type(a).__module__ != "builtins" and hasattr(type(a), "__itruediv__"):
        a /= b
        return a
    return divide(a, b) if result is NotImplemented else result


class Division(ast.NodeTransformer):
    """Replace a / b and a /= b by calls of the functions above; a target is evaluated once."""

    def visit_BinOp(self, node):
        self.generic_visit(node)
        return self._call(DIVIDE, node.left, node.right, node) if isinstance(node.op, ast.Div) else node

    def _call(self, name, left, right, at):
        """Return a call node at the position of `at`."""
        return ast.copy_location(ast.Call(ast.Name(name, ast.Load()), [left, right], []), at)

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            return node
        target, before = node.target, []

        def once(value):
            """Assign a value to a new temporary name; return the node that reads it."""
            name = f"__py2_target_{len(before)}__"
            before.append(ast.Assign([ast.Name(name, ast.Store())], value))
            return ast.Name(name, ast.Load())

        if isinstance(target, ast.Name):
            read, write = (ast.Name(target.id, context) for context in (ast.Load(), ast.Store()))
        elif isinstance(target, ast.Attribute):
            owner = once(target.value)
            read, write = (ast.Attribute(owner, target.attr, context) for context in (ast.Load(), ast.Store()))
        else:
            owner, index = once(target.value), once(_index(target.slice))
            read, write = (ast.Subscript(owner, index, context) for context in (ast.Load(), ast.Store()))
        result = self._call(IN_PLACE, read, node.value, node)
        after = [ast.Delete([ast.Name(statement.targets[0].id, ast.Del()) for statement in before])] if before else []
        return [ast.copy_location(statement, node) for statement in (*before, ast.Assign([write], result), *after)]


def _index(node):
    """Return a subscript as an expression: a slice becomes a call of slice()."""
    if isinstance(node, ast.Slice):
        parts = [part or ast.Constant(None) for part in (node.lower, node.upper, node.step)]
        return ast.Call(ast.Name("slice", ast.Load()), parts, [])
    if isinstance(node, ast.Tuple):
        return ast.Tuple([_index(element) for element in node.elts], ast.Load())
    return node
