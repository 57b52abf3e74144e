"""Which lines faults are drawn from, what replacement of them, and where they are found again.

All on sources that are made here: a test that looked for the faults in vae_tf would fail where one is plant, and
catch every fault.
"""

import ast
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from scripts.plant_faults.copies import Copy
from scripts.plant_faults.faults import Fault, LostError, draw, excluded_keys, locate, plant, read_faults, write_faults
from scripts.plant_faults.report import build_table, describe_change
from scripts.plant_faults.sites import find_scopes, find_sites, statement_lines
from scripts.plant_faults.trials import (
    Result,
    find_covering_tests,
    find_own_tests,
    read_results,
    try_faults,
    write_results,
)

MODULE = '''
LIMIT = 3


class Scale:
    """Of 2 numbers."""

    factor: int = 2

    def times(self, x, start: Literal[1] = 1):
        """Adds 5."""
        if x < 0:
            raise ValueError(f"x must be at least {0}: {x - 1}", 7)
        self.log(x)
        return -x * self.factor + start
'''


def made(body):
    """What the lines of a function may become, by kind."""
    source = "def f(a, b, c):\n" + textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n"
    found = find_sites(source)
    for site in found:
        lines = source.split("\n")
        lines[site.number - 1] = site.replacement
        assert ast.dump(ast.parse("\n".join(lines))) != ast.dump(ast.parse(source))
    return [(site.kind, site.replacement.strip()) for site in found]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<", "<="),
        ("<=", "<"),
        (">", ">="),
        (">=", ">"),
        ("==", "!="),
        ("!=", "=="),
        ("is", "is not"),
        ("is not", "is"),
        ("in", "not in"),
        ("not in", "in"),
    ],
)
def test_comparison_is_flipped(old, new):
    assert made(f"return (a) {old} (b)") == [("comparison", f"return (a) {new} (b)")]


def test_each_operator_of_a_chain_is_one_site():
    assert made("return a < b <= c") == [("comparison", "return a < b < c"), ("comparison", "return a <= b <= c")]


@pytest.mark.parametrize(
    ("old", "new"), [("+", "-"), ("-", "+"), ("*", "/"), ("/", "*"), ("//", "*"), ("%", "//"), ("**", "*")]
)
def test_arithmetic_is_another(old, new):
    assert made(f"return a {old} b") == [("operator", f"return a {new} b")]
    assert made(f"a {old}= b") == [("operator", f"a {new}= b")]


def test_sign_is_lost():
    assert made("return a(-b)") == [("operator", "return a(b)")]


@pytest.mark.parametrize("joined", ['a + "b"', 'a / f"{b}" / c', "[a] + b", '"%s" % a', 'a + ("b" + c)'])
def test_what_joins_is_no_arithmetic(joined):
    assert made(f"return {joined}") == []


def test_operator_behind_text_of_several_bytes_and_on_a_line_of_its_own():
    assert made('return a("ä±", b + c)') == [("operator", 'return a("ä±", b - c)')]
    assert made("return (\n    a\n    + b  # + of both\n)") == [("operator", "- b  # + of both")]


@pytest.mark.parametrize(("old", "new"), [("3", "4"), ("0.5", "1.5"), ("True", "False"), ("False", "True")])
def test_constant_is_another(old, new):
    assert made(f"return a(b, axis={old})") == [("constant", f"return a(b, axis={new})")]


def test_call_is_dropped():
    assert made("a(b)") == [("call", "pass")]
    assert made("a(\n    b,\n)") == [("call", "False and a(")]


def test_branch_is_skipped():
    assert made("if a:\n    b = c\nelif (b or c):  # x: y\n    a = c") == [
        ("branch", "if False:"),
        ("branch", "elif False:  # x: y"),
    ]


def test_messages_and_what_types_alone_see_are_passed_over():
    assert made('raise ValueError("a", 1 + 2)') == []
    assert made('return f"{a + 1:.2f}"') == []
    assert made("if TYPE_CHECKING:\n    a(1)") == []
    assert made("a: Literal[1] = b") == []


def test_only_bodies_of_functions_have_sites_and_tell_their_name():
    assert [(site.name, site.kind, site.replacement.strip()) for site in find_sites(MODULE)] == [
        ("Scale.times", "branch", "if False:"),
        ("Scale.times", "comparison", "if x <= 0:"),
        ("Scale.times", "constant", "if x < 1:"),
        ("Scale.times", "call", "pass"),
        ("Scale.times", "operator", "return -x * self.factor - start"),
        ("Scale.times", "operator", "return -x / self.factor + start"),
        ("Scale.times", "operator", "return x * self.factor + start"),
    ]


