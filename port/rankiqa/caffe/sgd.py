"""Caffe's SGD and Nesterov solvers as a PyTorch optimizer, and Caffe's learning-rate policies.

Source: Caffe 1.0 sgd_solver.cpp, nesterov_solver.cpp (behaviour, not code).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

AT_ONCE = 1 << 17  # parameter values per piece of an update on the CPU
POLICIES = ("fixed", "step", "multistep", "exp", "inv", "poly", "sigmoid")


@dataclass(frozen=True)
class LearningRate:
    """One of Caffe's learning-rate policies.

    Args:
        policy: "fixed", "step", "multistep", "exp", "inv", "poly" or "sigmoid".
        gamma: The solver prototxt's field of this name, like all fields here.
        power: For "inv" and "poly".
        stepsize: For "step" and "sigmoid", in iterations.
        stepvalue: For "multistep", in iterations.
        max_iter: For "poly", in iterations.

    Raises:
        ValueError: For a policy or a field that Caffe would refuse.
    """

    policy: str = "fixed"
    gamma: float = 0.0
    power: float = 0.0
    stepsize: int = 0
    stepvalue: tuple[int, ...] = ()
    max_iter: int = 0

    def __post_init__(self):
        if self.policy not in POLICIES:
            raise ValueError(f"lr_policy: expected one of {', '.join(POLICIES)}, got {self.policy!r}")
        if self.policy in ("step", "sigmoid") and self.stepsize < 1:
            raise ValueError(f"lr_policy {self.policy}: expected stepsize >= 1, got {self.stepsize}")
        if self.policy == "poly" and self.max_iter < 1:
            raise ValueError(f"lr_policy poly: expected max_iter >= 1, got {self.max_iter}")
        if not self.gamma >= 0:
            raise ValueError(f"lr_policy {self.policy}: expected gamma >= 0, got {self.gamma}")

    def step_at(self, iteration: int, current: int = 0) -> int:
        """Return the number of drops of the rate so far.

        Args:
            iteration: The iteration.
            current: The number of drops at the iteration before; only multistep uses it.
        """
        if self.policy == "step":
            return iteration // self.stepsize
        if self.policy == "multistep" and current < len(self.stepvalue) and iteration >= self.stepvalue[current]:
            return current + 1  # CAFFE: at most one drop per iteration, even if several are due (sgd_solver.cpp)
        return current

    def rate(self, base_lr: float, iteration: int, step: int = 0) -> float:
        """Return the rate at an iteration, rounded to float32; `step` is the result of `step_at`."""
        # CAFFE: fields are float, powers are computed in double, and the rate is float (sgd_solver.cpp)
        base, gamma, power = (float(np.float32(value)) for value in (base_lr, self.gamma, self.power))
        single = np.float32
        if self.policy in ("step", "multistep"):
            rate = base * gamma**step
        elif self.policy == "exp":
            rate = base * gamma**iteration
        elif self.policy == "inv":
            rate = single(base) * single(float(single(1) + single(gamma) * single(iteration)) ** -power)
        elif self.policy == "poly":
            rate = single(base) * single(float(single(1) - single(iteration) / single(self.max_iter)) ** power)
        elif self.policy == "sigmoid":
            grown = single(math.exp(-single(gamma) * (single(iteration) - single(self.stepsize))))
            rate = single(base) * (single(1) / (single(1) + grown))
        else:
            rate = base
        return float(np.float32(rate))


class CaffeSGD(Optimizer):
    """SGD with momentum, or Nesterov's, as Caffe's solvers update the parameters.

    h = momentum * h + lr * lr_mult * (grad + weight_decay * decay_mult * w);  w -= h

    It differs from torch.optim.SGD as follows:
    - The learning rate is part of the momentum buffer h. After a drop of the rate, h keeps the contributions of the old
      rate; PyTorch rescales the whole step at once.
    - The rate follows one of Caffe's policies, driven by the optimizer's own iteration count and rounded like Caffe's:
      float32 fields, integer division. A group's "lr" is base_lr (a torch scheduler may change it as well).
    - Each group has lr_mult and decay_mult.
    - With iter_size, the gradients of that many backward passes are summed in .grad, and step() divides them by it.
    - clip_gradients limits the global L2 norm, over all parameters, of the sum before that division, without epsilon.
    - L1 regularisation adds the sign of the weight. The decay is added after clipping, so it is never clipped.
    - Nesterov: w -= (1 + momentum) * h - momentum * h_before, which is not PyTorch's form.
    - There is no dampening and no maximize. A parameter whose gradient is None is treated as having a zero gradient, so
      momentum and decay still change it.
    - h exists, as zeros, from the first step on. `state_dict` contains the iteration and the number of drops.

    Each step runs a few multi-tensor operations per group, none per parameter.

    Args:
        params: Tensors, or groups with optional "lr_mult" and "decay_mult" (default 1).
        lr: base_lr, 0 or more.
        momentum: 0 or more.
        weight_decay: 0 or more.
        schedule: The learning-rate policy, or None for a fixed rate.
        iter_size: Number of backward passes whose gradients are summed in .grad for one step.
        clip_gradients: The maximum joint norm of all gradients, or None for no limit.
        regularization: "L2" or "L1".
        nesterov: Whether to update like Caffe's Nesterov solver.

    Attributes:
        norm: A function that returns the norm that clip_gradients limits, or None for PyTorch's norm, whose order of
            summation differs from Caffe's.

    Raises:
        ValueError: For values out of range.

    Source: Caffe 1.0 sgd_solver.cpp, nesterov_solver.cpp.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        schedule: LearningRate | None = None,
        iter_size: int = 1,
        clip_gradients: float | None = None,
        regularization: str = "L2",
        nesterov: bool = False,
    ):
        for name, value in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
            _check_number(name, value)
        if isinstance(iter_size, bool) or not isinstance(iter_size, int) or iter_size < 1:
            raise ValueError(f"iter_size: expected a whole number of 1 or more, got {iter_size!r}")
        if clip_gradients is not None and not (isinstance(clip_gradients, Real) and clip_gradients >= 0):
            raise ValueError(f"clip_gradients: expected None, or 0 or more, got {clip_gradients!r}")
        if regularization not in ("L1", "L2"):
            raise ValueError(f"regularization: expected L1 or L2, got {regularization!r}")
        self.schedule = schedule or LearningRate()
        self.iter_size, self.clip_gradients = iter_size, clip_gradients
        self.regularization, self.nesterov = regularization, nesterov
        self.norm: Callable[[], float] | None = None
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "lr_mult": 1.0, "decay_mult": 1.0}
        super().__init__(params, {**defaults, "iteration": 0, "current_step": 0})
        for number, group in enumerate(self.param_groups):
            for name in defaults:
                _check_number(f"group {number}: {name}", group[name])

    # Without torch's decorator, which excludes them from torch.compile's graphs but loads the compiler (150 MB)
    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)

    @property
    def iteration(self) -> int:
        """The number of updates so far."""
        return self.param_groups[0]["iteration"]

    @property
    def current_step(self) -> int:
        """The number of drops of the learning rate so far (policies step and multistep)."""
        return self.param_groups[0]["current_step"]

    def set_iteration(self, iteration: int, current_step: int) -> None:
        """Continue from another iteration, as Caffe does after it has read a solver state."""
        for group in self.param_groups:
            group["iteration"], group["current_step"] = iteration, current_step

    def rate(self) -> float:
        """Return the learning rate of the next step for the first group, before multipliers."""
        group = self.param_groups[0]
        step = self.schedule.step_at(group["iteration"], group["current_step"])
        return self.schedule.rate(group["lr"], group["iteration"], step)

    def history(self, parameter: Tensor) -> Tensor:
        """Return the momentum buffer h of a parameter; the first call creates it, filled with zeros."""
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
        return state["momentum_buffer"]

    @torch.no_grad()
    def step(self, closure: Callable | None = None):
        """Update the parameters from their .grad, which is not modified, and return the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        scale = self._clip()
        for group in self.param_groups:
            parameters = group["params"]
            if parameters:
                gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
                self._update(group, parameters, gradients, scale)
            group["iteration"] += 1
        return loss

    def _clip(self) -> float | None:
        """Return the factor by which clipping multiplies every gradient, or None."""
        if self.clip_gradients is None:
            return None
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        if not gradients:
            return None
        if self.norm is None:
            norms = torch._foreach_norm(gradients)
            norm = torch.linalg.vector_norm(torch.stack([norm.to(norms[0].device) for norm in norms])).item()
        else:
            norm = self.norm()
        limit = float(np.float32(self.clip_gradients))
        return float(np.float32(limit / norm)) if norm > limit else None

    def _update(self, group: dict, parameters: list[Tensor], gradients: list[Tensor], scale: float | None) -> None:
        # CAFFE: every factor is float (sgd_solver.cpp)
        single = np.float32
        group["current_step"] = self.schedule.step_at(group["iteration"], group["current_step"])
        rate = self.schedule.rate(group["lr"], group["iteration"], group["current_step"])
        rate = float(single(rate) * single(group["lr_mult"]))
        decay = float(single(group["weight_decay"]) * single(group["decay_mult"]))
        momentum = float(single(group["momentum"]))
        for values, slopes, history in _pieces(parameters, gradients, [self.history(p) for p in parameters]):
            if scale is not None:
                slopes = torch._foreach_mul(slopes, scale)
            if self.iter_size > 1:
                slopes = torch._foreach_mul(slopes, float(single(1) / single(self.iter_size)))
            if decay:
                toward = values if self.regularization == "L2" else torch._foreach_sign(values)
                slopes = torch._foreach_add(slopes, toward, alpha=decay)
            before = torch._foreach_mul(history, momentum) if self.nesterov else None
            torch._foreach_mul_(history, momentum)
            torch._foreach_add_(history, slopes, alpha=rate)
            if before is None:
                torch._foreach_sub_(values, history)
            else:
                update = torch._foreach_mul(history, float(single(1) + single(momentum)))
                torch._foreach_sub_(update, before)
                torch._foreach_sub_(values, update)


def _check_number(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < math.inf:
        raise ValueError(f"{name}: expected a number of 0 or more, got {value!r}")


def _pieces(*lists: list[Tensor]) -> Iterator[Sequence[list[Tensor]]]:
    """Yield lists of tensors of equal shapes in pieces: everything at once on a GPU, AT_ONCE values on the CPU.

    A piece stays in a core's cache from one operation to the next, and no operation needs memory for a whole layer.
    """
    if any(tensor.device.type != "cpu" or not tensor.is_contiguous() for tensors in lists for tensor in tensors):
        yield lists
        return
    for tensors in zip(*lists, strict=True):
        for piece in zip(*(tensor.view(-1).split(AT_ONCE) for tensor in tensors), strict=True):
            yield [[part] for part in piece]
