"""`train`, `compare`, `evaluate` and `export` from Python: what the commands run, with results as objects.

Importing this is light; each function imports what it needs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from qweft.comparison.config import ComparisonConfig
from qweft.core import yaml_file
from qweft.core.errors import QweftError
from qweft.core.reader import Reader, build
from qweft.core.schema import ALTERNATIVES, field_types
from qweft.data.config import DataConfig
from qweft.evaluation.config import EvaluationConfig
from qweft.exporting.config import ExportConfig, Target
from qweft.method.presets import read_circuits
from qweft.models.config import ModelConfig
from qweft.training.config import RunConfig


@dataclass(frozen=True)
class TrainResult:
    """A trained adapter, with losses on held-out rows in nats per token."""

    adapter: Path  # folder of the adapter, in PEFT's format
    output: Path  # folder of the run, with its record run.json
    steps: int  # of the optimizer
    trainable_parameters: int
    split: str  # of the rows of both losses: "test" or "validation"
    base_loss: float  # of the base model
    loss: float  # with the adapter


@dataclass(frozen=True)
class EvaluateResult:
    """An adapter beside its base model on the same rows, with losses in nats per token."""

    adapter: Path  # folder of the adapter
    split: str  # "test" or "validation"
    rows: int
    base_loss: float
    loss: float  # with the adapter
    loss_error: float | None  # standard error of their difference over rows; `None` if it is unknown
    scores: Mapping[str, float]  # difference, adapted minus base, by the name of each score
    answers: tuple[Mapping[str, Any], ...]  # per answered row the prompt, the reference and both models' answers


@dataclass(frozen=True)
class CompareResult:
    """A finished comparison; the last two are `None` without a recommendation."""

    output: Path  # folder of the comparison
    report: Path  # the page with its report
    conclusion: str  # what the comparison found, in sentences; the recommendation, if one was asked for
    losses: Mapping[str, float | None]  # mean held-out loss of each method over its seeds; `None` if a run diverged
    method: str | None = None  # the recommended method
    adapter: Path | None = None  # folder of its adapter


@dataclass(frozen=True)
class ExportResult:
    """A written export, with held-out losses in nats per token."""

    output: Path  # folder of the export
    to: Target
    rank: int | None  # of the LoRA; `None` if the adapter itself was merged
    parameters: int | None  # of the LoRA
    base_loss: float
    adapter_loss: float
    loss: float  # of the export
    kept_share: float | None  # of the adapter's gain over the base model; `None` without a clear gain


@dataclass(frozen=True)
class _Sections:
    """Sections that `evaluate` overrides."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


def train(config: RunConfig | Mapping[str, Any] | str | Path | None = None, **keys: Any) -> TrainResult:
    """Train one adapter, as `qweft train`.

    Args:
        config: A YAML file of `qweft train`, a mapping with its keys, or a `RunConfig`; `None` means the defaults.
        **keys: Keys of that file, which win over `config`. A section is a dict, of which only the given keys change. A
            text stands for `model.name` or `data.source`.

    Raises:
        QweftError: A key is wrong, the model or the data cannot be loaded, the training diverges, or the adapter cannot
            be written.

    For example:

        trained = train(data="my.csv", adapter={"preset": "qtha", "r": 8}, output="runs/my")
    """
    run: RunConfig = _built(RunConfig, _tree(RunConfig, config), keys, "train()")
    from qweft.training.checks import check_start
    from qweft.training.run import train as run_training

    check_start(run)
    trained = run_training(run)
    return TrainResult(
        adapter=trained.adapter_folder,
        output=Path(run.output),
        steps=trained.fit.steps,
        trainable_parameters=trained.trainable_parameters,
        split=run.evaluation.split,
        base_loss=trained.base.loss,
        loss=trained.adapted.loss,
    )


def evaluate(adapter: str | Path, **sections: Any) -> EvaluateResult:
    """Judge an adapter beside its base model on held-out rows, as `qweft evaluate`.

    Args:
        adapter: Folder of the adapter.
        **sections: `model`, `data` and `evaluation`, each a dict with the keys that differ from the training run.

    Raises:
        QweftError: The folder holds no adapter, a key is wrong, or the model or the data cannot be loaded.
    """
    overrides = _checked(_Sections, sections, "evaluate()")
    from qweft.evaluation.checks import check_judging
    from qweft.evaluation.run import evaluate as run_evaluation

    check_judging(Path(adapter), overrides)
    evaluation = run_evaluation(Path(adapter), overrides)
    return EvaluateResult(
        adapter=evaluation.adapter,
        split=evaluation.split,
        rows=len(evaluation.base.rows),
        base_loss=evaluation.base.loss,
        loss=evaluation.adapted.loss,
        loss_error=evaluation.scores[0].difference.standard_error,
        scores={score.name: score.difference.value for score in evaluation.scores},
        answers=tuple(evaluation.to_json()["answers"]),
    )


