"""A tiny model with random weights and a tokenizer, saved as a local folder; for shapes and plumbing only."""

import json

from tests.data.tiny_tokenizer import CHATML, make_tokenizer
from tests.tiny_models import tiny_llama


def save_tiny_model(folder, make=tiny_llama):
    """The folder, as `model.name` takes it."""
    tokenizer = make_tokenizer(CHATML)
    model = make()
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def save_rows(path, count=40):
    """A jsonl file of short questions and answers."""
    rows = [{"prompt": f"What follows {number}?", "completion": f"{number + 1} does."} for number in range(count)]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)
