"""Checks of single values and names; each error states what is wrong, the value, and the way out."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar

from qweft.errors import MOST_WAITING, QweftError
from qweft.method.peft_methods import fields_of
from qweft.text import near, shown

FORMS = {
    "target_modules": r"(?:{})\Z",
    "exclude_modules": r"(?:{})\Z",
    "layers_pattern": r"(?:^|.*?\.){}\.(?P<idx>\d+)\.",
    "rank_pattern": r"(.*\.)?({})$",
    "alpha_pattern": r"(.*\.)?({})$",
    "modules_to_save": r"(^|.*\.){}($|\..*)",
    "feedforward_modules": r"(?:{})\Z",
    "n_frequency_pattern": r"(.*\.)?({})$",
    "block_size_pattern": r".*\.{}$",
    "lambda_pattern": r"(.*\.)?({})$",
}
"""Fields whose texts PEFT compares with names of modules, and the expression that it makes of each text."""
ORDERED = ("rank_pattern", "alpha_pattern", "n_frequency_pattern", "block_size_pattern", "lambda_pattern")
"""Those of which PEFT takes the first that matches."""
INSTEAD = {
    "lora_alpha": "it is called alpha here",
    "lora_dropout": "it is called dropout here",
    "init_lora_weights": "it is called init_weights here",
    "use_rslora": "choose alpha yourself; the branch is scaled by alpha / r",
    "use_dora": "DoRA normalises a merged weight, which a branch with a circuit has not",
    "target_parameters": "the branch adapts linear layers, not bare parameters",
    "layer_replication": "repeat the layers of the base model before the adapter is put on",
    "megatron_config": "Megatron's parallel layers are not adapted",
    "megatron_core": "Megatron's parallel layers are not adapted",
    "fan_in_fan_out": "it is found out from the layer",
    "lora_bias": "the branch has no bias; train the layer's own with bias",
    "ensure_weight_tying": "a branch beside a tied layer is its own; what is trained whole stays tied as PEFT ties it",
}
"""What to do instead, for each name of LoRA's that this method lacks."""
LONGEST_EXPRESSION = 10_000
"""Maximum length of a regular expression in characters."""
MOST_ENTRIES = 10_000
"""Most names or expressions in one field of a config; PEFT compares each of them with each module."""
MOST_REPLICATED = 1024
"""Most layers that `layer_replication` of a saved LoRA may make of the base model's."""
ROUNDS = ("num_cayley_neumann_terms", "psoft_svd_lowrank_niter", "n_skills", "n_splits", "depth")
"""Fields of PEFT's configs that are numbers of terms, iterations or parts, for each of which PEFT's Python loops."""
MOST_ROUNDS = 1000
"""Most rounds of a loop inside PEFT that a config may ask for; five to a hundred are usual."""
PATIENCE = 3.0
"""Processor seconds in which an expression is matched with all names of a model, at most; milliseconds are usual."""
MATCH_ALL = """
import contextlib, json, re, signal, sys
seconds, expressions, names = json.load(sys.stdin)
if hasattr(signal, "setitimer"):
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
for expression in expressions:
    print(flush=True)
    with contextlib.suppress(re.error, OverflowError, RecursionError):
        compiled = re.compile(expression)
        for name in names:
            compiled.match(name)
"""
"""Program that matches expressions with names, and ends after its processor seconds.

`re` cannot be interrupted in a thread, but a process can be ended. Its start and its waiting do not count, since both
take seconds on a busy machine.
"""
Config = TypeVar("Config", bound=type)


def closest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" if a known name is close, else an empty string."""
    found = near(name, known)
    return f"; did you mean {found[0]!r}?" if found else ""


def check_whole(name: str, value: Any) -> None:
    """Raise unless the value is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise QweftError(f"{name} must be a whole number of at least 1, got {shown(value)}")


def check_number(name: str, value: Any) -> None:
    """Raise unless the value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise QweftError(f"{name} must be a number, got {shown(value)}")


def check_shared(values: Mapping[str, Any]) -> None:
    """Check the types of fields that methods share: names of modules, patterns, tokens and blocks.

    Args:
        values: Values by field. What is `None` or not there is left out.

    Raises:
        QweftError: Naming the field, its value and what is allowed.
    """
    for name in ("layers_to_transform", *FORMS):
        check_few(name, values.get(name))
    for name in ORDERED:
        patterns = values.get(name)
        if patterns is not None and not isinstance(patterns, dict):
            raise QweftError(f"{name} must map names to values, as {{name: value}}, got {shown(patterns)}")
        for pattern in patterns or {}:
            check_expression(name, pattern)
    for name in ("target_modules", "exclude_modules", "modules_to_save"):
        value = values.get(name)
        named = isinstance(value, list | tuple | set) and all(isinstance(item, str) for item in value)
        if value is not None and not named and not (isinstance(value, str) and name != "modules_to_save"):
            raise QweftError(f"{name} must be a list of names, as [q_proj, v_proj], got {shown(value)}")
    chosen = values.get("trainable_token_indices")
    for tokens in chosen.values() if isinstance(chosen, dict) else [] if chosen is None else [chosen]:
        if not isinstance(tokens, list) or not all(type(token) is int and token >= 0 for token in tokens):
            raise QweftError(
                f"trainable_token_indices must be a list of token ids, or lists by module, got {shown(chosen)}"
            )
    blocks = values.get("layers_to_transform")
    if blocks is not None and not all(type(item) is int for item in (blocks if isinstance(blocks, list) else [blocks])):
        raise QweftError(f"layers_to_transform must be a block number or a list of them, got {shown(blocks)}")


