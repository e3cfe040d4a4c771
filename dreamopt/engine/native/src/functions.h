// Functions of vectors that processors have no instruction for, to about two units in the last place.
#pragma once

#include "common.h"

namespace dreamopt {

// e to the x; beyond what a normal float holds, the nearest that it does. What is no number stays so.
inline Vector exponential(Vector x) {
    constexpr float MAGIC = 12582912.0f;  // 1.5 * 2^23: added, it leaves the nearest whole number in the last bits
    x = x < all(-87.0f) ? all(-87.0f) : x;
    x = x > all(88.0f) ? all(88.0f) : x;
    const Vector rounded = x * all(1.44269504089f) + all(MAGIC);
    const Vector k = rounded - all(MAGIC);
    const Vector r = x - k * all(0.693359375f) - k * all(-2.12194440e-4f);
    Vector p = all(1.9875691500e-4f);
    for (const float c : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f}) p = p * r + all(c);
    const Whole bits = ((Whole)rounded << 23) + (127 << 23);  // of the magic number, all bits but k's are shifted out
    return (p * r * r + r + all(1.0f)) * (Vector)bits;
}

// The natural logarithm of normal floats above 0. What is no number stays so.
inline Vector logarithm(Vector x) {
    const Whole bits = (Whole)x, exponent = (bits - 0x3f3504f3) >> 23;  // so that what is left lies between the roots of 1/2 and 2
    const Vector f = (Vector)(bits - (exponent << 23)) - all(1.0f), e = __builtin_convertvector(exponent, Vector), square = f * f;
    Vector p = all(7.0376836292e-2f);
    for (const float c : {-1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f, -1.6668057665e-1f, 2.0000714765e-1f,
                          -2.4999993993e-1f, 3.3333331174e-1f})
        p = p * f + all(c);
    const Vector y = p * f * square + e * all(-2.12194440e-4f) - all(0.5f) * square + f + e * all(0.693359375f);
    return x == x ? y : x;
}

}  // namespace dreamopt