def test_scopes_of_one_name_have_their_lines_together():
    source = "class A:\n    @property\n    def b(self):\n        a()\n    @b.setter\n    def b(self, c):\n        c()\n"
    assert find_scopes(source) == {"A": {*range(1, 8)}, "A.b": {3, 4, 6, 7}}


def test_lines_of_a_statement():
    source = "def f(a):\n    if a(\n        1\n    ):\n        a = (\n            2\n        )\n    return 3\n"
    assert [statement_lines(source, number) for number in (3, 6, 8)] == [range(2, 5), range(5, 8), range(8, 9)]


@pytest.fixture
def tree(tmp_path):
    """A package with modules at the top level and in two subpackages."""
    for path, numbers in {"one.py": 6, "data/two.py": 2, "data/deep/three.py": 1, "model/four.py": 2}.items():
        file = tmp_path / "vae_tf" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"    a = {number}" for number in range(numbers)]
        file.write_text("\n".join([f"def {file.stem}():", *lines, ""]))
    return tmp_path


def test_draw_takes_two_in_every_room_and_the_same_from_the_same_seed(tree):
    drawn = draw(tree, 1, 7)
    assert [fault.id for fault in drawn] == [f"f{number:02}" for number in range(1, 8)]
    assert [fault.subpackage for fault in drawn if fault.subpackage != "root"].count("model") == 2
    assert [fault.subpackage for fault in drawn].count("data") >= 2
    assert drawn == draw(tree, 1, 7)
    assert drawn != draw(tree, 2, 7)


def test_too_many_faults_can_not_be_drawn(tree):
    with pytest.raises(ValueError, match="can't draw 12 faults from 11 lines in 3 subpackages"):
        draw(tree, 1, 12)


def test_excluded_fault_is_replaced_and_the_others_stay(tree, tmp_path):
    file = tmp_path / "faults.json"
    drawn = draw(tree, 1, 8)
    left_out = next(fault for fault in drawn if fault.subpackage == "root")
    write_faults(file, {"seed": 1}, [{**vars(left_out), "reason": "it is the same"}], drawn)
    read_again, excluded = read_faults(file)
    assert read_again == drawn
    anew = draw(tree, 1, 8, excluded_keys(excluded))
    keys = {fault.key for fault in drawn}
    assert keys - {fault.key for fault in anew} == {left_out.key}
    assert len({fault.key for fault in anew} - keys) == 1


def test_exclusion_needs_a_reason(tree):
    with pytest.raises(ValueError, match="needs a reason"):
        excluded_keys([vars(draw(tree, 1, 6)[0])])


SUM = Fault("f01", "data", "vae_tf/data/sums.py", "Sums.total", "operator", "a = a + b", 2, "a = a - b")
SOURCE = """class Sums:
    def mean(self, a, b):
        a = a + b
    def total(self, a, b):
        a = a + b
        if a:
            a = a + b
"""


def test_fault_is_planted_on_its_line_alone():
    assert plant(SOURCE, SUM) == "a = a - b".join(SOURCE.rsplit("a = a + b", 1))


def test_fault_that_is_not_there_or_changes_nothing_or_is_no_python_is_refused():
    with pytest.raises(LostError):
        plant(SOURCE.replace("total", "sum"), SUM)
    with pytest.raises(ValueError, match="changes nothing"):
        plant(SOURCE, Fault(**{**vars(SUM), "replacement": "a = (a + b)"}))
    with pytest.raises(SyntaxError):
        plant(SOURCE, Fault(**{**vars(SUM), "replacement": "a = a +"}))


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["vae_tf/data/sums.py", "vae_tf/sums.py"], "vae_tf/data/sums.py"),
        (["vae_tf/reading/totals.py"], "vae_tf/reading/totals.py"),
    ],
)
def test_fault_is_found_where_it_was_or_where_its_file_went(tmp_path, files, found):
    _write(tmp_path, files)
    assert locate(tmp_path, SUM) == found


@pytest.mark.parametrize(
    ("files", "told"), [([], "is in no file"), (["vae_tf/a.py", "vae_tf/b.py"], r"in \['vae_tf/a.py', 'vae_tf/b.py'\]")]
)
def test_fault_is_lost_where_it_is_nowhere_or_at_two_places(tmp_path, files, told):
    _write(tmp_path, files)
    with pytest.raises(LostError, match=told):
        locate(tmp_path, SUM)


