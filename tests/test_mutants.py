"""The suite tests itself: planted, plausible bugs, each caught by some test.

Every mutant is one line changed in a copy of the package; the fast part of the
suite then runs against the copy and has to fail. A mutant that survives would
stand in ``SURVIVORS`` with the reason; of all, 95 % must be killed.
"""

import compileall
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import systems
from mutant import Mutant

ROOT = Path(__file__).parents[1]
SUITE = [
    "test_golden.py",
    "test_reference.py",
    "test_half.py",
    "test_fused.py",
    "test_properties.py",
    "test_checkpoints.py",
    "test_errors.py",
    "test_contract.py",
    "test_cost.py",
    "test_maps.py",
    "test_api_surface.py",
    *sorted(set(systems.table("FIRST").values())),
    "test_memory.py",
    "test_counters.py",
    "test_growth.py",
    "test_distributed.py",
]


SA, NL = "blocks/self_attention.py", "blocks/non_local.py"
SM, CH, PW = (
    "functional/softmax.py",
    "functional/chunked.py",
    "functional/pairwise.py",
)
FU, OP = "functional/fused.py", "functional/_operator.py"
ME, GR, DDP = "memory.py", "plots/growth.py", "examples/ddp.py"

MUTANTS = [
    # SelfAttention
    Mutant(
        "f and g swapped",
        SA,
        "to_tokens(self.f(x))  # (B",
        "to_tokens(self.g(x))  # (B",
    ),
    Mutant("value from g", SA, "to_tokens(self.h(x))", "to_tokens(x)"),
    Mutant(
        "scaled scores", SA, "scale=1.0", "scale=self.f.out_channels**-0.5"
    ),
    Mutant(
        "o forgotten",
        SA,
        "out: Tensor = self.o(from_tokens(y, x))",
        "out = from_tokens(y, x)",
    ),
    Mutant("no residual", SA, "x + self.gamma * out", "self.gamma * out"),
    Mutant("residual everywhere", SA, "return out if", "return x + out if"),
    Mutant(
        "gamma no parameter",
        SA,
        "nn.Parameter(torch.zeros(1,",
        "(torch.zeros(1,",
    ),
    Mutant(
        "gamma starts at one",
        SA,
        "torch.zeros(1, **kw)",
        "torch.ones(1, **kw)",
    ),
    Mutant(
        "map of g over f",
        SA,
        "softmax_weights(q, k)[:, None]",
        "softmax_weights(k, q)[:, None]",
    ),
    Mutant("reduction ignored", SA, "in_channels // reduction", "in_channels"),
    Mutant("map with a graph", SA, "    @torch.no_grad()\n", ""),
    # NonLocal
    Mutant("no residual", NL, "return z + x", "return z"),
    Mutant(
        "query and key swapped",
        NL,
        "self.query(x), self.key(source)",
        "self.key(x), self.query(source)",
    ),
    Mutant(
        "value not pooled",
        NL,
        "phi, g = max_pool(phi, self.dims)[0], max_pool(g, self.dims)[0]",
        "phi = max_pool(phi, self.dims)[0]",
    ),
    Mutant(
        "pool always before",
        NL,
        'if self.subsample == "before" else x\n',
        "if self.subsample else x\n",
    ),
    Mutant(
        "scale forgotten",
        NL,
        "self.inter_channels**-0.5 if scaled",
        "1.0 if scaled",
    ),
    Mutant(
        "scale by C", NL, "self.inter_channels**-0.5", "self.in_channels**-0.5"
    ),
    Mutant(
        "scale of every similarity",
        NL,
        'self.scale and self.pairwise == "embedded_gaussian"',
        "self.scale",
    ),
    Mutant(
        "halves of w_f swapped",
        NL,
        "w_q, w_k = self.w_f",
        "w_k, w_q = self.w_f",
    ),
    Mutant(
        "norm starts at one",
        NL,
        "nn.init.zeros_(parameter)  # the",
        "nn.init.ones_(parameter)  # the",
    ),
    Mutant(
        "norm forgotten",
        NL,
        "self.norm(self.out(from_tokens(y, x)))",
        "self.out(from_tokens(y, x))",
    ),
    Mutant(
        "a quarter of the channels",
        NL,
        "max(1, in_channels // 2)",
        "max(1, in_channels // 4)",
    ),
    Mutant(
        "official pools after",
        NL,
        '"official": {"subsample": "before"',
        '"official": {"subsample": "after"',
    ),
    # shared layout and checks
    Mutant(
        "H and W swapped",
        "_layout.py",
        "unflatten(2, like.shape[2:])",
        "unflatten(2, like.shape[2:][::-1]).mT if like.ndim == 4 else y.transpose(1, 2).unflatten(2, like.shape[2:])",
    ),
    Mutant(
        "column-major positions",
        "_layout.py",
        "size[axis + 1 :]",
        "size[:axis]",
    ),
    Mutant("time pooled too", "_layout.py", "(1, 2, 2)", "(2, 2, 2)"),
    Mutant(
        "channels unchecked",
        "_checks.py",
        "if x.shape[1] != channels:",
        "if False:",
    ),
    Mutant(
        "half precision kept",
        "_checks.py",
        "return torch.float32 if dtype in",
        "return dtype if dtype in",
    ),
    # functions
    Mutant("softmax over queries", SM, "softmax(dim=-1)", "softmax(dim=-2)"),
    Mutant("softmax over the batch", SM, "softmax(dim=-1)", "softmax(dim=0)"),
    Mutant("scale forgotten", SM, "scores = scale * (", "scores = ("),
    Mutant(
        "sdpa's own scale",
        FU,
        "(q, k, v, scale=scale)\n    return y",
        "(q, k, v)\n    return y",
    ),
    Mutant("padding left in", FU, "y[:, 0, :, :dv]", "y[:, 0]"),
    Mutant(
        "padding left in training", FU, "return out[..., :dv]", "return out"
    ),
    Mutant("fused layout lost", FU, ".contiguous()\n", "\n"),
    Mutant(
        "PyTorch's own backward pass",
        FU,
        "    if trains_here(q, k, v):\n",
        "    if False:\n",
    ),
    Mutant("sum for mean", FU, "grad.to(acc) / k.shape[1]", "grad.to(acc)"),
    Mutant("mean in half precision", FU, "grad.to(acc) /", "grad /"),
    Mutant("operator in every export", FU, " and not _exporting()", ""),
    Mutant(
        "small maps without the batch",
        SM,
        "q.shape[:-1].numel() * k.shape[-2]",
        "q.shape[-2] * k.shape[-2]",
    ),
    Mutant("narrow values padded", SM, "if d != dv:", "if d < dv:"),
    Mutant("bfloat16 as float32", SM, ' == "cpu" and not half:', ' == "cpu":'),
    Mutant(
        "bfloat16 trained as untrained",
        SM,
        " and not trains_here(q, k, v)",
        "",
    ),
    Mutant(
        "thread rule inverted",
        SM,
        "if maps < threads:",
        "if maps >= threads:",
    ),
    Mutant(
        "heads are no maps", SM, "q.shape[:-2].numel(), t", "q.shape[0], t"
    ),
    Mutant(
        "threads of the tracing machine",
        SM,
        "if not torch.compiler.is_compiling():\n        maps",
        "if True:\n        maps",
    ),
    Mutant(
        "no maximum",
        CH,
        "top = s.amax(-1, keepdim=True)",
        "top = torch.zeros_like(s[..., :1])",
    ),
    Mutant("not normalised", CH, ".div_(total)", ""),
    Mutant(
        "lme without maximum",
        CH,
        "total.div_(keys).log_().add_(top)",
        "total.div_(keys).log_()",
    ),
    Mutant(
        "logarithm of the sum",
        CH,
        "total.div_(keys).log_()",
        "total.log_()",
    ),
    Mutant("M taken twice", CH, "share = 1 / keys", "share = 1 / keys**2"),
    Mutant("N for M", CH, "share = 1 / keys", "share = 1 / rows"),
    Mutant(
        "rounded output in backward",
        OP,
        ".to(lme.dtype) + rest",
        ".to(lme.dtype)",
    ),
    Mutant(
        "half precision in the kernel",
        CH,
        ".to(acc).contiguous()",
        ".contiguous()",
    ),
    Mutant("row sum forgotten", CH, ".sub_(row_sum[b, i])", ""),
    Mutant(
        "dk without scale",
        CH,
        "qi, beta=column, alpha=scale * share",
        "qi, beta=column, alpha=share",
    ),
    Mutant(
        "map rebuilt unscaled",
        CH,
        "kj.mT, beta=0, alpha=scale",
        "kj.mT, beta=0",
    ),
    Mutant(
        "dq of the last keys",
        CH,
        "dq[b, i].baddbmm_(ds, kj, beta=row, ",
        "dq[b, i].baddbmm_(ds, kj, beta=0, ",
    ),
    Mutant(
        "dk of the last rows",
        CH,
        "dk[b, j].baddbmm_(ds.mT, qi, beta=column, ",
        "dk[b, j].baddbmm_(ds.mT, qi, beta=0, ",
    ),
    Mutant(
        "dv of the last rows",
        CH,
        "dv[b, j].baddbmm_(p.mT, gi, beta=column, ",
        "dv[b, j].baddbmm_(p.mT, gi, beta=0, ",
    ),
    Mutant(
        "the first rows forgotten",
        CH,
        "row, column = float(j.start > 0), float(i.start > 0)",
        "row, column = float(j.start > 0), 0.0",
    ),
    Mutant(
        "no rows, no zeros",
        CH,
        "torch.empty_like if rows else torch.zeros_like",
        "lambda t: torch.full_like(t, torch.nan)",
    ),
    Mutant(
        "one buffer for scores and slopes",
        CH,
        "scores, slopes = _Scratch(q), _Scratch(q)",
        "scores = slopes = _Scratch(q)",
    ),
    Mutant(
        "tiles as wide as the map",
        CH,
        "span = min(keys, height * width // step)",
        "span = keys",
    ),
    Mutant(
        "tiles overlap",
        CH,
        "min(start + step, size)",
        "min(start + step + 1, size)",
    ),
    Mutant(
        "last maps lost",
        CH,
        "for b in _pieces(maps, group):\n        for j",
        "for b in _pieces(maps - maps % group or group, group):\n        for j",
    ),
    Mutant(
        "last tile lost",
        CH,
        "range(0, size, step)",
        "range(0, size - size % step or step, step)",
    ),
    Mutant(
        "second derivative in silence",
        OP,
        "        raise RuntimeError(\n",
        "        return None\n        raise RuntimeError(\n",
    ),
    Mutant("missing divisor", PW, "q.to(acc) / k.shape[-2] @", "q.to(acc) @"),
    Mutant(
        "divided by N, not M",
        PW,
        "k.to(acc).mT / k.shape[-2]",
        "k.to(acc).mT / q.shape[-2]",
    ),
    Mutant("no ReLU", PW, ").relu() /", ") /"),
    Mutant(
        "ascending prefix",
        PW,
        "v.flip(-2).cumsum(-2).flip(-2)",
        "v.cumsum(-2)",
    ),
    Mutant("ties counted", PW, "right=True", "right=False"),
    Mutant("not centred", PW, "b.mean(-1, keepdim=True).detach()", "0.0"),
    # checkpoints, cost, catalogue
    Mutant(
        "left-over entries",
        "checkpoints/__init__.py",
        "for key in given]",
        "for key in ()]",
    ),
    Mutant(
        "missing entries",
        "checkpoints/__init__.py",
        'elif not name.endswith("num_batches_tracked"):',
        "elif False:",
    ),
    Mutant(
        "inverse variance",
        "checkpoints/non_local.py",
        '"running_mean": ("bn_rm",)',
        '"running_mean": ("bn_riv",)',
    ),
    Mutant(
        "FLOPs for multiply-adds",
        "cost/__init__.py",
        "get_total_flops() // 2",
        "get_total_flops()",
    ),
    # The vocabulary of maps
    Mutant(
        "entropy of signed weights",
        "maps.py",
        "size = attention.to(wide(attention.dtype)).abs()",
        "size = attention.to(wide(attention.dtype))",
    ),
    Mutant(
        "reach squared",
        "maps.py",
        "(shares * squared).sum(-1).sqrt()",
        "(shares * squared).sum(-1)",
    ),
    Mutant(
        "reach with H for W",
        "maps.py",
        ".repeat_interleave(width)",
        ".repeat(width)",
    ),
    Mutant(
        "columns for rows", "maps.py", "attention.sum(-1)", "attention.sum(-2)"
    ),
    # Counters, figures of growth, the example on several processes
    Mutant(
        "a shared storage twice",
        ME,
        "kept[storage.data_ptr()] =",
        "kept[len(kept)] =",
    ),
    Mutant(
        "bytes of the view",
        ME,
        "= storage\n        # A",
        "= t.detach().clone().untyped_storage()\n        # A",
    ),
    Mutant("saved result never freed", ME, "return t.detach()", "return t"),
    Mutant(
        "parameters count",
        ME,
        "if storage.data_ptr() not in own:",
        "if True:",
    ),
    Mutant(
        "peak without what is freed", ME, "alive += size", "alive += abs(size)"
    ),
    Mutant("peak of positives", ME, "alive += size", "alive += max(size, 0)"),
    Mutant("last for largest", ME, "max(largest, size)", "size"),
    Mutant("garbage from before", ME, "gc.collect()  #", "pass  #"),
    Mutant("greeting of the profiler", ME, "os.dup2(nowhere, 2)", "pass"),
    Mutant("standard error left open", ME, "os.close(kept)", "pass"),
    Mutant("inverse exponent", GR, "/ (u @ u)", "/ (v @ v)"),
    Mutant("small maps fitted", GR, "len(x) // 2 if", "0 if"),
    Mutant(
        "one share for all",
        DDP,
        "chunk(processes)[rank]",
        "chunk(processes)[0]",
    ),
    Mutant(
        "gradients of a share",
        DDP,
        "return DistributedDataParallel(net)\n",
        "return net\n",
    ),
    Mutant("idle parameter unseen", DDP, "    if missing:", "    if False:"),
]
MUTANTS += [
    mutant
    for module in systems.modules()
    for mutant in getattr(module, "MUTANTS", [])
]
SURVIVORS: dict[str, str] = {}


