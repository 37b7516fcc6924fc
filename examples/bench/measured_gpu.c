/* See measured_gpu.h. The reading kernel is PTX, which the driver compiles for the device that
 * there is: each thread has eight loads of 16 bytes on their way, neighbouring threads read
 * neighbouring bytes, and the sum of all is stored only if it has a value that it never has. */
#include "measured_gpu.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "../shared/text.h"

enum {
    THREADS = 256,
    BLOCKS_PER_PROCESSOR = 8,
    LOADS = 8,
    LOAD_BYTES = 16,
    ATTRIBUTE_PROCESSORS = 16 /* CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT */
};

/* The parts of the driver's interface (cuda.h) that are used: results are 0 or an error. */
typedef uint64_t device_address;
struct driver {
    int (*init)(unsigned flags);
    int (*get_version)(int *version);
    int (*get_error)(int error, const char **sentence);
    int (*get)(int *device, int ordinal);
    int (*get_name)(char *name, int capacity, int device);
    int (*get_attribute)(int *value, int attribute, int device);
    int (*retain)(void **context, int device);
    int (*release)(int device);
    int (*set_current)(void *context);
    int (*load_module)(void **module, const void *image);
    int (*get_function)(void **function, void *module, const char *name);
    int (*memory_info)(size_t *free_bytes, size_t *total_bytes);
    int (*allocate)(device_address *address, size_t bytes);
    int (*give_back)(device_address address);
    int (*fill)(device_address address, unsigned char value, size_t bytes);
    int (*launch)(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                  unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                  void *stream, void **arguments, void **extra);
    int (*create_event)(void **event, unsigned flags);
    int (*record_event)(void *event, void *stream);
    int (*wait_event)(void *event);
    int (*elapsed)(float *milliseconds, void *begin, void *end);
};

struct cuda_device {
    struct driver driver;
    void *library;
    int device, version, n_processors;
    int is_retained;
    char name[128];
    void *read_kernel;
    void *events[2];
    size_t free_at_first;
};

static const char read_ptx[] =
    ".version 7.0\n"
    ".target sm_70\n"
    ".address_size 64\n"
    ".visible .entry read_memory(.param .u64 data, .param .u64 stride, .param .u64 rounds,\n"
    "                            .param .u64 out)\n"
    "{\n"
    "    .reg .pred %more;\n"
    "    .reg .b32 %r<4>, %v<32>, %sum;\n"
    "    .reg .b64 %at, %place, %stride, %rounds, %out, %wide;\n"
    "    ld.param.u64 %at, [data];\n"
    "    ld.param.u64 %stride, [stride];\n" /* bytes that all threads read at once */
    "    ld.param.u64 %rounds, [rounds];\n"
    "    ld.param.u64 %out, [out];\n"
    "    mov.u32 %r0, %ctaid.x;\n"
    "    mov.u32 %r1, %ntid.x;\n"
    "    mov.u32 %r2, %tid.x;\n"
    "    mad.lo.u32 %r3, %r0, %r1, %r2;\n"
    "    mul.wide.u32 %wide, %r3, 16;\n"
    "    add.u64 %at, %at, %wide;\n"
    "    mov.u32 %sum, 0;\n"
    "again:\n"
#define LOAD(a, b, c, d)                                                                           \
    "    ld.global.nc.v4.u32 {%v" #a ", %v" #b ", %v" #c ", %v" #d "}, [%at];\n"                   \
    "    add.u64 %at, %at, %stride;\n"
    LOAD(0, 1, 2, 3) LOAD(4, 5, 6, 7) LOAD(8, 9, 10, 11) LOAD(12, 13, 14, 15) LOAD(16, 17, 18, 19)
        LOAD(20, 21, 22, 23) LOAD(24, 25, 26, 27) LOAD(28, 29, 30, 31)
