"""Fault 14: endless generation because the end token was masked as padding.

A model that pads with its end token learns to end, through our own rows and batches.
"""

import torch

from qweft.data.batches import Collator
from qweft.data.tokens import IGNORED
from tests.tiny_models import tiny_llama

END = 2


def test_a_model_that_pads_with_its_end_token_learns_to_end():
    model = tiny_llama().train()
    rows = []
    for prompt, answer in (([5, 6], [7, 8, 9]), ([10, 11, 12], [13])):
        rows.append({"input_ids": [*prompt, *answer, END], "labels": [IGNORED] * len(prompt) + [*answer, END]})
    batch = Collator(pad_token_id=END)(rows)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(40):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    for row in rows:
        prompt = [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label == IGNORED]
        ids = torch.tensor([prompt])
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20, eos_token_id=END,
            pad_token_id=END,
        )  # fmt: skip
        assert found[0].tolist() == row["input_ids"]
