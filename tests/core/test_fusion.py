import torch

from thinklogit.core.fusion import MemberLogits, fuse, uncap


def test_is_the_formula():
    target, guider, base = torch.randn(3, 4, 9)
    alphas = torch.tensor([[0.0], [0.5], [1.0], [-1.0]])
    torch.testing.assert_close(fuse(target, [MemberLogits(guider, base)], alphas), target + alphas * (guider - base))


def test_is_the_product_of_experts_it_claims_to_be():
    target, guider, base = torch.randn(3, 9)
    fused = fuse(target, [MemberLogits(guider, base)], torch.tensor([0.7])).softmax(-1)
    product = target.softmax(-1) * (guider.softmax(-1) / base.softmax(-1)) ** 0.7
    torch.testing.assert_close(fused, product / product.sum())


def test_leaves_its_inputs_alone():
    target, guider, base = torch.randn(3, 2, 9)
    before = target.clone()
    fuse(target, [MemberLogits(guider, base)], torch.ones(2, 1), torch.arange(9) < 5)
    assert torch.equal(target, before)


def test_sums_in_float32():
    """In bfloat16 the guider would come back off by 0.016; so sums are taken in float32 whatever comes in."""
    guider = torch.linspace(-20, 20, 50, dtype=torch.bfloat16)
    target = base = torch.linspace(7, -7, 50, dtype=torch.bfloat16)
    fused = fuse(target, [MemberLogits(guider, base)], torch.ones(1))
    assert fused.dtype == torch.float32
    torch.testing.assert_close(fused, guider.float(), atol=1e-5, rtol=0)


def test_members_wider_and_narrower_than_the_target():
    target = torch.zeros(1, 6)
    wide, narrow = torch.full((1, 8), 2.0), torch.full((1, 4), 1.0)
    fused = fuse(target, [MemberLogits(wide, narrow)], torch.ones(1, 1))
    assert fused[0].tolist() == [1, 1, 1, 1, 0, 0]


def test_foreign_rows_get_no_delta_even_where_their_logits_are_huge():
    target = torch.zeros(5)
    guider, base = torch.tensor([1.0, 2.0, 99.0, 3.0, 4.0]), torch.tensor([4.0, 3.0, -99.0, 2.0, 1.0])
    shared = torch.tensor([True, True, False, True, True])
    fused = fuse(target, [MemberLogits(guider, base, shared)], torch.ones(1))
    assert fused[2] == 0
    torch.testing.assert_close(fused[shared], guider[shared] - base[shared])


def test_uncap_inverts_the_soft_cap_and_stays_finite_on_it():
    raw = torch.linspace(-40, 40, 33)
    torch.testing.assert_close(uncap(torch.tanh(raw / 30) * 30, 30.0), raw, atol=1e-3, rtol=1e-3)
    assert uncap(torch.tensor([30.0, -30.0]), 30.0).isfinite().all()
