"""E writes to those outputs of a layer to which the loss's gradient is largest."""

import torch
from peft import get_peft_model

from qweft import QwthnConfig, find_bases
from tests.adapter.test_bases import layers_of
from tests.tiny_models import tiny_llama

TOKENS = torch.arange(48).view(4, 12) % 40
BATCH = {"input_ids": TOKENS, "labels": TOKENS}


def adapted(found=True, **changes):
    torch.manual_seed(3)
    config = QwthnConfig.preset("sparse", width=4, target_modules=["q_proj", "down_proj"], **changes)
    model = get_peft_model(tiny_llama(), config)
    if found and config.init_weights:  # which has random ones already
        find_bases(model, [BATCH])
    return model


def outputs(layer):
    """Where a layer's E writes, (d_out,)."""
    expand = layer.qwthn_expand["default"]
    return expand.chosen(expand.weight).bool()


def gradients():
    """Of the base model's weights, by autograd."""
    torch.manual_seed(3)
    model = tiny_llama()
    model(**BATCH).loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_the_outputs_are_those_with_the_longest_rows_of_the_gradient():
    of_base = gradients()
    for name, layer in layers_of(adapted()).items():
        expand = layer.qwthn_expand["default"]
        norms = of_base[name.removeprefix("base_model.model.") + ".weight"].norm(dim=1)
        assert expand.count == round(0.32 * len(norms))
        assert set(outputs(layer).nonzero().flatten().tolist()) == set(norms.topk(expand.count).indices.tolist())


def test_what_is_trained_gets_the_gradient_of_these_rows_of_a_dense_map():
    sparse, dense = adapted(init_weights=False), adapted(init_weights=False, expand="dense")
    of_dense = layers_of(dense)
    with torch.no_grad():
        for name, layer in layers_of(sparse).items():
            mine, theirs = layer.branch_of("default"), of_dense[name].branch_of("default")
            theirs.compress.load_state_dict(mine.compress.state_dict())
            theirs.expand.weight.copy_(mine.expand.matrix())
    losses = [model(**BATCH).loss for model in (sparse, dense)]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    for name, layer in layers_of(sparse).items():
        mine, theirs = layer.branch_of("default"), of_dense[name].branch_of("default")
        rows = theirs.expand.weight.grad[outputs(layer)]
        assert rows.abs().max() > 0
        torch.testing.assert_close(mine.expand.linear_weight.grad, rows)
        delta, chosen = layer.get_delta_weight("default"), outputs(layer)
        assert (delta[chosen].norm(dim=1) > 0).all() and not delta[~chosen].any()
        torch.testing.assert_close(mine.compress.linear_weight.grad, theirs.compress.linear_weight.grad)
