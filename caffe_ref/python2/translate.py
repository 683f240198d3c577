"""Python 2 source to a code object of this Python: lib2to3's grammar, our division, the file's own line numbers."""

import ast
import io
import tokenize
from functools import cache
from lib2to3 import refactor
from lib2to3.pgen2.parse import ParseError
from lib2to3.pgen2.tokenize import TokenError

from caffe_ref.python2 import builtins2, division

# These only add imports for what builtins2 has; `import` needs a package around the file.
LEFT_OUT = {
    "lib2to3.fixes.fix_" + name for name in ("reduce", "reload", "intern", "future", "buffer", "idioms", "ws_comma")
}
RELATIVE = "lib2to3.fixes.fix_import"
SORT = "__py2_sort__"


@cache
def _tool(package):
    names = set(refactor.get_fixers_from_package("lib2to3.fixes")) - LEFT_OUT
    return refactor.RefactoringTool(sorted(names if package else names - {RELATIVE}))


def decoded(data):
    """Source bytes -> text, by its coding line, else UTF-8, else Latin-1 (Python 2 took any byte in a string)."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline) if _declares(data) else ("utf-8-sig", None)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n") + "\n"


def _declares(data):
    return any(b"coding" in line for line in data.split(b"\n", 2)[:2] if line.lstrip().startswith(b"#"))


def _original_lines(tree):
    """Line of the file for each line of the translated text (both from 1): a leaf of the file keeps its number, a new
    one has none, and a line of new leaves only belongs to the line before it."""
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
    """items.sort(..) with arguments, or without: the list may hold unlike types."""

    def visit_Call(self, node):
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "sort":
            arguments = [node.func.value, *node.args]
            return ast.copy_location(ast.Call(ast.Name(SORT, ast.Load()), arguments, node.keywords), node)
        return node


def _true_division(tree):
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(n.name == "division" for n in node.names)
        for node in tree.body
    )


def translate(source, filename, package=False):
    """Python 2 source (bytes or text) -> code object.

    filename: for tracebacks, and where implicit relative imports are looked for when `package` is true.
    Raises SyntaxError with file and line.
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
    """What translated code finds besides its own names."""
    return {
        "__builtins__": {
            **builtins2.namespace(),
            division.DIVIDE: division.divide,
            division.IN_PLACE: division.divide_in_place,
            SORT: builtins2.sort,
        }
    }
