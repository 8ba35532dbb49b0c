/* cuDNN without a GPU: descriptors are empty, plans take no workspace. */
#include <stdint.h>
#include <stdlib.h>

size_t cudnnGetVersion(void) { return 92800; }
size_t cudnnGetCudartVersion(void) { return 13000; }
size_t cudnnGetMaxDeviceVersion(void) { return 1200; }
const char *cudnnGetErrorString(int code) { return "stub"; }
void cudnnGetLastErrorString(char *text, size_t size) { if (size) text[0] = 0; }
int cudnnCreate(void **handle) { *handle = calloc(1, 4096); return 0; }
int cudnnBackendCreateDescriptor(int type, void **descriptor) { *descriptor = calloc(1, 4096); return 0; }
/* Of whatever is asked one is found: numbers are 0, and descriptors (type 15) those of the caller. */
int cudnnBackendGetAttribute(void *descriptor, int name, int type, int64_t asked, int64_t *count, void *values) {
  if (count) *count = 1;
  if (values && asked > 0 && type == 23) *(int *)values = 0;
  if (values && asked > 0 && type == 3) *(int64_t *)values = 0;
  return 0;
}
