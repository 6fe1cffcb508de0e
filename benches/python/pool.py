"""Does what CPython's multiprocessing.Pool has for it; the protocol is that of src/worker.rs.

    pool.py tasks [PACKAGE]     apply_async one by one, then all results: ns for each
    pool.py one                 apply, one at a time: microseconds for each
    pool.py map [PACKAGE]       map with default chunks: ns for each
    pool.py large               1 MiB there and back by apply_async, a few under way: microseconds for each
    pool.py work                tasks of 1 ms by map, one at a time: microseconds for each
    pool.py death PACKAGE       from the kill of a worker amid a task to that task's error: the median in milliseconds

With PACKAGE (pebble, mpire, loky) its pool does the same.
"""

import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import deque

LARGE = b"\7" * (1 << 20)
PAGE = 4096
# How many large tasks are under way; also in src/scenario/pool.rs.
WINDOW = 2


def trivial(number):
    return number * 3 + 1


def large(task):
    number, data = task
    return trivial(number), data


def looked_at(result):
    number, data = result
    if len(data) != len(LARGE) or data[::PAGE] != LARGE[::PAGE]:
        raise ValueError("other bytes came back")
    return number


def work(number):
    until = time.perf_counter() + 0.001
    while time.perf_counter() < until:
        pass
    return trivial(number)


def run(pool, mode, count):
    numbers = range(count)
    if mode == "tasks":
        results = [pool.apply_async(trivial, (number,)) for number in numbers]
        return sum(result.get() for result in results)
    if mode == "one":
        return sum(pool.apply(trivial, (number,)) for number in numbers)
    if mode == "map":
        return sum(pool.map(trivial, numbers))
    if mode == "large":
        total, under_way = 0, deque()
        for number in numbers:
            if len(under_way) == WINDOW:
                total += looked_at(under_way.popleft().get())
            under_way.append(pool.apply_async(large, ((number, LARGE),)))
        return total + sum(looked_at(result.get()) for result in under_way)
    return sum(pool.map(work, numbers, chunksize=1))


class Pebble:
    """What of pebble's pool is asked for, by one name for all packages."""

    def __init__(self):
        from pebble import ProcessPool

        self.pool = ProcessPool(max_workers=2)

    def submit(self, function, argument):
        return self.pool.schedule(function, args=[argument]).result

    def map(self, function, arguments):
        return self.pool.map(function, arguments).result()

    def close(self):
        self.pool.stop()
        self.pool.join()


class Mpire:
    def __init__(self):
        from mpire import WorkerPool

        self.pool = WorkerPool(n_jobs=2)

    def submit(self, function, argument):
        return self.pool.apply_async(function, args=(argument,)).get

    def map(self, function, arguments):
        return self.pool.map(function, arguments)

    def close(self):
        self.pool.terminate()


class Loky:
    def __init__(self):
        from loky import ProcessPoolExecutor

        self.pool = ProcessPoolExecutor(max_workers=2)

    def submit(self, function, argument):
        return self.pool.submit(function, argument).result

    def map(self, function, arguments):
        return self.pool.map(function, arguments)

    def close(self):
        self.pool.shutdown(wait=True, kill_workers=True)


PACKAGES = {"pebble": Pebble, "mpire": Mpire, "loky": Loky}


def block(path):
    with open(path + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)
    time.sleep(1000)


def die(make):
    """Kills the worker of a task; how long it takes the task to end in an error."""
    pool = make()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "number")
        wait = pool.submit(block, path)
        while not os.path.exists(path):
            time.sleep(0.001)
        with open(path) as file:
            number = int(file.read())
        begin = time.perf_counter()
        os.kill(number, signal.SIGKILL)
        try:
            wait()
        except Exception:
            took = (time.perf_counter() - begin) * 1e3
        else:
            raise AssertionError("a task of a dead worker gave a result")
    pool.close()
    return took


def packaged(mode, make):
    pool = None if mode == "death" else make()
    for line in sys.stdin:
        count = int(line)
        begin = time.perf_counter()
        if mode == "death":
            took = statistics.median(die(make) for _ in range(count))
            print(took, sum(map(trivial, range(count))), flush=True)
            continue
        if mode == "tasks":
            waits = [pool.submit(trivial, number) for number in range(count)]
            total = sum(wait() for wait in waits)
        else:
            total = sum(pool.map(trivial, range(count)))
        print((time.perf_counter() - begin) * 1e9 / max(count, 1), total, flush=True)
    if pool:
        pool.close()


def main():
    mode = sys.argv[1]
    if len(sys.argv) > 2:
        packaged(mode, PACKAGES[sys.argv[2]])
        return
    scale = 1e9 if mode in ("tasks", "map") else 1e6
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for line in sys.stdin:
            count = int(line)
            begin = time.perf_counter()
            total = run(pool, mode, count)
            took = (time.perf_counter() - begin) * scale / max(count, 1)
            print(took, total, flush=True)


if __name__ == "__main__":
    main()
