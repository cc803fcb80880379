"""The evaluation stays in small parts: what has grown past them is taken apart."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import langchain_rerank.evaluation

FOLDER = Path(langchain_rerank.evaluation.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))
LINES, FUNCTION, ROOMS = 300, 60, 12


def test_no_file_is_longer_than_one_job_takes():
    lengths = {str(one.relative_to(FOLDER)): len(one.read_text().splitlines()) for one in FILES}
    assert {name: n for name, n in lengths.items() if n > LINES} == {}


def test_no_function_is_longer_than_a_screen():
    found = {
        f"{file.relative_to(FOLDER)}: {node.name}": node.end_lineno - node.lineno + 1
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(found) > 300
    assert {name: n for name, n in found.items() if n > FUNCTION} == {}


def test_there_are_few_rooms():
    inside = [one for one in FOLDER.iterdir() if not one.name.startswith("_")]
    rooms = [one for one in inside if one.suffix == ".py" or (one / "__init__.py").exists()]
    assert 5 < len(rooms) <= ROOMS


def test_no_module_imports_one_that_imports_it():
    package = "langchain_rerank.evaluation."
    names = [".".join(one.relative_to(FOLDER).with_suffix("").parts) for one in FILES]
    graph = {name: set() for name in names if not name.endswith("__init__")}
    for file, name in zip(FILES, names, strict=True):
        for node in ast.walk(ast.parse(file.read_text())) if name in graph else ():
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package[:-1]):
                inside = f"{node.module}.".removeprefix(package)
                held = {f"{inside}{one.name}" for one in node.names} | {inside[:-1]}
                graph[name] |= held & graph.keys()
    assert sum(map(len, graph.values())) > 200
    TopologicalSorter(graph).prepare()  # which says what a circle is made of
