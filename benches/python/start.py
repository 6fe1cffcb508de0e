"""Starts processes when told to; the protocol is that of src/worker.rs."""

import multiprocessing
import statistics
import sys
import time


def trivial(number, results):
    results.send(number * 3 + 1)


def call(context, number):
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=trivial, args=(number, theirs))
    process.start()
    theirs.close()
    result = ours.recv()
    process.join()
    ours.close()
    return result


def main():
    context = multiprocessing.get_context(sys.argv[1])
    # Not `for line in sys.stdin`, which reads ahead.
    while line := sys.stdin.readline():
        times, total = [], 0
        for number in range(int(line)):
            started = time.perf_counter()
            total += call(context, number)
            times.append((time.perf_counter() - started) * 1e6)
        print(statistics.median(times), total, flush=True)


if __name__ == "__main__":
    main()
