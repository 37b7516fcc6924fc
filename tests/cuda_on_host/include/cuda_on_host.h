/* The wrappers of kernels/device.cuh on the host. Shared memory is reached through shared<T>, which
 * looks at each access: inside its array, aligned, written before it is read, and no race with
 * another thread (shadow.cpp). The matrix instructions are in matrix.cpp. */
#ifndef SOTI_TEST_CUDA_ON_HOST_H
#define SOTI_TEST_CUDA_ON_HOST_H

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#if defined(__cplusplus)

namespace on_host
{

/* Part of the block's shared memory, in bytes from its beginning, and a place in it, which may lie
 * outside as long as nobody looks there. */
struct extent {
    uint32_t at, begin, end;
};

extent dynamic_shared(uint32_t byte_offset);
/* A static array's place; the same for all blocks. */
uint32_t place_static_shared(size_t n_bytes);

/* from and to as in extent */
void shared_read(uint32_t from, uint32_t begin, uint32_t end, void *to, unsigned n_bytes,
                 unsigned alignment);
void shared_write(uint32_t to, uint32_t begin, uint32_t end, const void *from, unsigned n_bytes,
                  unsigned alignment);
/* Where an atomic operation may act; nothing else runs until the caller is done with it. */
void *shared_atomic(const extent &at, unsigned n_bytes, unsigned alignment);

/* Fails if the address has not the alignment of an access of 16 bytes. */
const void *aligned_16(const void *global);
void copy_async(const extent &to, const void *global);
void copy_async_commit();
void copy_async_wait(unsigned n_pending);

} // namespace on_host

