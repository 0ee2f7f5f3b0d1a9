"""NonLocalSparseAttention, DenseNonLocalAttention."""

from mutant import Mutant

from attnlib import DenseNonLocalAttention, NonLocalSparseAttention

BU = "functional/buckets.py"
HA = "functional/hashing.py"
LI = "functional/listed.py"
NS = "blocks/nlsa.py"
ND = "blocks/nlsa_dense.py"
NP = "checkpoints/nlsa.py"
# Maps of 35 positions: 144 are one chunk, 8 are five that three places fill
# up, 7 and 5 divide 35, 18 are two chunks. With a seed: the shared laws
# compare two calls.
VARIANTS = {
    "nlsa": [
        {"seed": 0},
        {"kernel_size": 1, "res_scale": 0.5, "seed": 1},
        {"chunk_size": 8, "seed": 2},
        {"chunk_size": 7, "n_hashes": 2, "dedup": True, "seed": 3},
        {"chunk_size": 18, "reduction": 2, "seed": 4},
        {"chunk_size": 5, "n_hashes": 1, "signed": False, "seed": 5},
    ],
    "DenseNonLocalAttention": [{}, {"res_scale": 0.1, "reduction": 4}],
}
GOLDEN = {"nlsa"}


def traits(case):
    found = {"map", "softmax", "wide"}
    options = case.options
    if case.key == "nlsa":
        if options.get("chunk_size", 144) >= 18:  # at most two chunks
            found.add("everywhere")
        dense = "chunk_size" not in options
        if not (dense and options.get("kernel_size") == 1):
            return found
    return found | {"permutes", "transposes", "everywhere"}


def rebuild(block, x, weights):
    y = (block.value(x).flatten(2) @ weights[:, 0].mT).view(x.shape)
    if isinstance(block, DenseNonLocalAttention):
        return y + block.res_scale * x
    return block.res_scale * y + x


def golden(facts, impl):
    args = dict(facts["args"])
    if facts["reference"].endswith(":NonLocalAttention"):
        forms = DenseNonLocalAttention.impls
        block = DenseNonLocalAttention(
            args["channel"],
            reduction=args["reduction"],
            res_scale=args["res_scale"],
            impl=impl if impl in forms else "auto",
        )
        return block, "official"
    block = NonLocalSparseAttention(
        args.pop("channels"),
        kernel_size=args.pop("k_size"),
        impl=impl,
        **args,
    )
    return block, "official"


def given(tensors):
    """The draw of the recorded run; the dense block has none."""
    return {k: tensors[k] for k in ("rotations",) if k in tensors}


