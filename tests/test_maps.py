"""The vocabulary of attention maps, against counting by hand."""

import math

import pytest
import torch

from attnlib import NonLocal, maps

# Six positions, 2 x 3. Row 0: all on one; row 1: two equal; row 2: uniform;
# row 3: signed, sums to zero; row 4: nothing; row 5: the opposite corner.
A = torch.zeros(6, 6, dtype=torch.float64)
A[0, 0] = 1
A[1, 0] = A[1, 2] = 0.5
A[2] = 1 / 6
A[3, 4], A[3, 5] = 2.0, -2.0
A[5, 0] = 3.0


def test_row_sums_and_support():
    sums = torch.tensor([1, 1, 1, 0, 0, 3], dtype=torch.float64)
    torch.testing.assert_close(maps.row_sums(A), sums)
    assert maps.support(A).tolist() == [1, 2, 6, 2, 0, 1]
    assert maps.support(A, tolerance=0.2).tolist() == [1, 2, 0, 2, 0, 1]


def test_entropy_counts_positions_that_share():
    wanted = [0, math.log(2), math.log(6), math.log(2), math.nan, 0]
    torch.testing.assert_close(
        maps.entropy(A),
        torch.tensor(wanted, dtype=torch.float64),
        equal_nan=True,
    )


def test_reach_is_a_distance_in_pixels():
    # Positions 0..5 stand at (0,0) (0,1) (0,2) (1,0) (1,1) (1,2).
    wanted = [
        0,
        1,  # from (0,1) to (0,0) and (0,2)
        math.sqrt((4 + 1 + 0 + 5 + 2 + 1) / 6),  # from (0,2)
        math.sqrt((1 + 4) / 2),  # from (1,0) to (1,1) and (1,2)
        math.nan,
        math.sqrt(5),  # from (1,2) to (0,0)
    ]
    torch.testing.assert_close(
        maps.reach(A, (2, 3)),
        torch.tensor(wanted, dtype=torch.float64),
        equal_nan=True,
    )
    # The same rows on one line of six are other distances.
    assert maps.reach(A, (1, 6))[5] == 5


def test_rank():
    assert maps.rank(A) == 4  # row 5 is three times row 0, row 4 is empty
    assert maps.rank(torch.stack([A, torch.eye(6).double()])).tolist() == [
        4,
        6,
    ]


def test_they_take_what_a_block_returns():
    torch.manual_seed(0)
    block = NonLocal(4, norm=False, dtype=torch.float64)
    attention = block.attention_map(torch.randn(2, 4, 3, 5).double())
    shape = (2, 1, 15)
    for values in (
        maps.row_sums(attention),
        maps.support(attention),
        maps.entropy(attention),
        maps.reach(attention, (3, 5)),
    ):
        assert values.shape == shape
    assert maps.rank(attention).shape == (2, 1)
    torch.testing.assert_close(
        maps.row_sums(attention), torch.ones(shape, dtype=torch.float64)
    )
    assert (maps.entropy(attention) <= math.log(15)).all()
    # A half-precision map is answered in its own type.
    assert maps.entropy(attention.bfloat16()).dtype == torch.bfloat16


def test_half_precision_neither_overflows_nor_raises():
    far = torch.zeros(300, 300, dtype=torch.float16)
    far[:, 0] = 300.0
    assert maps.reach(far, (1, 300))[-1] == 299
    assert maps.rank(far) == 1
    even = torch.full((300, 300), 300.0, dtype=torch.float16)
    assert abs(maps.entropy(even)[0] - math.log(300)) < 0.01


@pytest.mark.parametrize("name", ["row_sums", "support", "entropy", "rank"])
def test_bad_maps_are_refused(name):
    measure = getattr(maps, name)
    with pytest.raises(ValueError, match=r"attention must be \(\*, N, N\)"):
        measure(torch.ones(3, 4))
    with pytest.raises(ValueError, match="attention"):
        measure(torch.ones(3))
    with pytest.raises(TypeError, match="attention must be a floating"):
        measure(torch.ones(3, 3, dtype=torch.int64))
    with pytest.raises(TypeError, match="attention must be a tensor"):
        measure([[1.0]])


def test_reach_refuses_a_size_that_does_not_fit():
    with pytest.raises(ValueError, match=r"size must multiply to N = 6"):
        maps.reach(A, (2, 2))
