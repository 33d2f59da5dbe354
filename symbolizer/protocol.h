/* What emberd and ember-symbolizer say to each other over a SOCK_SEQPACKET pair: one request, one reply, in order;
 * before them one reply with id 0, which says that the child is inside its sandbox.
 * Everything large goes through descriptors that the request carries: the child reads its inputs with pread and writes
 * its answer into an empty memfd that emberd made (it may not open or create anything itself). emberd believes nothing
 * in an answer: symbolizer/answer.h holds the readers that check every index before anyone uses it.
 *
 * Offsets are file offsets: the same in every process, whatever the load bias. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define SYMBOLIZER_VERSION 1u
#define SYMBOLIZER_FDS_MAX 8
#define SYMBOLIZER_DEBUG_FILES_MAX (SYMBOLIZER_FDS_MAX - 3)
#define SYMBOLIZER_QUERIES_MAX (1u << 20)
#define SYMBOLIZER_ANSWER_BYTES_MAX (256u << 20)

enum symbolizer_kind {
	SYMBOLIZER_IDENTIFY = 1, /* fds: elf, answer -> struct symbolizer_identity */
	SYMBOLIZER_ROWS = 2,     /* fds: elf, answer -> rows_header, pages, rules, rows */
	SYMBOLIZER_SYMBOLS = 3,  /* fds: elf, query, answer [, debug files: the first that is its counts]
	                            -> symbols_header, ... */
	SYMBOLIZER_KALLSYMS = 4, /* fds: kallsyms text, query, answer -> symbols */
	SYMBOLIZER_PERF_MAP = 5, /* fds: perf map text, query, answer -> symbols */
	SYMBOLIZER_SITES = 6,    /* fds: elf, answer -> sites_header, sites */
};

enum {
	SYMBOLIZER_NO_INLINES = 1 << 0, /* request flag: one frame an address */
};

struct symbolizer_request {
	uint32_t version, kind;
	uint64_t id;
	uint32_t flags,
	        n_queries; /* query fd: n_queries sorted uint64_t, file offsets or addresses to look up as they are */
};

struct symbolizer_reply {
	uint64_t id;
	int32_t result; /* 0 or negative errno: -ENODATA nothing of the kind in the file, -EBADMSG malformed, -E2BIG a
	                   limit */
	uint32_t padding;
	uint64_t answer_bytes;
	uint64_t cpu_ns;
};

/* ---- identity ---- */

#define BUILD_ID_BYTES_MAX 32
#define SYMBOLIZER_SEGMENTS_MAX 8
#define SYMBOLIZER_DEBUG_LINK_BYTES 64

enum {
	IDENTITY_HAS_EH_FRAME = 1 << 0,
	IDENTITY_HAS_DEBUG_INFO = 1 << 1,
	IDENTITY_HAS_SYMTAB = 1 << 2,
	IDENTITY_IS_GO = 1 << 3, /* frame pointers everywhere: rows are not needed */
	IDENTITY_IS_RUST = 1 << 4,
	IDENTITY_IS_CXX = 1 << 5,
	IDENTITY_IS_PIE_OR_SO = 1 << 6,
};

struct symbolizer_segment { /* an executable PT_LOAD */
	uint64_t offset, vaddr, filesz;
};

struct symbolizer_identity {
	uint32_t flags;
	uint32_t build_id_size; /* 0: none */
	uint8_t build_id[BUILD_ID_BYTES_MAX];
	uint8_t htlhash[16]; /* process.executable.build_id.htlhash: see FILE ID in docs/ARCHITECTURE.md */
	uint32_t n_segments, padding;
	struct symbolizer_segment segments[SYMBOLIZER_SEGMENTS_MAX];
	char debug_link[SYMBOLIZER_DEBUG_LINK_BYTES]; /* .gnu_debuglink, "" for none */
	uint32_t debug_link_crc, padding2;
};

/* ---- rows ---- : rows_header, then n_pages rows_page, n_rules struct unwind_rule, n_rows struct unwind_row.
 * Rule 0 is CFA_UNKNOWN. A page that is not listed holds nothing but CFA_UNKNOWN; pages share no row. */