MUTANTS = [
    Mutant(
        "keys not divided by their length",
        BU,
        "return e / e.norm(dim=-1, keepdim=True).clamp_min(EPS)",
        "return e",
    ),
    Mutant(
        "EPS added, not a bound",
        BU,
        ".clamp_min(EPS)",
        ".add(EPS)",
    ),
    Mutant(
        "queries divided by their length",
        BU,
        "y = _laid_out(q, _unit(q)",
        "y = _laid_out(_unit(q), _unit(q)",
    ),
    Mutant(
        "queries divided by their length in the lean form",
        BU,
        "listed_attention(q, _unit(q), v, order",
        "listed_attention(_unit(q), _unit(q), v, order",
    ),
    Mutant(
        "odd number of buckets",
        HA,
        "whole + whole % 2, MOST",
        "whole, MOST",
    ),
    Mutant(
        "buckets without a limit",
        HA,
        "MOST = 128",
        "MOST = 4096",
    ),
    Mutant(
        "opposite directions in one bucket",
        HA,
        "code, other + directions)",
        "code, other)",
    ),
    Mutant(
        "ties to the opposite side",
        HA,
        "torch.where(high >= -low",
        "torch.where(high > -low",
    ),
    Mutant(
        "descending order",
        HA,
        "codes.sort(dim=-1, stable=True)",
        "codes.sort(dim=-1, stable=True, descending=True)",
    ),
    Mutant(
        "equal codes in any order",
        HA,
        "codes.sort(dim=-1, stable=True).indices",
        "codes.flip(-1).sort(dim=-1, stable=True).indices.sub(codes.shape[-1] - 1).neg()",
    ),
    Mutant(
        "a row of chunks, not a ring",
        BU,
        "lists = at[..., place % (chunks * m)]",
        "lists = at[..., place.clamp(0, chunks * m - 1)]",
    ),
    Mutant(
        "the next two chunks, none before",
        BU,
        "place % (3 * m) - m  #",
        "place % (3 * m)  #",
    ),
    Mutant(
        "rounds averaged",
        BU,
        "share = gather(join(lse), rank).softmax(1)",
        "share = gather(join(lse), rank).mul(0).softmax(1)",
    ),
    Mutant(
        "echoes not discounted",
        BU,
        "        s = s - counts.clamp(min=1).to(s.dtype).log()\n",
        "",
    ),
    Mutant(
        "map counts every key once",
        BU,
        "    if dedup:\n        counts = counts.clamp(max=1)",
        "    if True:\n        counts = counts.clamp(max=1)",
    ),
    Mutant(
        "two chunks taken for dense",
        BU,
        "if n == 3 * chunk_size:",
        "if n in (2 * chunk_size, 3 * chunk_size):",
    ),
    Mutant(
        "the smallest product, not the largest",
        HA,
        "high, code = _without(z, missing, -torch.inf).max(-1)",
        "high, code = _without(z, missing, -torch.inf).min(-1)",
    ),
    Mutant(
        "the first items fill up",
        HA,
        "place - (whole - n))",
        "place - n)",
    ),
    Mutant(
        "filling not counted",
        HA,
        "        total = total + filled * again[..., None, :]\n",
        "",
    ),
    Mutant(
        "the lean ring left open",
        LI,
        "torch.cat([t[-1:], t, t[:1]])",
        "torch.cat([t[:1], t, t[-1:]])",
    ),
    Mutant(
        "rounds of equal weight",
        LI,
        "y[image].lerp_(out, weight)",
        "y[image].lerp_(out, 1 / (turn + 1))",
    ),
    Mutant(
        "sums of two maxima added",
        LI,
        "a = old[:, 1:] * (old[:, :1] - top).exp()",
        "a = old[:, 1:]",
    ),
    Mutant(
        "slopes of the ring's ends dropped",
        LI,
        "            t[-1] += first\n",
        "",
    ),
    Mutant(
        "slopes of what fills up dropped",
        LI,
        "        t[self.n - more : self.n] += t[self.n :]\n",
        "",
    ),
    Mutant(
        "queries that fill up have slopes",
        LI,
        "            ts.flatten(0, 1)[lists.n :] = torch.inf\n",
        "",
    ),
    Mutant(
        "slope without the row's sum",
        LI,
        "ds.sub_(rs[g]).mul_(p)",
        "ds.mul_(p)",
    ),
    Mutant(
        "slopes of q and k swapped",
        LI,
        "dks[to].baddbmm_(ds[..., part].mT, qs[g])",
        "dks[to].baddbmm_(ds[..., part], qs[g])",
    ),
    Mutant(
        "a second derivative in silence",
        LI,
        "    raise RuntimeError(\n",
        "    return None\n    raise RuntimeError(\n",
    ),
    Mutant(
        "FLOPs of a chunk for those of a list",
        LI,
        "keys = 3 * chunk if ring else chunk",
        "keys = chunk",
    ),
    Mutant(
        "the residual scaled",
        NS,
        "from_tokens(y, x) * self.res_scale + x",
        "from_tokens(y, x) + x * self.res_scale",
    ),
    Mutant(
        "one draw for ever",
        NS,
        "        self._fixed: Tensor | None = None\n        if seed is not None:",
        "        self._fixed: Tensor | None = None\n        seed = seed or 0\n        if True:",
    ),
    Mutant(
        "the generator ignored",
        NS,
        "shape, generator=generator, device=generator.device",
        "shape, device=generator.device",
    ),
    Mutant(
        "rotations ignored",
        NS,
        "        return e, rotations\n",
        "        return e, self.draw_rotations(positions)\n",
    ),
    Mutant(
        "the seed drawn in the module's dtype",
        NS,
        "shape, generator=own, dtype=torch.float64, device",
        "shape, generator=own, dtype=dtype, device",
    ),
    Mutant(
        "embedding rounded under autocast",
        NS,
        "        with no_autocast(x):\n            e = to_tokens(self.embedding(x.to(weight.dtype)))",
        "        e = to_tokens(self.embedding(x)).to(weight.dtype)",
    ),
    Mutant(
        "map of another draw",
        NS,
        "            rotations,\n            chunk_size=self.chunk_size,\n            signed=self.signed,\n            dedup=self.dedup,\n            row=row,",
        "            torch.randn_like(rotations),\n            chunk_size=self.chunk_size,\n            signed=self.signed,\n            dedup=self.dedup,\n            row=row,",
    ),
    Mutant(
        "the attention scaled",
        ND,
        "from_tokens(y, x) + self.res_scale * x",
        "self.res_scale * from_tokens(y, x) + x",
    ),
    Mutant(
        "one activation for all",
        ND,
        "self.key = project(self.key_channels)",
        "self.key = nn.Sequential(project(self.key_channels)[0], self.query[1])",
    ),
    Mutant(
        "query and key swapped",
        ND,
        "return to_tokens(self.query(x)), to_tokens(self.key(x))",
        "return to_tokens(self.key(x)), to_tokens(self.query(x))",
    ),
    Mutant(
        "match layers swapped",
        NP,
        '"query": "conv_match1",\n        "key": "conv_match2"',
        '"query": "conv_match2",\n        "key": "conv_match1"',
    ),
]
FIRST = dict.fromkeys((BU, HA, LI, NS, ND, NP), "test_nlsa.py")
FIRST |= dict.fromkeys((BU, HA, LI), "test_buckets.py")
