/* NVIDIA's driver, as far as it is asked what there is: CUDA, FAILURE, COUNT and GPUS are given when it is compiled. */
#include <string.h>

typedef struct { const char *name; int major, minor, number; } Gpu;
static const Gpu gpus[] = { GPUS };

int cuInit(unsigned flags) { return FAILURE ? FAILURE : COUNT ? 0 : 100; }
int cuDriverGetVersion(int *version) { *version = CUDA; return 0; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuDeviceGet(int *handle, int index) { *handle = index; return index < COUNT ? 0 : 101; }
int cuDeviceGetName(char *name, int length, int handle) { strncpy(name, gpus[handle].name, length); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int handle) {
  *value = attribute == 75 ? gpus[handle].major : attribute == 76 ? gpus[handle].minor : 0;
  return 0;
}
int cuDeviceGetUuid_v2(unsigned char *uuid, int handle) {
  memset(uuid, 0, 16);
  uuid[15] = gpus[handle].number;
  return 0;
}
/* ONNX Runtime's provider is linked with these. */
int cuTensorMapEncodeTiled(void) { return 0; }
int cuGetProcAddress_v2(void) { return 1; }
