"""Names of every source, on state dicts made here from the facts about each."""

import pytest
import torch
from cases import randomise

from attnlib import NonLocal, SelfAttention, load_reference

OURS = {"query": "theta", "key": "phi", "value": "g", "out": "out"}


def filled(**options):
    return randomise(NonLocal(8, **options)).double().eval()


def reference_names(block, source):
    """Write a block's state under the names of a source, from the facts about that source."""
    tail = ".0" if block.subsample else ""
    state = {}
    for key, value in block.state_dict().items():
        layer, _, kind = key.partition(".")
        if source == "alexhex7":
            norm = not isinstance(block.norm, torch.nn.Identity)
            names = {
                "query": "theta",
                "key": f"phi{tail}",
                "value": f"g{tail}",
                "out": "W.0" if norm else "W",
                "norm": "W.1",
            }
            name = f"{names[layer]}.{kind}" if kind else "concat_project.0.weight"
        elif source == "mmcv":
            names = {
                "query": "theta.conv",
                "key": f"phi{tail}.conv",
                "value": f"g{tail}.conv",
                "out": "conv_out.conv",
                "norm": "conv_out.bn",
            }
            name = f"{names[layer]}.{kind}" if kind else "concat_project.conv.weight"
        elif source == "slowfast":
            name = f"conv_{OURS[layer]}.{kind}" if layer in OURS else f"bn.{kind}"
        else:
            blobs = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
            if kind == "num_batches_tracked":
                continue
            short = {"weight": "w", "bias": "b"}
            name = f"{OURS[layer]}_{short[kind]}" if layer in OURS else f"bn_{blobs[kind]}"
        state[name] = value[None, :, None, None] if key == "w_f" else value.clone()
    return state


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("source", ["alexhex7", "mmcv"])
@pytest.mark.parametrize(
    "pairwise", ["embedded_gaussian", "gaussian", "dot_product", "concatenation"]
)
@pytest.mark.parametrize("subsample", [None, "after"])
@pytest.mark.parametrize("norm", [True, False])
def test_pytorch_sources(dims, source, pairwise, subsample, norm):
    options = {"dims": dims, "pairwise": pairwise, "subsample": subsample, "norm": norm}
    block = filled(**options)
    if source == "mmcv" and norm:
        block.out.bias.data.zero_()  # mmcv has none there
    state = reference_names(block, source)
    if source == "mmcv" and norm:
        del state["conv_out.conv.bias"]
    other = NonLocal(8, **options).double().eval()
    randomise(other, 2.0)
    load_reference(other, state, source)
    for key, value in block.state_dict().items():
        assert torch.equal(other.state_dict()[key], value), key


@pytest.mark.parametrize("source", ["slowfast", "caffe2"])
@pytest.mark.parametrize("pairwise", ["embedded_gaussian", "dot_product"])
def test_official_sources(source, pairwise):
    block = filled(dims=3, pairwise=pairwise, subsample="before")
    state = reference_names(block, source)
    other = NonLocal(8, dims=3, pairwise=pairwise, subsample="before").double().eval()
    load_reference(other, state, source)
    x = torch.randn(1, 8, 2, 4, 5, dtype=torch.float64)
    assert torch.equal(other(x), block(x))


def test_slowfast_also_says_norm():
    block = filled(dims=3)
    state = {k.replace("bn.", "norm."): v for k, v in reference_names(block, "slowfast").items()}
    other = NonLocal(8, dims=3).double()
    load_reference(other, state, "slowfast")
    assert torch.equal(other.norm.running_var, block.norm.running_var)


@pytest.mark.parametrize("prefix", ["", "nonlocal_conv4_1", "nonlocal_conv4_1_"])
def test_caffe2_blobs_with_their_prefix_and_momentum(prefix):
    block = filled(dims=3)
    state = {f"nonlocal_conv4_1_{k}": v for k, v in reference_names(block, "caffe2").items()}
    state["nonlocal_conv4_1_theta_w_momentum"] = torch.zeros(1)
    other = NonLocal(8, dims=3).double()
    load_reference(other, state, "caffe2", prefix=prefix)
    assert torch.equal(other.query.weight, block.query.weight)


@pytest.mark.parametrize("norm", ["affine", False])
def test_caffe2_without_batch_statistics(norm):
    block = filled(dims=3, norm=norm)
    other = NonLocal(8, dims=3, norm=norm).double()
    load_reference(other, reference_names(block, "caffe2"), "caffe2")
    for key, value in block.state_dict().items():
        assert torch.equal(other.state_dict()[key], value), key


def test_mmcv_without_out_bias():
    block = filled(out_bias=False)
    other = NonLocal(8, out_bias=False).double()
    load_reference(other, reference_names(block, "mmcv"), "mmcv")
    assert torch.equal(other.out.weight, block.out.weight)
    with pytest.raises(ValueError, match=r"W\.0\.bias is left over"):
        load_reference(other, reference_names(filled(), "alexhex7"), "alexhex7")


def test_a_kernel_may_have_other_trailing_ones():
    state = {k: v.flatten(1) if v.ndim > 2 else v for k, v in filled(dims=3).state_dict().items()}
    block = filled(dims=3)
    named = reference_names(block, "slowfast")
    named["conv_theta.weight"] = named["conv_theta.weight"][..., 0, 0, 0]
    other = NonLocal(8, dims=3).double()
    load_reference(other, named, "slowfast")
    assert torch.equal(other.query.weight, block.query.weight)
    named["conv_theta.weight"] = named["conv_theta.weight"].mT
    with pytest.raises(ValueError, match=r"conv_theta\.weight has shape \(8, 4\)"):
        load_reference(other, named, "slowfast")
    assert state


def test_old_checkpoints_without_batch_count():
    block = filled()
    state = reference_names(block, "alexhex7")
    del state["W.1.num_batches_tracked"]
    load_reference(NonLocal(8).double(), state, "alexhex7")


def test_post_needs_gamma_as_an_entry():
    block = randomise(SelfAttention(8, reduction=8, gamma=True))
    state = block.state_dict()
    other = SelfAttention(8, reduction=8, gamma=True)
    load_reference(other, {**state, "gamma": state["gamma"][0]}, "post")  # also without dimension
    assert torch.equal(other.gamma, block.gamma)
    del state["gamma"]
    with pytest.raises(ValueError, match=r"gamma is missing \(the post keeps gamma outside"):
        load_reference(other, state, "post")
    with pytest.raises(ValueError, match=r"gamma of the block has no counterpart"):
        load_reference(other, state, "document")


def test_wrong_source_and_wrong_block():
    with pytest.raises(ValueError, match="source must be one of"):
        load_reference(NonLocal(8), {}, "document")
    with pytest.raises(TypeError, match="block must be one of NonLocal, SelfAttention"):
        load_reference(torch.nn.Conv2d(1, 1, 1), {}, "document")
