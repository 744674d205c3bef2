/*
 * For LD_PRELOAD: while the file $HANG exists, whatever would reach the disk of the store or of the audit log hangs, as it
 * does on a disk that has stopped answering; but unlike there the process can still be killed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void hang(void) {
    const char* flag = getenv("HANG");
    const struct timespec moment = {0, 10 * 1000 * 1000};
    while (flag && access(flag, F_OK) == 0) {
        nanosleep(&moment, NULL);
    }
}

int fdatasync(int fd) {
    hang();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

int fsync(int fd) {
    hang();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

ssize_t pwrite64(int fd, const void* bytes, size_t count, off64_t offset) {
    hang();
    return ((ssize_t(*)(int, const void*, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(fd, bytes, count, offset);
}

ssize_t write(int fd, const void* bytes, size_t count) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, path, sizeof path);
    if (length > 9 && memcmp(path + length - 9, "audit.log", 9) == 0) {
        hang();
    }
    return ((ssize_t(*)(int, const void*, size_t))dlsym(RTLD_NEXT, "write"))(fd, bytes, count);
}
