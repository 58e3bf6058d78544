"""Commands around one adapter: look at data, train, judge, talk with it, measure, export and upload it."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qweft.cli.command import JSON, TRUST, Command
from qweft.cli.terminal import show, show_adapter
from qweft.core.errors import QweftError
from qweft.data.formats import describe_formats

if TYPE_CHECKING:
    from qweft.cli.call import Call

# Each command checks what it can before it imports PyTorch and transformers, which take seconds: a mistyped option is
# told at once. So imports stand where their part of the work begins.

RUN_CONFIG = "qweft.training.config:RunConfig"
RECOMMENDED = """
For SmolLM2-135M on dialogues an adapter that is no preset is recommended: LoRA of rank 1 on all linear layers.

  --adapter.peft_type LORA --adapter.r 1 --adapter.target_modules all-linear

docs/which-adapter.md says on what it was measured. `qweft compare DATA` asks the same on your own rows."""


@Command(
    "train",
    "train one adapter",
    "Train one adapter and write it, with the effective config, to the output folder. Every key of the config file is "
    "also an option, which wins over the file.",
    "qweft train configs/train.yaml --adapter.preset qwthn",
    target="[CONFIG]",
    values={"from": ("FOLDER", "Of a comparison: train its winner in full, on the same rows, for whole epochs.")},
    flags={"dry-run": "Show the plan (parameters, memory, steps) and stop.", **TRUST},
    config=RUN_CONFIG,
)
def _train(call: "Call") -> None:
    from qweft.core.files import check_can_be_written
    from qweft.models.folders import check_holds_no_model
    from qweft.training.checks import check_plan, check_start

    config = call.config()
    if call.is_dry:
        check_plan(config)
        check_can_be_written(Path(config.output))
        check_holds_no_model(Path(config.output))
        from qweft.training.plan import plan

        show(plan(config).describe())
        return

    check_start(config)
    from qweft.training.distributed import is_first_process
    from qweft.training.run import train

    trained = train(config)
    if is_first_process():  # of those that accelerate or torchrun started
        show_adapter(trained.adapter_folder)


@Command(
    "data",
    "look at data before training: format, lengths, what would be cut, what is learned",
    "Look at data before anything is trained. check: the format, the lengths in tokens, what would be cut, what the "
    "split gives, what training and held-out rows share, and three rows as the model sees them, with what is learned "
    "marked. list: the data sets that have a name. The columns of a row tell its format: "
    f"{describe_formats()}. Other names are given by --data.columns.",
    "qweft data check rows.jsonl --data.max_length 512",
    target="VERB SOURCE",
    target_help="check SOURCE (a file, a folder, embedded:NAME, a name, or a hub id), check with --data.sources, or "
    "list.",
    flags=JSON | TRUST,
    config="qweft.cli.options:Check",
    verbs=("check", "list"),
)
def _data(call: "Call") -> None:
    verb, *sources = call.targets
    if verb == "list":
        from qweft.data.read.catalogue import describe_data_sets, list_data_sets

        call.answer(list_data_sets(), describe_data_sets)
        return

    from qweft.core.reader import build
    from qweft.data.checks import check_data_config, check_sources
    from qweft.models.checks import check_model

    options = call.given()
    _check_data_is_named_once(call, sources, options.get("data", {}))
    config = build(call.command.options, options, "command line")
    data = config.data
    if sources:
        data = replace(data, source=sources[0])
    check_data_config(data)
    check_sources(data)
    check_model(config.model, needs_weights=False)

    from qweft.data.preview import preview_data
    from qweft.evaluation.loss import check_room
    from qweft.models.load import load_model, load_tokenizer

    shapes = load_model(replace(config.model, device="meta"))
    room = partial(check_room, shapes.model)
    call.answer(preview_data(data, load_tokenizer(shapes.source), room))


def _check_data_is_named_once(call: "Call", sources: list[str], options: dict[str, Any]) -> None:
    """Check that data are named by an argument or by an option, and not by both."""
    named = [*sources, *(f"--data.{key}" for key in ("source", "sources") if options.get(key))]
    if len(named) != 1:
        got = " and ".join(named) or "nothing"
        raise QweftError(f"qweft data check: got {got}, expected the data once; for example: {call.command.example}")


@Command(
    "evaluate",
    "judge a trained adapter beside its base model",
    "Judge a trained adapter beside its base model: loss and perplexity, and on request its answers, the loss on other "
    "text, and tasks of lm-evaluation-harness; with a device, also with its circuits measured there, at several "
    "numbers of shots and strengths of noise. Options change single keys of the config that the adapter was trained "
    "with; what is not given stays as it was in that run.",
    "qweft evaluate runs/train/adapter --device noisy --shots 100,1000 --max-circuits 20000",
    target="ADAPTER",
    flags={
        "dry-run": "Say what would be measured, with a device what it would take, and stop.",
        "yes": "Agree to what is sent to a device that takes jobs or costs money, without being asked.",
        **JSON,
        **TRUST,
    },
    shows_defaults=False,
    config="qweft.cli.options:Overrides",
)
def _evaluate(call: "Call") -> None:
    folder = call.folder
    # sections override the config of the training run; other options are about circuits measured on a device
    options, sections = call.given_apart("model", "data", "evaluation")
    if "device" in options:
        _measure(call, folder, options, sections)
        return

    of_device = [*options, *({"yes"} & call.flags)]
    if of_device:
        option = of_device[0].replace("_", "-")
        raise QweftError(f"--{option} is about circuits measured on a device; name one with --device (qweft devices)")
    from qweft.evaluation.checks import preview_evaluation

    planned = preview_evaluation(folder, sections)
    if call.is_dry:
        call.answer(planned)
        return
    from qweft.evaluation.run import evaluate

    call.answer(evaluate(folder, sections))


def _measure(call: "Call", folder: Path, options: dict[str, Any], sections: dict[str, Any]) -> None:
    """Evaluate with the circuits measured on a device."""
    from qweft.evaluation.noise.config import NoiseConfig

    for name in sections.get("evaluation", {}):
        if name not in ("split", "batch_size"):
            raise QweftError(f"--evaluation.{name} is not measured on a device; leave it out, or leave out --device")
    config = NoiseConfig(**options)
    from qweft.evaluation.noise.plan import check_start

    check_start(folder, sections, config)
    from qweft.core.output import Console
    from qweft.evaluation.noise.run import evaluate_on_device

    console = Console(stderr=call.wants_json)
    agrees = None if call.is_dry else "yes" in call.flags  # None: say what it would take, and send nothing
    call.answer(evaluate_on_device(folder, sections, config, call.line, console, yes=agrees))


@Command(
    "chat",
    "talk with a trained adapter, beside its base model or another adapter",
    "Talk with a trained adapter in the terminal, alone or beside its base model or another adapter; /help there says "
    "what else can be typed. Without a terminal each line of standard input is a question, and the answers go to "
    "standard output.",
    "qweft chat runs/train/adapter --beside base",
    target="ADAPTER",
    flags={"json": "Print a JSON object a question, with all answers, and nothing else, on standard output.", **TRUST},
    config="qweft.serve.config:ChatConfig",
)
def _chat(call: "Call") -> None:
    config, model, folders = _check_chat(call)
    from qweft.serve.terminal import chat

    with call.printing():
        chat(model, folders, config, as_json=call.wants_json)


def _check_chat(call: "Call") -> tuple[Any, Any, dict[str, Path]]:
    """Check a chat, and return its config, the base model, and the adapters' folders by name."""
    from qweft.serve.checks import check_chat

    options, overrides = call.given_apart("model")
    config = call.command.options(**options)
    model, folders = check_chat(call.folder, config, overrides)
    return config, model, folders


