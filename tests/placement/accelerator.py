"""A device that does not exist: its tensors have real numbers, and may not be mixed with those of other devices.

PyTorch's backend for private use gives autograd what it asks of a device. A tensor of the device wraps one of the CPU.
Every operation runs on what is wrapped, after a check of the places of its arguments by CUDA's rules:

- a tensor without dimensions may be on the CPU, and so may indices;
- only a copy moves numbers from one device to another.

The backend is registered for the whole process, so the tests that use it run in a child process.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "fake"
CPU = torch.device("cpu")
aten = torch.ops.aten
_LIBRARIES: list[torch.library.Library] = []
_ON: list["Accelerator"] = []
COPIES = {aten._to_copy, aten.copy_, aten._copy_from}
TAKES_INDICES_FROM_THE_CPU = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
WAITS = {aten._local_scalar_dense, aten.equal, aten.nonzero, aten.is_nonzero, aten.masked_select}
"""Operations whose result the CPU waits for: it cannot run ahead of the device there."""
OURS, OTHERS = ("src/qweft/",), ("/transformers/", "/peft/", "/tests/", "/torch/optim/")


class MixedError(RuntimeError):
    """An operation got tensors of several devices."""


class Placed(torch.Tensor):
    """A tensor of the device; `held` has its numbers, on the CPU."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor, device: torch.device) -> "Placed":
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), held.stride(), held.storage_offset(), dtype=held.dtype, device=device
        )
        made.held = held
        return made

    @property
    def data(self) -> "Placed":
        """The same numbers without a graph; PyTorch would leave `held` behind where it is assigned."""
        return Placed(self.held.detach(), self.device)

    @data.setter
    def data(self, other: torch.Tensor) -> None:
        torch._C.TensorBase.data.__set__(self, other)  # type: ignore[attr-defined]
        self.held = other.held if isinstance(other, Placed) else other

    def untyped_storage(self) -> torch.UntypedStorage:
        """The storage of the numbers."""
        return self.held.untyped_storage()

    def __repr__(self) -> str:
        return f"Placed({self.held}, {self.device})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(function, args, kwargs or {})


def run(function: Any, args: Any, kwargs: Any) -> Any:
    """Run an operation on what its tensors hold; its results are where its arguments are, or where it was told."""
    tensors = list(tensors_in((*args, *kwargs.values())))
    place = _place_of(function, tensors, kwargs)
    wrappers = {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, Placed)}

    def wrapped(found: Any) -> Any:
        if not isinstance(found, torch.Tensor) or isinstance(found, Placed):
            return found
        if id(found) in wrappers:  # written in place
            return wrappers[id(found)]
        # inside of this function PyTorch would take conjugated numbers for the others
        return found if place.type == "cpu" else Placed(found.resolve_conj().resolve_neg(), place)

    found = _mapped(wrapped, function(*_mapped(_held, args), **{key: _mapped(_held, v) for key, v in kwargs.items()}))
    if torch.Tag.inplace_view in function.tags and isinstance(args[0], Placed):
        with no_dispatch():  # the wrapper's own shape follows
            function(*args, **kwargs)
    return found


