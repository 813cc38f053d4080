// The arithmetic of docs/numerics.md in C++, on the processor's own floating point: what a simulation with ARITH=fast
// computes instead of the RTL, held against it by `make verify ONLY=arith`. verif/fast.py puts the tables of the special
// functions before this text, and behind it a function for every vector there is.
//
// Pure functions: any thread may call any of them. They expect the mode every program starts in: to nearest even,
// subnormals computed. Loops over the elements of a vector are written so that a compiler makes vector code of them.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include "svdpi.h"

#define EACH inline __attribute__((always_inline))

namespace openrdu {

using Word = uint32_t;
constexpr Word SIGN = 0x80000000, MAGNITUDE = 0x7fffffff, INFINITE = 0x7f800000, NORMAL = 0x00800000, NOT = 0x7fc00000;
// What rounds to the smallest normal with an unbounded exponent; a processor judges on a coarser grid below it.
constexpr double ROUNDS_TO_NORMAL = 0x1p-126 - 0x1p-151;

EACH float number(Word bits) { return std::bit_cast<float>(bits); }
EACH Word bits(float value) { return std::bit_cast<Word>(value); }
EACH Word read(Word x) { return x & INFINITE ? x : x & SIGN; }  // a subnormal is a zero
EACH bool is_nan(Word x) { return (x & MAGNITUDE) > INFINITE; }

// A result of the processor by the contract, but for the smallest normal.
EACH Word written(Word result) {
    const Word magnitude = result & MAGNITUDE;
    return magnitude > INFINITE ? NOT : magnitude < NORMAL ? result & SIGN : result;
}

// The smallest normal, unless the exact value is below what rounds to it.
EACH Word judged(Word result, double exact) {
    return (result & MAGNITUDE) == NORMAL && std::fabs(exact) < ROUNDS_TO_NORMAL ? result & SIGN : result;
}

template <int LANES, int STAGES>
EACH void multiply_add(const Word* __restrict a, const uint16_t* b, const Word* __restrict c, Word* __restrict o) {
    for (int s = 0; s < STAGES; ++s, c += LANES, o += LANES) {
        const Word wide = Word(b[s]) << 16;
        const float broadcast = number(read(wide));
        Word border = 0;
        for (int l = 0; l < LANES; ++l) {
            const float vector = number(read(a[l] & 0xffff0000)), addend = number(read(c[l]));
            o[l] = written(bits(__builtin_fmaf(vector, broadcast, addend)));
            border |= (o[l] & MAGNITUDE) == NORMAL;
        }
        // The product is exact in double, and so is the sum wherever it is near the border.
        for (int l = 0; border && l < LANES; ++l) {
            const double product = double(number(read(a[l] & 0xffff0000))) * broadcast;
            o[l] = judged(o[l], product + number(read(c[l])));
        }
    }
}

EACH Word add(Word a, Word b) { return written(bits(number(read(a)) + number(read(b)))); }  // exact at the border

EACH Word multiply(Word a, Word b) {
    const float x = number(read(a)), y = number(read(b));
    return judged(written(bits(x * y)), double(x) * y);
}

// Integers in the order of the numbers, -0 below +0.
EACH int32_t place(Word x) { return int32_t(x) ^ (int32_t(x) >> 31 & int32_t(MAGNITUDE)); }

EACH Word extremum(Word a, Word b, bool greatest) {
    const Word x = read(a), y = read(b);
    const Word chosen = (place(x) < place(y)) != greatest ? x : y;
    return is_nan(a) | is_nan(b) ? NOT : chosen;
}

EACH Word from_integer(Word x) { return bits(float(int32_t(x))); }

EACH Word to_integer(Word x, bool toward_zero) {
    const float value = number(x);
    if (is_nan(x)) return 0;
    if (value >= 0x1p31f) return MAGNITUDE;
    if (value < -0x1p31f) return SIGN;
    return Word(int32_t(toward_zero ? std::trunc(value) : std::nearbyint(value)));
}

EACH Word to_bf16(Word x, Word noise) {
    const Word magnitude = x & INFINITE ? (x & MAGNITUDE) + noise : 0;
    return is_nan(x) ? NOT : ((x & SIGN) | magnitude) & 0xffff0000;
}
EACH Word half_unit(Word x) { return 0x7fff + (x >> 16 & 1); }

template <int LANES, class Function>
EACH void map(const Word* __restrict a, const Word* __restrict b, Word* __restrict o, Function function) {
    for (int l = 0; l < LANES; ++l) o[l] = function(a[l], b[l]);
}

#define COMPARISON(relation) [](Word x, Word y) { return Word(number(read(x)) relation number(read(y))); }
#define INTEGERS(expression) [](Word x, Word y) { return Word(expression); }
#define SIGNED(relation) INTEGERS(int32_t(x) relation int32_t(y))

// The operation of a SIMD stage, by the codes of hdl/pcu/config.py.
template <int LANES>
EACH void operate(int operation, const Word* a, const Word* b, Word* o) {
    switch (operation) {
        case 0: case 1: case 17: return map<LANES>(a, b, o, INTEGERS(x + y));
        case 2: return map<LANES>(a, b, o, [](Word x, Word y) { return add(x, y); });
        case 3: return map<LANES>(a, b, o, [](Word x, Word y) { return add(x, y ^ SIGN); });
        case 4: return map<LANES>(a, b, o, [](Word x, Word y) { return multiply(x, y); });
        case 5: return map<LANES>(a, b, o, [](Word x, Word y) { return extremum(x, y, false); });
        case 6: return map<LANES>(a, b, o, [](Word x, Word y) { return extremum(x, y, true); });
        case 7: return map<LANES>(a, b, o, COMPARISON(<));
        case 8: return map<LANES>(a, b, o, COMPARISON(<=));
        case 9: return map<LANES>(a, b, o, COMPARISON(==));
        case 10: return map<LANES>(a, b, o, COMPARISON(!=));
        case 11: return map<LANES>(a, b, o, COMPARISON(>));
        case 12: return map<LANES>(a, b, o, COMPARISON(>=));
        case 13: return map<LANES>(a, b, o, [](Word x, Word) { return from_integer(x); });
        case 14: return map<LANES>(a, b, o, [](Word x, Word) { return to_integer(x, false); });
        case 15: return map<LANES>(a, b, o, [](Word x, Word) { return to_integer(x, true); });
        case 16: return map<LANES>(a, b, o, [](Word x, Word) { return to_bf16(x, half_unit(x)); });
        case 18: return map<LANES>(a, b, o, INTEGERS(x - y));
        case 19: return map<LANES>(a, b, o, INTEGERS(x * y));
        case 20: return map<LANES>(a, b, o, INTEGERS(x & y));
        case 21: return map<LANES>(a, b, o, INTEGERS(x | y));
        case 22: return map<LANES>(a, b, o, INTEGERS(x ^ y));
        case 23: return map<LANES>(a, b, o, [](Word x, Word) { return ~x; });
        case 24: return map<LANES>(a, b, o, INTEGERS(x << (y & 31)));
        case 25: return map<LANES>(a, b, o, INTEGERS(x >> (y & 31)));
        case 26: return map<LANES>(a, b, o, INTEGERS(int32_t(x) >> (y & 31)));
        case 27: return map<LANES>(a, b, o, INTEGERS(std::min(int32_t(x), int32_t(y))));
        case 28: return map<LANES>(a, b, o, INTEGERS(std::max(int32_t(x), int32_t(y))));
        case 29: return map<LANES>(a, b, o, SIGNED(==));
        case 30: return map<LANES>(a, b, o, SIGNED(!=));
        case 31: return map<LANES>(a, b, o, SIGNED(<));
        case 32: return map<LANES>(a, b, o, SIGNED(<=));
        default: return map<LANES>(a, b, o, [](Word, Word) { return Word(0); });
    }
}

#undef COMPARISON
#undef INTEGERS
#undef SIGNED

// Pairs of a value and its index; by the codes of hdl/arith/operations.py: sum, max, min, arg-max, arg-min.
template <int RESULTS>
EACH void combine(const Word* candidates, int operation, Word* o) {
    const bool greatest = operation == 1 || operation == 3;
    for (int n = 0; n < RESULTS; ++n) {
        const Word *a = candidates + 4 * n, *b = a + 2;
        // equal numbers, zeros of either sign among them, leave the first where it is; a NaN beats any number
        const float x = number(read(a[0])), y = number(read(b[0]));
        const bool later = !is_nan(a[0]) && (is_nan(b[0]) || (greatest ? y > x : y < x));
        const Word* winner = later ? b : a;
        o[2 * n] = operation == 0 ? add(a[0], b[0]) : operation < 3 ? extremum(a[0], b[0], greatest) : winner[0];
        o[2 * n + 1] = winner[1];
    }
}

// As golden_model/numerics/special.py: a logarithm from a table of quadratics, and its power of two from another.
inline Word special(const Recipe& recipe, Word operand) {
    constexpr int64_t ROW = int64_t(1) << OFFSET_BITS, HIDDEN = 1 << 23;
    const bool negative = operand >> 31;
    const int exponent = operand >> 23 & 255;
    const int64_t fraction = operand & (HIDDEN - 1), significand = exponent ? fraction | HIDDEN : fraction;
    const bool domain_error = recipe.domain_error && negative && exponent > 0;
    if (is_nan(operand) || domain_error) return NOT;
    const Page& page = PAGES[negative ? recipe.negative : recipe.positive];
    int64_t logarithm, row, offset;
    if (recipe.mantissa) {
        logarithm = exponent == 0 ? -BEYOND : exponent == 255 ? BEYOND : int64_t(exponent - 127) << LOG_FRACTION;
        const int64_t at = (significand & (HIDDEN - 1)) << 2;  // 8 (m - 1) in units of 2^-22
        row = page.first + at / ROW, offset = at % ROW;
    } else {
        const int right = ARGUMENT_INTEGER - 1 + 127 - exponent;
        const bool huge = right < 0;
        const int64_t a = (significand << (ARGUMENT_INTEGER + ARGUMENT_FRACTION - 24)) >> std::clamp(right, 0, 63);
        const int64_t within = a % STEP;
        const bool inside = !huge && a < page.limit;
        logarithm = inside ? 0 : page.beyond[huge ? STEPS : a / STEP];
        row = inside ? page.first + a / ROW : page.continues ? page.outside + within / ROW : page.outside;
        offset = within % ROW;
    }
    const int64_t t = offset - ROW / 2;
    const Row& c = ROWS[row];
    const int64_t slope = c.c1 + (t * c.c2 >> (OFFSET_BITS + C2_FRACTION - C1_FRACTION));
    logarithm += c.c0 + (t * slope >> (OFFSET_BITS + C1_FRACTION - C0_FRACTION));
    if (recipe.halve) logarithm >>= 1;
    const bool shrinks = recipe.grows && !recipe.mantissa ? negative : !recipe.grows;
    const int64_t power = shrinks ? -logarithm : logarithm;
    const int64_t rest = power & ((1 << LOG_FRACTION) - 1);
    const Chord& chord = CHORDS[rest >> CHORD_OFFSET_BITS];
    constexpr int DROP = CHORD_OFFSET_BITS - 1;
    const int64_t rise = chord.rise * (rest & ((1 << CHORD_OFFSET_BITS) - 1)) + (1 << (DROP - 1));
    const int64_t mantissa = HIDDEN + (int64_t(chord.start) << 1) + (rise >> DROP);
    const bool times_x = recipe.factor == ALWAYS || (recipe.factor == BELOW_TWO && exponent <= 127);
    const int64_t product = mantissa * (times_x ? significand : HIDDEN);
    const int64_t biased = (power >> LOG_FRACTION) + (times_x ? exponent : 127);
    const int carry = int(product >> 47), drop = 23 + carry;
    const int64_t rounded = (product + (int64_t(1) << (drop - 1)) - 1 + (product >> drop & 1)) >> drop;
    const int64_t magnitude = ((biased + carry - 1) * HIDDEN) + rounded;  // a carry of the rounding runs up
    const Word sign = recipe.odd ? operand & SIGN : 0;
    return sign | (magnitude < HIDDEN ? 0 : Word(std::min<int64_t>(magnitude, INFINITE)));
}

template <int LANES>
EACH void special(const Word* x, int function, Word* o) {
    for (int l = 0; l < LANES; ++l) o[l] = function < FUNCTIONS ? special(RECIPES[function], x[l]) : NOT;
}

template <int LANES>
EACH void round(const Word* x, const uint16_t* random, bool stochastic, Word* o) {
    for (int l = 0; l < LANES; ++l) o[l] = to_bf16(x[l], stochastic ? random[l] : half_unit(x[l]));
}

}  // namespace openrdu

static const uint16_t* halves(const svBitVecVal* words) { return reinterpret_cast<const uint16_t*>(words); }

// A function of operands `i` and results `o`, compiled for the vector unit of the processor too, if it should have one;
// without one, fmaf is a call of the C library.
#ifdef __x86_64__
static const bool has_vectors = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#define VECTORS __attribute__((target("avx2,fma"))) static
#define FUNCTION(name, ...)                                                           \
    VECTORS void name##_vector(const svBitVecVal* i, svBitVecVal* o) { __VA_ARGS__; } \
    static void name##_plain(const svBitVecVal* i, svBitVecVal* o) { __VA_ARGS__; }   \
    extern "C" void name(const svBitVecVal* i, svBitVecVal* o) { (has_vectors ? name##_vector : name##_plain)(i, o); }
#else
#define FUNCTION(name, ...) \
    extern "C" void name(const svBitVecVal* i, svBitVecVal* o) { __VA_ARGS__; }
#endif
