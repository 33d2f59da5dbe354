/* What ember-export may still do once it has its configuration: talk HTTP to one destination, or write to a descriptor
 * that it was given; nothing else. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Before any secret is read: no core file, no ptrace by others, no new privileges; gives up the user, its groups and
 * all capabilities where there are any to give up. */
int sandbox_drop_privileges(void);

/* Landlock where the kernel has it (only what resolving a name reads), then a seccomp filter. has_network: sockets to
 * IP addresses, threads for the resolver, files read-only; else none of these. memory_max bounds the address space,
 * 0 for no bound; a process that is already larger (a sanitizer's) is left without. */
int sandbox_enter(bool has_network, uint64_t memory_max);
