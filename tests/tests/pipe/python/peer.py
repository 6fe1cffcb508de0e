"""The other end of the tests, as a Python program would be.

peer.py WHAT ADDRESS KEY [ARGUMENT]

An address is `path:…`, `abstract:…` or `tcp:…`. What goes wrong ends the program with its exception; what is told goes
to standard output.
"""

import hmac
import os
import socket
import sys
from multiprocessing import AuthenticationError, reduction, shared_memory
from multiprocessing.connection import Client, Connection, Listener


def place(text):
    kind, _, rest = text.partition(":")
    if kind == "tcp":
        host, _, port = rest.rpartition(":")
        return (host, int(port))
    return "\0" + rest if kind == "abstract" else rest


def echo(connection):
    """Sends back what comes, until the end."""
    while True:
        try:
            connection.send_bytes(connection.recv_bytes())
        except EOFError:
            return


def answer_as_new(connection, key):
    """One half of the handshake as Python 3.12 does it."""
    message = connection.recv_bytes(256)
    assert message.startswith(b"#CHALLENGE#{sha256}"), message
    message = message[len(b"#CHALLENGE#"):]
    connection.send_bytes(b"{sha256}" + hmac.new(key, message, "sha256").digest())
    if connection.recv_bytes(256) != b"#WELCOME#":
        raise AuthenticationError("digest sent was rejected")


def challenge_as_new(connection, key):
    """The other half."""
    message = b"{sha256}" + os.urandom(40)
    connection.send_bytes(b"#CHALLENGE#" + message)
    if hmac.compare_digest(connection.recv_bytes(256), b"{sha256}" + hmac.new(key, message, "sha256").digest()):
        connection.send_bytes(b"#WELCOME#")
    else:
        connection.send_bytes(b"#FAILURE#")
        raise AuthenticationError("digest received was wrong")


def open_listener(key, argument, authkey):
    listener = Listener(place(argument), authkey=authkey)
    address = listener.address
    print(address if isinstance(address, str) else f"{address[0]}:{address[1]}", flush=True)
    return listener


def main():
    what, address, key, *rest = sys.argv[1:]
    key = key.encode()
    if what == "client":
        with Client(place(address), authkey=key) as connection:
            echo(connection)
    elif what == "client-as-new":
        with Client(place(address)) as connection:
            answer_as_new(connection, key)
            challenge_as_new(connection, key)
            echo(connection)
    elif what == "client-refused":
        try:
            Client(place(address), authkey=key)
        except (AuthenticationError, EOFError, ConnectionResetError, BrokenPipeError) as error:
            print(type(error).__name__, error)
        else:
            raise SystemExit("it was let in")
    elif what == "listener":
        with open_listener(key, address, key) as listener, listener.accept() as connection:
            echo(connection)
    elif what == "listener-as-new":
        with open_listener(key, address, None) as listener, listener.accept() as connection:
            challenge_as_new(connection, key)
            answer_as_new(connection, key)
            echo(connection)
    elif what == "listener-refuses":
        with open_listener(key, address, key) as listener:
            try:
                listener.accept()
            except (AuthenticationError, EOFError, ConnectionResetError, BrokenPipeError) as error:
                print(type(error).__name__, error)
            else:
                raise SystemExit("it was let in")
    elif what == "handles":
        with Client(place(address), authkey=key) as connection:
            # One to read from, and one to write to.
            reader, writer = os.pipe()
            reduction.send_handle(connection, reader, None)
            os.close(reader)
            os.write(writer, b"from Python")
            os.close(writer)
            theirs = reduction.recv_handle(connection)
            with os.fdopen(theirs, "rb") as file:
                connection.send_bytes(file.read())
    elif what == "memory":
        with Client(place(address), authkey=key) as connection:
            theirs = shared_memory.SharedMemory(connection.recv_bytes().decode())
            ours = shared_memory.SharedMemory(create=True, size=5000)
            ours.buf[:4] = theirs.buf[:4]
            theirs.buf[4] = 99
            connection.send_bytes(ours.name.encode())
            connection.recv_bytes()
            assert ours.buf[4999] == 77
            theirs.close()
            # It takes note of whatever is opened, and would remove what is not its own.
            from multiprocessing import resource_tracker

            resource_tracker.unregister(theirs._name, "shared_memory")
            ours.close()
            ours.unlink()
    elif what == "inherited":
        # A descriptor with that number, from whoever has started this.
        with Connection(int(rest[0])) as connection:
            echo(connection)
    else:
        raise SystemExit(f"what is {what!r}?")


if __name__ == "__main__":
    main()
