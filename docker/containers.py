"""Mount a folder of the host in a container, on each kind of engine.

The engine may be Docker or podman (which has Docker's API), run by root or by an ordinary user ("rootless"), with or
without SELinux. In each case, files that are written to the folder belong to the caller.
"""

import os
from dataclasses import dataclass
from functools import cache

IMAGE_USER = 1000  # the images' user, for containers of a caller who is root


@dataclass(frozen=True)
class Traits:
    """The relevant properties of an engine.

    Attributes:
        rootless: An ordinary user runs the engine, so root in a container is that user outside.
        selinux: Containers can open only files with their SELinux label.
    """

    rootless: bool = False
    selinux: bool = False


def traits_of(info):
    """Return the traits of an engine from its description (`docker info`), a dictionary."""
    security = {option.split(",")[0] for option in info.get("SecurityOptions") or ()}
    rootless = "name=rootless" in security or bool(info.get("Rootless"))  # Docker reports the first, podman the second
    return Traits(rootless, "name=selinux" in security)


@cache
def traits(client):
    """Return the traits of a Docker SDK client's engine; they are queried once per client."""
    return traits_of(client.info())


def container_user(traits, uid, gid):
    """Return the UID:GID inside the container for which the caller (uid, gid) owns the written files.

    In rootless engines, root in the container is the caller, so `--userns=keep-id`, which only podman has, is not
    needed. If root calls an engine that root runs, the container still gets an ordinary user.
    """
    if traits.rootless:
        return "0:0"
    return f"{IMAGE_USER}:{IMAGE_USER}" if uid == 0 else f"{uid}:{gid}"


def mount_options(traits, folder, uid=None, gid=None):
    """Return the options of the SDK's `containers.create` that mount a folder as /work, writable.

    Args:
        traits: The traits of the engine.
        folder: An absolute Path. If root calls an engine that root runs, the owner of the folder and of all files in
            it becomes IMAGE_USER.
        uid: The caller's user id; None: that of this process.
        gid: The caller's group id; None: that of this process.

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