def label(mutant):
    return f"{Path(mutant.file).stem}: {mutant.name}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=label)
def test_mutant_changes_one_place(mutant):
    source = (ROOT / "attnlib" / mutant.file).read_text()
    assert source.count(mutant.old) == 1, (
        f"{mutant.old!r} must stand once in {mutant.file}"
    )
    compile(source.replace(mutant.old, mutant.new), mutant.file, "exec")


# Where a bug in a file shows first: saves time and changes no verdict.
FIRST = {
    "checkpoints/__init__.py": "test_checkpoints.py",
    "checkpoints/non_local.py": "test_checkpoints.py",
    "cost/__init__.py": "test_cost.py",
    "maps.py": "test_maps.py",
    "_checks.py": "test_errors.py",
    "_layout.py": "test_properties.py",
    NL: "test_properties.py",
    SA: "test_properties.py",
    SM: "test_fused.py",
    FU: "test_fused.py",
    CH: "test_reference.py",
    OP: "test_half.py",
    PW: "test_reference.py",
    ME: "test_counters.py",
    GR: "test_growth.py",
    DDP: "test_distributed.py",
}
FIRST |= systems.table("FIRST")


# The test that found a bug last, tried before the others; see killers.py.
KILLERS = json.loads((ROOT / "tests" / "killers.json").read_text())


