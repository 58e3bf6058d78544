"""A positive control on a tiny model: yes for a planted circuit, no for a planted perceptron, equivalent for none."""

import json
import random
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch
import yaml
from research import positive_control

from qweft.comparison import runner
from qweft.comparison.checks import check_methods
from qweft.comparison.config import ComparisonConfig, MethodConfig, TeacherConfig
from qweft.comparison.context import fingerprint
from qweft.comparison.executors.worker import Local
from qweft.comparison.findings import findings
from qweft.comparison.plan import resolve
from qweft.comparison.planted import hands_over_more, starts_said, worth_said
from qweft.comparison.results import Run
from qweft.comparison.summarise import summarise
from qweft.comparison.teacher import scaled_to
from qweft.data.config import DataConfig
from qweft.errors import QweftError
from qweft.evaluation.config import EvaluationConfig
from qweft.evaluation.loss import soft_losses
from qweft.models.config import ModelConfig
from qweft.training.config import TrainingConfig
from tests.comparison.comparison_examples import runs
from tests.data.tiny_tokenizer import CHATML, make_tokenizer
from tests.tiny_models import tiny_llama

WORDS = [
    "What",
    "follows",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "red",
    "blue",
]
MAPS = {"r": 4, "width": 8, "bond_dimension": 2, "target_modules": ["down_proj"]}
CORES = {"gated": "quantum_gated", "mlp": "mlp_gated", "none": "identity"}


