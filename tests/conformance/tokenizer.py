"""A tokenizer for the families' vocabulary: the word w7 is token 7."""

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.conformance.families import VOCABULARY


def words() -> PreTrainedTokenizerFast:
    """Words at white space; 0 is padding, 1 the start, 2 the end of a text."""
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2, **{f"w{token}": token for token in range(3, VOCABULARY)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w3"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="w3"
    )
