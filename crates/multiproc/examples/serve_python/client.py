"""Has a Rust pool do its work: `client.py ADDRESS`, with the key on standard input, in hexadecimal.

An address is a path, or a host and a port as in `127.0.0.1:7000`.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Client

JOBS = [
    {"job": "primes", "below": 2_000_000},
    {"job": "words", "text": "as many words as there are in this text"},
    {"job": "crash"},
    {"job": "primes", "below": 1_000},
    {"job": "what is this?"},
]


def ask(address, key, job):
    """A connection for each job: they are done side by side."""
    with Client(address, authkey=key) as connection:
        connection.send_bytes(json.dumps(job).encode())
        return json.loads(connection.recv_bytes())


def main():
    address, key = sys.argv[1], bytes.fromhex(sys.stdin.readline())
    host, _, port = address.rpartition(":")
    if port.isdigit():
        address = (host, int(port))
    with ThreadPoolExecutor(len(JOBS)) as executor:
        for job, answer in zip(JOBS, executor.map(lambda job: ask(address, key, job), JOBS)):
            print(job, "->", answer, flush=True)


if __name__ == "__main__":
    main()
