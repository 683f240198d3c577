"""The networks under torch.fx, torch.export and torch.compile: one graph and the same numbers."""

import pytest
import torch

import rankiqa
from rankiqa.models import first_layers
from rankiqa.models.network import FLATTEN

ARCHS = ("vgg16", "alexnet", "shallow")


@pytest.fixture(scope="module", params=ARCHS)
def network(request):
    torch.manual_seed(0)
    return rankiqa.build(request.param).eval()


@pytest.fixture(scope="module")
def crops(network):
    return torch.rand(2, 3, network.crop, network.crop, generator=torch.Generator().manual_seed(1)) * 255


@pytest.fixture(scope="module")
def scores(network, crops):
    with torch.inference_mode():
        return network(crops)


@torch.no_grad()
def test_fx(network, crops, scores):
    traced = torch.fx.symbolic_trace(network)
    assert torch.equal(traced(crops), scores)
    calls = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    parameters = [name for name, module in network.named_children() if list(module.parameters())]
    assert [name for name in calls if name in parameters] == parameters


@torch.no_grad()
def test_export(network, crops, scores):
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(network, (crops,), dynamic_shapes=({0: batch},))
    module = program.module()
    assert torch.equal(module(crops), scores)
    assert module(torch.cat([crops, crops[:1]])).shape == (3, 1)
    exported = {name: tuple(value.shape) for name, value in program.state_dict.items()}
    assert exported == {name: tuple(value.shape) for name, value in network.state_dict().items()}


@torch.no_grad()
def test_compile_has_no_graph_break(network, crops, scores):
    """aot_eager traces and functionalises as for any compiler but runs PyTorch's kernels, so outputs are equal."""
    torch._dynamo.reset()
    explanation = torch._dynamo.explain(network)(crops)
    assert (explanation.graph_count, explanation.graph_break_count) == (1, 0)
    torch._dynamo.reset()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(crops), scores)


def test_a_training_step_compiles(monkeypatch):
    """Gradients agree, with MaxPool2d's ties and the in-place ReLU in the compiled graph."""
    # Compiled code has the separate layers; test_first_layers.py compares the fused ones with float64
    monkeypatch.setattr(first_layers, "are_fused", lambda *_: False)
    torch.manual_seed(0)
    network = rankiqa.build("shallow").train()
    crops = torch.rand(2, 3, network.crop, network.crop, generator=torch.Generator().manual_seed(1)) * 255
    network(crops).sum().backward()
    plain = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
    network.zero_grad()
    torch._dynamo.reset()
    torch.compile(network, fullgraph=True, backend="aot_eager")(crops).sum().backward()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, plain[name], rtol=1e-6, atol=1e-6 * plain[name].abs().max().item())


@pytest.mark.slow
@torch.no_grad()
def test_inductor():
    """Inductor's kernels sum in another order, hence the tolerance."""
    network = rankiqa.build("shallow").eval()
    crops = torch.rand(2, 3, network.crop, network.crop, generator=torch.Generator().manual_seed(1)) * 255
    expected = network(crops)
    torch._dynamo.reset()
    try:
        compiled = torch.compile(network, fullgraph=True)(crops)
    except Exception as error:
        if "compiler" in str(error).lower():
            pytest.skip(f"no C++ compiler here: {error}")
        raise
    torch.testing.assert_close(compiled, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


@torch.no_grad()
def test_layers_by_hooks_are_the_loops(network, crops, scores):
    """forward_layers equals a loop over the modules; it copies each blob before the next layer changes it in place."""
    blobs, expected, x = network.forward_layers(crops), {}, crops
    for name, module in network.named_children():
        x = module(x.clone())
        if name != FLATTEN:
            expected[name] = x.clone()
    assert list(blobs) == list(expected)
    assert all(torch.equal(blobs[name], expected[name]) for name in expected)
    assert torch.equal(blobs[network.head], scores)
    assert not any(module._forward_hooks for module in network.modules())  # no hook remains
