#include "profile/frame.h"

#include <stdbool.h>
#include <string.h>

uint32_t frame_count(const struct profile *p, uint32_t location)
{
	uint32_t n = profile_location(p, location).n_lines;

	return n > 0 ? n : 1;
}

static bool has_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

static bool has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* The kernel itself and its modules: "[kernel.kallsyms]", "[ext4]", "ext4.ko"; but not "[vdso]" and the like, which are
 * user code, nor the names of anonymous memory. */
static bool is_kernel_mapping(const char *name)
{
	static const char *const user[] = { "[vdso]", "[vsyscall]", "[stack", "[heap]", "[anon", "[uprobes]", "[jit]",
		"[unknown]" };

	if (has_prefix(name, "[kernel") || has_prefix(name, "[guest.kernel"))
		return true;
	if (has_suffix(name, ".ko") || has_suffix(name, ".ko.xz") || has_suffix(name, ".ko.zst") ||
	        has_suffix(name, ".ko.gz"))
		return true;
	if (name[0] != '[' || !has_suffix(name, "]"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(user); i++)
		if (has_prefix(name, user[i]))
			return false;
	return true;
}

static bool is_jit_mapping(const char *name)
{
	const char *base = strrchr(name, '/');

	base = base ? base + 1 : name;
	if (strcmp(name, FRAME_JIT_MAPPING) == 0 || has_prefix(name, "//anon") || has_prefix(name, "[anon"))
		return true;
	if (has_prefix(name, "/memfd:") || has_prefix(name, "/dev/zero"))
		return true;
	return (has_prefix(base, "perf-") && has_suffix(base, ".map")) ||
	       (has_prefix(base, "jitted-") && has_suffix(base, ".so"));
}

static enum frame_kind kind_of_source(const char *file)
{
	static const char *const scripts[] = { ".py", ".pyx", ".rb", ".js", ".mjs", ".cjs", ".ts", ".php", ".lua",
		".pl", ".pm" };

	if (has_suffix(file, ".go"))
		return FRAME_GO;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++)
		if (has_suffix(file, scripts[i]))
			return FRAME_SCRIPT;
	return FRAME_NATIVE;
}

static enum frame_kind kind_of(const struct frame *f, bool is_inlined)
{
	enum frame_kind kind;

	if (f->name_size >= 10 && memcmp(f->name, "[truncated", 10) == 0)
		return FRAME_TRUNCATED;
	if (is_kernel_mapping(f->mapping))
		return FRAME_KERNEL;
	/* Some writers say it in words. */
	if (f->function == PROFILE_NONE || strcmp(f->name, "[unknown]") == 0)
		return FRAME_UNKNOWN;
	if (is_jit_mapping(f->mapping))
		return FRAME_JIT;
	kind = kind_of_source(f->file);
	return kind != FRAME_SCRIPT && is_inlined ? FRAME_INLINED : kind;
}

static void make_name(struct frame *f)
{
	const char *base = strrchr(f->mapping, '/');
	int n;

	base = base && base[1] ? base + 1 : f->mapping;
	if (base[0] == '\0')
		base = "unknown";
	if (base[0] == '[')
		n = snprintf(f->made, sizeof(f->made), "%.200s", base);
	else
		n = snprintf(f->made, sizeof(f->made), "[%.200s]", base);
	f->name = f->made;
	f->name_size = (size_t)n;
}

static const char *file_name(const struct profile *p, uint32_t string)
{
	size_t n;
	const char *name = profile_string(p, string, &n);

	return n <= FRAME_FILE_BYTES_MAX ? name : "";
}

void frame_get(const struct profile *p, uint32_t location, uint32_t i, struct frame *ret)
{
	struct profile_location l = profile_location(p, location);

	ret->file = "";
	ret->mapping = "";
	ret->line = 0;
	ret->address = l.address;
	ret->function = PROFILE_NONE;
	ret->name = "";
	ret->name_size = 0;
	if (l.mapping != PROFILE_NONE)
		ret->mapping = file_name(p, profile_mapping(p, l.mapping)->filename);
	if (i < l.n_lines && l.lines[i].function != PROFILE_NONE) {
		const struct profile_function *f = profile_function(p, l.lines[i].function);

		ret->name = profile_string(p, f->name, &ret->name_size);
		if (ret->name_size == 0)
			ret->name = profile_string(p, f->system_name, &ret->name_size);
		ret->file = file_name(p, f->filename);
		ret->line = l.lines[i].line;
		ret->name_size = MIN(ret->name_size, (size_t)FRAME_NAME_BYTES_MAX);
		if (ret->name_size > 0)
			ret->function = l.lines[i].function;
	}
	ret->kind = FRAME_NATIVE;
	if (ret->name_size == 0)
		make_name(ret);
	ret->kind = kind_of(ret, i + 1 < l.n_lines);
}

int frame_keep(const char *file, const char *mapping, size_t *kept, char **ret_file, char **ret_mapping)
{
	const size_t n = strlen(file) + strlen(mapping) + 2;
	_cleanup_free_ char *file_copy = NULL, *mapping_copy = NULL;

	if (n > FRAME_KEPT_BYTES_MAX - *kept)
		return -ENOSPC;
	file_copy = strdup(file);
	mapping_copy = strdup(mapping);
	if (!file_copy || !mapping_copy)
		return -ENOMEM;
	*kept += n;
	*ret_file = TAKE_PTR(file_copy);
	*ret_mapping = TAKE_PTR(mapping_copy);
	return 0;
}

const char *frame_kind_name(enum frame_kind kind)
{
	static const char *const names[FRAME_KINDS] = {
		[FRAME_NATIVE] = "native",
		[FRAME_INLINED] = "inlined",
		[FRAME_KERNEL] = "kernel",
		[FRAME_JIT] = "JIT",
		[FRAME_GO] = "Go",
		[FRAME_SCRIPT] = "script",
		[FRAME_UNKNOWN] = "no symbol",
		[FRAME_TRUNCATED] = "truncated",
		[FRAME_GROUP] = "process",
	};

	return names[kind];
}
