"""Work on a Ray cluster: the connection."""

import socket

import pytest

from rankiqa.data import ray_cluster

ray = pytest.importorskip("ray")


@pytest.mark.parametrize("address", ["nonsense", "a b", "auto", "127.0.0.1:{port}", "ray://127.0.0.1:{port}"])
def test_an_address_without_a_cluster(address, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray._private.utils, "read_ray_address", lambda *_: None)  # of a cluster of another user
    with socket.socket() as bound:  # nobody listens, and nobody else may
        bound.bind(("127.0.0.1", 0))
        address = address.format(port=bound.getsockname()[1])
        with pytest.raises(ValueError, match=r"--work: expected a Ray cluster at .*, got: ."):  # noqa: SIM117
            with ray_cluster.connected(address, purpose="--work"):
                pass
    assert not ray.is_initialized()
