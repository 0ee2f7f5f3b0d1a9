"""The benchmark: its command, its file, what joins and what is left out.

Shapes are tiny and times mean nothing here: what is tested is that every form
is there once, that counts are exact and that nothing is missing in silence.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bench_rows import BYTES, HEAD, check_row
from torch import nn

import benchmarks
from attnlib import create_block
from attnlib.catalog import CATALOG
from benchmarks import peak, run, subjects, timing
from benchmarks.__main__ import main
from benchmarks.presets import EVERY_BLOCK, FUNCTION, PRESETS, Line
from benchmarks.subjects import Case

ROOT = Path(benchmarks.__file__).parents[1]
CASE = Case(FUNCTION, "reference", (1, 2048, 32, 32), "float32", "both")


@pytest.fixture
def brief(monkeypatch):
    """Short turns and a small product: times of no meaning."""
    monkeypatch.setattr(timing, "TURN", 0.0)
    monkeypatch.setattr(timing, "SIDE", {"cpu": 64})
    monkeypatch.setattr(run, "SIDE", {"cpu": 64})
    run._product.cache_clear()
    yield
    run._product.cache_clear()


def bench(folder, *options):
    """Run the command in this process; return what its file holds."""
    out = folder / "cpu.json"
    arguments = ["--quick", "--device", "cpu", "--threads", "1"]
    assert main([*arguments, "--out", str(out), *options]) == 0
    return json.loads(out.read_text())


def test_help_names_every_option():
    command = [sys.executable, "-m", "benchmarks", "--help"]
    shown = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    options = "device dtypes compile threads filter shapes rounds no-memory"
    for option in f"{options} quick limit out plot figures".split():
        assert f"--{option}" in shown
    for name in PRESETS:
        assert name in shown


def test_a_run_from_end_to_end(brief, tmp_path, capsys):
    result = bench(tmp_path)
    assert list(result) == ["machine", "settings", "rows", "skipped"]
    assert result["skipped"] == []
    assert {row["subject"] for row in result["rows"]} == {FUNCTION, *CATALOG}
    for row in result["rows"]:
        check_row(row)
        assert row["counted_peak_bytes"] > 0
        assert row["kernel"] == (
            "flash_attention_for_cpu" if row["impl"] == "sdpa" else None
        )
    for key in CATALOG:
        forms = {r["impl"] for r in result["rows"] if r["subject"] == key}
        block = create_block(key, 16, device="meta")
        assert forms == {impl for impl in block.impls if impl != "auto"}
    shown = capsys.readouterr()
    assert "nonlocal 1x16x8x8 sdpa float32 both" in shown.out
    rows = len(result["rows"])
    assert f"{rows}/{rows}" in shown.err  # the progress bar's end
    figures = sorted(path.name for path in tmp_path.glob("*.svg"))
    assert f"cpu-{FUNCTION}-float32-both-ratios.svg" in figures


class Mean(nn.Module):
    """Every position gets the mean; one form is broken."""

    impls = ("auto", "reference", "fast", "broken")

    def __init__(self, in_channels, *, impl="auto", device=None, dtype=None):
        super().__init__()
        self.impl = impl
        self.out = nn.Conv2d(
            in_channels, in_channels, 1, device=device, dtype=dtype
        )

    def forward(self, x):
        if self.impl == "broken":
            raise ValueError("no kernel in /home/me/kernels for this\nat all")
        x, mean = (x, self.out) if self.impl == "fast" else (self.out(x), None)
        y = x.mean((2, 3), keepdim=True)
        return (mean(y) if mean else y).expand_as(x)


def test_a_catalogue_entry_joins_by_itself(brief, monkeypatch, tmp_path):
    entry = replace(CATALOG["nonlocal"], key="mean", cls=Mean)
    monkeypatch.setitem(CATALOG, "mean", entry)
    result = bench(tmp_path, "--filter", "mean", "--no-memory")
    forms = [(row["impl"], row["passes"]) for row in result["rows"]]
    assert forms == [
        (impl, passes)
        for passes in ("forward", "both")
        for impl in ("reference", "fast")
    ]
    for row in result["rows"]:
        times = {"forward": 1, "both": 3}[row["passes"]]
        assert row["macs"] == times * 8 * 8 * 16 * 16
        assert row["to_dense"] > 0
        assert [row[name] for name in BYTES] == [None] * 3
    assert [(s["impl"], s["reason"]) for s in result["skipped"]] == [
        ("broken", "no kernel in ... for this")
    ] * 2


def test_filter_takes_words_that_all_match(brief, tmp_path):
    words = ["--filter", "nonlocal", "sdpa", "forward", "--no-memory"]
    result = bench(tmp_path, *words)
    (row,) = result["rows"]
    assert (row["subject"], row["impl"]) == ("nonlocal", "sdpa")
    assert row["to_plain"] > 0  # its plain form ran beside it
    assert result["settings"]["filter"] == words[1:4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--filter", "nonesuch"], "no row's name holds all of"),
        (["--dtypes", "float32,int8"], "'int8' is no floating-point dtype"),
        (["--rounds", "0"], "must be at least 1, got 0"),
        (["--plot", "nonesuch.json"], "nonesuch.json"),
    ],
)
def test_mistakes_are_named(capsys, tmp_path, options, message):
    with pytest.raises(SystemExit, match="2"):
        bench(tmp_path, *options)
    assert message in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_said(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--device", "cuda"])
    assert "PyTorch sees no GPU" in capsys.readouterr().err


def test_what_is_too_large_is_listed(brief, tmp_path):
    words = ["--filter", "nonlocal", "--no-memory"]
    limit = ["--limit", str(2**-20)]  # 1 KiB
    result = bench(tmp_path, *words, *limit)
    assert result["rows"] == []
    whole = bench(tmp_path, *words)["rows"]
    assert len(result["skipped"]) == len(whole) > 0
    for entry, row in zip(result["skipped"], whole, strict=True):
        assert [entry[name] for name in HEAD] == [row[name] for name in HEAD]
        assert "the plain form needs" in entry["reason"]


@pytest.mark.parametrize("passes", ["forward", "both"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("subject", [FUNCTION, *CATALOG])
def test_need_is_known_before_a_byte_is_taken(subject, dtype, passes):
    shape = (1, 1024, 32, 32) if subject == FUNCTION else (1, 32, 32, 32)
    case = Case(subject, "reference", shape, dtype, passes)
    counted = peak.measure(case, "cpu")["counted_peak_bytes"]
    ratio = subjects.needed_bytes(case) / counted
    if counted > 4 * 1024**2:  # an N x N map, which the limit is there for
        assert 0.9 < ratio < 1.1
    else:  # what the CPU's kernels need beside their results weighs more
        assert 0.5 < ratio < 2


def test_a_failing_memory_process_is_reported(monkeypatch):
    unknown = replace(CASE, impl="nonesuch")
    found = peak.in_fresh_process(unknown, "cpu", 1)
    assert found.startswith("memory: impl must be one of")
    monkeypatch.setattr(peak, "_answer", sys.exit)  # dies at once
    assert "was ended" in peak.in_fresh_process(CASE, "cpu", 1)


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux", reason="reads the peak from /proc"
)
def test_the_reading_agrees_with_the_count():
    found = peak.in_fresh_process(CASE, "cpu", 1)
    ratio = found["peak_bytes"] / found["counted_peak_bytes"]
    print(f"read over counted: {ratio:.3f}")
    assert 0.9 < ratio < 1.25
    n = CASE.positions
    assert found["kept_bytes"] == 4 * (n * n + 3 * n * 32)


@pytest.mark.slow
def test_compiled_forms_stand_beside_the_others(brief, tmp_path):
    words = ["--filter", FUNCTION, "64x8x8", "reference", "forward"]
    result = bench(tmp_path, *words, "--compile", "--no-memory")
    if result["skipped"]:
        pytest.skip(result["skipped"][0]["reason"])  # no C++ compiler
    assert [row["compiled"] for row in result["rows"]] == [False, True]
    assert [row["kernel"] for row in result["rows"]] == [None, None]


def test_every_preset_names_what_exists():
    for lines in PRESETS.values():
        for line in lines:
            assert isinstance(line, Line)
            known = {FUNCTION, EVERY_BLOCK, *CATALOG}
            assert line.subject in known
            assert all(len(shape) == 4 for shape in line.shapes)
        names = [str(case) for group in subjects.plan(lines) for case in group]
        assert len(names) == len(set(names))