@functools.cache
def unchanged():
    """Return a folder with a copy of package and tests, compiled.

    Its last reference goes with the process, and the folder with it.
    """
    folder = tempfile.TemporaryDirectory(prefix="unchanged-")
    ignore = shutil.ignore_patterns("book", "__pycache__")
    for part in ("attnlib", "tests"):
        shutil.copytree(ROOT / part, Path(folder.name, part), ignore=ignore)
    compileall.compile_dir(folder.name, quiet=1)
    return folder


def plant(folder, mutant=None):
    """Copy package and tests to ``folder`` and plant one mutant there."""
    shutil.copytree(unchanged().name, folder, dirs_exist_ok=True)
    if mutant:
        target = folder / "attnlib" / mutant.file
        target.write_text(target.read_text().replace(mutant.old, mutant.new))


@functools.cache
def forks():
    """Start the process that imports torch once, for all mutants."""
    # Of the run around it, nothing: what its workers share is not ours. Nor
    # any plugin: to load them takes longer than to find most of the bugs.
    own = {k: v for k, v in os.environ.items() if "XDIST" not in k}
    own |= {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "forked_pytest.py")],
        env=own,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run_suite(folder, files):
    """Run files (or tests) of the fast suite against the copy, to a failure.

    Return pytest's exit code and what it printed.
    """
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    arguments += ["--rootdir=.", "--import-mode=importlib", "--assert=plain"]
    arguments += ["-m", "not slow and not alone"]
    arguments += [f"tests/{name}" for name in files]
    output = folder / "output"
    job = {
        "folder": str(folder),
        "path": [str(folder), str(folder / "tests")],
        "arguments": arguments,
        "output": str(output),
    }
    server = forks()
    print(json.dumps(job), file=server.stdin, flush=True)
    return int(server.stdout.readline()), output.read_text()


