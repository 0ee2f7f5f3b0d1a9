"""Names of every source, on state dicts made here from facts about each."""

import pytest
import torch
from cases import randomise
from systems.non_local import PAIRWISE

from attnlib import NonLocal, SelfAttention, load_reference

OURS = {"query": "theta", "key": "phi", "value": "g", "out": "out"}


def filled(**options):
    return randomise(NonLocal(8, **options)).double().eval()


def reference_names(block, source):
    """Write a block's state under the names that a source gives it."""
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
            w_f = "concat_project.0.weight"
            name = f"{names[layer]}.{kind}" if kind else w_f
        elif source == "mmcv":
            names = {
                "query": "theta.conv",
                "key": f"phi{tail}.conv",
                "value": f"g{tail}.conv",
                "out": "conv_out.conv",
                "norm": "conv_out.bn",
            }
            w_f = "concat_project.conv.weight"
            name = f"{names[layer]}.{kind}" if kind else w_f
        elif source == "slowfast":
            owner = f"conv_{OURS[layer]}" if layer in OURS else "bn"
            name = f"{owner}.{kind}"
        else:
            blobs = {
                "weight": "s",
                "bias": "b",
                "running_mean": "rm",
                "running_var": "riv",
            }
            if kind == "num_batches_tracked":
                continue
            short = {"weight": "w", "bias": "b"}
            if layer in OURS:
                name = f"{OURS[layer]}_{short[kind]}"
            else:
                name = f"bn_{blobs[kind]}"
        is_kernel = key == "w_f"
        state[name] = (
            value[None, :, None, None] if is_kernel else value.clone()
        )
    return state


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("source", ["alexhex7", "mmcv"])
@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("subsample", [None, "after"])
@pytest.mark.parametrize("norm", [True, False])
def test_pytorch_sources(dims, source, pairwise, subsample, norm):
    options = {"dims": dims, "pairwise": pairwise}
    options.update(subsample=subsample, norm=norm)
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
    other = NonLocal(8, dims=3, pairwise=pairwise, subsample="before")
    other.double().eval()
    load_reference(other, state, source)
    x = torch.randn(1, 8, 2, 4, 5, dtype=torch.float64)
    assert torch.equal(other(x), block(x))


def test_slowfast_also_says_norm():
    block = filled(dims=3)
    state = reference_names(block, "slowfast")
    state = {k.replace("bn.", "norm."): v for k, v in state.items()}
    other = NonLocal(8, dims=3).double()
    load_reference(other, state, "slowfast")
    assert torch.equal(other.norm.running_var, block.norm.running_var)


@pytest.mark.parametrize(
    "prefix", ["", "nonlocal_conv4_1", "nonlocal_conv4_1_"]
)
def test_caffe2_blobs_with_their_prefix_and_momentum(prefix):
    block = filled(dims=3)
    state = reference_names(block, "caffe2")
    state = {f"nonlocal_conv4_1_{k}": v for k, v in state.items()}
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
    state = reference_names(filled(), "alexhex7")
    with pytest.raises(ValueError, match=r"W\.0\.bias is left over"):
        load_reference(other, state, "alexhex7")


def test_a_kernel_may_have_other_trailing_ones():
    state = {
        k: v.flatten(1) if v.ndim > 2 else v
        for k, v in filled(dims=3).state_dict().items()
    }
    block = filled(dims=3)
    named = reference_names(block, "slowfast")
    named["conv_theta.weight"] = named["conv_theta.weight"][..., 0, 0, 0]
    other = NonLocal(8, dims=3).double()
    load_reference(other, named, "slowfast")
    assert torch.equal(other.query.weight, block.query.weight)
    named["conv_theta.weight"] = named["conv_theta.weight"].mT
    wrong = r"conv_theta\.weight has shape \(8, 4\)"
    with pytest.raises(ValueError, match=wrong):
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
    scalar = {**state, "gamma": state["gamma"][0]}  # also without dimension
    load_reference(other, scalar, "post")
    assert torch.equal(other.gamma, block.gamma)
    del state["gamma"]
    missing = r"gamma is missing \(the post keeps gamma outside"
    with pytest.raises(ValueError, match=missing):
        load_reference(other, state, "post")
    extra = "gamma of the block has no counterpart"
    with pytest.raises(ValueError, match=extra):
        load_reference(other, state, "document")


def test_wrong_source_and_wrong_block():
    with pytest.raises(ValueError, match="source must be one of"):
        load_reference(NonLocal(8), {}, "document")
    accepted = "block must be one of .*NonLocal, .*SelfAttention, .*got Conv2d"
    with pytest.raises(TypeError, match=accepted):
        load_reference(torch.nn.Conv2d(1, 1, 1), {}, "document")
