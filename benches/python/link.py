"""Does what CPython's multiprocessing has for it, told over standard input how many operations to do.

    link.py queue SIZE CPU CPU MS     to it: operations\\n     from it: figure-in-ns sum\\n
    link.py faster-fifo SIZE CPU CPU MS      the same over that package's queue
    link.py ping SIZE CPU CPU MS
    link.py asleep SIZE CPU CPU MS           there and back, each to one who has slept for a while
    link.py pipe SIZE CPU CPU MS             objects over a Pipe
    link.py pipe-ping SIZE CPU CPU MS
    link.py pipe-bytes SIZE CPU CPU MS       bytes over a Pipe
    link.py shared-memory SIZE CPU CPU MS    fresh SharedMemory, whose name goes over a Pipe
    link.py lock PROCESSES CPU CPU MS
    link.py event 0 CPU CPU MS
    link.py manager PROCESSES CPU CPU MS     calls on a manager's objects, each process has its own

Each round is done by processes forked for it, which keep their processors busy for so many milliseconds and wait for
each other before they begin. The sum is that of 3 * number + 1 over the numbers that were received, or, of the lock,
over as many as its number says at the end.
"""

import multiprocessing
import os
import statistics
import sys
import time
from multiprocessing import resource_tracker
from multiprocessing.managers import BaseManager
from multiprocessing.shared_memory import SharedMemory

PAGE = 4096
# How many messages of shared memory may be under way.
SEGMENTS = 4


def now():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def trivial(number):
    return number * 3 + 1


def same(found, expected):
    if found != expected:
        raise ValueError(f"{found} instead of {expected}")


def put(queue, size, number):
    queue.put(number.to_bytes(8, "little") + b"\7" * (size - 8))


def get(queue, size):
    message = queue.get()
    same(len(message), size)
    return int.from_bytes(message[:8], "little")


def queue(context, mode, size):
    if mode != "faster-fifo":
        return context.Queue(1024)
    import faster_fifo

    # What a message takes when it is pickled, and its length.
    return faster_fifo.Queue(max_size_bytes=1024 * (size + 64))


def stream(end, count, size, there, _back):
    if end == 0:
        for number in range(count):
            put(there, size, number)
        return 0, 0
    return sum(trivial(get(there, size)) for _ in range(count)), 0


def ping(end, count, size, there, back):
    total = 0
    for number in range(count):
        if end == 0:
            put(there, size, number)
            same(get(back, size), number)
        else:
            number = get(there, size)
            total += trivial(number)
            put(back, size, number)
    return total, 0


def pause():
    """Lets the other end go to sleep, and is awake itself at its end."""
    time.sleep(60e-6)
    awake = now()
    while now() - awake < 20_000:
        pass


def asleep(end, count, size, there, back):
    """As `ping`, with the moment of its sending in each message."""

    def send(queue, number):
        pause()
        rest = b"\7" * (size - 16)
        queue.put(number.to_bytes(8, "little") + now().to_bytes(8, "little") + rest)

    def receive(queue):
        message = queue.get()
        took = now() - int.from_bytes(message[8:16], "little")
        same(len(message), size)
        times.append(took)
        return int.from_bytes(message[:8], "little")

    times, total = [], 0
    for number in range(count):
        if end == 0:
            send(there, number)
            same(receive(back), number)
        else:
            number = receive(there)
            total += trivial(number)
            send(back, number)
    return total, statistics.median(times)


class Ends:
    """A Pipe with the names of a queue's methods, for whole objects."""

    def __init__(self, context):
        self.reader, self.writer = context.Pipe()

    def put(self, message):
        self.writer.send(message)

    def get(self):
        return self.reader.recv()


def carry(end, count, size, there, _back):
    """Sends bytes as they are, with a number in each page, all of which the receiver reads."""
    words, pages = PAGE // 8, size // PAGE
    if end == 0:
        message = bytearray(b"\7" * size)
        heads = memoryview(message).cast("Q")[::words]
        for number in range(count):
            heads[:] = memoryview(number.to_bytes(8, sys.byteorder) * pages).cast("Q")
            there.writer.send_bytes(message)
        return 0, 0
    total = 0
    for _ in range(count):
        message = there.reader.recv_bytes()
        same(len(message), size)
        heads = memoryview(message).cast("Q")[::words].tolist()
        same(heads, heads[:1] * pages)
        total += trivial(heads[0])
    return total, 0


