/* The loops in which a shard and the aggregator spend most of their time, compiled. Each section names the Python functions that do
 * the same. They are the definition: the functions here take the same arguments, and return or raise the same. A property test
 * compares them (tests/property/test_compiled.py).
 *
 * Nothing is decided here, and nothing is kept between two calls. The GIL is released around system calls, because a filesystem
 * may take long to answer.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* `choice.INTERFACE`: raised with every change of what is passed or returned here. Where it differs, the file was compiled from
 * the source of another version, and is not used. */
#define INTERFACE 9

/* -- names of a directory: reading.list_names */

#define LISTING_BYTES (32 * 1024)
/* `reading.NAMES_AT_ONCE`. */
#define NAMES_AT_ONCE 1000

/* Whether an entry is a directory: 1, 0, or -1 where that can't be found out (errno). Without the GIL. */
static int
entry_is_directory(int fd, const struct dirent64 *entry)
{
    struct stat st;

    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return S_ISDIR(st.st_mode);
    return errno == ENOENT ? 0 : -1;
}

/* 1: a directory, 0: anything else, -1: an exception is set. */
static int
is_directory(int fd, const struct dirent64 *entry)
{
    int result, error;

    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    Py_BEGIN_ALLOW_THREADS
    result = entry_is_directory(fd, entry);
    error = errno;
    Py_END_ALLOW_THREADS
    if (result < 0) {
        errno = error;
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, entry->d_name);
    }
    return result;
}

/* Notes an entry in `found`: name -> whether it is a directory. A name that is given twice has what was given last. 1: it was
 * noted, 0: it is "." or "..", -1: an exception is set. */
static int
note(PyObject *found, int fd, const struct dirent64 *entry)
{
    const char *name = entry->d_name;

    if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))
        return 0;
    int directory = is_directory(fd, entry);
    if (directory < 0)
        return -1;
    PyObject *key = PyBytes_FromString(name);
    if (key == NULL)
        return -1;
    int result = PyDict_SetItem(found, key, directory ? Py_True : Py_False);
    Py_DECREF(key);
    return result < 0 ? -1 : 1;
}

/* Reads the directory to its end into `found`, with a call of `on_progress` after each NAMES_AT_ONCE entries; -1: an exception is
 * set. */
static int
read_directory(PyObject *found, int fd, PyObject *on_progress)
{
    _Alignas(struct dirent64) char buffer[LISTING_BYTES];
    int unsaid = 0;

    for (;;) {
        ssize_t size;
        int error;
        Py_BEGIN_ALLOW_THREADS
        size = getdents64(fd, buffer, sizeof buffer);
        error = errno;
        Py_END_ALLOW_THREADS
        if (size == 0 || (size < 0 && error == ENOENT)) /* a directory that was removed is empty, as readdir(3) says too */
            return 0;
        if (size < 0) {
            errno = error;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        for (ssize_t at = 0; at < size;) {
            const struct dirent64 *entry = (const struct dirent64 *)(buffer + at);
            int noted = note(found, fd, entry);
            if (noted < 0)
                return -1;
            at += entry->d_reclen;
            unsaid += noted;
            if (unsaid == NAMES_AT_ONCE) {
                unsaid = 0;
                PyObject *said = PyObject_CallNoArgs(on_progress);
                if (said == NULL)
                    return -1;
                Py_DECREF(said);
            }
        }
    }
}

/* ([names of what is no directory], [names of directories]) of what was noted; NULL: an exception is set. */
static PyObject *
sorted_out(PyObject *found)
{
    PyObject *others = PyList_New(0), *directories = PyList_New(0), *result = NULL;
    PyObject *name, *directory;
    Py_ssize_t position = 0;

    if (others == NULL || directories == NULL)
        goto done;
    while (PyDict_Next(found, &position, &name, &directory))
        if (PyList_Append(directory == Py_True ? directories : others, name) < 0)
            goto done;
    result = PyTuple_Pack(2, others, directories);
done:
    Py_XDECREF(others);
    Py_XDECREF(directories);
    return result;
}

PyDoc_STRVAR(list_names_doc, "list_names($module, fd, on_progress, /)\n--\n\nSee reading.list_names.");

static PyObject *
list_names(PyObject *module, PyObject *arguments)
{
    PyObject *on_progress;
    int fd;
    if (!PyArg_ParseTuple(arguments, "iO:list_names", &fd, &on_progress))
        return NULL;
    PyObject *found = PyDict_New();
    if (found == NULL)
        return NULL;
    PyObject *result = NULL;
    off_t begun;
    int error;
    Py_BEGIN_ALLOW_THREADS
    begun = lseek(fd, 0, SEEK_SET);
    error = errno;
    Py_END_ALLOW_THREADS
    if (begun < 0) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
    } else if (read_directory(found, fd, on_progress) == 0)
        result = sorted_out(found);
    Py_DECREF(found);
    return result;
}

/* -- looks at names: reading.look_at */

/* `packed.WIDTH`, and where the fields lie. */
#define WIDTH 48
#define INO 0
#define SIZE 8
#define MTIME_NS 16
#define CTIME_NS 24
#define DEV 32
#define NLINK 40
#define KIND 44
#define RACY 45

enum { FILE_KIND = 1, DIRECTORY_KIND = 2, LINK_KIND = 3, OTHER_KIND = 4 };

#define MS_NS INT64_C(1000000)
#define SECOND_NS INT64_C(1000000000)
/* Of `identity`. */
#define SECONDS_NS (2 * SECOND_NS)
#define PARTS_NS (100 * MS_NS)
#define AHEAD_NS (60 * SECOND_NS)

static void
put(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

/* Nanoseconds since 1970, limited to 64 bits. */
static int64_t
nanoseconds(const struct timespec *time)
{
    const int64_t seconds_max = INT64_MAX / SECOND_NS, seconds_min = INT64_MIN / SECOND_NS - 1;
    int64_t seconds = time->tv_sec, rest = time->tv_nsec;

    if (seconds > seconds_max || (seconds == seconds_max && rest > INT64_MAX % SECOND_NS))
        return INT64_MAX;
    if (seconds < seconds_min || (seconds == seconds_min && rest < SECOND_NS + INT64_MIN % SECOND_NS))
        return INT64_MIN;
    if (seconds < 0) /* in two steps, neither of which leaves the range */
        return (seconds + 1) * SECOND_NS + (rest - SECOND_NS);
    return seconds * SECOND_NS + rest;
}

/* identity.unit_ns */
static int64_t
unit_ns(int64_t time_ns)
{
    if (time_ns % MS_NS)
        return 0;
    return time_ns % SECOND_NS == 0 ? SECONDS_NS : PARTS_NS;
}

/* identity.racy. A difference is taken without a sign, since it may not fit into 64 bits with one. */
static bool
is_racy(int64_t ctime_ns, int64_t coarse_ns)
{
    if (ctime_ns >= coarse_ns)
        return (uint64_t)ctime_ns - (uint64_t)coarse_ns <= (uint64_t)AHEAD_NS;
    return (uint64_t)coarse_ns - (uint64_t)ctime_ns < (uint64_t)unit_ns(ctime_ns);
}

/* Packs a stat into WIDTH bytes that are zero: reading.packed. */
static void
pack(unsigned char *into, const struct stat *st, int64_t coarse_ns, bool invented)
{
    if (!S_ISREG(st->st_mode) && !S_ISLNK(st->st_mode)) {
        into[KIND] = S_ISDIR(st->st_mode) ? DIRECTORY_KIND : OTHER_KIND;
        return;
    }
    int64_t ctime_ns = nanoseconds(&st->st_ctim);
    uint64_t ino = st->st_ino, nlink = st->st_nlink;
    put(into + INO, invented ? 0 : ino > INT64_MAX ? INT64_MAX : ino, 8);
    put(into + SIZE, (uint64_t)st->st_size, 8);
    put(into + MTIME_NS, (uint64_t)nanoseconds(&st->st_mtim), 8);
    put(into + CTIME_NS, (uint64_t)ctime_ns, 8);
    put(into + DEV, (uint64_t)st->st_dev, 8);
    put(into + NLINK, nlink > UINT32_MAX ? UINT32_MAX : nlink, 4);
    into[KIND] = S_ISREG(st->st_mode) ? FILE_KIND : LINK_KIND;
    into[RACY] = is_racy(ctime_ns, coarse_ns);
}

/* calls.ABSENT */
static bool
is_absence(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ELOOP;
}

/* What a call of look_at is about. While the GIL is released nothing else is used. */
typedef struct {
    int fd;
    int64_t coarse_ns;
    long long device;
    bool invented;
    const char **names;
    Py_ssize_t count;
    unsigned char *stats;
    /* How many names were looked at, and the error of the one after these, or 0. */
    Py_ssize_t looked;
    int error;
} looks;

/* Looks at names until one lies on another device, which `device` is then, or cannot be looked at. Without the GIL. */
static void
look(looks *all)
{
    for (all->looked = 0; all->looked < all->count; all->looked++) {
        struct stat st;
        if (fstatat(all->fd, all->names[all->looked], &st, AT_SYMLINK_NOFOLLOW) != 0) {
            if (is_absence(errno))
                continue;
            all->error = errno;
            return;
        }
        if ((long long)st.st_dev != all->device) {
            all->device = (long long)st.st_dev;
            return;
        }
        pack(all->stats + all->looked * WIDTH, &st, all->coarse_ns, all->invented);
    }
}

/* The C strings of names, which must outlive the array; NULL: an exception is set. */
static const char **
strings_of(PyObject *names)
{
    Py_ssize_t count = PyTuple_GET_SIZE(names);
    const char **strings = PyMem_New(const char *, count ? count : 1);
    if (strings == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        /* Raises ValueError for a name with a NUL in it, and TypeError for what is not bytes. */
        if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(names, i), (char **)&strings[i], NULL) < 0) {
            PyMem_Free(strings);
            return NULL;
        }
    }
    return strings;
}

