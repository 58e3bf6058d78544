"""The adapted layer, x (..., d_in) to y (..., d_out): a frozen W0 and one branch for each adapter.

    c = C dropout(x)        compress, d_in -> r
    h = core(c)             a circuit, a linear map, or both, r -> r
    y = W0 x + s E h        expand, r -> d_out;  s = alpha / r

Once a step `build.py` contracts C and E to dense matrices. A core consists of a matrix M and features f(c) of every
token. M is multiplied into E beforehand: E h = (E M) f(c).
"""

from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from peft.utils import quantization_extra_repr, resolve_quantization_backend
from torch import nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from qweft.adapter.branch import Branch, make_branch
from qweft.adapter.build import Prepared, needs_graph, prepare
from qweft.adapter.config import QwthnConfig
from qweft.adapter.cores import Core
from qweft.adapter.directions import of_chance, of_weight, search
from qweft.adapter.few_tokens import add_to_few
from qweft.adapter.maps import Directions
from qweft.circuit.precision import autocast_enabled, exact_products
from qweft.internals.peft import sizes_of
from qweft.internals.torch import is_transformed
from qweft.method.resolved import default_alpha


def branch_forward(y: torch.Tensor, x: torch.Tensor, built: Prepared, core: Core, scaling: float) -> torch.Tensor:
    """Return y + s E(core(C x)) for y (..., d_out) and x (..., d_in)."""
    autocast = autocast_enabled(x.device)
    if core.reads_angles and (autocast or (x.device.type == "cuda" and not torch.compiler.is_compiling())):
        with exact_products(x.device):  # an angle near pi is off by up to 0.008 in bfloat16, by 0.001 in TF32
            c = linear(x.to(built.compress.dtype), built.compress)
    else:
        c = linear(x, built.compress)  # C x, (..., r)
    features = core.features(c, *built.angles)  # f(c), with h = M f(c)
    if autocast or y.dtype != features.dtype:
        return y + linear(features * scaling, built.expand)  # y + s (E M) f(c)
    # the same in one pass over the output: product, scaling and sum at once
    rows = torch.addmm(
        y.reshape(-1, y.shape[-1]), features.reshape(-1, features.shape[-1]), built.expand.t(), alpha=scaling
    )
    return rows.view(y.shape)


