"""Docker and podman engines: which one is used, and how a folder is mounted into its containers."""

import hashlib
import json
import os
import socket

import pytest

import engine
from containers import Traits, container_user, mount_options, traits_of


def info(*security, **more):
    return {"SecurityOptions": list(security), **more}


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (info("name=seccomp,profile=default"), Traits()),
        (info("name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"), Traits(rootless=True)),
        (info("name=seccomp", "name=selinux"), Traits(selinux=True)),
        (info("name=seccomp", "name=rootless", "name=selinux"), Traits(rootless=True, selinux=True)),
        (info("name=seccomp,profile=default", Rootless=True), Traits(rootless=True)),  # podman 4.3's form
        (info("name=seccomp,profile=default", Rootless=False), Traits()),
        ({}, Traits()),
        ({"SecurityOptions": None}, Traits()),
    ],
)
def test_what_an_engine_says_of_itself(info, expected):
    assert traits_of(info) == expected


@pytest.mark.parametrize(
    ("rootless", "uid", "user"),
    [(False, 1234, "1234:99"), (False, 0, "1000:1000"), (True, 1234, "0:0"), (True, 0, "0:0")],
)
def test_what_is_written_belongs_to_the_caller(rootless, uid, user):
    assert container_user(Traits(rootless=rootless), uid, 99) == user


@pytest.mark.parametrize(("selinux", "mode"), [(False, "rw"), (True, "rw,z")])
def test_a_folder_is_labelled_where_selinux_asks_for_it(tmp_path, selinux, mode):
    options = mount_options(Traits(rootless=True, selinux=selinux), tmp_path)
    assert options["volumes"] == {str(tmp_path): {"bind": "/work", "mode": mode}}


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: files are given to another user")
def test_root_s_folder_is_given_to_the_image_s_user(tmp_path):
    (tmp_path / "file").write_text("")
    mount_options(Traits(), tmp_path)
    assert {path.stat().st_uid for path in (tmp_path, tmp_path / "file")} == {1000}
    os.chown(tmp_path, 0, 0)
    mount_options(Traits(rootless=True), tmp_path)
    assert tmp_path.stat().st_uid == 0


@pytest.fixture
def home(tmp_path):
    """Environment variables of a user whose `docker` has the contexts "near", "far" and "tls"."""
    for name, host in (
        ("near", f"unix://{tmp_path}/near.sock"),
        ("far", "ssh://somebody@example"),
        ("tls", "tcp://x:2376"),
    ):
        folder = tmp_path / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
        folder.mkdir(parents=True)
        text = json.dumps(
            {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
        )
        (folder / "meta.json").write_text(text)
    return {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


def use(home, name):
    """Do what `docker context use NAME` does."""
    path = os.path.join(home["HOME"], ".docker", "config.json")
    with open(path, "w") as file:
        file.write(json.dumps({"auths": {}, "currentContext": name}))


def test_the_chosen_context_is_asked(home):
    assert engine.context_host(home) is None
    use(home, "near")
    near = f"unix://{home['HOME']}/near.sock"
    assert engine.addresses(home) == [near]
    assert engine.context_host({**home, "DOCKER_CONTEXT": "default"}) is None
    assert engine.addresses({**home, "DOCKER_HOST": "unix:///elsewhere.sock"}) == [None]
    use(home, "default")
    assert engine.context_host(home) is None
    assert engine.context_host({**home, "DOCKER_CONTEXT": "near"}) == near
    assert (
        engine.context_host({"DOCKER_CONTEXT": "near", "DOCKER_CONFIG": os.path.join(home["HOME"], ".docker")}) == near
    )


def test_a_context_without_a_configuration_file(home):
    assert engine.context_host({**home, "DOCKER_CONTEXT": "near"}) == f"unix://{home['HOME']}/near.sock"


@pytest.mark.parametrize(
    ("name", "words"), [("far", "ssh://somebody@example"), ("tls", "tcp://x:2376"), ("no", "exist")]
)
def test_a_context_that_cannot_be_used_is_named(home, name, words):
    use(home, name)
    with pytest.raises(engine.NoEngine, match=words) as error:
        engine.addresses(home)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"currentContext": ""}'])
def test_a_configuration_that_says_nothing(home, text):
    with open(os.path.join(home["HOME"], ".docker", "config.json"), "w") as file:
        file.write(text)
    assert engine.context_host(home) is None


def test_other_engines_are_asked_where_they_listen(home, tmp_path):
    (tmp_path / "run" / "podman").mkdir(parents=True)
    assert not [
        address for address in engine.addresses(home) if address and "run/podman" in address[len("unix:///run") :]
    ]
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "run" / "podman" / "podman.sock"))
        assert f"unix://{tmp_path}/run/podman/podman.sock" in engine.addresses(home)
    assert engine.sockets({"HOME": "/home/x"}, 1000) == [
        engine.Path(path)
        for path in (
            "/run/user/1000/docker.sock",
            "/home/x/.docker/run/docker.sock",
            "/run/user/1000/podman/podman.sock",
        )
    ]