/* (stats, device); NULL: an exception is set. */
static PyObject *
looked_at(PyObject *names, looks *all)
{
    PyObject *stats = PyBytes_FromStringAndSize(NULL, all->count * WIDTH);
    if (stats == NULL)
        return NULL;
    all->stats = (unsigned char *)PyBytes_AS_STRING(stats);
    memset(all->stats, 0, all->count * WIDTH);
    Py_BEGIN_ALLOW_THREADS
    look(all);
    Py_END_ALLOW_THREADS
    if (all->error) {
        Py_DECREF(stats);
        errno = all->error;
        return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, PyTuple_GET_ITEM(names, all->looked));
    }
    if (all->looked < all->count && _PyBytes_Resize(&stats, all->looked * WIDTH) < 0)
        return NULL;
    return Py_BuildValue("(NL)", stats, all->device);
}

PyDoc_STRVAR(look_at_doc,
             "look_at($module, fd, names, start, coarse_ns, device, invented, /)\n--\n\nSee reading.look_at.");

static PyObject *
look_at(PyObject *module, PyObject *arguments)
{
    looks all = {0};
    PyObject *list;
    Py_ssize_t start;
    long long coarse_ns;
    int invented;

    if (!PyArg_ParseTuple(arguments, "iO!nLLp:look_at", &all.fd, &PyList_Type, &list, &start, &coarse_ns, &all.device, &invented))
        return NULL;
    all.coarse_ns = coarse_ns;
    all.invented = invented;
    /* A tuple of its own, so that nobody takes a name away meanwhile. */
    PyObject *part = PyList_GetSlice(list, start, PyList_GET_SIZE(list));
    PyObject *names = part == NULL ? NULL : PyList_AsTuple(part);
    Py_XDECREF(part);
    if (names == NULL)
        return NULL;
    all.count = PyTuple_GET_SIZE(names);
    all.names = strings_of(names);
    PyObject *result = all.names == NULL ? NULL : looked_at(names, &all);
    PyMem_Free(all.names);
    Py_DECREF(names);
    return result;
}

/* -- watching: calls.watch_open */

/* Watches what is open at `fd`, through /proc, with a mask that is added to the one it has; -1: errno says why not. Without the
 * GIL. */
static int
add_watch(int instance, int fd, uint32_t mask)
{
    char path[sizeof "/proc/self/fd/" + 3 * sizeof fd];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return inotify_add_watch(instance, path, mask | IN_MASK_ADD);
}

PyDoc_STRVAR(watch_open_doc, "watch_open($module, instance, fd, mask, /)\n--\n\nSee calls.watch_open.");

static PyObject *
watch_open(PyObject *module, PyObject *arguments)
{
    int instance, fd, watch, error;
    unsigned int mask;
    if (!PyArg_ParseTuple(arguments, "iiI:watch_open", &instance, &fd, &mask))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    watch = add_watch(instance, fd, mask);
    error = errno;
    Py_END_ALLOW_THREADS
    if (watch >= 0)
        return PyLong_FromLong(watch);
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* -- patterns for names: pattern.Names */

typedef struct {
    const char *bytes;
    Py_ssize_t length;
} text;

/* What a pattern says of the beginning of a name: which byte it is, or nothing. */
#define ANY_BEGINNING 256
#define BEGINNINGS (ANY_BEGINNING + 1)

/* Patterns for names: the parts of all of them, one after the other, and behind the last part of each (`Names.stars`). A name is
 * compared only with those that may begin as it does: `order` has the numbers of all patterns by their beginnings, and the numbers
 * of those with one beginning lie from `from[beginning]` up to where the next ones lie. */
typedef struct {
    text *parts;
    Py_ssize_t *ends;
    Py_ssize_t count;
    Py_ssize_t *order, from[BEGINNINGS + 1];
} patterns;

/* Segment.match: the parts in their order, the first and the last at the ends. Each takes the first place where it fits. */
static bool
matches_parts(const text *part, const text *end, const char *name, size_t length)
{
    const text *last = end - 1;
    if (length < (size_t)part->length || memcmp(name, part->bytes, part->length) != 0)
        return false;
    if (part == last)
        return length == (size_t)part->length;
    name += part->length;
    length -= part->length;
    while (++part < last) {
        const char *found = memmem(name, length, part->bytes, part->length);
        if (found == NULL)
            return false;
        length -= found - name + part->length;
        name = found + part->length;
    }
    return length >= (size_t)last->length && memcmp(name + length - last->length, last->bytes, last->length) == 0;
}

/* The first part of a pattern. */
static const text *
first_of(const patterns *all, Py_ssize_t number)
{
    return all->parts + (number > 0 ? all->ends[number - 1] : 0);
}

static bool
matches_one_with(const patterns *all, int beginning, const char *name, size_t length)
{
    for (Py_ssize_t i = all->from[beginning]; i < all->from[beginning + 1]; i++) {
        Py_ssize_t number = all->order[i];
        if (matches_parts(first_of(all, number), all->parts + all->ends[number], name, length))
            return true;
    }
    return false;
}

static bool
matches(const patterns *all, const char *name)
{
    size_t length = strlen(name);
    return (length > 0 && matches_one_with(all, (unsigned char)name[0], name, length)) ||
           matches_one_with(all, ANY_BEGINNING, name, length);
}

static int
beginning_of(const patterns *all, Py_ssize_t number)
{
    const text *first = first_of(all, number);
    return first->length > 0 ? (unsigned char)first->bytes[0] : ANY_BEGINNING;
}

/* Fills `order` and `from`, which are those of no pattern yet. */
static void
put_in_order(patterns *all)
{
    Py_ssize_t next[BEGINNINGS];

    for (Py_ssize_t i = 0; i < all->count; i++)
        all->from[beginning_of(all, i) + 1]++;
    for (int beginning = 0; beginning < BEGINNINGS; beginning++) {
        next[beginning] = all->from[beginning];
        all->from[beginning + 1] += all->from[beginning];
    }
    for (Py_ssize_t i = 0; i < all->count; i++)
        all->order[next[beginning_of(all, i)]++] = i;
}

/* The patterns of a `Names`, whose `stars` is returned and must outlive them; NULL: an exception is set. */
static PyObject *
patterns_of(PyObject *names, patterns *into)
{
    PyObject *stars = PyObject_GetAttrString(names, "stars");
    Py_ssize_t parts = 0;

    if (stars == NULL)
        return NULL;
    if (!PyTuple_Check(stars))
        goto wrong;
    into->count = PyTuple_GET_SIZE(stars);
    for (Py_ssize_t i = 0; i < into->count; i++) {
        PyObject *one = PyTuple_GET_ITEM(stars, i);
        if (!PyTuple_Check(one) || PyTuple_GET_SIZE(one) == 0)
            goto wrong;
        parts += PyTuple_GET_SIZE(one);
    }
    into->parts = PyMem_New(text, parts ? parts : 1);
    into->ends = PyMem_New(Py_ssize_t, into->count ? into->count : 1);
    into->order = PyMem_New(Py_ssize_t, into->count ? into->count : 1);
    if (into->parts == NULL || into->ends == NULL || into->order == NULL) {
        PyErr_NoMemory();
        goto failed;
    }
    parts = 0;
    for (Py_ssize_t i = 0; i < into->count; i++) {
        PyObject *one = PyTuple_GET_ITEM(stars, i);
        for (Py_ssize_t j = 0; j < PyTuple_GET_SIZE(one); j++, parts++) {
            PyObject *part = PyTuple_GET_ITEM(one, j);
            if (!PyBytes_Check(part))
                goto wrong;
            into->parts[parts] = (text){PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part)};
        }
        into->ends[i] = parts;
    }
    put_in_order(into);
    return stars;
wrong:
    PyErr_SetString(PyExc_TypeError, "patterns are not tuples of bytes");
failed:
    Py_DECREF(stars);
    return NULL;
}