@Command(
    "ui",
    "the same on a page in the browser, with the adapter's circuits while it answers",
    "Talk with a trained adapter on a page in the browser, alone or beside its base model or another adapter, and see "
    "the circuit of any layer with its expectation values for the last tokens. The page is served on 127.0.0.1 alone "
    "until Ctrl-C, loads nothing from elsewhere and sends nothing anywhere.",
    "qweft ui runs/train/adapter --beside base",
    target="ADAPTER",
    flags=TRUST,
    config="qweft.serve.config:PageConfig",
)
def _ui(call: "Call") -> None:
    config, model, folders = _check_chat(call)
    from qweft.serve.app import serve_page

    serve_page(model, folders, config, lambda address: print(f"page: {address} (Ctrl-C ends it)", flush=True))


@Command(
    "serve",
    "serve trained adapters to clients of OpenAI's interface",
    "Serve trained adapters, with their circuits, to clients of OpenAI's interface: chat and text completions, "
    "streamed or not, each adapter as a model of its own name, and their base model as base. It is transformers' own "
    "server, listens on 127.0.0.1 alone unless --host says otherwise, and has no password.",
    "qweft serve runs/train/adapter second=runs/chat/adapter --port 8000",
    target="ADAPTER...",
    target_help="Folders of adapters of one base model, each as FOLDER or NAME=FOLDER.",
    flags=TRUST,
    config="qweft.serve.config:ServeConfig",
)
def _serve(call: "Call") -> None:
    from qweft.serve.checks import check_adapters

    options, overrides = call.given_apart("model")
    config = call.command.options(**options)
    model, folders = check_adapters(call.targets, overrides)
    line = f"serving {', '.join(folders)} and base at {{}} (Ctrl-C ends it)"
    from qweft.serve.app import serve

    serve(model, folders, config, lambda address: print(line.format(address), flush=True))


@Command(
    "inspect",
    "measure what a trained adapter does, layer by layer",
    "Measure what a trained adapter does on text that it was not trained on, layer by layer: the ranks of its Jacobian "
    "and how much it differs from token to token, how far the core is from affine, how much passes through the "
    "circuit, the circuit's entanglement and expressibility, and the gradients. A LoRA can be inspected too, to stand "
    "beside it.",
    "qweft inspect runs/train/adapter --output runs/train/inspection.json",
    target="ADAPTER",
    flags={"dry-run": "Say what would be measured, and stop.", **JSON, **TRUST},
    shows_defaults=False,
    config="qweft.inspect.config:InspectionConfig",
)
def _inspect(call: "Call") -> None:
    folder = call.folder
    options = call.given()
    from qweft.inspect.checks import preview

    planned = preview(folder, options)
    if call.is_dry:
        call.answer(planned)
        return
    from qweft.inspect.describe import describe
    from qweft.inspect.run import inspect

    inspection = inspect(folder, options)
    call.answer(inspection, lambda: describe(inspection))


