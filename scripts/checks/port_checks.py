"""Compare the port on a device with the port on the CPU, and TF32, bfloat16 and torch.compile with float32."""

import copy

import numpy as np
import torch
from check_rows import Row
from comparisons import FORWARD, compare_layers, compare_trainings
from questions import TrainingQuestion

import rankiqa
from rankiqa.models.modes import IEEE, TF32, float32_products
from rankiqa.scoring.engines import TorchBfloat16Engine
from sample_training import PHOTOGRAPHS

SCORES = 1e-4  # relative to the largest score; the same reason as FORWARD
TF32_FORWARD = 1e-2  # factors have ten bits (error 2**-11 each), and there are up to 16 layers
BF16_FORWARD = 5e-2  # seven bits (error 2**-8)
CROPS = 10


def check_layers(table, questions, device):
    """Compare layers and gradients on a device and on the CPU; return {arch: the device's answer}."""
    answers = {}
    for question in questions:
        on_cpu = question.port("cpu")
        answers[question.arch] = on_cpu if device == "cpu" else question.port(device)
        other = question.port("cpu") if device == "cpu" else answers[question.arch]
        compare_layers(table, f"port on {device} / on the CPU", question.arch, on_cpu, other)
    return answers


def check_scores(table, question, device):
    """Compare `rankiqa.score_many` on a device with `rankiqa.score` on the CPU, for photographs."""
    paths = sorted(PHOTOGRAPHS.glob("*.jpg"))[:3]
    expected = [rankiqa.score(question.model.to("cpu"), rankiqa.read_image(path), crops=CROPS).score for path in paths]
    rows = list(rankiqa.score_many(question.model.to(device), paths, crops=CROPS, batch=3))
    largest = max(map(abs, expected)) or 1.0
    errors = {
        path.name: abs(row.get("score", np.nan) - score) / largest
        for path, row, score in zip(paths, rows, expected, strict=True)
    }
    return table.compare(f"port on {device} / on the CPU", f"{question.arch} scores", errors, SCORES)


def check_modes(table, question, device, compiled):
    """Compare a network's outputs in TF32, in bfloat16 and with torch.compile to float32 on the same device."""
    model = question.model.to(device).eval()
    crops = torch.from_numpy(question.crops).to(device)

    def outputs(forward, precision=IEEE):
        """Return the outputs of all crops, float32 (crops,)."""
        with torch.inference_mode(), float32_products(precision):
            return forward(crops).reshape(-1).float().cpu().numpy()

    expected = outputs(model)

    def compare(name, actual, tolerance):
        """Add a row."""
        errors = {"crop": float(np.abs(actual - expected).max() / np.abs(expected).max())}
        return table.compare(f"port on {device} / its float32", f"{question.arch} {name}", errors, tolerance)

    if torch.device(device).type == "cuda":
        compare("TF32", outputs(model, TF32), TF32_FORWARD)
    else:
        table.add(Row(f"port on {device} / its float32", f"{question.arch} TF32", None, detail="only on a GPU"))
    compare("bf16", outputs(TorchBfloat16Engine(model, lambda line: None).scores), BF16_FORWARD)
    if compiled:
        try:
            compare("compile", outputs(torch.compile(copy.deepcopy(model))), FORWARD)
        except Exception as error:  # any failure of the compiler is the row's result
            first = str(error).strip().splitlines()[0][:100] if str(error).strip() else type(error).__name__
            table.add(Row(f"port on {device} / its float32", f"{question.arch} compile", False, detail=first))


def check_training(table, archs, images, device):
    """Compare an iteration of Rank live on a device and on the CPU."""
    for arch in archs:
        question = TrainingQuestion(arch, images, steps=1)
        on_cpu, other = question.port("cpu"), question.port(device)
        compare_trainings(table, f"port on {device} / on the CPU", arch, on_cpu, other)


def check_port(table, questions, images, device, quick, compiled):
    """Run all checks of the port.

    Args:
        table: Receives the rows.
        questions: A LayersQuestion for each network.
        images: The folder of sample_training.make_images.
        device: The port's device.
        quick: Train only the first network.
        compiled: Also run the first network with torch.compile.

    Returns:
        {arch: layers and gradients on the device}.
    """
    answers = check_layers(table, questions, device)
    check_scores(table, questions[0], device)
    for question in questions:
        check_modes(table, question, device, compiled=compiled and question is questions[0])
    check_training(table, [q.arch for q in questions[: 1 if quick else None]], images, device)
    return answers
