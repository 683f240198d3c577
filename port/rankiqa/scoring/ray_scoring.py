"""Score many images on a Ray cluster: Ray Data decodes images in tasks, and actors hold the network.

Every machine reads the images and the weights by the same paths. If a machine is lost, another one repeats its work. A
score's bits depend on the number of threads of its matrix products, so actors use as many threads as this process
would.
"""

from __future__ import annotations

import base64
import itertools
import json
import logging
import socket
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import torch

import rankiqa
from rankiqa.data.image_sources import ImageSource
from rankiqa.data.images import decode_image
from rankiqa.models import memory
from rankiqa.models.weights import digest
from rankiqa.scoring.engines import engine_named
from rankiqa.scoring.many import ReadImage, ScoreSettings, compute, finish, passes
from rankiqa.scoring.rows import Row, first_line

ROUND = 10_000  # images per pipeline; limits the memory of this process
BLOCK = 16  # images per decoding task; their pixels are in the object store at the same time
ATTEMPTS = 5  # attempts at an image if machines are lost in a way that Ray itself does not repair


@dataclass(frozen=True)
class RemoteEngine:
    """The settings that let an actor compute as this process does.

    Attributes:
        weights: The file, by its path on every machine; None: the model in the package.
        sha256: The digest of the network.
        name: The name of the engine.
        precision: The precision of the engine.
        device: The device of torch.
        threads: The number of threads of torch.
        torch: The version of torch.
    """

    weights: str | None
    sha256: str
    name: str
    precision: str
    device: str
    threads: int
    torch: str


def remote_engine(weights: str | None, model: Any, *, name: str, precision: str, device: str) -> RemoteEngine:
    """Return the description of an engine of this process.

    Args:
        weights: The weights file; None: the model in the package.
        model: The network.
        name: The name of the engine.
        precision: The precision of the engine.
        device: The device of torch.
    """
    return RemoteEngine(weights, digest(model), name, precision, device, torch.get_num_threads(), torch.__version__)


def score_on_cluster(
    ray: ModuleType, engine: RemoteEngine, sources: Iterable[ImageSource], settings: ScoreSettings
) -> Iterator[Row]:
    """Score images on a cluster.

    Args:
        ray: The module, connected to a cluster (`ray_cluster.connected`).
        engine: The engine of the actors.
        sources: The images.
        settings: How to score them.

    Yields:
        The rows in the order of the images, one per image.

    Raises:
        ValueError: The cluster fails, or a machine cannot take part because of other weights or another PyTorch.
    """
    rest = iter(sources)
    with _quiet(ray):
        while batch := list(itertools.islice(rest, ROUND)):
            yield from _round(ray, engine, batch, settings)


def _round(ray: ModuleType, engine: RemoteEngine, sources: list[ImageSource], settings: ScoreSettings) -> Iterator[Row]:
    """Yield the rows of some images in their order. Request the rows that Ray lost again."""
    rows: dict[int, Row] = {}
    done = 0
    for _ in range(ATTEMPTS):
        missing = [(number, source) for number, source in enumerate(sources) if number >= done and number not in rows]
        for number, row in _pipeline(ray, engine, missing, settings):
            rows.setdefault(number, row)
            while done in rows:
                yield rows.pop(done)
                done += 1
        if done == len(sources):
            return
    raise ValueError(f"--ray: expected a row for each image, got none for {sources[done].name}")


