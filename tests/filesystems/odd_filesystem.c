/* Answers system calls as file systems do that lack something: preloaded, and told by ODD what.
 *
 * ODD holds words: "tmpfile" (no O_TMPFILE: FUSE, NFS, Lustre), "link" (no links: FAT), "flags" (no
 * renameat2 with flags: NFS), "locks" (no flock: some of FUSE), "chmod" (no modes: FAT), "sync" (no
 * fsync of folders: CIFS, DrvFs), "syncfs", and "copy" (no copy_file_range). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int lacks(const char *word) {
    const char *odd = getenv("ODD");
    const char *at = odd ? strstr(odd, word) : NULL;
    size_t length = strlen(word);
    return at && (at[length] == ' ' || at[length] == 0);
}

#define REAL(name, ...) ((typeof(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)
#define FAIL(number) do { errno = (number); return -1; } while (0)

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
        if (lacks("tmpfile") && (flags & O_TMPFILE) == O_TMPFILE) FAIL(EOPNOTSUPP); \
        return REAL(name, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
        if (lacks("tmpfile") && (flags & O_TMPFILE) == O_TMPFILE) FAIL(EOPNOTSUPP); \
        return REAL(name, folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

int link(const char *from, const char *to) {
    if (lacks("link")) FAIL(EPERM);
    return REAL(link, from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    if (lacks("link")) FAIL(EPERM);
    return REAL(linkat, from_folder, from, to_folder, to, flags);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    if (flags && lacks("flags")) FAIL(EINVAL);
    return REAL(renameat2, from_folder, from, to_folder, to, flags);
}

int flock(int file, int how) {
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    if (lacks("locks")) FAIL(ENOLCK);
    return real(file, how);
}

int fchmod(int file, mode_t mode) {
    if (lacks("chmod")) FAIL(EPERM);
    return REAL(fchmod, file, mode);
}

int fsync(int file) {
    struct stat status;
    if (lacks("sync") && !fstat(file, &status) && S_ISDIR(status.st_mode)) FAIL(EINVAL);
    return REAL(fsync, file);
}

int syncfs(int file) {
    if (lacks("syncfs")) FAIL(EINVAL);
    return REAL(syncfs, file);
}

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *to_at, size_t n, unsigned flags) {
    if (lacks("copy")) FAIL(EINVAL);
    return REAL(copy_file_range, from, at, to, to_at, n, flags);
}
