"""Does what CPython's multiprocessing has for it, told over standard input how many operations to do.

    link.py queue SIZE CPU CPU     to it: operations\\n     from it: figure-in-ns sum\\n
    link.py faster-fifo SIZE CPU CPU      the same over that package's queue
    link.py ping SIZE CPU CPU
    link.py pipe SIZE CPU CPU             objects over a Pipe
    link.py pipe-ping SIZE CPU CPU
    link.py pipe-bytes SIZE CPU CPU       bytes over a Pipe
    link.py lock PROCESSES CPU CPU
    link.py event 0 CPU CPU
    link.py manager PROCESSES CPU CPU     calls on a manager's values, each process has its own

Each round is done by processes forked for it, which wait for each other before they begin. The sum is that of
3 * number + 1 over the numbers that were received, or over the operations that were done.
"""

import multiprocessing
import os
import statistics
import sys
import time


def now():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def trivial(number):
    return number * 3 + 1


def put(queue, size, number):
    queue.put(number.to_bytes(8, "little") + b"\7" * (size - 8))


def get(queue, size):
    message = queue.get()
    if len(message) != size:
        raise ValueError(f"{len(message)} bytes instead of {size}")
    return trivial(int.from_bytes(message[:8], "little"))


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
        return 0
    return sum(get(there, size) for _ in range(count))


def ping(end, count, size, there, back):
    total = 0
    for number in range(count):
        if end == 0:
            put(there, size, number)
            get(back, size)
        else:
            total += get(there, size)
            put(back, size, number)
    return total


class Ends:
    """A Pipe with the names of a queue's methods, for whole objects."""

    def __init__(self, context):
        self.reader, self.writer = context.Pipe()

    def put(self, message):
        self.writer.send(message)

    def get(self):
        return self.reader.recv()


def carry(end, count, size, there, _back):
    """Sends bytes as they are; the receiver looks at the first ones."""
    if end == 0:
        message = bytearray(b"\7" * size)
        for number in range(count):
            message[:8] = number.to_bytes(8, "little")
            there.writer.send_bytes(message)
        return 0
    total = 0
    for _ in range(count):
        message = there.reader.recv_bytes()
        if len(message) != size:
            raise ValueError(f"{len(message)} bytes instead of {size}")
        total += trivial(int.from_bytes(message[:8], "little"))
    return total


def run(work, cpu, end, gate, results, *rest):
    if cpu >= 0:
        os.sched_setaffinity(0, {cpu})
    gate.wait()
    began = now()
    outcome = work(end, *rest)
    results.put((began, now(), outcome))


def together(context, work, cpus, ends, *rest):
    gate, results = context.Barrier(ends), context.SimpleQueue()
    children = [
        context.Process(target=run, args=(work, cpus[end % 2], end, gate, results, *rest)) for end in range(ends)
    ]
    for child in children:
        child.start()
    outcomes = [results.get() for _ in children]
    for child in children:
        child.join()
    return outcomes


def locking(_end, count, lock):
    for _ in range(count):
        lock.acquire()
        lock.release()
    return 0


def waking(end, count, there, back, stamp):
    if end == 0:
        for _ in range(count):
            time.sleep(100e-6)
            stamp.value = now()
            there.set()
            back.acquire()
        return 0
    times = []
    for _ in range(count):
        there.wait()
        times.append(now() - stamp.value)
        there.clear()
        back.release()
    return statistics.median(times)


def calling(end, count, values):
    value = values[end]
    total = 0
    for number in range(count):
        value.set(number)
        total += trivial(number)
    return total if end == 0 else 0


def manage(context, cpus, count, processes):
    """The server is where the other end would be; it inherits the affinity of who starts it."""
    own = os.sched_getaffinity(0)
    if processes == 1:
        os.sched_setaffinity(0, {cpus[1]})
    manager = context.Manager()
    os.sched_setaffinity(0, own)
    values = [manager.Value("Q", 0) for _ in range(processes)]
    outcomes = together(context, calling, cpus, processes, count // processes, values)
    manager.shutdown()
    return outcomes


def main():
    mode, number, *cpus = sys.argv[1:]
    number, cpus = int(number), [int(cpu) for cpu in cpus]
    context = multiprocessing.get_context("fork")
    for line in sys.stdin:
        count = int(line)
        expected = sum(map(trivial, range(count)))
        if mode in ("queue", "faster-fifo", "ping"):
            queues = queue(context, mode, number), queue(context, mode, number)
            work = ping if mode == "ping" else stream
            outcomes = together(context, work, cpus, 2, count, number, *queues)
            total = sum(outcome for _, _, outcome in outcomes)
        elif mode.startswith("pipe"):
            work = {"pipe": stream, "pipe-ping": ping, "pipe-bytes": carry}[mode]
            outcomes = together(context, work, cpus, 2, count, number, Ends(context), Ends(context))
            total = sum(outcome for _, _, outcome in outcomes)
        elif mode == "lock":
            outcomes = together(context, locking, cpus, number, count // number, context.Lock())
            total = expected
        elif mode == "manager":
            outcomes = manage(context, cpus, count, number)
            total = expected
        else:
            stamp = context.Value("Q", 0, lock=False)
            words = context.Event(), context.Semaphore(0), stamp
            outcomes = together(context, waking, cpus, 2, count, *words)
            total = expected
        if mode == "event":
            figure = max(outcome for _, _, outcome in outcomes)
        else:
            figure = (max(ended for _, ended, _ in outcomes) - min(began for began, _, _ in outcomes)) / max(count, 1)
        print(figure, total, flush=True)


if __name__ == "__main__":
    main()
