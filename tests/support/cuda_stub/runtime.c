/* CUDA's runtime without a GPU: device memory is the host's, copies copy, kernels do nothing, and all is counted.

   What CUDA forbids while a stream is captured fails here too, from whatever thread it comes (the capture is global). A
   CUDA graph takes STUB_LAUNCH_US microseconds, and copies that begin meanwhile are counted as overlapping. Memory ends
   at STUB_MEMORY_MB. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

long long stub_captures, stub_replays, stub_launches, stub_copies, stub_overlapping_in, stub_overlapping_out, stub_forbidden, stub_pageable;
long long stub_bytes_in, stub_bytes_out, stub_memory, stub_peak, stub_pinned;

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static int capturing, replaying;
typedef struct Pinned { char *begin, *end; struct Pinned *next; } Pinned;
static Pinned *pinned;

static long long setting(const char *name) { const char *text = getenv(name); return text ? atoll(text) : 0; }
#define COUNT(number, by) do { pthread_mutex_lock(&guard); number += (by); pthread_mutex_unlock(&guard); } while (0)

static int forbidden(const char *what) {
  if (!capturing) return 0;
  fprintf(stderr, "stub: %s while a stream is captured\n", what);
  COUNT(stub_forbidden, 1);
  return 900;
}

int cudaMalloc(void **memory, size_t size) {
  long long limit = setting("STUB_MEMORY_MB") << 20;
  if (forbidden("cudaMalloc")) return 900;
  if (limit && stub_memory + (long long)size > limit) return 2;
  *memory = calloc(1, size + 256);
  COUNT(stub_memory, malloc_usable_size(*memory));
  if (stub_memory > stub_peak) stub_peak = stub_memory;
  return 0;
}
int cudaFree(void *memory) {
  if (memory && forbidden("cudaFree")) return 900;
  if (memory) COUNT(stub_memory, -(long long)malloc_usable_size(memory));
  free(memory);
  return 0;
}
int cudaHostAlloc(void **memory, size_t size, unsigned flags) {
  if (forbidden("cudaHostAlloc")) return 900;
  Pinned *piece = malloc(sizeof(Pinned));
  *memory = calloc(1, size + 64);
  piece->begin = *memory, piece->end = piece->begin + size;
  pthread_mutex_lock(&guard);
  piece->next = pinned, pinned = piece, stub_pinned += size;
  pthread_mutex_unlock(&guard);
  return 0;
}
int cudaMallocHost(void **memory, size_t size) { return cudaHostAlloc(memory, size, 0); }
int cudaFreeHost(void *memory) {
  pthread_mutex_lock(&guard);
  for (Pinned **at = &pinned; *at; at = &(*at)->next)
    if ((*at)->begin == memory) { Pinned *gone = *at; stub_pinned -= gone->end - gone->begin; *at = gone->next; free(gone); break; }
  pthread_mutex_unlock(&guard);
  free(memory);
  return 0;
}

/* Large copies alone are looked at: those of scalars cost nothing. */
static void counted(const char *host, size_t size, int way) {
  pthread_mutex_lock(&guard);
  stub_copies++;
  if (way == 1) stub_bytes_in += size;
  if (way == 2) stub_bytes_out += size;
  if (size > 100000 && (way == 1 || way == 2)) {
    int is_pinned = 0;
    if (replaying) *(way == 1 ? &stub_overlapping_in : &stub_overlapping_out) += 1;
    for (Pinned *piece = pinned; piece; piece = piece->next) is_pinned |= piece->begin <= host && host < piece->end;
    if (!is_pinned) stub_pageable++;
  }
  pthread_mutex_unlock(&guard);
}
int cudaMemcpy(void *to, const void *from, size_t size, int way) {
  if (forbidden("cudaMemcpy")) return 900;
  counted(way == 1 ? from : to, size, way);
  memcpy(to, from, size);
  return 0;
}
int cudaMemcpyAsync(void *to, const void *from, size_t size, int way, void *stream) {
  counted(way == 1 ? from : to, size, way);
  memcpy(to, from, size);
  return 0;
}
int cudaMemset(void *memory, int value, size_t size) {
  if (forbidden("cudaMemset")) return 900;
  memset(memory, value, size);
  return 0;
}
int cudaMemsetAsync(void *memory, int value, size_t size, void *stream) { memset(memory, value, size); return 0; }
int cudaStreamSynchronize(void *stream) { return forbidden("cudaStreamSynchronize"); }
int cudaDeviceSynchronize(void) { return forbidden("cudaDeviceSynchronize"); }

int cudaStreamBeginCapture(void *stream, int mode) { capturing = 1; return 0; }
int cudaStreamEndCapture(void *stream, void **graph) {
  capturing = 0;
  COUNT(stub_captures, 1);
  *graph = calloc(1, 64);
  return 0;
}
int cudaStreamIsCapturing(void *stream, int *status) { *status = capturing; return 0; }
int cudaStreamGetCaptureInfo_v2(void *stream, int *status, void *a, void *b, void *c, void *d) { *status = capturing; return 0; }
int cudaStreamGetCaptureInfo(void *stream, int *status, void *a, void *b, void *c, void *d, void *e) { *status = capturing; return 0; }
int cudaGraphLaunch(void *graph, void *stream) {
  COUNT(stub_replays, 1);
  COUNT(replaying, 1);
  usleep(setting("STUB_LAUNCH_US"));
  COUNT(replaying, -1);
  return 0;
}

