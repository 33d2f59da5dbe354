/* Pages and rows of files made here; real files are compared with elfutils by tests/integration/rows.py. */
#include "tests/unit/unit.h"
#include "symbolizer/rows.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include "symbolizer/answer.h"
#include "symbolizer/dispatch.h"
#include "tests/unit/symbolizer/elf_bytes.h"

static const uint8_t push[] = { DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_offset | 6, 2 };

struct made {
	int result;
	void *answer;
	uint64_t bytes;
	struct answer_rows v;
};

static struct made make(struct elf_bytes *e)
{
	_cleanup_close_ int fd = -1, answer = memfd_create("answer", MFD_CLOEXEC);
	struct made m = { 0 };

	put_headers(e);
	fd = memfd_of(e->data, sizeof(e->data));
	assert_true(fd >= 0 && answer >= 0);
	m.result = rows_answer(&(struct dispatch_input){ .fd = fd }, answer, &m.bytes);
	if (m.result < 0)
		return m;
	m.answer = mmap(NULL, m.bytes, PROT_READ, MAP_PRIVATE, answer, 0);
	assert_true(m.answer != MAP_FAILED);
	assert_int_equal(answer_rows(m.answer, m.bytes, &m.v), 0);
	return m;
}

static void done(struct made *m, struct elf_bytes *e)
{
	if (m->answer)
		(void)munmap(m->answer, m->bytes);
	free(e);
}

static struct elf_bytes *start(void)
{
	struct elf_bytes *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	put_cie(e);
	return e;
}

static int cfa_at(const struct made *m, uint64_t offset)
{
	return answer_rows_rule(&m->v, offset).cfa;
}

static void gaps_are_unknown(void **state)
{
	struct elf_bytes *e = start();
	struct made m;

	(void)state;
	put_fde(e, TEXT_VADDR + 0x100, 0x20, push, sizeof(push));
	put_fde(e, TEXT_VADDR + 0x140, 0x10, push, sizeof(push));
	put_fde(e, TEXT_VADDR + 0x150, 0x10, push, sizeof(push)); /* adjoins */
	m = make(e);
	assert_int_equal(m.result, 0);
	assert_int_equal(m.v.n_pages, 1);
	assert_int_equal(m.v.pages[0].page, TEXT_OFFSET >> UNWIND_PAGE_SHIFT);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET), CFA_UNKNOWN);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + 0xff), CFA_UNKNOWN);
	assert_int_equal(answer_rows_rule(&m.v, TEXT_OFFSET + 0x100).cfa_offset, 8);
	assert_int_equal(answer_rows_rule(&m.v, TEXT_OFFSET + 0x101).cfa_offset, 16);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + 0x11f), CFA_SP);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + 0x120), CFA_UNKNOWN);
	assert_int_equal(answer_rows_rule(&m.v, TEXT_OFFSET + 0x14f).cfa_offset, 16);
	assert_int_equal(answer_rows_rule(&m.v, TEXT_OFFSET + 0x150).cfa_offset, 8);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + 0x160), CFA_UNKNOWN);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + 0x10000), CFA_UNKNOWN); /* a page that is not listed */
	assert_int_equal(cfa_at(&m, UINT64_MAX), CFA_UNKNOWN);
	assert_int_equal(m.v.n_rules, 3); /* unknown and two, shared by the three functions */
	done(&m, e);
}

static void functions_over_pages(void **state)
{
	struct elf_bytes *e = start();
	struct made m;

	(void)state;
	put_fde(e, TEXT_VADDR + 0x8000, 0x10000, push,
	        sizeof(push)); /* from the middle of one page to that of the next */
	m = make(e);
	assert_int_equal(m.result, 0);
	assert_int_equal(m.v.n_pages, 2);
	assert_int_equal(m.v.pages[1].page, (TEXT_OFFSET >> UNWIND_PAGE_SHIFT) + 1);
	assert_int_equal(answer_rows_rule(&m.v, TEXT_OFFSET + 0xffff).cfa_offset, 16);
	assert_int_equal(answer_rows_rule(&m.v, TEXT_OFFSET + 0x10000).cfa_offset, 16);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + 0x17fff), CFA_SP);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + 0x18000), CFA_UNKNOWN);
	done(&m, e);
}

static void function_ends_at_a_page(void **state)
{
	struct elf_bytes *e = start();
	struct made m;

	(void)state;
	put_fde(e, TEXT_VADDR + 0xff00, 0x100, push, sizeof(push));
	m = make(e);
	assert_int_equal(m.v.n_pages, 1);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + 0xffff), CFA_SP);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + 0x10000), CFA_UNKNOWN);
	done(&m, e);
	e = start();
	put_fde(e, TEXT_VADDR + 0x10000, 0x10, push, sizeof(push)); /* begins with one */
	m = make(e);
	assert_int_equal(m.v.n_pages, 1);
	assert_int_equal(m.v.pages[0].n_rows, 3);
	assert_int_equal(answer_rows_rule(&m.v, TEXT_OFFSET + 0x10000).cfa_offset, 8);
	done(&m, e);
}

