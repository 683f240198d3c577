"""How a folder of the host gets into a container, on each kind of engine.

The engine may be Docker or podman (its API is Docker's), run by root or by an ordinary user ("rootless"), with or
without SELinux. What is written into the folder belongs to the caller in each case.
"""

import os
from dataclasses import dataclass
from functools import cache

IMAGE_USER = 1000  # user of the images, for the containers of a caller who is root


@dataclass(frozen=True)
class Traits:
    """What matters of an engine.

    Attributes:
        rootless: an ordinary user runs it: root of a container is that user outside.
        selinux: containers open only files that carry their label.
    """

    rootless: bool = False
    selinux: bool = False


def traits_of(info):
    """Traits from what the engine says of itself (`docker info`), a dictionary."""
    security = {option.split(",")[0] for option in info.get("SecurityOptions") or ()}
    rootless = "name=rootless" in security or bool(info.get("Rootless"))  # Docker says the first, podman the second
    return Traits(rootless, "name=selinux" in security)


@cache
def traits(client):
    """Traits of the engine of a docker SDK client, which is asked once."""
    return traits_of(client.info())


def container_user(traits, uid, gid):
    """UID:GID inside the container by which the caller (uid, gid) owns what is written.

    Rootless engines make root of the container the caller: no `--userns=keep-id` is needed, which is podman's alone.
    Where root calls an engine of root's, the container still gets an ordinary user.
    """
    if traits.rootless:
        return "0:0"
    return f"{IMAGE_USER}:{IMAGE_USER}" if uid == 0 else f"{uid}:{gid}"


def mount_options(traits, folder, uid=None, gid=None):
    """Options of the SDK's `containers.create` that mount a folder as /work, writable.

    Args:
        traits: of the engine.
        folder: absolute Path. Where root calls an engine of root's, it is given to IMAGE_USER, and all in it.
        uid, gid: of the caller; those of this process by default.

    Returns:
        {"user": .., "volumes": ..}
    """
    uid, gid = os.getuid() if uid is None else uid, os.getgid() if gid is None else gid
    user = container_user(traits, uid, gid)
    if uid == 0 and not traits.rootless:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, IMAGE_USER, IMAGE_USER, follow_symlinks=False)
    mode = "rw,z" if traits.selinux else "rw"  # z: label the folder for containers
    return {"user": user, "volumes": {str(folder): {"bind": "/work", "mode": mode}}}
