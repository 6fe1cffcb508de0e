// Processes of Boost.Interprocess for somebody to kill: `kills queue|channel|lock FILE`.
//
// Four workers note in FILE what they do; ../src/kills/book.rs draws it. The numbers of their processes are told on
// standard output, and all end with standard input.

#include <boost/date_time/posix_time/posix_time_types.hpp>
#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <csignal>
#include <cstdint>
#include <fcntl.h>
#include <iostream>
#include <memory>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace boost::interprocess;
using std::uint64_t;

enum { STOP, FIRST, SECOND, GO, PROGRESS = 16, DONE = 32, TABLE = 4096, MOST = 65536 };

static int file;

static uint64_t word(int at) {
    uint64_t value = 0;
    if (pread(file, &value, 8, 8 * at) != 8) _exit(3);
    return value;
}

static void note(int at, uint64_t value) {
    if (pwrite(file, &value, 8, 8 * at) != 8) _exit(3);
}

static void took(int producers, int consumer, uint64_t producer, uint64_t number) {
    const off_t at = TABLE + (consumer * producers + producer) * MOST + number;
    uint8_t times = 0;
    if (pread(file, &times, 1, at) != 1) _exit(3);
    ++times;
    if (pwrite(file, &times, 1, at) != 1) _exit(3);
}

static void produce(int who, message_queue& queue) {
    for (uint64_t number = 0; number < MOST && !word(STOP); ++number) {
        const uint64_t message[2] = {uint64_t(who), number};
        queue.send(message, sizeof message, 0);
        note(PROGRESS + who, number + 1);
    }
}

static void consume(int producers, int who, message_queue& queue) {
    for (uint64_t taken = 0;;) {
        uint64_t message[2];
        message_queue::size_type size;
        unsigned priority;
        const auto until = boost::posix_time::microsec_clock::universal_time() + boost::posix_time::milliseconds(200);
        if (queue.timed_receive(message, sizeof message, size, priority, until)) {
            took(producers, who - producers, message[0], message[1]);
            note(PROGRESS + who, ++taken);
        } else if (word(STOP)) {
            return;
        }
    }
}

static void lock_and_add(int who, interprocess_mutex& lock) {
    for (uint64_t times = 0; !word(STOP);) {
        lock.lock();
        const uint64_t value = word(FIRST) + 1;
        note(FIRST, value);
        note(SECOND, value);
        lock.unlock();
        note(PROGRESS + who, ++times);
    }
}

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const std::string kind = argv[1];
    const bool is_queue = kind != "lock";
    const int producers = kind == "queue" ? 2 : 3;
    file = open(argv[2], O_RDWR);
    if (file < 0) return 3;
    const std::string name = "multiproc-bench-kills-" + std::to_string(getpid());
    std::unique_ptr<message_queue> queue;
    if (is_queue) {
        queue = std::make_unique<message_queue>(create_only, name.c_str(), 64, 16);
        // Who is forked has it mapped.
        message_queue::remove(name.c_str());
    }
    void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 3;
    auto* lock = new (memory) interprocess_mutex;
    pid_t children[4];
    for (int who = 0; who < 4; ++who) {
        children[who] = fork();
        if (children[who] != 0) continue;
        while (!word(GO)) usleep(100);
        if (!is_queue) lock_and_add(who, *lock);
        else if (who < producers) produce(who, *queue);
        else consume(producers, who, *queue);
        note(DONE + who, 1);
        _exit(0);
    }
    for (pid_t child : children) std::cout << child << " ";
    std::cout << std::endl;
    std::cin.get();
    for (pid_t child : children) kill(child, SIGKILL);
    while (wait(nullptr) > 0) {}
    return 0;
}
