"""The sockets that a service listens on."""

import socket

import pytest

from prodcore.errors import ConfigError
from prodcore.web.serve import bind


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def close(sockets):
    for one in sockets:
        one.close()


def test_connections_are_dealt_out_to_the_sockets_of_a_port():
    listeners = bind("127.0.0.1", free_port(), 2)
    clients = [socket.create_connection(listeners[0].getsockname()) for _ in range(100)]
    taken = []
    for listener in listeners:
        listener.setblocking(False)
        accepted = []
        while True:
            try:
                accepted.append(listener.accept()[0])
            except BlockingIOError:
                break
        taken.append(len(accepted))
        close(accepted)
    close([*clients, *listeners])
    assert sum(taken) == 100
    assert min(taken) > 10, "by chance once in 10^16 runs"


@pytest.mark.parametrize("count", [1, 2])
def test_a_port_that_another_service_has_is_refused_although_its_workers_share_it(count):
    listeners = bind("127.0.0.1", free_port(), 2)
    with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1 port \d+: Address already in use"):
        bind(*listeners[0].getsockname(), count)
    close(listeners)