def test_own_tests_are_the_mirror_then_the_room(tmp_path):
    subpackage = ["tests/data/test_a.py", "tests/data/deep/test_b.py", "tests/test_data.py", "tests/data/replicas.py"]
    _write(tmp_path, [*subpackage, "tests/test_root.py", "tests/data/test_main.py"])
    everything = ["tests/data/deep/test_b.py", "tests/data/test_a.py", "tests/data/test_main.py", "tests/test_data.py"]
    assert find_own_tests(tmp_path, "vae_tf/data/deep/b.py") == everything
    assert find_own_tests(tmp_path, "vae_tf/data/__main__.py") == sorted(
        everything, key=lambda name: "main" not in name
    )
    assert find_own_tests(tmp_path, "vae_tf/root.py") == ["tests/test_root.py"]
    assert find_own_tests(tmp_path, "vae_tf/other.py") == []


def test_tests_that_run_a_line_are_read_from_what_coverage_recorded(tmp_path):
    data = tmp_path / ".coverage"
    recorded = {
        "": ("/tree/vae_tf/a.py", [9]),
        "tests/x.py::one[a|b]|run": ("/tree/vae_tf/a.py", [9]),
        "tests/x.py::two|setup": ("/tree/vae_tf/a.py", [9, 10]),
        "tests/x.py::two|run": ("/tree/vae_tf/a.py", [9]),
        "tests/x.py::three|run": ("/tree/vae_tf/a.py", [1, 8]),
        "tests/x.py::four|run": ("/tree/vae_tf/data/a.py", [9]),
    }
    _record(data, recorded)
    assert find_covering_tests(data, "vae_tf/a.py", range(9, 10)) == ["tests/x.py::one[a|b]", "tests/x.py::two"]
    assert find_covering_tests(data, "vae_tf/a.py", range(10, 12)) == ["tests/x.py::two"]
    assert find_covering_tests(data, "vae_tf/a.py", range(40, 41)) == []


def _record(data, recorded):
    """Writes lines as coverage.py does, a bit for each, by the context and the file."""
    database = sqlite3.connect(data)
    database.execute("CREATE TABLE file (id, path)")
    database.execute("CREATE TABLE context (id, context)")
    database.execute("CREATE TABLE line_bits (file_id, context_id, numbits)")
    for number, (context, (path, lines)) in enumerate(recorded.items()):
        bits = sum(1 << line for line in lines).to_bytes(8, "little")
        database.execute("INSERT INTO file VALUES (?, ?)", (number, path))
        database.execute("INSERT INTO context VALUES (?, ?)", (number, context))
        database.execute("INSERT INTO line_bits VALUES (?, ?, ?)", (number, number, bits))
    database.commit()
    database.close()


