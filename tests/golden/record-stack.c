/* Records the stack of a running process for the unwinder's replay (tests/unit/bpf/golden.c): registers, the words of
 * the stack that are needed, and for each frame the rule of its place. Which frames there are says elfutils' unwinder,
 * which shares nothing with ours; the rules are those that ember-symbolizer makes.
 *
 * record-stack PID [plt|vdso|FUNCTION]: steps until the program is there first. Writes to stdout;
 * tests/golden/record.py records them all. */
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include "base/cleanup.h"
#include "base/fd.h"
#include "symbolizer/answer.h"
#include "symbolizer/dispatch.h"

#define FRAMES_MAX 600
#define STEPS_MAX 3000000

static pid_t traced;
static uint64_t highest; /* end of the highest word that was read */

/* Words alone, so that it comes out which are needed. */
static int read_word(void *to, size_t size, uint64_t address)
{
	struct iovec here = { to, size }, there = { (void *)(uintptr_t)address, size };

	if (size != 8 || process_vm_readv(traced, &here, 1, &there, 1, 0) != 8)
		return -1;
	highest = MAX(highest, address + 8);
	return 0;
}

#define READ_USER(to, bytes, address) read_word((to), (bytes), (address))
#include "bpf/unwind_step.h"

struct frame {
	uint64_t pc;
	bool is_return;
	struct unwind_rule rule;
	bool has_rule;
	char name[128];
};

static struct frame frames[FRAMES_MAX];
static unsigned n_frames;

/* ---- where a pc is ----------------------------------------------------------------------------------------------- */

struct mapping {
	uint64_t start, end, offset;
	char path[256];
};

static bool find_mapping(uint64_t pc, struct mapping *ret)
{
	char name[64], line[512];
	FILE *f;
	bool found = false;

	(void)snprintf(name, sizeof(name), "/proc/%d/maps", traced);
	f = fopen(name, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		ret->path[0] = 0;
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %*s %255s", &ret->start, &ret->end,
		            &ret->offset, ret->path) < 3)
			continue;
		found = pc >= ret->start && pc < ret->end;
	}
	if (f)
		(void)fclose(f);
	return found;
}

static int open_image(const struct mapping *m)
{
	static char image[1 << 20];
	struct iovec here = { image, MIN(m->end - m->start, sizeof(image)) };
	struct iovec there = { (void *)(uintptr_t)m->start, here.iov_len };
	int fd;

	if (m->path[0] == '/')
		return open(m->path, O_RDONLY | O_CLOEXEC);
	fd = memfd_create("vdso", MFD_CLOEXEC);
	if (process_vm_readv(traced, &here, 1, &there, 1, 0) < 0 || fd_write_full(fd, image, here.iov_len) < 0)
		return -1;
	return fd;
}

/* The rule of ember-symbolizer's rows for a place; false where its file has none. */
static bool find_rule(uint64_t place, struct unwind_rule *ret)
{
	_cleanup_close_ int fd = -1, answer = memfd_create("answer", MFD_CLOEXEC);
	struct mapping m;
	struct answer_rows rows;
	uint64_t bytes = 0;
	void *data;
	bool found;

	if (!find_mapping(place, &m))
		return false;
	fd = open_image(&m);
	if (fd < 0 || rows_answer(&(struct dispatch_input){ .fd = fd }, answer, &bytes) < 0)
		return false;
	data = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, answer, 0);
	if (data == MAP_FAILED)
		return false;
	found = answer_rows(data, bytes, &rows) == 0;
	if (found)
		*ret = answer_rows_rule(&rows, place - m.start + (m.path[0] == '/' ? m.offset : 0));
	(void)munmap(data, bytes);
	return found && ret->cfa != CFA_UNKNOWN;
}

/* ---- elfutils' view -----------------------------------------------------------------------------------------------
 */

static char *debug_path;
static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_linux_proc_find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
	.debuginfo_path = &debug_path,
};

static const char *name_of(Dwfl *dwfl, uint64_t place)
{
	Dwfl_Module *module = dwfl_addrmodule(dwfl, place);
	const char *name = module ? dwfl_module_addrname(module, place) : NULL;

	return name ? name : "?";
}

static int on_frame(Dwfl_Frame *state, void *dwfl)
{
	struct frame *f = &frames[n_frames];
	Dwarf_Addr pc;
	bool is_activation;

	if (n_frames == FRAMES_MAX || !dwfl_frame_pc(state, &pc, &is_activation))
		return DWARF_CB_ABORT;
	if (pc == 0)
		return DWARF_CB_OK;
	f->pc = pc;
	f->is_return = !is_activation;
	f->has_rule = find_rule(pc - f->is_return, &f->rule);
	(void)snprintf(f->name, sizeof(f->name), "%s", name_of(dwfl, pc - f->is_return));
	n_frames++;
	return DWARF_CB_OK;
}

