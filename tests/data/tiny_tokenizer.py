"""A tiny byte-level tokenizer, trained here: no file and no network is needed."""

from itertools import groupby

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from qweft.data.tokens import IGNORED

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXT = [
    "How many apples are there? There are 12 apples.",
    "User: hello\nAssistant: hi, how are you?",
    "äöü 你好 😀",
] * 4


def make_tokenizer(template):
    """The tokenizer with a chat template, or without one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>")
    fast.chat_template = template
    return fast


def learned_texts(row, tokenizer):
    """The learned spans of a row as texts."""
    texts = []
    for is_learned, run in groupby(row["labels"], key=lambda label: label != IGNORED):
        if is_learned:
            texts.append(tokenizer.decode(list(run)))
    return texts