@functools.cache
def check_unchanged(*tests):
    """Without a mutant the same command is green: a kill is its doing."""
    with tempfile.TemporaryDirectory() as folder:
        plant(Path(folder))
        code, text = run_suite(Path(folder), tests)
    assert code == 0, text[-2000:]


def hunt(folder, mutant):
    """Plant the mutant; return whether a test fails, and what was printed."""
    plant(folder, mutant)
    first = FIRST[mutant.file]
    rest = [name for name in SUITE if name != first]
    known = [KILLERS[label(mutant)]] if label(mutant) in KILLERS else []
    for tests in filter(None, (known, [first], rest)):
        code, text = run_suite(folder, tests)
        if code == 1 and " failed" in text:
            if tests != known:
                check_unchanged(*tests)
            return True, text
    return False, text


@pytest.mark.slow
def test_killers_pass_on_an_unchanged_copy():
    """Where one was renamed, ``python tests/killers.py`` notes another."""
    check_unchanged(*sorted(set(KILLERS.values())))


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=label)
def test_mutant_is_killed(mutant, tmp_path):
    killed, text = hunt(tmp_path, mutant)
    if label(mutant) in SURVIVORS:
        assert not killed, f"{label(mutant)} is killed: take it off the list"
    else:
        assert killed, f"{label(mutant)} survived:\n{text[-900:]}"


def test_share_of_the_killed():
    assert {label(m) for m in MUTANTS} >= {*SURVIVORS, *KILLERS}
    assert len({label(m) for m in MUTANTS}) == len(MUTANTS)
    assert len(MUTANTS) - len(SURVIVORS) >= 0.95 * len(MUTANTS)
    for file in (SA, NL):
        assert sum(m.file == file for m in MUTANTS) >= 8
