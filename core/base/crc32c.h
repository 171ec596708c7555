/* CRC-32C (Castagnoli), RFC 3720 B.4 polynomial; SSE4.2 when the CPU has it. Any thread. */
#ifndef STOKER_BASE_CRC32C_H
#define STOKER_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to start) over n bytes. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same without the CPU's instruction; here so that tests can compare the two. */
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n);

#endif
