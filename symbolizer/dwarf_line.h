/* The line program of one unit: run once past the queries, its rows are not kept. */
#pragma once
#include "symbolizer/dwarf_form.h"

#define LINE_FILES_MAX (1u << 16)
#define LINE_PATH_MAX 4096u

struct line_match {
	uint32_t file, line, column;
	bool found;
};

struct line_matches {
	struct line_match *matches; /* one an address */
	uint32_t *order;            /* indexes of the found ones in the order of finding, room for all */
	uint32_t n_found;
};

struct line_file {
	const char *name;
	uint32_t size, directory;
};

struct line_table {
	const struct dwarf_file *dwarf; /* borrowed */
	const struct dwarf_unit *unit;
	struct span comp_dir;
	struct cursor program;
	uint8_t version, address_size, offset_size, min_instruction, line_range, opcode_base;
	int8_t line_base;
	const uint8_t *opcode_lengths;
	struct line_file *directories, *files; /* as numbered in the file's version */
	uint32_t n_directories, n_files, room_directories, room_files;
};

/* Reads the header at offset of .debug_line. The table may have been open before and keeps its memory. comp_dir is
 * borrowed. -ENODATA: none there; -EBADMSG; -E2BIG; -ENOMEM. */
int line_table_open(const struct dwarf_file *d, const struct dwarf_unit *unit, uint64_t offset, struct span comp_dir,
        struct line_table *t);
void line_table_done(struct line_table *t);

/* Finds each of the n sorted addresses that a row covers and that is not found yet. On equal row addresses the last one
 * counts. */
void line_table_run(struct line_table *t, const uint64_t *addresses, uint32_t n, struct line_matches *matches);

/* The path of file number index as the line program counts, made of the compilation directory, its directory and its
 * name, without "." and "..". Returns its length, 0 for none. */
size_t line_table_path(const struct line_table *t, uint32_t index, char path[LINE_PATH_MAX]);
