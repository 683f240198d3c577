"""Optimizers for training: Caffe's SGD with the preset's solver settings, or a torch optimizer with a schedule.

Source: upstream's solvers for Caffe's SGD; torch.optim and torch.optim.lr_scheduler for the others.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim import lr_scheduler as schedulers

from rankiqa.caffe.blas import CaffeBlas
from rankiqa.caffe.sgd import CaffeSGD, LearningRate
from rankiqa.models.scorer import Scorer
from rankiqa.training import recipe as recipes
from rankiqa.training.parameter_groups import decayed_apart, parameter_groups
from rankiqa.training.presets import Preset
from rankiqa.training.recipe import Recipe

WARM_UP_FROM = 0.01  # fraction of the learning rate with which a warm-up begins


class Solver(Protocol):
    """The interface of an optimizer that the trainer uses."""

    @property
    def iteration(self) -> int:
        """The number of updates so far."""
        ...

    def rate(self) -> float:
        """Return the learning rate of the next step."""
        ...

    def zero_grad(self) -> None:
        """Clear the gradients."""
        ...

    def step(self) -> Any:
        """Update the weights from the gradients, which are sums over iter_size minibatches."""
        ...


class ScheduledOptimizer:
    """A torch optimizer with a learning-rate schedule, clipping and a step counter.

    Args:
        optimizer: The optimizer.
        scheduler: The learning-rate scheduler, or None for a constant rate.
        names: {name: parameter}, for snapshots.
        iter_size: Number of minibatches whose gradients are averaged for one step.
        clip_gradients: The maximum joint L2 norm of all (averaged) gradients, or None for no limit.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        scheduler: schedulers.LRScheduler | None,
        names: dict[str, nn.Parameter],
        *,
        iter_size: int = 1,
        clip_gradients: float | None = None,
    ):
        self.optimizer, self.scheduler, self.names = optimizer, scheduler, names
        self.iter_size, self.clip_gradients = iter_size, clip_gradients
        self.iteration = 0

    def rate(self) -> float:
        """Return the learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def zero_grad(self) -> None:
        """Clear the gradients."""
        self.optimizer.zero_grad()

    def step(self) -> None:
        """Update the weights, then the learning rate."""
        gradients = [p.grad for p in self.names.values() if p.grad is not None]
        if self.iter_size > 1 and gradients:
            torch._foreach_div_(gradients, self.iter_size)
        if self.clip_gradients is not None:
            nn.utils.clip_grad_norm_(list(self.names.values()), self.clip_gradients)
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()
        self.iteration += 1

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of the optimizer's state as {"SLOT.PARAMETER": tensor}."""
        tensors = {}
        for name, parameter in self.names.items():
            for slot, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    tensors[f"{slot}.{name}"] = value
        return tensors

    def numbers(self) -> dict[str, Any]:
        """Return the rest of the state as JSON values: the numbers of the groups and the state of the schedule."""
        return {
            "groups": [_numbers(group) for group in self.optimizer.param_groups],
            "schedule": None if self.scheduler is None else self.scheduler.state_dict(),
        }

    def load(self, iteration: int, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Restore a state from the values of `iteration`, `tensors()` and `numbers()`.

        Raises:
            ValueError: For the state of another optimizer; nothing is changed then.
        """
        state: dict[int, dict[str, Tensor]] = {}
        order = [p for group in self.optimizer.param_groups for p in group["params"]]
        places, names = {id(p): n for n, p in enumerate(order)}, dict(self.names)
        slots = self._slots()
        for key, tensor in tensors.items():
            slot, _, name = key.partition(".")
            if slot not in slots or name not in names:
                raise ValueError(f"expected the state of {type(self.optimizer).__name__}, got {key}")
            shape = () if slot == "step" else tuple(names[name].shape)
            if tuple(tensor.shape) != shape or not torch.isfinite(tensor).all():
                raise ValueError(f"{key}: expected finite values of shape {shape}, got {tuple(tensor.shape)}")
            state.setdefault(places[id(names[name])], {})[slot] = tensor
        if any(set(entry) != slots for entry in state.values()) or (bool(state) != (iteration > 0) and slots):
            raise ValueError(f"expected the state of {type(self.optimizer).__name__}, got a part of one")
        if len(numbers["groups"]) != len(self.optimizer.param_groups):
            raise ValueError(f"expected {len(self.optimizer.param_groups)} groups, got {len(numbers['groups'])}")
        if (numbers["schedule"] is None) != (self.scheduler is None):
            raise ValueError("expected the state of the same schedule, got another's")
        own = self.optimizer.state_dict()
        for group, saved in zip(own["param_groups"], numbers["groups"], strict=True):
            group.update({key: saved[key] for key in _numbers(group)})
        if self.scheduler is not None:
            self.scheduler.load_state_dict(numbers["schedule"])
        self.optimizer.load_state_dict({"state": state, "param_groups": own["param_groups"]})
        self.iteration = iteration

    def _slots(self) -> set[str]:
        """Return the names of the tensors that the optimizer stores for each parameter."""
        if isinstance(self.optimizer, AdamW):
            return {"exp_avg", "exp_avg_sq", "step"}
        always = isinstance(self.optimizer, CaffeSGD)
        return {"momentum_buffer"} if always or self.optimizer.defaults.get("momentum") else set()


def _numbers(group: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in group.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}


def solver_of(
    model: Scorer, preset: Preset, recipe: Recipe, products: CaffeBlas | None = None
) -> CaffeSGD | ScheduledOptimizer:
    """Build the optimizer for training.

    Args:
        model: The network whose parameters are trained.
        preset: Rate, momentum, weight decay, clipping, iter_size.
        recipe: The choice of optimizer and schedule.
        products: Computes the norm that clip_gradients limits if Caffe's solver is used. None: PyTorch computes it.

    Raises:
        ValueError: If the warm-up does not end before max_iter.
    """
    p = preset.solver
    if recipe.is_caffes_solver:
        solver = CaffeSGD(
            parameter_groups(model, preset.ten_times),
            p.base_lr,
            p.momentum,
            p.weight_decay,
            schedule=LearningRate("step", gamma=p.gamma, stepsize=p.stepsize),
            iter_size=p.iter_size,
            clip_gradients=p.clip_gradients,
        )
        if products is not None:
            products.limit(solver, model)
        return solver
    optimizer: Optimizer
    if recipe.optimizer == recipes.CAFFE:
        optimizer = CaffeSGD(parameter_groups(model, preset.ten_times), p.base_lr, p.momentum, p.weight_decay)
    elif recipe.optimizer == recipes.SGD:
        optimizer = SGD(decayed_apart(model, p.weight_decay), p.base_lr, p.momentum)
    else:
        optimizer = AdamW(decayed_apart(model, p.weight_decay), p.base_lr)
    names = dict(model.named_parameters())
    scheduler = _scheduler(optimizer, preset, recipe)
    return ScheduledOptimizer(
        optimizer, scheduler, names, iter_size=p.iter_size, clip_gradients=p.clip_gradients
    )  # fmt: skip


def _scheduler(optimizer: Optimizer, preset: Preset, recipe: Recipe) -> schedulers.LRScheduler | None:
    p, warm_up = preset.solver, recipe.warm_up
    if warm_up and warm_up >= p.max_iter:
        raise ValueError(f"warm_up: expected fewer iterations than max_iter, {p.max_iter}, got {warm_up}")
    after: schedulers.LRScheduler | None
    if recipe.schedule == recipes.ONE_CYCLE:
        return schedulers.OneCycleLR(optimizer, p.base_lr, max(1, p.max_iter), cycle_momentum=False)
    if recipe.schedule == recipes.COSINE:
        after = schedulers.CosineAnnealingLR(optimizer, max(1, p.max_iter - warm_up))
    elif recipe.schedule == recipes.STEP:
        after = schedulers.StepLR(optimizer, p.stepsize, p.gamma)
    else:
        after = schedulers.ConstantLR(optimizer, 1.0, 1) if warm_up else None
    if not warm_up or after is None:
        return after
    before = schedulers.LinearLR(optimizer, WARM_UP_FROM, 1.0, warm_up)
    return schedulers.SequentialLR(optimizer, [before, after], [warm_up])