LEVELS = """
import time

def level(a, b):
    while b < 0:
        time.sleep(0.1)
    return a < b

def told(a):
    print(a)

START = level(0, 1)
"""
TESTS = {
    "tests/test_levels.py": """
from vae_tf.levels import level

def test_broken():
    assert level(1, 1) is None

def test_larger():
    assert level(1, 2)
""",
    "tests/test_equals.py": """
from vae_tf.levels import level, told

def test_equal():
    assert not level(1, 1)

def test_equal_again():
    assert not level(0, 0)

def test_told():
    told(1)
""",
}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Tries some faults in a small tree, whose only subpackage has a test that is broken; returns the results by id."""
    tree = tmp_path / "tree"
    files = {"vae_tf/__init__.py": "", "vae_tf/levels.py": LEVELS, **TESTS, "pyproject.toml": "[tool.pytest]\n"}
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    subprocess.run(["git", "init", "--quiet", tree], check=True)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # which takes seconds to load them

    def tried(*faults, contexts=None, seconds=60.0):
        copy = Copy(tree, tmp_path / "copy", Path(sys.executable), seconds)
        try_faults(faults, [copy], contexts, tmp_path / "results.json")
        assert (copy.root / "vae_tf" / "levels.py").read_text() == LEVELS
        return {result.id: result for result in read_results(tmp_path / "results.json")}

    return tried


def _of_levels(number, name, line, replacement):
    return Fault(number, "root", "vae_tf/levels.py", name, "", line, 1, replacement)


def test_fault_is_caught_by_a_test_that_passes_without_it(results):
    always = _of_levels("f01", "level", "return a < b", "return not a < b")
    found = results(always)["f01"]
    assert (found.outcome, found.stage, found.how, found.path) == (
        "caught",
        "subpackage",
        "failing",
        "vae_tf/levels.py",
    )
    assert (found.test, found.why) == ("tests/test_levels.py::test_larger", "assert False")
    assert found.baseline_failures == ["tests/test_levels.py::test_broken"]


@pytest.mark.slow
def test_other_tests_follow_and_what_is_written_is_not_tried_again(results, tmp_path):
    at_equal = _of_levels("f01", "level", "return a < b", "return a <= b")
    silent = _of_levels("f02", "told", "print(a)", "pass")
    gone = _of_levels("f03", "told", "print(b)", "pass")
    tried_before = Result("f04", "", "survived", baseline_failures=[])
    write_results(tmp_path / "results.json", [tried_before])
    found = results(at_equal, silent, gone, _of_levels("f04", "level", "return a < b", "return False"))
    assert (found["f01"].stage, found["f01"].test) == ("all", "tests/test_equals.py::test_equal")
    assert (found["f02"].outcome, found["f02"].test) == ("survived", "")
    assert (found["f03"].outcome, found["f03"].why[:6]) == ("lost", "lost: ")
    assert found["f04"] == tried_before


@pytest.mark.slow
def test_tests_that_run_the_line_come_before_the_others(results, tmp_path):
    number = LEVELS.split("\n").index("    return a < b") + 1
    _record(tmp_path / ".coverage", {"tests/test_equals.py::test_equal_again|run": ("/vae_tf/levels.py", [number])})
    at_equal = _of_levels("f01", "level", "return a < b", "return a <= b")
    found = results(at_equal, contexts=tmp_path / ".coverage")["f01"]
    assert (found.stage, found.test) == ("line", "tests/test_equals.py::test_equal_again")


@pytest.mark.slow
def test_fault_is_caught_by_a_test_that_hangs(results):
    found = results(_of_levels("f01", "level", "while b < 0:", "while b > 1:"), seconds=4.0)["f01"]
    assert (found.how, found.test) == ("hanging", "tests/test_levels.py::test_larger")


def test_fault_is_caught_by_tests_that_crash_or_can_not_be_imported(results):
    crashing = _of_levels("f01", "level", "return a < b", "import os; os._exit(3)")
    raising = _of_levels("f02", "level", "return a < b", "return a.b")
    found = results(crashing, raising)
    assert (found["f01"].how, found["f01"].test, found["f01"].why[:20]) == ("crashing", "", "pytest exited with 3")
    assert (found["f02"].how, found["f02"].test) == ("failing", "tests/test_levels.py")
    assert found["f02"].why == "AttributeError: 'int' object has no attribute 'b'"


def test_change_of_a_long_line_shows_what_is_around():
    line = "x" * 50 + "(a < b)" + "y" * 50
    fault = Fault(**{**vars(SUM), "line": line, "replacement": line.replace("<", "<=")})
    assert describe_change(fault) == f"`...{'x' * 20}(a < b){'y' * 21}...` -> `...{'x' * 20}(a <= b){'y' * 21}...`"
    assert describe_change(SUM) == "`a = a + b` -> `a = a - b`"


def test_table_has_a_row_for_each_fault_and_counts(tmp_path):
    before = [
        Result("f01", SUM.path, "caught", "subpackage", "failing", "tests/x.py::a[b|c]", "assert 1 == 2"),
        Result("f02", SUM.path, "survived"),
    ]
    write_results(tmp_path / "before.json", before[::-1])
    assert read_results(tmp_path / "before.json") == [
        Result(**{**vars(each), "baseline_failures": []}) for each in before
    ]
    faults = [SUM, Fault(**{**vars(SUM), "id": "f02"}), Fault(**{**vars(SUM), "id": "f03"})]
    lines = build_table(faults, {"by": {result.id: result for result in before}}).split("\n")
    assert lines[0] == "| id | subpackage | function | kind | change | by |"
    start = "data | vae_tf/data/sums.py:Sums.total | operator | `a = a + b` -> `a = a - b` |"
    assert lines[2:5] == [
        rf"| f01 | {start} tests/x.py::a[b\|c] (subpackage) |",
        f"| f02 | {start} **survived** |",
        f"| f03 | {start} not tested |",
    ]
    assert lines[-1].startswith("- by: 1 of 2, 1 by tests of its subpackage, ")
    assert lines[-1].endswith("1 survived, 0 lost")


def _write(tree, paths):
    (tree / "vae_tf").mkdir()
    for path in paths:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(SOURCE)
