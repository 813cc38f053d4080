// What openrdu_tap.sv recorded, by simulation and by the path of the tap: records of the number of a stream and its
// payload, in order of time. The functions below the DPI ones are for Python (verif/taps.py).
#include <svdpi.h>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>
#include "verilated.h"

namespace {
constexpr size_t PAYLOAD_WORDS = 17;
struct Record {
    uint32_t stream;
    uint32_t payload[PAYLOAD_WORDS];
};
struct Tap {
    std::string path;
    std::vector<Record> records;
};
using Taps = std::vector<std::unique_ptr<Tap>>;
std::map<const void*, Taps> simulations;
Taps& here() { return simulations[Verilated::threadContextp()]; }
}  // namespace

extern "C" {
void* openrdu_tap_open(const char* path) {
    here().push_back(std::make_unique<Tap>(Tap{path, {}}));
    return here().back().get();
}

void openrdu_tap_close(void* handle) {
    std::erase_if(here(), [handle](const auto& tap) { return tap.get() == handle; });
}

void openrdu_tap_put(void* handle, int stream, const svBitVecVal* payload) {
    Record record{static_cast<uint32_t>(stream), {}};
    for (size_t k = 0; k < PAYLOAD_WORDS; ++k) record.payload[k] = payload[k];
    static_cast<Tap*>(handle)->records.push_back(record);
}

// Of the simulation entered last: the path of tap `number`, null beyond the last; where its records are, and how many.
const char* openrdu_tap_path(uint64_t number) {
    return number < here().size() ? here()[number]->path.c_str() : nullptr;
}

const void* openrdu_tap_records(uint64_t number, uint64_t* count) {
    *count = here()[number]->records.size();
    return here()[number]->records.data();
}

void openrdu_tap_clear() {
    for (auto& tap : here()) tap->records.clear();
}
}