#undef LOAD
#define ADD(a, b, c, d)                                                                            \
    "    xor.b32 %sum, %sum, %v" #a ";\n"                                                          \
    "    xor.b32 %sum, %sum, %v" #b ";\n"                                                          \
    "    xor.b32 %sum, %sum, %v" #c ";\n"                                                          \
    "    xor.b32 %sum, %sum, %v" #d ";\n"
            ADD(0, 1, 2, 3) ADD(4, 5, 6, 7) ADD(8, 9, 10, 11) ADD(12, 13, 14, 15)
                ADD(16, 17, 18, 19) ADD(20, 21, 22, 23) ADD(24, 25, 26, 27) ADD(28, 29, 30, 31)
#undef ADD
                    "    sub.u64 %rounds, %rounds, 1;\n"
                    "    setp.ne.u64 %more, %rounds, 0;\n"
                    "    @%more bra again;\n"
                    "    setp.eq.u32 %more, %sum, 0x5a17c0de;\n"
                    "    @%more st.global.u32 [%out], %sum;\n"
                    "    ret;\n"
                    "}\n";

struct symbol {
    const char *name;
    size_t offset;
};
#define AT(member) offsetof(struct driver, member)
static const struct symbol symbols[] = {{"cuInit", AT(init)},
                                        {"cuDriverGetVersion", AT(get_version)},
                                        {"cuGetErrorString", AT(get_error)},
                                        {"cuDeviceGet", AT(get)},
                                        {"cuDeviceGetName", AT(get_name)},
                                        {"cuDeviceGetAttribute", AT(get_attribute)},
                                        {"cuDevicePrimaryCtxRetain", AT(retain)},
                                        {"cuDevicePrimaryCtxRelease_v2", AT(release)},
                                        {"cuCtxSetCurrent", AT(set_current)},
                                        {"cuModuleLoadData", AT(load_module)},
                                        {"cuModuleGetFunction", AT(get_function)},
                                        {"cuMemGetInfo_v2", AT(memory_info)},
                                        {"cuMemAlloc_v2", AT(allocate)},
                                        {"cuMemFree_v2", AT(give_back)},
                                        {"cuMemsetD8_v2", AT(fill)},
                                        {"cuLaunchKernel", AT(launch)},
                                        {"cuEventCreate", AT(create_event)},
                                        {"cuEventRecord", AT(record_event)},
                                        {"cuEventSynchronize", AT(wait_event)},
                                        {"cuEventElapsedTime", AT(elapsed)}};

/* Says what failed; 1 if nothing did. */
static int worked(const struct cuda_device *device, const char *call, int error)
{
    const char *sentence = NULL;
    if (error == 0)
        return 1;
    if (device->driver.get_error(error, &sentence) != 0 || !sentence)
        sentence = "unknown error";
    complain("%s: %s (%d)", call, sentence, error);
    return 0;
}

static int open_driver(struct cuda_device *device)
{
    device->library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!device->library) {
        complain("NVIDIA's driver cannot be opened: %s", dlerror());
        return 0;
    }
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *address = dlsym(device->library, symbols[i].name);
        if (!address) {
            complain("NVIDIA's driver is too old: it has no %s", symbols[i].name);
            return 0;
        }
        *(void **)((char *)&device->driver + symbols[i].offset) = address;
    }
    return 1;
}

static int open_kernel(struct cuda_device *device)
{
    const struct driver *driver = &device->driver;
    void *module;
    return worked(device, "cuModuleLoadData", driver->load_module(&module, read_ptx)) &&
           worked(device, "cuModuleGetFunction",
                  driver->get_function(&device->read_kernel, module, "read_memory")) &&
           worked(device, "cuEventCreate", driver->create_event(&device->events[0], 0)) &&
           worked(device, "cuEventCreate", driver->create_event(&device->events[1], 0));
}

