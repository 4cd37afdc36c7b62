"""CUDA tensors on a machine without CUDA: values are computed on the CPU, and the device is simulated.

Torch's own fake tensors have no values, so they cannot pass what looks at them (a marching grid, a mask that is empty or
not). Here every call of torch sees on which device its tensors are said to lie, and refuses what CUDA would refuse.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")
# What may take tensors of two devices; an index may lie on the CPU, a single number anywhere.
_BOOKKEEPING = {"_parse_to", "_has_compatible_shallow_copy_type"}
_MIXED = {"copy_", "__getitem__", "__setitem__", "set_", "index_put_", "__set__"}


class PretendCuda(TorchFunctionMode):
    """While active, tensors that were moved to CUDA report that device and cannot be combined with CPU tensors."""

    def __init__(self) -> None:
        super().__init__()
        self._on_cuda = WeakTensorKeyDictionary()
        self.num_moved = 0

    def device(self, tensor: Tensor) -> torch.device:
        return CUDA if tensor in self._on_cuda else CPU

    def place(self, result, device):
        """Says of all tensors of a result where they lie."""
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                if device.type == "cuda":
                    self._on_cuda[tensor] = True
                else:
                    self._on_cuda.pop(tensor, None)
        return result

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        owner = getattr(func, "__self__", None)  # a property, where func is its getter or setter
        if owner is Tensor.device:
            return self.device(args[0])
        if owner is Tensor.is_cuda:
            return self.device(args[0]).type == "cuda"
        if owner is Tensor.grad and name == "__get__":
            found = func(*args, **kwargs)
            return found if found is None else self.place(found, self.device(args[0]))
        if owner is Tensor.data and name == "__set__":
            self.place(args[0], self.device(args[1]))
            return func(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if name in ("to", "cpu", "cuda") and tensors and args and args[0] is tensors[0]:
            return self._moved(func, name, args, kwargs)
        if name in ("numpy", "__array__") and self.device(args[0]).type == "cuda":
            raise TypeError("can't convert cuda:0 device type tensor to numpy; copy it to host memory first")
        if name in _BOOKKEEPING:
            return func(*args, **kwargs)
        asked = self._asked_device(args, kwargs)
        found = asked or self._common(func, name, args, tensors)
        if asked:
            args, kwargs = tree_map_only(torch.device, lambda _: CPU, (args, kwargs))
            kwargs |= {"device": CPU} if "device" in kwargs else {}
        if kwargs.get("pin_memory"):
            kwargs["pin_memory"] = False
        return self.place(func(*args, **kwargs), found)

    def _moved(self, func, name, args, kwargs):
        """`to`, `cpu` and `cuda`: another dtype as it is, another device as a view that is said to lie there."""
        given = [*args[1:], *(kwargs[key] for key in ("device", "other", "dtype") if key in kwargs)]
        target, dtype = {"cpu": CPU, "cuda": CUDA}.get(name, self.device(args[0])), args[0].dtype
        for value in given:
            if isinstance(value, Tensor):
                target, dtype = self.device(value), value.dtype
            elif isinstance(value, (torch.device, str)):
                target = torch.device(value)
            elif isinstance(value, torch.dtype):
                dtype = value
        self.num_moved += target.type != self.device(args[0]).type
        result = args[0].to(dtype)
        if target.type == self.device(args[0]).type:
            return result if result is args[0] else self.place(result, target)
        return self.place(result.view_as(result) if result is args[0] else result, target)

    @staticmethod
    def _asked_device(args, kwargs):
        asked = kwargs.get("device") or next((a for a in args if isinstance(a, torch.device)), None)
        return None if asked is None else torch.device(asked)

    def _common(self, func, name, args, tensors):
        """The device of the result; refuses tensors of two devices."""
        if name in _MIXED and tensors:
            first = self.device(tensors[0])
            if name == "__getitem__" and first.type == "cpu" and any(self.device(t).type == "cuda" for t in tensors):
                raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
            return first
        sized = [tensor for tensor in tensors if tensor.ndim > 0] or tensors
        devices = {self.device(tensor).type for tensor in sized}
        if len(devices) > 1:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, cpu and cuda:0! "
                f"({resolve_name(func) or name})"
            )
        on_cuda = "cuda" in devices
        return CUDA if on_cuda else CPU


class _CudaFabric(Fabric):
    """Fabric whose device is the pretended one."""

    def __init__(self) -> None:
        super().__init__(accelerator="cpu", devices=1)
        self._strategy._root_device = CUDA

    def to_device(self, obj):
        return obj.to(self.device)


@contextmanager
def pretended_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendCuda]:
    """Stages run as on CUDA: device and Fabric are the pretended ones, and the CPU's rasteriser stands in for gsplat."""
    from gaze_core.splat.rasterize import rasterize

    mode = PretendCuda()

    def on_cpu(*args, **kwargs):
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        device = mode._common(rasterize, "rasterize", args, tensors)
        with torch._C.DisableTorchFunction():
            result = rasterize(*args, **kwargs)
        fields = {name: value for name, value in vars(result).items() if isinstance(value, Tensor)}
        mode.place(list(fields.values()), device)
        return result

    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("gaze_core."):
            if hasattr(module, "choose_device"):
                monkeypatch.setattr(module, "choose_device", lambda runtime: CUDA)
            if getattr(module, "rasterize", None) is rasterize:
                monkeypatch.setattr(module, "rasterize", on_cpu)
    monkeypatch.setattr("gaze_core.training.loop.make_fabric", lambda runtime: _CudaFabric())
    with mode:
        yield mode