/* Gives back what `patterns_of` has made. */
static void
forget_patterns(patterns *some)
{
    PyMem_Free(some->parts);
    PyMem_Free(some->ends);
    PyMem_Free(some->order);
    *some = (patterns){0};
}

/* -- looks at names in many directories: reading.look_in_each */

/* `calls.open_directory` where one system call does it. Its numbers are the same on every architecture; the headers may be older
 * than the kernel. */
#define SYS_OPENAT2 437
#define RESOLVE_NO_LINKS (0x02 | 0x04)
#define OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

/* One of the directories, and what became of it. */
typedef struct {
    const char *path;
    int watch;
    /* A list of those of its names that are kept, the same as C strings, and where the stats of the first one lie. */
    PyObject *ours;
    const char **names;
    Py_ssize_t count;
    unsigned char *stats;
    /* 1: all were looked at, 0: nothing is known, -1: another directory is there, with the watch `watch`. */
    int known;
} place;

/* A call of look_in_each. */
typedef struct {
    place *places;
    Py_ssize_t count;
    int instance;
    int64_t coarse_ns;
    long long device;
    bool invented;
} round_of_looks;

/* What is kept in a directory: the names that match the first, but not the second. Nearly always it is the same in all of a call,
 * and is made ready once. */
typedef struct {
    /* `Names`, which must outlive this, and their `stars`. */
    PyObject *names[2], *stars[2];
    patterns texts[2];
} choice;

static void
forget_choice(choice *one)
{
    for (int i = 0; i < 2; i++) {
        forget_patterns(&one->texts[i]);
        Py_CLEAR(one->stars[i]);
        one->names[i] = NULL;
    }
}

/* Makes (picked, left_out) ready; -1: an exception is set. */
static int
choose(choice *one, PyObject *kept)
{
    if (!PyTuple_Check(kept) || PyTuple_GET_SIZE(kept) != 2) {
        PyErr_SetString(PyExc_TypeError, "what is kept is a tuple of two");
        return -1;
    }
    if (one->names[0] == PyTuple_GET_ITEM(kept, 0) && one->names[1] == PyTuple_GET_ITEM(kept, 1))
        return 0;
    forget_choice(one);
    for (int i = 0; i < 2; i++) {
        one->stars[i] = patterns_of(PyTuple_GET_ITEM(kept, i), &one->texts[i]);
        if (one->stars[i] == NULL)
            return -1;
    }
    for (int i = 0; i < 2; i++)
        one->names[i] = PyTuple_GET_ITEM(kept, i);
    return 0;
}

/* Looks at the names of one directory. Without the GIL. */
static void
look_in(const round_of_looks *all, place *one)
{
    const struct {
        uint64_t flags, mode, resolve;
    } how = {OPEN_FLAGS, 0, RESOLVE_NO_LINKS};
    int fd = (int)syscall(SYS_OPENAT2, AT_FDCWD, one->path, &how, sizeof how);

    if (fd < 0)
        return;
    int watch = add_watch(all->instance, fd, IN_DELETE_SELF | IN_ONLYDIR); /* calls.watch_of */
    if (watch >= 0 && watch != one->watch) {
        one->watch = watch;
        one->known = -1;
    } else if (watch >= 0) {
        looks each = {
            .fd = fd,
            .coarse_ns = all->coarse_ns,
            .device = all->device,
            .invented = all->invented,
            .names = one->names,
            .count = one->count,
            .stats = one->stats,
        };
        look(&each);
        one->known = each.looked == each.count;
    }
    close(fd);
}

/* Leaves of a list of names, which is `one->ours`, those that are kept, sorted; -1: an exception is set. */
static int
keep(place *one, const choice *by)
{
    Py_ssize_t count = PyList_GET_SIZE(one->ours), kept = 0;

    one->names = PyMem_New(const char *, count ? count : 1);
    if (one->names == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (count > 1 && PyList_Sort(one->ours) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyList_GET_ITEM(one->ours, i);
        const char *text;
        /* Raises ValueError for a name with a NUL in it, and TypeError for what is not bytes. */
        if (PyBytes_AsStringAndSize(name, (char **)&text, NULL) < 0)
            return -1;
        if (by != NULL && (!matches(&by->texts[0], text) || matches(&by->texts[1], text)))
            continue;
        if (kept < i) { /* those in between change places with it, and are taken off below */
            PyList_SET_ITEM(one->ours, i, PyList_GET_ITEM(one->ours, kept));
            PyList_SET_ITEM(one->ours, kept, name);
        }
        one->names[kept++] = text;
    }
    one->count = kept;
    return kept < count ? PyList_SetSlice(one->ours, kept, count, NULL) : 0;
}

/* Fills a place from (path, watch, names, kept); -1: an exception is set. */
static int
fill(place *one, PyObject *asked, choice *last)
{
    PyObject *path, *names, *kept;

    if (!PyTuple_Check(asked)) {
        PyErr_SetString(PyExc_TypeError, "a directory is a tuple of four");
        return -1;
    }
    if (!PyArg_ParseTuple(asked, "SiO!O:look_in_each", &path, &one->watch, &PySet_Type, &names, &kept))
        return -1;
    /* Raises ValueError for a NUL in it. */
    if (PyBytes_AsStringAndSize(path, (char **)&one->path, NULL) < 0)
        return -1;
    if (kept != Py_None && choose(last, kept) < 0)
        return -1;
    one->ours = PySequence_List(names);
    return one->ours == NULL ? -1 : keep(one, kept == Py_None ? NULL : last);
}

/* (names, stats), int or None; NULL: an exception is set. */
static PyObject *
found_in(const place *one)
{
    if (one->known < 0)
        return PyLong_FromLong(one->watch);
    if (one->known == 0)
        Py_RETURN_NONE;
    PyObject *stats = PyBytes_FromStringAndSize((const char *)one->stats, one->count * WIDTH);
    PyObject *found = stats == NULL ? NULL : PyTuple_Pack(2, one->ours, stats);
    Py_XDECREF(stats);
    return found;
}

/* Looks in each directory; NULL: an exception is set. */
static PyObject *
looked_in(round_of_looks *all)
{
    Py_ssize_t names = 0;
    for (Py_ssize_t i = 0; i < all->count; i++)
        names += all->places[i].count;
    unsigned char *stats = PyMem_Calloc(names ? names : 1, WIDTH);
    if (stats == NULL)
        return PyErr_NoMemory();
    names = 0;
    for (Py_ssize_t i = 0; i < all->count; i++) {
        all->places[i].stats = stats + names * WIDTH;
        names += all->places[i].count;
    }
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < all->count; i++)
        look_in(all, &all->places[i]);
    Py_END_ALLOW_THREADS
    PyObject *found = PyList_New(all->count);
    for (Py_ssize_t i = 0; found != NULL && i < all->count; i++) {
        PyObject *one = found_in(&all->places[i]);
        if (one == NULL)
            Py_CLEAR(found);
        else
            PyList_SET_ITEM(found, i, one);
    }
    PyMem_Free(stats);
    return found;
}