/* ---- the process ---------------------------------------------------------------------------------------------------
 */

static bool is_there(Dwfl *dwfl, uint64_t pc, const char *wanted)
{
	Dwfl_Module *module = dwfl_addrmodule(dwfl, pc);
	const char *section = NULL;
	GElf_Shdr header;
	GElf_Addr bias, address = pc;
	Elf_Scn *scn;

	if (strcmp(wanted, "plt") != 0 && strcmp(wanted, "vdso") != 0)
		return strcmp(name_of(dwfl, pc), wanted) == 0;
	if (module && strcmp(wanted, "vdso") == 0)
		return strncmp(dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL), "[vdso", 5) == 0;
	scn = module ? dwfl_module_address_section(module, &address, &bias) : NULL;
	if (scn && gelf_getshdr(scn, &header)) {
		Elf *elf = dwfl_module_getelf(module, &bias);
		size_t strings;

		if (elf_getshdrstrndx(elf, &strings) == 0)
			section = elf_strptr(elf, strings, header.sh_name);
	}
	return section && strncmp(section, ".plt", 4) == 0;
}

static int stop_there(Dwfl *dwfl, const char *wanted, struct user_regs_struct *regs)
{
	int status;

	if (ptrace(PTRACE_SEIZE, traced, NULL, NULL) < 0 || ptrace(PTRACE_INTERRUPT, traced, NULL, NULL) < 0 ||
	        waitpid(traced, &status, __WALL) != traced || ptrace(PTRACE_GETREGS, traced, NULL, regs) < 0)
		return -errno;
	for (unsigned i = 0; wanted && !is_there(dwfl, regs->rip, wanted); i++) {
		if (i == STEPS_MAX)
			return -ETIMEDOUT;
		if (ptrace(PTRACE_SINGLESTEP, traced, NULL, NULL) < 0 || waitpid(traced, &status, __WALL) != traced ||
		        !WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, traced, NULL, regs) < 0)
			return -ECHILD;
	}
	return 0;
}

/* ---- the record ----------------------------------------------------------------------------------------------------
 */

/* Runs our own steps along elfutils' frames, to see which words they read. */
static void read_needed(struct unwind_registers r)
{
	struct unwind_window window = { 0 };
	uint32_t switches = 0;

	for (unsigned i = 0; i < n_frames; i++)
		if ((frames[i].has_rule ? unwind_by_rule(&frames[i].rule, &r, &window)
		                        : unwind_by_frame_pointer(&r, &window, 1, &switches)) != UNWIND_CONTINUE)
			return;
}

static void print(const struct unwind_registers *r)
{
	uint64_t base = r->sp & ~7ull, word;

	printf("registers %llx %llx %llx\n", r->pc, r->sp, r->fp);
	printf("stack %" PRIx64, base);
	for (uint64_t at = base; at < highest; at += 8)
		printf("%s%" PRIx64, (at - base) / 8 % 8 ? " " : "\n", read_word(&word, 8, at) == 0 ? word : 0);
	printf("\ntop\n");
	for (unsigned i = 0; i < n_frames; i++) {
		const struct frame *f = &frames[i];

		printf("frame %" PRIx64 " ", f->pc);
		if (f->has_rule)
			printf("%u %u %d %d", f->rule.cfa, f->rule.fp, f->rule.fp_offset, f->rule.cfa_offset);
		else
			printf("fp 0 0 0");
		printf(" %s\n", f->name);
	}
}

int main(int argc, char **argv)
{
	struct unwind_registers r;
	struct user_regs_struct regs;
	Dwfl *dwfl;
	int error;

	if (argc < 2) {
		fprintf(stderr, "usage: record-stack PID [plt|vdso|FUNCTION]\n");
		return 2;
	}
	traced = (pid_t)strtol(argv[1], NULL, 10);
	dwfl = dwfl_begin(&callbacks);
	if (!dwfl || dwfl_linux_proc_report(dwfl, traced) != 0 || dwfl_report_end(dwfl, NULL, NULL) != 0) {
		fprintf(stderr, "cannot look into process %d\n", traced);
		return 1;
	}
	error = stop_there(dwfl, argc > 2 ? argv[2] : NULL, &regs);
	if (error < 0 || dwfl_linux_proc_attach(dwfl, traced, true) < 0) {
		fprintf(stderr, "cannot stop process %d there: %s\n", traced, strerror(-error));
		return 1;
	}
	(void)dwfl_getthread_frames(dwfl, traced, on_frame, dwfl);
	r = (struct unwind_registers){ .pc = regs.rip, .sp = regs.rsp, .fp = regs.rbp };
	highest = regs.rsp;
	read_needed(r);
	print(&r);
	dwfl_end(dwfl);
	return n_frames > 0 ? 0 : 1;
}