static int open_device(struct cuda_device *device, unsigned i_device)
{
    const struct driver *driver = &device->driver;
    void *context;
    size_t total;
    if (!worked(device, "cuInit", driver->init(0)) ||
        !worked(device, "cuDriverGetVersion", driver->get_version(&device->version)) ||
        !worked(device, "cuDeviceGet", driver->get(&device->device, (int)i_device)) ||
        !worked(device, "cuDeviceGetName",
                driver->get_name(device->name, (int)sizeof device->name, device->device)) ||
        !worked(
            device, "cuDeviceGetAttribute",
            driver->get_attribute(&device->n_processors, ATTRIBUTE_PROCESSORS, device->device)) ||
        !worked(device, "cuDevicePrimaryCtxRetain", driver->retain(&context, device->device)))
        return 0;
    device->is_retained = 1;
    return worked(device, "cuCtxSetCurrent", driver->set_current(context)) && open_kernel(device) &&
           worked(device, "cuMemGetInfo", driver->memory_info(&device->free_at_first, &total));
}

struct cuda_device *cuda_device_open(unsigned i_device)
{
    struct cuda_device *device = grow(NULL, sizeof *device);
    *device = (struct cuda_device){0};
    if (open_driver(device) && open_device(device, i_device))
        return device;
    cuda_device_close(device);
    return NULL;
}

void cuda_device_close(struct cuda_device *device)
{
    if (!device)
        return;
    if (device->is_retained)
        device->driver.release(device->device);
    free(device); /* the driver stays open: it does not like to be unloaded */
}

const char *cuda_device_name(const struct cuda_device *device)
{
    return device->name;
}

unsigned cuda_device_driver(const struct cuda_device *device)
{
    return (unsigned)device->version;
}

uint64_t cuda_device_free_bytes(const struct cuda_device *device)
{
    size_t free_bytes = 0;
    size_t total;
    return device->driver.memory_info(&free_bytes, &total) == 0 ? free_bytes : 0;
}

uint64_t cuda_device_used_bytes(const struct cuda_device *device)
{
    uint64_t free_bytes = cuda_device_free_bytes(device);
    return free_bytes < device->free_at_first ? device->free_at_first - free_bytes : 0;
}

/* One pass; its seconds, 0 if it failed. */
static double read_once(const struct cuda_device *device, device_address data, uint64_t stride,
                        uint64_t rounds)
{
    const struct driver *driver = &device->driver;
    device_address out = data;
    void *arguments[] = {&data, &stride, &rounds, &out};
    float milliseconds = 0;
    int is_done = worked(device, "cuEventRecord", driver->record_event(device->events[0], NULL)) &&
                  worked(device, "cuLaunchKernel",
                         driver->launch(device->read_kernel,
                                        (unsigned)device->n_processors * BLOCKS_PER_PROCESSOR, 1, 1,
                                        THREADS, 1, 1, 0, NULL, arguments, NULL)) &&
                  worked(device, "cuEventRecord", driver->record_event(device->events[1], NULL)) &&
                  worked(device, "cuEventSynchronize", driver->wait_event(device->events[1])) &&
                  worked(device, "cuEventElapsedTime",
                         driver->elapsed(&milliseconds, device->events[0], device->events[1]));
    return is_done ? (double)milliseconds / 1e3 : 0;
}

size_t cuda_device_read(struct cuda_device *device, size_t most_bytes, double *rates, size_t n)
{
    const struct driver *driver = &device->driver;
    uint64_t stride = (uint64_t)device->n_processors * BLOCKS_PER_PROCESSOR * THREADS * LOAD_BYTES;
    uint64_t available = cuda_device_free_bytes(device) / 4;
    uint64_t rounds = (most_bytes < available ? most_bytes : available) / (stride * LOADS);
    size_t bytes = (size_t)(rounds * stride * LOADS);
    device_address data = 0;
    if (bytes == 0 || !worked(device, "cuMemAlloc", driver->allocate(&data, bytes)))
        return 0;
    int is_good = worked(device, "cuMemsetD8", driver->fill(data, 0, bytes)) &&
                  read_once(device, data, stride, rounds) > 0; /* clocks rise */
    for (size_t i = 0; i < n && is_good; i++) {
        double seconds = read_once(device, data, stride, rounds);
        is_good = seconds > 0;
        rates[i] = is_good ? (double)bytes / seconds : 0;
    }
    driver->give_back(data);
    return is_good ? bytes : 0;
}
