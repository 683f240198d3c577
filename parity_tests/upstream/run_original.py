"""Run the original's commands in the image as a user does: ordinary user, no network, three mounted folders."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

USER = 1234  # neither root nor the image's own user: files that a command writes must belong to the calling user
MOUNTED = ("data", "models", "results")
# (working folder in /opt/RankIQA, list generator)
GENERATORS = (
    ("data", "generate_rank_txt_live.py"),
    ("data/rank_tid2013", "../generate_rank_txt_tid2013.py"),
    ("data", "generate_ft_txt_live.py"),
    ("data", "generate_ft_txt_tid2013.py"),
)
TRAINS = (
    "./src/RankIQA/live/train_vgg.sh",
    "./src/RankIQA/tid2013/train_vgg.sh",
    "./src/FT/live/train_live.sh",
    "./src/FT/tid2013/train_vgg.sh",
)


@dataclass(frozen=True)
class Run:
    """The result of a command; output: stdout and stderr, interleaved."""

    status: int
    output: str

    @property
    def last_line(self):
        return self.output.strip().splitlines()[-1]

    def __str__(self):
        return f"exit status {self.status}\n" + "\n".join(self.output.splitlines()[-40:])


def own(root):
    """Make USER the owner of everything in a folder; needs root."""
    for path in [root, *root.rglob("*")]:
        os.chown(path, USER, USER, follow_symlinks=False)


def command(image, root, words, folder=None, mounted=MOUNTED, read_only=(), limits=(), environment=None):
    """Return the command line of docker run; as root, first make USER the owner of the folders."""
    root, user = Path(root), os.getuid() or USER
    if os.getuid() == 0:
        own(root)
    # With a read-only root file system the original's files cannot change
    line = ["docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "ALL"]
    line += ["--user", f"{user}:{user}", "--security-opt", "no-new-privileges", *limits]
    for name in mounted:
        mode = "ro" if name in read_only else "rw"
        line += ["-v", f"{root / name}:/opt/RankIQA/{name}:{mode}"]
    for name, value in (environment or {}).items():
        line += ["-e", f"{name}={value}"]
    if folder:
        line += ["-w", f"/opt/RankIQA/{folder}"]
    return [*line, image, *words]


def run(image, root, *words, timeout=3600, **options):
    """Run WORDS in the image with root/{data,models,results} mounted.

    options: those of `command`; names in capitals are environment variables.
    """
    environment = {name: options.pop(name) for name in list(options) if name.isupper()}
    done = subprocess.run(
        command(image, root, words, environment=environment, **options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
    )
    return Run(done.returncode, done.stdout.decode(errors="replace"))