@Command(
    "circuit",
    "draw, count, compile and write out the circuit of one layer, and its values for each token",
    "Show the circuit of one layer of a trained adapter: drawn, its gates counted as written and as compiled for a "
    "chip, its trained angles, and what it makes of each token of a text; write it as a picture, or in a language that "
    "other programs read.",
    "qweft circuit runs/train/adapter --layer layers.0.self_attn.q_proj --chip lattice",
    target="ADAPTER",
    flags={"json": "Print everything as JSON, with all digits, and nothing else, on standard output.", **TRUST},
    shows_defaults=False,
    config="qweft.inspect.circuit_view.config:CircuitConfig",
)
def _circuit(call: "Call") -> None:
    from qweft.inspect.circuit_view.config import check_view

    folder = call.folder
    options = call.given()
    check_view(folder, options)
    from qweft.core.output import Console
    from qweft.inspect.circuit_view.describe import describe
    from qweft.inspect.circuit_view.run import view_circuit

    view = view_circuit(folder, options)
    call.answer(view, lambda: describe(view, Console().width))


@Command(
    "export",
    "make a plain LoRA of a trained adapter, and measure what that costs",
    "Make a plain LoRA or a merged model of a trained adapter, for programs that know nothing of qweft: PEFT, "
    "transformers, vLLM, llama.cpp, Ollama. What is linear in the adapter is taken over exactly; a circuit is replaced "
    "by its best linear fit on calibration text. The cost is measured on held-out text, and an export that loses too "
    "much is refused.",
    "qweft export runs/train/adapter --to lora --calibration embedded:gsm_symbolic",
    target="ADAPTER",
    flags={
        "dry-run": "Say what would be fitted and measured, and stop.",
        "force": "Write the export whatever it loses.",
        **JSON,
        **TRUST,
    },
    shows_defaults=False,
    config="qweft.exporting.config:ExportConfig",
)
def _export(call: "Call") -> None:
    folder = call.folder
    options = call.given()
    force = "force" in call.flags
    from qweft.exporting.plan import plan_export

    planned = plan_export(folder, options).preview()
    if call.is_dry:
        call.answer(planned)
        return
    from qweft.exporting.run import export

    report = export(folder, options, force)
    call.answer(report)  # also of an export that loses too much: the report says how much
    if not force:
        report.check()
    if not call.wants_json:
        show(f"exported: {report.output}")


@Command(
    "push",
    "upload an adapter to the hub, private unless you say otherwise",
    "Upload an adapter to the hub, with its card, as a private repository: the adapter's files and nothing else. Log "
    "in first: hf auth login.",
    "qweft push runs/train/adapter --repository me/my-adapter --base-model owner/base-model",
    target="ADAPTER",
    target_help="Folder of the adapter, as `qweft train`, `qweft export` or PEFT wrote it.",
    flags={"public": "Let everybody see the repository.", "dry-run": "Show what would be sent and stop."},
    values={
        "repository": ("NAME", "OWNER/NAME on the hub, or NAME of your own; required."),
        "base-model": ("NAME", "Hub id of the base model, if the adapter names a folder on this machine."),
    },
)
def _push(call: "Call") -> None:
    from qweft.publish.push import plan_push, push

    repository = call.values.get("repository", "")
    is_private = "public" not in call.flags
    planned = plan_push(call.folder, repository, is_private, call.values.get("base-model"))
    show(planned.describe())
    if not call.is_dry:
        show(f"pushed: {push(planned)}")


@Command(
    "plan",
    "parameters, memory and steps of a run, without running it",
    "Say what a run would take (trainable parameters, memory, steps) without training. It reads the same config file "
    "and options as `qweft train`.",
    "qweft plan configs/train.yaml --adapter.r 8 --json",
    target="[CONFIG]",
    flags={
        "timed": "Load the weights too, train for four steps, and say how long the run would take.",
        **JSON,
        **TRUST,
    },
    config=RUN_CONFIG,
)
def _plan(call: "Call") -> None:
    from qweft.training.checks import check_plan

    config = call.config()
    check_plan(config)
    from qweft.training.plan import plan

    call.answer(plan(config, timed="timed" in call.flags))


@Command(
    "presets",
    "list the adapter presets",
    "List the adapter presets, each with what it stands for. Use one with --adapter.preset NAME.",
    "qweft presets",
)
def _presets(call: "Call") -> None:
    from rich.table import Table

    from qweft.method.presets import presets

    table = Table.grid(padding=(0, 2))
    for name, description in presets().items():
        table.add_row(name, description)
    show(table)
    show(RECOMMENDED)