/* As the run time looks it up: the last FDE that begins at or before the address, and only that. */
static void overlaps_follow_the_later_start(void **state)
{
	static const uint8_t wide[] = { DW_CFA_def_cfa_offset, 64 };
	struct elf_bytes *e = start();
	struct made m;

	(void)state;
	put_fde(e, TEXT_VADDR + 0x120, 0x10, wide,
	        sizeof(wide)); /* inside the next one, and before it in the section */
	put_fde(e, TEXT_VADDR + 0x100, 0x100, push, sizeof(push));
	m = make(e);
	assert_int_equal(answer_rows_rule(&m.v, TEXT_OFFSET + 0x11f).cfa_offset, 16);
	assert_int_equal(answer_rows_rule(&m.v, TEXT_OFFSET + 0x120).cfa_offset, 64);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + 0x130), CFA_UNKNOWN);
	done(&m, e);
}

static void code_outside_the_file_is_left_out(void **state)
{
	struct elf_bytes *e = start();
	struct made m;

	(void)state;
	put_fde(e, 0, 0x100, push, sizeof(push));                      /* a function that the linker removed */
	put_fde(e, DATA_VADDR, 0x10, push, sizeof(push));              /* not executable */
	put_fde(e, TEXT_VADDR + TEXT_SIZE, 0x100, push, sizeof(push)); /* behind the segment */
	m = make(e);
	assert_int_equal(m.result, -ENODATA);
	done(&m, e);
	e = start();
	put_fde(e, TEXT_VADDR + TEXT_SIZE - 16, 0xffffffff, push, sizeof(push));
	m = make(e);
	assert_int_equal(m.result, 0);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + TEXT_SIZE - 1), CFA_SP);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + TEXT_SIZE), CFA_UNKNOWN);
	done(&m, e);
}

static void bad_entries_are_counted(void **state)
{
	static const uint8_t wrong[] = { DW_CFA_advance_loc | 8, 0x3f };
	struct elf_bytes *e = start();
	struct made m;

	(void)state;
	put_fde(e, TEXT_VADDR + 0x100, 0x20, wrong, sizeof(wrong));
	put_fde(e, TEXT_VADDR + 0x200, 0x20, push, sizeof(push));
	put_entry(e, 0x7fffffff, push, sizeof(push)); /* its CIE would be before the section */
	m = make(e);
	assert_int_equal(m.result, 0);
	assert_int_equal(m.v.skipped_fdes, 2);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + 0x107), CFA_SP);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + 0x108), CFA_UNKNOWN);
	assert_int_equal(cfa_at(&m, TEXT_OFFSET + 0x201), CFA_SP);
	done(&m, e);
}

static void files_without_rows(void **state)
{
	_cleanup_close_ int fd = memfd_of("\177ELF", 4), text = memfd_of("#!/bin/sh\necho hello, world\n", 28);
	struct elf_bytes *e = calloc(1, sizeof(*e));
	struct rows *t = NULL;
	struct made m;

	(void)state;
	assert_non_null(e);
	assert_int_equal(rows_make(fd, &t), -EBADMSG);
	assert_int_equal(rows_make(text, &t), -EBADMSG);
	m = make(e); /* an empty section */
	assert_int_equal(m.result, -ENODATA);
	e->data[EI_CLASS] = ELFCLASS32;
	(void)close_fd(fd);
	fd = memfd_of(e->data, sizeof(e->data));
	assert_int_equal(rows_make(fd, &t), -ENOTSUP);
	e->data[EI_CLASS] = ELFCLASS64;
	((Elf64_Ehdr *)(void *)e->data)->e_machine = EM_RISCV;
	(void)close_fd(fd);
	fd = memfd_of(e->data, sizeof(e->data));
	assert_int_equal(rows_make(fd, &t), -ENOTSUP);
	assert_null(t);
	done(&m, e);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(gaps_are_unknown),
	cmocka_unit_test(functions_over_pages),
	cmocka_unit_test(function_ends_at_a_page),
	cmocka_unit_test(overlaps_follow_the_later_start),
	cmocka_unit_test(code_outside_the_file_is_left_out),
	cmocka_unit_test(bad_entries_are_counted),
	cmocka_unit_test(files_without_rows),
};

UNIT_MAIN(tests)
