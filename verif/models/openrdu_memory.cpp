// The bytes behind openrdu_memory.sv: regions by simulation and name, each an anonymous mapping, so that what nobody
// touches costs nothing and reads as zero. openrdu_memory_find is the back door.
#include <svdpi.h>
#include <sys/mman.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include "verilated.h"

namespace {
struct Region {
    uint8_t* bytes;
    uint64_t size;
    int users;
    std::pair<const void*, std::string> key;
};
std::map<std::pair<const void*, std::string>, Region> regions;
}  // namespace

extern "C" {
void* openrdu_memory_open(const char* name, long long size) {
    const auto key = std::make_pair(static_cast<const void*>(Verilated::threadContextp()), std::string{name});
    auto [entry, fresh] = regions.try_emplace(key, Region{nullptr, static_cast<uint64_t>(size), 0, key});
    Region& region = entry->second;
    if (fresh) {
        void* bytes = mmap(nullptr, region.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                           -1, 0);
        if (bytes == MAP_FAILED) {
            std::fprintf(stderr, "openrdu_memory: no %llu bytes of address space for region %s\n",
                         static_cast<unsigned long long>(region.size), name);
            std::abort();
        }
        region.bytes = static_cast<uint8_t*>(bytes);
    }
    ++region.users;
    return &region;
}

void openrdu_memory_close(void* handle) {
    Region* region = static_cast<Region*>(handle);
    if (--region->users) return;
    munmap(region->bytes, region->size);
    regions.erase(region->key);
}

void openrdu_memory_read(void* handle, long long address, int bytes, svBitVecVal* data) {
    data[0] = 0;  // for a port narrower than a word
    std::memcpy(data, static_cast<Region*>(handle)->bytes + address, static_cast<size_t>(bytes));
}

void openrdu_memory_write(void* handle, long long address, int bytes, const svBitVecVal* data, long long strobe) {
    uint8_t* place = static_cast<Region*>(handle)->bytes + address;
    const uint8_t* from = reinterpret_cast<const uint8_t*>(data);
    const uint64_t mask = static_cast<uint64_t>(strobe);
    if (mask == (bytes == 64 ? ~0ull : (1ull << bytes) - 1)) {
        std::memcpy(place, from, static_cast<size_t>(bytes));
        return;
    }
    for (int k = 0; k < bytes; ++k)
        if (mask >> k & 1) place[k] = from[k];
}

// Where region `name` of the simulation entered last is, and its size; null if there is none.
void* openrdu_memory_find(const char* name, uint64_t* size) {
    const auto found = regions.find({static_cast<const void*>(Verilated::threadContextp()), std::string{name}});
    if (found == regions.end()) return nullptr;
    *size = found->second.size;
    return found->second.bytes;
}
}