def _pipeline(
    ray: ModuleType, engine: RemoteEngine, sources: list[tuple[int, ImageSource]], settings: ScoreSettings
) -> Iterator[tuple[int, Row]]:
    """Yield (number, row) of images in any order, from one pipeline of Ray Data."""
    items = [{"number": number, "source": _to_json(source)} for number, source in sources]
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores = [int(node.get("CPU", 0)) for node in nodes if node.get("CPU", 0) >= 1] or [1]
    if engine.device.startswith("cuda"):
        resources, most = {"num_gpus": 1}, int(sum(node.get("GPU", 0) for node in nodes))
        if not most:  # otherwise actors would wait for a GPU forever
            raise ValueError(f"--device {engine.device}: expected a GPU in the cluster, got none that Ray knows of")
    else:
        each = max(1, min(engine.threads, *cores))  # an actor fits on every machine
        resources, most = {"num_cpus": each}, sum(number // each for number in cores)
    # Decoding reserves no core. Otherwise it would wait forever if a machine is lost and actors hold all other cores.
    data = ray.data.from_items(items, override_num_blocks=-(-len(items) // BLOCK))
    whole = {"batch_size": None, "batch_format": "pyarrow"}  # a block per call; numpy would cut off trailing zero bytes
    data = data.map_batches(
        _decode, fn_kwargs={"strict": settings.strict}, num_cpus=0, concurrency=max(1, sum(cores)), **whole
    )
    data = data.map_batches(
        _Actor,
        fn_constructor_kwargs={"engine": engine, "settings": settings},
        concurrency=(1, max(1, most)),
        **resources,
        **whole,
    )
    try:
        for row in data.iter_rows():
            yield int(row["number"]), json.loads(row["row"])
    except ray.exceptions.RayError as error:
        # The error of a task or an actor includes its traceback, whose last line is the message.
        text = str(error).strip().splitlines()[-1].removeprefix("ValueError: ")
        raise ValueError(f"--ray: expected the cluster to score, got: {text}") from None


def _to_json(source: ImageSource) -> str:
    data = None if source.data is None else base64.b64encode(source.data).decode()
    return json.dumps(asdict(source) | {"data": data})  # ASCII, since file names may not be valid text


def _from_json(text: str) -> ImageSource:
    fields = json.loads(text)
    return ImageSource(**fields | {"data": fields["data"] and base64.b64decode(fields["data"])})


def _decode(table: pa.Table, strict: bool) -> pa.Table:
    """Decode a block of images.

    Return their pixels as bytes, and as JSON the shape and the row with a note or an error.
    """
    pixels, facts = [], []
    for text in table["source"].to_pylist():
        source = _from_json(text)
        row: Row = {"path": source.name}
        image = np.zeros((0, 0, 3), np.uint8)
        try:
            image, notes = decode_image(source.read(), strict=strict)
            row |= {"note": "; ".join(notes)} if notes else {}
        except (ValueError, MemoryError) as error:
            row["error"] = first_line(error)
        pixels.append(image.tobytes())
        facts.append(json.dumps({"row": row, "shape": image.shape}))
    return pa.table({"number": table["number"], "pixels": pa.array(pixels, pa.large_binary()), "facts": facts})


class _Actor:
    """The network on a machine of the cluster."""

    def __init__(self, engine: RemoteEngine, settings: ScoreSettings):
        memory.keep_freed()
        torch.set_num_threads(engine.threads)
        self.settings = settings
        # Ray shows an actor only its own GPU, whatever the GPU's number on the machine.
        model = rankiqa.load(engine.weights).to("cuda" if engine.device.startswith("cuda") else engine.device)
        host = socket.gethostname()
        if torch.__version__ != engine.torch:
            raise ValueError(f"{host}: expected PyTorch {engine.torch}, got {torch.__version__}")
        if (sha256 := digest(model)) != engine.sha256:
            where = engine.weights or "the package"
            raise ValueError(f"{host}: {where}: expected weights {engine.sha256[:12]}, got {sha256[:12]}")
        self.engine = engine_named(engine.name, model, precision=engine.precision, mode=settings.mode)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Score a block of decoded images and return their rows as JSON."""
        rows = []
        for pixels, text in zip(table["pixels"], table["facts"].to_pylist(), strict=True):
            facts = json.loads(text)
            row: Row = facts["row"]
            if "error" not in row:
                note = row.pop("note", None)
                row |= self._score(np.frombuffer(pixels.as_buffer(), np.uint8).reshape(facts["shape"]))
                if note and "error" not in row:
                    row["note"] = note
            rows.append(json.dumps(row))
        return pa.table({"number": table["number"], "row": rows})

    def _score(self, pixels: np.ndarray) -> Row:
        """Return the columns of an image's score."""
        try:
            crops = passes(pixels, self.settings, self.engine.model) if self.settings.mode == "crops" else ()
            image = ReadImage(ImageSource("", ""), pixels, (), crops)
            return finish(compute(self.engine, image, self.settings), self.settings)
        except (ValueError, MemoryError, RuntimeError) as error:
            return {"error": first_line(error)}


class _quiet:
    """A context in which Ray Data prints no progress bars and keeps the order of the images."""

    def __init__(self, ray: ModuleType):
        import ray.data

        self.context = ray.data.DataContext.get_current()
        self.logger = logging.getLogger("ray.data")

    def __enter__(self) -> None:
        options = self.context.execution_options
        self.before = self.context.enable_progress_bars, options.preserve_order, self.logger.level
        self.context.enable_progress_bars, options.preserve_order = False, True
        self.logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self.context.enable_progress_bars, self.context.execution_options.preserve_order, level = self.before
        self.logger.setLevel(level)
