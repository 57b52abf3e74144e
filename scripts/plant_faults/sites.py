"""Finds where a fault can be planted: lines of function bodies, and their possible replacements."""

import ast
import functools
import io
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
}
# With one of these operands, an operator concatenates, formats or repeats; replacing it would only raise a TypeError.
SEQUENCES = (ast.JoinedStr, ast.List, ast.Tuple, ast.ListComp, ast.Dict)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Site(NamedTuple):
    """A line that can be replaced.

    Attributes:
        name: Qualified name of the function that contains the line, such as `Class.method`.
        number: Number of the line.
        kind: Kind of the fault.
        replacement: The whole line with the fault in it.
    """

    name: str
    number: int
    kind: str
    replacement: str


def find_sites(source: str) -> list[Site]:
    """Returns all sites in a module, in the order of their lines."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    return sorted(finder.found, key=lambda site: (site.number, site.kind, site.replacement))


@functools.cache
def find_scopes(source: str) -> dict[str, set[int]]:
    """Returns the line numbers of every function and class, by its name.

    Definitions of the same name, such as a property and its setter, are merged.
    """
    found: dict[str, set[int]] = {}

    def enter(node: ast.AST, outer: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = outer
            if isinstance(child, DEFINITIONS):
                name = f"{outer}.{child.name}".lstrip(".")
                assert child.end_lineno is not None
                found.setdefault(name, set()).update(range(child.lineno, child.end_lineno + 1))
            enter(child, name)

    enter(ast.parse(source), "")
    return found


def statement_lines(source: str, number: int) -> range:
    """Returns the lines of the smallest statement that contains a line; of a compound statement, only its header."""
    heads = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt):
            assert node.end_lineno is not None
            body = getattr(node, "body", None)
            heads.append(range(node.lineno, body[0].lineno if body else node.end_lineno + 1))
    return min((head for head in heads if number in head), key=len, default=range(number, number + 1))


class _Finder(ast.NodeVisitor):
    def __init__(self, source: str) -> None:
        self.found: list[Site] = []
        self._lines = source.split("\n")  # like ast; splitlines also splits at other characters
        self._tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
        self._names: list[str] = []
        self._is_in_function = False

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._names.append(node.name)
        self._visit_all(node.body)
        self._names.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        was_in_function, self._is_in_function = self._is_in_function, True
        self._names.append(node.name)
        self._visit_all(node.body)  # without decorators, defaults or annotations
        self._names.pop()
        self._is_in_function = was_in_function

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Skips messages and names."""

    def visit_Raise(self, node: ast.Raise) -> None:
        """Skips messages."""

    def visit_Assert(self, node: ast.Assert) -> None:
        self.visit(node.test)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test).endswith("TYPE_CHECKING"):
            self._visit_all(node.orelse)
            return
        if node.test.lineno == node.test.end_lineno == node.lineno:
            self._add_between("branch", *self._header(node), "False")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            begin = self._begin(node)
            if node.lineno == node.end_lineno:
                self._add_between("call", begin, self._end(node), "pass")
            else:  # a fault changes only one line
                self._add_between("call", begin, begin, "False and ")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            self._add_operator("comparison", left, right, *COMPARISONS[type(operator)])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in OPERATORS and not _has_sequence_operand(node):
            self._add_operator("operator", node.left, node.right, *OPERATORS[type(node.op)])
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if type(node.op) in OPERATORS and not _is_sequence(node.value):
            old, new = OPERATORS[type(node.op)]
            self._add_operator("operator", node.target, node.value, f"{old}=", f"{new}=")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.USub):
            line, column = self._begin(node)
            self._add_between("operator", (line, column), (line, column + 1), "")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._add_between("constant", self._begin(node), self._end(node), repr(not node.value))
        elif isinstance(node.value, int | float):
            self._add_between("constant", self._begin(node), self._end(node), repr(node.value + 1))

    def _visit_all(self, nodes: list[ast.stmt]) -> None:
        for node in nodes:
            self.visit(node)

    def _header(self, node: ast.If) -> tuple[tuple[int, int], tuple[int, int]]:
        """Returns the span from after `if` to before the colon, including any parentheses around the condition."""
        line, begin = self._begin(node)
        text = self._lines[line - 1]
        begin += len("elif " if text[begin:].startswith("elif ") else "if ")
        end = self._end(node.test)[1]
        return (line, begin), (line, text.index(":", end))

    def _add_operator(self, kind: str, left: ast.expr, right: ast.expr, old: str, new: str) -> None:
        """Finds the tokens of an operator between its operands, among any parentheses and line breaks."""
        begin, end, words = self._end(left), self._begin(right), old.split()
        between = [token for token in self._tokens if token.start >= begin and token.end <= end]
        for index in range(len(between)):
            tokens = between[index : index + len(words)]
            if [token.string for token in tokens] == words:
                self._add_between(kind, tokens[0].start, tokens[-1].end, new)
                return

    def _add_between(self, kind: str, begin: tuple[int, int], end: tuple[int, int], new: str) -> None:
        if self._is_in_function and begin[0] == end[0]:
            line = self._lines[begin[0] - 1]
            replacement = line[: begin[1]] + new + line[end[1] :]
            self.found.append(Site(".".join(self._names), begin[0], kind, replacement))

    def _begin(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        return self._in_characters(node.lineno, node.col_offset)

    def _end(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._in_characters(node.end_lineno, node.end_col_offset)

    def _in_characters(self, line: int, column: int) -> tuple[int, int]:
        """Converts a column in bytes, as ast counts it, to characters, as tokenize does."""
        return line, len(self._lines[line - 1].encode()[:column].decode())


def _has_sequence_operand(node: ast.BinOp) -> bool:
    return any(_is_sequence(operand) for operand in _operands(node))


def _is_sequence(node: ast.expr) -> bool:
    return isinstance(node, SEQUENCES) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def _operands(node: ast.expr) -> Iterator[ast.expr]:
    """Yields the operands of an operator; for nested operators, their operands instead."""
    if isinstance(node, ast.BinOp):
        yield from _operands(node.left)
        yield from _operands(node.right)
    else:
        yield node