namespace soti
{

template <class T> class shared;

/* What p[i] and *p are: an element of shared memory, read when its value is asked for. */
template <class T> class shared_element
{
  public:
    using value = std::remove_const_t<T>;

    explicit shared_element(const on_host::extent &at) : at_(at)
    {
    }
    shared_element(const shared_element &) = default;

    operator value() const
    {
        value result;
        on_host::shared_read(at_.at, at_.begin, at_.end, &result, sizeof result, alignof(value));
        return result;
    }
    const shared_element &operator=(const value &from) const
    {
        static_assert(!std::is_const_v<T>, "shared memory that is read only here");
        on_host::shared_write(at_.at, at_.begin, at_.end, &from, sizeof from, alignof(value));
        return *this;
    }
    const shared_element &operator=(const shared_element &from) const
    {
        return *this = static_cast<value>(from);
    }
    template <class V> const shared_element &operator+=(const V &by) const
    {
        return *this = static_cast<value>(static_cast<value>(*this) + by);
    }
    template <class V> const shared_element &operator-=(const V &by) const
    {
        return *this = static_cast<value>(static_cast<value>(*this) - by);
    }
    template <class V> const shared_element &operator*=(const V &by) const
    {
        return *this = static_cast<value>(static_cast<value>(*this) * by);
    }
    shared<T> operator&() const;

  private:
    on_host::extent at_;
};

template <class T> class shared
{
  public:
    shared() = default;
    explicit shared(const on_host::extent &at) : at_(at)
    {
    }
    template <class U, class = std::enable_if_t<std::is_same_v<const U, T>>>
    shared(const shared<U> &from) : at_(from.where())
    {
    }
    shared_element<T> operator*() const
    {
        return shared_element<T>(at_);
    }
    template <class I> shared_element<T> operator[](I i) const
    {
        return *(*this + i);
    }
    template <class I, class = std::enable_if_t<std::is_integral_v<I>>> shared operator+(I n) const
    {
        on_host::extent at = at_;
        at.at += static_cast<uint32_t>(n) * static_cast<uint32_t>(sizeof(T));
        return shared(at);
    }
    template <class I, class = std::enable_if_t<std::is_integral_v<I>>> shared operator-(I n) const
    {
        on_host::extent at = at_;
        at.at -= static_cast<uint32_t>(n) * static_cast<uint32_t>(sizeof(T));
        return shared(at);
    }
    ptrdiff_t operator-(const shared &from) const
    {
        return static_cast<int32_t>(at_.at - from.at_.at) / static_cast<int32_t>(sizeof(T));
    }
    template <class I> shared &operator+=(I n)
    {
        return *this = *this + n;
    }
    template <class I> shared &operator-=(I n)
    {
        return *this = *this - n;
    }
    shared &operator++()
    {
        return *this += 1;
    }
    shared operator++(int)
    {
        shared before = *this;
        *this += 1;
        return before;
    }
    const on_host::extent &where() const
    {
        return at_;
    }

  private:
    on_host::extent at_;
};

template <class T> inline shared<T> shared_element<T>::operator&() const
{
    return shared<T>(at_);
}

template <class T> inline shared<T> shared_memory(unsigned byte_offset)
{
    return shared<T>(on_host::dynamic_shared(byte_offset));
}

/* name: n elements of T, the block's. */
#define SHARED_ARRAY(T, name, n)                                                                   \
    static const uint32_t name##_place = on_host::place_static_shared((n) * sizeof(T));            \
    const ::soti::shared<T> name(                                                                  \
        {name##_place, name##_place, name##_place + static_cast<uint32_t>((n) * sizeof(T))})

template <class T> inline uint4 shared_load_16(shared<T> from)
{
    const on_host::extent &at = from.where();
    uint4 result;
    on_host::shared_read(at.at, at.begin, at.end, &result, 16, 16);
    return result;
}

template <class T> inline void shared_store_16(shared<T> to, uint4 value)
{
    static_assert(!std::is_const_v<T>, "shared memory that is read only here");
    const on_host::extent &at = to.where();
    on_host::shared_write(at.at, at.begin, at.end, &value, 16, 16);
}

inline uint4 load_16(const void *global)
{
    uint4 result;
    memcpy(&result, on_host::aligned_16(global), 16);
    return result;
}

inline uint4 load_stream_16(const void *global)
{
    return load_16(global);
}

/* Faults where there is nothing to fetch. */
inline void prefetch_l2(const void *global)
{
    static_cast<void>(*static_cast<const volatile char *>(global));
}

/* Blocks run one after another. */
inline void fence_device()
{
    __threadfence();
}

inline void store_16(void *global, uint4 value)
{
    on_host::aligned_16(global);
    memcpy(global, &value, 16);
}

inline float load_fresh(const float *global)
{
    return *static_cast<const volatile float *>(global);
}

inline float4 load_fresh_16(const float *global)
{
    float4 result;
    memcpy(&result, on_host::aligned_16(global), 16);
    return result;
}

inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                         ON_HOST_SITE)
{
    on_host::operation part;
    part.kind = on_host::collective::mma;
    part.mask = 0xffffffffu;
    part.file = file;
    part.line = line;
    part.d = d;
    part.a = a;
    part.b = b;
    on_host::meet(part);
}

template <class T>
inline void load_matrices(uint32_t (&r)[4], shared<T> row, bool transposed, const char *file,
                          int line)
{
    const on_host::extent &at = row.where();
    on_host::operation part;
    part.kind = on_host::collective::ldmatrix;
    part.mask = 0xffffffffu;
    part.file = file;
    part.line = line;
    part.r = r;
    part.transposed = transposed;
    on_host::shared_read(at.at, at.begin, at.end, part.row, 16, 16);
    on_host::meet(part);
}

template <class T> inline void ldmatrix_x4(uint32_t (&r)[4], shared<T> row, ON_HOST_SITE)
{
    load_matrices(r, row, false, file, line);
}

template <class T> inline void ldmatrix_x4_trans(uint32_t (&r)[4], shared<T> row, ON_HOST_SITE)
{
    load_matrices(r, row, true, file, line);
}

template <class T> inline void cp_async_16(shared<T> to, const void *global)
{
    on_host::copy_async(to.where(), global);
}

inline void cp_async_commit()
{
    on_host::copy_async_commit();
}

/* Until at most N of the committed groups are on their way. */
template <int N> inline void cp_async_wait()
{
    static_assert(N >= 0);
    on_host::copy_async_wait(N);
}

inline void grid_dependency_wait()
{
}

inline void grid_dependency_launch()
{
}

/* Of a one-dimensional block. */
inline unsigned lane_id()
{
    return threadIdx.x % 32;
}

inline unsigned lane_id_anew()
{
    return lane_id();
}

inline unsigned warp_id()
{
    return threadIdx.x / 32;
}

} // namespace soti

/* Of shared memory: &p[i]. */
template <class T> inline T atomicAdd(soti::shared<T> at, std::common_type_t<T> value)
{
    static_assert(std::is_integral_v<T>, "the order of float additions would depend on timing");
    T *place = static_cast<T *>(on_host::shared_atomic(at.where(), sizeof(T), alignof(T)));
    T before = *place;
    *place = static_cast<T>(before + value);
    return before;
}

template <class T> inline T atomicMax(soti::shared<T> at, std::common_type_t<T> value)
{
    T *place = static_cast<T *>(on_host::shared_atomic(at.where(), sizeof(T), alignof(T)));
    T before = *place;
    *place = max(before, value);
    return before;
}

template <class T> inline T atomicMin(soti::shared<T> at, std::common_type_t<T> value)
{
    T *place = static_cast<T *>(on_host::shared_atomic(at.where(), sizeof(T), alignof(T)));
    T before = *place;
    *place = min(before, value);
    return before;
}

template <class T> inline T atomicOr(soti::shared<T> at, std::common_type_t<T> value)
{
    T *place = static_cast<T *>(on_host::shared_atomic(at.where(), sizeof(T), alignof(T)));
    T before = *place;
    *place = before | value;
    return before;
}

#endif /* __cplusplus */

#endif