PyDoc_STRVAR(look_in_each_doc,
             "look_in_each($module, asked, instance, coarse_ns, device, invented, /)\n--\n\nSee reading.look_in_each.");

static PyObject *
look_in_each(PyObject *module, PyObject *arguments)
{
    round_of_looks all = {0};
    choice last = {0};
    PyObject *list, *result = NULL;
    long long coarse_ns;
    int invented;

    if (!PyArg_ParseTuple(arguments, "O!iLLp:look_in_each", &PyList_Type, &list, &all.instance, &coarse_ns, &all.device, &invented))
        return NULL;
    all.coarse_ns = coarse_ns;
    all.invented = invented;
    /* A tuple of its own, so that nobody takes anything away meanwhile. */
    PyObject *asked = PyList_AsTuple(list);
    if (asked == NULL)
        return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(asked);
    all.places = PyMem_Calloc(count ? count : 1, sizeof(place));
    if (all.places == NULL)
        PyErr_NoMemory();
    else {
        while (all.count < count && fill(&all.places[all.count], PyTuple_GET_ITEM(asked, all.count), &last) == 0)
            all.count++;
        if (all.count == count)
            result = looked_in(&all);
    }
    for (Py_ssize_t i = 0; all.places != NULL && i < count; i++) {
        PyMem_Free(all.places[i].names);
        Py_XDECREF(all.places[i].ours);
    }
    PyMem_Free(all.places);
    forget_choice(&last);
    Py_DECREF(asked);
    return result;
}

/* -- entering directories that lie side by side: entering.enter_each */

/* `entering.LISTING_BYTES_MAX`; beyond it there is room for one more entry, so that a call that returns nothing is the end. */
#define ENTRY_BYTES_MAX 280
#define ENTERED_BYTES_MAX (LISTING_BYTES - ENTRY_BYTES_MAX)
/* `directory.TAG`. */
#define STATE_TAG "SHARDWATCH.TAG"

/* One of the directories, and what became of it. The names of its files come first, then those of directories. */
typedef struct {
    const char *name;
    int watch, fd;
    bool known;
    char *listing;
    const char **names;
    Py_ssize_t files, directories, left_out;
    unsigned char *stats;
} entered;

/* A call of enter_each. While the GIL is released nothing else is used. */
typedef struct {
    int fd, instance;
    uint32_t mask;
    patterns picked, left_out;
    int64_t coarse_ns;
    long long device, ns_max;
    bool invented;
    entered *places;
    Py_ssize_t count;
    /* How many were begun. */
    Py_ssize_t done;
} round_of_entries;

static int
by_name(const void *one, const void *other)
{
    return strcmp((*(const struct dirent64 *const *)one)->d_name, (*(const struct dirent64 *const *)other)->d_name);
}

/* Reads a directory whose entries take no more than ENTERED_BYTES_MAX; -1: it can't be, else the bytes. Without the GIL. */
static ssize_t
read_entries(int fd, char *buffer)
{
    ssize_t used = 0;

    if (lseek(fd, 0, SEEK_SET) < 0)
        return -1;
    for (;;) {
        ssize_t size = getdents64(fd, buffer + used, LISTING_BYTES - used);
        if (size == 0 || (size < 0 && errno == ENOENT)) /* as in read_directory */
            return used;
        if (size < 0 || (used += size) > ENTERED_BYTES_MAX)
            return -1;
    }
}

/* Sorts the names of a listing into `names`: those of files that are kept, then those of directories. False where it is not to be
 * listed here. Without the GIL. */
static bool
sort_out(const round_of_entries *all, entered *one, int fd, const struct dirent64 **entries, Py_ssize_t count)
{
    const char **directories = one->names + count;

    qsort(entries, count, sizeof *entries, by_name);
    for (Py_ssize_t i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        if ((i > 0 && strcmp(name, entries[i - 1]->d_name) == 0) || strcmp(name, STATE_TAG) == 0)
            return false;
        int directory = entry_is_directory(fd, entries[i]);
        if (directory < 0)
            return false;
        if (directory)
            directories[one->directories++] = name;
        else if (matches(&all->picked, name) && !matches(&all->left_out, name))
            one->names[one->files++] = name;
        else
            one->left_out++;
    }
    memmove(one->names + one->files, directories, one->directories * sizeof *directories);
    return true;
}

