/*
 * Makes the device of tgt slower: waits before each read and write of the backing file.
 *
 * The wait depends on the direction and on the offset alone, never on chance or on time, so that a
 * command takes the same time in every run. With as many threads as commands it is a pure delay.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

static int64_t setting_us(const char *name)
{
	const char *text = getenv(name);
	return text ? strtoll(text, NULL, 10) : 0;
}

/* The finalizer of splitmix64: neighbouring blocks get unrelated waits. */
static uint64_t mix(uint64_t value)
{
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
	return value ^ (value >> 31);
}

static void delay(const char *name, off64_t offset)
{
	int64_t jitter = setting_us("LAB_JITTER_US");
	int64_t wait = setting_us(name) - jitter;
	struct timespec left;

	wait += (int64_t)(mix((uint64_t)offset / 512) % (uint64_t)(2 * jitter + 1));
	if (wait <= 0)
		return;
	left.tv_sec = wait / 1000000;
	left.tv_nsec = (wait % 1000000) * 1000;
	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

ssize_t pread64(int file, void *data, size_t count, off64_t offset)
{
	ssize_t (*next)(int, void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pread64");

	delay("LAB_READ_US", offset);
	return next(file, data, count, offset);
}

ssize_t pwrite64(int file, const void *data, size_t count, off64_t offset)
{
	ssize_t (*next)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");

	delay("LAB_WRITE_US", offset);
	return next(file, data, count, offset);
}

ssize_t pread(int file, void *data, size_t count, off_t offset)
{
	return pread64(file, data, count, offset);
}

ssize_t pwrite(int file, const void *data, size_t count, off_t offset)
{
	return pwrite64(file, data, count, offset);
}
