"""llama.cpp itself, where the package xllamacpp is installed: logits and tokens of a GGUF file."""

import json
import urllib.request


class LlamaCpp:
    """llama.cpp with one model, in float32 throughout.

    Args:
        model: A GGUF file.
        lora: A GGUF file of a LoRA that is added to it.
    """

    def __init__(self, model, lora=None):
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        if lora is not None:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(lora), 1.0)]
        params.n_ctx = 64
        params.port = 0
        params.verbosity = -1
        params.warmup = False
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.server = xllamacpp.Server(params)

    def ask(self, path, **body):
        request = urllib.request.Request(
            f"{self.server.listening_address}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def log_probabilities(self, tokens, most):
        """Log-probabilities of the `most` most likely next tokens, by token id.

        They are told only beside a token that can be shown. So a bias chooses one, which does not enter them.
        """
        shown = [[self.tokens("a")[0], 1000.0]]
        said = self.ask("/completion", prompt=tokens, n_predict=1, n_probs=most, logit_bias=shown, cache_prompt=False)
        return {each["id"]: each["logprob"] for each in said["completion_probabilities"][0]["top_logprobs"]}

    def tokens(self, text):
        return self.ask("/tokenize", content=text, add_special=True, parse_special=True)["tokens"]