/* Lists the directory open at `fd`; false where it is not to be listed here. Without the GIL. */
static bool
list_one(const round_of_entries *all, entered *one, int fd)
{
    _Alignas(struct dirent64) char buffer[LISTING_BYTES];
    ssize_t size = read_entries(fd, buffer);
    Py_ssize_t count = 0;

    if (size < 0)
        return false;
    for (ssize_t at = 0; at < size; at += ((const struct dirent64 *)(buffer + at))->d_reclen)
        count++;
    one->listing = malloc(size ? size : 1);
    one->names = malloc((count ? 2 * count : 1) * sizeof *one->names);
    const struct dirent64 **entries = malloc((count ? count : 1) * sizeof *entries);
    bool done = false;
    if (one->listing != NULL && one->names != NULL && entries != NULL) {
        memcpy(one->listing, buffer, size);
        count = 0;
        for (ssize_t at = 0; at < size;) {
            const struct dirent64 *entry = (const struct dirent64 *)(one->listing + at);
            const char *name = entry->d_name;
            if (!(name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'))))
                entries[count++] = entry;
            at += entry->d_reclen;
        }
        done = sort_out(all, one, fd, entries, count);
    }
    free(entries);
    return done;
}

/* Looks at the files of a directory; false where one of them is not what was listed, or can't be looked at. Without the GIL. */
static bool
look_at_files(const round_of_entries *all, entered *one, int fd)
{
    one->stats = calloc(one->files ? one->files : 1, WIDTH);
    if (one->stats == NULL)
        return false;
    looks each = {
        .fd = fd,
        .coarse_ns = all->coarse_ns,
        .device = all->device,
        .invented = all->invented,
        .names = one->names,
        .count = one->files,
        .stats = one->stats,
    };
    look(&each);
    if (each.looked < each.count)
        return false;
    for (Py_ssize_t i = 0; i < one->files; i++) {
        unsigned char kind = one->stats[i * WIDTH + KIND];
        if (kind != FILE_KIND && kind != LINK_KIND)
            return false;
    }
    return true;
}

/* Without the GIL. */
static void
enter_one(const round_of_entries *all, entered *one)
{
    int fd = openat(all->fd, one->name, OPEN_FLAGS);
    if (fd < 0)
        return;
    one->watch = add_watch(all->instance, fd, all->mask);
    one->known = one->watch >= 0 && list_one(all, one, fd) && look_at_files(all, one, fd);
    if (one->known && one->directories > 0)
        one->fd = fd;
    else
        close(fd);
}

static int64_t
monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* Without the GIL. */
static void
enter_all(round_of_entries *all)
{
    int64_t begun = monotonic_ns();
    while (all->done < all->count) {
        enter_one(all, &all->places[all->done++]);
        if (monotonic_ns() - begun >= all->ns_max)
            return;
    }
}

/* A list of names; NULL: an exception is set. */
static PyObject *
list_of(const char **names, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        PyObject *name = PyBytes_FromString(names[i]);
        if (name == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, name);
    }
    return list;
}

/* An `Entered`, to which the descriptor belongs from then on, or the number of the watch; NULL: an exception is set. */
static PyObject *
entry_of(entered *one)
{
    if (!one->known)
        return PyLong_FromLong(one->watch);
    PyObject *files = list_of(one->names, one->files);
    PyObject *directories = files == NULL ? NULL : list_of(one->names + one->files, one->directories);
    PyObject *found = NULL;
    if (directories != NULL)
        found = Py_BuildValue("(iiOy#On)", one->watch, one->fd, files, (const char *)one->stats, one->files * WIDTH, directories,
                              one->left_out);
    Py_XDECREF(files);
    Py_XDECREF(directories);
    return found;
}

/* Enters the directories; NULL: an exception is set, and no descriptor is open. */
static PyObject *
entered_each(round_of_entries *all)
{
    Py_BEGIN_ALLOW_THREADS
    enter_all(all);
    Py_END_ALLOW_THREADS
    PyObject *found = PyList_New(all->done);
    for (Py_ssize_t i = 0; found != NULL && i < all->done; i++) {
        PyObject *one = entry_of(&all->places[i]);
        if (one == NULL)
            Py_CLEAR(found);
        else
            PyList_SET_ITEM(found, i, one);
    }
    for (Py_ssize_t i = 0; i < all->done; i++) {
        entered *one = &all->places[i];
        if (found == NULL && one->fd >= 0)
            close(one->fd);
        free(one->listing);
        free(one->names);
        free(one->stats);
    }
    return found;
}

PyDoc_STRVAR(enter_each_doc,
             "enter_each($module, fd, names, watching, kept, coarse_ns, filesystem, ns_max, /)\n--\n\n"
             "See entering.enter_each.");

static PyObject *
enter_each(PyObject *module, PyObject *arguments)
{
    round_of_entries all = {0};
    PyObject *list, *picked, *left_out, *result = NULL;
    unsigned int mask;
    long long coarse_ns;
    int invented;

    if (!PyArg_ParseTuple(arguments, "iO!(iI)(OO)L(Lp)L:enter_each", &all.fd, &PyList_Type, &list, &all.instance, &mask, &picked,
                          &left_out, &coarse_ns, &all.device, &invented, &all.ns_max))
        return NULL;
    all.mask = mask;
    all.coarse_ns = coarse_ns;
    all.invented = invented;
    /* A tuple of its own, so that nobody takes a name away meanwhile. */
    PyObject *names = PyList_AsTuple(list);
    if (names == NULL)
        return NULL;
    all.count = PyTuple_GET_SIZE(names);
    const char **strings = strings_of(names);
    PyObject *first = strings == NULL ? NULL : patterns_of(picked, &all.picked);
    PyObject *second = first == NULL ? NULL : patterns_of(left_out, &all.left_out);
    if (second != NULL) {
        all.places = PyMem_Calloc(all.count ? all.count : 1, sizeof(entered));
        if (all.places == NULL)
            PyErr_NoMemory();
        else {
            for (Py_ssize_t i = 0; i < all.count; i++)
                all.places[i] = (entered){.name = strings[i], .watch = -1, .fd = -1};
            result = entered_each(&all);
        }
    }
    PyMem_Free(all.places);
    forget_patterns(&all.picked);
    forget_patterns(&all.left_out);
    PyMem_Free(strings);
    Py_XDECREF(first);
    Py_XDECREF(second);
    Py_DECREF(names);
    return result;
}

/* -- what inotify said: decoding.decode */

/* decoding.SPECIAL, and those of it that tell of names. */
#define NAMED (IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM)
#define SPECIAL (IN_ISDIR | NAMED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED)
#define HEAD_BYTES ((Py_ssize_t)sizeof(struct inotify_event))

/* The set of a watch, which is made if there is none: a new reference. NULL: an exception is set. */
static PyObject *
set_of(PyObject *sets, int wd)
{
    PyObject *key = PyLong_FromLong(wd);
    if (key == NULL)
        return NULL;
    PyObject *set = Py_XNewRef(PyDict_GetItemWithError(sets, key));
    if (set == NULL && !PyErr_Occurred()) {
        set = PySet_New(NULL);
        if (set != NULL && PyDict_SetItem(sets, key, set) < 0)
            Py_CLEAR(set);
    }
    Py_DECREF(key);
    return set;
}

/* Adds a name to the set of a watch; -1: an exception is set. */
static int
add_name(PyObject *sets, int wd, const char *name, Py_ssize_t length)
{
    PyObject *set = set_of(sets, wd);
    PyObject *key = set == NULL ? NULL : PyBytes_FromStringAndSize(name, length);
    int result = key == NULL ? -1 : PySet_Add(set, key);
    Py_XDECREF(key);
    Py_XDECREF(set);
    return result;
}

/* Appends (wd, mask, name); -1: an exception is set. */
static int
append_special(PyObject *specials, const struct inotify_event *event, const char *name, Py_ssize_t length)
{
    PyObject *special = Py_BuildValue("(iIy#)", event->wd, event->mask, name, length);
    if (special == NULL)
        return -1;
    int result = PyList_Append(specials, special);
    Py_DECREF(special);
    return result;
}

/* Decodes all events of a chunk. Returns how many there are; -1: an exception is set. */
static long
decode_events(PyObject *chunk, PyObject *names, PyObject *came, PyObject *left, PyObject *specials)
{
    const char *bytes = PyBytes_AS_STRING(chunk), *last_name = NULL;
    Py_ssize_t size = PyBytes_GET_SIZE(chunk), at = 0, last_length = 0;
    int last_wd = 0;
    long count = 0;

    while (at < size) {
        struct inotify_event event;
        if (size - at < HEAD_BYTES)
            goto damaged;
        memcpy(&event, bytes + at, HEAD_BYTES);
        at += HEAD_BYTES;
        if ((size_t)event.len > (size_t)(size - at))
            goto damaged;
        const char *name = bytes + at;
        Py_ssize_t length = event.len;
        at += length;
        count++;
        while (length > 0 && name[length - 1] == '\0') /* the kernel's padding */
            length--;
        if (event.mask & SPECIAL) {
            if (event.mask & IN_ISDIR || !(event.mask & NAMED)) {
                if (append_special(specials, &event, name, length) < 0)
                    return -1;
                continue;
            }
            if (add_name(event.mask & IN_MOVED_TO ? came : left, event.wd, name, length) < 0)
                return -1;
        }
        /* A write is several events of one name, one after the other. */
        if (last_name != NULL && event.wd == last_wd && length == last_length && memcmp(name, last_name, length) == 0)
            continue;
        if (add_name(names, event.wd, name, length) < 0)
            return -1;
        last_wd = event.wd;
        last_name = name;
        last_length = length;
    }
    return count;
damaged:
    PyErr_SetString(PyExc_ValueError, "not a whole number of events");
    return -1;
}

PyDoc_STRVAR(decode_doc, "decode($module, chunk, names, came, left, /)\n--\n\nSee decoding.decode.");

static PyObject *
decode(PyObject *module, PyObject *arguments)
{
    PyObject *chunk, *names, *came, *left;

    if (!PyArg_ParseTuple(arguments, "SO!O!O!:decode", &chunk, &PyDict_Type, &names, &PyDict_Type, &came, &PyDict_Type, &left))
        return NULL;
    PyObject *specials = PyList_New(0);
    if (specials == NULL)
        return NULL;
    long count = decode_events(chunk, names, came, left, specials);
    if (count < 0) {
        Py_DECREF(specials);
        return NULL;
    }
    return Py_BuildValue("(lN)", count, specials);
}

/* -- the stats of a page: condensed.condense, condensed.expand */

#define WORD_BYTES ((Py_ssize_t)sizeof(int64_t))
#define WORDS (WIDTH / WORD_BYTES)
/* In place of a number of bytes: the words are those before. */
#define AS_BEFORE 9

static int64_t
word_at(const unsigned char *bytes)
{
    int64_t word;

    memcpy(&word, bytes, sizeof word);
    return word;
}

/* In how many bytes numbers up to this one are stored: condensed._bytes_of. */
static int
bytes_of(uint64_t span)
{
    if (span <= UINT16_MAX)
        return span > UINT8_MAX ? 2 : span > 0;
    return span <= UINT32_MAX ? 4 : (int)WORD_BYTES;
}

/* Appends one word of each stat at `to`, and returns how many bytes it took; `head`: how they are stored. `stats` begins at that
 * word. As long as the bytes are little-endian, which `packed` relies on, the first ones of a number are its lowest. */
static Py_ssize_t
condense_words(const unsigned char *stats, Py_ssize_t count, bool first, unsigned char *head, unsigned char *to)
{
    int64_t least = INT64_MAX, most = INT64_MIN;
    bool same = !first;

    for (Py_ssize_t i = 0; i < count; i++) {
        int64_t word = word_at(stats + i * WIDTH);
        least = word < least ? word : least;
        most = word > most ? word : most;
        same = same && word == word_at(stats + i * WIDTH - WORD_BYTES);
    }
    if (same) {
        *head = AS_BEFORE;
        return 0;
    }
    int width = bytes_of((uint64_t)most - (uint64_t)least);
    *head = (unsigned char)width;
    unsigned char *at = to;
    if (width == WORD_BYTES)
        least = 0;
    else {
        memcpy(at, &least, sizeof least);
        at += WORD_BYTES;
    }
    for (Py_ssize_t i = 0; i < count && width > 0; i++, at += width) {
        uint64_t more = (uint64_t)word_at(stats + i * WIDTH) - (uint64_t)least;
        memcpy(at, &more, (size_t)width);
    }
    return at - to;
}

PyDoc_STRVAR(condense_doc, "condense($module, stats, /)\n--\n\nSee condensed.condense.");

static PyObject *
condense(PyObject *module, PyObject *stats)
{
    if (!PyBytes_CheckExact(stats) || PyBytes_GET_SIZE(stats) == 0 || PyBytes_GET_SIZE(stats) % WIDTH != 0) {
        PyErr_SetString(PyExc_TypeError, "bytes of one or more stats are wanted");
        return NULL;
    }
    const unsigned char *bytes = (const unsigned char *)PyBytes_AS_STRING(stats);
    Py_ssize_t size = PyBytes_GET_SIZE(stats), count = size / WIDTH;
    /* At most: every word as it is, or with the least one before it. */
    unsigned char *stored = PyMem_Malloc(WORDS + size + WORDS * WORD_BYTES);
    if (stored == NULL)
        return PyErr_NoMemory();
    Py_ssize_t length = WORDS;
    for (Py_ssize_t place = 0; place < WORDS; place++)
        length += condense_words(bytes + place * WORD_BYTES, count, place == 0, stored + place, stored + length);
    PyObject *result = length < size ? PyBytes_FromStringAndSize((const char *)stored, length) : Py_NewRef(stats);
    PyMem_Free(stored);
    return result;
}

/* How many bytes are stored where these are the first ones; -1 where they can't be: condensed._length. */
static Py_ssize_t
condensed_length(const unsigned char *heads, Py_ssize_t count)
{
    Py_ssize_t length = WORDS;

    for (Py_ssize_t place = 0; place < WORDS; place++) {
        unsigned char head = heads[place];
        if (head == AS_BEFORE && place > 0)
            continue;
        if (head > WORD_BYTES || (head & (head - 1)) != 0)
            return -1;
        length += head * count + (head < WORD_BYTES ? WORD_BYTES : 0);
    }
    return length;
}

/* Puts the words that are stored at `from`, each in so many bytes, into the stats, which begin at that word. Returns how many
 * bytes they took; -1 where a word is none. */
static Py_ssize_t
expand_words(const unsigned char *from, int width, unsigned char *stats, Py_ssize_t count)
{
    const unsigned char *at = from;
    int64_t least = 0;

    if (width < WORD_BYTES) {
        least = word_at(at);
        at += WORD_BYTES;
    }
    for (Py_ssize_t i = 0; i < count; i++, at += width) {
        uint64_t more = 0;
        memcpy(&more, at, (size_t)width);
        if (width < WORD_BYTES && more > (uint64_t)INT64_MAX - (uint64_t)least && least > 0)
            return -1;
        uint64_t word = (uint64_t)least + more;
        memcpy(stats + i * WIDTH, &word, sizeof word);
    }
    return at - from;
}

/* The stats of so many files, of what was stored in their place; a new reference. */
static PyObject *
expanded(PyObject *stored, Py_ssize_t count)
{
    const unsigned char *bytes = (const unsigned char *)PyBytes_AS_STRING(stored);
    Py_ssize_t size = PyBytes_GET_SIZE(stored), at = WORDS;
    if (count >= 0 && size % WIDTH == 0 && size / WIDTH == count)
        return Py_NewRef(stored);
    if (count < 0 || count > PY_SSIZE_T_MAX / (2 * WIDTH) || size < WORDS || condensed_length(bytes, count) != size)
        goto wrong;
    PyObject *result = PyBytes_FromStringAndSize(NULL, count * WIDTH);
    if (result == NULL)
        return NULL;
    unsigned char *stats = (unsigned char *)PyBytes_AS_STRING(result);
    for (Py_ssize_t place = 0; place < WORDS; place++, stats += WORD_BYTES) {
        if (bytes[place] == AS_BEFORE) {
            for (Py_ssize_t i = 0; i < count; i++)
                memcpy(stats + i * WIDTH, stats + i * WIDTH - WORD_BYTES, WORD_BYTES);
            continue;
        }
        Py_ssize_t taken = expand_words(bytes + at, bytes[place], stats, count);
        if (taken < 0) {
            Py_DECREF(result);
            goto wrong;
        }
        at += taken;
    }
    return result;
wrong:
    PyErr_SetString(PyExc_ValueError, "not the stats of so many files");
    return NULL;
}

PyDoc_STRVAR(expand_doc, "expand($module, stored, count, /)\n--\n\nSee condensed.expand.");

static PyObject *
expand(PyObject *module, PyObject *arguments)
{
    PyObject *stored;
    Py_ssize_t count;

    if (!PyArg_ParseTuple(arguments, "Sn:expand", &stored, &count))
        return NULL;
    return expanded(stored, count);
}

/* -- events as they travel: packing.pack_events */

/* Of an event, everything but the kind and the path, at most: names and values of the fields. */
#define EVENT_BYTES 160
/* How many elements an array has, at most. */
#define ARRAY_HEAD_BYTES 5
static const char EVENT_HEAD[] = "\x88\xa4type\xa5" "event\xaa" "event_type";

/* Integers of a sequence, or of a buffer of them, which may be spread out. */
typedef struct {
    PyObject *sequence;
    Py_buffer view;
} Numbers;

static void
release_numbers(Numbers *numbers)
{
    Py_CLEAR(numbers->sequence);
    if (numbers->view.obj != NULL)
        PyBuffer_Release(&numbers->view);
}

/* Takes so many numbers out of an argument. False: an exception is set. */
static bool
take_numbers(PyObject *from, Py_ssize_t count, Numbers *numbers)
{
    Py_ssize_t found;

    if (PyObject_CheckBuffer(from)) {
        if (PyObject_GetBuffer(from, &numbers->view, PyBUF_STRIDES | PyBUF_FORMAT) < 0)
            return false;
        const Py_buffer *view = &numbers->view;
        if (view->ndim != 1 || view->itemsize != WORD_BYTES || strcmp(view->format, "q") != 0) {
            PyErr_SetString(PyExc_TypeError, "integers of eight bytes are wanted");
            return false;
        }
        found = view->shape[0];
    }
    else {
        numbers->sequence = PySequence_Fast(from, "a sequence of integers is wanted");
        if (numbers->sequence == NULL)
            return false;
        found = PySequence_Fast_GET_SIZE(numbers->sequence);
    }
    if (found != count)
        PyErr_SetString(PyExc_ValueError, "one value for each path is wanted");
    return found == count;
}

/* The number at this place. Whether an exception is set is for the caller to ask where it is -1. */
static int64_t
number_at(const Numbers *numbers, Py_ssize_t place)
{
    if (numbers->sequence != NULL)
        return PyLong_AsLongLong(PySequence_Fast_GET_ITEM(numbers->sequence, place));
    return word_at((const unsigned char *)numbers->view.buf + place * numbers->view.strides[0]);
}

/* Puts the lowest bytes of a number at `to`, the highest of them first. Returns where they end. */
static unsigned char *
put_big_endian(unsigned char *to, uint64_t number, int bytes)
{
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
        *to++ = (unsigned char)(number >> shift);
    return to;
}

/* Puts an integer at `to`, in as few bytes as MessagePack has for it. */
static unsigned char *
put_integer(unsigned char *to, int64_t number)
{
    if (number >= -32 && number < 128) {
        *to++ = (unsigned char)number;
        return to;
    }
    if (number >= 0) {
        int width = bytes_of((uint64_t)number);
        *to++ = (unsigned char)(width == 1 ? 0xcc : width == 2 ? 0xcd : width == 4 ? 0xce : 0xcf);
        return put_big_endian(to, (uint64_t)number, width);
    }
    int width = number >= INT8_MIN ? 1 : number >= INT16_MIN ? 2 : number >= INT32_MIN ? 4 : 8;
    *to++ = (unsigned char)(width == 1 ? 0xd0 : width == 2 ? 0xd1 : width == 4 ? 0xd2 : 0xd3);
    return put_big_endian(to, (uint64_t)number, width);
}

/* Puts a text at `to`. */
static unsigned char *
put_text(unsigned char *to, const char *text, Py_ssize_t size)
{
    if (size < 32)
        *to++ = (unsigned char)(0xa0 | size);
    else {
        int width = bytes_of((uint64_t)size);
        *to++ = (unsigned char)(width == 1 ? 0xd9 : width == 2 ? 0xda : 0xdb);
        to = put_big_endian(to, (uint64_t)size, width);
    }
    memcpy(to, text, (size_t)size);
    return to + size;
}

static unsigned char *
put_name(unsigned char *to, const char *name)
{
    return put_text(to, name, (Py_ssize_t)strlen(name));
}

/* Whether some bytes are UTF-8. False: an exception is set. */
static bool
is_text(const char *bytes, Py_ssize_t size)
{
    Py_ssize_t at = 0;
    uint64_t word = 0, high = 0;

    for (; at + (Py_ssize_t)sizeof word <= size; at += (Py_ssize_t)sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        high |= word;
    }
    for (; at < size; at++)
        high |= (uint64_t)(unsigned char)bytes[at];
    if ((high & UINT64_C(0x8080808080808080)) == 0)
        return true;
    PyObject *text = PyUnicode_DecodeUTF8(bytes, size, NULL);
    Py_XDECREF(text);
    return text != NULL;
}

/* How many bytes the events take at most, of which the head of each has so many; -1: an exception is set. */
static Py_ssize_t
packed_bytes_max(PyObject *paths, Py_ssize_t head_bytes)
{
    Py_ssize_t room = 0;

    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(paths); i++) {
        PyObject *path = PySequence_Fast_GET_ITEM(paths, i);
        if (!PyBytes_Check(path) || PyBytes_GET_SIZE(path) > (Py_ssize_t)INT32_MAX) {
            PyErr_SetString(PyExc_TypeError, "paths are bytes, of less than 2 GiB");
            return -1;
        }
        if (!is_text(PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path)))
            return -1;
        room += head_bytes + EVENT_BYTES + PyBytes_GET_SIZE(path);
    }
    return room;
}

