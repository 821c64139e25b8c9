/* Stands between a process and the kernel (LD_PRELOAD), and answers for it as tests/odd_kernel.py says: what a directory contains,
 * and what names in it are. Python reads directories by readdir(3), native code by getdents64(2); both come here. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a directory: the entries, and the error after them, 0 for a regular end. */
typedef struct {
    unsigned char type;
    char name[256];
} entry;

/* Of a name, which is a number in decimal digits: its stat, or an error. */
typedef struct {
    long long error, mode, ino, dev, nlink, size, mtime_s, mtime_ns, ctime_s, ctime_ns;
} answer;

/* Set by the test. As long as it is not `odd_active`, the kernel answers. A pipe that is not 0 is read before each answer. */
int odd_active;
const entry *odd_entries;
long long odd_entry_count, odd_entry_error, odd_entry_next;
const answer *odd_answers;
long long odd_answer_count;
int odd_pipe;

static void
await(void)
{
    char byte;
    if (odd_pipe)
        while (read(odd_pipe, &byte, 1) < 0 && errno == EINTR)
            ;
}

/* Fills in the next entry; 0 at the end, -1 with errno. */
static int
next_entry(struct dirent64 *into)
{
    await();
    if (odd_entry_next == odd_entry_count) {
        errno = (int)odd_entry_error;
        return odd_entry_error ? -1 : 0;
    }
    const entry *given = &odd_entries[odd_entry_next++];
    memset(into, 0, sizeof *into);
    into->d_ino = 1;
    into->d_type = given->type;
    into->d_reclen = (unsigned short)((offsetof(struct dirent64, d_name) + strlen(given->name) + 1 + 7) / 8 * 8);
    strcpy(into->d_name, given->name);
    return 1;
}

ssize_t
getdents64(int fd, void *buffer, size_t size)
{
    /* A few entries in each call, and the error in a call of its own, as the kernel does it. */
    struct dirent64 one;
    size_t used = 0;
    if (!odd_active)
        return ((ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "getdents64"))(fd, buffer, size);
    for (int i = 0; i < 3; i++) {
        if (used > 0 && odd_entry_next == odd_entry_count)
            break;
        int given = next_entry(&one);
        if (given <= 0)
            return used > 0 ? (ssize_t)used : given;
        memcpy((char *)buffer + used, &one, one.d_reclen);
        used += one.d_reclen;
    }
    return (ssize_t)used;
}

struct dirent64 *
readdir64(DIR *directory)
{
    static struct dirent64 one;
    if (!odd_active)
        return ((struct dirent64 * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir64"))(directory);
    int given = next_entry(&one);
    /* As glibc: what getdents64(2) says of a directory that was removed is the end. */
    if (given < 0 && errno == ENOENT)
        errno = 0;
    return given > 0 ? &one : NULL;
}

struct dirent *
readdir(DIR *directory)
{
    return (struct dirent *)readdir64(directory);
}

int
fstatat(int fd, const char *restrict name, struct stat *restrict st, int flags)
{
    long long number = 0;
    if (!odd_active)
        return ((int (*)(int, const char *, struct stat *, int))dlsym(RTLD_NEXT, "fstatat"))(fd, name, st, flags);
    await();
    for (const char *digit = name; *digit; digit++)
        number = number * 10 + (*digit - '0');
    if (!(flags & AT_SYMLINK_NOFOLLOW) || number < 0 || number >= odd_answer_count) {
        errno = ENOSYS;
        return -1;
    }
    const answer *given = &odd_answers[number];
    if (given->error) {
        errno = (int)given->error;
        return -1;
    }
    memset(st, 0, sizeof *st);
    st->st_mode = (mode_t)given->mode;
    st->st_ino = (ino_t)given->ino;
    st->st_dev = (dev_t)given->dev;
    st->st_nlink = (nlink_t)given->nlink;
    st->st_size = given->size;
    st->st_mtim.tv_sec = given->mtime_s;
    st->st_mtim.tv_nsec = given->mtime_ns;
    st->st_ctim.tv_sec = given->ctime_s;
    st->st_ctim.tv_nsec = given->ctime_ns;
    return 0;
}

int
fstatat64(int fd, const char *restrict name, struct stat64 *restrict st, int flags)
{
    return fstatat(fd, name, (struct stat *)st, flags);
}
