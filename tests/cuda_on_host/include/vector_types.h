/* CUDA's small vector types, as plain C structs. dim3 alone has constructors, in C++. */
#ifndef SOTI_TEST_VECTOR_TYPES_H
#define SOTI_TEST_VECTOR_TYPES_H

typedef struct uint3 {
    unsigned x, y, z;
} uint3;

#if defined(__cplusplus)
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned n_x = 1, unsigned n_y = 1, unsigned n_z = 1) : x(n_x), y(n_y), z(n_z)
    {
    }
};
#define ON_HOST_ALIGNED(n) alignas(n)
#else
typedef struct dim3 {
    unsigned x, y, z;
} dim3;
#define ON_HOST_ALIGNED(n) _Alignas(n)
#endif

typedef struct int2 {
    ON_HOST_ALIGNED(8) int x;
    int y;
} int2;
typedef struct int4 {
    ON_HOST_ALIGNED(16) int x;
    int y, z, w;
} int4;
typedef struct uint2 {
    ON_HOST_ALIGNED(8) unsigned x;
    unsigned y;
} uint2;
typedef struct uint4 {
    ON_HOST_ALIGNED(16) unsigned x;
    unsigned y, z, w;
} uint4;
typedef struct float2 {
    ON_HOST_ALIGNED(8) float x;
    float y;
} float2;
typedef struct float4 {
    ON_HOST_ALIGNED(16) float x;
    float y, z, w;
} float4;

#endif
