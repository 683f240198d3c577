"""A page over the experiments of a folder: what each shows in a line, with links to its page and its CSV files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rankiqa.data.atomic_files import replacing
from rankiqa.data.json_text import parse_json
from rankiqa.experiments.csv_tables import read_csv
from rankiqa.experiments.page import PAGE, VERDICTS, Verdict, rendered
from rankiqa.experiments.ranked_data import CLAIM


@dataclass(frozen=True)
class Entry:
    """An experiment that is done.

    Attributes:
        name: Of its folder below the index.
        title: Of its page.
        about: Which experiment, network and seed.
        verdicts: Of its page.
        files: Names of its CSV files.
    """

    name: str
    title: str
    about: str
    verdicts: list[Verdict]
    files: list[str]

    @property
    def folder(self) -> str:
        """Its folder, as a link has it."""
        return quote(self.name, errors="surrogateescape")

    @property
    def page(self) -> str:
        """The link to its page."""
        return f"{self.folder}/{PAGE}"


def write(folder: Path) -> Path:
    """Write FOLDER/index.html over the experiments in its folders; returns its path.

    Raises:
        ValueError: For a folder without an experiment that is done, or that is an experiment's own.
        OSError: Where the page cannot be written.
    """
    if (folder / CLAIM).exists():
        raise ValueError(f"{folder}: expected a folder with experiments in it, got the folder of one")
    claimed = [path.parent for path in sorted(folder.glob(f"*/{CLAIM}"))]
    done = [path for path in claimed if _is_done(path)]
    if not done:
        raise ValueError(f"{folder}: expected folders of experiments that are done, got none")
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
        raise ValueError(f"{folder}: expected {CLAIM} and {VERDICTS} as an experiment writes them: {error}") from None
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
