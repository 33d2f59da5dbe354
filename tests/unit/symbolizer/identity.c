#include "tests/unit/unit.h"
#include "symbolizer/identity.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include "base/fd.h"
#include "symbolizer/sha256.h"
#include "tests/unit/symbolizer/elf_bytes.h"

/* The first line that a command prints, without its newline. */
static void output_of(const char *command, char *ret, size_t room)
{
	FILE *f = popen(command, "r");
	size_t n;

	assert_non_null(f);
	ret[0] = 0;
	(void)!fgets(ret, (int)room, f);
	assert_int_equal(pclose(f), 0);
	n = strlen(ret);
	if (n && ret[n - 1] == '\n')
		ret[n - 1] = 0;
}

static void hex_of(const uint8_t *data, size_t n, char *ret)
{
	ret[0] = 0;
	for (size_t i = 0; i < n; i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", data[i]);
}

/* libc, as binutils and coreutils see it. */
static void agrees_with_other_tools(void **state)
{
	_cleanup_close_ int fd = -1;
	struct symbolizer_identity id;
	char path[4096], command[16384], expected[256], got[256];

	(void)state;
	output_of("ldd /bin/sh | sed -n 's/.*libc.so.6 => \\([^ ]*\\).*/\\1/p'", path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(identity_read(fd, &id), 0);

	(void)snprintf(command, sizeof(command), "readelf -n %s | sed -n 's/.*Build ID: //p'", path);
	output_of(command, expected, sizeof(expected));
	hex_of(id.build_id, id.build_id_size, got);
	assert_string_equal(got, expected);

	(void)snprintf(command, sizeof(command),
	        "(head -c 4096 %s; tail -c 4096 %s; printf \"$(printf '%%016x' $(stat -Lc %%s %s) | sed "
	        "'s/../\\\\x&/g')\") | "
	        "sha256sum | head -c 32",
	        path, path, path);
	assert_int_equal(setenv("EMBER_UNIT_COMMAND", command, 1), 0); /* sh's own printf may not know \x */
	output_of("bash -c \"$EMBER_UNIT_COMMAND\"", expected, sizeof(expected));
	hex_of(id.htlhash, sizeof(id.htlhash), got);
	assert_string_equal(got, expected);

	(void)snprintf(command, sizeof(command), "readelf -p .gnu_debuglink %s | sed -n 's/.*\\[ *0\\] *//p'", path);
	output_of(command, expected, sizeof(expected));
	assert_string_equal(id.debug_link, expected);

	assert_int_equal(id.n_segments, 1);
	assert_true(id.flags & IDENTITY_HAS_EH_FRAME);
	assert_true(id.flags & IDENTITY_IS_PIE_OR_SO);
	assert_false(id.flags & IDENTITY_IS_GO);
}

/* The vDSO is a file like any other once it is copied. */
static void identifies_the_vdso(void **state)
{
	const uint8_t *image = (const uint8_t *)getauxval(AT_SYSINFO_EHDR); /* NOLINT(performance-no-int-to-ptr) */
	_cleanup_close_ int fd = -1;
	struct symbolizer_identity id;

	(void)state;
	if (!image)
		skip();
	fd = memfd_of(image, 4096);
	assert_true(fd >= 0);
	assert_int_equal(identity_read(fd, &id), 0);
	assert_true(id.build_id_size > 0);
	assert_int_equal(id.n_segments, 1);
	assert_int_equal(id.segments[0].offset, 0);
}

static void small_files_are_hashed_twice(void **state)
{
	struct symbolizer_identity id;
	struct sha256 h;
	uint8_t sum[SHA256_BYTES], length[8] = { 0 };
	const Elf64_Ehdr header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_DYN,
		.e_machine = EM_X86_64 };
	_cleanup_close_ int fd = memfd_of(&header, sizeof(header));

	(void)state;
	assert_int_equal(identity_read(fd, &id), 0);
	length[7] = sizeof(header);
	sha256_start(&h);
	sha256_add(&h, &header, sizeof(header));
	sha256_add(&h, &header, sizeof(header));
	sha256_add(&h, length, sizeof(length));
	sha256_end(&h, sum);
	assert_memory_equal(id.htlhash, sum, sizeof(id.htlhash));
	assert_int_equal(id.build_id_size, 0);
	assert_int_equal(id.flags, IDENTITY_IS_PIE_OR_SO);
}

static void several_segments(void **state)
{
	struct elf_bytes *e = calloc(1, sizeof(*e));
	_cleanup_close_ int fd = -1;
	struct symbolizer_identity id;
	Elf64_Phdr p;

	(void)state;
	assert_non_null(e);
	put_headers(e);
	memcpy(&p, e->data + sizeof(Elf64_Ehdr), sizeof(p));
	p.p_flags |= PF_X;
	memcpy(e->data + sizeof(Elf64_Ehdr), &p, sizeof(p));
	fd = memfd_of(e->data, sizeof(e->data));
	assert_int_equal(identity_read(fd, &id), 0);
	assert_int_equal(id.n_segments, 2);
	assert_int_equal(id.segments[0].offset, DATA_OFFSET);
	assert_int_equal(id.segments[1].offset, TEXT_OFFSET);
	assert_int_equal(id.segments[1].vaddr, TEXT_VADDR);
	assert_int_equal(id.segments[1].filesz, TEXT_SIZE);
	assert_true(id.flags & IDENTITY_HAS_EH_FRAME);
	assert_false(id.flags & IDENTITY_IS_PIE_OR_SO);
	free(e);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(agrees_with_other_tools),
	cmocka_unit_test(identifies_the_vdso),
	cmocka_unit_test(small_files_are_hashed_twice),
	cmocka_unit_test(several_segments),
};

UNIT_MAIN(tests)