static int made(void **what) { *what = calloc(1, 256); return 0; }
int cudaGraphInstantiate(void **made_of, void *graph, unsigned long long flags) { return made(made_of); }
int cudaGraphInstantiateWithFlags(void **made_of, void *graph, unsigned long long flags) { return made(made_of); }
int cudaStreamCreate(void **stream) { return made(stream); }
int cudaStreamCreateWithFlags(void **stream, unsigned flags) { return made(stream); }
int cudaStreamCreateWithPriority(void **stream, unsigned flags, int priority) { return made(stream); }
int cudaEventCreate(void **event) { return made(event); }
int cudaEventCreateWithFlags(void **event, unsigned flags) { return made(event); }
int cudaEventElapsedTime(float *milliseconds, void *a, void *b) { *milliseconds = 0.01f; return 0; }
int cudaLibraryLoadData(void **library) { return made(library); }
int cudaLibraryGetKernel(void **kernel, void *library, const char *name) { return made(kernel); }
int cudaGetDriverEntryPointByVersion(const char *name, void **found) { *found = 0; return 1; }

int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaDriverGetVersion(int *version) { *version = 13000; return 0; }
int cudaRuntimeGetVersion(int *version) { *version = 13000; return 0; }
int cudaMemGetInfo(size_t *left, size_t *all) { *all = 80ull << 30; *left = *all - stub_memory; return 0; }
/* Of an H100: compute capability, multiprocessors, shared memory, threads of a warp. */
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
  switch (attribute) {
    case 75: *value = 9; break;
    case 76: *value = 0; break;
    case 16: *value = 132; break;
    case 8: *value = 49152; break;
    case 81: *value = 233472; break;
    case 97: *value = 232448; break;
    case 10: *value = 32; break;
    default: *value = 1024;
  }
  return 0;
}
/* Where CUDA 13's cudaDeviceProp has what ONNX Runtime reads. */
int cudaGetDeviceProperties(char *properties, int device) {
  memset(properties, 0, 1008);
  strcpy(properties, "NVIDIA H100 80GB HBM3");
  *(size_t *)(properties + 288) = 80ull << 30;            /* totalGlobalMem */
  *(size_t *)(properties + 296) = 49152;                  /* sharedMemPerBlock */
  *(int *)(properties + 304) = 65536;                     /* regsPerBlock */
  *(int *)(properties + 308) = 32;                        /* warpSize */
  *(int *)(properties + 320) = 1024;                      /* maxThreadsPerBlock */
  memcpy(properties + 324, (int[]){1024, 1024, 64}, 12);  /* maxThreadsDim */
  memcpy(properties + 336, (int[]){2147483647, 65535, 65535}, 12);
  *(int *)(properties + 360) = 9;                         /* major */
  *(int *)(properties + 384) = 132;                       /* multiProcessorCount */
  return 0;
}
int cudaPointerGetAttributes(char *attributes, const void *memory) { memset(attributes, 0, 24); *(int *)attributes = 2; return 0; }
int cudaFuncGetAttributes(char *attributes, const void *function) {
  memset(attributes, 0, 128);
  *(int *)(attributes + 24) = 1024, *(int *)(attributes + 32) = 32;
  return 0;
}
int cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *count, const void *f, int threads, size_t shared) { *count = 2; return 0; }
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *count, const void *f, int threads, size_t shared, unsigned flags) { *count = 2; return 0; }

char *cudaGetErrorString(int code) { return code == 2 ? "out of memory" : code == 900 ? "operation not permitted when stream is capturing" : "no error"; }
char *cudaGetErrorName(int code) { return code == 2 ? "cudaErrorMemoryAllocation" : "cudaSuccess"; }

/* Kernels: what the compiler puts around <<<>>>. */
typedef struct { unsigned x, y, z; } Dim;
static __thread struct { Dim grid, block; size_t shared; void *stream; } call;
void **__cudaRegisterFatBinary(void *code) { static void *handle; return &handle; }
unsigned __cudaPushCallConfiguration(Dim grid, Dim block, size_t shared, void *stream) {
  call.grid = grid, call.block = block, call.shared = shared, call.stream = stream;
  return 0;
}
int __cudaPopCallConfiguration(Dim *grid, Dim *block, size_t *shared, void *stream) {
  *grid = call.grid, *block = call.block, *shared = call.shared, *(void **)stream = call.stream;
  return 0;
}
int cudaLaunchKernel(const void *kernel, Dim grid, Dim block, void **arguments, size_t shared, void *stream) { COUNT(stub_launches, 1); return 0; }
int __cudaLaunchKernel(void *kernel, Dim grid, Dim block, void **arguments, size_t shared, void *stream) { COUNT(stub_launches, 1); return 0; }
int cudaLaunchKernelExC(void *how, const void *kernel, void **arguments) { COUNT(stub_launches, 1); return 0; }
int __cudaGetKernel(void **found, const void *kernel) { *found = (void *)kernel; return 0; }
