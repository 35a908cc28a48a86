/* A CUDA driver on host memory, for bindings that are compiled against the real one: as much of it as lungsev uses.

   Device memory is host memory; what is queued while a stream records is kept and replayed by its graph. `stub_fail`
   lets a call return an error, `stub_left` counts what was not freed. Signatures: cuda.h of CUDA 12. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FAULTS = 16, MOST_COPIES = 64, COMPUTE_MAJOR = 75, COMPUTE_MINOR = 76, INTEGRATED = 18 };

typedef struct { void *to; const void *from; size_t size; } copy_t;
typedef struct { copy_t copies[MOST_COPIES]; int count; } graph_t;

static struct { char call[64]; int error; } faults[MOST_FAULTS];
static int fault_count, integrated, left_memory, left_contexts, left_streams, left_graphs, pushed, primary_context = 1;
static graph_t *recording;

void stub_reset(int is_integrated) {
    fault_count = left_memory = left_contexts = left_streams = left_graphs = pushed = 0;
    integrated = is_integrated;
    recording = NULL;
}

void stub_fail(const char *call, int error) {
    strncpy(faults[fault_count].call, call, sizeof faults[0].call - 1);
    faults[fault_count++].error = error;
}

/* Without what is pushed: pycuda leaves a push behind where it releases a primary context. */
int stub_left(void) { return left_memory + left_contexts + left_streams + left_graphs; }

static int fault(const char *call) {
    for (int index = 0; index < fault_count; index++)
        if (strcmp(faults[index].call, call) == 0) return faults[index].error;
    return 0;
}

#define CALL(name, ...) int name(__VA_ARGS__) { int error = fault(#name); if (error) return error;
#define END return 0; }

CALL(cuInit, unsigned flags) (void)flags; END
CALL(cuDriverGetVersion, int *version) *version = 12040; END
CALL(cuDeviceGetCount, int *count) *count = 1; END
CALL(cuDeviceGet, int *device, int number) *device = number; END
CALL(cuDeviceGetName, char *name, int length, int device) (void)device; strncpy(name, "Fake GPU", length); END
CALL(cuDeviceComputeCapability, int *major, int *minor, int device) (void)device; *major = 8; *minor = 9; END
CALL(cuDeviceGetAttribute, int *value, int attribute, int device)
    (void)device;
    *value = attribute == INTEGRATED ? integrated : attribute == COMPUTE_MAJOR ? 8 : attribute == COMPUTE_MINOR ? 9 : 1;
END
CALL(cuDevicePrimaryCtxRetain, void **context, int device) (void)device; *context = &primary_context; left_contexts++; END
CALL(cuDevicePrimaryCtxRelease_v2, int device) (void)device; left_contexts--; END
CALL(cuCtxPushCurrent_v2, void *context) (void)context; pushed++; END
CALL(cuCtxPopCurrent_v2, void **context) *context = &primary_context; pushed--; END
CALL(cuCtxSetCurrent, void *context) pushed = context != NULL; END
CALL(cuCtxGetDevice, int *device) *device = 0; return pushed ? 0 : 201; END
CALL(cuCtxSynchronize, void) END
CALL(cuMemGetInfo_v2, size_t *free_bytes, size_t *total) *free_bytes = (size_t)2 << 30; *total = (size_t)8 << 30; END
CALL(cuMemAlloc_v2, unsigned long long *pointer, size_t size)
    if (!pushed) return 201;
    *pointer = (unsigned long long)malloc(size);
    left_memory++;
END
CALL(cuMemFree_v2, unsigned long long pointer) free((void *)pointer); left_memory--; END
CALL(cuMemHostAlloc, void **pointer, size_t size, unsigned flags)
    if (!pushed) return 201;
    if (integrated && !(flags & 2)) return 1; /* to be mapped into the device */
    *pointer = malloc(size);
    left_memory++;
END
CALL(cuMemFreeHost, void *pointer) free(pointer); left_memory--; END
CALL(cuMemHostGetDevicePointer_v2, unsigned long long *device, void *host, unsigned flags)
    (void)flags;
    *device = (unsigned long long)host;
END

static int copy(void *to, const void *from, size_t size) {
    if (!pushed) return 201;
    if (recording) {
        if (recording->count == MOST_COPIES) return 2;
        recording->copies[recording->count++] = (copy_t){to, from, size};
    } else {
        memcpy(to, from, size);
    }
    return 0;
}

CALL(cuMemcpyHtoDAsync_v2, unsigned long long to, const void *from, size_t size, void *stream)
    (void)stream;
    return copy((void *)to, from, size);
END
CALL(cuMemcpyDtoHAsync_v2, void *to, unsigned long long from, size_t size, void *stream)
    (void)stream;
    return copy(to, (const void *)from, size);
END
CALL(cuStreamCreate, void **stream, unsigned flags) (void)flags; *stream = malloc(1); left_streams++; END
CALL(cuStreamDestroy_v2, void *stream) free(stream); left_streams--; END
CALL(cuStreamSynchronize, void *stream) (void)stream; END
CALL(cuStreamBeginCapture_v2, void *stream, int mode)
    (void)stream; (void)mode;
    recording = calloc(1, sizeof *recording);
END
CALL(cuStreamEndCapture, void *stream, void **graph) (void)stream; *graph = recording; recording = NULL; END
CALL(cuGraphInstantiateWithFlags, void **executable, void *graph, unsigned long long flags)
    (void)flags;
    *executable = memcpy(malloc(sizeof(graph_t)), graph, sizeof(graph_t));
    left_graphs++;
END
CALL(cuGraphDestroy, void *graph) free(graph); END
CALL(cuGraphExecDestroy, void *executable) free(executable); left_graphs--; END
CALL(cuGraphLaunch, void *executable, void *stream)
    (void)stream;
    graph_t *graph = executable;
    for (int index = 0; index < graph->count; index++)
        memcpy(graph->copies[index].to, graph->copies[index].from, graph->copies[index].size);
END

int cuGetErrorString(int error, const char **text) {
    *text = error == 2 ? "out of memory" : error == 100 ? "no CUDA-capable device is detected"
        : error == 700 ? "an illegal memory access was encountered" : "an error";
    return 0;
}

/* How cuda-bindings find a call: by the name of its first version; what is not here they refuse when it is called. */
int cuGetProcAddress_v2(const char *symbol, void **function, int version, unsigned long long flags, int *status) {
    static const char *const suffixes[] = {"WithFlags", "_v2", ""};
    char name[128];
    void *self = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    (void)version; (void)flags;
    *function = NULL;
    for (int index = 0; index < 3 && !*function; index++) {
        snprintf(name, sizeof name, "%s%s", symbol, suffixes[index]);
        *function = dlsym(self, name);
    }
    if (status) *status = *function ? 0 : 1;
    return *function ? 0 : 500;
}
