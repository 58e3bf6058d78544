"""The operator against the dense matrix that its formula spells out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qweft.tensornet import MatrixProductOperator, choose_modes
from qweft.tensornet.mpo import recorded_start, scaled_start, small_start


def by_the_formula(operator):
    """The sum over bonds, written out for four cores, in float64."""
    matrix = torch.einsum("ajib,bkmc,clnd,dpqe->jklpimnq", *[core.detach() for core in operator.cores])
    return matrix.reshape(operator.out.padded, operator.into.padded)[: operator.out.size, : operator.into.size]


def dense_of(operator):
    """The matrix of an operator, as its products give it."""
    return operator.left_multiply(torch.eye(operator.out.size).to(operator.cores[0]))


def random_operator(out, into, bond):
    operator = MatrixProductOperator(choose_modes(out), choose_modes(into), bond).double()
    for core in operator.cores:
        torch.nn.init.normal_(core)
    return operator


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 5), st.integers(1, 4))
def test_equals_the_dense_matrix(out, into, bond, rows):
    operator = random_operator(out, into, bond)
    dense = by_the_formula(operator)
    scale = dense.abs().max().clamp(min=1)
    left, right = torch.randn(rows, out).double(), torch.randn(into, rows).double()
    torch.testing.assert_close(dense_of(operator) / scale, dense / scale, rtol=0, atol=1e-10)
    torch.testing.assert_close(operator.left_multiply(left) / scale, left @ dense / scale, rtol=0, atol=1e-10)
    torch.testing.assert_close(operator.right_multiply(right) / scale, dense @ right / scale, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("out", "into"), [(256, 576), (3584, 256), (256, 10007)])
def test_equals_the_dense_matrix_at_real_sizes(out, into):
    operator = MatrixProductOperator(choose_modes(out), choose_modes(into), 8).double()
    recorded_start(operator)
    torch.testing.assert_close(dense_of(operator), by_the_formula(operator), rtol=0, atol=1e-10)


def test_many_operators_at_once_are_each_by_itself():
    operators = [random_operator(30, 21, 3) for _ in range(6)]
    cores = [torch.stack(found).unflatten(0, (2, 3)) for found in zip(*(list(o.cores) for o in operators), strict=True)]
    left, right = torch.randn(2, 3, 4, 30).double(), torch.randn(2, 3, 21, 5).double()
    by_left, by_right = operators[0].left_multiply(left, cores), operators[0].right_multiply(right, cores)
    for place, operator in enumerate(operators):
        at = divmod(place, 3)
        torch.testing.assert_close(by_left[at], left[at] @ dense_of(operator), rtol=0, atol=1e-10)
        torch.testing.assert_close(by_right[at], dense_of(operator) @ right[at], rtol=0, atol=1e-10)


def test_gradients_are_those_of_the_dense_matrix():
    operator = random_operator(12, 30, 3)
    left = torch.randn(2, 12).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda m, *cores: operator.left_multiply(m), (left, *operator.cores))
    right = torch.randn(30, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda m, *cores: operator.right_multiply(m), (right, *operator.cores))


def test_starts():
    torch.manual_seed(0)
    operator = MatrixProductOperator(choose_modes(256), choose_modes(576), 8)
    scaled_start(operator, 1 / 576)
    variances = []
    for _ in range(20):
        scaled_start(operator, 1 / 576)
        variances.append(dense_of(operator).square().mean())
    torch.testing.assert_close(torch.stack(variances).mean(), torch.tensor(1 / 576), rtol=0.2, atol=0)
    torch.nn.init.zeros_(operator.cores[-1])
    assert not dense_of(operator).any()
    recorded_start(operator)
    assert operator.cores[1].std().item() == pytest.approx((2 / (8 * 6)) ** 0.5, rel=0.1)
    small_start(operator)
    assert operator.cores[1].std().item() == pytest.approx((2 / (4 * 6 * 8)) ** 0.5, rel=0.1)


def test_unequal_cores_are_refused():
    with pytest.raises(ValueError, match=r"as many output modes.*\[4, 4\], \[2, 2, 2\]"):
        MatrixProductOperator(choose_modes(16, (4, 4)), choose_modes(8, (2, 2, 2)), 2)
