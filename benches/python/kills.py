"""Processes of CPython's multiprocessing for somebody to kill: `kills.py queue|channel|lock FILE`, `kills.py pool TASKS`.

For a queue, a channel and a lock, four workers note in FILE what they do; ../src/kills/book.rs draws it. The numbers of their
processes are told on standard output, and all end with standard input. For a pool, each line of standard input is the
number of milliseconds after which a worker is killed amid TASKS tasks; told is how many results did not come.
"""

import multiprocessing
import os
import queue as queues
import signal
import struct
import sys
import threading
import time

STOP, FIRST, SECOND, GO, PROGRESS, DONE, TABLE, MOST = 0, 1, 2, 3, 16, 32, 4096, 65536


class Book:
    def __init__(self, path):
        self.file = os.open(path, os.O_RDWR)

    def word(self, at):
        return struct.unpack("<Q", os.pread(self.file, 8, 8 * at))[0]

    def note(self, at, value):
        os.pwrite(self.file, struct.pack("<Q", value), 8 * at)

    def wait_for_go(self):
        while not self.word(GO):
            time.sleep(0.0001)

    def took(self, producers, consumer, producer, number):
        at = TABLE + (consumer * producers + producer) * MOST + number
        os.pwrite(self.file, bytes([os.pread(self.file, 1, at)[0] + 1]), at)


def put_all(who, book, put):
    """Puts one message after the other until all are to end, or `put` tells that nobody receives."""
    book.wait_for_go()
    for number in range(MOST):
        if book.word(STOP) or not put((who, number)):
            break
        book.note(PROGRESS + who, number + 1)


def take_all(who, book, producers, take):
    """Takes messages of so many producers until all are to end; `take` gives None where nothing comes for a while."""
    book.wait_for_go()
    taken = 0
    while True:
        message = take()
        if message is not None:
            book.took(producers, who - producers, *message)
            taken += 1
            book.note(PROGRESS + who, taken)
        elif book.word(STOP):
            break
    book.note(DONE + who, 1)


def produce(who, path, queue):
    book = Book(path)

    def put(message):
        queue.put(message)
        return True

    put_all(who, book, put)
    # What its thread still has goes out before it ends.
    queue.close()
    queue.join_thread()
    book.note(DONE + who, 1)


def consume(who, path, queue):
    def take():
        try:
            return queue.get(timeout=0.2)
        except queues.Empty:
            return None

    take_all(who, Book(path), 2, take)


def send(who, path, ends):
    book = Book(path)
    reader, writer, lock = ends
    reader.close()

    def put(message):
        try:
            with lock:
                writer.send(message)
        except BrokenPipeError:
            return False
        return True

    put_all(who, book, put)
    book.note(DONE + who, 1)


def receive(who, path, ends):
    reader, writer, _ = ends
    writer.close()

    def take():
        try:
            return reader.recv() if reader.poll(0.2) else None
        except EOFError:
            # Nobody sends any more, as is told at once.
            return None

    take_all(who, Book(path), 3, take)


def lock_and_add(who, path, lock):
    book = Book(path)
    book.wait_for_go()
    times = 0
    while not book.word(STOP):
        with lock:
            value = book.word(FIRST) + 1
            book.note(FIRST, value)
            book.note(SECOND, value)
        times += 1
        book.note(PROGRESS + who, times)
    book.note(DONE + who, 1)


def work(number):
    until = time.monotonic() + 0.001
    while time.monotonic() < until:
        pass
    return number * 3 + 1


def pool(tasks):
    for line in sys.stdin:
        workers = multiprocessing.get_context("fork").Pool(2)
        workers.map(work, range(4))
        results = [workers.apply_async(work, (number,)) for number in range(tasks)]
        time.sleep(float(line) / 1000)
        os.kill(workers._pool[0].pid, signal.SIGKILL)
        until = time.monotonic() + 2 + tasks * 0.01
        missing = 0
        for result in results:
            try:
                result.get(max(0, until - time.monotonic()))
            except multiprocessing.TimeoutError:
                missing += 1
        # Its own end may hang as well: it is left to the end of this process.
        threading.Thread(target=workers.terminate, daemon=True).start()
        print(missing, flush=True)
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGKILL)
    os._exit(0)


def main():
    kind, argument = sys.argv[1:]
    if kind == "pool":
        return pool(int(argument))
    context = multiprocessing.get_context("fork")
    if kind == "queue":
        shared, works = context.Queue(64), [produce, produce, consume, consume]
    elif kind == "channel":
        # Of many senders each takes the lock, as in `SimpleQueue`, which has no timeout.
        shared, works = (*context.Pipe(duplex=False), context.Lock()), [send, send, send, receive]
    else:
        shared, works = context.Lock(), [lock_and_add] * 4
    children = [context.Process(target=work, args=(who, argument, shared)) for who, work in enumerate(works)]
    for child in children:
        child.start()
    if kind == "channel":
        shared[0].close()
        shared[1].close()
    print(*(child.pid for child in children), flush=True)
    sys.stdin.read()
    for child in children:
        child.kill()
    os._exit(0)


if __name__ == "__main__":
    main()
