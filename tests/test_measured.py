"""Stored results, and the figures that are drawn from them."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from bench_rows import HEAD, KEYS, check_anonymous, check_row
from packaging.requirements import Requirement

import benchmarks
from attnlib import measured
from benchmarks import machine, report, subjects
from benchmarks.__main__ import main
from benchmarks.presets import FUNCTION, PRESETS

ROOT = Path(benchmarks.__file__).parents[1]


def rows_of_a_law(subject=FUNCTION, **more):
    """Rows whose time is 8 N^2 for the plain form, 4 N for another."""
    rows = []
    for n in (100, 400, 1600):
        shape = [1, n, 8, 8] if subject == FUNCTION else [1, 8, 1, n]
        for impl, time in (("reference", 8 * n * n), ("lean", 4 * n)):
            head = [subject, {}, impl, shape, n, "float32", "both", False]
            ratios = [time / (8 * n * n), time / (16 * n * n), None]
            numbers = [16 * n * n, *ratios, None, None, None, None]
            row = dict(zip(KEYS, [*head, *numbers], strict=True))
            rows.append({**row, **more})
    return rows


def test_figures_draw_the_numbers_of_the_file(monkeypatch, tmp_path):
    curves, bars = [], []
    growth, ratios = report.show_growth, report.show_ratios

    def show_growth(values, *, title):
        curves.append((values, growth(values, title=title)))

    def show_ratios(values, *, title):
        bars.append(values)
        ratios(values, title=title)

    monkeypatch.setattr(report, "show_growth", show_growth)
    monkeypatch.setattr(report, "show_ratios", show_ratios)
    result = {"rows": rows_of_a_law() + rows_of_a_law("rnl", to_dense=0.5)}
    report.draw(result, tmp_path, "law")
    for (values, exponents), beside in zip(curves, (False, True), strict=True):
        assert exponents["reference"] == pytest.approx(2)
        assert exponents["lean"] == pytest.approx(1)
        assert values["lean"][1] == (400, 1600, 6400)
        assert ("dense non-local" in values) is beside
    dense = curves[1][0]["dense non-local"][1]
    assert dense == tuple(2 * t for t in curves[1][0]["reference"][1])
    assert bars[0]["1x400x8x8"] == {"lean": 1 / 800}


def test_figures_come_from_the_file_alone(tmp_path, capsys):
    rows = rows_of_a_law()
    many = [
        {**row, "impl": f"form {k}"} for k in range(6) for row in rows[1::2]
    ]
    result = {"settings": {}, "rows": rows + many, "skipped": []}
    report.save(result, tmp_path / "law.json")
    assert json.loads((tmp_path / "law.json").read_text()) == result
    drawn = []
    for folder in ("first", "second"):
        where = tmp_path / folder
        command = ["--plot", str(tmp_path / "law.json")]
        assert main([*command, "--figures", str(where)]) == 0
        drawn.append({p.name: p.read_bytes() for p in where.iterdir()})
    assert drawn[0] == drawn[1]
    stem = f"law-{FUNCTION}-float32-both"
    # Seven and eight forms: four a figure.
    assert sorted(drawn[0]) == [
        f"{stem}-growth-1xNx8x8-2.svg",
        f"{stem}-growth-1xNx8x8.svg",
        f"{stem}-ratios-2.svg",
        f"{stem}-ratios.svg",
    ]
    assert all(b"<dc:date>" not in picture for picture in drawn[0].values())
    assert f"{stem}-ratios.svg" in capsys.readouterr().out


def test_the_machine_is_described_and_not_named():
    facts = machine.describe("cpu")
    wanted = "device processor cores threads system python torch".split()
    assert set(wanted) <= set(facts)
    assert facts["threads"] == torch.get_num_threads()
    check_anonymous(json.dumps(facts))


@pytest.mark.parametrize("name", measured.names())
def test_stored_results_are_whole(name):
    result = measured.load(name)
    path = Path(measured.__file__).with_name(f"{name}.json")
    text = path.read_text()
    assert len(text.encode()) <= 60_000
    check_anonymous(text)
    assert list(result) == ["machine", "settings", "rows", "skipped"]
    for row in result["rows"]:
        check_row(row, name)
    # The machine was idle: hardly a least time stands alone.
    assert result["settings"]["unsettled"] <= len(result["rows"]) / 4
    names = [json.dumps([row[key] for key in HEAD]) for row in result["rows"]]
    assert len(names) == len(set(names))
    documented = measured.__doc__
    for key in (*KEYS, *result):
        assert f"``{key}``" in documented


@pytest.mark.parametrize(
    ("name", "preset"), [("cpu", "book"), ("cuda", "gpu")]
)
def test_stored_result_of_the_book_has_every_row_of_its_preset(name, preset):
    """All rows of each subject that was measured, none picked out."""
    result = measured.load(name)
    assert result["settings"]["shapes"] == preset
    listed = result["rows"] + result["skipped"]
    stored = {json.dumps([row[key] for key in HEAD]) for row in listed}
    subjects_there = {row["subject"] for row in listed}
    for group in subjects.plan(PRESETS[preset]):
        for case in group:
            if case.subject in subjects_there:
                assert json.dumps(list(case.head().values())) in stored


def test_imports_are_required():
    """What a benchmark imports is pinned for make and listed for pip."""
    found = set()
    for path in (ROOT / "benchmarks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.split(".")[0])
    found -= {*sys.stdlib_module_names, "attnlib", "benchmarks"}
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    lines = [line.split("#")[0].strip() for line in lines]
    assert found <= {Requirement(line).name for line in lines if line}
    extras = (ROOT / "pyproject.toml").read_text()
    extra = re.search(r"^bench = \[(.*)\]$", extras, re.M).group(1)
    listed = {Requirement(text).name for text in re.findall(r'"(.*?)"', extra)}
    assert found <= {*listed, "torch", "matplotlib"}