#define ROWS_MAGIC 0x31574f5252424d45ull /* "EMBRROW1" */
#define ROWS_MAX (8u << 20)

struct rows_header {
	uint64_t magic;
	uint32_t n_pages, n_rules, n_rows, skipped_fdes;
};

struct rows_page {     /* sorted by page; only pages that hold code described by .eh_frame */
	uint32_t page; /* file offset >> UNWIND_PAGE_SHIFT */
	uint32_t first_row, n_rows;
};

/* ---- symbols ---- : symbols_header, then uint32_t first_frame[n_queries + 1], n_frames symbols_frame, string bytes */

#define SYMBOLS_MAGIC 0x314d595352424d45ull /* "EMBRSYM1" */

struct symbols_header {
	uint64_t magic;
	uint32_t n_queries, n_frames, string_bytes, padding;
};

/* Frames of one address innermost first (the inlined callee before its caller); none at all: not known. Strings are
 * offsets of NUL-terminated text; offset 0 is "". */
struct symbols_frame {
	uint32_t name;        /* demangled */
	uint32_t system_name; /* as in the symbol table */
	uint32_t filename;    /* source file */
	uint32_t line, column, start_line;
	uint32_t module; /* kallsyms: "[nf_tables]" without brackets, "" for the kernel itself; else "" */
	uint32_t flags;  /* SYMBOLS_FRAME_* */
};

enum {
	SYMBOLS_FRAME_INLINED = 1 << 0,
};

/* ---- probe sites ---- : sites_header, then n_sites site: where a probe sees the calls of an allocator */

#define SITES_MAGIC 0x3145544952424d45ull /* "EMBRITE1" */
#define SITES_MAX 64u

struct sites_header {
	uint64_t magic;
	uint32_t n_sites, padding;
};

/* What a probe finds there; which argument is what. */
enum site_function {
	SITE_MALLOC = 1,     /* (size), also valloc, pvalloc, operator new */
	SITE_CALLOC,         /* (n, size) */
	SITE_REALLOC,        /* (old, size) */
	SITE_REALLOCARRAY,   /* (old, n, size) */
	SITE_ALIGNED_ALLOC,  /* (alignment, size), also memalign */
	SITE_POSIX_MEMALIGN, /* (out, alignment, size) */
	SITE_FREE,           /* (old), also operator delete */
	SITE_USDT_ALLOC,     /* otel_memory:alloc(user, size, weighted_bytes) */
	SITE_USDT_FREE,      /* otel_memory:free(user) */
	SITE_LOADER,         /* where a dynamic linker stops for debuggers whenever its list of libraries has changed */
};

enum {
	SITE_EMULATED = 1 << 0, /* the kernel emulates the instruction at probe: no single step */
	SITE_AT_ENTRY = 1 << 1, /* the stack pointer still shows the return address: a return probe may be armed */
	SITE_NULL_IS_MALLOC = 1 << 2, /* realloc(NULL, n) and small alignments go on to this allocator's malloc */
	SITE_JUMPS = 1 << 4,          /* it may end in a jump to another function, which may be a site as well */
	SITE_MOVED = 1 << 3,          /* arguments are in operands, not where they came in */
};

enum site_allocator {
	ALLOCATOR_LIBC = 1, /* glibc, and what is not known better */
	ALLOCATOR_MUSL,
	ALLOCATOR_JEMALLOC,
	ALLOCATOR_TCMALLOC,
	ALLOCATOR_MIMALLOC,
	ALLOCATOR_USDT,
	ALLOCATOR_MAX,
};

struct site {
	uint64_t entry; /* file offset of the function */
	uint64_t probe; /* file offset to probe: the first emulated instruction with the arguments still in place */
	uint64_t counter_offset; /* USDT: file offset of its semaphore, 0 for none */
	uint32_t size_bytes; /* of the function; a call that comes from here is none of the program's. 0: not known */
	uint16_t function, allocator, flags;
	uint16_t after[2];   /* where the code goes on after probe: low 12 bits of the file offset */
	uint8_t operands[3]; /* DWARF numbers of the registers that hold the arguments */
	uint8_t padding[3];
	char name[32];
};