def student(core):
    if core == "identity":
        return {"preset": "mpo", "core": core, **MAPS}
    return {"preset": "qtha", "core": core, "circuit_layers": 2, **MAPS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model whose answers are not all alike, and rows of random words."""
    made = tmp_path_factory.mktemp("taught")
    tokenizer, model = make_tokenizer(CHATML), tiny_llama()
    model.resize_token_embeddings(len(tokenizer))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        model.lm_head.weight.normal_(0, 1.5, generator=generator)
        model.get_input_embeddings().weight.normal_(0, 1, generator=generator)
    model.save_pretrained(made / "model")
    tokenizer.save_pretrained(made / "model")
    drawn = random.Random(0)
    rows = [{name: " ".join(drawn.choices(WORDS, k=6)) for name in ("prompt", "completion")} for _ in range(120)]
    (made / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return made


def config(folder, core, dose, **changes):
    given = {
        "methods": {name: MethodConfig(student(own)) for name, own in CORES.items()},
        "model": ModelConfig(name=str(folder / "model")),
        "data": DataConfig(source=str(folder / "rows.jsonl"), validation_rows=0, test_rows=24, max_length=48),
        "training": TrainingConfig(
            max_steps=20,
            batch_size=8,
            gradient_accumulation=1,
            learning_rate=2e-2,
            learning_rates={"tensor_network": 0.0},
        ),
        "evaluation": EvaluationConfig(answers=0, batch_size=24),
        "seeds": [0, 1, 2],
        "reference": "none",
        "equivalent_within": 1.0,
        "output": str(folder / f"{core}-{dose}"),
        "teacher": TeacherConfig(adapter=student(core), kl=1.0, gain=3.0, dose=dose, near=0.05),
    }
    return ComparisonConfig(**{**given, **changes})


def answer(results):
    runs = [Run.from_json(record) for record in results["runs"]]
    found = findings(summarise(runs, "none", 1.0))
    return next(entry for entry in found if entry.topic == "circuit" and not entry.other)


def test_one_command_makes_a_matrix_whose_answers_are_what_was_planted(folder, monkeypatch, capsys):
    small, output = folder / "small.yaml", folder / "matrix"
    small.write_text(yaml.safe_dump(asdict(config(folder, "quantum_gated", 1.0))))
    monkeypatch.setattr(positive_control, "TEACHERS", {"quantum": (0.0, 1.0), "mlp": (1.0,)})
    positive_control.main(["--config", str(small), "--output", str(output)])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if "_gated | " in line]
    assert [(row[0].strip("| "), row[1], row[3]) for row in rows] == [
        ("mlp_gated", "1", "no"), ("quantum_gated", "0", "equivalent"), ("quantum_gated", "1", "yes")
    ]  # fmt: skip
    record = json.loads((output / "matrix.json").read_text())
    for cell in record["cells"]:
        place = output / f"{cell['teacher']['core'].removesuffix('_gated')}-{cell['teacher']['dose']:g}"
        assert cell["runs"] == json.loads((place / "results.json").read_text())["runs"]
        assert cell["teacher"]["kl_at_dose_1"] == pytest.approx(1.0, rel=0.011)
        assert "as a planted" in (place / "report.md").read_text(encoding="utf-8")


def test_a_soft_loss_is_the_teacher_s_entropy_plus_the_divergence():
    taught, own = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    p, logs = taught.softmax(-1), own.log_softmax(-1)
    entropy, divergence = -(p * p.log()).sum(-1), (p * (p.log() - logs)).sum(-1)
    torch.testing.assert_close(soft_losses(own, taught), entropy + divergence)
    torch.testing.assert_close(soft_losses(taught, taught), entropy)


def test_a_scale_gives_the_wanted_divergence_where_one_exists():
    scale, found = scaled_to(0.2, lambda scale: 0.9 * (1 - 2 ** -(scale**2)))
    assert found == pytest.approx(0.2, rel=0.01) and scale == float(f"{scale:.3g}")
    asked = []

    def in_steps(scale):
        asked.append(scale)
        return 0.204 if scale >= 0.5 else 0.19  # half precision has none between

    assert scaled_to(0.2, in_steps) == (asked[-1], 0.204) and asked[-1] >= 0.5
    with pytest.raises(QweftError, match=r"teacher.kl 2: no size of the planted branch.* choose another kl"):
        scaled_to(2.0, lambda scale: 0.9 * (1 - 2 ** -(scale**2)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"adapter": {"peft_type": "LORA"}}, "the core None, and the dose multiplies Q; choose quantum_gated"),
        ({"adapter": student("identity")}, "the core identity, and the dose"),
        ({"adapter": {"preset": "qwthn"}}, "the core quantum_weighted, and the dose"),
        ({"adapter": {"preset": "qtha", "r": 0}}, "r must be"),
        ({"kl": 0.0}, "teacher.kl must be at least 1e-06, got 0.0"),
        ({"dose": -1.0}, "teacher.dose must be from 0 to 100, got -1.0"),
        ({"near": float("nan")}, "teacher.near must be at least 0, got nan"),
        ({"seed": -1}, "teacher.seed must be a whole number"),
        ({"dose": 101.0}, "teacher.dose must be from 0 to 100, got 101.0"),
        ({"gain": 0.0}, "teacher.gain must be above 0, got 0.0; for a teacher without its core set teacher.dose to 0"),
        (
            {"adapter": {}, "near": None},
            "teacher.kl 1.0 is for a planted teacher, and there is none; give teacher.adap",
        ),
        ({"maps": False}, "teacher.near 0.05 needs teacher.maps true"),
        (
            {"adapter": {**student("quantum_gated"), "circuit_layers": 3}},
            "there is none: methods.gated differs from it in circuit_layers (2, not 3); give one method the adapter of",
        ),
        ({"adapter": {**student("fourier_gated")}}, "there is none: none has the core fourier_gated; give one method"),
    ],
)
def test_a_wrong_teacher_ends_in_one_sentence(folder, changes, said):
    wrong = config(folder, "quantum_gated", 1.0)
    wrong = replace(wrong, teacher=replace(wrong.teacher, **changes))
    with pytest.raises(QweftError) as error:
        check_methods(wrong)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_teacher_and_packing_exclude_each_other(folder):
    packed = config(folder, "quantum_gated", 1.0)
    packed = replace(packed, training=replace(packed.training, packing=True))
    with pytest.raises(QweftError, match=r"training.packing true puts several rows into one, and a teacher is asked"):
        check_methods(packed)


def test_a_teacher_and_a_matched_time_exclude_each_other(folder):
    methods = {
        "lora": MethodConfig(student("identity")),
        "timed": MethodConfig(student("mlp_gated"), match_time="lora"),
    }
    with pytest.raises(QweftError, match=r"methods.timed.match_time: a step is timed without the teacher"):
        check_methods(config(folder, "quantum_gated", 1.0, methods=methods, reference="lora"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget": "20min"}, "budget 20min: a step is timed without the teacher"),
        ({"recommend": True}, "recommend true keeps the best adapter, and a teacher's targets are no data"),
    ],
)
def test_a_teacher_excludes_what_is_meant_for_data(folder, changes, said):
    with pytest.raises(QweftError) as error:
        check_methods(config(folder, "quantum_gated", 1.0, **changes))
    assert str(error.value).startswith(said)


def test_what_each_student_starts_from_is_said():
    teacher = TeacherConfig(student("quantum_gated"), near=0.1)
    methods = {name: student(core) for name, core in CORES.items()}
    methods |= {"lora": {"peft_type": "LORA"}, "wide": {**student("quantum_gated"), "r": 5}}
    assert starts_said(teacher, methods) == (
        "students: gated from the teacher's maps and near its core (noise 0.1); mlp, none from its maps; lora, wide as "
        "without a teacher"
    )
    assert starts_said(replace(teacher, near=None), methods) == (
        "students: gated, mlp, none from the teacher's maps; lora, wide as without a teacher"
    )
    assert starts_said(replace(teacher, near=None, maps=False), methods) == (
        "students: gated, mlp, none, lora, wide as without a teacher"
    )


def test_what_a_control_of_another_form_starts_from_is_said():
    teacher = TeacherConfig(student("quantum_linear"), near=0.1)
    methods = {"qtha": student("quantum_linear"), "mlp": student("mlp_linear"), "none": student("identity")}
    assert starts_said(teacher, methods).endswith("(noise 0.1); mlp from its maps and near its K; none from its maps")


def test_a_teacher_that_is_worth_less_than_the_margin_is_warned_of():
    summary = summarise(runs(base=[5.0], lora=[4.9]))
    said = worth_said(0.01, summary, 0.5)
    assert said.startswith(
        "The teacher is 0.01 nats from the base model (on its training rows), 0.2% of the loss: hardly"
    )
    assert (
        worth_said(0.1, summary, 0.5) == worth_said(0.01, summary, None) == worth_said(float("nan"), summary, 0.5) == ""
    )
    assert worth_said(None, summary, 0.5) == ""


def test_the_teacher_s_layers_are_checked_on_the_model(folder):
    made = config(folder, "quantum_gated", 1.0)
    made.teacher.adapter["target_modules"] = ["none"]
    made = replace(made, teacher=replace(made.teacher, near=None))
    with pytest.raises(QweftError, match=r"^teacher\.adapter: target module 'none' does not exist in the model"):
        resolve(made)


def test_a_run_belongs_to_its_teacher(folder):
    def key(teacher):
        loaded = SimpleNamespace(source=SimpleNamespace(origin="x"), dtype="d", device=torch.device("cpu"))
        data = SimpleNamespace(report=SimpleNamespace(fingerprint="rows"))
        return fingerprint(SimpleNamespace(loaded=loaded, data=data, settings=SimpleNamespace(teacher=teacher)), {})

    taught = config(folder, "quantum_gated", 1.0).teacher
    assert len({key(taught), key(replace(taught, dose=0.5)), key(replace(taught, seed=1)), key(TeacherConfig())}) == 4
    linear = TeacherConfig(student("quantum_linear"), near=0.1)
    assert hands_over_more(linear) and not hands_over_more(replace(linear, near=None))
    assert not hands_over_more(taught) and hands_over_more(
        replace(taught, adapter={**student("quantum_gated"), "start": "scaled"})
    )
    assert key(TeacherConfig()) == key(TeacherConfig(dose=0.5))  # without an adapter there is no teacher


@pytest.mark.parametrize("form", ["gated", "linear"])
def test_without_a_circuit_no_student_is_ahead_at_the_start(folder, form):
    """Each has what the teacher has beside the circuit: a lead at dose 0 would be one of the start."""
    plain = "identity" if form == "gated" else "linear"
    cores = {"circuit": f"quantum_{form}", "mlp": f"mlp_{form}", "product": f"product_{form}", "none": plain}
    adapters = {name: {**student(core), "core": core} for name, core in cores.items()}
    if form == "linear":
        adapters["none"] = {"preset": "mpo", "core": "linear", **MAPS}
    made = config(
        folder, f"quantum_{form}", 0.0, methods={name: MethodConfig(each) for name, each in adapters.items()},
        training=TrainingConfig(max_steps=1, batch_size=4, gradient_accumulation=1, learning_rate=1e-9),
        seeds=[0], output=str(folder / f"starts-{form}"),
    )  # fmt: skip
    for near in (0.0, 0.05):
        planted = replace(made.teacher, adapter=adapters["circuit"], gain=0.1, near=near)  # K c outweighs Q q there
        results = results_of(replace(made, teacher=planted, output=f"{made.output}-{near}"))
        losses = {run["method"]: run["eval_loss"] for run in results["runs"]}
        base, circuit = losses.pop("base"), losses.pop("circuit")
        assert base > 1.02 * max(losses.values()) and max(losses.values()) < (1 + 1e-6) * min(losses.values())
        if near:  # the noise on Q is the circuit's alone
            assert circuit > min(losses.values())
        else:
            assert circuit == pytest.approx(min(losses.values()), rel=1e-6)


def short(folder, name, **changes):
    """A comparison of the teacher's own student, which starts as the teacher and hardly moves."""
    given = {
        "methods": {"same": MethodConfig(student("quantum_gated"))},
        "reference": "same",
        "seeds": [0],
        "training": TrainingConfig(max_steps=1, batch_size=4, gradient_accumulation=1, learning_rate=1e-9),
        "data": DataConfig(source=str(folder / "rows.jsonl"), validation_rows=16, test_rows=8, max_length=48),
        "output": str(folder / name),
    }
    made = config(folder, "quantum_gated", 1.0, **given, **changes)
    return replace(made, teacher=replace(made.teacher, near=0.0))


def results_of(made):
    report = runner.compare(made, "", "qweft compare planted.yaml")
    return json.loads((report.parent / "results.json").read_text())


def test_what_is_kept_of_a_circuit_s_gain_is_judged_by_the_teacher(folder):
    results = results_of(short(folder, "inspected", inspect=True))
    (found,) = [run["inspection"] for run in results["runs"] if run["inspection"]]
    assert found["dequantised"]["gain"] > 0.3, "this student is the teacher, and the base model is far from it"
    assert found["dequantised"]["fits"]["constant"]["kept"] < 1
    assert {layer["gradient_norms"] for layer in found["layers"]} == {None}


def test_a_process_that_makes_no_runs_records_the_teacher_too(folder, monkeypatch):
    """As with the actors of a cluster, which alone hold the teacher."""
    set_up = runner.set_up

    def away(*arguments):
        here = set_up(*arguments)

        class Away(Local):
            def run(self, context, *rest):
                return super().run(replace(context, teacher=here.teacher), *rest)

            def call(self, context, function, *rest):
                return function(replace(context, teacher=here.teacher), *rest)

        return replace(here, teacher=None, executor=Away())

    monkeypatch.setattr(runner, "set_up", away)
    assert results_of(short(folder, "away"))["teacher"]["core"] == "quantum_gated"