/* Puts one event at `to`. Returns where it ends; NULL: an exception is set. */
static unsigned char *
put_event(unsigned char *to, PyObject *path, int64_t size, int64_t mtime_ns, int64_t tick, PyObject *observed_at)
{
    double seconds = PyFloat_AsDouble(observed_at);
    if ((size == -1 || mtime_ns == -1 || tick == -1 || seconds == -1.0) && PyErr_Occurred())
        return NULL;
    to = put_text(to, PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path));
    to = put_name(to, "is_directory");
    *to++ = 0xc2;
    to = put_integer(put_name(to, "size"), size);
    to = put_integer(put_name(to, "mtime_ns"), mtime_ns);
    to = put_integer(put_name(to, "tick"), tick);
    to = put_name(to, "observed_at");
    *to++ = 0xcb;
    uint64_t bits;
    memcpy(&bits, &seconds, sizeof bits);
    return put_big_endian(to, bits, sizeof bits);
}

/* An array of the events of these paths, each of which begins with this head. */
static PyObject *
packed_events(const unsigned char *head, Py_ssize_t head_bytes, PyObject *paths, Numbers *numbers, PyObject *observed_at)
{
    Py_ssize_t room = packed_bytes_max(paths, head_bytes), count = PySequence_Fast_GET_SIZE(paths);
    if (room < 0)
        return NULL;
    PyObject *packed = PyBytes_FromStringAndSize(NULL, ARRAY_HEAD_BYTES + room);
    if (packed == NULL)
        return NULL;
    unsigned char *begin = (unsigned char *)PyBytes_AS_STRING(packed), *to = begin;
    *to++ = (unsigned char)(count < 16 ? 0x90 | count : count <= UINT16_MAX ? 0xdc : 0xdd);
    if (count >= 16)
        to = put_big_endian(to, (uint64_t)count, count <= UINT16_MAX ? 2 : 4);
    for (Py_ssize_t i = 0; i < count; i++) {
        memcpy(to, head, (size_t)head_bytes);
        to = put_event(
            to + head_bytes, PySequence_Fast_GET_ITEM(paths, i), number_at(&numbers[0], i), number_at(&numbers[1], i),
            number_at(&numbers[2], i), PySequence_Fast_GET_ITEM(observed_at, i));
        if (to == NULL) {
            Py_DECREF(packed);
            return NULL;
        }
    }
    _PyBytes_Resize(&packed, to - begin);
    return packed;
}

