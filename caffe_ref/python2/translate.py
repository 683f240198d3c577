"""Translate Python 2 source to a code object: with lib2to3's fixers, our division and the file's line numbers."""

import ast
import io
import tokenize
from functools import cache
from lib2to3 import refactor
from lib2to3.pgen2.parse import ParseError
from lib2to3.pgen2.tokenize import TokenError

from caffe_ref.python2 import builtins2, division

# Most of these fixers only add imports of functions that builtins2 has.
LEFT_OUT = {
    "lib2to3.fixes.fix_" + name for name in ("reduce", "reload", "intern", "future", "buffer", "idioms", "ws_comma")
}
RELATIVE = "lib2to3.fixes.fix_import"  # only for files in a package
SORT = "__py2_sort__"


@cache
def _tool(package):
    """Return lib2to3's refactoring tool, for a file in a package or for a script."""
    names = set(refactor.get_fixers_from_package("lib2to3.fixes")) - LEFT_OUT
    return refactor.RefactoringTool(sorted(names if package else names - {RELATIVE}))


def decoded(data):
    """Decode source bytes by the coding line, as UTF-8 or as Latin-1 (Python 2 allowed any byte in strings)."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline) if _declares(data) else ("utf-8-sig", None)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n") + "\n"


def _declares(data):
    """Return whether the first two lines declare an encoding."""
    return any(b"coding" in line for line in data.split(b"\n", 2)[:2] if line.lstrip().startswith(b"#"))


def _original_lines(tree):
    """Return the file's line for each line of the translated text (both from 1).

    Leaves from the file keep their line number. Lines that consist of new leaves only get the number before them.
    """
    line_numbers, at = {}, 1
    for leaf in tree.leaves():
        at += leaf.prefix.count("\n")
        if leaf.lineno and leaf.value.strip():
            line_numbers.setdefault(at, leaf.lineno)
        at += leaf.value.count("\n")
    lines = [1]
    for line in range(1, at + 1):
        lines.append(line_numbers.get(line, lines[-1]))
    return lines


class _Sort(ast.NodeTransformer):
    """Replace items.sort(..) by our sort, with or without arguments, because items may have different types."""

    def visit_Call(self, node):
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "sort":
            arguments = [node.func.value, *node.args]
            return ast.copy_location(ast.Call(ast.Name(SORT, ast.Load()), arguments, node.keywords), node)
        return node


def _true_division(tree):
    """Return whether a module imports division from __future__."""
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(n.name == "division" for n in node.names)
        for node in tree.body
    )


def translate(source, filename, package=False):
    """Translate Python 2 source to a code object.

    Args:
        source: Bytes or text.
        filename: The file's name, for tracebacks and, if `package` is true, for implicit relative imports.
        package: Whether the file is a module of a package.

    Raises:
        SyntaxError: If the source is not valid; it has the file and the line.
    """
    text = decoded(source) if isinstance(source, bytes) else source.rstrip("\n") + "\n"
    try:
        tree = _tool(package).refactor_string(text, filename)
    except ParseError as error:
        line = error.context[1][0]
        raise SyntaxError(f"not Python 2: {error.msg}", (filename, line, None, None)) from None
    except TokenError as error:
        raise SyntaxError(f"not Python 2: {error.args[0]}", (filename, error.args[1][0], None, None)) from None
    original = _original_lines(tree)
    try:
        module = ast.parse(str(tree), filename)
    except SyntaxError as error:
        error.lineno = original[min(error.lineno or 1, len(original) - 1)]
        raise
    for transformer in [_Sort()] if _true_division(module) else [_Sort(), division.Division()]:
        module = transformer.visit(module)
    ast.fix_missing_locations(module)
    for node in ast.walk(module):
        for name in ("lineno", "end_lineno"):
            if getattr(node, name, None):
                setattr(node, name, original[getattr(node, name)])
    return compile(module, filename, "exec", dont_inherit=True)


def names():
    """Return the additional globals of translated code."""
    return {
        "__builtins__": {
            **builtins2.namespace(),
            division.DIVIDE: division.divide,
            division.IN_PLACE: division.divide_in_place,
            SORT: builtins2.sort,
        }
    }
