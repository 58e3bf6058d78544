"""A tiny byte-level tokenizer, trained here: no file and no network is needed."""

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
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>")
    fast.chat_template = template
    return fast


def learned_text(row, tokenizer):
    """The learned spans of a row as text."""
    stretches = []
    open_stretch = False
    for label in row["labels"]:
        if label == IGNORED:
            open_stretch = False
            continue
        if not open_stretch:
            stretches.append([])
        stretches[-1].append(label)
        open_stretch = True
    return [tokenizer.decode(ids) for ids in stretches]
