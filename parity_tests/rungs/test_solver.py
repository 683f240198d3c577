"""Parity test `solver`: learning rates, one step and 300 steps, on the same problem in both engines."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import rankiqa
from lib.drift import in_words
from lib.tolerances import EXACT, STEP, STEPS_300
from rankiqa.caffe.sgd import CaffeSGD, LearningRate
from rankiqa.models.modes import full_float32

# The input is 1 and the loss is the output, so that the gradient is 1 and the update equals the rate
RATE_NET = """
layer { name: "one" type: "DummyData" top: "one" dummy_data_param { shape { dim: 1 dim: 1 } data_filler { value: 1 } } }
layer { name: "w" type: "InnerProduct" bottom: "one" top: "w" inner_product_param { num_output: 1 bias_term: false } }
layer { name: "loss" type: "Reduction" bottom: "w" top: "loss" loss_weight: 1 }
"""
POLICIES = {
    "fixed": {},
    "step": {"gamma": 0.1, "stepsize": 4},
    "multistep": {"gamma": 0.3, "stepvalue": (3, 4, 5, 17)},
    "exp": {"gamma": 0.97},
    "inv": {"gamma": 0.013, "power": 0.75},
    "poly": {"power": 1.7, "max_iter": 37},
    "sigmoid": {"gamma": 0.31, "stepsize": 15},
}
BASE_LR = 0.0123


def solver_text(**fields):
    """Return a solver's prototxt; tuples are repeated fields."""
    lines = []
    for name, value in fields.items():
        for item in value if isinstance(value, tuple) else (value,):
            lines.append(f"{name}: {json.dumps(item) if isinstance(item, str) else item}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("policy", POLICIES)
def test_rates(caffe, parity, policy):
    steps = 36
    text = solver_text(net="net.prototxt", base_lr=BASE_LR, lr_policy=policy, momentum=0.0, snapshot=0,
                       random_seed=1, **POLICIES[policy])  # fmt: skip
    files = {"net.prototxt": RATE_NET, "solver.prototxt": text}
    job = {"name": "r", "kind": "solve", "solver": "solver.prototxt", "steps": steps, "trace": [*range(1, steps + 1)]}
    answer = caffe.ask(f"solver/rate_{policy}", [job], {}, files)
    caffes = np.array([answer.array(f"r/at/{n}/param_diff/w/0").item() for n in range(1, steps + 1)], np.float32)
    optimizer = CaffeSGD([torch.zeros(1)], BASE_LR, schedule=LearningRate(policy, **POLICIES[policy]))
    ours, late = [], []
    for n in range(steps):
        ours.append(optimizer.rate())
        late.append(optimizer.schedule.rate(BASE_LR, n + 1, optimizer.schedule.step_at(n + 1, 0)))
        optimizer.step()
    parity.check("solver", f"rates of {policy}", np.abs(np.float32(ours) - caffes).max(), EXACT)
    if policy != "fixed":
        parity.must_fail("solver", f"wrong: {policy}, an iteration early", np.abs(np.float32(late) - caffes).max(), 0)


# A smooth net. With a ReLU, an input within rounding of zero changes one gradient (Nesterov: 3e-5 at step 169, where
# Caffe had 9e-8 and the port -6e-8), which would say nothing about the solver
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 16 dim: 12 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 16 dim: 1 } } }
layer { name: "fc6" type: "InnerProduct" bottom: "data" top: "fc6" inner_product_param { num_output: 20 }
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 } }
layer { name: "tanh6" type: "TanH" bottom: "fc6" top: "fc6" }
layer { name: "fc8_m" type: "InnerProduct" bottom: "fc6" top: "fc8_m" inner_product_param { num_output: 1 }
  param { lr_mult: 10 decay_mult: 1 } param { lr_mult: 20 decay_mult: 0 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc8_m" bottom: "label" top: "loss" }
"""
MULTIPLIERS = {"fc6.weight": (1, 1), "fc6.bias": (2, 0), "fc8_m.weight": (10, 1), "fc8_m.bias": (20, 0)}
STEP_AT = (1, 5, 100, 101, 110, 150, 200, 201, 210, 250, 300)
# name: (fields of the solver, arguments of CaffeSGD)
COMMON = {"base_lr": 1e-3, "lr_policy": "step", "gamma": 0.1, "stepsize": 100, "momentum": 0.9, "weight_decay": 0.005}
CASES = {
    "plain": ({}, {}),
    "iter_size 2": ({"iter_size": 2}, {"iter_size": 2}),
    "iter_size 3, clipped": ({"iter_size": 3, "clip_gradients": 2.0}, {"iter_size": 3, "clip_gradients": 2.0}),
    "L1": ({"regularization_type": "L1"}, {"regularization": "L1"}),
    "Nesterov": ({"type": "Nesterov"}, {"nesterov": True}),
    "multistep, Nesterov, iter_size 2": (
        {"lr_policy": "multistep", "stepsize": 0, "stepvalue": (100, 200), "type": "Nesterov", "iter_size": 2},
        {"nesterov": True, "iter_size": 2},
    ),
}


class Problem:
    """One fixed batch and start for Caffe and PyTorch; place: the torch.device on which PyTorch computes."""

    place = torch.device("cpu")

    def __init__(self):
        rng = np.random.default_rng(4)
        self.data = rng.standard_normal((16, 12), np.float32)
        self.label = rng.standard_normal((16, 1), np.float32) * 3
        self.start = {"fc6/0": (20, 12), "fc6/1": (20,), "fc8_m/0": (1, 20), "fc8_m/1": (1,)}
        self.start = {key: rng.standard_normal(shape, np.float32) * 0.4 for key, shape in self.start.items()}

    def model(self):
        net = nn.ModuleDict({"fc6": nn.Linear(12, 20), "fc8_m": nn.Linear(20, 1)})
        arrays = {key.replace("/0", ".weight").replace("/1", ".bias"): v for key, v in self.start.items()}
        net.load_state_dict({key: torch.from_numpy(v.copy()) for key, v in arrays.items()})
        return net.to(self.place)

    def loss(self, net):
        data, label = (torch.from_numpy(array).to(self.place) for array in (self.data, self.label))
        return rankiqa.euclidean_loss(net["fc8_m"](torch.tanh(net["fc6"](data))), label)

    def train(self, optimizer, net, steps, passes=1, each=None):
        """Train and return {step: {name: parameter}} for the steps in STEP_AT."""
        traced = {}
        for n in range(1, steps + 1):
            net.zero_grad()
            for _ in range(passes):
                self.loss(net).backward()
            if each:
                each(n, optimizer)
            optimizer.step()
            if n in STEP_AT:
                traced[n] = {name: p.detach().cpu().numpy().copy() for name, p in net.named_parameters()}
        return traced


def _groups(net, multipliers=MULTIPLIERS):
    return [{"params": [p], "lr_mult": multipliers[name][0], "decay_mult": multipliers[name][1]}
            for name, p in net.named_parameters()]  # fmt: skip


def _schedule(fields):
    names = {"lr_policy": "policy", "gamma": "gamma", "stepsize": "stepsize", "stepvalue": "stepvalue"}
    return LearningRate(**{names[key]: value for key, value in {**COMMON, **fields}.items() if key in names})


def _sgd(net, fields=None, multipliers=MULTIPLIERS, **changes):
    values = {"momentum": 0.9, "weight_decay": 0.005, "schedule": _schedule(fields or {}), **changes}
    return CaffeSGD(_groups(net, multipliers), 1e-3, **values)


def _ask(caffe, name, fields):
    problem = Problem()
    fields = {key: value for key, value in {**COMMON, **fields}.items() if not (key == "stepsize" and not value)}
    text = solver_text(net="net.prototxt", display=0, snapshot=0, random_seed=1, **fields)
    arrays = {"x": problem.data, "y": problem.label, **{f"p{i}": v for i, v in enumerate(problem.start.values())}}
    job = {"name": "s", "kind": "solve", "solver": "solver.prototxt", "steps": 300, "trace": list(STEP_AT),
           "set": {key: f"p{i}" for i, key in enumerate(problem.start)},
           "inputs": {"data": "x", "label": "y"}}  # fmt: skip
    files = {"net.prototxt": NET, "solver.prototxt": text}
    return problem, caffe.ask(f"solver/{name.replace(', ', '_').replace(' ', '_')}", [job], arrays, files)


def _errors(answer, traced):
    """Return {step: the largest error over the parameters}."""
    kinds = {"weight": 0, "bias": 1}
    errors = {}
    for n, parameters in traced.items():
        pairs = ((name.rsplit(".", 1), value) for name, value in parameters.items())
        errors[n] = max(answer.error(f"s/at/{n}/param/{layer}/{kinds[part]}", value) for (layer, part), value in pairs)
    return errors


@pytest.mark.parametrize("name", CASES)
def test_steps(caffe, parity, name):
    fields, arguments = CASES[name]
    problem, answer = _ask(caffe, name, fields)
    net = problem.model()
    errors = _errors(answer, problem.train(_sgd(net, fields, **arguments), net, 300, arguments.get("iter_size", 1)))
    parity.check("solver", f"{name}: one step", errors[1], STEP)
    parity.check("solver", f"{name}: 300 steps, two rate drops; {in_words(errors)}", max(errors.values()), STEPS_300)


@pytest.mark.gpu
def test_steps_on_the_device(caffe, parity, device, monkeypatch):
    """Run 300 steps with parameters, gradients and momentum on the device."""
    fields, arguments = CASES["iter_size 3, clipped"]
    problem, answer = _ask(caffe, "iter_size 3, clipped", fields)
    monkeypatch.setattr(problem, "place", device)
    net = problem.model()
    with full_float32():
        traced = problem.train(_sgd(net, fields, **arguments), net, 300, arguments["iter_size"])
    errors = _errors(answer, traced)
    parity.check("solver", f"300 steps on {device.type}; {in_words(errors)}", max(errors.values()), STEPS_300)
    halved = _errors(answer, {n: {k: v / 2 for k, v in step.items()} for n, step in traced.items()})
    parity.must_fail("solver", f"wrong: half the weights on {device.type}", min(halved.values()), STEPS_300)


def _wrong(name):
    """Return (net, optimizer, passes) of a wrong variant."""
    net = Problem().model()
    if name == "decay on biases":
        return net, _sgd(net, multipliers={key: (lr, 1) for key, (lr, _) in MULTIPLIERS.items()}), 1
    if name == "no multipliers":
        return net, _sgd(net, multipliers={key: (1, 1) for key in MULTIPLIERS}), 1
    if name == "iter_size not averaged":
        return net, _sgd(net), 2
    if name == "drop an iteration late":
        return net, _sgd(net, {"stepsize": 101}), 1
    return net, _sgd(net, nesterov=True), 1


@pytest.mark.parametrize(
    "name",
    ["decay on biases", "no multipliers", "iter_size not averaged", "drop an iteration late", "Nesterov for SGD"],
)
def test_wrong_variants(caffe, parity, name):
    problem, answer = _ask(caffe, "plain", {})
    net, optimizer, passes = _wrong(name)
    errors = _errors(answer, problem.train(optimizer, net, 300, passes))
    parity.must_fail("solver", f"wrong: {name}", max(errors.values()), STEPS_300)


def test_pytorchs_sgd_fails_at_a_drop_of_the_rate(caffe, parity):
    """Steps agree until the rate drops; then its momentum, which does not contain the rate, is a tenth of Caffe's."""
    problem, answer = _ask(caffe, "plain", {})
    net = problem.model()
    groups = [{"params": [p], "lr": 1e-3 * MULTIPLIERS[n][0], "weight_decay": 0.005 * MULTIPLIERS[n][1]}
              for n, p in net.named_parameters()]  # fmt: skip
    base = [group["lr"] for group in groups]

    def drop(n, optimizer):
        for group, lr in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = lr * 0.1 ** ((n - 1) // 100)

    errors = _errors(answer, problem.train(torch.optim.SGD(groups, momentum=0.9), net, 300, each=drop))
    parity.check("solver", "torch.optim.SGD before the first drop", max(errors[1], errors[5], errors[100]), STEPS_300)
    parity.must_fail("solver", "wrong: torch.optim.SGD one step after the drop", errors[101], STEPS_300)
    parity.must_fail("solver", "wrong: torch.optim.SGD ten steps after the drop", errors[110], STEPS_300)
