"""The pipelines of transformers, with a model that PEFT adapted and with one that transformers did."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image
from transformers import ViTImageProcessor, pipeline

from tests.conformance.case import Case, NotApplicable
from tests.conformance.features.registry import feature
from tests.conformance.features.transformers_side import with_adapter
from tests.conformance.tokenizer import words

TEXT, TOKENS = "w3 w4 w5", torch.tensor([[3, 4, 5]])


def on_text(task: str, model: Any, **options: Any) -> Any:
    return pipeline(task, model=model, tokenizer=words(), device="cpu")(TEXT, **options)


def text_generation(model: Any) -> tuple[Any, Any]:
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    found = on_text("text-generation", model, return_tensors=True, **options)[0]["generated_token_ids"]
    return list(found), model.generate(input_ids=TOKENS, **options)[0].tolist()


def feature_extraction(model: Any) -> tuple[Any, Any]:
    return on_text("feature-extraction", model, return_tensors=True), model(input_ids=TOKENS).last_hidden_state


def text_classification(model: Any) -> tuple[Any, Any]:
    best = on_text("text-classification", model)[0]["score"]
    return best, model(input_ids=TOKENS).logits.softmax(-1).max().item()


def token_classification(model: Any) -> tuple[Any, Any]:
    best = [float(word["score"]) for word in on_text("token-classification", model, ignore_labels=[])]
    return best, model(input_ids=TOKENS).logits.softmax(-1).amax(-1)[0].tolist()


def image_classification(model: Any) -> tuple[Any, Any]:
    image = Image.fromarray((numpy.arange(8 * 8 * 3) % 251).astype(numpy.uint8).reshape(8, 8, 3))
    processor = ViTImageProcessor(size={"height": 8, "width": 8})
    made = pipeline("image-classification", model=model, image_processor=processor, device="cpu")
    return made(image)[0]["score"], model(**processor(image, return_tensors="pt")).logits.softmax(-1).max().item()


BY_CLASS: dict[str | None, Callable[[Any], tuple[Any, Any]]] = {
    "AutoModelForCausalLM": text_generation,
    "AutoModel": feature_extraction,
    "AutoModelForSequenceClassification": text_classification,
    "AutoModelForTokenClassification": token_classification,
    "AutoModelForImageClassification": image_classification,
}


@feature("`pipeline`")
def in_pipeline(case: Case, folder: Path) -> None:
    if case.family.auto not in BY_CLASS:
        raise NotApplicable("transformers has no pipeline for this task")
    ask = BY_CLASS[case.family.auto]
    said = []
    with torch.no_grad():
        for model in (case.adapted("a"), with_adapter(case, "a", seed=1)):
            found, wanted = ask(model)
            torch.testing.assert_close(found, wanted)
            said.append(found)
            assert not torch.equal(case.output(model), case.output(case.base()))
    torch.testing.assert_close(*said)
