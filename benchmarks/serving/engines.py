"""An engine in its own process and environment: reads a job as JSON, and writes what the engine computes to a file.

    python engines.py llama_cpp answer.json < job.json

A job names `model` and `lora` (a file for llama.cpp, a folder for vLLM), and has token ids to continue: `prefixes`,
where the log-probabilities of the `top` next tokens are asked for, and `prompts`, which are answered greedily with at
most `new_tokens`. llama.cpp is also asked for the tokens of `texts`, and what its template makes of `chats`.

It imports nothing of Qweft, since its environment has none of it.
"""

import json
import os
import sys
import urllib.request
from typing import Any


def llama_cpp(job: dict[str, Any]) -> dict[str, Any]:
    """llama.cpp by xllamacpp, with float32 in its cache, so that differences are those of the files."""
    from importlib.metadata import version

    import xllamacpp  # type: ignore[import-not-found, unused-ignore]

    params = xllamacpp.CommonParams()
    params.model.path = job["model"]
    if job["lora"]:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(job["lora"], 1.0)]
    params.n_ctx = 1024
    params.port = 0
    params.verbosity = -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # more wait for each other on a busy machine
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(params)

    def ask(path: str, **body: Any) -> Any:
        address = f"{server.listening_address}{path}"
        request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)

    def continued(tokens: list[int], most: int, **more: Any) -> Any:
        return ask("/completion", prompt=tokens, n_predict=most, temperature=0.0, return_tokens=True, **more)

    def tokens_of(text: str) -> list[int]:
        found: list[int] = ask("/tokenize", content=text, add_special=True, parse_special=True)["tokens"]
        return found

    # Probabilities are told only beside a token that can be shown, so a bias chooses one; it does not enter them.
    shown = [[tokens_of("a")[0], 1000.0]]
    probabilities = []
    for prefix in job["prefixes"]:
        first = continued(prefix, 1, n_probs=job["top"], logit_bias=shown)["completion_probabilities"][0]
        probabilities.append({each["id"]: each["logprob"] for each in first["top_logprobs"]})
    return {
        "version": f"llama.cpp, xllamacpp {version('xllamacpp')}",
        "log_probabilities": probabilities,
        "answers": [continued(prompt, job["new_tokens"])["tokens"] for prompt in job["prompts"]],
        "tokens": list(map(tokens_of, job["texts"])),
        "chats": [ask("/apply-template", messages=messages)["prompt"] for messages in job["chats"]],
    }


def vllm(job: dict[str, Any]) -> dict[str, Any]:
    """vLLM on the CPU, in float32."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    import vllm as package  # type: ignore[import-not-found, unused-ignore]
    from vllm.lora.request import LoRARequest  # type: ignore[import-not-found, unused-ignore]

    more = {"enable_lora": True, "max_lora_rank": 64, "max_loras": 1} if job["lora"] else {}
    engine = package.LLM(
        model=job["model"], dtype="float32", enforce_eager=True, max_model_len=1024, max_logprobs=job["top"],
        enable_prefix_caching=False, **more,
    )  # fmt: skip
    lora = LoRARequest("adapter", 1, job["lora"]) if job["lora"] else None

    def continued(rows: list[list[int]], most: int, top: int | None) -> list[Any]:
        how = package.SamplingParams(temperature=0.0, max_tokens=most, logprobs=top)
        prompts = [{"prompt_token_ids": row} for row in rows]
        return [each.outputs[0] for each in engine.generate(prompts, how, lora_request=lora, use_tqdm=False)]

    first = [each.logprobs[0] for each in continued(job["prefixes"], 1, job["top"])]
    return {
        "version": f"vLLM {package.__version__}",
        "log_probabilities": [{token: each.logprob for token, each in found.items()} for found in first],
        "answers": [list(each.token_ids) for each in continued(job["prompts"], job["new_tokens"], None)],
        "tokens": None,
        "chats": None,
    }


if __name__ == "__main__":
    answer = {"llama_cpp": llama_cpp, "vllm": vllm}[sys.argv[1]](json.load(sys.stdin))
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(answer, file)
    os._exit(0)  # servers in threads need not be joined
