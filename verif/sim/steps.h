// Models of blocks, stepped between the edges of the clock around them (verif/sim/blocks.py), on several processors if
// OPENRDU_THREADS says so.
#pragma once
#include "svdpi.h"
#include "verilated.h"
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace openrdu {

// One instance of a block. Between begin and finish of a cycle it belongs to whoever steps it.
class Block {
public:
    virtual ~Block() = default;
    virtual void step() = 0;  // a cycle, up to and with its rising edge
    bool asleep = false;      // the last step changed nothing, nor will another with the same inputs
    std::atomic<bool> stepped{false};
};

// Spins for about 0.1 ms, some cycles of a socket, and sleeps then: others may need the processor.
template <class Value>
void await_change(const std::atomic<Value>& from, Value old) {
    for (int spin = 0; spin < 2000; ++spin) {
        if (from.load(std::memory_order_acquire) != old) return;
#if defined(__x86_64__)
        _mm_pause();
#endif
    }
    from.wait(old, std::memory_order_acquire);
}

// The blocks of one simulation that wait for a step, in the order in which they came. Workers take from the front, the
// simulation's own thread from the back: so a block mostly meets the processor that has its state in its cache.
class Steps {
public:
    // Of the simulation of this thread. It lives as long as a block of it.
    static std::shared_ptr<Steps> here() {
        static std::mutex mutex;
        static std::map<const void*, std::weak_ptr<Steps>> all;
        const std::lock_guard lock{mutex};
        auto& known = all[Verilated::threadContextp()];
        auto found = known.lock();
        if (!found) known = found = std::make_shared<Steps>();
        return found;
    }
    Steps() {
        const char* threads = std::getenv("OPENRDU_THREADS");
        const int workers = threads ? std::atoi(threads) - 1 : 0;
        for (int k = 0; k < workers; ++k) workers_.emplace_back([this] { work(); });
    }
    ~Steps() {
        ends_ = true;
        change([](Waiting w) { return Waiting{w.first, w.end, w.pushes + 1}; });
        for (auto& worker : workers_) worker.join();
    }

    // At a rising edge: the inputs of the block stand.
    void begin(Block& block) {
        if (workers_.empty()) return;
        block.stepped.store(false, std::memory_order_relaxed);
        const Waiting w = unpacked(state_.load(std::memory_order_relaxed));
        queue_[w.end % ROOM] = &block;  // free: a place is taken again when all blocks before were finished
        change([](Waiting now) { return Waiting{now.first, static_cast<uint16_t>(now.end + 1), now.pushes + 1}; });
    }
    // At the falling edge behind it: returns once the block has been stepped.
    void finish(Block& block) {
        if (workers_.empty()) return block.step();
        while (!block.stepped.load(std::memory_order_acquire)) {
            if (Block* other = taken(false)) {
                done(*other);
            } else {
                await_change(block.stepped, false);
            }
        }
    }

private:
    static constexpr std::size_t ROOM = 1 << 14;  // more blocks than any socket has
    // The blocks in the queue from `first` to `end`, and how many there ever were: so that each change shows.
    struct Waiting {
        uint16_t first, end;
        uint32_t pushes;
    };
    static Waiting unpacked(uint64_t state) {
        return {static_cast<uint16_t>(state), static_cast<uint16_t>(state >> 16), static_cast<uint32_t>(state >> 32)};
    }
    static uint64_t packed(Waiting w) { return w.first | uint64_t{w.end} << 16 | uint64_t{w.pushes} << 32; }

    template <class Change>
    void change(Change next) {
        uint64_t now = state_.load(std::memory_order_relaxed);
        while (!state_.compare_exchange_weak(now, packed(next(unpacked(now))), std::memory_order_acq_rel)) {}
        state_.notify_all();
    }
    // A block that waits, from the front or the back; null if none does.
    Block* taken(bool front) {
        uint64_t now = state_.load(std::memory_order_acquire);
        while (true) {
            Waiting w = unpacked(now);
            if (w.first == w.end) return nullptr;
            const uint16_t place = front ? w.first++ : --w.end;
            Block* block = queue_[place % ROOM].load(std::memory_order_relaxed);
            if (state_.compare_exchange_weak(now, packed(w), std::memory_order_acq_rel)) return block;
        }
    }
    static void done(Block& block) {
        block.step();
        block.stepped.store(true, std::memory_order_release);
        block.stepped.notify_one();
    }
    void work() {
        while (true) {
            const uint64_t seen = state_.load(std::memory_order_acquire);
            if (ends_) return;
            if (Block* block = taken(true)) {
                done(*block);
            } else {
                await_change(state_, seen);
            }
        }
    }

    std::atomic<uint64_t> state_{0};
    std::atomic<bool> ends_{false};
    std::vector<std::atomic<Block*>> queue_ = std::vector<std::atomic<Block*>>(ROOM);
    std::vector<std::thread> workers_;
};

// Puts a value to an input of a model; whether that changed it.
template <class Port, class Value>
bool put(Port& port, Value value) {
    if (port == value) return false;
    port = static_cast<Port>(value);
    return true;
}

template <std::size_t N>
bool put(VlWide<N>& port, const svBitVecVal* value) {
    if (!std::memcmp(port.data(), value, 4 * N)) return false;
    std::memcpy(port.data(), value, 4 * N);
    return true;
}

// Reads an output of a model.
template <class Port, class Value>
void get(const Port& port, Value* value) {
    *value = port;
}

template <std::size_t N>
void get(const VlWide<N>& port, svBitVecVal* value) {
    std::memcpy(value, port.data(), 4 * N);
}

}  // namespace openrdu
