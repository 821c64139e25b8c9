/* Changes files as fast as the system allows, or at a rate, and says when. See writers.py for what is called how. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) { perror(what); exit(1); }

static void write_one(const char *path, long n) {
    char body[64];
    int length = snprintf(body, sizeof body, "{\"_type\": \"Module\", \"n\": %ld}\n", n);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0 || write(fd, body, length) != length || close(fd)) die(path);
}

static void read_one(const char *path) {
    char body[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, body, sizeof body) < 0 || close(fd)) die(path);
}

/* writer KIND LIST COUNT RATE STAMPS: LIST holds paths, each ended by a NUL; COUNT operations go round it. */
int main(int argc, char **argv) {
    if (argc != 6) return 2;
    int reading = !strcmp(argv[1], "read");
    long count = atol(argv[3]), paths = 0;
    double rate = atof(argv[4]);
    int fd = open(argv[2], O_RDONLY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) die(argv[2]);
    char *text = malloc(st.st_size + 1);
    for (off_t have = 0; have < st.st_size;) {
        ssize_t got = read(fd, text + have, st.st_size - have);
        if (got <= 0) die(argv[2]);
        have += got;
    }
    char **list = malloc(sizeof *list * (st.st_size / 2 + 1));
    for (char *at = text; at < text + st.st_size; at += strlen(at) + 1) list[paths++] = at;
    double *stamps = *argv[5] ? malloc(sizeof *stamps * count) : NULL;
    double begin = now();
    for (long i = 0; i < count; i++) {
        if (rate > 0) { /* a burst every 2 ms at most, so that sleeping costs nothing */
            double due = begin + i / rate;
            if (due > now() + 0.002) {
                struct timespec t = {(time_t)due, (long)((due - (time_t)due) * 1e9)};
                clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
            }
        }
        if (reading) read_one(list[i % paths]); else write_one(list[i % paths], i);
        if (stamps) stamps[i] = now();
    }
    double end = now();
    if (stamps) {
        FILE *out = fopen(argv[5], "wb");
        if (!out || fwrite(stamps, sizeof *stamps, count, out) != (size_t)count || fclose(out)) die(argv[5]);
    }
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"begin\": %.9f, \"end\": %.9f, \"cpu_s\": %.6f}\n", begin, end, cpu);
    return 0;
}
