"""The training loop: same order for all, schedule, accumulation, divergence."""

import dataclasses

import pytest
import torch
from peft import AdaLoraConfig, LoraConfig, get_peft_model
from transformers import BartConfig, BartForCausalLM, GPT2Config, GPT2LMHeadModel, MixtralConfig, MixtralForCausalLM

from qweft import QwthnConfig
from qweft.training import loop
from qweft.training.config import TrainingConfig
from qweft.training.loop import DivergedError, arguments, fit, steps_of
from tests.tiny_models import tiny_llama

TRAINING = TrainingConfig(learning_rate=1e-2, max_steps=6, batch_size=2, gradient_accumulation=1, seed=3)


def rows(count=20):
    generator = torch.Generator().manual_seed(0)
    made = []
    for number in range(count):
        ids = torch.randint(3, 64, (5 + number % 4,), generator=generator).tolist()
        made.append({"input_ids": ids, "labels": [-100, -100, *ids[2:]]})
    return made


def adapted(config=None):
    torch.manual_seed(0)
    return get_peft_model(tiny_llama(), config or QwthnConfig.preset("qtha", r=2, width=8, bond_dimension=2))


SIZES = {"vocab_size": 64, "d_model": 16, "decoder_layers": 1, "decoder_ffn_dim": 16, "decoder_attention_heads": 2}


def tiny_bart():
    """Its own loss does not shift the labels."""
    return BartForCausalLM(BartConfig(**SIZES, max_position_embeddings=64, dropout=0.0))


def still_gpt2():
    """Without dropout. Of its labels the trainer counts those of the first tokens, too."""
    sizes = {"vocab_size": 64, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    return GPT2LMHeadModel(GPT2Config(**sizes, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0))


def tiny_mixtral():
    """Its own loss has a term for the balance of the experts."""
    config = MixtralConfig(
        vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, num_local_experts=4, output_router_logits=True, router_aux_loss_coef=0.5,
    )  # fmt: skip
    return MixtralForCausalLM(config)


def averaging_llama():
    """As Gemma 4: the trainer averages the means of its batches."""
    model = tiny_llama()
    model.accepts_loss_kwargs = False
    return model


@pytest.mark.parametrize("whole_text", [False, True], ids=["answers", "plain text"])
@pytest.mark.parametrize("base", [tiny_llama, still_gpt2, tiny_bart, tiny_mixtral, averaging_llama])
def test_the_loss_is_the_mean_over_the_targets_of_a_step(base, whole_text):
    """By hand in float64 for the first step, whatever the model's own loss is, and however the step is divided."""
    made = rows(8)
    for row in made[::2]:
        row["input_ids"] = row["input_ids"] * 3
        row["labels"] = [-100, -100, *row["input_ids"][2:]]
    if whole_text:
        made = [{"input_ids": row["input_ids"], "labels": row["input_ids"]} for row in made]
    torch.manual_seed(0)
    model = base().eval()
    losses = []
    with torch.no_grad():
        for row in made:
            ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])
            logits = model(input_ids=ids).logits[0, :-1].double()
            losses.append(torch.nn.functional.cross_entropy(logits, labels[1:], reduction="none")[labels[1:] != -100])
    wanted = torch.cat(losses).mean().item()
    for batch, accumulation in ((8, 1), (2, 4)):
        torch.manual_seed(0)
        config = LoraConfig(r=2, target_modules=r".*(q_proj|c_attn)")
        training = dataclasses.replace(TRAINING, batch_size=batch, gradient_accumulation=accumulation, max_steps=1)
        found = fit(get_peft_model(base(), config), made, 0, training)
        assert found.curve[0][1] == pytest.approx(wanted, rel=1e-5)


def test_a_method_keeps_the_term_that_it_adds_to_the_loss():
    training = dataclasses.replace(TRAINING, batch_size=8, max_steps=1)
    same = {"target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
    regular = AdaLoraConfig(init_r=4, target_r=2, total_step=6, tinit=1, tfinal=1, orth_reg_weight=5.0, **same)
    losses = [
        fit(get_peft_model(tiny_llama(), config), rows(8), 0, training).curve[0][1]
        for config in (LoraConfig(r=2, **same), regular)
    ]
    assert losses[1] > losses[0] + 1


@pytest.mark.parametrize("seed", [0, 1])
def test_every_method_sees_the_same_rows_in_the_same_order(monkeypatch, seed):
    orders = []

    class Watched(loop.Collator):
        def __call__(self, batch):
            orders[-1].append([row["input_ids"] for row in batch])
            return super().__call__(batch)

    monkeypatch.setattr(loop, "Collator", Watched)
    for config in (None, LoraConfig(r=3, target_modules=["q_proj"])):
        orders.append([])
        fit(adapted(config), rows(), 0, dataclasses.replace(TRAINING, seed=seed))
    assert orders[0][:6] == orders[1][:6]
    assert orders[0][0] != [row["input_ids"] for row in rows()[:2]]


def test_steps_and_warm_up():
    by_epochs = TrainingConfig(epochs=3, batch_size=4, gradient_accumulation=8)
    assert steps_of(by_epochs, 3000) == 3 * 94
    assert steps_of(by_epochs, 5) == 3
    assert arguments(by_epochs, 3000, "unused").warmup_steps == 29
    assert arguments(by_epochs, 3000, "unused").lr_scheduler_type == "cosine"
    assert arguments(by_epochs, 3000, "unused").report_to == []


def test_a_loss_that_is_not_a_number_is_said():
    model = adapted()
    with torch.no_grad():
        model.base_model.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"not a number from step 1 on; lower training.learning_rate \(now 0.01\)"):
        fit(model, rows(), 0, TRAINING)


@pytest.mark.parametrize(("rows", "batches"), [(4, 1), (60, 1), (130, 2), (2000, 4)])
def test_accumulation_follows_the_number_of_rows(rows, batches):
    assert TrainingConfig().for_rows(rows).gradient_accumulation == batches
    assert TrainingConfig(gradient_accumulation=4).for_rows(rows).gradient_accumulation == 4


def test_a_rate_of_short_trainings_is_lowered_for_a_longer_one():
    """The power of the steps, in the weights: the same training as with the scaled rate, and not with another."""

    def trained(**changes):
        model = adapted()
        fit(model, rows(), 0, dataclasses.replace(TRAINING, **changes))
        return torch.cat([each.detach().flatten() for each in model.parameters() if each.requires_grad])

    scaled = 1e-2 * (2 / 6) ** 0.2
    assert torch.equal(trained(found_in_steps=2), trained(learning_rate=scaled))
    assert torch.equal(trained(found_in_steps=9), trained())
    assert not torch.equal(trained(found_in_steps=2), trained())
