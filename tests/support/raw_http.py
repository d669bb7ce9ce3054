"""HTTP as a text of bytes, for what no library would send."""

import socket


def exchange(port, sent):
    """Everything that is answered until the server closes the connection, as one text an answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        received = b""
        while data := connection.recv(65_536):
            received += data
    return received.split(b"HTTP/1.1 ")[1:]
