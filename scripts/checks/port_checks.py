"""The port on a device against the port on the CPU, and how far TF32, bfloat16 and torch.compile are from float32."""

import copy

import numpy as np
import torch
from comparisons import FORWARD, compare_layers, compare_trainings
from questions import TrainingQuestion
from rows import Row

import rankiqa
from rankiqa.models.modes import IEEE, TF32, float32_products
from rankiqa.scoring.engines import TorchBfloat16Engine
from sample_training import PHOTOGRAPHS

SCORES = 1e-4  # of the largest score: as FORWARD
TF32_FORWARD = 1e-2  # factors with ten bits (2**-11 each) through up to 16 layers
BF16_FORWARD = 5e-2  # seven bits (2**-8)
CROPS = 10


def check_layers(table, questions, device):
    """Layers and gradients on the device and on the CPU; returns {arch: the device's answer}."""
    answers = {}
    for question in questions:
        on_cpu = question.port("cpu")
        answers[question.arch] = on_cpu if device == "cpu" else question.port(device)
        other = question.port("cpu") if device == "cpu" else answers[question.arch]
        compare_layers(table, f"port on {device} / on the CPU", question.arch, on_cpu, other)
    return answers


def check_scores(table, question, device):
    """`rankiqa.score_many` on the device and `rankiqa.score` on the CPU, of photographs."""
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
    """One network's outputs in TF32, bfloat16 and through torch.compile, against float32 on the same device."""
    model = question.model.to(device).eval()
    crops = torch.from_numpy(question.crops).to(device)

    def outputs(forward, kind=IEEE):
        with torch.inference_mode(), float32_products(kind):
            return forward(crops).reshape(-1).float().cpu().numpy()

    expected = outputs(model)

    def compare(name, made, tolerance):
        errors = {"crop": float(np.abs(made - expected).max() / np.abs(expected).max())}
        return table.compare(f"port on {device} / its float32", f"{question.arch} {name}", errors, tolerance)

    if torch.device(device).type == "cuda":
        compare("TF32", outputs(model, TF32), TF32_FORWARD)
    else:
        table.add(Row(f"port on {device} / its float32", f"{question.arch} TF32", None, detail="only on a GPU"))
    compare("bf16", outputs(TorchBfloat16Engine(model, lambda line: None).scores), BF16_FORWARD)
    if compiled:
        try:
            compare("compile", outputs(torch.compile(copy.deepcopy(model))), FORWARD)
        except Exception as error:  # whatever the compiler lacks on this machine: it is the row's finding
            first = str(error).strip().splitlines()[0][:100] if str(error).strip() else type(error).__name__
            table.add(Row(f"port on {device} / its float32", f"{question.arch} compile", False, detail=first))


def check_training(table, archs, images, device):
    """An iteration of Rank live on the device and on the CPU."""
    for arch in archs:
        question = TrainingQuestion(arch, images, steps=1)
        on_cpu, other = question.port("cpu"), question.port(device)
        compare_trainings(table, f"port on {device} / on the CPU", arch, on_cpu, other)


def check_port(table, questions, images, device, quick, compiled):
    """All of them; returns {arch: layers and gradients on the device}.

    Args:
        table: takes the rows.
        questions: LayersQuestion of each network.
        images: folder of sample_training.make_images.
        device: of the port.
        quick: train the first network alone.
        compiled: run the first network through torch.compile, too.
    """
    answers = check_layers(table, questions, device)
    check_scores(table, questions[0], device)
    for question in questions:
        check_modes(table, question, device, compiled=compiled and question is questions[0])
    check_training(table, [q.arch for q in questions[: 1 if quick else None]], images, device)
    return answers
