// Boost's message_queue between processes, told over standard input how many operations to do.
//
//   boost stream SIZE PAIRS CPU CPU MS  to it: operations\n     from it: ns-for-one sum\n
//   boost ping SIZE 1 CPU CPU MS
//   boost asleep SIZE 1 CPU CPU MS      there and back, each to one who has slept for a while: the medians of both ways
//   boost version                       says which one it is
//
// Each round is done by processes forked for it, which keep their processors busy for so many milliseconds and wait for
// each other before they begin. The sum is that of 3 * number + 1 over the numbers that were received; each page of a
// message carries its number.

#include <algorithm>
#include <atomic>
#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/version.hpp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iostream>
#include <sched.h>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using boost::interprocess::create_only;
using boost::interprocess::message_queue;
using std::uint64_t;

struct Shared {
    std::atomic<unsigned> arrived;
    uint64_t began[1024], ended[1024], sum[1024];
    double median[1024];
};

static uint64_t now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return uint64_t(time.tv_sec) * 1000000000 + time.tv_nsec;
}

// To a processor; -1 is wherever the scheduler puts it.
static void pin(int cpu) {
    if (cpu < 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) _exit(3);
}

static const size_t PAGE = 4096;

static void fill(std::vector<char>& message, uint64_t number) {
    const uint64_t last = ~number;
    for (size_t at = 0; at == 0 || at + PAGE <= message.size(); at += PAGE)
        std::memcpy(message.data() + at, &number, 8);
    std::memcpy(message.data() + message.size() - 8, &last, 8);
}

static uint64_t look(const std::vector<char>& message) {
    uint64_t first, last, other;
    std::memcpy(&first, message.data(), 8);
    std::memcpy(&last, message.data() + message.size() - 8, 8);
    if (first != ~last) _exit(4);
    for (size_t at = PAGE; at + PAGE <= message.size(); at += PAGE) {
        std::memcpy(&other, message.data() + at, 8);
        if (other != first) _exit(4);
    }
    return first;
}

static void put(message_queue& queue, std::vector<char>& message, uint64_t number) {
    fill(message, number);
    queue.send(message.data(), message.size(), 0);
}

static uint64_t get(message_queue& queue, std::vector<char>& message) {
    message_queue::size_type size;
    unsigned priority;
    queue.receive(message.data(), message.size(), size, priority);
    if (size != message.size()) _exit(5);
    return look(message);
}

static uint64_t trivial(uint64_t number) { return number * 3 + 1; }

// Lets the other end go to sleep, and is awake itself at its end.
static void pause_a_while() {
    usleep(60);
    for (const uint64_t awake = now(); now() - awake < 20'000;) {}
}

// With the moment of its sending beside the number.
static void put_stamped(message_queue& queue, std::vector<char>& message, uint64_t number) {
    pause_a_while();
    fill(message, number);
    const uint64_t moment = now();
    std::memcpy(message.data() + 8, &moment, 8);
    queue.send(message.data(), message.size(), 0);
}

static uint64_t get_stamped(message_queue& queue, std::vector<char>& message, std::vector<double>& times) {
    const uint64_t number = get(queue, message), arrived = now();
    uint64_t moment;
    std::memcpy(&moment, message.data() + 8, 8);
    times.push_back(double(arrived - moment));
    return number;
}

static double median(std::vector<double>& times) {
    if (times.empty()) return 0;
    std::sort(times.begin(), times.end());
    const size_t half = times.size() / 2;
    return times.size() % 2 ? times[half] : (times[half - 1] + times[half]) / 2;
}

int main(int argc, char** argv) {
    if (argc == 2 && argv[1] == std::string("version")) {
        std::cout << BOOST_LIB_VERSION << std::endl;
        return 0;
    }
    if (argc != 7) return 2;
    const std::string mode = argv[1];
    const size_t size = std::strtoull(argv[2], nullptr, 10), pairs = std::strtoull(argv[3], nullptr, 10);
    const int cpus[2] = {std::atoi(argv[4]), std::atoi(argv[5])};
    const uint64_t warm = std::strtoull(argv[6], nullptr, 10) * 1'000'000;
    const size_t capacity = size > 65536 ? 8 : 1024;
    auto* shared = static_cast<Shared*>(
        mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    if (shared == MAP_FAILED) return 3;
    uint64_t count;
    while (std::cin >> count) {
        std::string names[2];
        message_queue* queues[2];
        for (int index = 0; index < 2; ++index) {
            names[index] = "multiproc-bench-" + std::to_string(getpid()) + "-" + std::to_string(index);
            message_queue::remove(names[index].c_str());
            queues[index] = new message_queue(create_only, names[index].c_str(), capacity, size);
            // Who was forked has it mapped.
            message_queue::remove(names[index].c_str());
        }
        shared->arrived = 0;
        const unsigned ends = 2 * pairs;
        for (unsigned end = 0; end < ends; ++end) {
            if (fork() != 0) continue;
            pin(cpus[end % 2]);
            std::vector<char> message(size, 7);
            // As all ends do: until the processor's clock is fast.
            for (const uint64_t begun = now(); now() - begun < warm;) {}
            shared->arrived += 1;
            while (shared->arrived < ends) sched_yield();
            shared->began[end] = now();
            uint64_t sum = 0;
            const bool first = end % 2 == 0;
            if (mode == "stream") {
                for (uint64_t number = end / 2; number < count; number += pairs) {
                    if (first) put(*queues[0], message, number);
                    else sum += trivial(get(*queues[0], message));
                }
            } else if (mode == "asleep") {
                std::vector<double> times;
                for (uint64_t number = 0; number < count; ++number) {
                    if (first) {
                        put_stamped(*queues[0], message, number);
                        if (get_stamped(*queues[1], message, times) != number) _exit(6);
                    } else {
                        const uint64_t received = get_stamped(*queues[0], message, times);
                        sum += trivial(received);
                        put_stamped(*queues[1], message, received);
                    }
                }
                shared->median[end] = median(times);
            } else {
                for (uint64_t number = 0; number < count; ++number) {
                    if (first) {
                        put(*queues[0], message, number);
                        if (get(*queues[1], message) != number) _exit(6);
                    } else {
                        const uint64_t received = get(*queues[0], message);
                        sum += trivial(received);
                        put(*queues[1], message, received);
                    }
                }
            }
            shared->ended[end] = now();
            shared->sum[end] = sum;
            _exit(0);
        }
        bool failed = false;
        for (unsigned end = 0; end < ends; ++end) {
            int status;
            failed |= wait(&status) < 0 || status != 0;
        }
        uint64_t began = UINT64_MAX, ended = 0, sum = 0;
        for (unsigned end = 0; end < ends; ++end) {
            began = std::min(began, shared->began[end]);
            ended = std::max(ended, shared->ended[end]);
            sum += shared->sum[end];
        }
        for (auto* queue : queues) delete queue;
        if (failed) return 1;
        const double each = double(ended - began) / std::max<uint64_t>(count, 1);
        std::cout << (mode == "asleep" ? shared->median[0] + shared->median[1] : each) << " " << sum << std::endl;
    }
    return 0;
}
