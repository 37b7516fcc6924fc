/* The types of numbers that cuBLASLt is told, with CUDA's values: those that the project uses. */
#ifndef SOTI_TEST_LIBRARY_TYPES_H
#define SOTI_TEST_LIBRARY_TYPES_H

typedef enum cudaDataType_t {
    CUDA_R_32F = 0,
    CUDA_R_64F = 1,
    CUDA_R_16F = 2,
    CUDA_R_16BF = 14
} cudaDataType;

#if !defined(__cplusplus)
typedef enum cudaDataType_t cudaDataType_t;
#endif

#endif
