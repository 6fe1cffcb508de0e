"""Starts processes when told to; the protocol is that of src/worker.rs.

    start.py fork|forkserver|spawn
    python3 -c 'import start; start.main()' preloaded      a fork server that has this module already

In the last case there is no main file, which each child would run again.
"""

import multiprocessing
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
    # Not at the top: children that import this file anew would pay for it.
    import statistics

    method = sys.argv[1]
    context = multiprocessing.get_context("forkserver" if method == "preloaded" else method)
    if method == "preloaded":
        context.set_forkserver_preload(["start"])
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
