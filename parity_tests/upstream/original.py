"""Run the original's commands in the image, as a user does: ordinary user, no network, three folders mounted."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

USER = 1234  # neither root nor the image's own user: what is written must belong to whoever calls
MOUNTED = ("data", "models", "results")
# (where it runs, below /opt/RankIQA; list generator)
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
    """How a command ended. output: stdout and stderr as they came."""

    status: int
    output: str

    @property
    def last_line(self):
        return self.output.strip().splitlines()[-1]

    def __str__(self):
        return f"exit status {self.status}\n" + "\n".join(self.output.splitlines()[-40:])


def own(root):
    """Give everything below a folder to USER, as if USER had made it (root only)."""
    for path in [root, *root.rglob("*")]:
        os.chown(path, USER, USER, follow_symlinks=False)


def command(image, root, words, folder=None, mounted=MOUNTED, read_only=(), limits=(), environment=None):
    """The docker run command line; what is below root becomes the caller's."""
    root, user = Path(root), os.getuid() or USER
    if os.getuid() == 0:
        own(root)
    # a read-only root: the original's tree cannot change
    found = ["docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "ALL"]
    found += ["--user", f"{user}:{user}", "--security-opt", "no-new-privileges", *limits]
    for name in mounted:
        mode = "ro" if name in read_only else "rw"
        found += ["-v", f"{root / name}:/opt/RankIQA/{name}:{mode}"]
    for name, value in (environment or {}).items():
        found += ["-e", f"{name}={value}"]
    if folder:
        found += ["-w", f"/opt/RankIQA/{folder}"]
    return [*found, image, *words]


def run(image, root, *words, timeout=3600, **options):
    """docker run WORDS with root/{data,models,results} mounted; options: those of `command`, variables in capitals."""
    environment = {name: options.pop(name) for name in list(options) if name.isupper()}
    done = subprocess.run(
        command(image, root, words, environment=environment, **options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
    )
    return Run(done.returncode, done.stdout.decode(errors="replace"))