PyDoc_STRVAR(pack_events_doc,
             "pack_events($module, kind, paths, sizes, mtimes_ns, ticks, observed_at, /)\n--\n\nSee packing.pack_events.");

static PyObject *
pack_events(PyObject *module, PyObject *arguments)
{
    const char *kind;
    PyObject *paths, *given[3], *observed, *result = NULL;
    Numbers numbers[3] = {{NULL}, {NULL}, {NULL}};
    unsigned char head[128];

    if (!PyArg_ParseTuple(arguments, "sOOOOO:pack_events", &kind, &paths, &given[0], &given[1], &given[2], &observed))
        return NULL;
    if (strlen(kind) > 32) {
        PyErr_SetString(PyExc_ValueError, "no kind of events is called that");
        return NULL;
    }
    paths = PySequence_Fast(paths, "a sequence of paths is wanted");
    observed = PySequence_Fast(observed, "a sequence of times is wanted");
    if (paths == NULL || observed == NULL)
        goto end;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(paths);
    if (PySequence_Fast_GET_SIZE(observed) != count) {
        PyErr_SetString(PyExc_ValueError, "one value for each path is wanted");
        goto end;
    }
    for (int i = 0; i < 3; i++)
        if (!take_numbers(given[i], count, &numbers[i]))
            goto end;
    memcpy(head, EVENT_HEAD, sizeof EVENT_HEAD - 1);
    unsigned char *to = put_name(put_name(head + sizeof EVENT_HEAD - 1, kind), "path");
    result = packed_events(head, to - head, paths, numbers, observed);
end:
    for (int i = 0; i < 3; i++)
        release_numbers(&numbers[i]);
    Py_XDECREF(paths);
    Py_XDECREF(observed);
    return result;
}

/* -- checksums: unit.sums, page.checksum */

#define SLICES 8

/* The checksum of zlib's crc32, eight bytes at a time: `crc_table[k][b]` is that of byte b with k zero bytes after it. */
static uint32_t crc_table[SLICES][256];

static void
make_crc_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? UINT32_C(0xEDB88320) : 0);
        crc_table[0][byte] = crc;
    }
    for (int slice = 1; slice < SLICES; slice++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t crc = crc_table[slice - 1][byte];
            crc_table[slice][byte] = (crc >> 8) ^ crc_table[0][crc & 0xff];
        }
}

/* Goes on with a checksum, of which all bits are inverted until the end. */
static uint32_t
crc_of(uint32_t crc, const unsigned char *bytes, Py_ssize_t size)
{
    for (; size >= SLICES; bytes += SLICES, size -= SLICES) {
        uint32_t low = crc ^ ((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24);
        crc = crc_table[7][low & 0xff] ^ crc_table[6][low >> 8 & 0xff] ^ crc_table[5][low >> 16 & 0xff] ^ crc_table[4][low >> 24]
              ^ crc_table[3][bytes[4]] ^ crc_table[2][bytes[5]] ^ crc_table[1][bytes[6]] ^ crc_table[0][bytes[7]];
    }
    for (; size > 0; bytes++, size--)
        crc = (crc >> 8) ^ crc_table[0][(crc ^ *bytes) & 0xff];
    return crc;
}

PyDoc_STRVAR(sums_doc, "sums($module, keys, /)\n--\n\nSee unit.sums.");

static PyObject *
sums(PyObject *module, PyObject *keys)
{
    PyObject *sequence = PySequence_Fast(keys, "a sequence of keys is wanted");
    if (sequence == NULL)
        return NULL;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
    PyObject *result = PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(uint32_t));
    for (Py_ssize_t i = 0; result != NULL && i < count; i++) {
        PyObject *key = PySequence_Fast_GET_ITEM(sequence, i);
        if (!PyBytes_Check(key)) {
            PyErr_SetString(PyExc_TypeError, "keys are bytes");
            Py_CLEAR(result);
            break;
        }
        uint32_t crc = ~crc_of(UINT32_MAX, (const unsigned char *)PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key));
        memcpy(PyBytes_AS_STRING(result) + i * (Py_ssize_t)sizeof crc, &crc, sizeof crc);
    }
    Py_DECREF(sequence);
    return result;
}