def share(end, count, size, there, _back, room):
    """Writes all of fresh memory, and hands over its name; the receiver reads all of it."""
    if end == 0:
        piece = 16 * PAGE
        for number in range(count):
            room.acquire()
            memory = SharedMemory(create=True, size=size)
            words = number.to_bytes(8, sys.byteorder) * (piece // 8)
            for at in range(0, size, piece):
                memory.buf[at : at + piece] = words
            there.put(memory.name)
            memory.close()
        return 0, 0
    total = 0
    for _ in range(count):
        memory = SharedMemory(there.get())
        same(memory.size, size)
        with memory.buf.cast("Q") as words, words[:-1] as all_but_last, words[1:] as others:
            if all_but_last != others:
                raise ValueError("a message was torn")
            total += trivial(words[0])
        memory.close()
        memory.unlink()
        room.release()
    return total, 0


def run(work, cpu, warm, end, gate, results, *rest):
    if cpu >= 0:
        os.sched_setaffinity(0, {cpu})
    if work is calling:
        # Connected before it counts.
        rest[-1][end].set(0)
    begun = now()
    while now() - begun < warm:
        pass
    gate.wait()
    began = now()
    outcome = work(end, *rest)
    results.put((began, now(), *outcome))


def together(context, work, cpus, warm, ends, *rest):
    gate, results = context.Barrier(ends), context.SimpleQueue()
    children = [
        context.Process(target=run, args=(work, cpus[end % 2], warm, end, gate, results, *rest)) for end in range(ends)
    ]
    for child in children:
        child.start()
    # One that has failed puts nothing, and the round ends when who has asked for it does.
    outcomes = [results.get() for _ in children]
    for child in children:
        child.join()
    return outcomes


def locking(_end, count, lock, total):
    for _ in range(count):
        lock.acquire()
        total.value += 1
        lock.release()
    return 0, 0


def waking(end, count, there, back, stamp, current):
    if end == 0:
        for number in range(count):
            time.sleep(100e-6)
            current.value = number
            stamp.value = now()
            there.set()
            back.acquire()
        return 0, 0
    times, total = [], 0
    for _ in range(count):
        there.wait()
        times.append(now() - stamp.value)
        total += trivial(current.value)
        there.clear()
        back.release()
    return total, statistics.median(times)


class Number:
    """What lies in the manager's server."""

    def set(self, number):
        self.value = number
        return trivial(number)


class Numbers(BaseManager):
    pass


Numbers.register("Number", Number)


def calling(end, count, ends, values):
    value = values[end]
    return sum(value.set(number) for number in range(end, count, ends)), 0


def manage(context, cpus, warm, count, processes):
    """The server is where the other end would be; it inherits the affinity of who starts it."""
    own = os.sched_getaffinity(0)
    if processes == 1:
        os.sched_setaffinity(0, {cpus[1]})
    manager = Numbers(ctx=context)
    manager.start()
    os.sched_setaffinity(0, own)
    values = [manager.Number() for _ in range(processes)]
    outcomes = together(context, calling, cpus, warm, processes, count, processes, values)
    manager.shutdown()
    return outcomes


def main():
    mode, number, first, second, warm = sys.argv[1:]
    number, cpus, warm = int(number), [int(first), int(second)], int(warm) * 1_000_000
    context = multiprocessing.get_context("fork")
    # One for all processes, which register and remove the same names.
    resource_tracker.ensure_running()
    works = {"ping": ping, "asleep": asleep, "pipe": stream, "pipe-ping": ping, "pipe-bytes": carry}
    for line in sys.stdin:
        count = int(line)
        if mode in ("queue", "faster-fifo", "ping", "asleep"):
            queues = queue(context, mode, number), queue(context, mode, number)
            outcomes = together(context, works.get(mode, stream), cpus, warm, 2, count, number, *queues)
        elif mode.startswith("pipe"):
            pipes = Ends(context), Ends(context)
            outcomes = together(context, works[mode], cpus, warm, 2, count, number, *pipes)
        elif mode == "shared-memory":
            rest = Ends(context), None, context.Semaphore(SEGMENTS)
            outcomes = together(context, share, cpus, warm, 2, count, number, *rest)
        elif mode == "lock":
            lock, added = context.Lock(), context.Value("Q", 0, lock=False)
            outcomes = together(context, locking, cpus, warm, number, count // number, lock, added)
            same(added.value, count // number * number)
        elif mode == "manager":
            outcomes = manage(context, cpus, warm, count, number)
        else:
            stamps = [context.Value("Q", 0, lock=False) for _ in range(2)]
            words = context.Event(), context.Semaphore(0), *stamps
            outcomes = together(context, waking, cpus, warm, 2, count, *words)
        began, ended, totals, figures = zip(*outcomes)
        total = sum(map(trivial, range(count))) if mode == "lock" else sum(totals)
        if mode in ("event", "asleep"):
            # Of both ways, where there are two.
            figure = sum(figures)
        else:
            figure = (max(ended) - min(began)) / max(count, 1)
        print(figure, total, flush=True)


if __name__ == "__main__":
    main()