def check_expression(name: str, value: Any) -> None:
    """Raise unless the value is a regular expression of bounded length."""
    if isinstance(value, str):
        _check_length(name, value)
    try:
        re.compile(value)
    except (re.error, TypeError, OverflowError, RecursionError) as error:
        raise QweftError(f"{name} {str(value)[:80]!r} is no regular expression: {error}") from error


def check_quick(config: Any, names: Iterable[str]) -> None:
    """Check that the expressions of a PEFT config are matched with the names of a model in bounded time.

    An expression such as `(a+)+b` can take years for a name of forty characters, and nothing ends a match that runs.
    So expressions that could be slow are tried in a process of their own first.

    Args:
        config: Config of any of PEFT's methods.
        names: Names of the model's modules.

    Raises:
        QweftError: Naming the field whose expression is too slow or too long, which has too many of them, or which
            makes PEFT loop for too long.
    """
    for field in ("layers_to_transform", *FORMS):
        check_few(field, getattr(config, field, None))
    _check_replication(getattr(config, "layer_replication", None))
    _check_rounds(config)
    tried = []
    for field, source, expression in _expressions(config):
        _check_length(field, source)
        if not _is_simple(source):
            tried.append((field, source, expression))
    if not tried:
        return
    begun = _expressions_begun([expression for _, _, expression in tried], list(names))
    if begun is not None:
        field, source, _ = tried[max(0, begun - 1)]
        raise QweftError(
            f"{field} {shown(source)}: matching this expression with the model's names takes longer than "
            f"{PATIENCE:g} s; list the names instead, as [q_proj, v_proj]"
        )


def _expressions_begun(expressions: list[str], names: list[str]) -> int | None:
    """Match expressions with names; return how many were begun if that takes too long, else `None`."""
    command = [sys.executable, "-I", "-S", "-c", MATCH_ALL]
    given = json.dumps([PATIENCE, expressions, names]).encode()
    try:
        done = subprocess.run(command, input=given, timeout=MOST_WAITING * PATIENCE, capture_output=True)
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").count(b"\n")
    is_late = done.returncode < 0 and -done.returncode == getattr(signal, "SIGPROF", None)
    return done.stdout.count(b"\n") if is_late else None


def _adapted(config: Any, names: Collection[str]) -> Collection[str]:
    """Return the names of the modules that a config targets; all of them where PEFT chooses them by the model."""
    from peft.tuners.tuners_utils import check_target_module_exists  # after `check_quick`

    if not getattr(config, "target_modules", None) or config.target_modules == "all-linear":
        return names
    return [name for name in names if check_target_module_exists(config, name)]


def check_order(config: Any, names: Collection[str]) -> None:
    """Check that each layer has the value of the same pattern before and after the config is saved.

    PEFT takes the first pattern that matches a layer, and its file has the patterns in alphabetical order.

    Args:
        config: Config of any of PEFT's methods, after `check_quick`.
        names: Names of the model's modules.

    Raises:
        QweftError: Naming a layer whose first pattern would be another in the file, with another value.
    """
    for field in ORDERED:
        patterns = getattr(config, field, None) or {}
        if len(patterns) < 2 or list(patterns) == sorted(patterns, key=str):
            continue
        try:
            forms = {text: re.compile(FORMS[field].replace("{}", text)) for text in patterns}
        except re.error:  # PEFT says which
            continue
        for name in _adapted(config, names):
            matching = [text for text, form in forms.items() if form.match(name)]
            if matching and patterns[matching[0]] != patterns[min(matching)]:
                raise QweftError(
                    f"{field}: {name} matches {shown(matching[0])} and {shown(min(matching))}. The first one counts, "
                    f"and a saved adapter has them in alphabetical order. So {patterns[matching[0]]} would become "
                    f"{patterns[min(matching)]}; let each layer match one"
                )


def _check_length(name: str, expression: str) -> None:
    """Raise for an expression that takes long to compile."""
    if len(expression) > LONGEST_EXPRESSION:
        raise QweftError(
            f"{name} {expression[:80]!r}... has {len(expression):,} characters, and an expression may have "
            f"{LONGEST_EXPRESSION:,}; list the names instead"
        )


