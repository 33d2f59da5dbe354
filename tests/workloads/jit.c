/* Code without a file: a loop copied into anonymous executable memory, as a JIT has it, and the map that a JIT writes
 * for perf.
 *
 * jit MODE SECONDS. MODE is what stands at /tmp/perf-PID.map: "map" (a true one), "fifo", "link" (to a file that names
 * the code "stolen"), "garbage", "none". The map is removed at the end. Prints "ready" when the loop begins. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* x86-64: mov rcx, rdi; dec rcx; jnz -5; ret. arm64: subs x0, x0, 1; b.ne -4; ret. */
#if defined(__x86_64__)
static const uint8_t loop[] = { 0x48, 0x89, 0xf9, 0x48, 0xff, 0xc9, 0x75, 0xfb, 0xc3 };
#else
static const uint32_t loop[] = { 0xf1000400, 0x54ffffe1, 0xd65f03c0 };
#endif

static void write_map(const char *path, const void *code, const char *name)
{
	FILE *f = fopen(path, "w");

	if (!f)
		abort();
	fprintf(f, "%lx %zx %s\n", (unsigned long)(uintptr_t)code, sizeof(loop), name);
	fclose(f);
}

static void write_garbage(const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		abort();
	for (unsigned i = 0; i < 100000; i++)
		fputc((int)(i * 2654435761u >> 13), f);
	fclose(f);
}

int main(int argc, char **argv)
{
	char path[64], target[64];
	void *code;
	time_t end;

	if (argc != 3)
		return 2;
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED)
		return 1;
	memcpy(code, loop, sizeof(loop));
	__builtin___clear_cache(code, (char *)code + sizeof(loop));
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	snprintf(target, sizeof(target), "/tmp/jit-target-%d", getpid());
	if (strcmp(argv[1], "map") == 0)
		write_map(path, code, "jitted_loop");
	else if (strcmp(argv[1], "fifo") == 0 && mkfifo(path, 0600) < 0)
		return 1;
	else if (strcmp(argv[1], "garbage") == 0)
		write_garbage(path);
	else if (strcmp(argv[1], "link") == 0) {
		write_map(target, code, "stolen");
		if (symlink(target, path) < 0)
			return 1;
	}
	puts("ready");
	fflush(stdout);
	for (end = time(NULL) + atoi(argv[2]); time(NULL) < end;)
		((void (*)(uint64_t))code)(50000000);
	(void)unlink(path);
	(void)unlink(target);
	return 0;
}
