// SPDX-License-Identifier: Apache-2.0
// What Swift's Glibc module leaves out.
#ifndef ENTREPOT_CLINUX_SHIM_H
#define ENTREPOT_CLINUX_SHIM_H

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

// FALLOC_FL_KEEP_SIZE of <linux/falloc.h>.
#define CLINUX_KEEP_SIZE 0x01

static inline long clinux_fallocate(int descriptor, int mode, long long offset, long long bytes) {
    return syscall(SYS_fallocate, descriptor, mode, offset, bytes);
}

#endif
