"""The wrong inputs that the documentation names, and how each is given to the program."""

import contextlib
import io
import re
import shlex

import torch
from peft import LoraConfig, PeftConfig, PeftMixedModel, PeftModel, get_peft_model
from peft.utils.hotswap import hotswap_adapter
from transformers import AutoModelForCausalLM

from qweft import QwthnConfig
from qweft.cli.main import main
from tests.docs.blocks import ROOT
from tests.docs.workplace import MODEL

PAGE = ROOT / "docs" / "errors.md"
ROW = re.compile(r"\| (?P<input>``.+?``|`.+?`) \| (?P<said>``.+?``|`.+?`) \|")


def rows(section):
    """(input, part of the sentence) of the table of a section of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [(_plain(row["input"]), _plain(row["said"])) for row in ROW.finditer(text)]


def _plain(code):
    return code.strip("`").strip().replace("\\|", "|")


def said_by(words):
    """What a command complains of, without the program's name."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        status = main(words)
    assert status == 2, (words, status)
    return err.getvalue().strip().splitlines()[-1].removeprefix("qweft: error: ")


def typed(line):
    """The sentence of a command line."""
    return said_by(shlex.split(line)[1:])


def in_a_config(line, folder):
    """The sentence of a config file that holds such a line, or such lines."""
    text = line.replace(" ⏎ ", "\n")
    command = "compare" if "methods:" in text else "sweep" if "space:" in text else "train"
    (folder / "run.yaml").write_text(text + "\n", encoding="utf-8")
    return said_by([command, "run.yaml", *MODEL, "--dry-run"])


def in_a_file(line, folder):
    """The sentence of data: an ending, and the lines of the file."""
    ending, _, text = line.partition(": ")
    name = f"data.{ending}"
    (folder / name).write_bytes(text.replace(" ⏎ ", "\n").encode().decode("unicode_escape").encode("latin-1"))
    try:
        return said_by(["data", "check", name, *MODEL])
    finally:
        (folder / name).unlink()


def in_python(code, folder):
    """The sentence of a call, in the words of whoever raises it."""
    base = AutoModelForCausalLM.from_pretrained(folder / "model")
    config = QwthnConfig.preset("qtha", r=2, width=8, target_modules=["q_proj"])
    names = {
        "QwthnConfig": QwthnConfig, "LoraConfig": LoraConfig, "PeftModel": PeftModel, "PeftMixedModel": PeftMixedModel,
        "get_peft_model": get_peft_model, "hotswap_adapter": hotswap_adapter, "base": base, "config": config,
        "folder": str(folder / "runs" / "train" / "adapter"), "PeftConfig": PeftConfig, "torch": torch,
    }  # fmt: skip
    if "model." in code or "(model" in code:
        names["model"] = get_peft_model(base, config, adapter_name="a")
        names["model"].add_adapter("b", config)
    try:
        exec(code, names)
    except Exception as error:
        return str(error)
    raise AssertionError(f"nothing is wrong with {code}")
