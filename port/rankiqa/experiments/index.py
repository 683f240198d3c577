"""Write a page over the experiments in a folder: one line per result, with links to the pages and CSV files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rankiqa.data.atomic_files import replacing
from rankiqa.data.json_text import parse_json
from rankiqa.experiments.csv_tables import read_csv
from rankiqa.experiments.experiment_page import PAGE, VERDICTS, Verdict, rendered
from rankiqa.experiments.ranked_data import CLAIM


@dataclass(frozen=True)
class Entry:
    """A finished experiment.

    Attributes:
        name: The name of its folder below the index.
        title: The title of its page.
        about: Experiment, network and seed.
        verdicts: The verdicts of its page.
        files: The names of its CSV files.
    """

    name: str
    title: str
    about: str
    verdicts: list[Verdict]
    files: list[str]

    @property
    def folder(self) -> str:
        """Return its folder, quoted for a link."""
        return quote(self.name, errors="surrogateescape")

    @property
    def page(self) -> str:
        """Return the link to its page."""
        return f"{self.folder}/{PAGE}"


def write(folder: Path) -> Path:
    """Write FOLDER/index.html over the experiments in its subfolders, and return its path.

    Raises:
        ValueError: The folder contains no finished experiment, or belongs to an experiment itself.
        OSError: The page cannot be written.
    """
    if (folder / CLAIM).exists():
        raise ValueError(f"{folder}: expected a folder that contains experiments, got the folder of an experiment")
    claimed = [path.parent for path in sorted(folder.glob(f"*/{CLAIM}"))]
    done = [path for path in claimed if _is_done(path)]
    if not done:
        raise ValueError(f"{folder}: expected folders of finished experiments, got none")
    begun = [path.name for path in claimed if path not in done]
    text = rendered("index.html.j2", experiments=[_entry(path) for path in done], begun=begun)
    with replacing(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")
    return folder / PAGE


def _is_done(folder: Path) -> bool:
    return (folder / PAGE).exists() and bool(read_csv(folder / VERDICTS))


def _entry(folder: Path) -> Entry:
    rows = read_csv(folder / VERDICTS)
    try:
        about, verdicts = _about(parse_json((folder / CLAIM).read_bytes())), [_verdict(row) for row in rows]
        title = rows[0]["title"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder}: expected {CLAIM} and {VERDICTS} of an experiment, got: {error}") from None
    files = sorted(path.name for path in folder.glob("*.csv") if path.name != VERDICTS)
    return Entry(folder.name, title, about, verdicts, files)


def _verdict(row: dict[str, str]) -> Verdict:
    return Verdict(row["shown"] == "True", row["text"], row["csv"])


def _about(claim: dict) -> str:
    settings = claim["settings"]
    many = claim["experiment"] in ("backbones", "ablation")
    archs = settings["archs"] if claim["experiment"] == "backbones" else [settings["arch"]]
    iterations = settings["short"] if many else settings["iterations"]
    return (
        f"{claim['experiment']}, preset {settings['name']}: {', '.join(archs)}, {iterations} iterations of each "
        f"training, seed {claim['seed']}."
    )