def check_few(name: str, value: Any) -> None:
    """Raise for a collection of more names or expressions than are compared with those of a model."""
    if isinstance(value, Collection) and not isinstance(value, str) and len(value) > MOST_ENTRIES:
        raise QweftError(
            f"{name} has {len(value):,} entries, and at most {MOST_ENTRIES:,} are compared with the names of a model; "
            "give an expression that fits several layers"
        )


def _check_replication(ranges: Any) -> None:
    """Raise for ranges of layers that PEFT would copy for minutes."""
    try:
        made = sum(max(1, int(end) - int(start)) for start, end in ranges or ())
    except (TypeError, ValueError):  # PEFT says what is wrong
        return
    if made > MOST_REPLICATED:
        raise QweftError(
            f"layer_replication makes {made:,} layers, and at most {MOST_REPLICATED:,} are made; get the adapter's own "
            "config"
        )


def check_drawn_start(start: Any) -> None:
    """Raise for LoRA's start from a random decomposition, which PEFT makes anew at each load of the saved adapter."""
    if str(start).startswith("pissa") and len(str(start).split("_niter_")) > 1:  # as PEFT reads it
        raise QweftError(
            f"init_lora_weights {shown(start)} draws base weights at random whenever the adapter is loaded, so that it "
            "is another one each time; choose pissa, which draws nothing, or save it converted to a plain LoRA by PEFT"
        )


def _check_rounds(config: Any) -> None:
    """Raise for a number of terms or iterations that would take PEFT hours, when it loads an adapter or runs it."""
    loftq = getattr(config, "loftq_config", None)
    asked = {name: getattr(config, name, None) for name in ROUNDS}
    asked["loftq_iter"] = loftq.get("loftq_iter") if isinstance(loftq, dict) else None
    asked["monteclora_config.buffer_size"] = getattr(getattr(config, "monteclora_config", None), "buffer_size", None)
    if getattr(config, "peft_type", None) == "HRA" and isinstance(config.r, int):  # for each column, or pair of them
        asked["r of HRA"] = config.r**2 // 10 if config.apply_GS else config.r
    with suppress(ValueError):  # "pissa_niter_16", read as PEFT reads it
        asked["init_lora_weights"] = int(str(getattr(config, "init_lora_weights", None)).split("_niter_")[-1])
    for name, rounds in asked.items():
        if isinstance(rounds, int) and rounds > MOST_ROUNDS:
            raise QweftError(
                f"{name} makes PEFT loop {shown(rounds)} times, and at most {MOST_ROUNDS:,} are allowed; get the "
                "adapter's own config, or give a smaller number"
            )


def _expressions(config: Any) -> Iterator[tuple[str, str, str]]:
    """Yield field, text and the expression that PEFT makes of it."""
    for field, form in FORMS.items():
        value = getattr(config, field, None) or ()
        if isinstance(value, str):
            yield field, value, form.replace("{}", value)
        elif field in ("target_modules", "exclude_modules", "feedforward_modules"):
            continue  # lists of names, compared as they are
        elif isinstance(value, Iterable):  # otherwise PEFT says what is wrong
            for text in value:
                if isinstance(text, str):
                    yield field, text, form.replace("{}", text)
                    if field == "rank_pattern" and config.peft_type == "OSF":  # sought for anywhere in a name
                        yield field, text, f".*?(?:{text})"


def _is_simple(expression: str) -> bool:
    """Whether an expression is quick for certain: at most one repeat, not of a group, and few alternatives.

    Flags, comments and lookarounds are not: in verbose mode a space may stand between a group and its repeat.
    """
    if "(?" in expression.replace("(?:", "("):
        return False
    repeats = re.findall(r"\)?(?<!\()[*+?{]", expression)
    few = len(repeats) <= 1 and not any(repeat.startswith(")") for repeat in repeats)
    return few and expression.count("(") <= 2 and len(expression) <= 200


def instead_of(name: str) -> str | None:
    """Return the way out for a name of `LoraConfig`, or `None` if LoRA has no such name."""
    if name in INSTEAD:
        return INSTEAD[name]
    known = name in (fields_of("LORA") or ())
    return "it belongs to a variant of PEFT's LoRA that has no counterpart here; leave it out" if known else None


def answers_lora_names(config_class: Config) -> Config:
    """Make a config dataclass reject names of `LoraConfig` with the way out; the signature stays the same."""
    made: Callable[..., None] = config_class.__init__  # type: ignore[misc]
    own = {entry.name for entry in fields(config_class)}

    @wraps(made)
    def initialise(self: Any, *args: Any, **given: Any) -> None:
        for name in given.keys() - own:
            if instead := instead_of(name):
                raise TypeError(f"{config_class.__name__} got an unexpected keyword argument {name!r}: {instead}")
        made(self, *args, **given)

    config_class.__init__ = initialise  # type: ignore[misc]
    return config_class
