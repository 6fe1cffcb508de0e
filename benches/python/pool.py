"""Does what CPython's multiprocessing.Pool has for it; the protocol is that of src/worker.rs.

    pool.py tasks      apply_async one by one, then all results: ns for each
    pool.py one        apply, one at a time: microseconds for each
    pool.py map        map with default chunks: ns for each
    pool.py large      1 MiB there and back by apply_async: microseconds for each
    pool.py work       tasks of 1 ms by map, one at a time: microseconds for each
"""

import multiprocessing
import sys
import time

LARGE = b"\7" * (1 << 20)


def trivial(number):
    return number * 3 + 1


def large(task):
    number, data = task
    return trivial(number), data


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
        results = [pool.apply_async(large, ((number, LARGE),)) for number in numbers]
        return sum(result.get()[0] for result in results)
    return sum(pool.map(work, numbers, chunksize=1))


def main():
    mode = sys.argv[1]
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