/* Of a `Page`: how many fields it has, and where they are; those of the integers at the head, and of the bytes, in the order in
 * which they are summed up. */
#define PAGE_FIELDS 13
#define PAGE_HELD 7
#define PAGE_LIVE 9
#define PAGE_CRC 10
#define PAGE_STATS 12
static const int page_head[] = {1, 4, 5, 6, 8};
static const int page_bytes[] = {PAGE_LIVE, 2, 3, 11, PAGE_STATS};

static void
no_page(void)
{
    PyErr_SetString(PyExc_TypeError, "a column holds what no page has");
}

/* Goes on with the checksum of a page with a zero byte and some bytes. False: they are no bytes, and an exception is set. */
static bool
sum_up(uint32_t *crc, PyObject *bytes)
{
    static const unsigned char zero = 0;

    if (!PyBytes_Check(bytes)) {
        no_page();
        return false;
    }
    *crc = crc_of(crc_of(*crc, &zero, 1), (const unsigned char *)PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
    return true;
}

/* Sums up the integers of a page; `held` is 0 among them where it has too many bits for one. False: an exception is set. */
static bool
sum_up_head(uint32_t *crc, PyObject *fields)
{
    int64_t head[6] = {0};

    for (int i = 0; i < 6; i++) {
        PyObject *number = PyTuple_GET_ITEM(fields, i < 5 ? page_head[i] : PAGE_HELD);
        if (i == 5 && PyBytes_Check(number))
            continue;
        if (!PyLong_Check(number)) {
            no_page();
            return false;
        }
        head[i] = PyLong_AsLongLong(number);
        if (head[i] == -1 && PyErr_Occurred())
            return false;
    }
    *crc = crc_of(*crc, (const unsigned char *)head, sizeof head);
    return true;
}

/* The checksum of a page. False: an exception is set. */
static bool
sum_of_page(PyObject *fields, uint32_t *sum)
{
    static const unsigned char zero = 0;
    uint32_t crc = UINT32_MAX;

    if (!sum_up_head(&crc, fields))
        return false;
    PyObject *held = PyTuple_GET_ITEM(fields, PAGE_HELD);
    if (!PyBytes_Check(held))
        crc = crc_of(crc, &zero, 1);
    else if (!sum_up(&crc, held))
        return false;
    for (int i = 0; i < 5; i++)
        if (!sum_up(&crc, PyTuple_GET_ITEM(fields, page_bytes[i])))
            return false;
    *sum = ~crc;
    return true;
}

PyDoc_STRVAR(checksum_doc, "checksum($module, fields, /)\n--\n\nSee page.checksum.");

static PyObject *
checksum(PyObject *module, PyObject *fields)
{
    uint32_t sum;

    if (!PyTuple_Check(fields) || PyTuple_GET_SIZE(fields) != PAGE_FIELDS) {
        PyErr_SetString(PyExc_TypeError, "the fields of a page are wanted");
        return NULL;
    }
    return sum_of_page(fields, &sum) ? PyBytes_FromStringAndSize((const char *)&sum, sizeof sum) : NULL;
}

/* -- pages: pages.whole, stretch.paths_below */

PyDoc_STRVAR(whole_doc, "whole($module, row, /)\n--\n\nSee pages.whole.");

static PyObject *
whole(PyObject *module, PyObject *row)
{
    uint32_t sum;

    if (!PyTuple_Check(row) || PyTuple_GET_SIZE(row) < PAGE_FIELDS) {
        PyErr_SetString(PyExc_TypeError, "the columns of a page are wanted");
        return NULL;
    }
    PyObject *live = PyTuple_GET_ITEM(row, PAGE_LIVE), *crc = PyTuple_GET_ITEM(row, PAGE_CRC);
    PyObject *stored = PyTuple_GET_ITEM(row, PAGE_STATS);
    if (!PyBytes_Check(live) || !PyBytes_Check(crc) || !PyBytes_Check(stored)) {
        no_page();
        return NULL;
    }
    PyObject *stats = expanded(stored, PyBytes_GET_SIZE(live));
    PyObject *fields = stats == NULL ? NULL : PyTuple_GetSlice(row, 0, PAGE_FIELDS);
    if (fields == NULL) {
        Py_XDECREF(stats);
        return NULL;
    }
    if (fields == row) { /* of a row that has nothing else, no copy was made */
        Py_DECREF(fields);
        fields = PyTuple_New(PAGE_FIELDS);
        if (fields == NULL) {
            Py_DECREF(stats);
            return NULL;
        }
        for (int i = 0; i < PAGE_STATS; i++)
            PyTuple_SET_ITEM(fields, i, Py_NewRef(PyTuple_GET_ITEM(row, i)));
    }
    else
        Py_DECREF(PyTuple_GET_ITEM(fields, PAGE_STATS));
    PyTuple_SET_ITEM(fields, PAGE_STATS, stats);
    if (sum_of_page(fields, &sum)) {
        if (PyBytes_GET_SIZE(crc) == (Py_ssize_t)sizeof sum && memcmp(PyBytes_AS_STRING(crc), &sum, sizeof sum) == 0)
            return fields;
        PyErr_SetString(PyExc_ValueError, "a page does not agree with its checksum");
    }
    Py_DECREF(fields);
    return NULL;
}

PyDoc_STRVAR(paths_below_doc, "paths_below($module, above, names, /)\n--\n\nSee stretch.paths_below.");

static PyObject *
paths_below(PyObject *module, PyObject *arguments)
{
    PyObject *above, *names;

    if (!PyArg_ParseTuple(arguments, "SS:paths_below", &above, &names))
        return NULL;
    const char *at = PyBytes_AS_STRING(names), *end = at + PyBytes_GET_SIZE(names);
    Py_ssize_t count = 1, before = PyBytes_GET_SIZE(above);
    for (const char *zero = at; (zero = memchr(zero, 0, (size_t)(end - zero))) != NULL; zero++)
        count++;
    PyObject *paths = PyList_New(count);
    for (Py_ssize_t i = 0; paths != NULL && i < count; i++) {
        const char *zero = i == count - 1 ? end : memchr(at, 0, (size_t)(end - at));
        PyObject *path = PyBytes_FromStringAndSize(NULL, before + (zero - at));
        if (path == NULL) {
            Py_CLEAR(paths);
            break;
        }
        memcpy(PyBytes_AS_STRING(path), PyBytes_AS_STRING(above), (size_t)before);
        memcpy(PyBytes_AS_STRING(path) + before, at, (size_t)(zero - at));
        PyList_SET_ITEM(paths, i, path);
        at = zero + 1;
    }
    return paths;
}

/* -- the module */

static PyMethodDef functions[] = {
    {"list_names", list_names, METH_VARARGS, list_names_doc},
    {"look_at", look_at, METH_VARARGS, look_at_doc},
    {"watch_open", watch_open, METH_VARARGS, watch_open_doc},
    {"look_in_each", look_in_each, METH_VARARGS, look_in_each_doc},
    {"enter_each", enter_each, METH_VARARGS, enter_each_doc},
    {"decode", decode, METH_VARARGS, decode_doc},
    {"condense", condense, METH_O, condense_doc},
    {"expand", expand, METH_VARARGS, expand_doc},
    {"pack_events", pack_events, METH_VARARGS, pack_events_doc},
    {"sums", sums, METH_O, sums_doc},
    {"checksum", checksum, METH_O, checksum_doc},
    {"whole", whole, METH_O, whole_doc},
    {"paths_below", paths_below, METH_VARARGS, paths_below_doc},
    {NULL},
};

static int
prepare(PyObject *module)
{
    make_crc_table();
    return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, prepare},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_loops",
    .m_doc = "Compiled twins of functions that are defined in Python.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__loops(void)
{
    return PyModuleDef_Init(&definition);
}