class QwthnLinear(nn.Module, BaseTunerLayer):
    """y = W0 x + sum over active adapters of (alpha / r) E(core(C(dropout(x)))).

    Wraps `nn.Linear`, transformers' `Conv1D`, and PEFT's quantized linear layers. The class name contains "Linear"
    because `target_modules="all-linear"` selects adapted layers by it.
    """

    adapter_layer_names: tuple[str, ...] = ("qwthn_compress", "qwthn_core", "qwthn_expand")
    other_param_names: tuple[str, ...] = (
        "qwthn_dropout",
        "qwthn_r",
        "scaling",
        "qwthn_shapes",
        "qwthn_prepared",
        "qwthn_configs",
        "qwthn_found",
    )

    def __init__(
        self, base_layer: nn.Module, adapter_name: str, config: QwthnConfig, r: int, alpha: float | None, **kwargs: Any
    ) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.quantization_backend = resolve_quantization_backend(
            self.get_base_layer(), get_apply_tensor_subclass=kwargs.get("get_apply_tensor_subclass")
        )
        self.qwthn_compress = nn.ModuleDict()
        self.qwthn_core = nn.ModuleDict()
        self.qwthn_expand = nn.ModuleDict()
        self.qwthn_dropout = nn.ModuleDict()
        self.qwthn_r: dict[str, int] = {}
        self.scaling: dict[str, float] = {}
        self.qwthn_shapes: dict[str, list[torch.Size]] = {}
        self.qwthn_prepared: dict[str, Prepared] = {}
        self.qwthn_configs: dict[str, QwthnConfig] = {}
        self.qwthn_found: dict[str, Directions] = {}  # by a backward pass, for the next call of the model
        self.merged_adapters: list[str] = []
        self.cast_input_dtype_enabled = True
        into, out = sizes_of(self.get_base_layer())
        if into is None or out is None:
            raise TypeError(f"QWTHN adapts linear layers; the sizes of a {type(self.get_base_layer())} are not known")
        self.in_features, self.out_features = into, out
        self.set_adapter(adapter_name)
        self.update_layer(adapter_name, config, r, alpha)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the base layer's output plus the active adapters' branches, (..., d_out), in the output's dtype."""
        adapter_names = kwargs.pop("adapter_names", None)
        if self.disable_adapters:
            if self.merged:
                self.unmerge()
            return self.base_layer(x, *args, **kwargs)
        if adapter_names is not None:
            return self._mixed_batch_forward(x, adapter_names, *args, **kwargs)
        result = self.base_layer(x, *args, **kwargs)
        if self.merged:
            return result
        if self.quantization_backend is not None:
            result = self.quantization_backend.maybe_clone_base_result(result)
        dtype = result.dtype
        for name in self.active_adapters:
            if name in self.qwthn_compress:
                result = self.add_branch(result, x, name)
        return result.to(dtype)

    def add_branch(self, result: torch.Tensor, x: torch.Tensor, adapter_name: str) -> torch.Tensor:
        """Return result + (alpha / r) E(core(C(dropout(x)))) for x (..., d_in) and result (..., d_out)."""
        built = self.prepared(adapter_name)
        if built is None:
            return search(self, adapter_name, result, x)
        if self.cast_input_dtype_enabled and x.dtype != built.compress.dtype:
            x = x.to(built.compress.dtype)
        if isinstance(dropout := self.qwthn_dropout[adapter_name], nn.Dropout):
            x = dropout(x)
        core: Any = self.qwthn_core[adapter_name]
        scaling = self.scaling[adapter_name]
        added = add_to_few(result, x, built, core, scaling)
        return branch_forward(result, x, built, core, scaling) if added is None else added

    def _mixed_batch_forward(
        self, x: torch.Tensor, adapter_names: list[str], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Apply to each row of the batch the adapter that it names; "__base__" means no adapter."""
        if len(adapter_names) != len(x):
            raise ValueError(
                "Length of `adapter_names` should be the same as the number of inputs, but got "
                f"{len(adapter_names)} and {len(x)} respectively."
            )
        if self.merged:
            raise ValueError(
                "Cannot pass `adapter_names` when there are merged adapters, please call `unmerge_adapter` first."
            )
        result = self.base_layer(x, *args, **kwargs).clone()
        for name in dict.fromkeys(adapter_names):
            if name in self.qwthn_compress:
                rows = [row for row, wanted in enumerate(adapter_names) if wanted == name]
                result[rows] = self.add_branch(result[rows], x[rows], name).to(result.dtype)
        return result

    def update_layer(self, adapter_name: str, config: QwthnConfig, r: int, alpha: float | None, **kwargs: Any) -> None:
        """Add an adapter under this name, or replace it."""
        self.qwthn_r[adapter_name] = r
        self.qwthn_configs[adapter_name] = config
        self.set_alpha(adapter_name, alpha)
        self.qwthn_dropout[adapter_name] = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        branch = make_branch(config, self.in_features, r, self.out_features)
        branch.compress.reset(config.start, zero=False, scale=branch.core.input_scale)
        branch.core.reset(config.start, zero=config.init_weights and branch.expand.is_fixed())
        branch.expand.reset(config.start, zero=config.init_weights, scale=1 / branch.core.output_scale)
        if not config.init_weights:
            for part in branch:
                part.randomise()
        self.qwthn_compress[adapter_name], self.qwthn_core[adapter_name], self.qwthn_expand[adapter_name] = branch
        self.qwthn_shapes[adapter_name] = [tensor.shape for tensor in branch.tensors()]
        self.qwthn_prepared = {}
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def set_alpha(self, adapter_name: str, alpha: float | None) -> None:
        """Scale the adapter's branch by alpha / r. `None` means 2 r."""
        r = self.qwthn_r[adapter_name]
        self.scaling[adapter_name] = (default_alpha(r) if alpha is None else alpha) / r

    def branch_of(self, adapter_name: str) -> Branch:
        """Return the three parts of the adapter's branch."""
        compress: Any = self.qwthn_compress[adapter_name]
        core: Any = self.qwthn_core[adapter_name]
        expand: Any = self.qwthn_expand[adapter_name]
        return Branch(compress, core, expand)

    def directions(self, kind: str, r: int) -> Directions:
        """Return r directions of the layer that need no gradient: those of W0 ("weight"), or random ones ("random")."""
        if kind == "random":
            return of_chance(self.in_features, self.out_features, r)
        weight = self.get_base_weight()
        return of_weight(weight.T if isinstance(self.get_base_layer(), Conv1D) else weight, r)

    def sharing(self, adapter_name: str) -> list[Branch]:
        """Return the branches of the adapters with the same config object, which share their directions."""
        config = self.qwthn_configs[adapter_name]
        return [self.branch_of(name) for name, other in self.qwthn_configs.items() if other is config]

    def prepared(self, adapter_name: str) -> Prepared | None:
        """Return the branch's matrices and angles: those built for the whole model, or its own if those do not fit.

        `None` stands for a trained branch whose directions are not known yet: it adds nothing.
        """
        if torch.compiler.is_compiling() or is_transformed():
            return self._build_for_tracing(adapter_name)
        built = self.qwthn_prepared.get(adapter_name)
        if built is not None and built.serves_any_graph():
            return built
        branch = self.branch_of(adapter_name)
        graph = needs_graph(branch.tensors())
        if graph and not branch.is_found:
            return None
        if built is not None and built.serves(graph):
            return built
        (built,) = prepare([branch], graph)
        self.keep_prepared(adapter_name, built)
        return built

    def _build_for_tracing(self, adapter_name: str) -> Prepared | None:
        """Build the branch by plain operations, which compilers and transforms of functions can follow."""
        branch = self.branch_of(adapter_name)
        tensors = branch.tensors()
        if needs_graph(tensors) and not branch.is_found:
            return None
        compress, expand, *angles = branch.build(tensors)
        return Prepared(compress, expand, tuple(angles), torch.is_grad_enabled())

    def keep_prepared(self, adapter_name: str, prepared: Prepared) -> None:
        """Store these matrices and angles for the model's call, and for later ones that find nothing changed."""
        # a new dictionary, since replicas of this layer share the old one
        self.qwthn_prepared = {**self.qwthn_prepared, adapter_name: prepared}

    def train(self, mode: bool = True) -> "QwthnLinear":
        """Set the mode, and release what was built, with the graph of the last training step."""
        self.qwthn_prepared = {}
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "qwthn_prepared": {}}

    def _is_linear(self, adapter_name: str) -> bool:
        return not self.qwthn_core[adapter_name].reads_angles

    def get_delta_weight(self, adapter_name: str) -> torch.Tensor:
        """Return the weight that a branch without circuit adds, (d_out, d_in), or its transpose for Conv1D."""
        if not self._is_linear(adapter_name):
            raise NotImplementedError(
                f"adapter {adapter_name!r} weights its input with a quantum circuit, so no single weight equals it and "
                "it cannot be merged; qweft export ADAPTER --to lora fits a LoRA to it that can, or keep it unmerged, "
                "or take it off with unload()"
            )
        branch = self.branch_of(adapter_name)
        compress, expand = branch.build(branch.tensors())
        delta: torch.Tensor = expand @ compress * self.scaling[adapter_name]
        return delta.t() if isinstance(self.get_base_layer(), Conv1D) else delta

    def get_base_weight(self) -> torch.Tensor:
        """Return the base layer's weight, dequantized if it is quantized."""
        base = self.get_base_layer()
        if getattr(getattr(getattr(base, "weight", None), "quant_state", None), "packing_format_for_cpu", False):
            base.state_dict()  # this makes bitsandbytes unpack its CPU format, which PEFT would misread
        weight: torch.Tensor = super().get_base_weight()
        return weight

    @torch.no_grad()
    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add the branches' weights to the base weight."""
        for name in check_adapters_to_merge(self, adapter_names) or []:
            if name in self.qwthn_compress:
                delta, weight = self.get_delta_weight(name), self.get_base_weight()
                if safe_merge and not torch.isfinite((weight + delta).to(weight.dtype)).all():
                    raise ValueError(f"NaNs detected in the merged weights. The adapter {name} seems to be broken")
                self._add_to_base(delta)
                self.merged_adapters.append(name)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Subtract the merged branches' weights from the base weight."""
        while self.merged_adapters:
            name = self.merged_adapters.pop()
            if name in self.qwthn_compress:
                self._add_to_base(-self.get_delta_weight(name))

    def _add_to_base(self, delta: torch.Tensor) -> None:
        # made in inference mode, a weight could not be trained through ever again
        with torch.inference_mode(False), torch.no_grad():
            weight = self.get_base_weight()
            self.set_base_weight((weight + delta).to(weight.dtype))

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        """Whether the branch is linear, so that a LoRA of rank r equals it."""
        return adapter_name not in self.qwthn_core or self._is_linear(adapter_name)

    def extra_repr(self) -> str:
        """Return PEFT's note on a quantized base layer."""
        return quantization_extra_repr(self)

    def __repr__(self) -> str:
        return "qwthn." + super().__repr__()