def tensors_in(values: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors among arguments or results, and in lists of them."""
    for value in values if isinstance(values, list | tuple) else (values,):
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(value)


def _mapped(change: Any, value: Any) -> Any:
    """Return arguments or results with each leaf changed; PyTorch's `tree_map` takes a third of these tests' time."""
    return type(value)(_mapped(change, each) for each in value) if type(value) in (list, tuple) else change(value)


def _held(value: Any) -> Any:
    if isinstance(value, Placed):
        return value.held
    return CPU if isinstance(value, torch.device) and value.type == NAME else value


def _place_of(function: Any, tensors: list[torch.Tensor], kwargs: Any) -> torch.device:
    wanted = kwargs.get("device")
    if function.overloadpacket in COPIES:
        return numbered(wanted) if wanted is not None else tensors[0].device
    of_device = [tensor for tensor in tensors if tensor.device.type == NAME]
    places = {tensor.device for tensor in of_device}
    if of_device and function.overloadpacket not in TAKES_INDICES_FROM_THE_CPU:
        places |= {tensor.device for tensor in tensors if tensor.dim()}
    if len(places) > 1:
        said = f"{function} got tensors on {', '.join(sorted(map(str, places)))}"
        # an error in the thread of this device's backward pass ends the process, and with it what pytest would print
        os.write(2, f"{said}\n{''.join(traceback.format_stack(limit=8))}".encode())
        raise MixedError(said)
    return numbered(wanted) if wanted is not None else (of_device or [torch.empty(0)])[0].device


def numbered(device: Any) -> torch.device:
    """Return the device with a number, if it is one of ours."""
    device = torch.device(device)
    return torch.device(NAME, 0) if device.type == NAME and device.index is None else device


class Accelerator(TorchDispatchMode):
    """Makes tensors for the device where it is on; `notes` tells what Qweft's own code did that costs a GPU time.

    That is a tensor with dimensions made on the CPU, a copy between devices, a result that the CPU waits for, and a
    number or indices of the CPU in an operation of the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        found = run(function, args, kwargs)
        before = {tensor.device for tensor in tensors_in((*args, *kwargs.values()))}
        after = {tensor.device for tensor in tensors_in(found) if tensor.dim()}
        what = None
        if function.overloadpacket in WAITS and any(device.type == NAME for device in before):
            what = "waits"
        elif function.overloadpacket in COPIES and len(before | after) > 1:
            what = "copies"
        elif not before and CPU in after:
            what = "makes on the CPU"
        elif len(before) > 1 and function.overloadpacket not in COPIES:
            what = "takes from the CPU"
        if what:
            self.note(what, function)
        return found

    def note(self, what: str, function: Any) -> None:
        """Remember what Qweft's code asked for; what other code did is not noted."""
        if place := _own_place():
            self.notes.append(f"{place} {what}: {function}")


def _own_place() -> str | None:
    """Return the line of Qweft's code that asked for an operation; `None` if other code did."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename.replace("\\", "/")
        if any(part in name for part in OURS):
            return f"{Path(name).name}:{frame.f_lineno}"
        if any(part in name for part in OTHERS) and not name.endswith("placement/accelerator.py"):
            return None
        frame = frame.f_back  # type: ignore[assignment]
    return None


class _Module(_DummyBackendModule):
    """`torch.fake`, which autocast and checkpoints ask."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


def register() -> None:
    """Make the device known to PyTorch, for the rest of the process."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    library = torch.library.Library("aten", "IMPL")  # for what C++ makes without asking a mode

    def empty_strided(size: Any, stride: Any, dtype: Any = None, device: Any = None, **_: Any) -> torch.Tensor:
        return Placed(torch.empty_strided(size, stride, dtype=dtype, device="cpu"), numbered(device))

    def empty(size: Any, dtype: Any = None, device: Any = None, **_: Any) -> torch.Tensor:
        return Placed(torch.empty(size, dtype=dtype, device="cpu"), numbered(device))

    def copy_from(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
        if source.device != target.device and _ON:
            _ON[-1].note("copies", "a list of indices")
        _held(target).copy_(_held(source))
        return target

    library.impl("_copy_from", copy_from, "PrivateUse1")
    library.impl("empty_strided", empty_strided, "PrivateUse1")
    library.impl("empty.memory_format", empty, "PrivateUse1")
    _LIBRARIES.append(library)


@contextmanager
def accelerator() -> Iterator[Accelerator]:
    """Return the device, on until the end of the block."""
    make = torch.tensor

    def tensor(data: Any, *args: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
        # it hides what it does from every mode
        made = make(data, *args, **kwargs)
        return made if device is None else made.to(device)

    mode = Accelerator()
    with mode:
        torch.tensor = tensor  # type: ignore[assignment]
        _ON.append(mode)
        try:
            yield mode
        finally:
            _ON.pop()
            torch.tensor = make