def compare(
    what: ComparisonConfig | Mapping[str, Any] | str | Path, preset: str = "quick", **keys: Any
) -> CompareResult:
    """Compare adapters under one budget, as `qweft compare`.

    Args:
        what: Data (a file, a folder, `embedded:NAME` or a hub id), for which the methods are chosen; or a YAML file of
            `qweft compare`, a mapping with its keys, or a `ComparisonConfig`.
        preset: Which methods data are compared with, "quick" or "thorough".
        **keys: Keys of the config, which win over it, as in `train`.

    Raises:
        QweftError: A key is wrong, the model or the data cannot be loaded, or the output folder holds another
            comparison.

    For example:

        compared = compare("my.csv", budget="20min")
        print(compared.conclusion, compared.adapter)
    """
    from qweft.comparison.search.starter import that_ship

    config = _comparison(what, preset, _checked(ComparisonConfig, keys, "compare()"))
    if config.workers not in (None, 1) and config.executor == "local":
        raise QweftError(f"compare(): workers {config.workers} is for the command; here one process makes all runs")
    from qweft.comparison.checks import check_start
    from qweft.comparison.report.content import Content
    from qweft.comparison.results_file import WINNER, read_results
    from qweft.comparison.runner import compare as run_comparison
    from qweft.core.output import Console

    config = that_ship(config, Console(stderr=True).say)
    check_start(config)
    command = f"qweft.compare({what!r})" if isinstance(what, str | Path) else "qweft.compare(...)"
    report = run_comparison(config, yaml_file.dump(asdict(config)), command)

    output = Path(config.output)
    _, results = read_results(output)
    content = Content.read(results)
    recommendation = results.get("recommendation")
    return CompareResult(
        output=output,
        report=report,
        conclusion=content.conclusion,
        losses={name: entry.eval_loss for name, entry in content.summary.items()},
        method=recommendation["method"] if recommendation else None,
        adapter=output / WINNER / "adapter" if recommendation else None,
    )


def _comparison(what: Any, preset: str, keys: dict[str, Any]) -> ComparisonConfig:
    """Return the comparison of a config or of data, with checked keys over it."""
    from qweft.comparison.search.starter import is_config, starter

    if isinstance(what, ComparisonConfig | Mapping) or is_config(str(what)):
        tree = _tree(ComparisonConfig, what)
    elif preset in ("quick", "thorough"):
        model = build(ModelConfig, keys.get("model", {}), "compare()")
        budget = keys.pop("budget", None)  # which the starter joins with the preset's time
        tree = starter(str(what), model, preset, budget, keys.get("output"))  # type: ignore[arg-type]
    else:
        raise QweftError(f"compare(): preset is quick or thorough, got {preset!r}")
    config: ComparisonConfig = _built(ComparisonConfig, tree, keys, "compare()")
    return config


def export(adapter: str | Path, to: Target = "lora", force: bool = False, **keys: Any) -> ExportResult:
    """Write an adapter for programs that do not know Qweft, as `qweft export`.

    Args:
        adapter: Folder of the adapter.
        to: Format of the export: "lora", "gguf", "merged" or "merged-gguf".
        force: Write the export whatever it loses.
        **keys: Options of `qweft export`, and the sections `model`, `data` and `evaluation` with the keys that differ
            from the training run.

    Raises:
        QweftError: The adapter cannot be exported to the format, a key is wrong, or the export loses too much of the
            adapter's gain.
    """
    options = _checked(ExportConfig, {"to": to, **keys}, "export()")
    from qweft.exporting.run import export as run_export

    report = run_export(Path(adapter), options, force)
    if not force:
        report.check()
    return ExportResult(
        output=report.output,
        to=report.to,
        rank=report.rank,
        parameters=report.parameters,
        base_loss=report.measured.base_loss,
        adapter_loss=report.measured.hybrid_loss,
        loss=report.measured.exported_loss,
        kept_share=report.measured.kept_share,
    )


def _tree(config_class: Any, config: Any) -> dict[str, Any]:
    """Return a config as the tree of its file."""
    if isinstance(config, str | Path):
        tree = yaml_file.read(str(config))
        return dict(Reader(config_class, str(config)).check(config_class, tree, ""))
    if isinstance(config, config_class):
        return asdict(config)
    return _checked(config_class, config or {}, "the config")


def _checked(config_class: Any, keys: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Return keyword arguments as a checked tree: paths as texts, dataclasses as dicts."""
    from pydantic_core import to_jsonable_python

    tree = to_jsonable_python(dict(keys), serialize_unknown=True, inf_nan_mode="constants")
    return dict(Reader(config_class, origin).check(config_class, tree, ""))


def _built(config_class: Any, tree: dict[str, Any], keys: Mapping[str, Any], origin: str) -> Any:
    """Return the config of a checked tree, with keyword arguments over it."""
    for key, value in _checked(config_class, keys, origin).items():
        if is_dataclass(field_types(config_class)[key]):
            tree[key] = _with_keys(tree.get(key, {}), value)
        else:
            tree[key] = value
    return build(config_class, read_circuits(tree), origin)


def _with_keys(section: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section with some keys set; a key that stands for another one removes that."""
    kept = {name: value for name, value in section.items() if ALTERNATIVES.get(name) not in keys}
    return {**kept, **keys}
